//! Every two programs of the catalogue together in one LLC domain: who slows whom down, and by how much.
//!
//! Each program runs on its first input; a program also runs beside itself. Programs that never end are left out: they sleep, and
//! would only add pairs in which nobody suffers. Some pairs, drawn by the seed, run under two more placements of their pages, and
//! some on the emulated host as well where the survey itself is of another. [`report`] says what the numbers come to.

mod figures;
mod report;

use machine::spec::Machine;
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};
use workloads::catalogue::{Catalogue, Program};

use super::corun::{self, CoRun, CoRuns, Pair, Setting};
use super::folder::{Plan, SurveyFolder};
use super::play::{Work, choose, prepare};
use super::{Collected, Outcome, SurveyError, TextFile};
use crate::experiment::Surroundings;
use crate::input::InputError;
use crate::report::ReportError;
use crate::report::collected::MachineFacts;
use crate::testbed::BedKind;

/// Placements of page colours beside the first, for pairs that run under several.
const MORE_SEEDS: u64 = 2;

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
    /// The seed of page colours and of what is drawn.
    pub seed: u64,
    /// Programs to pair; every program that ends if empty.
    pub programs: Vec<String>,
    /// How many pairs, drawn by the seed; all of them if absent.
    pub pairs: Option<usize>,
    /// How many of these under more seeds.
    pub reseeded: usize,
    /// How many of these on the emulated host as well.
    pub checked: usize,
}

/// All that the survey found.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Pairs {
    /// The kind of host.
    pub host: String,
    /// The machine.
    pub machine: MachineFacts,
    /// The control period in cycles.
    pub quantum_cycles: u64,
    /// Length of each run.
    pub quanta: u64,
    /// The seed.
    pub seed: u64,
    /// How many pairs the programs make; those that ran are drawn from them.
    pub possible: usize,
    /// The pairs, in the order of the catalogue.
    pub pairs: Vec<Pair>,
    /// Some of them under other seeds.
    pub reseeded: Vec<Pair>,
    /// Some of them on the emulated host.
    pub checked: Vec<Pair>,
}

/// Runs the survey to its end, into a results folder of its own.
pub fn run(request: &Request, around: &Surroundings<'_>) -> Result<Outcome<Pairs>, SurveyError> {
    let catalogue = Catalogue::builtin();
    let programs = programs(&catalogue, &request.programs)?;
    let all = every_pair(&programs);
    let possible = all.len();
    let chosen = drawn(&all, request.pairs, request.seed);
    let reseeded = drawn(&chosen, Some(request.reseeded), request.seed);
    let checked = drawn(&chosen, Some(request.checked), request.seed);

    let bed = prepare(request.host, around)?;
    // The same bed twice is no check.
    let truth = if checked.is_empty() { None } else { Some(prepare(BedKind::Emulated, around)?) };
    let setting =
        |name: &str, bed, seed| Setting { name: name.to_owned(), bed, machine: request.machine.clone(), seed };
    let mut settings = vec![setting("", &bed, request.seed)];
    settings.extend(
        (1..=MORE_SEEDS).map(|more| setting(&format!("seed-{}", request.seed + more), &bed, request.seed + more)),
    );
    settings.extend(truth.as_ref().map(|truth| setting("check", truth, request.seed)));

    let place_of_check = settings.len() - 1;
    let mut runs: Vec<CoRun<'_>> = corun::all_at(0, &chosen).collect();
    runs.extend((1..=MORE_SEEDS as usize).flat_map(|more| corun::all_at(more, &reseeded)));
    runs.extend(corun::all_at(place_of_check, &checked));
    let runs = CoRuns::new(settings, runs, request.quantum_cycles)?;

    let cycles = (request.quantum_cycles, request.quanta);
    let plan = Plan::here(Pairs::SURVEY, &bed, request.machine.text(), cycles, request.seed, runs.names());
    let folder = SurveyFolder::open(plan, around)?;
    let mut found = runs.measure(&folder, request.quanta, around)?;
    let checked = found.split_off(found.len() - checked.len());
    let reseeded = found.split_off(chosen.len());
    let pairs = Pairs {
        host: bed.kind().name().to_owned(),
        machine: MachineFacts::of(&request.machine),
        quantum_cycles: request.quantum_cycles,
        quanta: request.quanta,
        seed: request.seed,
        possible,
        pairs: found,
        reseeded,
        checked,
    };
    Ok(Outcome { folder: folder.complete(&pairs, &bed)?, found: pairs })
}

/// The programs of these names, which have to end; every one that does if there is no name.
fn programs<'a>(catalogue: &'a Catalogue, names: &[String]) -> Result<Vec<&'a Program>, InputError> {
    let (ending, endless): (Vec<_>, Vec<_>) =
        choose(catalogue, names)?.into_iter().partition(|program| program.inputs()[0].checksum.is_some());
    match endless.first().filter(|_| !names.is_empty()) {
        Some(program) => {
            let problem = format!("{:?} never ends, so that it has no work to compare", program.name);
            Err(InputError::new(problem, "leave it out").at("--program"))
        }
        None => Ok(ending),
    }
}

/// Every two of `programs`, each also with itself, in their order.
fn every_pair<'a>(programs: &[&'a Program]) -> Vec<[Work<'a>; 2]> {
    let from = |(place, left): (usize, &&'a Program)| {
        let left = Work::first(left);
        programs[place..].iter().map(move |right| [left, Work::first(right)]).collect::<Vec<_>>()
    };
    programs.iter().enumerate().flat_map(from).collect()
}

/// So many of `pairs`, drawn by `seed`, in their order; all of them if there is no number.
fn drawn<'a>(pairs: &[[Work<'a>; 2]], many: Option<usize>, seed: u64) -> Vec<[Work<'a>; 2]> {
    let many = many.unwrap_or(pairs.len()).min(pairs.len());
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let mut places = rand::seq::index::sample(&mut rng, pairs.len(), many).into_vec();
    places.sort_unstable();
    places.into_iter().map(|place| pairs[place]).collect()
}

impl Collected for Pairs {
    const SURVEY: &'static str = "pairs";

    fn check(&self) -> Result<(), String> {
        if self.pairs.is_empty() { Err("it has no pair".to_owned()) } else { Ok(()) }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_two_programs_meet_once_and_each_meets_itself() {
        let catalogue = Catalogue::builtin();
        let programs = programs(&catalogue, &[]).expect("sound");
        let pairs = every_pair(&programs);
        assert_eq!(pairs.len(), programs.len() * (programs.len() + 1) / 2);
        assert!(pairs.iter().all(|pair| pair.iter().all(|work| work.program.name != "idle")));
    }

    #[test]
    fn a_sample_is_the_seeds_and_keeps_the_order() {
        let catalogue = Catalogue::builtin();
        let all = every_pair(&programs(&catalogue, &[]).expect("sound"));
        let names = |pairs: &[[Work<'_>; 2]]| -> Vec<String> {
            pairs.iter().map(|pair| format!("{}+{}", pair[0].name(), pair[1].name())).collect()
        };
        let (all_names, sample) = (names(&all), names(&drawn(&all, Some(7), 1)));
        assert_eq!(sample, names(&drawn(&all, Some(7), 1)));
        assert_ne!(sample, names(&drawn(&all, Some(7), 2)));
        let places: Vec<_> = sample.iter().map(|name| all_names.iter().position(|known| known == name)).collect();
        assert!(places.is_sorted() && places.len() == 7, "{places:?}");
        assert_eq!(drawn(&all, None, 1).len(), all.len());
        assert_eq!(drawn(&all, Some(100_000), 1).len(), all.len());
    }
}
