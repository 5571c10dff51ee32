//! A host made of arithmetic: guests play scripted phases, co-run slowdowns come from a table or from the contention model,
//! time is virtual.
//!
//! For tests of control, journal and policies in milliseconds, and for sweeps over what no machine can be set to. What it
//! says is arithmetic from what it was told; none of its figures is a measurement of anything.
//!
//! # What slows a vCPU down
//!
//! Alone on its core, in its LLC domain, near its memory, each instruction takes what its phase's profile says. Everything
//! else multiplies:
//!
//! - neighbours in the LLC domain, by the kinds of phases that all are in at that moment ([`sharing`]);
//! - hardware threads of the same core, for as much of the time as they are busy, by a stated factor;
//! - memory on another node, for the share of time in which it waits for memory, by a stated factor: memory stays where the
//!   vCPU started;
//! - several vCPUs on one CPU have it for an equal share of the time each and are never there together; nothing is charged
//!   for the switch.
//!
//! After a move a vCPU does nothing for as long as it takes to fetch from memory what its phase keeps in the LLC. Progress is
//! in instructions, so all this stretches a phase in time, not in work.
//!
//! # How time passes
//!
//! LLC domains do not touch each other within a quantum. In each, time goes from event to event (a phase ends, a cache is warm
//! again), and slowdowns are worked out again only where somebody came, went or changed phase:
//!
//! ```text
//! for each domain, until the quantum is over
//!     if somebody came, went or changed phase: slowdowns of its members
//!     step = the time to the first event of any member, or to the end
//!     each member does its work of step
//! ```
//!
//! The same script, seed and requests give the same samples, bit for bit.
//!
//! [`script`] holds what is played, [`hardware`] on what, [`profiles`] where kinds come from; `progress` is one vCPU's way,
//! `cpus` who sits where. Making a script of a mix is the test bed's business.

mod cpus;
pub mod hardware;
pub mod profiles;
mod progress;
pub mod script;
pub mod sharing;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use predictor::contention::Calibration;
use predictor::counters::{Event, GuestId, VcpuId};
use predictor::placement::{Move, Placement};
use predictor::topology::{DomainId, Topology};

use self::cpus::Cpus;
use self::progress::{Claims, Pace, Vcpu};
use self::script::{KindId, PhaseKind, Script, ScriptError, ScriptedGuest};
use self::sharing::{Member, Shares};
use super::admission::admit;
use super::{Arrival, GuestEvent, Host, HostError, MoveOutcome, Observation};

/// A host that plays a [`Script`]. A copy goes on as the original would.
#[derive(Debug, Clone)]
pub struct SimulatedHost {
    script: Arc<Script>,
    seed: u64,
    now: Duration,
    claims: Claims,
    shares: Shares,
    /// For each kind, the share of its cycles in which it waits for memory itself.
    memory_share: Vec<f64>,
    cpus: Cpus,
    placement: Placement,
    /// Who is present, in the order of ids.
    vcpus: Vec<Vcpu>,
    /// Guests that have not come yet, and those present that will go.
    waiting: Vec<usize>,
    leaving: Vec<usize>,
    /// By domain, the places of its vCPUs, and whether their slowdowns are to be worked out.
    members: Vec<Vec<usize>>,
    stale: Vec<bool>,
    scratch: (Vec<Member>, Vec<f64>),
}

impl SimulatedHost {
    /// A host at time 0, before anybody has come. `seed` decides the noise, per vCPU, whoever else is there.
    pub fn new(script: Script, seed: u64) -> Result<Self, ScriptError> {
        script.check()?;
        let contention = &script.hardware.contention;
        let waits = |kind: &PhaseKind| {
            contention.demand(&kind.pressure(), &Calibration::default()).bandwidth_sensitivity.clamp(0.0, 1.0)
        };
        let domains = script.hardware.topology.domains().len();
        Ok(Self {
            seed,
            now: Duration::ZERO,
            claims: Event::ALL.map(|event| script.events.contains(&event)),
            shares: Shares::new(&script.sharing, &script.kinds, contention),
            memory_share: script.kinds.iter().map(waits).collect(),
            cpus: Cpus::new(&script.hardware),
            placement: Placement::default(),
            vcpus: Vec::new(),
            waiting: (0..script.guests.len()).collect(),
            leaving: Vec::new(),
            members: vec![Vec::new(); domains],
            stale: vec![true; domains],
            scratch: (Vec::new(), Vec::new()),
            script: Arc::new(script),
        })
    }

    /// What is played.
    #[must_use]
    pub fn script(&self) -> &Script {
        &self.script
    }

    /// Where every vCPU that is present runs.
    #[must_use]
    pub fn placement(&self) -> &Placement {
        &self.placement
    }

    /// For each vCPU that is present, in the order of ids: the time that what it did so far would have taken alone, on a core
    /// and in an LLC domain of its own.
    pub fn alone_times(&self) -> impl Iterator<Item = (VcpuId, Duration)> + '_ {
        let hertz = self.script.hardware.frequency_hz as f64;
        self.vcpus.iter().map(move |vcpu| (vcpu.id, Duration::from_secs_f64(vcpu.alone_cycles / hertz)))
    }

    /// The truth about the future: the kind of phase that a vCPU will be in when `ahead` has passed, if it goes on as fast as it
    /// does now. For whoever is to be told what no policy can know.
    #[must_use]
    pub fn kind_ahead(&self, vcpu: VcpuId, ahead: Duration) -> Option<KindId> {
        let found = self.vcpu(vcpu)?;
        let stretches = &self.script.guests[found.guest].stretches;
        Some(found.kind_after(&self.script.kinds, stretches, self.cycles_in(ahead)))
    }

    /// The kind of phase that a vCPU was in when the last quantum began.
    #[must_use]
    pub fn past_kind(&self, vcpu: VcpuId) -> Option<KindId> {
        self.vcpu(vcpu).map(|vcpu| vcpu.past_kind())
    }

    /// All kinds of phases that a vCPU's guest goes through; none of a guest that is not here.
    #[must_use]
    pub fn kinds_of(&self, vcpu: VcpuId) -> BTreeSet<KindId> {
        let stretches = self.vcpu(vcpu).map_or([].as_slice(), |vcpu| &self.script.guests[vcpu.guest].stretches);
        stretches.iter().map(|stretch| stretch.kind).collect()
    }

    fn vcpu(&self, id: VcpuId) -> Option<&Vcpu> {
        Some(&self.vcpus[self.vcpus.binary_search_by_key(&id, |vcpu| vcpu.id).ok()?])
    }

    fn cycles_in(&self, time: Duration) -> f64 {
        (time.as_secs_f64() * self.script.hardware.frequency_hz as f64).round()
    }

    /// Lets in every guest whose time has come by `moment`, who is not here yet and does not leave by `end`.
    fn let_in(&mut self, moment: Duration, end: Duration) -> Vec<Arrival> {
        let mut arrivals = Vec::new();
        if self.waiting.is_empty() {
            return arrivals;
        }
        let guests = &self.script.guests;
        let stays = |guest: &ScriptedGuest| guest.departs.is_none_or(|departs| departs > end);
        let due = |place: &usize| guests[*place].arrives <= moment && stays(&guests[*place]);
        let (coming, waiting) = self.waiting.iter().partition(|place| due(place));
        self.waiting = waiting;
        for place in coming {
            self.seat(place, &mut arrivals);
        }
        if !arrivals.is_empty() {
            self.vcpus.sort_by_key(|vcpu| vcpu.id);
            self.regroup();
            self.stale.fill(true);
        }
        arrivals
    }

    fn seat(&mut self, place: usize, arrivals: &mut Vec<Arrival>) {
        let guest = &self.script.guests[place];
        if guest.departs.is_some() {
            self.leaving.push(place);
        }
        let id = GuestId(u32::try_from(place).expect("few guests"));
        for id in (0..guest.vcpus).map(|index| VcpuId { guest: id, index }) {
            let domain = self.room_near(guest.domain);
            let named = guest.cpu.filter(|_| domain == guest.domain && id.index == 0);
            let cpu = self.cpus.sit(domain, named);
            let home = self.script.hardware.topology.domains()[domain.0 as usize].node;
            self.vcpus.push(Vcpu::new(self.seed, id, &guest.stretches, (domain, cpu, home)));
            self.placement.0.insert(id, domain);
            arrivals.push(Arrival { vcpu: id, name: guest.name.clone(), domain });
        }
    }

    /// `wanted` if it has a CPU free, else the first domain that has. The script's check makes sure there is one.
    fn room_near(&self, wanted: DomainId) -> DomainId {
        let topology = &self.script.hardware.topology;
        let free = |domain: DomainId| self.cpus.load(domain) < topology.capacity(domain);
        let all = topology.domains().iter().map(|domain| domain.id);
        std::iter::once(wanted).chain(all).find(|&domain| free(domain)).unwrap_or(wanted)
    }

    /// Lets out every guest that is to have gone by `moment`.
    fn let_out(&mut self, moment: Duration) -> Vec<VcpuId> {
        let guests = &self.script.guests;
        let is_over = |place: &usize| guests[*place].departs.is_some_and(|end| end <= moment);
        let (gone, leaving): (Vec<usize>, Vec<usize>) = self.leaving.iter().partition(|place| is_over(place));
        if gone.is_empty() {
            return Vec::new();
        }
        self.leaving = leaving;
        let mut left = Vec::new();
        self.vcpus.retain(|vcpu| {
            let stays = !gone.contains(&vcpu.guest);
            if !stays {
                self.cpus.leave(vcpu.cpu);
                self.placement.0.remove(&vcpu.id);
                left.push(vcpu.id);
            }
            stays
        });
        self.regroup();
        self.stale.fill(true);
        left
    }

    /// Lists the members of each domain again.
    fn regroup(&mut self) {
        self.members.iter_mut().for_each(Vec::clear);
        for (place, vcpu) in self.vcpus.iter().enumerate() {
            self.members[vcpu.domain.0 as usize].push(place);
        }
    }

    /// Works out the pace of everybody in a domain.
    fn weigh(&mut self, domain: usize) {
        let (members, slowdowns) = &mut self.scratch;
        let script = &self.script;
        members.clear();
        members.extend(self.members[domain].iter().map(|place| {
            let vcpu = &self.vcpus[*place];
            let kind = vcpu.kind(&script.guests[vcpu.guest].stretches);
            Member { kind, cpu: vcpu.cpu, share: self.cpus.share(vcpu.cpu) }
        }));
        self.shares.slowdowns(members, slowdowns);
        let node = script.hardware.topology.domains()[domain].node;
        for ((place, own), crowding) in self.members[domain].iter().zip(&*members).zip(&*slowdowns) {
            let vcpu = &mut self.vcpus[*place];
            let beside = |other: &&Member| other.cpu != own.cpu && self.cpus.same_core(other.cpu, own.cpu);
            let busy = |other: &Member| other.share * (1.0 - script.kinds[other.kind.0].idle_share);
            let siblings =
                if self.cpus.is_threaded(own.cpu) { members.iter().filter(beside).map(busy).sum() } else { 0.0 };
            let core = 1.0 + (script.hardware.sibling_slowdown - 1.0) * siblings;
            let away = if vcpu.home == node { 0.0 } else { script.hardware.remote_share };
            let memory = 1.0 + away * self.memory_share[own.kind.0];
            vcpu.set_pace(Pace { share: own.share, crowding: *crowding, slowdown: crowding * core * memory });
        }
        self.stale[domain] = false;
    }

    /// Lets a quantum pass in one domain.
    fn play(&mut self, domain: usize, total_cycles: f64) {
        let mut left = total_cycles;
        while left > 0.0 {
            if self.stale[domain] {
                self.weigh(domain);
            }
            let (kinds, guests) = (&self.script.kinds, &self.script.guests);
            let members = &self.members[domain];
            let to_event =
                |place: &usize| self.vcpus[*place].cycles_to_event(kinds, &guests[self.vcpus[*place].guest].stretches);
            let step = members.iter().map(to_event).fold(left, f64::min);
            for place in members {
                let vcpu = &mut self.vcpus[*place];
                self.stale[domain] |= vcpu.pass(step, kinds, &guests[vcpu.guest].stretches);
            }
            left -= step;
        }
    }
}

impl Host for SimulatedHost {
    fn topology(&self) -> &Topology {
        &self.script.hardware.topology
    }

    fn events(&self) -> &BTreeSet<Event> {
        &self.script.events
    }

    fn advance(&mut self, quantum: Duration) -> Result<Observation, HostError> {
        if quantum.is_zero() {
            let action = "let a quantum of no time pass on the simulated host".to_owned();
            return Err(HostError { action, reason: "a quantum is longer than 0".to_owned() });
        }
        let mut seen = Observation { arrivals: self.let_in(self.now, self.now), ..Observation::default() };
        let end = self.now + quantum;
        let total_cycles = self.cycles_in(quantum);
        for vcpu in &mut self.vcpus {
            vcpu.begin_quantum(&self.script.guests[vcpu.guest].stretches, self.script.noise);
        }
        for domain in 0..self.members.len() {
            if !self.members[domain].is_empty() {
                self.play(domain, total_cycles);
            }
        }
        seen.samples.reserve_exact(self.vcpus.len());
        for vcpu in &self.vcpus {
            if self.script.guests[vcpu.guest].departs.is_none_or(|departs| departs >= end) {
                seen.samples.push(vcpu.sample(quantum, total_cycles, &self.claims));
            }
            let completed = |run| GuestEvent::RunCompleted { guest: vcpu.id.guest, run, checksum: None };
            seen.guest_events.extend(vcpu.completed().map(completed));
        }
        seen.departures = self.let_out(end);
        // Who comes during the quantum has its first sample at the end of the next; who comes at its very end is the
        // next quantum's arrival.
        seen.arrivals.extend(self.let_in(end.saturating_sub(Duration::from_nanos(1)), end));
        seen.arrivals.sort_by_key(|arrival| arrival.vcpu);
        self.now = end;
        Ok(seen)
    }

    fn apply(&mut self, moves: &[Move]) -> Result<Vec<MoveOutcome>, HostError> {
        let outcomes = admit(&self.script.hardware.topology, &mut self.placement, moves);
        let done = |outcome: &&MoveOutcome| outcome.refusal.is_none() && outcome.requested.from != outcome.requested.to;
        let place = |vcpu| self.vcpus.binary_search_by_key(&vcpu, |vcpu| vcpu.id).expect("it was admitted");
        let moved: Vec<(usize, DomainId)> =
            outcomes.iter().filter(done).map(|outcome| (place(outcome.requested.vcpu), outcome.requested.to)).collect();
        if moved.is_empty() {
            return Ok(outcomes);
        }
        // All at once: everybody stands up before anybody sits down.
        for (place, _) in &moved {
            self.cpus.leave(self.vcpus[*place].cpu);
        }
        for (place, to) in moved {
            let vcpu = &mut self.vcpus[place];
            let kind = &self.script.kinds[vcpu.kind(&self.script.guests[vcpu.guest].stretches).0];
            self.stale[vcpu.domain.0 as usize] = true;
            self.stale[to.0 as usize] = true;
            vcpu.domain = to;
            vcpu.cpu = self.cpus.sit(to, None);
            vcpu.grow_cold(self.script.hardware.refill_cycles as f64 * kind.footprint_share);
        }
        self.regroup();
        Ok(outcomes)
    }
}

#[cfg(test)]
mod tests;
