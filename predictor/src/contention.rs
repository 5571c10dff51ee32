//! What a phase asks of cache and bandwidth, and how much co-located phases slow each other down.
//!
//! Owns the demands, the interface of all rules that make slowdowns of them, the two simplest rules, and the correction by what is then
//! observed. Which vCPUs to put together is [`crate::placement`]'s business.
//!
//! # Problem
//!
//! Given counters of each phase *alone*, by how much is each vCPU slowed in an LLC domain with the others?
//!
//! # Rules
//!
//! One call, [`Contention::slowdowns`]: demands in, slowdowns out. Which [`Rule`] answers is data of a model:
//!
//! - [`Rule::Additive`], below: sensitivity times intensity. The baseline of the field.
//! - [`Rule::Analytic`]: shared LRU cache and memory queue from miss-ratio curves ([`analytic`]).
//! - [`Rule::Learned`]: products of sensitivity and intensity, weighted as co-runs on a machine taught ([`learned`]).
//! - [`Rule::Di`]: miss rates only (Zhuravlev, Blagodurov, Fedorova, ASPLOS 2010): `1 + u_i * sum of u_j` with `u` the bandwidth
//!   that misses take, as a share of the memory's. The sum over a domain is least where miss rates are spread evenly, which is all
//!   that DI says; its numbers are no slowdowns.
//!
//! A partitioned cache with profiles by ways is another question: [`stalls`].
//!
//! # The additive rule
//!
//! No miss-ratio curves, no queueing below saturation.
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
//! Of every rule, each with a test: alone is exactly 1; a neighbour never helps; a vCPU with no demand hurts nobody.
//!
//! # Correction
//!
//! A phase is shared by programs that differ in CPI and in how much they fear neighbours. [`Calibration`] keeps, for
//! one vCPU in one phase, its CPI alone relative to the model's (learned in quanta where the rule says that neighbours
//! do nothing) and its sensitivity relative to the model's (learned where they do). It works for every rule: each one's excess over 1 is
//! multiplied.

pub mod analytic;
pub mod corun;
pub mod curve;
pub mod experience;
pub mod learned;
pub mod stalls;

use serde::{Deserialize, Serialize};

use self::analytic::SharedLlc;
use self::curve::ShareCurve;
use self::learned::Learned;

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
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
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
    /// What it would do with less of the cache, where somebody measured that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub profile: Option<Profile>,
}

/// What a phase does with less of the LLC.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Profile {
    /// Its miss ratio at each share of the LLC.
    pub miss_ratios: ShareCurve,
    /// How unevenly its lines fall into sets: 1 as by chance, 0 each set its share ([`analytic`]).
    pub dispersion: f64,
    /// Cycles that one more miss costs, where it was run with less cache as well.
    pub cycles_per_extra_miss: Option<f64>,
}

/// What contention depends on beside the phases: learned once for a machine.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Contention {
    /// Time of an LLC miss in times of an LLC hit: `p` above; at least 1.
    pub miss_per_hit_time: f64,
    /// What the memory behind one LLC domain gives, in bytes per cycle, if known.
    pub memory_bytes_per_cycle: Option<f64>,
    /// How slowdowns are made.
    #[serde(default, skip_serializing_if = "Rule::is_additive")]
    pub rule: Rule,
}

/// How demands become slowdowns.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Rule {
    /// Sensitivity times intensity.
    #[default]
    Additive,
    /// Shared cache and memory queue, from miss-ratio curves.
    Analytic(SharedLlc),
    /// Products of sensitivity and intensity, weighted by co-runs.
    Learned(Learned),
    /// Miss rates only.
    Di,
}

impl Rule {
    /// The name used in files, tables and messages.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Rule::Additive => "additive",
            Rule::Analytic(_) => "analytic",
            Rule::Learned(_) => "learned",
            Rule::Di => "di",
        }
    }

    const fn is_additive(&self) -> bool {
        matches!(self, Rule::Additive)
    }
}

/// Where a demand's miss-ratio curve comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum CurveSource {
    /// No part of it was measured: it is guessed from counters alone.
    #[default]
    Estimated,
    /// Some phases that the demand is made of were measured, others guessed.
    PartlyMeasured,
    /// Measured.
    Measured,
}

/// What one vCPU asks of its domain in the coming quantum, per cycle of running alone. May be the mean over several
/// phases it may be in.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Demand {
    /// LLC references per cycle.
    pub references_per_cycle: f64,
    /// Bytes to and from memory per cycle.
    pub bytes_per_cycle: f64,
    /// Cycles lost if all LLC hits became misses, per cycle alone.
    pub cache_sensitivity: f64,
    /// Cycles spent waiting for memory itself, per cycle alone.
    pub bandwidth_sensitivity: f64,
    /// LLC misses per cycle.
    pub misses_per_cycle: f64,
    /// Cycles that one more miss costs.
    pub cycles_per_extra_miss: f64,
    /// Cycles that each miss costs more for each cycle that memory takes longer.
    pub latency_exposure: f64,
    /// By how much its sensitivity differs from its phase's.
    pub sensitivity: f64,
    /// Miss ratio by the share of the LLC.
    pub curve: ShareCurve,
    /// Where that comes from.
    pub curve_source: CurveSource,
    /// How unevenly its lines fall into sets: 1 as by chance, 0 each set its share.
    pub dispersion: f64,
}

impl Default for Demand {
    /// Asks for nothing.
    fn default() -> Self {
        Self {
            references_per_cycle: 0.0,
            bytes_per_cycle: 0.0,
            cache_sensitivity: 0.0,
            bandwidth_sensitivity: 0.0,
            misses_per_cycle: 0.0,
            cycles_per_extra_miss: 0.0,
            latency_exposure: 0.0,
            sensitivity: 1.0,
            curve: ShareCurve::default(),
            curve_source: CurveSource::Estimated,
            dispersion: 1.0,
        }
    }
}

impl Demand {
    /// The mean of demands, each with its probability. What is per reference or miss is weighted by these.
    #[must_use]
    pub fn expected(parts: impl IntoIterator<Item = (f64, Demand)>) -> Self {
        let parts: Vec<(f64, Demand)> = parts.into_iter().collect();
        if let [(1.0, certain)] = parts.as_slice() {
            return *certain;
        }
        let sum = |of: &dyn Fn(&Demand) -> f64| parts.iter().map(|(share, part)| share * of(part)).sum::<f64>();
        let mean = |of: &dyn Fn(&Demand) -> f64, weight: &dyn Fn(&Demand) -> f64, nothing: f64| {
            let weights = sum(weight);
            if weights > 0.0 { sum(&|part| weight(part) * of(part)) / weights } else { nothing }
        };
        let references = |part: &Demand| part.references_per_cycle;
        let curves = parts.iter().map(|(share, part)| (share * part.references_per_cycle, part.curve));
        let sources = || parts.iter().filter(|(share, part)| share * part.references_per_cycle > 0.0);
        let (least, most) = sources()
            .fold((CurveSource::Measured, CurveSource::Estimated), |(least, most), (_, part)| {
                (least.min(part.curve_source), most.max(part.curve_source))
            });
        Demand {
            references_per_cycle: sum(&references),
            bytes_per_cycle: sum(&|part| part.bytes_per_cycle),
            cache_sensitivity: sum(&|part| part.cache_sensitivity),
            bandwidth_sensitivity: sum(&|part| part.bandwidth_sensitivity),
            misses_per_cycle: sum(&|part| part.misses_per_cycle),
            cycles_per_extra_miss: mean(&|part| part.cycles_per_extra_miss, &references, 0.0),
            latency_exposure: mean(&|part| part.latency_exposure, &|part| part.misses_per_cycle, 0.0),
            sensitivity: mean(&|part| part.sensitivity, &|_| 1.0, 1.0),
            curve: ShareCurve::mean(curves).unwrap_or_default(),
            curve_source: if least == most { least } else { CurveSource::PartlyMeasured },
            dispersion: mean(&|part| part.dispersion, &references, 1.0),
        }
    }
}

impl Contention {
    /// The additive rule, with these two numbers.
    #[must_use]
    pub const fn additive(miss_per_hit_time: f64, memory_bytes_per_cycle: Option<f64>) -> Self {
        Self { miss_per_hit_time, memory_bytes_per_cycle, rule: Rule::Additive }
    }

    /// What a vCPU in a phase of `pressure` asks for.
    #[must_use]
    pub fn demand(&self, pressure: &Pressure, calibration: &Calibration) -> Demand {
        let misses = pressure.llc_misses_per_kilo_instruction;
        let hits = (pressure.llc_references_per_kilo_instruction - misses).max(0.0);
        let weight = hits + self.miss_per_hit_time * misses;
        let stalls = if weight > 0.0 { pressure.stall_share / weight } else { 0.0 };
        let kilo_instructions_per_cycle = 1e-3 / (pressure.cycles_per_instruction * calibration.alone_cpi_ratio);
        let demand = Demand {
            references_per_cycle: pressure.llc_references_per_kilo_instruction * kilo_instructions_per_cycle,
            bytes_per_cycle: pressure.memory_bytes_per_kilo_instruction * kilo_instructions_per_cycle,
            cache_sensitivity: calibration.sensitivity * stalls * (self.miss_per_hit_time - 1.0) * hits,
            bandwidth_sensitivity: calibration.sensitivity * stalls * self.miss_per_hit_time * misses,
            misses_per_cycle: misses * kilo_instructions_per_cycle,
            sensitivity: calibration.sensitivity,
            ..Demand::default()
        };
        match &self.rule {
            Rule::Analytic(llc) => llc.demand(demand, pressure, self.memory_bytes_per_cycle),
            Rule::Additive | Rule::Learned(_) | Rule::Di => demand,
        }
    }

    /// How much each of a domain's members is slowed, in their order; what was in `out` is dropped.
    pub fn slowdowns(&self, members: &[Demand], out: &mut Vec<Slowdown>) {
        out.clear();
        self.tell_each(members.iter().map(|member| ((), *member)), |(), slowdown| out.push(slowdown));
    }

    /// Tells of each of a domain's members, in their order, how much it is slowed. Rules that need no more than sums are
    /// answered without copying anybody.
    pub fn tell_each<Who>(
        &self,
        members: impl Iterator<Item = (Who, Demand)> + Clone,
        mut tell: impl FnMut(Who, Slowdown),
    ) {
        match &self.rule {
            Rule::Analytic(llc) => {
                let demands: Vec<Demand> = members.clone().map(|(_, demand)| demand).collect();
                let told = analytic::slowdowns(&demands, llc, self.memory_bytes_per_cycle);
                members.zip(told).for_each(|((who, _), slowdown)| tell(who, Slowdown(slowdown)));
            }
            Rule::Additive | Rule::Learned(_) | Rule::Di => {
                let sum = members.clone().fold(Intensity::default(), |sum, (_, demand)| sum.with(&demand));
                members.for_each(|(who, demand)| tell(who, self.slowdown_among(&demand, &sum.without(&demand))));
            }
        }
    }

    /// How much a vCPU is slowed by neighbours in its LLC domain.
    #[must_use]
    pub fn slowdown<'a>(&self, own: &Demand, neighbours: impl IntoIterator<Item = &'a Demand>) -> Slowdown {
        match &self.rule {
            Rule::Analytic(llc) => {
                let members: Vec<Demand> = std::iter::once(*own).chain(neighbours.into_iter().copied()).collect();
                Slowdown(analytic::slowdowns(&members, llc, self.memory_bytes_per_cycle)[0])
            }
            Rule::Additive | Rule::Learned(_) | Rule::Di => {
                self.slowdown_among(own, &Intensity::of(neighbours.into_iter()))
            }
        }
    }

    /// How much a vCPU is slowed, by the additive rule, by neighbours that ask for so much together.
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

    /// How much a vCPU is slowed by neighbours of this intensity, by a rule that needs no more.
    #[inline]
    fn slowdown_among(&self, own: &Demand, neighbours: &Intensity) -> Slowdown {
        match &self.rule {
            Rule::Learned(learned) => learned.slowdown(own, neighbours),
            Rule::Di => {
                let capacity = self.memory_bytes_per_cycle.unwrap_or(1.0) / LINE_BYTES;
                let (own_share, others) = (own.misses_per_cycle / capacity, neighbours.misses_per_cycle / capacity);
                Slowdown(1.0 + own.sensitivity * own_share * others)
            }
            Rule::Additive | Rule::Analytic(_) => {
                self.slowdown_beside(own, neighbours.references_per_cycle, neighbours.bytes_per_cycle)
            }
        }
    }
}

/// Bytes of a cache line.
const LINE_BYTES: f64 = 64.0;

/// What neighbours do to a vCPU, as far as sums say.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub(crate) struct Intensity {
    pub(crate) references_per_cycle: f64,
    pub(crate) bytes_per_cycle: f64,
    pub(crate) misses_per_cycle: f64,
}

impl Intensity {
    fn of<'a>(members: impl Iterator<Item = &'a Demand>) -> Self {
        members.fold(Self::default(), |sum, member| sum.with(member))
    }

    fn with(self, member: &Demand) -> Self {
        Self {
            references_per_cycle: self.references_per_cycle + member.references_per_cycle,
            bytes_per_cycle: self.bytes_per_cycle + member.bytes_per_cycle,
            misses_per_cycle: self.misses_per_cycle + member.misses_per_cycle,
        }
    }

    /// What is left of a sum without one of its terms is never negative, and exactly 0 for a lone member.
    fn without(&self, member: &Demand) -> Self {
        Self {
            references_per_cycle: (self.references_per_cycle - member.references_per_cycle).max(0.0),
            bytes_per_cycle: (self.bytes_per_cycle - member.bytes_per_cycle).max(0.0),
            misses_per_cycle: (self.misses_per_cycle - member.misses_per_cycle).max(0.0),
        }
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
pub(crate) mod tests;
