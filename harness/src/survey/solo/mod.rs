//! Every program of the catalogue alone on the machine: what it asks of each level of the hierarchy, and which phases it has.
//!
//! Each program and input runs in the machine's first LLC domain from its saved state, with one seed; the first input of every
//! eighth program also runs under two more, which are other placements of its pages in the LLC. Phases are those that training
//! finds in that run alone. What the numbers mean is [`report`]'s business.

mod figures;
mod report;
mod statistics;

use machine::spec::Machine;
use predictor::counters::{Event, Reading, Readings, Sample};
use predictor::features::Observed;
use predictor::train::{self, TrainError, TrainSettings};
use serde::{Deserialize, Serialize};
use workloads::catalogue::{Catalogue, Family};

use super::folder::{Plan, SurveyFolder};
use super::play::{Played, Run, Work, choose, mix_of, play, prepare};
use super::{Collected, Outcome, SurveyError, TextFile};
use crate::experiment::Surroundings;
use crate::mix::{DEFAULT_MEMORY_MIB, Mix};
use crate::report::ReportError;
use crate::report::collected::{MachineFacts, Series};
use crate::testbed::BedKind;
use crate::workers::at_once;

/// Placements of page colours beside the first, for programs that run under several.
const MORE_SEEDS: u64 = 2;

/// Every so many programs of the catalogue, one runs under several seeds.
const SEVERAL_SEEDS_EVERY: usize = 8;

/// What to survey.
#[derive(Debug, Clone, PartialEq)]
pub struct Request {
    /// Where guests run.
    pub host: BedKind,
    /// The machine.
    pub machine: Machine,
    /// The control period in cycles.
    pub quantum_cycles: u64,
    /// Length of each run.
    pub quanta: u64,
    /// The seed of the page colours.
    pub seed: u64,
    /// Programs; every program if empty.
    pub programs: Vec<String>,
    /// Which of their inputs.
    pub inputs: Inputs,
}

/// Which inputs of a program are surveyed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Inputs {
    /// The first, which is the default of mixes.
    First,
    /// Every one.
    All,
}

/// What one run found.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Finding {
    /// The program's name.
    pub program: String,
    /// The name of its input.
    pub input: String,
    /// `kernel`, `phased` or `real`.
    pub family: String,
    /// Whether it marks its phases.
    pub truth: bool,
    /// What it stresses, as the catalogue says.
    pub stresses: String,
    /// The seed of this run.
    pub seed: u64,
    /// Whether a run of the program ends, so that its answer can be checked.
    pub ends: bool,
    /// Runs of the program that ended within this one, each with the right answer.
    pub completed_runs: u64,
    /// Counters over all quanta; absent where one of a quantum is.
    pub sums: Readings,
    /// How many phases were found; absent where there was too little work to find any in.
    pub phases: Option<usize>,
    /// Quantum by quantum, with the phases found.
    pub series: Series,
}

/// All that the survey found.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Solo {
    /// The kind of host.
    pub host: String,
    /// The machine.
    pub machine: MachineFacts,
    /// Bandwidth of one LLC domain's memory channel.
    pub memory_bytes_per_cycle: f64,
    /// The control period in cycles.
    pub quantum_cycles: u64,
    /// Length of each run.
    pub quanta: u64,
    /// The seed of all runs but those that show the spread over seeds.
    pub seed: u64,
    /// One for each run, in the order of the catalogue, further seeds behind the first.
    pub findings: Vec<Finding>,
}

/// One run to do.
struct Job<'a> {
    name: String,
    work: Work<'a>,
    mix: Mix,
}

/// Runs the survey to its end, into a results folder of its own.
pub fn run(request: &Request, around: &Surroundings<'_>) -> Result<Outcome<Solo>, SurveyError> {
    let catalogue = Catalogue::builtin();
    let jobs = jobs(request, &catalogue)?;
    request.host.check(&jobs[0].mix)?;
    let bed = prepare(request.host, around)?;
    let names: Vec<String> = jobs.iter().map(|job| job.name.clone()).collect();
    let cycles = (request.quantum_cycles, request.quanta);
    let plan = Plan::here(Solo::SURVEY, &bed, request.machine.text(), cycles, request.seed, names.clone());
    let folder = SurveyFolder::open(plan, around)?;
    let measure = |place: usize, label: &str| {
        let job = &jobs[place];
        let (trace, consoles) = (folder.trace(&job.name), folder.consoles());
        let run = Run {
            label,
            purpose: "survey-solo",
            mix: &job.mix,
            quanta: request.quanta,
            trace: Some(&trace),
            consoles: &consoles,
        };
        let mut played = play(&bed, &run, around)?;
        finding(job, played.swap_remove(0), around_phases(&job.mix, bed.kind()))
    };
    let findings = folder.findings(&names, at_once(1, DEFAULT_MEMORY_MIB), around, &measure)?;
    let solo = Solo {
        host: bed.kind().name().to_owned(),
        machine: MachineFacts::of(&request.machine),
        memory_bytes_per_cycle: request.machine.memory().bytes_per_cycle,
        quantum_cycles: request.quantum_cycles,
        quanta: request.quanta,
        seed: request.seed,
        findings,
    };
    Ok(Outcome { folder: folder.complete(&solo, &bed)?, found: solo })
}

/// Every run, in the order of the catalogue.
fn jobs<'a>(request: &Request, catalogue: &'a Catalogue) -> Result<Vec<Job<'a>>, SurveyError> {
    let chosen = choose(catalogue, &request.programs)?;
    let mut jobs = Vec::new();
    for (place, program) in chosen.into_iter().enumerate() {
        let inputs = match request.inputs {
            Inputs::First => &program.inputs()[..1],
            Inputs::All => program.inputs(),
        };
        for (number, input) in inputs.iter().enumerate() {
            let work = Work { program, input: &input.name };
            let several = number == 0 && place.is_multiple_of(SEVERAL_SEEDS_EVERY);
            for seed in request.seed..=request.seed + if several { MORE_SEEDS } else { 0 } {
                let mix = mix_of(&[work], &request.machine, request.quantum_cycles, seed)?;
                jobs.push(Job { name: format!("{}.seed-{seed}", work.name()), work, mix });
            }
        }
    }
    Ok(jobs)
}

/// What a model of runs like this one holds for.
fn around_phases(mix: &Mix, host: BedKind) -> predictor::model::Machine {
    mix.describe("survey-solo", host.name(), "", &Event::ALL.into()).model_machine()
}

fn finding(job: &Job<'_>, played: Played, machine: predictor::model::Machine) -> Result<Finding, SurveyError> {
    let program = job.work.program;
    let launch = &job.mix.guests[0].launch;
    let (phases, series) = label(&job.name, &played.samples, &machine, job.mix.seed)?;
    let family = match program.family {
        Family::Kernel => "kernel",
        Family::Phased => "phased",
        Family::Real => "real",
    };
    Ok(Finding {
        program: program.name.clone(),
        input: job.work.input.to_owned(),
        family: family.to_owned(),
        truth: program.truth,
        stresses: program.stresses.clone(),
        seed: job.mix.seed,
        ends: launch.checksum.is_some(),
        completed_runs: played.completed_runs,
        sums: sums(&played.samples),
        phases,
        series,
    })
}

/// How many phases training finds in these samples, and the samples as a series with them.
fn label(
    name: &str,
    samples: &[Sample],
    machine: &predictor::model::Machine,
    seed: u64,
) -> Result<(Option<usize>, Series), SurveyError> {
    let alone = train::Series { name: name.to_owned(), samples: samples.to_vec() };
    let settings = TrainSettings { seed, ..TrainSettings::default() };
    let model = match train::train(&[alone], machine, &settings) {
        Ok(model) => Some(model),
        Err(TrainError::TooFewSamples { .. }) => None,
        Err(source) => return Err(SurveyError::Phases { what: name.to_owned(), source }),
    };
    let phases = model.as_ref().map(|model| &model.parts().phases);
    let phase_of = |sample: &Sample| match phases?.features.observe(sample) {
        Observed::Active(vector) => Some(phases?.classify(&vector).phase),
        Observed::Idle | Observed::Missing(_) => None,
    };
    let mut series = Series::of(name);
    samples.iter().for_each(|sample| series.push(sample, phase_of(sample), None));
    Ok((phases.map(|phases| phases.len()), series))
}

fn sums(samples: &[Sample]) -> Readings {
    let sum = |event: Event| samples.iter().map(|sample| sample.count(event)).sum::<Option<u64>>();
    Readings::new(Event::ALL.map(|event| (event, sum(event).map_or(Reading::Absent, Reading::Exact))))
}

impl Collected for Solo {
    const SURVEY: &'static str = "solo";

    fn check(&self) -> Result<(), String> {
        if self.findings.is_empty() {
            return Err("it has no finding".to_owned());
        }
        Ok(())
    }

    fn render(&self) -> Result<Vec<TextFile>, ReportError> {
        report::render(self)
    }

    fn for_people(&self) -> String {
        report::for_terminal(self)
    }

    fn for_programs(&self) -> serde_json::Value {
        report::main_runs(self).map(|finding| report::as_json(finding, self)).collect()
    }
}
