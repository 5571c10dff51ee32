//! A simulated host whose samples are of the coming quantum in place of the one that passed: foresight as perfect, or as
//! wrong, as one likes. For the question how good a forecast must be before acting on it pays.
//!
//! A reactive policy takes the coming quantum to be like its samples. Handed what *will* be counted if nobody moves, it acts
//! on a perfect forecast, with everything else (model, placement, hysteresis, calibration) as ever: no hook in the policy is
//! needed, and none can leak the future into another one. The future comes from a copy of the host that is let go on for a
//! quantum. Guests, moves and costs are the host's own.
//!
//! Two ways to be wrong, each with a probability of its own for each vCPU and quantum: any sample may be one of another phase
//! of the same guest ([`Foresight::Wrong`]), or the sample of a quantum in which the phase changes may be left as it was
//! ([`Foresight::Late`]), which is what last value does at every change.

use std::collections::BTreeSet;
use std::time::Duration;

use predictor::counters::{Event, Sample, VcpuId};
use predictor::placement::Move;
use predictor::topology::Topology;
use rand::Rng;
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;

use super::simulated::SimulatedHost;
use super::simulated::script::KindId;
use super::{Host, HostError, MoveOutcome, Observation};

/// How well the coming quantum is known.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Foresight {
    /// Each forecast is, with this probability, of another phase of the same guest, any of them alike.
    Wrong(f64),
    /// Each change of phase is, with this probability, seen only when it is over.
    Late(f64),
}

impl Foresight {
    /// Nothing is wrong.
    pub const PERFECT: Foresight = Foresight::Wrong(0.0);
}

/// A simulated host that tells of the future.
#[derive(Debug)]
pub struct ForetoldHost {
    host: SimulatedHost,
    foresight: Foresight,
    rng: ChaCha8Rng,
}

impl ForetoldHost {
    /// `host` with this foresight; `seed` decides which forecasts are wrong.
    #[must_use]
    pub fn new(host: SimulatedHost, foresight: Foresight, seed: u64) -> Self {
        Self { host, foresight, rng: ChaCha8Rng::seed_from_u64(seed) }
    }

    /// The host that was told of.
    #[must_use]
    pub fn into_host(self) -> SimulatedHost {
        self.host
    }

    /// What is told of `vcpu` in place of `past`, where `future` will be seen if nobody moves.
    fn told(&mut self, past: Sample, future: Option<Sample>, quantum: Duration) -> Sample {
        let Some(future) = future else { return past };
        let vcpu = past.vcpu;
        match self.foresight {
            Foresight::Wrong(share) if self.rng.gen_bool(share) => self.another(past, vcpu, quantum),
            Foresight::Late(share) if self.is_changing(vcpu, quantum) && self.rng.gen_bool(share) => past,
            _ => future,
        }
    }

    fn is_changing(&self, vcpu: VcpuId, quantum: Duration) -> bool {
        self.host.kind_ahead(vcpu, quantum / 2) != self.host.past_kind(vcpu)
    }

    /// A sample of a phase that will not come, without cycles: nobody learns from it what neighbours cost.
    fn another(&mut self, past: Sample, vcpu: VcpuId, quantum: Duration) -> Sample {
        let coming = self.host.kind_ahead(vcpu, quantum / 2);
        let others: Vec<KindId> = self.host.kinds_of(vcpu).into_iter().filter(|kind| Some(*kind) != coming).collect();
        if others.is_empty() {
            return past;
        }
        let kind = others[self.rng.gen_range(0..others.len())];
        let cycles = quantum.as_secs_f64() * self.host.script().hardware.frequency_hz as f64;
        Sample { readings: self.host.script().kinds[kind.0].unplaced_readings(cycles), ..past }
    }
}

impl Host for ForetoldHost {
    fn topology(&self) -> &Topology {
        self.host.topology()
    }

    fn events(&self) -> &BTreeSet<Event> {
        self.host.events()
    }

    fn advance(&mut self, quantum: Duration) -> Result<Observation, HostError> {
        let mut seen = self.host.advance(quantum)?;
        let future = self.host.clone().advance(quantum)?.samples;
        let find = |vcpu| future.binary_search_by_key(&vcpu, |sample: &Sample| sample.vcpu).ok();
        let past = std::mem::take(&mut seen.samples);
        for sample in past {
            let coming = find(sample.vcpu).map(|place| future[place].clone());
            let told = self.told(sample, coming, quantum);
            seen.samples.push(told);
        }
        Ok(seen)
    }

    fn apply(&mut self, moves: &[Move]) -> Result<Vec<MoveOutcome>, HostError> {
        self.host.apply(moves)
    }
}

#[cfg(test)]
mod tests {
    use machine::spec::Machine;
    use predictor::counters::PhaseMark;
    use predictor::topology::DomainId;

    use super::*;
    use crate::host::simulated::hardware::Hardware;
    use crate::host::simulated::script::{PhaseKind, Script, ScriptedGuest, Stretch};
    use crate::host::simulated::sharing::Sharing;

    const QUANTUM: Duration = Duration::from_millis(5);

    fn host() -> SimulatedHost {
        let mut rng = ChaCha8Rng::seed_from_u64(1);
        let kinds = PhaseKind::one_of_each(&mut rng);
        let stretch = |kind: usize| Stretch {
            kind: KindId(kind),
            instructions: (30e6 / kinds[kind].cycles_per_instruction) as u64,
            truth: Some(PhaseMark(kind as u32)),
        };
        let guest = |number: u32| ScriptedGuest {
            name: format!("guest-{number}"),
            vcpus: 1,
            domain: DomainId(number % 2),
            cpu: None,
            stretches: [0, 1, 2].map(stretch).into(),
            arrives: Duration::ZERO,
            departs: None,
        };
        let script = Script {
            hardware: Hardware::of_machine(&Machine::preset("small-2x2").expect("it comes with the program")),
            events: Event::ALL.into(),
            sharing: Sharing::Model,
            guests: (0..3).map(guest).collect(),
            noise: 0.02,
            kinds,
        };
        SimulatedHost::new(script, 1).expect("sound")
    }

    #[test]
    fn what_is_foretold_is_what_comes() {
        let (mut foretold, mut plain) = (ForetoldHost::new(host(), Foresight::PERFECT, 1), host());
        plain.advance(QUANTUM).expect("no fault");
        for _ in 0..20 {
            let told = foretold.advance(QUANTUM).expect("no fault").samples;
            assert_eq!(told, plain.advance(QUANTUM).expect("no fault").samples);
        }
    }

    #[test]
    fn with_every_change_late_nothing_is_told_but_the_past_at_changes() {
        let (mut foretold, mut plain) = (ForetoldHost::new(host(), Foresight::Late(1.0), 1), host());
        for _ in 0..20 {
            let told = foretold.advance(QUANTUM).expect("no fault").samples;
            let past = plain.advance(QUANTUM).expect("no fault").samples;
            for (told, past) in told.iter().zip(&past) {
                if plain.kind_ahead(past.vcpu, QUANTUM / 2) != plain.past_kind(past.vcpu) {
                    assert_eq!(told, past);
                }
            }
        }
    }

    #[test]
    fn a_wrong_forecast_is_of_another_phase_of_the_same_guest_and_teaches_nothing() {
        let mut foretold = ForetoldHost::new(host(), Foresight::Wrong(1.0), 1);
        for _ in 0..20 {
            let told = foretold.advance(QUANTUM).expect("no fault").samples;
            for sample in told {
                assert_eq!(sample.count(Event::Cycles), None);
                let kinds = &foretold.host.script().kinds;
                let rate = sample.count(Event::Loads).expect("told") as f64
                    / sample.count(Event::Instructions).expect("told") as f64;
                let coming = foretold.host.kind_ahead(sample.vcpu, QUANTUM / 2).expect("present");
                assert!((rate - kinds[coming.0].loads / 1000.0).abs() > 1e-6);
            }
        }
    }
}
