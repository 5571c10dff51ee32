//! Policies on equal terms: many mixes of four guests, drawn beforehand, on the replayed host.
//!
//! Every mix runs under every policy from every way to pair its guests up, and is set beside two yardsticks: the best static
//! placement, and the best run that clones of the host find ([`crate::oracle`]). Settings are chosen for each policy on
//! mixes of their own ([`draw`] has the rule). Models know the guests' programs from runs alone, or have never seen
//! them. [`contest`] runs one mix; [`report`] says what all of them come to.

mod contest;
mod draw;
mod figures;
mod outcome;
mod report;

use machine::spec::Machine;
use predictor::forecast::kind::ForecasterKind;
use predictor::policy::{PolicyKind, Settings};
use serde::{Deserialize, Serialize};
use workloads::catalogue::{Catalogue, Program};

pub use contest::{Finding, GuestFacts, Knowledge, PolicyRun, Yardstick};

use self::contest::{Contest, Known};
use self::draw::{Candidate, Purpose};
use super::folder::{Plan, SurveyFolder};
use super::play::{Work, choose, mix_of, prepare};
use super::{Collected, Outcome, SurveyError, TextFile};
use crate::experiment::Surroundings;
use crate::input::InputError;
use crate::mix::{DEFAULT_MEMORY_MIB, Mix};
use crate::report::ReportError;
use crate::report::collected::MachineFacts;
use crate::testbed::{BedKind, TestBed};
use crate::workers::at_once;

/// What to compare, on what.
#[derive(Debug, Clone, PartialEq)]
pub struct Request {
    /// The machine.
    pub machine: Machine,
    /// The control period in cycles.
    pub quantum_cycles: u64,
    /// Length of each run.
    pub quanta: u64,
    /// The seed of page colours, of the mixes and of all that is random in policies.
    pub seed: u64,
    /// How many mixes to compare on.
    pub mixes: usize,
    /// How many to choose settings on.
    pub tuning: usize,
    /// Programs to draw from; every program that ends if empty.
    pub programs: Vec<String>,
}

/// All that the survey found.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Mixes {
    /// The machine.
    pub machine: MachineFacts,
    /// The control period in cycles.
    pub quantum_cycles: u64,
    /// Length of each run.
    pub quanta: u64,
    /// The seed.
    pub seed: u64,
    /// The settings that were tried for policies that weigh moves.
    pub settings: Vec<Tried>,
    /// The mixes on which settings are chosen.
    pub tuning: Vec<Finding>,
    /// The mixes that are compared.
    pub mixes: Vec<Finding>,
}

/// Settings that are tried.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Tried {
    /// What a step must gain, as a share of the slowdowns that it touches.
    pub min_gain_share: f64,
    /// Quanta over which a move is weighed.
    pub horizon_quanta: u32,
    /// What predictive forecasts with.
    pub forecaster: String,
    /// How slowdowns are estimated.
    pub estimate: Estimated,
}

/// How slowdowns are estimated: the same for all policies in a comparison.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Estimated {
    /// From counters alone, sensitivity times intensity.
    Additive,
    /// From miss-ratio curves of the guests' streams, by phase.
    Analytic,
}

impl Tried {
    /// The rest of the settings is everybody's.
    fn settings(&self, seed: u64) -> Settings {
        let forecaster = self.forecaster.parse().unwrap_or(Settings::default().forecaster);
        let Tried { min_gain_share, horizon_quanta, .. } = *self;
        Settings { min_gain_share, horizon_quanta, forecaster, seed, ..Settings::default() }
    }
}

/// Eager and calm, short and long sight, two estimates of slowdowns: every combination.
fn settings() -> Vec<Tried> {
    let mut all = Vec::new();
    for estimate in [Estimated::Additive, Estimated::Analytic] {
        for horizon_quanta in [4, 16] {
            for min_gain_share in [0.01, 0.03] {
                let forecaster = ForecasterKind::Default.name().to_string();
                all.push(Tried { min_gain_share, horizon_quanta, forecaster, estimate });
            }
        }
    }
    all
}

/// Runs the survey to its end, into a results folder of its own.
pub fn run(request: &Request, around: &Surroundings<'_>) -> Result<Outcome<Mixes>, SurveyError> {
    let catalogue = Catalogue::builtin();
    let bed = prepare(BedKind::Replayed, around)?;
    let (drawn, known) = drawn(&catalogue, &bed, request, around)?;
    let names: Vec<String> = drawn.iter().map(|mix| mix.name.clone()).collect();
    let cycles = (request.quantum_cycles, request.quanta);
    let plan = Plan::here(Mixes::SURVEY, &bed, request.machine.text(), cycles, request.seed, names.clone());
    let folder = SurveyFolder::open(plan, around)?;
    let settings = settings();
    let contest =
        Contest { bed: &bed, known: &known, settings: &settings, quanta: request.quanta, folder: &folder, around };
    let workers = at_once(draw::GUESTS, DEFAULT_MEMORY_MIB);
    let (for_tuning, for_comparison) = drawn.split_at(request.tuning);
    let (tuning, comparison) = names.split_at(request.tuning);
    let tuning =
        folder.findings(tuning, workers, around, &|place, label| contest.tuning(&for_tuning[place], place, label))?;
    let chosen = |kind: PolicyKind| outcome::chosen(&tuning, &settings, kind.name());
    let mixes = folder.findings(comparison, workers, around, &|place, label| {
        contest.comparison(&for_comparison[place], place, &chosen, label)
    })?;
    let found = Mixes {
        machine: MachineFacts::of(&request.machine),
        quantum_cycles: request.quantum_cycles,
        quanta: request.quanta,
        seed: request.seed,
        settings,
        tuning,
        mixes,
    };
    Ok(Outcome { folder: folder.complete(&found, &bed)?, found })
}

/// The mixes that `request` comes to, as lines of `mix,guests`: what can be published before anything is compared.
pub fn announce(request: &Request, around: &Surroundings<'_>) -> Result<String, SurveyError> {
    let catalogue = Catalogue::builtin();
    let bed = prepare(BedKind::Replayed, around)?;
    let (drawn, _) = drawn(&catalogue, &bed, request, around)?;
    let line = |mix: &Mix| {
        let guests: Vec<String> = mix.guests.iter().map(|guest| format!("{}.{}", guest.program, guest.input)).collect();
        format!("{},{}\n", mix.name, guests.join(" "))
    };
    Ok("mix,guests\n".to_owned() + &drawn.iter().map(line).collect::<String>())
}

/// The mixes, those to choose settings on first, and what was seen of every program alone.
fn drawn(
    catalogue: &Catalogue,
    bed: &TestBed,
    request: &Request,
    around: &Surroundings<'_>,
) -> Result<(Vec<Mix>, Known), SurveyError> {
    check_machine(&request.machine)?;
    let programs: Vec<&Program> = choose(catalogue, &request.programs)?
        .into_iter()
        .filter(|program| program.inputs()[0].checksum.is_some())
        .collect();
    let alone =
        |program: &&Program| mix_of(&[Work::first(program)], &request.machine, request.quantum_cycles, request.seed);
    let alone: Vec<Mix> = programs.iter().map(alone).collect::<Result<_, _>>()?;
    let known = Known::watch(bed, &alone, request.quanta, around)?;
    let candidates: Vec<Candidate<'_>> =
        programs.iter().zip(known.pressures()).map(|(program, pressure)| Candidate { program, pressure }).collect();
    let mut mixes = Vec::new();
    for (purpose, many, stem) in
        [(Purpose::Tuning, request.tuning, "tuning"), (Purpose::Comparison, request.mixes, "mix")]
    {
        for (number, programs) in (1..).zip(draw::draw(&candidates, purpose, many, request.seed)?) {
            let works: Vec<Work<'_>> = programs.into_iter().map(Work::first).collect();
            let mut mix = mix_of(&works, &request.machine, request.quantum_cycles, request.seed)?;
            mix.name = format!("{stem}-{number:02}");
            mixes.push(mix);
        }
    }
    Ok((mixes, known))
}

fn check_machine(machine: &Machine) -> Result<(), InputError> {
    let domains = machine.domains();
    if domains.len() < 2 || domains.iter().map(|(_, cpus)| cpus.len()).sum::<usize>() < draw::GUESTS {
        let problem = format!("machine \"{}\" has not two LLC domains and {} CPUs", machine.name(), draw::GUESTS);
        return Err(InputError::new(problem, "choose one that has").at("--machine"));
    }
    Ok(())
}

impl Collected for Mixes {
    const SURVEY: &'static str = "mixes";

    fn check(&self) -> Result<(), String> {
        if self.mixes.is_empty() {
            return Err("it has no mix".to_owned());
        }
        self.tuning.iter().chain(&self.mixes).try_for_each(|finding| finding.check(self.settings.len()))
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
