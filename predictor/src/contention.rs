//! What a phase asks of cache and bandwidth, and how much co-located phases slow each other down.
//!
//! Owns the one estimate of co-run slowdown that every policy shares, and its correction by what is then observed.
//! Which vCPUs to put together is [`crate::placement`]'s business.
//!
//! # Problem
//!
//! Given counters of each phase *alone*, by how much is vCPU `i` slowed in an LLC domain with the vCPUs `J`?
//!
//! # Model
//!
//! Sensitivity times intensity, added over two resources. It is the baseline of the field, not the last word: no
//! miss-ratio curves, no queueing below saturation.
//!
//! ```text
//! slowdown(i | J) = 1 + cache(i) * r(J) / (r(i) + r(J)) + bandwidth(i) * overload
//! ```
//!
//! - `r`: LLC references per cycle, alone. Caches near LRU give lines to those who reference most, so the neighbours'
//!   share of all references is the share of its cache hits that `i` loses.
//! - `cache(i)`: cycles that `i` would lose if all its hits became misses, as a share of its cycles alone:
//!   `stall * (p - 1) h / (h + p m)` with `stall` the share of cycles it waits for memory, `h` and `m` its LLC hits and
//!   misses alone, `p` how much longer a miss takes than a hit. Using its own stalls accounts for how well the phase
//!   hides latency, without a word about memory-level parallelism.
//! - `bandwidth(i) = stall * p m / (h + p m)`: the share of cycles in which it waits for memory itself.
//! - `overload`: by how much the demands for bytes, together, exceed what the domain's memory gives, beyond what `i`
//!   exceeds alone; 0 where the bandwidth is not known.
//!
//! # Properties
//!
//! Alone is exactly 1. A neighbour never helps, and never hurts a vCPU that does not wait for memory. A vCPU with no
//! demand hurts nobody.
//!
//! # Correction
//!
//! A phase is shared by programs that differ in CPI and in how much they fear neighbours. [`Calibration`] keeps, for
//! one vCPU in one phase, its CPI alone relative to the model's (learned in quanta where the model says that neighbours
//! do nothing) and its sensitivity relative to the model's (learned where they do).

pub mod stalls;

use serde::{Deserialize, Serialize};

/// How much slower than alone, in time for the same work: 1.0 = alone, 2.0 = half speed. Never below 1.
#[derive(Debug, Clone, Copy, PartialEq, PartialOrd, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Slowdown(pub f64);

impl Slowdown {
    /// Not slowed at all.
    pub const NONE: Slowdown = Slowdown(1.0);
}

impl std::fmt::Display for Slowdown {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(out, "{:.2}x", self.0)
    }
}

/// What a phase does alone, per 1000 instructions: the mean over its quanta in training.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Pressure {
    /// References to the LLC.
    pub llc_references_per_kilo_instruction: f64,
    /// References that missed it, with all of it to itself.
    pub llc_misses_per_kilo_instruction: f64,
    /// Bytes to and from memory.
    pub memory_bytes_per_kilo_instruction: f64,
    /// Cycles per instruction.
    pub cycles_per_instruction: f64,
    /// Share of cycles in which the core waited for memory, in [0, 1].
    pub stall_share: f64,
}

/// What contention depends on beside the phases: learned once for a machine.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Contention {
    /// Time of an LLC miss in times of an LLC hit: `p` above; at least 1.
    pub miss_per_hit_time: f64,
    /// What the memory behind one LLC domain gives, in bytes per cycle, if known.
    pub memory_bytes_per_cycle: Option<f64>,
}

/// What one vCPU asks of its domain in the coming quantum, per cycle of running alone. May be the mean over several
/// phases it may be in.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Demand {
    /// LLC references per cycle.
    pub references_per_cycle: f64,
    /// Bytes to and from memory per cycle.
    pub bytes_per_cycle: f64,
    /// Cycles lost if all LLC hits became misses, per cycle alone.
    pub cache_sensitivity: f64,
    /// Cycles spent waiting for memory itself, per cycle alone.
    pub bandwidth_sensitivity: f64,
}

impl Demand {
    /// The mean of demands, each with its probability.
    #[must_use]
    pub fn expected(parts: impl IntoIterator<Item = (f64, Demand)>) -> Self {
        parts.into_iter().fold(Demand::default(), |sum, (share, part)| Demand {
            references_per_cycle: sum.references_per_cycle + share * part.references_per_cycle,
            bytes_per_cycle: sum.bytes_per_cycle + share * part.bytes_per_cycle,
            cache_sensitivity: sum.cache_sensitivity + share * part.cache_sensitivity,
            bandwidth_sensitivity: sum.bandwidth_sensitivity + share * part.bandwidth_sensitivity,
        })
    }
}

impl Contention {
    /// What a vCPU in a phase of `pressure` asks for.
    #[must_use]
    pub fn demand(&self, pressure: &Pressure, calibration: &Calibration) -> Demand {
        let misses = pressure.llc_misses_per_kilo_instruction;
        let hits = (pressure.llc_references_per_kilo_instruction - misses).max(0.0);
        let weight = hits + self.miss_per_hit_time * misses;
        let stalls = if weight > 0.0 { pressure.stall_share / weight } else { 0.0 };
        let kilo_instructions_per_cycle = 1e-3 / (pressure.cycles_per_instruction * calibration.alone_cpi_ratio);
        Demand {
            references_per_cycle: pressure.llc_references_per_kilo_instruction * kilo_instructions_per_cycle,
            bytes_per_cycle: pressure.memory_bytes_per_kilo_instruction * kilo_instructions_per_cycle,
            cache_sensitivity: calibration.sensitivity * stalls * (self.miss_per_hit_time - 1.0) * hits,
            bandwidth_sensitivity: calibration.sensitivity * stalls * self.miss_per_hit_time * misses,
        }
    }

    /// How much a vCPU is slowed by neighbours in its LLC domain.
    #[must_use]
    pub fn slowdown<'a>(&self, own: &Demand, neighbours: impl IntoIterator<Item = &'a Demand>) -> Slowdown {
        let (mut references, mut bytes) = (0.0, 0.0);
        for neighbour in neighbours {
            references += neighbour.references_per_cycle;
            bytes += neighbour.bytes_per_cycle;
        }
        self.slowdown_beside(own, references, bytes)
    }

    /// The sum of the slowdowns of all vCPUs of one domain; 0 for an empty one.
    #[must_use]
    pub fn domain_cost(&self, members: impl Iterator<Item = Demand> + Clone) -> f64 {
        let all = |rate: fn(&Demand) -> f64| members.clone().map(|member| rate(&member)).sum::<f64>();
        let (references, bytes) = (all(|member| member.references_per_cycle), all(|member| member.bytes_per_cycle));
        // What is left of a sum without one of its terms is never negative, and exactly 0 for a lone member.
        let cost = |own: Demand| {
            self.slowdown_beside(&own, references - own.references_per_cycle, bytes - own.bytes_per_cycle).0
        };
        members.clone().map(cost).sum()
    }

    /// How much a vCPU is slowed by neighbours that ask for so much together.
    #[must_use]
    #[inline]
    pub fn slowdown_beside(&self, own: &Demand, references_per_cycle: f64, bytes_per_cycle: f64) -> Slowdown {
        let all = own.references_per_cycle + references_per_cycle;
        let lost_hits = if all > 0.0 { references_per_cycle / all } else { 0.0 };
        let overload = self.memory_bytes_per_cycle.map_or(0.0, |capacity| {
            let excess = |bytes: f64| (bytes / capacity - 1.0).max(0.0);
            excess(own.bytes_per_cycle + bytes_per_cycle) - excess(own.bytes_per_cycle)
        });
        Slowdown(1.0 + own.cache_sensitivity * lost_hits + own.bandwidth_sensitivity * overload)
    }
}

/// What was learned about one vCPU in one phase, relative to the model's mean.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Calibration {
    /// Its CPI alone, in units of the phase's.
    pub alone_cpi_ratio: f64,
    /// Its sensitivity to neighbours, in units of the phase's.
    pub sensitivity: f64,
}

impl Default for Calibration {
    fn default() -> Self {
        Self { alone_cpi_ratio: 1.0, sensitivity: 1.0 }
    }
}

impl Calibration {
    /// Weight of each new quantum.
    const RATE: f64 = 0.2;
    /// A predicted excess below this tells nothing about sensitivity, and counts as running alone.
    const ALONE_EXCESS: f64 = 0.02;
    /// Bounds of what one quantum may claim.
    const SENSITIVITY: (f64, f64) = (0.0, 4.0);
    const CPI_RATIO: (f64, f64) = (0.25, 4.0);

    /// A quantum passed at `observed_cpi` in a phase of `pressure` beside `neighbours`. Not for the first quantum after
    /// a move or a phase change, whose cold caches are nobody's pressure.
    pub fn learn(&mut self, contention: &Contention, pressure: &Pressure, observed_cpi: f64, neighbours: &[Demand]) {
        let unit = Calibration { sensitivity: 1.0, ..*self };
        let Slowdown(predicted) = contention.slowdown(&contention.demand(pressure, &unit), neighbours);
        let relative = observed_cpi / pressure.cycles_per_instruction;
        let excess = predicted - 1.0;
        if excess < Self::ALONE_EXCESS {
            let (least, most) = Self::CPI_RATIO;
            self.alone_cpi_ratio += Self::RATE * (relative.clamp(least, most) - self.alone_cpi_ratio);
        } else {
            let (least, most) = Self::SENSITIVITY;
            let claimed = (relative / self.alone_cpi_ratio - 1.0) / excess;
            self.sensitivity += Self::RATE * (claimed.clamp(least, most) - self.sensitivity);
        }
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use proptest::prelude::*;

    use super::*;

    pub(crate) const CONTENTION: Contention = Contention { miss_per_hit_time: 6.0, memory_bytes_per_cycle: Some(4.0) };

    /// A pointer chase that just fits the LLC alone.
    pub(crate) const CHASE: Pressure = Pressure {
        llc_references_per_kilo_instruction: 150.0,
        llc_misses_per_kilo_instruction: 0.5,
        memory_bytes_per_kilo_instruction: 32.0,
        cycles_per_instruction: 7.0,
        stall_share: 0.9,
    };

    /// A stream through memory.
    pub(crate) const STREAM: Pressure = Pressure {
        llc_references_per_kilo_instruction: 60.0,
        llc_misses_per_kilo_instruction: 60.0,
        memory_bytes_per_kilo_instruction: 3840.0,
        cycles_per_instruction: 1.2,
        stall_share: 0.5,
    };

    /// Arithmetic in registers.
    pub(crate) const COMPUTE: Pressure = Pressure {
        llc_references_per_kilo_instruction: 0.0,
        llc_misses_per_kilo_instruction: 0.0,
        memory_bytes_per_kilo_instruction: 0.0,
        cycles_per_instruction: 0.5,
        stall_share: 0.0,
    };

    pub(crate) fn demand(pressure: &Pressure) -> Demand {
        CONTENTION.demand(pressure, &Calibration::default())
    }

    fn any_demand() -> impl Strategy<Value = Demand> {
        (0.0f64..0.1, 0.0f64..8.0, 0.0f64..5.0, 0.0f64..1.0).prop_map(
            |(references_per_cycle, bytes_per_cycle, cache_sensitivity, bandwidth_sensitivity)| Demand {
                references_per_cycle,
                bytes_per_cycle,
                cache_sensitivity,
                bandwidth_sensitivity,
            },
        )
    }

    #[test]
    fn a_chase_suffers_from_a_stream_and_not_from_arithmetic() {
        let slowed = CONTENTION.slowdown(&demand(&CHASE), [&demand(&STREAM)]);
        assert!(slowed.0 > 2.0, "{slowed}");
        assert_eq!(CONTENTION.slowdown(&demand(&CHASE), [&demand(&COMPUTE)]), Slowdown::NONE);
        assert_eq!(CONTENTION.slowdown(&demand(&COMPUTE), [&demand(&STREAM)]), Slowdown::NONE);
    }

    proptest! {
        #[test]
        fn a_lone_guest_is_not_slowed(own in any_demand()) {
            prop_assert_eq!(CONTENTION.slowdown(&own, []), Slowdown::NONE);
            prop_assert_eq!(CONTENTION.domain_cost([own].into_iter()), 1.0);
        }

        #[test]
        fn a_domain_costs_the_sum_of_its_slowdowns(members in prop::collection::vec(any_demand(), 0..6)) {
            let others = |place: usize| members.iter().enumerate().filter(move |(other, _)| *other != place);
            let slowdown = |place: usize| CONTENTION.slowdown(&members[place], others(place).map(|(_, other)| other)).0;
            let sum: f64 = (0..members.len()).map(slowdown).sum();
            prop_assert!((CONTENTION.domain_cost(members.iter().copied()) - sum).abs() < 1e-9);
        }

        #[test]
        fn a_neighbour_never_helps(
            own in any_demand(), beside in prop::collection::vec(any_demand(), 0..4), one_more in any_demand()
        ) {
            let fewer = CONTENTION.slowdown(&own, &beside);
            let more = CONTENTION.slowdown(&own, beside.iter().chain([&one_more]));
            prop_assert!(more.0 >= fewer.0 - 1e-12);
        }

        #[test]
        fn a_neighbour_without_demand_changes_nothing(own in any_demand()) {
            prop_assert_eq!(CONTENTION.slowdown(&own, [&Demand::default()]), Slowdown::NONE);
        }

        #[test]
        fn calibration_finds_the_true_sensitivity_and_cpi(
            sensitivity in 0.1f64..3.5, ratio in 0.5f64..2.0
        ) {
            let truth = Calibration { alone_cpi_ratio: ratio, sensitivity };
            let beside = [demand(&STREAM)];
            let alone_cpi = CHASE.cycles_per_instruction * ratio;
            let own = CONTENTION.demand(&CHASE, &truth);
            let slowed_cpi = alone_cpi * CONTENTION.slowdown(&own, &beside).0;
            let mut learned = Calibration::default();
            for _ in 0..60 {
                learned.learn(&CONTENTION, &CHASE, alone_cpi, &[]);
                learned.learn(&CONTENTION, &CHASE, slowed_cpi, &beside);
            }
            prop_assert!((learned.alone_cpi_ratio / ratio - 1.0).abs() < 0.02, "{learned:?} for {truth:?}");
            prop_assert!((learned.sensitivity / sensitivity - 1.0).abs() < 0.05, "{learned:?} for {truth:?}");
        }
    }
}
