//! Whether what the bed says depends on what was assumed: the same pairs on machines that differ in one thing.
//!
//! Six pairs, one for each question that one would ask of neighbours ([`PAIRS`]), run on the machine as it is and on its
//! [`variants`]; on the machine as it is also under two more placements of pages, to tell a difference from chance. With a
//! second host everything runs there as well. [`report`] says which conclusions hold.

mod figures;
mod rank;
mod report;
mod variants;

use machine::spec::Machine;
use serde::{Deserialize, Serialize};
use workloads::catalogue::Catalogue;

use self::variants::Change;
use super::corun::{self, CoRuns, Pair, Setting};
use super::folder::{Plan, SurveyFolder};
use super::play::{Work, prepare};
use super::{Collected, Outcome, SurveyError, TextFile};
use crate::experiment::Surroundings;
use crate::input::{InputError, suggest};
use crate::report::ReportError;
use crate::report::collected::MachineFacts;
use crate::testbed::{BedKind, TestBed};

/// Placements of page colours beside the first, on the machine as it is.
const MORE_SEEDS: u64 = 2;

/// The pairs, chosen by what they ask before anything of them was measured.
pub const PAIRS: [(&str, &str, &str); 6] = [
    ("chase-768k", "stream-8m", "one needs the LLC's capacity, the other streams through it"),
    ("chase-8m", "gather-8m", "one waits for memory, the other uses its bandwidth"),
    ("stream-8m", "stencil-4m", "two streams"),
    ("blackscholes-64k", "stream-8m", "one computes in its private caches"),
    ("bzip2", "cc1", "two real programs, the catalogue's first"),
    ("phased-three", "chase-768k", "one has phases"),
];

/// What to survey.
#[derive(Debug, Clone, PartialEq)]
pub struct Request {
    /// Where guests run: the first is the truth, others are compared with it.
    pub hosts: Vec<BedKind>,
    /// The machine whose variants run.
    pub machine: Machine,
    /// The control period in cycles.
    pub quantum_cycles: u64,
    /// Length of each run.
    pub quanta: u64,
    /// The seed of page colours.
    pub seed: u64,
    /// Pairs as `ONE+OTHER`; [`PAIRS`] if empty.
    pub pairs: Vec<String>,
}

/// Two programs and why they are asked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Question {
    /// The programs, on their first inputs.
    pub programs: [String; 2],
    /// What the pair is for.
    pub why: String,
}

/// All pairs on one machine, host and seed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Answers {
    /// The kind of host.
    pub host: String,
    /// What was changed, as `llc-x0.5`; the first of all answers is of the machine as it is.
    pub variant: String,
    /// The seed.
    pub seed: u64,
    /// The pairs, in the order of the questions.
    pub pairs: Vec<Pair>,
}

/// All that the survey found.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Sensitivity {
    /// The machine whose variants ran.
    pub machine: MachineFacts,
    /// The control period in cycles.
    pub quantum_cycles: u64,
    /// Length of each run.
    pub quanta: u64,
    /// The seed of all answers but those that show the spread over seeds.
    pub seed: u64,
    /// The pairs.
    pub questions: Vec<Question>,
    /// By host, then by variant, then the further seeds.
    pub answers: Vec<Answers>,
}

/// Runs the survey to its end, into a results folder of its own.
pub fn run(request: &Request, around: &Surroundings<'_>) -> Result<Outcome<Sensitivity>, SurveyError> {
    let catalogue = Catalogue::builtin();
    let questions = questions(&catalogue, &request.pairs)?;
    let works = questions.iter().map(|question| works(&catalogue, question)).collect::<Result<Vec<_>, _>>()?;
    let variants = variants(&request.machine)?;
    let beds = request.hosts.iter().map(|host| prepare(*host, around)).collect::<Result<Vec<_>, _>>()?;
    let settings: Vec<Setting<'_>> = beds.iter().flat_map(|bed| settings_on(bed, &variants, request)).collect();
    let runs = (0..settings.len()).flat_map(|place| corun::all_at(place, &works)).collect::<Vec<_>>();
    let runs = CoRuns::new(settings.clone(), runs, request.quantum_cycles)?;

    let cycles = (request.quantum_cycles, request.quanta);
    let plan = Plan::here(Sensitivity::SURVEY, &beds[0], request.machine.text(), cycles, request.seed, runs.names());
    let folder = SurveyFolder::open(plan, around)?;
    let found = runs.measure(&folder, request.quanta, around)?;
    let answers = settings.iter().zip(found.chunks(questions.len())).map(|(setting, pairs)| Answers {
        host: setting.bed.kind().name().to_owned(),
        variant: variant_of(setting, &variants).to_owned(),
        seed: setting.seed,
        pairs: pairs.to_vec(),
    });
    let sensitivity = Sensitivity {
        machine: MachineFacts::of(&request.machine),
        quantum_cycles: request.quantum_cycles,
        quanta: request.quanta,
        seed: request.seed,
        answers: answers.collect(),
        questions,
    };
    Ok(Outcome { folder: folder.complete(&sensitivity, &beds[0])?, found: sensitivity })
}

/// A variant's name and the machine.
type Variant = (&'static str, Machine);

fn variants(machine: &Machine) -> Result<Vec<Variant>, InputError> {
    let of = |change: Change| -> Result<Variant, InputError> {
        let name = change.name(machine);
        let impossible = |error: machine::spec::SpecError| {
            let problem = format!("its variant {name} is no machine: {}: {}", error.key, error.problem);
            InputError::new(problem, "survey a machine whose sizes can be halved and doubled").at("--machine")
        };
        Ok((name, change.of(machine).map_err(impossible)?))
    };
    Change::ALL.into_iter().map(of).collect()
}

/// Every variant under the request's seed, then the machine as it is under more.
fn settings_on<'a>(bed: &'a TestBed, variants: &[Variant], request: &Request) -> Vec<Setting<'a>> {
    let host = bed.kind().name();
    let under = |(name, machine): &Variant, seed: u64| Setting {
        name: format!("{host}.{name}.seed-{seed}"),
        bed,
        machine: machine.clone(),
        seed,
    };
    let more = (1..=MORE_SEEDS).map(|more| under(&variants[0], request.seed + more));
    variants.iter().map(|variant| under(variant, request.seed)).chain(more).collect()
}

fn variant_of(setting: &Setting<'_>, variants: &[Variant]) -> &'static str {
    let found = variants.iter().find(|(_, machine)| *machine == setting.machine);
    found.map(|(name, _)| *name).expect("every setting is of one of the variants")
}

fn questions(catalogue: &Catalogue, pairs: &[String]) -> Result<Vec<Question>, InputError> {
    if pairs.is_empty() {
        let question = |(one, other, why): (&str, &str, &str)| Question {
            programs: [one.to_owned(), other.to_owned()],
            why: why.to_owned(),
        };
        return Ok(PAIRS.map(question).to_vec());
    }
    let known: Vec<&str> = catalogue.programs().iter().map(|program| program.name.as_str()).collect();
    let question = |pair: &String| -> Result<Question, InputError> {
        let (one, other) = pair.split_once('+').ok_or_else(|| {
            InputError::new(format!("{pair:?} is no pair"), "give two programs, as bzip2+cc1").at("--pair")
        })?;
        match [one, other].into_iter().find(|name| !known.contains(name)) {
            Some(unknown) => {
                let problem = format!("no program is called {unknown:?}");
                Err(InputError::new(problem, suggest(unknown, &known)).at("--pair"))
            }
            None => Ok(Question { programs: [one.to_owned(), other.to_owned()], why: "asked for".to_owned() }),
        }
    };
    pairs.iter().map(question).collect()
}

fn works<'a>(catalogue: &'a Catalogue, question: &Question) -> Result<[Work<'a>; 2], InputError> {
    let work = |name: &String| {
        let program =
            catalogue.program(name).map_err(|error| InputError::new(error.to_string(), "give others").at("--pair"))?;
        Ok(Work::first(program))
    };
    let [one, other] = &question.programs;
    Ok([work(one)?, work(other)?])
}

impl Collected for Sensitivity {
    const SURVEY: &'static str = "sensitivity";

    fn check(&self) -> Result<(), String> {
        let questions = self.questions.len();
        if questions == 0 || self.answers.is_empty() {
            return Err("it has no question or no answer".to_owned());
        }
        match self.answers.iter().find(|answers| answers.pairs.len() != questions) {
            Some(answers) => Err(format!("{} on {} has not an answer for each pair", answers.variant, answers.host)),
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pairs_are_of_programs_that_exist_and_end() {
        let catalogue = Catalogue::builtin();
        for question in questions(&catalogue, &[]).expect("sound") {
            for work in works(&catalogue, &question).expect("both exist") {
                assert!(work.program.inputs()[0].checksum.is_some(), "{}", work.program.name);
            }
        }
    }
}
