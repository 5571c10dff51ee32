//! Guests that run together, quantum by quantum, under a rule of contention: how long their work would take.
//!
//! Each guest goes through its quanta as it had them alone. In each stretch in which nobody's quantum ends the demands of all are constant, so are the
//! slowdowns, and everybody's work goes on at its pace under them. That is what a whole-run mean cannot do: phases that never meet do not slow
//! each other down.

use std::collections::BTreeMap;

use predictor::contention::{Calibration, Contention, Demand, Slowdown};

use crate::curves::profile::Quantum;

/// A guest's quanta alone, with what is asked in each.
#[derive(Debug, Clone)]
pub(super) struct Track {
    quanta: Vec<Quantum>,
    demands: Vec<Demand>,
}

impl Track {
    /// What the guest asks in each quantum.
    pub(super) fn by_quantum(quanta: &[Quantum], contention: &Contention) -> Self {
        let demand = |quantum: &Quantum| contention.demand(&quantum.pressure, &Calibration::default());
        Self { quanta: quanta.to_vec(), demands: quanta.iter().map(demand).collect() }
    }

    /// What the guest asks on average, in each quantum.
    pub(super) fn on_average(quanta: &[Quantum], contention: &Contention) -> Self {
        let track = Self::by_quantum(quanta, contention);
        let share = 1.0 / track.quanta.len().max(1) as f64;
        let mean = Demand::expected(track.demands.iter().map(|demand| (share, *demand)));
        Self { demands: vec![mean; track.quanta.len()], ..track }
    }

    /// Time that the first so many instructions took alone.
    fn alone(&self, mut instructions: f64) -> f64 {
        let mut nanoseconds = 0.0;
        for quantum in &self.quanta {
            let share = (instructions / quantum.instructions.max(1.0)).min(1.0);
            nanoseconds += share * quantum.nanoseconds;
            instructions -= share * quantum.instructions;
        }
        nanoseconds
    }
}

/// Where one guest is.
#[derive(Debug, Clone, Copy, Default)]
struct Place {
    quantum: usize,
    /// Share of the quantum's work that is done.
    done: f64,
    instructions: f64,
}

/// How many times as long as alone each guest takes for the work that it does within so much time together.
pub(super) fn slowdowns(tracks: &[&Track], contention: &Contention, nanoseconds: f64) -> Vec<f64> {
    let mut known: BTreeMap<Vec<usize>, Vec<Slowdown>> = BTreeMap::new();
    let mut places = vec![Place::default(); tracks.len()];
    let mut left = nanoseconds;
    while left > 1.0 && tracks.iter().zip(&places).all(|(track, place)| place.quantum < track.quanta.len()) {
        let key: Vec<usize> = places.iter().map(|place| place.quantum).collect();
        let slowdowns = known.entry(key).or_insert_with(|| {
            let demands: Vec<Demand> =
                tracks.iter().zip(&places).map(|(track, place)| track.demands[place.quantum]).collect();
            let mut out = Vec::new();
            contention.slowdowns(&demands, &mut out);
            out
        });
        // How long each one's quantum takes here.
        let lasts: Vec<f64> = tracks
            .iter()
            .zip(&places)
            .zip(slowdowns.iter())
            .map(|((track, place), Slowdown(slowdown))| {
                let quantum = &track.quanta[place.quantum];
                quantum.nanoseconds + quantum.running_nanoseconds * (slowdown - 1.0)
            })
            .collect();
        let ends = lasts.iter().zip(&places).map(|(lasts, place)| lasts * (1.0 - place.done));
        let step = ends.fold(left, f64::min);
        left -= step;
        for ((place, track), lasts) in places.iter_mut().zip(tracks).zip(&lasts) {
            let share = step / lasts;
            place.instructions += share * track.quanta[place.quantum].instructions;
            place.done += share;
            if place.done >= 1.0 - 1e-9 {
                (place.quantum, place.done) = (place.quantum + 1, 0.0);
            }
        }
    }
    let took = nanoseconds - left;
    tracks.iter().zip(&places).map(|(track, place)| took / track.alone(place.instructions).max(1.0)).collect()
}

#[cfg(test)]
mod tests {
    use predictor::contention::Pressure;

    use super::*;

    fn quantum(references: f64, stall_share: f64) -> Quantum {
        let pressure = Pressure {
            llc_references_per_kilo_instruction: references,
            cycles_per_instruction: 1.0,
            stall_share,
            ..Pressure::default()
        };
        Quantum { instructions: 1000.0, nanoseconds: 100.0, running_nanoseconds: 100.0, pressure }
    }

    /// Both wait 20 % of their time, for hits alone, and each loses half of them: 0.2 x 4 / 2, that is 1.4 times as long, while
    /// both are at it. The other starts with a quantum of arithmetic, in which nobody is slowed.
    #[test]
    fn phases_that_do_not_meet_do_not_slow_each_other_down() {
        let contention = Contention::additive(5.0, None);
        let (busy, calm) = (quantum(10.0, 0.2), quantum(0.0, 0.0));
        let one = Track::by_quantum(&[busy, busy, busy], &contention);
        let other = Track::by_quantum(&[calm, busy, busy], &contention);
        let slowed = slowdowns(&[&one, &other], &contention, 240.0);
        // 100 ns alone for the first quantum, then 100 ns of work in 140.
        for slowed in slowed {
            assert!((slowed - 240.0 / 200.0).abs() < 1e-9, "{slowed}");
        }
        let alone = slowdowns(&[&one], &contention, 250.0);
        assert!((alone[0] - 1.0).abs() < 1e-12);
    }

    #[test]
    fn the_mean_of_a_run_is_the_same_in_each_quantum() {
        let contention = Contention::additive(5.0, None);
        let track = Track::on_average(&[quantum(10.0, 0.2), quantum(0.0, 0.0)], &contention);
        assert_eq!(track.demands[0], track.demands[1]);
        assert!((track.demands[0].references_per_cycle - 0.005).abs() < 1e-12);
    }
}
