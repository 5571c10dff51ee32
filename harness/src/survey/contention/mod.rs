//! Rules of contention against the replayed host: how far slowdowns that they tell from guests alone are from those of guests together.
//!
//! Pairs come from a pairs survey that is complete; some are drawn by the seed, half of them with a side that suffers. Mixes of four are
//! drawn here and run on the machine with all four CPUs behind one LLC. What the rules know is of guests alone, each on the pages that it has
//! beside the others: which sets of the LLC they fall into is as much part of a guest as its program. [`predict`] puts it
//! together, [`report`] says what the errors come to.

mod figures;
mod predict;
mod report;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use machine::spec::Machine;
use predictor::contention::{Contention, Pressure, Profile, Rule};
use rand::SeedableRng;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};
use workloads::catalogue::Catalogue;

use self::predict::{Track, slowdowns};
use super::corun::{Pair, Side, compare, series};
use super::folder::{Plan, SurveyFolder};
use super::pairs::Pairs;
use super::play::{Run, Work, choose, mix_of, play, prepare};
use super::{Collected, Outcome, SurveyError, TextFile, found_in};
use crate::curves::profile::{self, Quantum};
use crate::experiment::Surroundings;
use crate::input::InputError;
use crate::machines;
use crate::mix::DEFAULT_MEMORY_MIB;
use crate::report::ReportError;
use crate::testbed::{BedKind, TestBed};
use crate::workers::at_once;

/// Guests of a mix.
const GUESTS: usize = 4;

/// What to survey.
#[derive(Debug, Clone, PartialEq)]
pub struct Request {
    /// A pairs survey's folder; machine, quantum and length are its.
    pub pairs: PathBuf,
    /// How many of its pairs.
    pub drawn: usize,
    /// How many mixes of four guests.
    pub mixes: usize,
    /// What pairs and mixes are drawn by.
    pub seed: u64,
}

/// All that the survey found.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Contended {
    /// The machine of the pairs.
    pub machine: String,
    /// The machine of the mixes.
    pub machine_of_mixes: String,
    /// The control period in cycles.
    pub quantum_cycles: u64,
    /// Length of each run.
    pub quanta: u64,
    /// What pairs and mixes are drawn by.
    pub seed: u64,
    /// Pairs of the pairs survey.
    pub possible: usize,
    /// The pairs drawn.
    pub pairs: Vec<Together>,
    /// The mixes.
    pub mixes: Vec<Together>,
}

/// Guests that ran together.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Together {
    /// Who.
    pub guests: Vec<Slowed>,
}

/// One guest beside the others.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Slowed {
    /// The program's name.
    pub program: String,
    /// How many times as long as alone its work took.
    pub slowdown: f64,
    /// The same as each rule has it.
    pub predicted: BTreeMap<String, f64>,
}

/// What a rule is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Told {
    /// Curves, what one more miss costs, by quantum.
    All,
    /// The same, averaged over the whole run.
    Averaged,
    /// Curves and counters, by quantum.
    Curves,
    /// Counters alone, by quantum.
    Counters,
}

/// A column of the tables.
#[derive(Debug, Clone, Copy)]
struct Variant {
    name: &'static str,
    means: &'static str,
    told: Told,
    additive: bool,
}

const VARIANTS: [Variant; 5] = [
    Variant {
        name: "analytic",
        means: "curves and the cost of a miss, both measured alone, by quantum",
        told: Told::All,
        additive: false,
    },
    Variant {
        name: "analytic-averaged",
        means: "the same, averaged over the whole run",
        told: Told::Averaged,
        additive: false,
    },
    Variant {
        name: "analytic-curves",
        means: "curves measured, the cost of a miss from stall counters",
        told: Told::Curves,
        additive: false,
    },
    Variant {
        name: "analytic-counters",
        means: "no curve, counters alone (`curve: estimated`)",
        told: Told::Counters,
        additive: false,
    },
    Variant {
        name: "additive",
        means: "sensitivity and intensity from counters, by quantum",
        told: Told::Counters,
        additive: true,
    },
];

/// The column of a number that knows nothing of the guests: the mean slowdown of all other pairs.
const MEAN_ONLY: &str = "mean-only";

/// Runs the survey to its end, into a results folder of its own.
pub fn run(request: &Request, around: &Surroundings<'_>) -> Result<Outcome<Contended>, SurveyError> {
    let known: Pairs = found_in(&request.pairs)?;
    let machine_file = request.pairs.join("machine.toml");
    let machine = read_machine(&machine_file)?;
    let wide = wide(&machine).map_err(|error| InputError::new(error, "survey pairs on another machine"))?;
    let catalogue = Catalogue::builtin();
    let mut rng = ChaCha8Rng::seed_from_u64(request.seed);
    let drawn = stratified(&known.pairs, request.drawn, &mut rng);
    let names: Vec<String> = programs_of(&known);
    let mixes = mixes(&names, request.mixes, &mut rng);
    let works: Vec<Work<'_>> = choose(&catalogue, &names)?.into_iter().map(Work::first).collect();
    let names: Vec<&str> = works.iter().map(|work| work.program.name.as_str()).collect();

    let bed = prepare(BedKind::Replayed, around)?;
    let seats: Vec<Seat> = seats(&drawn, &names, &mixes).into_iter().collect();
    let profile_names: Vec<String> =
        seats.iter().map(|seat| format!("profile.{}.slot-{}", works[seat.work].name(), seat.slot)).collect();
    let mix_names: Vec<String> = (1..=mixes.len()).map(|number| format!("mix-{number}")).collect();
    let runs = profile_names.iter().chain(&mix_names).cloned().collect();
    let cycles = (known.quantum_cycles, known.quanta);
    let folder =
        SurveyFolder::open(Plan::here(Contended::SURVEY, &bed, machine.text(), cycles, request.seed, runs), around)?;

    let profiles: Vec<Vec<Quantum>> =
        folder.findings(&profile_names, at_once(1, DEFAULT_MEMORY_MIB), around, &|place, label| {
            let Seat { work, slot } = seats[place];
            let mix = mix_of(&vec![works[work]; slot + 1], &machine, known.quantum_cycles, known.seed)?;
            profile::quanta(&bed, &mix, slot, known.quanta, around.interrupt)
                .map_err(|source| SurveyError::Profile { what: label.to_owned(), source: Box::new(source) })
        })?;
    let sides: Vec<Vec<Side>> =
        folder.findings(&mix_names, at_once(GUESTS, DEFAULT_MEMORY_MIB), around, &|place, label| {
            let guests: Vec<Work<'_>> = mixes[place].iter().map(|index| works[*index]).collect();
            together(&bed, &guests, &wide, &known, (label, &folder), around)
        })?;

    let contention = machines::contention(&machine);
    let profiles = seats.into_iter().zip(profiles).collect();
    let rules = Rules { contention, profiles: &profiles, names: &names, nanoseconds: nanoseconds(&known, &machine) };
    let found = Contended {
        machine: machine.name().to_owned(),
        machine_of_mixes: wide.name().to_owned(),
        quantum_cycles: known.quantum_cycles,
        quanta: known.quanta,
        seed: request.seed,
        possible: known.pairs.len(),
        pairs: drawn.iter().map(|pair| rules.predicted(&pair.sides, mean_without(&known.pairs, Some(pair)))).collect(),
        mixes: sides.iter().map(|sides| rules.predicted(sides, mean_without(&known.pairs, None))).collect(),
    };
    Ok(Outcome { folder: folder.complete(&found, &bed)?, found })
}

fn read_machine(file: &Path) -> Result<Machine, InputError> {
    let text = crate::input::read_text(file)?;
    Machine::from_toml(&text)
        .map_err(|error| InputError::new(error.to_string(), "give a complete pairs survey").in_file(file))
}

/// The same machine with the CPUs of four guests behind its first LLC.
fn wide(machine: &Machine) -> Result<Machine, String> {
    let mut table: toml::Table = machine.text().parse().map_err(|error: toml::de::Error| error.to_string())?;
    let domains = table.get_mut("domain").and_then(toml::Value::as_array_mut);
    let first = domains.and_then(|domains| domains.first_mut()).and_then(toml::Value::as_table_mut);
    first.ok_or("it has no LLC domain")?.insert("cpus".to_owned(), toml::Value::Integer(GUESTS as i64));
    table.insert("name".to_owned(), toml::Value::String(format!("{}-four-behind-one", machine.name())));
    Machine::from_toml(&table.to_string()).map_err(|error| error.to_string())
}

fn nanoseconds(known: &Pairs, machine: &Machine) -> f64 {
    (known.quanta * known.quantum_cycles) as f64 * 1000.0 / f64::from(machine.frequency_mhz())
}

/// The mean slowdown of all pairs but one.
fn mean_without(pairs: &[Pair], left_out: Option<&Pair>) -> f64 {
    let others = pairs.iter().filter(|pair| left_out.is_none_or(|left_out| !std::ptr::eq(*pair, left_out)));
    let slowdowns: Vec<f64> = others.flat_map(|pair| &pair.sides).map(Side::slowdown).collect();
    slowdowns.iter().sum::<f64>() / slowdowns.len().max(1) as f64
}

/// So many pairs, half of them with a side that suffers, as far as there are such.
fn stratified<'a>(pairs: &'a [Pair], many: usize, rng: &mut ChaCha8Rng) -> Vec<&'a Pair> {
    let (mut suffering, mut calm): (Vec<usize>, Vec<usize>) =
        (0..pairs.len()).partition(|place| pairs[*place].suffers());
    suffering.shuffle(rng);
    calm.shuffle(rng);
    let half = many.div_ceil(2).min(suffering.len());
    let mut drawn: Vec<usize> = suffering.into_iter().take(half).chain(calm.into_iter().take(many - half)).collect();
    drawn.sort_unstable();
    drawn.iter().map(|place| &pairs[*place]).collect()
}

/// A program in a place of a pair or mix, by which it has its pages.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Seat {
    /// Place in the list of programs.
    work: usize,
    slot: usize,
}

impl Seat {
    fn of(names: &[&str], program: &str, slot: usize) -> Self {
        let work = names.iter().position(|name| *name == program);
        Self { work: work.expect("the list is of all programs"), slot }
    }
}

/// Everyone who is in a pair or mix.
fn seats(pairs: &[&Pair], names: &[&str], mixes: &[Vec<usize>]) -> BTreeSet<Seat> {
    let in_pairs = pairs
        .iter()
        .flat_map(|pair| pair.sides.iter().enumerate().map(|(slot, side)| Seat::of(names, &side.program, slot)));
    let in_mixes = mixes.iter().flat_map(|mix| mix.iter().enumerate().map(|(slot, work)| Seat { work: *work, slot }));
    in_pairs.chain(in_mixes).collect()
}

/// The programs of the survey, each once, in order.
fn programs_of(known: &Pairs) -> Vec<String> {
    let names = known.pairs.iter().flat_map(|pair| &pair.sides).map(|side| side.program.clone());
    names.collect::<BTreeSet<_>>().into_iter().collect()
}

/// Mixes of four different programs, as places in the catalogue's order.
fn mixes(names: &[String], many: usize, rng: &mut ChaCha8Rng) -> Vec<Vec<usize>> {
    (0..many).map(|_| rand::seq::index::sample(rng, names.len(), GUESTS.min(names.len())).into_vec()).collect()
}

/// Runs guests together, and each alone with the pages that it has there.
fn together(
    bed: &TestBed,
    works: &[Work<'_>],
    machine: &Machine,
    known: &Pairs,
    (label, folder): (&str, &SurveyFolder),
    around: &Surroundings<'_>,
) -> Result<Vec<Side>, SurveyError> {
    let consoles = folder.consoles();
    let mix = mix_of(works, machine, known.quantum_cycles, known.seed)?;
    let run = |mix: &crate::mix::Mix| {
        play(
            bed,
            &Run { label, purpose: "survey-contention", mix, quanta: known.quanta, trace: None, consoles: &consoles },
            around,
        )
    };
    let all = run(&mix)?;
    let side = |slot: usize| -> Result<Side, SurveyError> {
        let alone = run(&mix.alone(slot).expect("one of its guests"))?;
        compare(&works[slot], &series(label, &alone[0]), &series(label, &all[slot]))
            .ok_or_else(|| SurveyError::NoWork { what: label.to_owned() })
    };
    (0..works.len()).map(side).collect()
}

/// Everything that predictions are made from.
struct Rules<'a> {
    contention: Contention,
    profiles: &'a BTreeMap<Seat, Vec<Quantum>>,
    names: &'a [&'a str],
    nanoseconds: f64,
}

impl Rules<'_> {
    fn predicted(&self, sides: &[Side], mean_of_others: f64) -> Together {
        let mut guests: Vec<Slowed> = sides
            .iter()
            .map(|side| Slowed {
                program: side.program.clone(),
                slowdown: side.slowdown(),
                predicted: BTreeMap::from([(MEAN_ONLY.to_owned(), mean_of_others)]),
            })
            .collect();
        for variant in VARIANTS {
            let rule = if variant.additive { Rule::Additive } else { self.contention.rule };
            let contention = Contention { rule, ..self.contention };
            let tracks: Vec<Track> =
                (0..sides.len()).map(|slot| self.track(&sides[slot], slot, variant, &contention)).collect();
            let told = slowdowns(&tracks.iter().collect::<Vec<_>>(), &contention, self.nanoseconds);
            for (guest, slowdown) in guests.iter_mut().zip(told) {
                guest.predicted.insert(variant.name.to_owned(), slowdown);
            }
        }
        Together { guests }
    }

    fn track(&self, side: &Side, slot: usize, variant: Variant, contention: &Contention) -> Track {
        let quanta = &self.profiles[&Seat::of(self.names, &side.program, slot)];
        let told = |profile: Profile| match variant.told {
            Told::All | Told::Averaged => Some(profile),
            Told::Curves => Some(Profile { cycles_per_extra_miss: None, ..profile }),
            Told::Counters => None,
        };
        let quanta: Vec<Quantum> = quanta
            .iter()
            .map(|quantum| {
                let profile = quantum.pressure.profile.and_then(told);
                Quantum { pressure: Pressure { profile, ..quantum.pressure }, ..*quantum }
            })
            .collect();
        match variant.told {
            Told::Averaged => Track::on_average(&quanta, contention),
            _ => Track::by_quantum(&quanta, contention),
        }
    }
}

/// Everything that tells slowdowns.
fn columns() -> impl Iterator<Item = &'static str> {
    VARIANTS.iter().map(|variant| variant.name).chain([MEAN_ONLY])
}

impl Collected for Contended {
    const SURVEY: &'static str = "contention";

    fn check(&self) -> Result<(), String> {
        let whole = |together: &Together| {
            together.guests.iter().all(|guest| columns().all(|column| guest.predicted.contains_key(column)))
        };
        if self.pairs.is_empty() {
            Err("it has no pair".to_owned())
        } else if self.pairs.iter().chain(&self.mixes).all(whole) {
            Ok(())
        } else {
            Err("a guest lacks the slowdown that one of the rules tells".to_owned())
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
