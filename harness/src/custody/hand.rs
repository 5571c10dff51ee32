//! Setting a thread's mask by whoever keeps it: the kernel, or libvirt for guests that are bound through it.

use super::ledger::Entry;
use crate::affinity::{self, AffinityError};
use crate::libvirt::LibvirtError;
use crate::procfs::Tid;
use crate::sysfs::CpuSet;

/// Why a mask was not set.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SetError {
    /// By the kernel.
    #[error(transparent)]
    Affinity(#[from] AffinityError),
    /// By libvirt.
    #[error(transparent)]
    Libvirt(#[from] LibvirtError),
    /// libvirt said that it did, and the kernel says otherwise.
    #[error("libvirt was asked for CPUs {asked}, and thread {tid} may run on {found}")]
    NotDone {
        /// The thread.
        tid: u32,
        /// What was asked for.
        asked: CpuSet,
        /// What it has.
        found: CpuSet,
    },
}

impl SetError {
    /// Whether the mask may become what was asked for without another request.
    pub(super) const fn may_be_done_yet(&self) -> bool {
        match self {
            Self::Affinity(_) => false,
            Self::Libvirt(error) => error.is_silent(),
            Self::NotDone { .. } => true,
        }
    }
}

impl Entry {
    /// Lets the thread run on `cpus` only.
    pub(super) fn bind(&self, tid: Tid, cpus: &CpuSet) -> Result<(), SetError> {
        let Some(vcpu) = &self.through else { return Ok(affinity::bind(tid, cpus)?) };
        vcpu.pin(cpus)?;
        let found = affinity::mask_of(tid)?;
        if found == *cpus {
            return Ok(());
        }
        Err(SetError::NotDone { tid: tid.0, asked: cpus.clone(), found })
    }

    /// Lets the thread run wherever its cpuset lets it; as far as libvirt is asked, which gives it a cpuset of its own and
    /// refuses CPUs that are not there, where it ran before.
    pub(super) fn unbind(&self, tid: Tid) -> Result<(), SetError> {
        match &self.through {
            Some(_) => self.bind(tid, &self.original),
            None => Ok(affinity::unbind(tid)?),
        }
    }
}
