//! Replayed runs against the emulated runs that they stand for, and what a replay costs.
//!
//! Mixes of four guests are drawn from the catalogue by the survey's seed ([`mixes`]). Each runs on the emulated host under a
//! policy that leaves everybody where they are and under one that moves guests, and again on the replayed host with the
//! same moves in the same quanta ([`compare`]). Streams of these guests are also played in growing numbers and for growing
//! times, and the CPU time is taken ([`speed`]). [`report`] says what the numbers come to.

mod compare;
mod divided;
mod figures;
mod mixes;
mod report;
mod speed;

use machine::spec::Machine;
use predictor::policy::PolicyKind;
use serde::{Deserialize, Serialize};
use workloads::catalogue::Catalogue;

pub use compare::{Agreement, Counts, Decisions, GuestAgreement, Sums};
pub use speed::{Speed, Timing};

use super::folder::{Plan, SurveyFolder};
use super::play::prepare;
use super::{Collected, Outcome, SurveyError, TextFile};
use crate::experiment::Surroundings;
use crate::report::ReportError;
use crate::report::collected::MachineFacts;
use crate::testbed::{BedKind, TestBed};
use crate::workers::at_once;

/// What to survey.
#[derive(Debug, Clone, PartialEq)]
pub struct Request {
    /// The machine.
    pub machine: Machine,
    /// The control period in cycles.
    pub quantum_cycles: u64,
    /// Length of each run.
    pub quanta: u64,
    /// The seed of page colours and of the mixes.
    pub seed: u64,
    /// How many mixes.
    pub mixes: usize,
    /// The policy that moves guests.
    pub policy: PolicyKind,
    /// How long each timed replay is; 0 for none.
    pub timed_quanta: u64,
}

/// All that the survey found.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Replay {
    /// The machine.
    pub machine: MachineFacts,
    /// The control period in cycles.
    pub quantum_cycles: u64,
    /// Length of each run.
    pub quanta: u64,
    /// The seed.
    pub seed: u64,
    /// By mix, and of each first without and then with moves.
    pub agreements: Vec<Agreement>,
    /// What replays of these guests cost; absent if it was not asked.
    pub speed: Option<Speed>,
}

/// Both hosts of the comparison.
pub(crate) struct Beds {
    emulated: TestBed,
    replayed: TestBed,
}

/// Runs the survey to its end, into a results folder of its own.
pub fn run(request: &Request, around: &Surroundings<'_>) -> Result<Outcome<Replay>, SurveyError> {
    let mixes = mixes::draw(&Catalogue::builtin(), request)?;
    mixes.iter().try_for_each(|mix| BedKind::Emulated.check(mix))?;
    let beds = Beds { emulated: prepare(BedKind::Emulated, around)?, replayed: prepare(BedKind::Replayed, around)? };
    let jobs: Vec<compare::Job<'_>> = mixes
        .iter()
        .flat_map(|mix| [PolicyKind::StayPut, request.policy].map(|policy| compare::Job { mix, policy }))
        .collect();
    let compared: Vec<String> = jobs.iter().map(compare::Job::name).collect();
    let timed: Vec<String> = if request.timed_quanta > 0 { vec!["speed".to_owned()] } else { Vec::new() };
    let cycles = (request.quantum_cycles, request.quanta);
    let runs = [&compared[..], &timed].concat();
    let plan = Plan::here(Replay::SURVEY, &beds.replayed, request.machine.text(), cycles, request.seed, runs);
    let folder = SurveyFolder::open(plan, around)?;
    let memory_mib = mixes.iter().flat_map(|mix| &mix.guests).map(|guest| guest.memory_mib).max().unwrap_or(0);
    let measure = |place: usize, label: &str| {
        compare::measure(&beds, jobs[place], request.quanta, label, &folder.consoles(), around)
    };
    let agreements = folder.findings(&compared, at_once(mixes::GUESTS, memory_mib), around, &measure)?;
    // One at a time and nothing beside it: what others do to the processor's caches is no cost of the replay.
    let clock = |_: usize, label: &str| speed::measure(&beds.replayed, &mixes, request, label, around);
    let speed = folder.findings(&timed, 1, around, &clock)?.pop();
    let replay = Replay {
        machine: MachineFacts::of(&request.machine),
        quantum_cycles: request.quantum_cycles,
        quanta: request.quanta,
        seed: request.seed,
        agreements,
        speed,
    };
    Ok(Outcome { folder: folder.complete(&replay, &beds.replayed)?, found: replay })
}

impl Collected for Replay {
    const SURVEY: &'static str = "replay";

    fn check(&self) -> Result<(), String> {
        if self.agreements.is_empty() {
            return Err("it compares nothing".to_owned());
        }
        let uneven = |agreement: &&Agreement| agreement.guests.iter().any(|guest| !guest.is_sound());
        match self.agreements.iter().find(uneven) {
            Some(agreement) => Err(format!("{} has hosts with different quanta", agreement.mix)),
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
