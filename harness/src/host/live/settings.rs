//! What a live host is told: where to look, what it may touch, and how.

use std::collections::BTreeSet;
use std::num::NonZeroU32;
use std::path::PathBuf;

use serde::Serialize;

use crate::custody::DEFAULT_LEDGER;
use crate::procfs::Pid;
use crate::sysfs::CpuSet;

/// Whether vCPUs are moved.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Acting {
    /// Only watch: every move is refused, and there is no ledger.
    DryRun,
    /// Move.
    Act,
}

/// Whether vCPUs may be moved away from the memory of their node.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum CrossNode {
    /// Such moves are refused.
    Refused,
    /// Such moves are made.
    Allowed,
}

/// Settings of a live host. The default looks at this machine and touches nobody.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LiveSettings {
    /// What stands for `/`, for `proc` and `sys`. Threads are always this machine's: anything else than `/` is of use in
    /// a dry run alone.
    pub root: PathBuf,
    /// Where the topology is read instead of `sys` below the root.
    pub sysfs_root: Option<PathBuf>,
    /// Where original affinities are kept.
    pub ledger: PathBuf,
    /// CPUs that may be used; all of them without.
    pub operator_cpus: Option<CpuSet>,
    /// Guests of these processes alone; everybody's without.
    pub within: Option<BTreeSet<Pid>>,
    /// Moves between NUMA nodes.
    pub cross_node: CrossNode,
    /// Also guests that QEMU emulates, for test beds.
    pub include_tcg: bool,
    /// Ask QEMU which threads are vCPUs.
    pub ask_qmp: bool,
    /// Whether vCPUs are moved.
    pub acting: Acting,
    /// Guests are looked for after each so many quanta.
    pub rescan_quanta: NonZeroU32,
    /// Where libvirt is reached that shall bind the vCPUs of its guests; without it they are bound like all others.
    pub libvirt: Option<String>,
    /// Whether guests get monitoring groups of resctrl, for LLC occupancy and bandwidth.
    pub resctrl: bool,
    /// Whether QEMU is asked after each quantum in which address space its vCPUs are.
    pub introspection: bool,
}

impl Default for LiveSettings {
    fn default() -> Self {
        Self {
            root: PathBuf::from("/"),
            sysfs_root: None,
            ledger: PathBuf::from(DEFAULT_LEDGER),
            operator_cpus: None,
            within: None,
            cross_node: CrossNode::Refused,
            include_tcg: false,
            ask_qmp: false,
            acting: Acting::DryRun,
            rescan_quanta: NonZeroU32::MIN.saturating_add(9),
            libvirt: None,
            resctrl: false,
            introspection: false,
        }
    }
}
