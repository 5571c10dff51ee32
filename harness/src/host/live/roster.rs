//! Who is watched: ids that are never given twice, and what is kept of each vCPU.

use std::collections::BTreeMap;
use std::time::Instant;

use predictor::counters::{GuestId, VcpuId};
use predictor::topology::DomainId;
use serde::Serialize;

use crate::discovery::{Accelerator, FoundGuest, VcpuThread, Vmm};
use crate::libvirt::LibvirtVcpu;
use crate::perf::Group;
use crate::procfs::{Pid, Proc, ThreadIdentity};
use crate::sysfs::CpuSet;

/// A vCPU that is watched.
#[derive(Debug)]
pub(super) struct Watched {
    pub(super) thread: ThreadIdentity,
    pub(super) comm: String,
    /// What libvirt calls it, where libvirt shall bind it.
    pub(super) through: Option<LibvirtVcpu>,
    /// Where it is, as last seen.
    pub(super) domain: DomainId,
    /// Where we have bound it.
    pub(super) bound: Option<DomainId>,
    pub(super) group: Option<Group>,
    /// Time on a CPU as `/proc` told it last; for who has no counters.
    pub(super) ran_ns: Option<u64>,
    pub(super) read_at: Instant,
}

impl Watched {
    /// Time on a CPU since this was last asked, from `/proc`.
    pub(super) fn ran_since(&mut self, proc: &Proc) -> Option<u64> {
        let now = proc.run_time(self.thread.pid, self.thread.tid).ok()?.running_ns;
        let before = self.ran_ns.replace(now)?;
        now.checked_sub(before)
    }
}

#[derive(Debug)]
struct Guest {
    id: GuestId,
    name: String,
    vmm: Vmm,
    accelerator: Accelerator,
}

/// Everybody who is watched.
#[derive(Debug, Default)]
pub(super) struct Roster {
    /// By process and its start.
    guests: BTreeMap<(Pid, u64), Guest>,
    vcpus: BTreeMap<VcpuId, Watched>,
    next: u32,
}

/// A guest as it is watched, for people and status pages.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct GuestView {
    /// Its id in samples and decisions.
    pub id: GuestId,
    /// Its name.
    pub name: String,
    /// Its process.
    pub pid: Pid,
    /// What runs it.
    pub vmm: Vmm,
    /// With what.
    pub accelerator: Accelerator,
    /// Its vCPUs.
    pub vcpus: Vec<VcpuView>,
}

/// A vCPU as it is watched.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct VcpuView {
    /// Its id in samples and decisions.
    pub id: VcpuId,
    /// Its thread.
    pub thread: ThreadIdentity,
    /// What that is called.
    pub comm: String,
    /// Where it is.
    pub domain: DomainId,
    /// The CPUs we have bound it to; `None` if it has its own mask.
    pub bound_to: Option<CpuSet>,
    /// Whether its counters are open; its time on a CPU is known all the same.
    pub has_counters: bool,
}

impl Roster {
    /// The id of a vCPU; its guest gets one here if it is new.
    pub(super) fn id_of(&mut self, guest: &FoundGuest, vcpu: &VcpuThread) -> VcpuId {
        let next = &mut self.next;
        let known = self.guests.entry((guest.pid, guest.start_ticks)).or_insert_with(|| {
            let id = GuestId(*next);
            *next += 1;
            Guest { id, name: guest.name.clone(), vmm: guest.vmm, accelerator: guest.accelerator }
        });
        VcpuId { guest: known.id, index: vcpu.number }
    }

    pub(super) fn has(&self, vcpu: VcpuId) -> bool {
        self.vcpus.contains_key(&vcpu)
    }

    pub(super) fn get(&self, vcpu: VcpuId) -> Option<&Watched> {
        self.vcpus.get(&vcpu)
    }

    /// How many groups of counters are open.
    pub(super) fn groups(&self) -> usize {
        self.vcpus.values().filter(|watched| watched.group.is_some()).count()
    }

    pub(super) fn admit(&mut self, vcpu: VcpuId, watched: Watched) {
        self.vcpus.insert(vcpu, watched);
    }

    pub(super) fn vcpus_mut(&mut self) -> impl Iterator<Item = (VcpuId, &mut Watched)> {
        self.vcpus.iter_mut().map(|(vcpu, watched)| (*vcpu, watched))
    }

    pub(super) fn placement(&self) -> BTreeMap<VcpuId, DomainId> {
        self.vcpus.iter().map(|(vcpu, watched)| (*vcpu, watched.domain)).collect()
    }

    /// Those of whom the guests that were found know nothing any more. Guests without vCPUs are forgotten.
    pub(super) fn leavers(&mut self, found: &[FoundGuest]) -> Vec<VcpuId> {
        let threads: std::collections::BTreeSet<ThreadIdentity> =
            found.iter().flat_map(|guest| &guest.vcpus).map(|vcpu| vcpu.thread).collect();
        let present: std::collections::BTreeSet<(Pid, u64)> =
            found.iter().map(|guest| (guest.pid, guest.start_ticks)).collect();
        let watched: std::collections::BTreeSet<GuestId> = self.vcpus.keys().map(|vcpu| vcpu.guest).collect();
        self.guests.retain(|key, guest| present.contains(key) || watched.contains(&guest.id));
        let left = self.vcpus.iter().filter(|(_, watched)| !threads.contains(&watched.thread));
        left.map(|(vcpu, _)| *vcpu).collect()
    }

    /// Ends the watch of a vCPU; says its guest's process as well if that was the last one.
    pub(super) fn remove(&mut self, vcpu: VcpuId) -> Option<(Watched, Option<Pid>)> {
        let watched = self.vcpus.remove(&vcpu)?;
        let is_last = self.vcpus.keys().all(|other| other.guest != vcpu.guest);
        let last_of = is_last.then_some(watched.thread.pid);
        Some((watched, last_of))
    }

    pub(super) fn bound(&mut self, vcpu: VcpuId, domain: DomainId) {
        if let Some(watched) = self.vcpus.get_mut(&vcpu) {
            (watched.domain, watched.bound) = (domain, Some(domain));
        }
    }

    /// Nobody is bound by us any more.
    pub(super) fn unbind(&mut self) {
        self.vcpus.values_mut().for_each(|watched| watched.bound = None);
    }

    /// A thread is not ours any more. Answers with its guest's name.
    pub(super) fn release(&mut self, thread: &ThreadIdentity) -> String {
        let found = self.vcpus.iter_mut().find(|(_, watched)| watched.thread == *thread);
        let vcpu = found.map(|(vcpu, watched)| {
            watched.bound = None;
            *vcpu
        });
        vcpu.map(|vcpu| self.name(vcpu)).unwrap_or_default()
    }

    pub(super) fn name(&self, vcpu: VcpuId) -> String {
        self.guests.values().find(|guest| guest.id == vcpu.guest).map(|guest| guest.name.clone()).unwrap_or_default()
    }

    pub(super) fn views(&self, mask_of: impl Fn(&ThreadIdentity) -> Option<CpuSet>) -> Vec<GuestView> {
        let mut views: Vec<GuestView> = self
            .guests
            .iter()
            .map(|((pid, _), guest)| GuestView {
                id: guest.id,
                name: guest.name.clone(),
                pid: *pid,
                vmm: guest.vmm,
                accelerator: guest.accelerator,
                vcpus: self
                    .vcpus
                    .iter()
                    .filter(|(vcpu, _)| vcpu.guest == guest.id)
                    .map(|(vcpu, watched)| VcpuView {
                        id: *vcpu,
                        thread: watched.thread,
                        comm: watched.comm.clone(),
                        domain: watched.domain,
                        bound_to: mask_of(&watched.thread),
                        has_counters: watched.group.is_some(),
                    })
                    .collect(),
            })
            .filter(|view| !view.vcpus.is_empty())
            .collect();
        views.sort_by_key(|view| view.id);
        views
    }
}
