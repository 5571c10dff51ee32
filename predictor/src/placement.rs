//! Which vCPU runs in which LLC domain, and which assignment is best.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::counters::VcpuId;
use crate::topology::DomainId;

/// The LLC domain of every vCPU.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Placement(pub BTreeMap<VcpuId, DomainId>);

/// One vCPU's change of LLC domain.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Move {
    /// Who moves.
    pub vcpu: VcpuId,
    /// Where it ran.
    pub from: DomainId,
    /// Where it is to run.
    pub to: DomainId,
}
