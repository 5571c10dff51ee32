//! Who sits where on an emulated machine: each guest's one vCPU on a CPU of its own, what a batch of moves makes of it,
//! and how long a quantum is in the machine's cycles. Shared by every host that runs on a [`Machine`]; what a move costs
//! is the machine's business.

use std::collections::BTreeSet;
use std::time::Duration;

use machine::segment::Slot;
use machine::spec::{Cpu, Machine};
use predictor::counters::{GuestId, VcpuId};
use predictor::placement::{Move, Placement};
use predictor::topology::{CpuId, DomainId, LlcDomain, NodeId, Topology};

use super::admission::admit;
use super::{HostError, MoveOutcome};

/// The guests of a host and their CPUs. Guest `n` has slot `n` of the machine.
#[derive(Debug, Clone)]
pub(super) struct Seating {
    topology: Topology,
    placement: Placement,
    cpus: Vec<Cpu>,
}

/// What becomes of a batch of moves.
#[derive(Debug)]
pub(super) struct Answer {
    /// One for each request, in their order.
    pub(super) outcomes: Vec<MoveOutcome>,
    /// Who goes to which CPU.
    pub(super) changes: Vec<(Slot, Cpu)>,
}

impl Seating {
    /// Guests on these CPUs, in the order of their ids. The plan was checked: each CPU exists and has one guest.
    pub(super) fn new(machine: &Machine, cpus: Vec<Cpu>) -> Self {
        let place = |(id, cpu): (u32, &Cpu)| {
            let domain = machine.domain_of(*cpu).expect("the plan was checked");
            (vcpu_of(id), DomainId(domain.0))
        };
        let placement = Placement((0..).zip(&cpus).map(place).collect());
        Self { topology: topology(machine), placement, cpus }
    }

    pub(super) fn topology(&self) -> &Topology {
        &self.topology
    }

    /// The vCPU of each guest, in the order of their slots.
    pub(super) fn ids(&self) -> impl Iterator<Item = VcpuId> + use<> {
        (0..u32::try_from(self.cpus.len()).expect("fewer guests than CPUs")).map(vcpu_of)
    }

    pub(super) fn cpu(&self, slot: Slot) -> Cpu {
        self.cpus[slot.0 as usize]
    }

    pub(super) fn domain(&self, vcpu: VcpuId) -> DomainId {
        self.placement.0[&vcpu]
    }

    /// Answers a batch of moves and says who goes to which CPU: those admitted get the lowest free CPU of their new
    /// domain each, in the order of the requests.
    pub(super) fn answer(&mut self, moves: &[Move]) -> Result<Answer, HostError> {
        let outcomes = admit(&self.topology, &mut self.placement, moves);
        let moving: Vec<Move> = outcomes
            .iter()
            .filter(|outcome| outcome.refusal.is_none() && outcome.requested.from != outcome.requested.to)
            .map(|outcome| outcome.requested)
            .collect();
        let stays = |vcpu: &VcpuId| moving.iter().all(|change| change.vcpu != *vcpu);
        let mut taken: BTreeSet<Cpu> =
            self.ids().zip(&self.cpus).filter(|(vcpu, _)| stays(vcpu)).map(|(_, cpu)| *cpu).collect();
        let mut changes = Vec::new();
        for change in moving {
            let cpu = self.free_cpu(change.to, &taken).ok_or_else(|| HostError {
                action: format!("move {} to LLC domain {}", change.vcpu, change.to.0),
                reason: "no CPU is free there, although the move was admitted".to_owned(),
            })?;
            taken.insert(cpu);
            let slot = Slot(change.vcpu.guest.0);
            self.cpus[slot.0 as usize] = cpu;
            changes.push((slot, cpu));
        }
        Ok(Answer { outcomes, changes })
    }

    fn free_cpu(&self, domain: DomainId, taken: &BTreeSet<Cpu>) -> Option<Cpu> {
        let cpus = self.topology.domain(domain)?.cpus.iter().map(|cpu| Cpu(cpu.0));
        cpus.into_iter().find(|cpu| !taken.contains(cpu))
    }
}

const fn vcpu_of(guest: u32) -> VcpuId {
    VcpuId { guest: GuestId(guest), index: 0 }
}

/// The LLC domains of an emulated machine, with their nodes.
#[must_use]
pub fn topology(machine: &Machine) -> Topology {
    let domains = machine.domains().into_iter().map(|(domain, cpus)| LlcDomain {
        id: DomainId(domain.0),
        node: NodeId(machine.node_of(domain).expect("each of a machine's domains is on a node").0),
        cpus: cpus.into_iter().map(|cpu| CpuId(cpu.0)).collect(),
        llc_bytes: Some(machine.llc().bytes()),
    });
    Topology::new(domains.collect()).expect("a checked machine numbers its domains and CPUs without holes")
}

/// Virtual cycles in a stretch of virtual time, which has to hold a whole number of them. `host` is for the error.
pub(super) fn cycles_in(host: &str, quantum: Duration, machine: &Machine) -> Result<u64, HostError> {
    let frequency_mhz = u128::from(machine.frequency_mhz());
    let thousandths = quantum.as_nanos() * frequency_mhz;
    let whole = thousandths.is_multiple_of(1000).then_some(thousandths / 1000);
    whole.and_then(|cycles| u64::try_from(cycles).ok()).ok_or_else(|| HostError {
        action: format!("advance the {host} host by {quantum:?}"),
        reason: format!("that is no whole number of cycles at {frequency_mhz} MHz"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn machine() -> Machine {
        Machine::preset("small-2x2").expect("it comes with the program")
    }

    fn request(guest: u32, from: u32, to: u32) -> Move {
        Move { vcpu: vcpu_of(guest), from: DomainId(from), to: DomainId(to) }
    }

    #[test]
    fn a_moved_guest_gets_the_lowest_free_cpu_of_its_new_domain() {
        let mut seating = Seating::new(&machine(), vec![Cpu(1), Cpu(3)]);
        let Answer { outcomes, changes } = seating.answer(&[request(0, 0, 1)]).expect("there is room");
        assert_eq!(outcomes[0].refusal, None);
        assert_eq!(changes, [(Slot(0), Cpu(2))]);
        assert_eq!(seating.domain(vcpu_of(0)), DomainId(1));
    }

    #[test]
    fn guests_of_full_domains_swap_their_cpus() {
        let mut seating = Seating::new(&machine(), [0, 1, 2, 3].map(Cpu).to_vec());
        let answer = seating.answer(&[request(1, 0, 1), request(2, 1, 0)]).expect("a swap");
        assert_eq!(answer.changes, [(Slot(1), Cpu(2)), (Slot(2), Cpu(1))]);
    }

    #[test]
    fn a_move_to_where_a_guest_is_keeps_its_cpu() {
        let mut seating = Seating::new(&machine(), vec![Cpu(1)]);
        assert_eq!(seating.answer(&[request(0, 0, 0)]).expect("nothing to do").changes, []);
    }

    #[test]
    fn the_topology_has_the_machines_nodes() {
        let text = machine().text().replacen("cpus = 2", "cpus = 2\nnode = 1", 1);
        let two = Machine::from_toml(&text.replacen("[memory]", "[memory]\nremote_latency_cycles = 100", 1));
        let nodes = topology(&two.expect("a machine")).domains().iter().map(|domain| domain.node.0).collect::<Vec<_>>();
        assert_eq!(nodes, [1, 0]);
        assert!(topology(&machine()).domains().iter().all(|domain| domain.node == NodeId(0)));
    }

    #[test]
    fn time_that_is_no_whole_number_of_cycles_is_refused_in_the_hosts_name() {
        assert!(matches!(cycles_in("replayed", Duration::from_nanos(3), &machine()), Ok(6)));
        let odd = Machine::from_toml(&machine().text().replace("frequency_mhz = 2000", "frequency_mhz = 1500"));
        let error = cycles_in("replayed", Duration::from_nanos(3), &odd.expect("a machine")).expect_err("4.5 cycles");
        assert!(error.action.contains("replayed host by 3ns"), "{error}");
    }
}
