//! A placement problem as a person asks it: domains, vCPUs, what counts, and what must hold.
//!
//! Owns the checked problem, its cost, its constraints, and the answer with reasons. Finding an answer is the business
//! of [`crate::placement::exact`] and [`crate::placement::search`].
//!
//! # Cost
//!
//! In slowdowns of one vCPU, so that 0.1 means the same under each objective:
//!
//! ```text
//! total = sum of weight(i) * slowdown(i)
//! worst = largest 1 + weight(i) * (slowdown(i) - 1)
//! cost  = (1 - worst_share) * total + worst_share * (sum of weights) * worst
//!         + sum over moved vCPUs of weight(i) * lost_share_per_move
//! ```
//!
//! `worst` counts as if everybody were slowed that much, which gives it the size of `total`. A move that costs 2 ms of a
//! horizon of 50 ms has `lost_share_per_move` 0.04: over that horizon the vCPU is slower by so much.
//!
//! # Constraints
//!
//! - **Capacity**: a domain holds at most `overcommit` vCPUs for each of its CPUs, rounded down, and each CPU at most
//!   `overcommit` of them, rounded up.
//! - **Allowed CPUs**: a vCPU is given those CPUs of its domain that it may use, at least one; within a domain, those
//!   who may use only some of its CPUs must fit on them.
//! - **Within a node**: all vCPUs of such a guest run on one node.
//! - **Moves**: at most so many vCPUs end elsewhere than now. One that does not run yet is no move.
//!
//! # Properties
//!
//! Placing each vCPU alone costs the sum of weights exactly. Cost does not depend on the order of vCPUs.

use std::collections::{BTreeMap, BTreeSet};

use crate::contention::{Contention, Demand, Slowdown};
use crate::counters::{GuestId, VcpuId};
use crate::placement::Placement;
use crate::topology::{CpuId, DomainId, NodeId, Topology};

/// One vCPU to place.
#[derive(Debug, Clone, PartialEq)]
pub struct Vcpu {
    /// Who it is.
    pub id: VcpuId,
    /// What it asks of its domain.
    pub demand: Demand,
    /// How much its slowdown counts; above 0.
    pub weight: f64,
    /// Where it runs; absent if it does not run yet.
    pub present: Option<DomainId>,
    /// The CPUs it may run on; absent if on all.
    pub allowed: Option<BTreeSet<CpuId>>,
}

/// A problem as told, before it is checked.
#[derive(Debug, Clone, PartialEq)]
pub struct Setup {
    /// The domains and their CPUs.
    pub topology: Topology,
    /// What the memory behind each domain gives, in bytes per cycle, in the order of domains; absent if not known.
    pub memory_bytes_per_cycle: Vec<Option<f64>>,
    /// Time of an LLC miss in times of an LLC hit; at least 1.
    pub miss_per_hit_time: f64,
    /// Whom to place, each once.
    pub vcpus: Vec<Vcpu>,
    /// How much the most slowed counts beside the total: 0 the total alone, 1 the worst alone.
    pub worst_share: f64,
    /// Share of the horizon that a vCPU loses when it moves.
    pub lost_share_per_move: f64,
    /// vCPUs for each CPU of a domain; at least 1.
    pub overcommit: f64,
    /// Guests that must not span nodes.
    pub within_a_node: BTreeSet<GuestId>,
    /// How many vCPUs may leave the domain that they are in; absent if any number.
    pub max_moves: Option<usize>,
}

/// Why a setup is no problem that can be posed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{key}: {problem}; {remedy}")]
pub struct SetupError {
    /// Where, as `vcpus[2].weight`.
    pub key: String,
    /// What is wrong, with the value.
    pub problem: String,
    /// What to do about it.
    pub remedy: String,
}

/// What a placement must respect.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Constraint {
    /// vCPUs for each CPU.
    Capacity,
    /// CPUs that a vCPU may run on.
    AllowedCpus,
    /// Guests that must not span nodes.
    WithinANode,
    /// How many may move.
    Moves,
}

/// No answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NoAnswer {
    /// Proved: no placement respects all constraints. It names those of which each, dropped alone, would leave one.
    #[error("no placement respects all constraints")]
    Impossible(Vec<Constraint>),
    /// No placement that respects all constraints was met; the nearest one breaks these.
    #[error("no placement that respects all constraints was found")]
    NotFound(Vec<Constraint>),
    /// The exact solver would need more than its limit of steps.
    #[error("too large for the exact solver")]
    TooLarge,
}

/// What a placement costs, and of what that is made.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Bill {
    /// What is minimised.
    pub cost: f64,
    /// The weighted sum of slowdowns.
    pub total: f64,
    /// The slowdown of the most slowed, its excess weighted.
    pub worst: f64,
    /// vCPUs that end elsewhere than now.
    pub moves: usize,
}

/// A placement that respects all constraints, beside staying put.
#[derive(Debug, Clone, PartialEq)]
pub struct Answer {
    /// Where each vCPU is to run.
    pub placement: Placement,
    /// The bill of staying put; absent if some vCPU does not run yet. Told even where staying breaks a constraint.
    pub before: Option<Bill>,
    /// What staying put breaks; empty if nothing, or if there is no staying put.
    pub broken_before: Vec<Constraint>,
    /// The bill of `placement`.
    pub after: Bill,
    /// How many changed placements were weighed, or for the exact solver, sets of vCPUs joined to a domain.
    pub evaluations: u64,
}

/// What one domain adds to the bill.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub(super) struct Shared {
    pub(super) total: f64,
    pub(super) worst: f64,
}

/// A checked problem. vCPUs and domains are counted by position within it.
#[derive(Debug, Clone)]
pub struct WhatIf {
    setup: Setup,
    contention: Vec<Contention>,
    /// Capacity of each domain in vCPUs.
    capacity: Vec<usize>,
    /// By domain and vCPU: the CPUs of the domain that the vCPU may use, as positions within it.
    usable: Vec<Vec<Vec<usize>>>,
    /// Domains in which some vCPU may use some CPUs but not all.
    partly: Vec<bool>,
    weights: f64,
}

impl WhatIf {
    /// Checks that a problem can be posed. Whether it can be solved is for a solver to say.
    pub fn new(setup: Setup) -> Result<Self, SetupError> {
        check(&setup)?;
        let domains = setup.topology.domains();
        let usable_in = |cpus: &[CpuId], vcpu: &Vcpu| -> Vec<usize> {
            let may = |cpu: &CpuId| vcpu.allowed.as_ref().is_none_or(|allowed| allowed.contains(cpu));
            (0..cpus.len()).filter(|place| may(&cpus[*place])).collect()
        };
        let usable: Vec<Vec<Vec<usize>>> = domains
            .iter()
            .map(|domain| setup.vcpus.iter().map(|vcpu| usable_in(&domain.cpus, vcpu)).collect())
            .collect();
        let partial = |(domain, usable): (&crate::topology::LlcDomain, &Vec<Vec<usize>>)| {
            usable.iter().any(|cpus| !cpus.is_empty() && cpus.len() < domain.cpus.len())
        };
        let partly = domains.iter().zip(&usable).map(partial).collect();
        // Small enough to be exact, and bounded by what is to be placed.
        let room = |cpus: usize| (cpus as f64 * setup.overcommit).min(setup.vcpus.len() as f64) as usize;
        let capacity = domains.iter().map(|domain| room(domain.cpus.len())).collect();
        let contention = |memory: &Option<f64>| Contention::additive(setup.miss_per_hit_time, *memory);
        let contention = setup.memory_bytes_per_cycle.iter().map(contention).collect();
        let weights = setup.vcpus.iter().map(|vcpu| vcpu.weight).sum();
        Ok(Self { contention, capacity, usable, partly, weights, setup })
    }

    /// The problem as told.
    #[must_use]
    pub fn setup(&self) -> &Setup {
        &self.setup
    }

    /// How many vCPUs `domain` holds.
    #[must_use]
    pub fn capacity(&self, domain: DomainId) -> usize {
        self.capacity.get(domain.0 as usize).copied().unwrap_or(0)
    }

    /// The CPUs that `vcpu` would be given in `domain`, ascending.
    #[must_use]
    pub fn mask(&self, vcpu: VcpuId, domain: DomainId) -> Vec<CpuId> {
        let vcpu = self.setup.vcpus.iter().find(|other| other.id == vcpu);
        let may =
            |cpu: &CpuId| vcpu.is_some_and(|vcpu| vcpu.allowed.as_ref().is_none_or(|allowed| allowed.contains(cpu)));
        let cpus = self.setup.topology.domain(domain).map_or(&[][..], |domain| &domain.cpus);
        cpus.iter().copied().filter(may).collect()
    }

    /// Where everybody runs now; absent if some vCPU does not run yet.
    #[must_use]
    pub fn present(&self) -> Option<Placement> {
        self.setup.vcpus.iter().map(|vcpu| Some((vcpu.id, vcpu.present?))).collect::<Option<_>>().map(Placement)
    }

    /// How much `vcpu` would be slowed in its domain of `placement` if `without` were not there.
    #[must_use]
    pub fn slowdown(&self, placement: &Placement, vcpu: VcpuId, without: Option<VcpuId>) -> Slowdown {
        let demands = |id: VcpuId| self.setup.vcpus.iter().find(|other| other.id == id).map(|other| &other.demand);
        let (Some(home), Some(own)) = (placement.0.get(&vcpu), demands(vcpu)) else { return Slowdown::NONE };
        let others = placement.members(*home).filter(|other| *other != vcpu && Some(*other) != without);
        self.contention[home.0 as usize].slowdown(own, others.filter_map(demands))
    }

    /// What `placement` costs. Of vCPUs that it does not place, nothing is counted.
    #[must_use]
    pub fn bill(&self, placement: &Placement) -> Bill {
        let homes = self.homes(placement);
        let shared: Vec<Shared> = (0..self.capacity.len()).map(|domain| self.members_of(domain, &homes)).collect();
        let placed = || homes.iter().enumerate().filter_map(|(place, home)| Some((place, (*home)?)));
        let price = placed().map(|(place, home)| self.price(place, home)).sum();
        let moves = placed().filter(|(place, home)| self.moves(*place, *home)).count();
        let total = shared.iter().map(|shared| shared.total).sum();
        let worst = shared.iter().map(|shared| shared.worst).fold(0.0, f64::max);
        let cost = self.cost(Shared { total, worst }, price);
        Bill { cost, total, worst, moves }
    }

    /// The constraints that `placement` breaks, each once.
    #[must_use]
    pub fn broken(&self, placement: &Placement) -> Vec<Constraint> {
        let homes = self.homes(placement);
        let mut broken = BTreeSet::new();
        for domain in 0..self.capacity.len() {
            let members: Vec<usize> = (0..homes.len()).filter(|place| homes[*place] == Some(domain)).collect();
            if members.len() > self.capacity[domain] {
                broken.insert(Constraint::Capacity);
            } else if self.excess(domain, members.iter().copied()) > 0 {
                broken.insert(Constraint::AllowedCpus);
            }
            if members.iter().any(|place| !self.may(*place, domain)) {
                broken.insert(Constraint::AllowedCpus);
            }
        }
        let mut nodes: BTreeMap<GuestId, NodeId> = BTreeMap::new();
        for (vcpu, home) in self.setup.vcpus.iter().zip(&homes) {
            let Some(home) = *home else { continue };
            let node = self.setup.topology.domains()[home].node;
            let bound = self.setup.within_a_node.contains(&vcpu.id.guest);
            if bound && *nodes.entry(vcpu.id.guest).or_insert(node) != node {
                broken.insert(Constraint::WithinANode);
            }
        }
        if self.setup.max_moves.is_some_and(|most| self.bill(placement).moves > most) {
            broken.insert(Constraint::Moves);
        }
        broken.into_iter().collect()
    }

    /// The same problem with one constraint dropped.
    pub(super) fn without(&self, constraint: Constraint) -> Self {
        let mut setup = self.setup.clone();
        match constraint {
            Constraint::Capacity => setup.overcommit = setup.vcpus.len() as f64,
            Constraint::AllowedCpus => setup.vcpus.iter_mut().for_each(|vcpu| vcpu.allowed = None),
            Constraint::WithinANode => setup.within_a_node.clear(),
            Constraint::Moves => setup.max_moves = None,
        }
        // A sound setup stays sound when it asks for less.
        Self::new(setup).unwrap_or_else(|_| self.clone())
    }

    pub(super) fn answer(&self, homes: &[usize], evaluations: u64) -> Answer {
        let named = |(vcpu, home): (&Vcpu, &usize)| (vcpu.id, self.setup.topology.domains()[*home].id);
        let mut placement = Placement(self.setup.vcpus.iter().zip(homes).map(named).collect());
        let present = self.present();
        let broken_before = present.as_ref().map_or(Vec::new(), |present| self.broken(present));
        let before = present.as_ref().map(|present| self.bill(present));
        let mut after = self.bill(&placement);
        if let (Some(stay), Some(bill), true) = (present, before, broken_before.is_empty())
            && bill.cost <= after.cost + 1e-9
        {
            (placement, after) = (stay, bill);
        }
        Answer { placement, before, broken_before, after, evaluations }
    }

    fn homes(&self, placement: &Placement) -> Vec<Option<usize>> {
        let home = |vcpu: &Vcpu| placement.0.get(&vcpu.id).map(|domain| domain.0 as usize);
        self.setup.vcpus.iter().map(home).collect()
    }

    fn members_of(&self, domain: usize, homes: &[Option<usize>]) -> Shared {
        self.shared(domain, (0..homes.len()).filter(|place| homes[*place] == Some(domain)))
    }

    /// What `members` add to the bill, together in `domain`.
    pub(super) fn shared(&self, domain: usize, members: impl Iterator<Item = usize> + Clone) -> Shared {
        let (mut references, mut bytes) = (0.0, 0.0);
        for member in members.clone() {
            references += self.setup.vcpus[member].demand.references_per_cycle;
            bytes += self.setup.vcpus[member].demand.bytes_per_cycle;
        }
        let mut shared = Shared::default();
        for member in members {
            let Vcpu { demand, weight, .. } = &self.setup.vcpus[member];
            let beside = (references - demand.references_per_cycle, bytes - demand.bytes_per_cycle);
            let Slowdown(slowdown) = self.contention[domain].slowdown_beside(demand, beside.0, beside.1);
            shared.total += weight * slowdown;
            shared.worst = shared.worst.max(1.0 + weight * (slowdown - 1.0));
        }
        shared
    }

    /// The cost made of all domains' `shared` and the price of moves.
    pub(super) fn cost(&self, shared: Shared, price: f64) -> f64 {
        let worst_share = self.setup.worst_share;
        (1.0 - worst_share) * shared.total + worst_share * self.weights * shared.worst + price
    }

    /// What it costs that the vCPU at `place` runs in `domain`.
    pub(super) fn price(&self, place: usize, domain: usize) -> f64 {
        if self.moves(place, domain) { self.setup.vcpus[place].weight * self.setup.lost_share_per_move } else { 0.0 }
    }

    /// Whether running in `domain` is a move for the vCPU at `place`.
    pub(super) fn moves(&self, place: usize, domain: usize) -> bool {
        self.setup.vcpus[place].present.is_some_and(|present| present.0 as usize != domain)
    }

    /// Whether the vCPU at `place` may use some CPU of `domain`.
    pub(super) fn may(&self, place: usize, domain: usize) -> bool {
        !self.usable[domain][place].is_empty()
    }

    /// How many of `members` find no room in `domain`.
    pub(super) fn excess(&self, domain: usize, members: impl Iterator<Item = usize> + Clone) -> usize {
        let count = members.clone().count();
        let over = count.saturating_sub(self.capacity[domain]);
        if !self.partly[domain] {
            return over;
        }
        // Each CPU takes so many; a vCPU without one drives others on along a chain that ends at a CPU with room.
        let each = self.setup.overcommit.ceil() as usize;
        let mut taken: Vec<Vec<usize>> = vec![Vec::new(); self.setup.topology.domains()[domain].cpus.len()];
        let seated = members.filter(|member| {
            let mut tried = vec![false; taken.len()];
            seat(*member, &self.usable[domain], each, &mut taken, &mut tried)
        });
        over.max(count - seated.count())
    }
}

/// Finds `vcpu` a CPU with room, moving others on where needed.
fn seat(vcpu: usize, usable: &[Vec<usize>], each: usize, taken: &mut [Vec<usize>], tried: &mut [bool]) -> bool {
    for cpu in &usable[vcpu] {
        if std::mem::replace(&mut tried[*cpu], true) {
            continue;
        }
        if taken[*cpu].len() < each {
            taken[*cpu].push(vcpu);
            return true;
        }
        for slot in 0..taken[*cpu].len() {
            let other = taken[*cpu][slot];
            if seat(other, usable, each, taken, tried) {
                taken[*cpu][slot] = vcpu;
                return true;
            }
        }
    }
    false
}

fn check(setup: &Setup) -> Result<(), SetupError> {
    let wrong =
        |key: String, problem: String, remedy: &str| Err(SetupError { key, problem, remedy: remedy.to_owned() });
    let number = |key: &str, value: f64, least: f64, most: f64| {
        if value.is_finite() && value >= least && value <= most {
            return Ok(());
        }
        let remedy =
            if most.is_finite() { format!("give {least} to {most}") } else { format!("give at least {least}") };
        Err(SetupError { key: key.to_owned(), problem: format!("is {value}"), remedy })
    };
    number("contention.miss_per_hit_time", setup.miss_per_hit_time, 1.0, f64::INFINITY)?;
    number("objective.worst_share", setup.worst_share, 0.0, 1.0)?;
    number("migration", setup.lost_share_per_move, 0.0, f64::INFINITY)?;
    number("constraints.overcommit", setup.overcommit, 1.0, f64::INFINITY)?;
    let domains = setup.topology.domains();
    if setup.memory_bytes_per_cycle.len() != domains.len() {
        return wrong("domains".to_owned(), "not each has its memory".to_owned(), "give one value for each domain");
    }
    for (place, memory) in setup.memory_bytes_per_cycle.iter().enumerate() {
        if memory.is_some_and(|memory| !memory.is_finite() || memory <= 0.0) {
            let key = format!("domains[{place}].memory_bytes_per_cycle");
            return wrong(key, format!("is {}", memory.unwrap_or_default()), "give more than 0, or leave it out");
        }
    }
    if setup.vcpus.is_empty() {
        return wrong("vcpus".to_owned(), "there is nobody to place".to_owned(), "give at least one vCPU");
    }
    let mut seen = BTreeSet::new();
    for (place, vcpu) in setup.vcpus.iter().enumerate() {
        let key = |name: &str| format!("vcpus[{place}].{name}");
        let demand = &vcpu.demand;
        number(&key("demand.references_per_cycle"), demand.references_per_cycle, 0.0, f64::INFINITY)?;
        number(&key("demand.bytes_per_cycle"), demand.bytes_per_cycle, 0.0, f64::INFINITY)?;
        number(&key("demand.cache_sensitivity"), demand.cache_sensitivity, 0.0, f64::INFINITY)?;
        number(&key("demand.bandwidth_sensitivity"), demand.bandwidth_sensitivity, 0.0, f64::INFINITY)?;
        if !vcpu.weight.is_finite() || vcpu.weight <= 0.0 {
            return wrong(key("weight"), format!("is {}", vcpu.weight), "give more than 0");
        }
        if vcpu.present.is_some_and(|present| setup.topology.domain(present).is_none()) {
            return wrong(key("present"), "there is no such domain".to_owned(), "name one of the domains");
        }
        let mut cpus = domains.iter().flat_map(|domain| &domain.cpus);
        if vcpu.allowed.as_ref().is_some_and(|allowed| !cpus.any(|cpu| allowed.contains(cpu))) {
            let remedy = "allow at least one CPU of the domains";
            return wrong(key("cpus"), "it may not run on any CPU that there is".to_owned(), remedy);
        }
        if !seen.insert(vcpu.id) {
            return wrong(key("name"), format!("{} stands there twice", vcpu.id), "leave one out");
        }
    }
    Ok(())
}
