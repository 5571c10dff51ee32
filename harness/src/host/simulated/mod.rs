//! A host made of arithmetic: guests play scripted phases, co-run slowdowns come from a table, time is virtual.
//!
//! For tests of control, journal and policies in milliseconds; its figures are no measurement of anything. A vCPU that
//! is alone in its LLC domain costs what its phase says; each neighbour adds what the script's table says for the two
//! phases at the quantum's start. Progress is in instructions, so interference stretches a phase in time, not in work.
//! The same script, seed and requests give the same samples, bit for bit.
//!
//! [`script`] holds what is played, [`progress`] one vCPU's way through it. Making a script of a mix is the test bed's
//! business.

mod progress;
pub mod script;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use predictor::counters::{Event, GuestId, Sample, VcpuId};
use predictor::placement::{Move, Placement};
use predictor::topology::{DomainId, Topology};

use self::progress::Progress;
use self::script::{KindId, Script, ScriptError, ScriptedGuest};
use super::admission::admit;
use super::{Arrival, GuestEvent, Host, HostError, MoveOutcome, Observation};

/// A host that plays a [`Script`].
#[derive(Debug)]
pub struct SimulatedHost {
    script: Script,
    seed: u64,
    now: Duration,
    placement: Placement,
    running: BTreeMap<VcpuId, Progress>,
}

impl SimulatedHost {
    /// A host at time 0, before anybody has come. `seed` decides the noise, per vCPU, whoever else is there.
    pub fn new(script: Script, seed: u64) -> Result<Self, ScriptError> {
        script.check()?;
        Ok(Self { script, seed, now: Duration::ZERO, placement: Placement::default(), running: BTreeMap::new() })
    }

    /// Where every vCPU that is present runs.
    #[must_use]
    pub fn placement(&self) -> &Placement {
        &self.placement
    }

    fn guests(&self) -> impl Iterator<Item = (GuestId, &ScriptedGuest)> {
        (0..).map(GuestId).zip(&self.script.guests)
    }

    /// Lets in every guest whose time has come by `moment`, who is not here yet and does not leave by `end`.
    fn let_in(&mut self, moment: Duration, end: Duration) -> Vec<Arrival> {
        let stays = |guest: &ScriptedGuest| guest.departs.is_none_or(|departs| departs > end);
        let due = |guest: &ScriptedGuest| guest.arrives <= moment && stays(guest);
        let coming: Vec<(GuestId, String, u32, DomainId)> = self
            .guests()
            .filter(|(id, guest)| due(guest) && !self.running.contains_key(&VcpuId { guest: *id, index: 0 }))
            .map(|(id, guest)| (id, guest.name.clone(), guest.vcpus, guest.domain))
            .collect();
        let mut arrivals = Vec::new();
        for (guest, name, vcpus, wanted) in coming {
            for vcpu in (0..vcpus).map(|index| VcpuId { guest, index }) {
                let domain = self.room_near(wanted);
                self.placement.0.insert(vcpu, domain);
                self.running.insert(vcpu, Progress::new(self.seed, vcpu));
                arrivals.push(Arrival { vcpu, name: name.clone(), domain });
            }
        }
        arrivals
    }

    /// `wanted` if it has a CPU free, else the first domain that has. The script's check makes sure there is one.
    fn room_near(&self, wanted: DomainId) -> DomainId {
        let load = |domain: DomainId| self.placement.0.values().filter(|&&place| place == domain).count();
        let free = |domain: DomainId| load(domain) < self.script.topology.capacity(domain);
        let all = self.script.topology.domains().iter().map(|domain| domain.id);
        std::iter::once(wanted).chain(all).find(|&domain| free(domain)).unwrap_or(wanted)
    }

    /// Lets out every guest that is to have gone by `moment`.
    fn let_out(&mut self, moment: Duration) -> Vec<VcpuId> {
        let gone: BTreeSet<GuestId> = self
            .guests()
            .filter(|(_, guest)| guest.departs.is_some_and(|end| end <= moment))
            .map(|(id, _)| id)
            .collect();
        let leaving: Vec<VcpuId> = self.running.keys().copied().filter(|vcpu| gone.contains(&vcpu.guest)).collect();
        for vcpu in &leaving {
            self.running.remove(vcpu);
            self.placement.0.remove(vcpu);
        }
        leaving
    }

    /// How much longer everything takes each vCPU beside its neighbours than alone, by their phases now.
    fn slowdowns(&self) -> BTreeMap<VcpuId, f64> {
        let now: BTreeMap<VcpuId, (DomainId, KindId)> = self
            .running
            .iter()
            .map(|(vcpu, progress)| (*vcpu, (self.placement.0[vcpu], progress.kind(self.stretches_of(*vcpu)))))
            .collect();
        let slowdown = |(vcpu, (domain, kind)): (&VcpuId, &(DomainId, KindId))| {
            let neighbours = now.iter().filter(|(other, (place, _))| *other != vcpu && place == domain);
            let extra =
                |(_, (_, other)): (&VcpuId, &(DomainId, KindId))| self.script.interference.get(&(*kind, *other));
            (*vcpu, 1.0 + neighbours.filter_map(extra).sum::<f64>())
        };
        now.iter().map(slowdown).collect()
    }

    fn stretches_of(&self, vcpu: VcpuId) -> &[script::Stretch] {
        &self.script.guests[vcpu.guest.0 as usize].stretches
    }
}

impl Host for SimulatedHost {
    fn topology(&self) -> &Topology {
        &self.script.topology
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
        let slowdowns = self.slowdowns();
        let script = &self.script;
        for (vcpu, progress) in &mut self.running {
            let guest = &script.guests[vcpu.guest.0 as usize];
            let played = progress.play(script, &guest.stretches, slowdowns[vcpu], quantum);
            if guest.departs.is_none_or(|departs| departs >= end) {
                let domain = self.placement.0[vcpu];
                let (readings, truth) = (played.readings, played.truth);
                seen.samples.push(Sample { vcpu: *vcpu, domain, elapsed: quantum, readings, truth });
            }
            let completed = |run| GuestEvent::RunCompleted { guest: vcpu.guest, run, checksum: None };
            seen.guest_events.extend(played.completed_runs.map(completed));
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
        let before = self.placement.clone();
        let outcomes = admit(&self.script.topology, &mut self.placement, moves);
        for (vcpu, domain) in &self.placement.0 {
            if before.0[vcpu] != *domain
                && let Some(progress) = self.running.get_mut(vcpu)
            {
                progress.grow_cold(self.script.cold_cycles);
            }
        }
        Ok(outcomes)
    }
}

#[cfg(test)]
mod tests;
