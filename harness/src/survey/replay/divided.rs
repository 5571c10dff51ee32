//! A host whose quanta pass in parts, so that what guests did is known more finely than what a policy sees.
//!
//! Two hosts are compared at equal work, and where a phase begins within a quantum counts do not grow evenly in it: taken for even, the
//! comparison would be off by up to a quantum. Both hosts of a comparison are divided alike.

use std::collections::BTreeSet;
use std::time::Duration;

use predictor::counters::{Event, Reading, Readings, Sample};
use predictor::placement::Move;
use predictor::topology::Topology;

use super::compare::Sums;
use crate::host::{Host, HostError, MoveOutcome, Observation};
use crate::mix::Mix;

/// Most parts of a quantum.
const MOST_PARTS: u32 = 20;

/// `inner` in parts, and the sums of each guest at the end of each part.
pub(super) struct Divided {
    inner: Box<dyn Host>,
    parts: u32,
    sums: Vec<Sums>,
}

impl Divided {
    /// With the guests of `mix` on it, and quanta as long as the mix's.
    pub(super) fn new(inner: Box<dyn Host>, mix: &Mix) -> Self {
        Self { inner, parts: parts_of(mix), sums: vec![Sums::default(); mix.guests.len()] }
    }

    /// What each guest did.
    pub(super) fn into_sums(self) -> Vec<Sums> {
        self.sums
    }
}

impl Host for Divided {
    fn topology(&self) -> &Topology {
        self.inner.topology()
    }

    fn events(&self) -> &BTreeSet<Event> {
        self.inner.events()
    }

    fn advance(&mut self, quantum: Duration) -> Result<Observation, HostError> {
        let part = quantum / self.parts;
        let mut whole: Option<Observation> = None;
        for _ in 0..self.parts {
            let seen = self.inner.advance(part)?;
            for sample in &seen.samples {
                self.sums[sample.vcpu.guest.0 as usize].add(sample)?;
            }
            whole = Some(match whole {
                Some(earlier) => joined(earlier, seen),
                None => seen,
            });
        }
        Ok(whole.unwrap_or_default())
    }

    fn apply(&mut self, moves: &[Move]) -> Result<Vec<MoveOutcome>, HostError> {
        self.inner.apply(moves)
    }
}

/// Parts of a quantum: as many as possible of which each is whole epochs and whole nanoseconds.
pub(super) fn parts_of(mix: &Mix) -> u32 {
    let epochs = mix.quantum_cycles / mix.machine.epoch_cycles();
    let whole = |parts: &u32| {
        epochs.is_multiple_of(u64::from(*parts)) && mix.quantum().as_nanos().is_multiple_of(u128::from(*parts))
    };
    (1..=MOST_PARTS).rev().find(whole).unwrap_or(1)
}

/// Two stretches of time that follow each other as one.
fn joined(earlier: Observation, later: Observation) -> Observation {
    let samples = earlier.samples.into_iter().zip(later.samples).map(|(one, other)| Sample {
        vcpu: one.vcpu,
        domain: other.domain,
        elapsed: one.elapsed + other.elapsed,
        readings: added(&one.readings, &other.readings),
        // Nobody here asks for it.
        address_space: other.address_space,
        truth: other.truth,
    });
    Observation {
        samples: samples.collect(),
        arrivals: [earlier.arrivals, later.arrivals].concat(),
        departures: [earlier.departures, later.departures].concat(),
        guest_events: [earlier.guest_events, later.guest_events].concat(),
    }
}

fn added(one: &Readings, other: &Readings) -> Readings {
    Readings::new(one.iter().map(|(event, reading)| {
        let sum = match (reading, other.get(event)) {
            (Reading::Exact(one), Reading::Exact(other)) => Reading::Exact(one + other),
            // Machines that are emulated estimate nothing.
            _ => Reading::Absent,
        };
        (event, sum)
    }))
}

#[cfg(test)]
mod tests {
    use predictor::counters::{GuestId, VcpuId};
    use predictor::topology::DomainId;

    use super::*;

    #[test]
    fn parts_add_up_to_the_quantum() {
        let part = |instructions| Observation {
            samples: vec![Sample {
                vcpu: VcpuId { guest: GuestId(0), index: 0 },
                domain: DomainId(0),
                elapsed: Duration::from_micros(1),
                readings: Readings::new([(Event::Instructions, Reading::Exact(instructions))]),
                address_space: None,
                truth: None,
            }],
            ..Observation::default()
        };
        let whole = joined(part(3), part(4));
        assert_eq!(whole.samples[0].count(Event::Instructions), Some(7));
        assert_eq!(whole.samples[0].elapsed, Duration::from_micros(2));
    }
}
