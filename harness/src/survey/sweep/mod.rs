//! When does acting ahead pay? One thing is varied over a range, everything else stays, and policies are compared over many random
//! mixes on the simulated host: how long phases are, how good forecasts are, what a move costs, how many there may be.
//!
//! The simulated host is arithmetic, so what a sweep finds is a statement about the policies and about that arithmetic: where the
//! break-even lies and what moves it, not how large a win is on a machine. [`mixes`] says how mixes are drawn, [`cell`] what is
//! run for each, [`report`] what becomes of it.

mod cell;
mod figures;
mod mixes;
mod oracle;
mod report;

use std::time::Duration;

use predictor::policy::Settings;
use serde::{Deserialize, Serialize};

use self::mixes::Setting;
use super::folder::{Plan, SurveyFolder};
use super::{Collected, Outcome, SurveyError, TextFile};
use crate::experiment::Surroundings;
use crate::host::simulated::hardware::Hardware;
use crate::host::simulated::script::PhaseKind;
use crate::report::ReportError;
use crate::survey::play::prepare;
use crate::testbed::BedKind;

/// What is varied.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, clap::ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Over {
    /// How long phases last.
    PhaseLength,
    /// How often a forecast is wrong.
    ForecastQuality,
    /// What a move costs.
    MigrationCost,
    /// How many moves there may be.
    Budget,
}

impl Over {
    /// All of them.
    pub const ALL: [Over; 4] = [Over::PhaseLength, Over::ForecastQuality, Over::MigrationCost, Over::Budget];

    /// The name used in files and on the command line.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Over::PhaseLength => "phase-length",
            Over::ForecastQuality => "forecast-quality",
            Over::MigrationCost => "migration-cost",
            Over::Budget => "budget",
        }
    }

    /// The values that it takes.
    #[must_use]
    pub const fn values(self) -> &'static [f64] {
        match self {
            Over::PhaseLength => &[1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0],
            Over::ForecastQuality => &[0.0, 0.02, 0.05, 0.1, 0.2, 0.3, 0.5, 1.0],
            Over::MigrationCost => &[0.0, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0],
            Over::Budget => &[0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0],
        }
    }

    /// What a value is, for axes and heads of tables.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Over::PhaseLength => "middle of phase lengths, in quanta alone",
            Over::ForecastQuality => "share of forecasts that are wrong, or of changes that are missed",
            Over::MigrationCost => "time lost by a move that used the whole LLC, in quanta",
            Over::Budget => "moves allowed in the long run, for each vCPU and quantum",
        }
    }
}

/// What to survey.
#[derive(Debug, Clone, PartialEq)]
pub struct Request {
    /// What is varied, one after the other.
    pub over: Vec<Over>,
    /// The machine's name.
    pub machine: String,
    /// The machine as text, for the plan.
    pub machine_text: String,
    /// The machine.
    pub hardware: Hardware,
    /// The control period in cycles.
    pub quantum_cycles: u64,
    /// Length of each run.
    pub quanta: u64,
    /// Mixes at each value.
    pub mixes: u64,
    /// The seed of everything random.
    pub seed: u64,
    /// Kinds of phases to draw from; drawn themselves if empty.
    pub kinds: Vec<PhaseKind>,
    /// When a move is worth it, for all policies; what is varied stands in its place.
    pub settings: Settings,
}

impl Request {
    fn quantum(&self) -> Duration {
        Duration::from_secs_f64(self.quantum_cycles as f64 / self.hardware.frequency_hz as f64)
    }
}

/// What one policy made of a mix.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Run {
    /// The policy, and what it foresees.
    pub contender: String,
    /// System throughput: the sum over guests of the time that their work would have taken alone, over the time it took.
    pub stp: f64,
    /// The worst guest's slowdown.
    pub worst_slowdown: f64,
    /// vCPUs moved.
    pub moves: u64,
}

/// All policies on one mix at one value.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Cell {
    /// What is varied.
    pub over: Over,
    /// To what.
    pub value: f64,
    /// The mix's number; the same number is the same mix at every value of everything but the phases' length.
    pub mix: u64,
    /// The policies, staying put first.
    pub runs: Vec<Run>,
}

/// All that the survey found.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Sweeps {
    /// The machine's name.
    pub machine: String,
    /// Guests of each mix.
    pub guests: usize,
    /// Where kinds of phases come from.
    pub kinds: String,
    /// By which rule the host slows its guests; the policies' models have the additive one.
    pub contention: String,
    /// The control period in cycles.
    pub quantum_cycles: u64,
    /// Length of each run.
    pub quanta: u64,
    /// Mixes at each value.
    pub mixes: u64,
    /// The seed.
    pub seed: u64,
    /// When a move was worth it.
    pub settings: Settings,
    /// What was varied.
    pub over: Vec<Over>,
    /// By what is varied, then by value, then by mix.
    pub cells: Vec<Cell>,
}

/// Runs the survey to its end, into a results folder of its own.
pub fn run(request: &Request, around: &Surroundings<'_>) -> Result<Outcome<Sweeps>, SurveyError> {
    let bed = prepare(BedKind::Simulated, around)?;
    let jobs: Vec<(Over, f64, u64)> = request
        .over
        .iter()
        .flat_map(|over| over.values().iter().map(|value| (*over, *value)))
        .flat_map(|(over, value)| (0..request.mixes).map(move |mix| (over, value, mix)))
        .collect();
    let names: Vec<String> =
        jobs.iter().map(|(over, value, mix)| format!("{}-{value}.mix-{mix}", over.name())).collect();
    let cycles = (request.quantum_cycles, request.quanta);
    let plan = Plan::here(Sweeps::SURVEY, &bed, &request.machine_text, cycles, request.seed, names.clone());
    let folder = SurveyFolder::open(plan, around)?;
    let workers = std::thread::available_parallelism().map_or(1, usize::from);
    let bar = around.progress.run("mixes", names.len() as u64);
    let cells = folder.findings(&names, workers, around, &|place, label| {
        let (over, value, mix) = jobs[place];
        let cell = cell::run(request, over, value, mix, label)?;
        bar.quantum();
        Ok(cell)
    })?;
    bar.done();
    let guests = mixes::draw(&request.setting(1.0), 0).guests.len();
    let kinds =
        if request.kinds.is_empty() { "drawn".to_owned() } else { format!("{} of a table", request.kinds.len()) };
    let sweeps = Sweeps {
        machine: request.machine.clone(),
        guests,
        kinds,
        contention: request.hardware.contention.rule.name().to_owned(),
        quantum_cycles: request.quantum_cycles,
        quanta: request.quanta,
        mixes: request.mixes,
        seed: request.seed,
        settings: request.settings,
        over: request.over.clone(),
        cells,
    };
    Ok(Outcome { folder: folder.complete(&sweeps, &bed)?, found: sweeps })
}

impl Request {
    fn setting(&self, phase_quanta: f64) -> Setting<'_> {
        Setting { hardware: &self.hardware, kinds: &self.kinds, quantum: self.quantum(), phase_quanta, seed: self.seed }
    }
}

impl Collected for Sweeps {
    const SURVEY: &'static str = "sweep";

    fn check(&self) -> Result<(), String> {
        let values: usize = self.over.iter().map(|over| over.values().len()).sum();
        if self.cells.is_empty() || self.cells.len() != values * self.mixes as usize {
            return Err("it has not a cell for each value and mix".to_owned());
        }
        match self.cells.iter().find(|cell| cell.runs.first().is_none_or(|run| run.contender != cell::STAY_PUT)) {
            Some(cell) => {
                Err(format!("mix {} at {} {} did not stay put first", cell.mix, cell.over.name(), cell.value))
            }
            None => Ok(()),
        }
    }

    fn render(&self) -> Result<Vec<TextFile>, ReportError> {
        report::render(self)
    }

    fn for_people(&self) -> String {
        report::for_terminal(self)
    }

    fn for_programs(&self) -> serde_json::Value {
        report::as_json(self)
    }
}
