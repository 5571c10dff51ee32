//! A trained model as an artefact: versioned, checked when loaded.
//!
//! Owns what training learned and the claim that its parts fit together and fit a host. Learning it is
//! [`crate::train`]'s business, files are the harness's: it reads and writes [`Model`] with any serde format.
//!
//! # Format
//!
//! One map whose key `format` is [`FORMAT`]. A release that changes the meaning or the shape of a key changes the
//! number in it, and says there which older ones it still reads. Floating-point numbers must survive unchanged: JSON
//! needs a reader that rounds exactly. Every key is described in docs/model-format.md.
//!
//! Format 2 has a robust scale (`phases.scale.center` and `spread` where format 1 had mean and deviation), the settings
//! of numeric forecasts, and says how it was made and how well it forecasts. Format 1 is refused: its scale cannot be told from its numbers.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::contention::{Calibration, Contention, Demand, Pressure, Rule};
use crate::counters::{Event, Sample};
use crate::forecast::Forecaster;
use crate::forecast::kind::{ForecasterKind, Trained};
use crate::forecast::markov::TransitionCounts;
use crate::forecast::run_length::RunLengths;
use crate::numeric::{NumericForecaster, NumericSettings};
use crate::phases::{PhaseId, PhaseModel};

/// The format that this release writes, and the only one it reads.
pub const FORMAT: &str = "phasecast-model-2";

/// The rates that numeric forecasts are made of, in their order.
pub const RATES: [&str; 2] = ["cycles_per_instruction", "llc_misses_per_kilo_instruction"];

/// The [`RATES`] of a sample; `None` where a counter was not read, or nothing retired.
#[must_use]
pub fn rates(sample: &Sample) -> [Option<f64>; 2] {
    let instructions = sample.count(Event::Instructions).filter(|count| *count > 0);
    let per_instruction = |event: Event| Some(sample.count(event)? as f64 / instructions? as f64);
    [per_instruction(Event::Cycles), per_instruction(Event::LlcMisses).map(|misses| 1000.0 * misses)]
}

/// What a model's numbers hold for: phases per quantum of one length, pressures of one size of cache.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Machine {
    /// Length of a quantum.
    pub quantum_nanoseconds: u64,
    /// Size of one LLC, where the host says.
    pub llc_bytes: Option<u64>,
    /// What the memory behind one LLC domain gives, where it is known.
    pub memory_bytes_per_cycle: Option<f64>,
    /// Time of an LLC miss in times of an LLC hit, where it is known.
    pub miss_per_hit_time: Option<f64>,
}

/// How well models made like this one forecast what they were not trained on.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Scores {
    /// Phases of programs that were left out of training; `None` where there is one program alone.
    pub phases: Option<PhaseScores>,
    /// Numbers, forecast online; nothing of them is trained.
    pub numbers: Vec<NumberScores>,
}

/// Forecasts of the next quantum's phase, by models of all other programs.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PhaseScores {
    /// Series scored; the shares are means over them.
    pub series: u64,
    /// Share of quanta whose phase the default forecaster named.
    pub accuracy: f64,
    /// The same for the last value.
    pub last_value_accuracy: f64,
}

/// Forecasts of one rate at one horizon.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NumberScores {
    /// The rate, by its name.
    pub rate: String,
    /// Quanta ahead.
    pub horizon_quanta: u32,
    /// Series scored: those in which the last value ever errs. The shares are means over them.
    pub series: u64,
    /// Absolute error in last values' absolute error; 0 of no series.
    pub error_of_last_value: f64,
    /// Share of values between the outer quantiles, which are to hold 0.8; 0 of no series.
    pub within_quantiles: f64,
}

/// What made a model, as its maker says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Made {
    /// The command, without the places of files.
    pub command: String,
    /// The commit of the program's source, where it is known.
    pub revision: Option<String>,
}

/// Where a model comes from.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Provenance {
    /// Names of the series it was trained on, in order.
    pub series: Vec<String>,
    /// Samples with a phase, of all series.
    pub active_samples: u64,
    /// Seed of the clustering.
    pub seed: u64,
    /// What made it; `None` where it was made within another command, as an experiment.
    pub made: Option<Made>,
    /// How well models like it forecast; `None` where nobody scored.
    pub scores: Option<Scores>,
}

/// What training learned. Its parts are known to fit together.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "ModelFile", into = "ModelFile")]
pub struct Model(ModelParts);

/// The parts of a [`Model`], not yet checked.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ModelParts {
    /// Where it comes from.
    pub provenance: Provenance,
    /// What it holds for.
    pub machine: Machine,
    /// How phases are recognised.
    pub phases: PhaseModel,
    /// What each phase asks of cache and bandwidth.
    pub pressures: Vec<Pressure>,
    /// How demands become slowdowns.
    pub contention: Contention,
    /// What followed what.
    pub transitions: TransitionCounts,
    /// How long phases lasted.
    pub run_lengths: RunLengths,
    /// How numbers are forecast.
    pub numeric: NumericSettings,
}

/// How a model is written: its format, then its parts.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(tag = "format")]
pub enum ModelFile {
    /// See [`FORMAT`].
    #[serde(rename = "phasecast-model-2")]
    V2(Box<ModelParts>),
    /// Written by another release.
    #[serde(other)]
    Unknown,
}

/// Why a model cannot be used.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum ModelError {
    /// Another release's format.
    #[error("the model's format is not {FORMAT}, the only one this release reads; train it again from its traces")]
    UnknownFormat,
    /// Lists that must have one entry for each phase or feature do not.
    #[error("the model has {expected} {of} but {found} entries in {part}; the file is damaged, train it again")]
    Mismatch {
        /// The list in question.
        part: &'static str,
        /// What it has one entry for.
        of: &'static str,
        /// How many it should have.
        expected: usize,
        /// How many it has.
        found: usize,
    },
    /// A number that no training writes.
    #[error("{part} of the model holds {value}, where {allowed} is needed; the file is damaged, train it again")]
    OutOfRange {
        /// Where it stands.
        part: &'static str,
        /// What stands there.
        value: f64,
        /// What may stand there.
        allowed: &'static str,
    },
    /// The host cannot see what phases are recognised by.
    #[error("the model needs counters that this host lacks: {}; train it on a host like this one", names(.0))]
    EventsLacking(BTreeSet<Event>),
    /// Rates would be right, durations and forecasts wrong.
    #[error("the model was trained on quanta of {trained} ns, this run has {here} ns; train it at this quantum")]
    Quantum {
        /// Of the model.
        trained: u64,
        /// Of the run.
        here: u64,
    },
    /// Misses alone depend on the size of the cache.
    #[error("the model was trained on an LLC of {trained} bytes, this host has {here} bytes; train it on this host")]
    LlcSize {
        /// Of the model.
        trained: u64,
        /// Of the host.
        here: u64,
    },
}

fn names(events: &BTreeSet<Event>) -> String {
    events.iter().map(|event| event.name()).collect::<Vec<_>>().join(", ")
}

impl Model {
    /// Checks that `parts` fit together.
    pub fn new(parts: ModelParts) -> Result<Self, ModelError> {
        check_shape(&parts)?;
        check_numbers(&parts)?;
        Ok(Self(parts))
    }

    /// Its parts, to read.
    #[must_use]
    pub const fn parts(&self) -> &ModelParts {
        &self.0
    }

    /// Events that a host must count for this model to be of use there.
    #[must_use]
    pub fn events_required(&self) -> BTreeSet<Event> {
        let mut events = self.0.phases.features.events();
        events.insert(Event::Cycles);
        events
    }

    /// Refuses a host that the model was not made for. Sizes that either side does not know are not compared.
    pub fn check_host(&self, events: &BTreeSet<Event>, here: &Machine) -> Result<(), ModelError> {
        let lacking: BTreeSet<Event> = self.events_required().difference(events).copied().collect();
        if !lacking.is_empty() {
            return Err(ModelError::EventsLacking(lacking));
        }
        let trained = self.0.machine;
        if trained.quantum_nanoseconds != here.quantum_nanoseconds {
            return Err(ModelError::Quantum { trained: trained.quantum_nanoseconds, here: here.quantum_nanoseconds });
        }
        match (trained.llc_bytes, here.llc_bytes) {
            (Some(trained), Some(here)) if trained != here => Err(ModelError::LlcSize { trained, here }),
            _ => Ok(()),
        }
    }

    /// The same model, made as said and with these scores.
    pub fn recorded(mut self, made: Made, scores: Scores) -> Result<Self, ModelError> {
        self.0.provenance.made = Some(made);
        self.0.provenance.scores = Some(scores);
        Self::new(self.0)
    }

    /// A forecaster of one vCPU's phases that starts from what training saw.
    #[must_use]
    pub fn forecaster(&self, kind: ForecasterKind) -> Box<dyn Forecaster + Send> {
        kind.start(self.0.phases.len(), &self.trained())
    }

    /// What forecasters of its phases may start from.
    #[must_use]
    pub const fn trained(&self) -> Trained<'_> {
        Trained { transitions: Some(&self.0.transitions), run_lengths: Some(&self.0.run_lengths), horizons: &[] }
    }

    /// A forecaster of one vCPU's [`RATES`].
    #[must_use]
    pub fn numeric_forecaster(&self) -> NumericForecaster {
        NumericForecaster::new(RATES.len(), &self.0.numeric)
    }

    /// What a vCPU in `phase` asks for, as far as `calibration` knows it.
    #[must_use]
    pub fn demand(&self, phase: PhaseId, calibration: &Calibration) -> Demand {
        let pressure = &self.0.pressures[phase.index()];
        self.0.contention.demand(pressure, calibration)
    }

    /// What a vCPU asks for of which nothing is known: the mean over the quanta seen in training.
    #[must_use]
    pub fn typical_demand(&self) -> Demand {
        let weights: Vec<f64> = self.0.transitions.0.iter().map(|row| 1.0 + row.iter().sum::<f64>()).collect();
        let total: f64 = weights.iter().sum();
        let demand = |(phase, weight): (PhaseId, f64)| (weight / total, self.demand(phase, &Calibration::default()));
        Demand::expected(self.0.phases.ids().zip(weights).map(demand))
    }
}

impl TryFrom<ModelFile> for Model {
    type Error = ModelError;

    fn try_from(file: ModelFile) -> Result<Self, Self::Error> {
        match file {
            ModelFile::V2(parts) => Self::new(*parts),
            ModelFile::Unknown => Err(ModelError::UnknownFormat),
        }
    }
}

impl From<Model> for ModelFile {
    fn from(model: Model) -> Self {
        ModelFile::V2(Box::new(model.0))
    }
}

fn check_shape(parts: &ModelParts) -> Result<(), ModelError> {
    let phases = parts.phases.len();
    let features = parts.phases.features.features().len();
    let same = |part, of, expected, found| {
        if expected == found { Ok(()) } else { Err(ModelError::Mismatch { part, of, expected, found }) }
    };
    within("the number of phases", phases as f64, "at least 1", |count| count >= 1.0)?;
    same("phases.scale.center", "features", features, parts.phases.scale.center.len())?;
    same("phases.scale.spread", "features", features, parts.phases.scale.spread.len())?;
    let (coordinates, of) = match &parts.phases.projection {
        Some(projection) => {
            same("phases.projection.mean", "features", features, projection.columns())?;
            (projection.components().len(), "components")
        }
        None => (features, "features"),
    };
    for centroid in &parts.phases.centroids {
        same("a row of phases.centroids", of, coordinates, centroid.len())?;
    }
    same("phases.radii", "phases", phases, parts.phases.radii.len())?;
    same("pressures", "phases", phases, parts.pressures.len())?;
    same("transitions", "phases", phases, parts.transitions.0.len())?;
    for row in &parts.transitions.0 {
        same("a row of transitions", "phases", phases, row.len())?;
    }
    same("run_lengths.bucket_instructions", "phases", phases, parts.run_lengths.phases())
}

fn check_numbers(parts: &ModelParts) -> Result<(), ModelError> {
    let numbers = |part: &'static str, values: &[f64], allowed: &'static str, sound: fn(f64) -> bool| {
        values.iter().try_for_each(|value| within(part, *value, allowed, sound))
    };
    numbers("phases.scale.center", &parts.phases.scale.center, COORDINATE, is_coordinate)?;
    numbers("phases.scale.spread", &parts.phases.scale.spread, POSITIVE, is_positive)?;
    for centroid in &parts.phases.centroids {
        numbers("phases.centroids", centroid, COORDINATE, is_coordinate)?;
    }
    numbers("phases.radii", &parts.phases.radii, POSITIVE, is_positive)?;
    for row in &parts.transitions.0 {
        numbers("transitions", row, COUNT, is_count)?;
    }
    for pressure in &parts.pressures {
        let rates = [
            pressure.llc_references_per_kilo_instruction,
            pressure.llc_misses_per_kilo_instruction,
            pressure.memory_bytes_per_kilo_instruction,
        ];
        numbers("pressures", &rates, COUNT, is_count)?;
        within("pressures.cycles_per_instruction", pressure.cycles_per_instruction, POSITIVE, is_positive)?;
        within("pressures.stall_share", pressure.stall_share, "a share in [0, 1]", |share| {
            (0.0..=1.0).contains(&share)
        })?;
        if let Some(profile) = &pressure.profile {
            within("pressures.profile.dispersion", profile.dispersion, COUNT, is_count)?;
            numbers(
                "pressures.profile.cycles_per_extra_miss",
                profile.cycles_per_extra_miss.as_slice(),
                COUNT,
                is_count,
            )?;
        }
    }
    let ratio = parts.contention.miss_per_hit_time;
    within("contention.miss_per_hit_time", ratio, "from 1 to 1e15", |ratio| (1.0..=MOST).contains(&ratio))?;
    if let Some(bandwidth) = parts.contention.memory_bytes_per_cycle {
        within("contention.memory_bytes_per_cycle", bandwidth, POSITIVE, is_positive)?;
    }
    check_rule(&parts.contention.rule)?;
    check_scores(parts.provenance.scores.as_ref())?;
    check_runs(parts)
}

fn check_rule(rule: &Rule) -> Result<(), ModelError> {
    match rule {
        Rule::Additive | Rule::Di => Ok(()),
        Rule::Analytic(llc) => [llc.lines, llc.ways, llc.hit_cycles, llc.miss_cycles, llc.hidden_cycles]
            .into_iter()
            .try_for_each(|value| within("contention.rule.analytic", value, POSITIVE, is_positive)),
        Rule::Learned(learned) => [learned.cache, learned.misses, learned.references]
            .into_iter()
            .try_for_each(|value| within("contention.rule.learned", value, COUNT, is_count)),
    }
}

fn check_scores(scores: Option<&Scores>) -> Result<(), ModelError> {
    let Some(scores) = scores else { return Ok(()) };
    const SHARE: &str = "a share in [0, 1]";
    let share = |part, value| within(part, value, SHARE, |share| (0.0..=1.0).contains(&share));
    if let Some(phases) = &scores.phases {
        share("provenance.scores.phases", phases.accuracy)?;
        share("provenance.scores.phases", phases.last_value_accuracy)?;
    }
    for number in &scores.numbers {
        within("provenance.scores.numbers", number.error_of_last_value, COUNT, is_count)?;
        share("provenance.scores.numbers", number.within_quantiles)?;
    }
    Ok(())
}

fn check_runs(parts: &ModelParts) -> Result<(), ModelError> {
    let phases = parts.phases.len();
    for width in parts.run_lengths.bucket_widths() {
        within("run_lengths.bucket_instructions", *width as f64, POSITIVE, is_positive)?;
    }
    for run in parts.run_lengths.runs() {
        within("run_lengths.runs", run.runs, COUNT, is_count)?;
        let highest = run.phase.index().max(run.next.index());
        within("run_lengths.runs", highest as f64, "one of the model's phases", |_| highest < phases)?;
    }
    Ok(())
}

const POSITIVE: &str = "a positive number from 1e-9 to 1e15";
const COUNT: &str = "a number from 0 to 1e15";
const COORDINATE: &str = "a number from -1e15 to 1e15";

/// Beyond this no number is one that training saw, and sums and squares of them would soon be infinite.
const MOST: f64 = 1e15;
const LEAST_POSITIVE: f64 = 1e-9;

fn is_positive(value: f64) -> bool {
    (LEAST_POSITIVE..=MOST).contains(&value)
}

fn is_count(value: f64) -> bool {
    (0.0..=MOST).contains(&value)
}

fn is_coordinate(value: f64) -> bool {
    (-MOST..=MOST).contains(&value)
}

fn within(
    part: &'static str,
    value: f64,
    allowed: &'static str,
    sound: impl Fn(f64) -> bool,
) -> Result<(), ModelError> {
    if sound(value) { Ok(()) } else { Err(ModelError::OutOfRange { part, value, allowed }) }
}

#[cfg(test)]
mod tests;
