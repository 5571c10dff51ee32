//! From pairs to what people read: the two shares, who suffers and who presses, the list, the heat map.

use super::{Pairs, figures};
use crate::report::ReportError;
use crate::report::metrics::Spread;
use crate::report::text::{Align, Table, cell, csv, number, percent};
use crate::survey::corun::{Pair, SUFFERS, Side};
use crate::survey::{SUMMARY, TextFile};

/// The page on method and bias.
const README: &str = include_str!("README.md");

/// Sides that are slowed down by less than this do not notice each other.
const UNNOTICED: f64 = 1.05;

/// The bed should have at least this share of pairs of either kind.
const WANTED: f64 = 1.0 / 3.0;

/// Pairs that the summary lists; `pairs.csv` has all.
const LISTED: usize = 20;

pub(super) fn render(pairs: &Pairs) -> Result<Vec<TextFile>, ReportError> {
    Ok(vec![
        TextFile::new("README.md", README),
        TextFile::new(SUMMARY, summary(pairs)),
        TextFile::new("pairs.csv", table_for_programs(pairs)),
        TextFile::figure("slowdowns.svg", figures::heat_map(pairs))?,
    ])
}

/// How many of the pairs have a side that suffers, and how many do not notice each other.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Shares {
    suffering: f64,
    unnoticed: f64,
}

impl Shares {
    fn of(pairs: &Pairs) -> Self {
        let share = |of: &dyn Fn(&Pair) -> bool| {
            pairs.pairs.iter().filter(|pair| of(pair)).count() as f64 / pairs.pairs.len() as f64
        };
        Self { suffering: share(&Pair::suffers), unnoticed: share(&|pair| pair.worst() < UNNOTICED) }
    }

    fn verdict(self) -> String {
        let lacking: Vec<&str> =
            [(self.suffering, "pairs that suffer"), (self.unnoticed, "pairs that do not notice each other")]
                .into_iter()
                .filter(|(share, _)| *share < WANTED)
                .map(|(_, what)| what)
                .collect();
        if lacking.is_empty() {
            "The bed has both: at least a third of the pairs are of either kind.".to_owned()
        } else {
            format!("The bed lacks {}: they are less than a third.", lacking.join(" and "))
        }
    }
}

fn shares(pairs: &Pairs) -> String {
    let shares = Shares::of(pairs);
    format!(
        "{} of {} pairs have a side slowed down more than {SUFFERS} times; in {} neither is by {UNNOTICED} or more. {}",
        percent(Some(shares.suffering), 1),
        pairs.pairs.len(),
        percent(Some(shares.unnoticed), 1),
        shares.verdict(),
    )
}

fn summary(pairs: &Pairs) -> String {
    let cycles = pairs.quantum_cycles as f64 / 1e6;
    let drawn = if pairs.pairs.len() < pairs.possible {
        format!(", drawn by the seed from {}", pairs.possible)
    } else {
        String::new()
    };
    let mut text = format!(
        "# Every two programs in one LLC domain of {}, {} host\n\n**{}**\n\n{} pairs{drawn}, {} quanta of {cycles} M cycles each, seed \
         {}. [README.md](README.md) says how this was measured and how not to read it; `pairs.csv` has every pair.\n\n",
        pairs.machine.name,
        pairs.host,
        shares(pairs),
        pairs.pairs.len(),
        pairs.quanta,
        pairs.seed,
    );
    text += "![Slowdown of each program beside each other](slowdowns.svg)\n\n## By program\n\nMean over the programs beside which it ran, itself \
             included; the program that presses most stands first.\n\n";
    text += &by_program(pairs).markdown();
    text += &format!("\n## The {} pairs that suffer most\n\n", LISTED.min(pairs.pairs.len()));
    let mut worst: Vec<&Pair> = pairs.pairs.iter().collect();
    worst.sort_by(|left, right| right.worst().total_cmp(&left.worst()));
    text += &listed(&worst[..LISTED.min(worst.len())]).markdown();
    if !pairs.reseeded.is_empty() {
        text += "\n## Under other placements of pages\n\nThe same pairs under several seeds, each compared with its own runs alone.\n\n";
        text += &reseeded(pairs).markdown();
    }
    if !pairs.checked.is_empty() {
        text += &format!("\n## The same pairs on the emulated host\n\n{}\n\n", agreement(pairs));
        text += &checked(pairs).markdown();
    }
    text
}

/// What a program suffers from others and does to them.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Role {
    pub(super) program: String,
    suffered: Vec<(f64, String)>,
    inflicted: Vec<(f64, String)>,
}

impl Role {
    fn mean(of: &[(f64, String)]) -> f64 {
        of.iter().map(|(slowdown, _)| slowdown).sum::<f64>() / of.len() as f64
    }

    fn worst(of: &[(f64, String)]) -> Option<&(f64, String)> {
        of.iter().max_by(|left, right| left.0.total_cmp(&right.0))
    }

    /// Mean slowdown of the others beside it.
    pub(super) fn pressure(&self) -> f64 {
        Self::mean(&self.inflicted)
    }
}

/// Every program's role, the one that presses most first.
pub(super) fn roles(pairs: &Pairs) -> Vec<Role> {
    let mut roles: Vec<Role> = Vec::new();
    let mut add = |sufferer: &Side, presser: &Side| {
        for (side, other, suffers) in [(sufferer, presser, true), (presser, sufferer, false)] {
            let place = roles.iter().position(|role| role.program == side.program).unwrap_or_else(|| {
                roles.push(Role { program: side.program.clone(), suffered: Vec::new(), inflicted: Vec::new() });
                roles.len() - 1
            });
            let entry = (sufferer.slowdown(), other.program.clone());
            if suffers { roles[place].suffered.push(entry) } else { roles[place].inflicted.push(entry) }
        }
    };
    for Pair { sides: [left, right], .. } in &pairs.pairs {
        add(left, right);
        add(right, left);
    }
    roles.sort_by(|left, right| right.pressure().total_cmp(&left.pressure()).then(left.program.cmp(&right.program)));
    roles
}

/// Slowdown of `sufferer` beside `presser`; of a program beside itself the mean of both sides.
pub(super) fn slowdown_of(pairs: &Pairs, sufferer: &str, presser: &str) -> Option<f64> {
    let found = pairs.pairs.iter().flat_map(|Pair { sides: [left, right], .. }| [(left, right), (right, left)]);
    let found: Vec<f64> = found
        .filter(|(side, other)| side.program == sufferer && other.program == presser)
        .map(|(side, _)| side.slowdown())
        .collect();
    Spread::of(&found).map(|spread| spread.mean)
}

fn by_program(pairs: &Pairs) -> Table {
    let right = |head: &'static str| (head, Align::Right);
    let left = |head: &'static str| (head, Align::Left);
    let mut table = Table::new([
        left("program"),
        right("slows others"),
        right("at most"),
        left("whom"),
        right("is slowed"),
        right("at most"),
        left("by"),
    ]);
    for role in roles(pairs) {
        let most = |of: &[(f64, String)]| {
            Role::worst(of)
                .map_or([String::new(), String::new()], |(slowdown, who)| [number(Some(*slowdown), 2), who.clone()])
        };
        let ([inflicted, whom], [suffered, by]) = (most(&role.inflicted), most(&role.suffered));
        let suffers = number(Some(Role::mean(&role.suffered)), 3);
        table.row([role.program.clone(), number(Some(role.pressure()), 3), inflicted, whom, suffers, suffered, by]);
    }
    table
}

fn listed(pairs: &[&Pair]) -> Table {
    let mut table = Table::new([
        ("one", Align::Left),
        ("slowdown", Align::Right),
        ("LLC misses alone", Align::Right),
        ("together", Align::Right),
        ("other", Align::Left),
        ("slowdown", Align::Right),
        ("LLC misses alone", Align::Right),
        ("together", Align::Right),
    ]);
    for pair in pairs {
        table.row(pair.sides.iter().flat_map(|side| {
            [
                side.program.clone(),
                number(Some(side.slowdown()), 3),
                number(side.misses_alone_per_kilo_instruction(), 2),
                number(side.misses_together_per_kilo_instruction(), 2),
            ]
        }));
    }
    table
}

fn reseeded(pairs: &Pairs) -> Table {
    let mut table = Table::new([
        ("program", Align::Left),
        ("beside", Align::Left),
        ("seeds", Align::Right),
        ("slowdown", Align::Right),
        ("from", Align::Right),
        ("to", Align::Right),
    ]);
    for pair in pairs.pairs.iter().filter(|pair| pairs.reseeded.iter().any(|other| same(pair, other))) {
        for side in 0..2 {
            let others = pairs.reseeded.iter().filter(|other| same(pair, other));
            let all: Vec<f64> = std::iter::once(pair).chain(others).map(|pair| pair.sides[side].slowdown()).collect();
            let spread = Spread::of(&all);
            table.row([
                pair.sides[side].program.clone(),
                pair.sides[1 - side].program.clone(),
                all.len().to_string(),
                number(spread.map(|spread| spread.mean), 3),
                number(spread.map(|spread| spread.least), 3),
                number(spread.map(|spread| spread.most), 3),
            ]);
        }
    }
    table
}

/// Whether the same programs ran.
fn same(left: &Pair, right: &Pair) -> bool {
    let names = |pair: &Pair| pair.sides.each_ref().map(|side| (side.program.clone(), side.input.clone()));
    names(left) == names(right)
}

/// Each checked side: the slowdown here, and on the emulated host.
fn checks(pairs: &Pairs) -> Vec<(&Side, &Side, f64)> {
    let here = |checked: &Pair| pairs.pairs.iter().find(|pair| same(pair, checked));
    let both = pairs.checked.iter().filter_map(|checked| Some((here(checked)?, checked)));
    both.flat_map(|(here, there)| {
        [0, 1].map(|side| (&here.sides[side], &here.sides[1 - side], there.sides[side].slowdown()))
    })
    .collect()
}

fn agreement(pairs: &Pairs) -> String {
    let differences: Vec<f64> =
        checks(pairs).iter().map(|(side, _, emulated)| (side.slowdown() / emulated - 1.0).abs()).collect();
    let spread = Spread::of(&differences);
    format!(
        "Slowdowns of {} pairs drawn by the seed differ by {} on average and {} at most.",
        pairs.checked.len(),
        percent(spread.map(|spread| spread.mean), 2),
        percent(spread.map(|spread| spread.most), 2),
    )
}

fn checked(pairs: &Pairs) -> Table {
    let heads = [("program", Align::Left), ("beside", Align::Left)];
    let numbers = [pairs.host.as_str(), "emulated", "difference"].map(|head| (head, Align::Right));
    let mut table = Table::new(heads.into_iter().chain(numbers));
    for (side, other, emulated) in checks(pairs) {
        let slowdown = side.slowdown();
        table.row([
            side.program.clone(),
            other.program.clone(),
            number(Some(slowdown), 3),
            number(Some(emulated), 3),
            percent(Some(slowdown / emulated - 1.0), 2),
        ]);
    }
    table
}

fn table_for_programs(pairs: &Pairs) -> String {
    let heads = [
        "set",
        "seed",
        "program",
        "input",
        "slot",
        "beside",
        "slowdown",
        "instructions",
        "nanoseconds_alone",
        "nanoseconds_together",
        "llc_misses_alone",
        "llc_misses_together",
    ];
    let sets = [("pairs", &pairs.pairs), ("reseeded", &pairs.reseeded), ("checked", &pairs.checked)];
    let rows = sets
        .into_iter()
        .flat_map(|(set, pairs)| pairs.iter().flat_map(move |pair| [0, 1].map(|slot| row(set, pair, slot))));
    csv(&heads, rows)
}

fn row(set: &str, pair: &Pair, slot: usize) -> Vec<String> {
    let (side, other) = (&pair.sides[slot], &pair.sides[1 - slot]);
    let mut cells = vec![set.to_owned(), pair.seed.to_string(), side.program.clone(), side.input.clone()];
    cells.extend([slot.to_string(), other.program.clone()]);
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

pub(super) fn for_terminal(pairs: &Pairs) -> String {
    format!("{}\n{}", by_program(pairs).aligned(), shares(pairs))
}

pub(super) fn as_json(pairs: &Pairs) -> serde_json::Value {
    let shares = Shares::of(pairs);
    let side = |side: &Side| serde_json::json!({ "program": side.program, "slowdown": side.slowdown() });
    serde_json::json!({
        "share_with_a_side_above_1.2": shares.suffering,
        "share_with_both_below_1.05": shares.unnoticed,
        "pairs": pairs.pairs.iter().map(|pair| pair.sides.each_ref().map(side)).collect::<Vec<_>>(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::collected::MachineFacts;

    fn side(program: &str, slowdown: f64) -> Side {
        Side {
            program: program.to_owned(),
            input: "ref".to_owned(),
            instructions: 1000.0,
            nanoseconds_alone: 100.0,
            nanoseconds_together: 100.0 * slowdown,
            llc_misses_alone: Some(1.0),
            llc_misses_together: None,
        }
    }

    fn pairs(of: &[(&str, f64, &str, f64)]) -> Pairs {
        let pair = |(left, first, right, second): &(&str, f64, &str, f64)| Pair {
            seed: 1,
            sides: [side(left, *first), side(right, *second)],
        };
        Pairs {
            host: "simulated".to_owned(),
            machine: MachineFacts {
                name: "small".to_owned(),
                cpus_per_domain: vec![2],
                llc_kib: None,
                frequency_mhz: None,
                refill_cycles: None,
            },
            quantum_cycles: 1,
            quanta: 1,
            seed: 1,
            possible: of.len(),
            pairs: of.iter().map(pair).collect(),
            reseeded: Vec::new(),
            checked: Vec::new(),
        }
    }

    #[test]
    fn a_pair_is_told_by_its_worse_side_and_may_be_of_neither_kind() {
        let found = pairs(&[("a", 1.0, "a", 1.0), ("a", 1.1, "b", 1.0), ("b", 1.04, "b", 1.3)]);
        let shares = Shares::of(&found);
        assert_eq!((shares.suffering, shares.unnoticed), (1.0 / 3.0, 1.0 / 3.0));
        assert!(shares.verdict().starts_with("The bed has both"));
        let mild = Shares::of(&pairs(&[("a", 1.1, "b", 1.0)]));
        assert!(mild.verdict().contains("pairs that suffer and pairs that do not notice"), "{}", mild.verdict());
    }

    #[test]
    fn who_presses_is_not_who_suffers() {
        let found = pairs(&[("meek", 1.5, "loud", 1.0), ("loud", 1.1, "loud", 1.3), ("meek", 1.0, "meek", 1.0)]);
        let roles = roles(&found);
        assert_eq!(roles[0].program, "loud");
        assert!((roles[0].pressure() - (1.5 + 1.1 + 1.3) / 3.0).abs() < 1e-12);
        assert_eq!(slowdown_of(&found, "meek", "loud"), Some(1.5));
        assert_eq!(slowdown_of(&found, "loud", "meek"), Some(1.0));
        assert!((slowdown_of(&found, "loud", "loud").expect("it ran") - 1.2).abs() < 1e-12);
        assert_eq!(slowdown_of(&found, "loud", "nobody"), None);
    }
}
