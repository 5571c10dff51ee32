//! What recorded guests do with less of the LLC: what the analytic rule of contention needs beside counters.
//!
//! Owns the two replays of a guest alone, with the whole LLC and with a quarter of it, and what is made of them and of the guest's
//! stream: for each quantum ([`quanta`]), or for each phase of a trained model ([`with_profiles`]). On a real host the second replay is a run
//! with cache allocation (resctrl) and the curve what such runs give at a few sizes.

use machine::spec::{LINE_BYTES, Machine};
use machine::stream::Stream;
use predictor::contention::analytic;
use predictor::contention::curve::{POINTS, ShareCurve, shares};
use predictor::contention::{Calibration, Contention, Demand, Pressure, Profile, Rule};
use predictor::counters::{Event, Sample};
use predictor::features::Observed;
use predictor::miss_ratio::{Curve, Sampling};
use predictor::model::{Model, ModelParts};
use predictor::phases::PhaseId;
use predictor::train;
use serde::{Deserialize, Serialize};

use super::{CurvesError, Phases, Pieces, follow};
use crate::host::HostError;
use crate::interrupt::Interrupt;
use crate::machines;
use crate::mix::Mix;
use crate::testbed::TestBed;

/// Share of lines that are followed.
const FOLLOWED: f64 = 0.1;

/// The second replay has the LLC divided by this.
const DIVIDED: usize = 4;

/// More misses per instruction than this, in the smaller LLC, tell what a miss costs.
const TELLING: f64 = 2e-4;

/// One quantum of a guest alone.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Quantum {
    /// Work done in it.
    pub instructions: f64,
    /// Time it took.
    pub nanoseconds: f64,
    /// Of that, time in which the guest ran.
    pub running_nanoseconds: f64,
    /// What it asked for.
    pub pressure: Pressure,
}

/// The quanta of guest `index` of `mix`, alone on the mix's machine.
pub fn quanta(
    bed: &TestBed,
    mix: &Mix,
    index: usize,
    quanta: u64,
    interrupt: &Interrupt,
) -> Result<Vec<Quantum>, CurvesError> {
    let guest = Alone::replay(bed, mix, index, quanta, interrupt)?;
    let contention = machines::contention(&mix.machine);
    let place = |place: usize| Some(PhaseId(u32::try_from(place).unwrap_or(u32::MAX)));
    let pieces = guest.pieces(|at, _| place(at))?;
    let curves = guest.curves(&mix.machine, &pieces)?;
    let mut answer = Vec::new();
    for (at, sample) in guest.samples.iter().enumerate() {
        let mut pressure = train::pressure(std::iter::once(sample), contention.miss_per_hit_time);
        let mut cost = Cost::default();
        cost.add(guest.extra(at)?);
        let found = curves.iter().find(|(phase, _)| phase.0 as usize == at);
        pressure.profile = found.map(|(_, curve)| profile(&contention, &pressure, curve, cost));
        let cycles = count(sample, Event::Cycles)?;
        let idle = sample.count(Event::IdleCycles).unwrap_or(0) as f64;
        let nanoseconds = sample.elapsed.as_nanos() as f64;
        answer.push(Quantum {
            instructions: count(sample, Event::Instructions)?,
            nanoseconds,
            running_nanoseconds: nanoseconds * cycles / (cycles + idle).max(1.0),
            pressure,
        });
    }
    Ok(answer)
}

/// `model` with what each of its phases does with less of the LLC, from the guests of `mix`, and with the analytic rule. A phase in which none
/// of them ever was keeps an estimate.
pub fn with_profiles(
    bed: &TestBed,
    model: &Model,
    mix: &Mix,
    quanta: u64,
    interrupt: &Interrupt,
) -> Result<Model, CurvesError> {
    let mut parts: ModelParts = model.parts().clone();
    let contention = machines::contention(&mix.machine);
    let phases = parts.phases.len();
    let mut curves: Vec<Vec<(f64, ShareCurve)>> = vec![Vec::new(); phases];
    let mut costs = vec![Cost::default(); phases];
    for index in 0..mix.guests.len() {
        let guest = Alone::replay(bed, mix, index, quanta, interrupt)?;
        let phase_of = |sample: &Sample| match parts.phases.features.observe(sample) {
            Observed::Active(vector) => Some(parts.phases.classify(&vector).phase),
            Observed::Idle | Observed::Missing(_) => None,
        };
        let pieces = guest.pieces(|_, sample| phase_of(sample))?;
        for (phase, curve) in guest.curves(&mix.machine, &pieces)? {
            curves[phase.index()].push((curve.references as f64, share_curve(&curve)));
        }
        for (at, sample) in guest.samples.iter().enumerate() {
            if let Some(phase) = phase_of(sample) {
                costs[phase.index()].add(guest.extra(at)?);
            }
        }
    }
    for ((pressure, curves), cost) in parts.pressures.iter_mut().zip(curves).zip(costs) {
        pressure.profile = ShareCurve::mean(curves.into_iter()).map(|curve| fitted(&contention, pressure, curve, cost));
    }
    parts.contention.rule = contention.rule;
    Model::new(parts).map_err(|error| CurvesError::Train { guest: mix.name.clone(), source: error.into() })
}

/// `model` with the analytic rule and no curves: what each phase does with less of the LLC is estimated from its counters.
#[must_use]
pub fn without_profiles(model: &Model, machine: &Machine) -> Model {
    let mut parts: ModelParts = model.parts().clone();
    parts.pressures.iter_mut().for_each(|pressure| pressure.profile = None);
    parts.contention.rule = machines::contention(machine).rule;
    Model::new(parts).expect("a checked model of a checked machine")
}

/// A guest replayed alone twice.
struct Alone {
    name: String,
    stream: std::sync::Arc<Stream>,
    samples: Vec<Sample>,
    /// Instructions, cycles and misses up to the end of each quantum, in the smaller LLC.
    small: Vec<[f64; 3]>,
}

/// What more misses cost, summed over what was run twice.
#[derive(Debug, Clone, Copy, Default)]
struct Cost {
    instructions: f64,
    misses: f64,
    cycles: f64,
}

impl Cost {
    fn add(&mut self, more: Option<Cost>) {
        if let Some(more) = more {
            self.instructions += more.instructions;
            self.misses += more.misses;
            self.cycles += more.cycles;
        }
    }

    fn per_miss(self) -> Option<f64> {
        (self.misses > TELLING * self.instructions && self.instructions > 0.0)
            .then(|| (self.cycles / self.misses).max(0.0))
    }
}

impl Alone {
    fn replay(bed: &TestBed, mix: &Mix, index: usize, quanta: u64, interrupt: &Interrupt) -> Result<Self, CurvesError> {
        let alone = mix.alone(index).expect("one of its guests");
        let samples = played(bed, &alone, quanta, interrupt)?;
        let small = Mix { machine: divided(&mix.machine), ..alone.clone() };
        let mut sums = [0.0; 3];
        let mut path = vec![sums];
        for sample in played(bed, &small, quanta, interrupt)? {
            for (sum, event) in sums.iter_mut().zip([Event::Instructions, Event::Cycles, Event::LlcMisses]) {
                *sum += count(&sample, event)?;
            }
            path.push(sums);
        }
        let recorded = bed.record(&[&alone], quanta, None, interrupt, &|_| ())?;
        let recording = recorded.first().ok_or_else(|| HostError {
            action: format!("read the stream of \"{}\"", alone.name),
            reason: "only the replayed host has streams".to_owned(),
        })?;
        Ok(Self { name: alone.name, stream: std::sync::Arc::clone(&recording.stream), samples, small: path })
    }

    fn pieces(&self, phase: impl Fn(usize, &Sample) -> Option<PhaseId>) -> Result<Pieces, CurvesError> {
        let mut position = 0;
        let mut pieces = Vec::new();
        for (at, sample) in self.samples.iter().enumerate() {
            position += count(sample, Event::Instructions)? as u64;
            pieces.push((position, phase(at, sample)));
        }
        Ok(Pieces::new(pieces))
    }

    fn curves(&self, machine: &Machine, pieces: &Pieces) -> Result<Vec<(PhaseId, Curve)>, CurvesError> {
        let lines = machine.llc().lines() as f64;
        let sizes = shares().map(|share| (share * lines).round() as u64 * LINE_BYTES);
        let sampling = Sampling::of(FOLLOWED).expect("a share");
        let ratios = follow(&self.stream, Phases::Learned(pieces), &sizes, sampling)?;
        let keys: Vec<u32> = ratios.phases().filter(|key| *key > 0).collect();
        Ok(keys.into_iter().filter_map(|key| Some((PhaseId(key - 1), ratios.curve(key)?))).collect())
    }

    /// What the work of quantum `at` cost more in the smaller LLC; `None` if that run did not come so far.
    fn extra(&self, at: usize) -> Result<Option<Cost>, CurvesError> {
        let mut start = 0.0;
        for sample in &self.samples[..at] {
            start += count(sample, Event::Instructions)?;
        }
        let sample = &self.samples[at];
        let instructions = count(sample, Event::Instructions)?;
        let (Some(before), Some(after)) = (self.small_at(start), self.small_at(start + instructions)) else {
            return Ok(None);
        };
        let more = |part: usize, event: Event| Ok::<_, CurvesError>(after[part] - before[part] - count(sample, event)?);
        let (cycles, misses) = (more(1, Event::Cycles)?, more(2, Event::LlcMisses)?);
        Ok((misses > TELLING * instructions).then_some(Cost { instructions, misses, cycles }))
    }

    /// The sums of the smaller LLC's run after so much work, linear within a quantum.
    fn small_at(&self, instructions: f64) -> Option<[f64; 3]> {
        let next = self.small.partition_point(|sums| sums[0] < instructions);
        let right = self.small.get(next)?;
        let Some(left) = next.checked_sub(1).map(|place| self.small[place]) else { return Some(*right) };
        let share = (instructions - left[0]) / (right[0] - left[0]);
        Some(std::array::from_fn(|part| left[part] + share * (right[part] - left[part])))
    }
}

impl std::fmt::Debug for Alone {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(out, "{} alone, {} quanta", self.name, self.samples.len())
    }
}

fn played(bed: &TestBed, alone: &Mix, quanta: u64, interrupt: &Interrupt) -> Result<Vec<Sample>, CurvesError> {
    let mut host = bed.launch(alone, quanta, None, interrupt, &|_| ())?;
    let mut samples = Vec::new();
    for _ in 0..quanta {
        interrupt.check()?;
        samples.extend(host.advance(alone.quantum())?.samples);
    }
    Ok(samples)
}

fn count(sample: &Sample, event: Event) -> Result<f64, CurvesError> {
    sample.count(event).map(|count| count as f64).ok_or_else(|| {
        let action = "profile a guest".to_owned();
        CurvesError::Host(HostError { action, reason: format!("its host did not count {}", event.name()) })
    })
}

/// The same machine with a quarter of the LLC, of a quarter of the ways.
fn divided(machine: &Machine) -> Machine {
    let mut table: toml::Table = machine.text().parse().expect("a checked machine was read from TOML");
    if let Some(llc) = table.get_mut("llc").and_then(toml::Value::as_table_mut) {
        let ways = machine.llc().ways;
        let left = (ways / DIVIDED).max(1);
        llc.insert("ways".to_owned(), toml::Value::Integer(left as i64));
        let size_kib = (machine.llc().bytes() >> 10) as i64 * left as i64 / ways as i64;
        llc.insert("size_kib".to_owned(), toml::Value::Integer(size_kib));
    }
    Machine::from_toml(&table.to_string()).expect("fewer ways of as many sets are sound")
}

fn share_curve(curve: &Curve) -> ShareCurve {
    let mut least = 1.0f32;
    let ratios = std::array::from_fn::<f32, POINTS, _>(|place| {
        least = least.min(curve.miss_ratios.get(place).map_or(1.0, |ratio| *ratio as f32).clamp(0.0, 1.0));
        least
    });
    ShareCurve::new(ratios).unwrap_or_default()
}

fn profile(contention: &Contention, pressure: &Pressure, curve: &Curve, cost: Cost) -> Profile {
    fitted(contention, pressure, share_curve(curve), cost)
}

/// The profile whose dispersion gives the misses counted.
fn fitted(contention: &Contention, pressure: &Pressure, miss_ratios: ShareCurve, cost: Cost) -> Profile {
    let cycles_per_extra_miss = cost.per_miss();
    let profile = Profile { miss_ratios, dispersion: 1.0, cycles_per_extra_miss };
    let pressure = Pressure { profile: Some(profile), ..*pressure };
    let demand: Demand = contention.demand(&pressure, &Calibration::default());
    match &contention.rule {
        Rule::Analytic(llc) => Profile { dispersion: analytic::dispersion(&demand, llc), ..profile },
        _ => profile,
    }
}
