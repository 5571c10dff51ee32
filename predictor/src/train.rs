//! From samples to a model.
//!
//! Owns learning everything a [`Model`] holds from vCPUs that ran alone. Running them, and reading their samples from
//! traces, is the harness's business.
//!
//! # Steps
//!
//! 1. The features are those that every sample has counters for.
//! 2. Phases are clusters of the active samples of all series together ([`PhaseModel::fit`]).
//! 3. A phase's pressure is the ratio of sums over its samples, so that long quanta weigh more than short ones. Samples
//!    are of vCPUs running alone, hence CPI, misses and stalls are those without neighbours.
//! 4. Transitions and run lengths are counted within each series. The last run of a series is not counted: nobody saw
//!    its end. Idle quanta and quanta without counters are left out, and a run goes on across them.
//! 5. Numeric forecasts learn online; a model holds their settings only.
//! 6. What the machine does not say about contention is taken from the samples (the bandwidth: the most that any
//!    sample drew) or from [`DEFAULT_MISS_PER_HIT_TIME`].

mod scores;

use std::collections::BTreeSet;
use std::ops::RangeInclusive;

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;

use crate::contention::{Contention, Pressure};
use crate::counters::{Event, Sample};
use crate::features::{FeatureSet, FeatureVector, Keep, Observed};
use crate::forecast::markov::TransitionCounts;
use crate::forecast::run_length::RunLengths;
use crate::model::{Machine, Model, ModelError, ModelParts, Provenance};
use crate::numeric::NumericSettings;
use crate::phases::{Backend, PhaseId, PhaseModel, PhaseSettings};

pub use self::scores::scores;

/// How much longer an LLC miss takes than a hit, where the machine does not say: 240 cycles against 40.
pub const DEFAULT_MISS_PER_HIT_TIME: f64 = 6.0;

/// Bytes of a cache line, where bytes from memory are only known as lines.
const LINE_BYTES: f64 = 64.0;

/// One vCPU's run alone, quantum by quantum.
#[derive(Debug, Clone, PartialEq)]
pub struct Series {
    /// What ran, for messages and provenance; up to the first blank it is the program, the rest its input.
    pub name: String,
    /// Its samples, in order.
    pub samples: Vec<Sample>,
}

/// How to train.
#[derive(Debug, Clone, PartialEq)]
pub struct TrainSettings {
    /// Numbers of phases to try.
    pub phases: RangeInclusive<usize>,
    /// Starts of the clustering for each of them.
    pub restarts: usize,
    /// Principal components that phases are told apart by; `None` for the features themselves.
    pub components: Option<Keep>,
    /// Active samples below which nothing is learned.
    pub least_samples: usize,
    /// Seed of the clustering.
    pub seed: u64,
}

impl Default for TrainSettings {
    fn default() -> Self {
        Self { phases: 1..=12, restarts: 8, components: None, least_samples: 20, seed: 1 }
    }
}

/// Why nothing was learned.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum TrainError {
    /// The samples lack what a model cannot do without.
    #[error("failed to train: no sample of {series} counts all of {}; record it on a host that does", names(.lacking))]
    EventsLacking {
        /// The first series without.
        series: String,
        /// What it lacks.
        lacking: Vec<Event>,
    },
    /// Less than anything can be learned from.
    #[error("failed to train: {found} samples of vCPUs at work, at least {needed} are needed; record longer runs")]
    TooFewSamples {
        /// Active samples in all series.
        found: usize,
        /// What was asked for.
        needed: usize,
    },
    /// What was learned makes no sense.
    #[error("failed to train: {0}")]
    Unsound(#[from] ModelError),
}

fn names(events: &[Event]) -> String {
    events.iter().map(|event| event.name()).collect::<Vec<_>>().join(", ")
}

/// What every model is computed from, beside the features.
const NEEDED: [Event; 4] = [Event::Instructions, Event::Cycles, Event::LlcReferences, Event::LlcMisses];

/// Learns a model from vCPUs that ran alone on `machine`.
pub fn train(series: &[Series], machine: &Machine, settings: &TrainSettings) -> Result<Model, TrainError> {
    let features = common_features(series)?;
    let paths: Vec<Vec<(&Sample, FeatureVector)>> = series.iter().map(|series| active(series, &features)).collect();
    let vectors: Vec<FeatureVector> = paths.iter().flatten().map(|(_, vector)| vector.clone()).collect();
    if vectors.len() < settings.least_samples.max(1) {
        return Err(TrainError::TooFewSamples { found: vectors.len(), needed: settings.least_samples.max(1) });
    }
    let rng = ChaCha8Rng::seed_from_u64(settings.seed);
    let clustering = PhaseSettings {
        backend: Backend::Own,
        counts: settings.phases.clone(),
        restarts: settings.restarts,
        components: settings.components,
    };
    let phases = PhaseModel::fit(features, &vectors, &clustering, &rng);
    let labelled: Vec<Vec<(PhaseId, &Sample)>> = paths
        .iter()
        .map(|path| path.iter().map(|(sample, vector)| (phases.classify(vector).phase, *sample)).collect())
        .collect();
    let of = |phase| labelled.iter().flatten().filter(move |(label, _)| *label == phase).map(|(_, sample)| *sample);
    let contention = contention(machine, labelled.iter().flatten().map(|(_, sample)| *sample));
    let pressures = phases.ids().map(|phase| pressure(of(phase), contention.miss_per_hit_time)).collect();
    let paces: Vec<u64> = phases.ids().map(|phase| median(of(phase).filter_map(instructions).collect())).collect();
    let (transitions, run_lengths) = sequences(&labelled, &paces);
    let provenance = Provenance {
        series: series.iter().map(|series| series.name.clone()).collect(),
        active_samples: vectors.len() as u64,
        seed: settings.seed,
        made: None,
        scores: None,
    };
    let (machine, numeric) = (*machine, NumericSettings::default());
    let parts = ModelParts { provenance, machine, phases, pressures, contention, transitions, run_lengths, numeric };
    Ok(Model::new(parts)?)
}

fn instructions(sample: &Sample) -> Option<u64> {
    sample.count(Event::Instructions)
}

/// The features that each series has in at least one sample; samples that lack one are left out later.
fn common_features(series: &[Series]) -> Result<FeatureSet, TrainError> {
    let mut common: BTreeSet<Event> = Event::ALL.into();
    for series in series {
        let counted = |event: &Event| series.samples.iter().any(|sample| sample.count(*event).is_some());
        let lacking: Vec<Event> = NEEDED.into_iter().filter(|event| !counted(event)).collect();
        if !lacking.is_empty() {
            return Err(TrainError::EventsLacking { series: series.name.clone(), lacking });
        }
        common.retain(counted);
    }
    let lacking = || TrainError::EventsLacking { series: "any series".into(), lacking: NEEDED.into() };
    FeatureSet::of_events(&common).ok_or_else(lacking)
}

/// The samples that show a phase, with all that pressure is computed from.
fn active<'a>(series: &'a Series, features: &FeatureSet) -> Vec<(&'a Sample, FeatureVector)> {
    let complete = |sample: &&Sample| NEEDED.iter().all(|event| sample.count(*event).is_some());
    let seen = |sample: &'a Sample| match features.observe(sample) {
        Observed::Active(vector) => Some((sample, vector)),
        Observed::Idle | Observed::Missing(_) => None,
    };
    series.samples.iter().filter(complete).filter_map(seen).collect()
}

/// What contention depends on: as the machine says, else as the samples show.
fn contention<'a>(machine: &Machine, samples: impl Iterator<Item = &'a Sample>) -> Contention {
    let drawn = |sample: &Sample| Some(memory_bytes(sample)? / sample.count(Event::Cycles)? as f64);
    let most = samples.filter_map(drawn).filter(|rate| rate.is_finite() && *rate > 0.0).max_by(f64::total_cmp);
    let miss_per_hit_time = machine.miss_per_hit_time.unwrap_or(DEFAULT_MISS_PER_HIT_TIME);
    Contention::additive(miss_per_hit_time, machine.memory_bytes_per_cycle.or(most))
}

/// Bytes to and from memory: as counted, else a line for each miss; write-backs on top where they were counted.
fn memory_bytes(sample: &Sample) -> Option<f64> {
    let read = match sample.count(Event::MemoryReadBytes) {
        Some(bytes) => bytes as f64,
        None => sample.count(Event::LlcMisses)? as f64 * LINE_BYTES,
    };
    let written = sample.count(Event::WriteBacks).map_or(0.0, |lines| lines as f64 * LINE_BYTES);
    Some(read + written)
}

/// Ratios of sums over the samples of one phase, of which there is at least one.
#[must_use]
pub fn pressure<'a>(samples: impl Iterator<Item = &'a Sample> + Clone, miss_per_hit_time: f64) -> Pressure {
    let sum = |event: Event| samples.clone().filter_map(|sample| sample.count(event)).sum::<u64>() as f64;
    let (instructions, cycles) = (sum(Event::Instructions), sum(Event::Cycles));
    let (references, misses) = (sum(Event::LlcReferences), sum(Event::LlcMisses));
    let bytes: f64 = samples.clone().filter_map(memory_bytes).sum();
    let stalls_counted = samples.clone().all(|sample| sample.count(Event::StallCycles).is_some());
    let stalls = if stalls_counted {
        sum(Event::StallCycles)
    } else {
        // Without a stall counter, as if nothing overlapped: too sensitive rather than immune.
        HIT_CYCLES * ((references - misses).max(0.0) + miss_per_hit_time * misses)
    };
    Pressure {
        llc_references_per_kilo_instruction: references * 1000.0 / instructions,
        llc_misses_per_kilo_instruction: misses * 1000.0 / instructions,
        memory_bytes_per_kilo_instruction: bytes * 1000.0 / instructions,
        cycles_per_instruction: cycles / instructions,
        stall_share: (stalls / cycles).clamp(0.0, 1.0),
        profile: None,
    }
}

/// Cycles of an LLC hit, where stalls were not counted.
const HIT_CYCLES: f64 = 40.0;

/// The middle one, the lower of two; 1 of none.
fn median(mut counts: Vec<u64>) -> u64 {
    counts.sort_unstable();
    counts.get(counts.len().saturating_sub(1) / 2).copied().unwrap_or(1)
}

/// What followed what, and after how much work, within each series.
fn sequences(series: &[Vec<(PhaseId, &Sample)>], paces: &[u64]) -> (TransitionCounts, RunLengths) {
    let mut transitions = TransitionCounts::new(paces.len());
    let mut run_lengths = RunLengths::new(paces);
    for path in series {
        let mut run = 0;
        for pair in path.windows(2) {
            let ((phase, sample), (next, _)) = (pair[0], pair[1]);
            // Active samples always have instructions.
            run += instructions(sample).into_iter().sum::<u64>();
            transitions.record(phase, next);
            if next != phase {
                run_lengths.record(phase, run, next);
                run = 0;
            }
        }
    }
    (transitions, run_lengths)
}

#[cfg(test)]
mod tests;
