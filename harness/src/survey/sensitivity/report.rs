//! From answers to what people read: slowdowns and ranks by variant, and which conclusions hold.

use std::cmp::Ordering;

use super::rank::{compare, kendall};
use super::{Answers, Sensitivity, figures};
use crate::report::ReportError;
use crate::report::metrics::Spread;
use crate::report::text::{Align, Table, cell, csv, number, percent};
use crate::survey::corun::{Pair, SUFFERS};
use crate::survey::{SUMMARY, TextFile};

/// The page on method and bias.
const README: &str = include_str!("README.md");

/// Slowdowns that differ by less than this share of the larger count as equal.
const TOLERANCE: f64 = 0.02;

pub(super) fn render(found: &Sensitivity) -> Result<Vec<TextFile>, ReportError> {
    Ok(vec![
        TextFile::new("README.md", README),
        TextFile::new(SUMMARY, summary(found)),
        TextFile::new("sensitivity.csv", table_for_programs(found)),
        TextFile::figure("slowdowns.svg", figures::slowdowns(found))?,
    ])
}

/// The hosts, the one that is the truth first.
pub(super) fn hosts(found: &Sensitivity) -> Vec<&str> {
    let mut hosts: Vec<&str> = Vec::new();
    for answers in &found.answers {
        if !hosts.contains(&answers.host.as_str()) {
            hosts.push(&answers.host);
        }
    }
    hosts
}

/// The answers of `host` under the survey's own seed, the machine as it is first.
pub(super) fn variants<'a>(found: &'a Sensitivity, host: &'a str) -> Vec<&'a Answers> {
    found.answers.iter().filter(|answers| answers.host == host && answers.seed == found.seed).collect()
}

/// Both sides' slowdowns, pair after pair.
fn sides(answers: &Answers) -> Vec<f64> {
    answers.pairs.iter().flat_map(|pair| pair.sides.each_ref().map(|side| side.slowdown())).collect()
}

/// Who suffers more of a pair: the first (greater), the second (less), or neither by more than the tolerance.
fn sufferer(pair: &Pair) -> Ordering {
    compare(pair.sides[0].slowdown(), pair.sides[1].slowdown(), TOLERANCE)
}

/// What one set of answers keeps of another's conclusions.
struct Kept {
    same_sufferer: Vec<bool>,
    same_verdict: Vec<bool>,
    tau_of_pairs: Option<f64>,
    tau_of_sides: Option<f64>,
    largest_difference: Option<f64>,
}

impl Kept {
    fn of(base: &Answers, other: &Answers) -> Self {
        let each =
            |same: fn(&Pair, &Pair) -> bool| base.pairs.iter().zip(&other.pairs).map(|(a, b)| same(a, b)).collect();
        let worst = |answers: &Answers| answers.pairs.iter().map(Pair::worst).collect::<Vec<_>>();
        let differences: Vec<f64> =
            sides(base).iter().zip(sides(other)).map(|(base, other)| (other / base - 1.0).abs()).collect();
        Self {
            same_sufferer: each(|a, b| sufferer(a) == sufferer(b)),
            same_verdict: each(|a, b| a.suffers() == b.suffers()),
            tau_of_pairs: kendall(&worst(base), &worst(other), TOLERANCE),
            tau_of_sides: kendall(&sides(base), &sides(other), TOLERANCE),
            largest_difference: Spread::of(&differences).map(|spread| spread.most),
        }
    }
}

fn pair_name(found: &Sensitivity, place: usize) -> String {
    found.questions[place].programs.join(" + ")
}

/// `5 of 6`, with the pairs that differ.
fn kept(found: &Sensitivity, same: &[bool]) -> String {
    let other: Vec<String> =
        same.iter().enumerate().filter(|(_, same)| !**same).map(|(place, _)| pair_name(found, place)).collect();
    let count = format!("{} of {}", same.len() - other.len(), same.len());
    if other.is_empty() { count } else { format!("{count}; not {}", other.join(", ")) }
}

fn summary(found: &Sensitivity) -> String {
    let hosts = hosts(found);
    let cycles = found.quantum_cycles as f64 / 1e6;
    let mut text = format!(
        "# What slowdowns on {} depend on\n\n{}\n\n{} pairs, {} quanta of {cycles} M cycles each, seed {}. \
         [README.md](README.md) says how this was measured and how not to read it; `sensitivity.csv` has every number.\n\n",
        found.machine.name,
        conclusions(found).join("\n\n"),
        found.questions.len(),
        found.quanta,
        found.seed,
    );
    text += "## The pairs\n\n";
    text += &questions(found).markdown();
    for (place, host) in hosts.iter().enumerate() {
        text += &format!(
            "\n## Slowdowns on the {host} host\n\nOf each side beside the other; in brackets its rank among all sides of that \
             machine, 1 suffers most.\n\n"
        );
        text += &slowdowns(found, host).markdown();
        if place == 0 {
            text += "\n![Slowdowns by variant](slowdowns.svg)\n";
        }
        text += &format!(
            "\n### Which conclusions hold\n\nEach machine's answers against those of the machine as it is, {host} host. Who suffers: whether the same side is \
             slowed down more (sides within {} are equal). Above {SUFFERS}: whether the pair is on the same side of it. Tau: Kendall's tau-b of \
             the order, of pairs by their worse side and of all sides.\n\n",
            percent(Some(TOLERANCE), 0),
        );
        text += &held(found, host).markdown();
    }
    for other in hosts.iter().skip(1) {
        text += &format!(
            "\n## The {other} host against the {} host\n\nThe same machine on both, machine by machine.\n\n",
            hosts[0]
        );
        text += &between_hosts(found, hosts[0], other).markdown();
    }
    text += "\n## Under other placements of pages\n\nThe machine as it is under several seeds: differences between machines that are smaller than this \
             spread mean nothing.\n\n";
    text + &seeds(found, hosts[0]).markdown()
}

/// One sentence for each conclusion: under which machines it holds.
fn conclusions(found: &Sensitivity) -> Vec<String> {
    let host = hosts(found)[0];
    let answers = variants(found, host);
    let Some((base, others)) = answers.split_first() else { return Vec::new() };
    let against: Vec<(&str, Kept)> =
        others.iter().map(|other| (other.variant.as_str(), Kept::of(base, other))).collect();
    let told = |what: &str, holds: &dyn Fn(&Kept) -> bool| {
        let failing: Vec<&str> = against.iter().filter(|(_, kept)| !holds(kept)).map(|(variant, _)| *variant).collect();
        if failing.is_empty() {
            format!("**{what}** is the same for every pair under all {} variants.", against.len())
        } else {
            format!("**{what}** is not the same for every pair under {}.", failing.join(", "))
        }
    };
    let least = against.iter().filter_map(|(variant, kept)| Some((kept.tau_of_pairs?, *variant)));
    let least = least.min_by(|left, right| left.0.total_cmp(&right.0));
    let order = least.map_or("**The order of pairs** cannot be told.".to_owned(), |(tau, variant)| {
        format!(
            "**The order of pairs** by their worse side agrees with a tau-b of {tau:.2} or more; least under {variant}."
        )
    });
    vec![
        told("Who suffers", &|kept| kept.same_sufferer.iter().all(|same| *same)),
        told("Whether a side is slowed down more than 1.2 times", &|kept| kept.same_verdict.iter().all(|same| *same)),
        order,
    ]
}

fn questions(found: &Sensitivity) -> Table {
    let mut table = Table::new([("pair", Align::Left), ("why", Align::Left)]);
    for (place, question) in found.questions.iter().enumerate() {
        table.row([pair_name(found, place), question.why.clone()]);
    }
    table
}

fn slowdowns(found: &Sensitivity, host: &str) -> Table {
    let answers = variants(found, host);
    let heads = answers.iter().map(|answers| (answers.variant.as_str(), Align::Right));
    let mut table = Table::new([("program", Align::Left), ("beside", Align::Left)].into_iter().chain(heads));
    let all: Vec<Vec<f64>> = answers.iter().map(|answers| sides(answers)).collect();
    for (place, question) in found.questions.iter().enumerate() {
        for side in 0..2 {
            let rank = |all: &Vec<f64>| {
                let own = all[2 * place + side];
                let before = all.iter().filter(|other| compare(**other, own, TOLERANCE) == Ordering::Greater).count();
                format!("{own:.3} ({})", before + 1)
            };
            let names = [question.programs[side].clone(), question.programs[1 - side].clone()];
            table.row(names.into_iter().chain(all.iter().map(rank)));
        }
    }
    table
}

fn held(found: &Sensitivity, host: &str) -> Table {
    let mut table = table_of_kept("largest change");
    let answers = variants(found, host);
    for other in answers.iter().skip(1) {
        table.row(row_of(found, &other.variant, &Kept::of(answers[0], other)));
    }
    table
}

fn table_of_kept(last: &'static str) -> Table {
    Table::new([
        ("machine", Align::Left),
        ("who suffers: same in", Align::Left),
        ("above 1.2: same in", Align::Left),
        ("tau of pairs", Align::Right),
        ("tau of sides", Align::Right),
        (last, Align::Right),
    ])
}

fn row_of(found: &Sensitivity, name: &str, against: &Kept) -> [String; 6] {
    [
        name.to_owned(),
        kept(found, &against.same_sufferer),
        kept(found, &against.same_verdict),
        number(against.tau_of_pairs, 2),
        number(against.tau_of_sides, 2),
        percent(against.largest_difference, 1),
    ]
}

fn between_hosts(found: &Sensitivity, truth: &str, other: &str) -> Table {
    let mut table = table_of_kept("largest difference");
    let truths = variants(found, truth);
    for answers in variants(found, other) {
        if let Some(true_answers) = truths.iter().find(|truth| truth.variant == answers.variant) {
            table.row(row_of(found, &answers.variant, &Kept::of(true_answers, answers)));
        }
    }
    table
}

fn seeds(found: &Sensitivity, host: &str) -> Table {
    let mut table = Table::new([
        ("program", Align::Left),
        ("beside", Align::Left),
        ("seeds", Align::Right),
        ("slowdown", Align::Right),
        ("from", Align::Right),
        ("to", Align::Right),
    ]);
    let base = &found.answers[0].variant;
    let all: Vec<Vec<f64>> = found.answers.iter().filter(|a| a.host == host && a.variant == *base).map(sides).collect();
    for (place, question) in found.questions.iter().enumerate() {
        for side in 0..2 {
            let spread = Spread::of(&all.iter().map(|sides| sides[2 * place + side]).collect::<Vec<_>>());
            table.row([
                question.programs[side].clone(),
                question.programs[1 - side].clone(),
                all.len().to_string(),
                number(spread.map(|spread| spread.mean), 3),
                number(spread.map(|spread| spread.least), 3),
                number(spread.map(|spread| spread.most), 3),
            ]);
        }
    }
    table
}

fn table_for_programs(found: &Sensitivity) -> String {
    let heads = [
        "host",
        "machine",
        "seed",
        "program",
        "beside",
        "slowdown",
        "instructions",
        "nanoseconds_alone",
        "nanoseconds_together",
        "llc_misses_alone",
        "llc_misses_together",
    ];
    let rows = found
        .answers
        .iter()
        .flat_map(|answers| answers.pairs.iter().flat_map(move |pair| [0, 1].map(|slot| row(answers, pair, slot))));
    csv(&heads, rows)
}

fn row(answers: &Answers, pair: &Pair, slot: usize) -> Vec<String> {
    let (side, other) = (&pair.sides[slot], &pair.sides[1 - slot]);
    let mut cells = vec![answers.host.clone(), answers.variant.clone(), answers.seed.to_string()];
    cells.extend([side.program.clone(), other.program.clone()]);
    let numbers = [
        Some(side.slowdown()),
        Some(side.instructions),
        Some(side.nanoseconds_alone),
        Some(side.nanoseconds_together),
        side.llc_misses_alone,
        side.llc_misses_together,
    ];
    cells.extend(numbers.map(cell));
    cells
}

pub(super) fn for_terminal(found: &Sensitivity) -> String {
    let host = hosts(found)[0];
    let conclusions = conclusions(found).join("\n").replace("**", "");
    format!("{}\n{}\n{conclusions}", slowdowns(found, host).aligned(), held(found, host).aligned())
}

pub(super) fn as_json(found: &Sensitivity) -> serde_json::Value {
    let answers = found.answers.iter().map(|answers| {
        serde_json::json!({
            "host": answers.host,
            "machine": answers.variant,
            "seed": answers.seed,
            "slowdowns": answers.pairs.iter().map(|pair| pair.sides.each_ref().map(|side| side.slowdown())).collect::<Vec<_>>(),
        })
    });
    serde_json::json!({
        "pairs": found.questions.iter().map(|question| &question.programs).collect::<Vec<_>>(),
        "answers": answers.collect::<Vec<_>>(),
        "conclusions": conclusions(found).iter().map(|line| line.replace("**", "")).collect::<Vec<_>>(),
    })
}
