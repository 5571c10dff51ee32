//! From slowdowns told and seen to what people read: errors by rule, the guests farthest off, the list.

use super::{Contended, MEAN_ONLY, Slowed, Together, VARIANTS, columns, figures};
use crate::report::ReportError;
use crate::report::estimate::{Estimate, over_series};
use crate::report::text::{Align, Table, cell, csv, number, percent, percent_within};
use crate::survey::corun::SUFFERS;
use crate::survey::{SUMMARY, TextFile};

/// The page on method and bias.
const README: &str = include_str!("README.md");

/// The mean error that was aimed at.
const TARGET: f64 = 0.05;

/// Guests that the summary lists.
const LISTED: usize = 15;

pub(super) fn render(found: &Contended) -> Result<Vec<TextFile>, ReportError> {
    Ok(vec![
        TextFile::new("README.md", README),
        TextFile::new(SUMMARY, summary(found)),
        TextFile::new("contention.csv", table_for_programs(found)),
        TextFile::figure("contention.svg", figures::scatter(found))?,
    ])
}

/// How far what was told is from what was seen, as a share of what was seen.
fn error(guest: &Slowed, told: f64) -> f64 {
    (told / guest.slowdown - 1.0).abs()
}

fn mean_error<'a>(guests: impl Iterator<Item = &'a Slowed>, told: impl Fn(&Slowed) -> f64) -> Option<f64> {
    let errors: Vec<f64> = guests.map(|guest| error(guest, told(guest))).collect();
    (!errors.is_empty()).then(|| errors.iter().sum::<f64>() / errors.len() as f64)
}

fn guests(of: &[Together]) -> impl Iterator<Item = &Slowed> + Clone {
    of.iter().flat_map(|together| &together.guests)
}

fn told(guest: &Slowed, variant: &str) -> f64 {
    guest.predicted.get(variant).copied().unwrap_or(f64::NAN)
}

/// Errors of one way to tell, over all pairs, those guests of pairs that suffer, and all mixes.
fn errors(found: &Contended, tell: impl Fn(&Slowed) -> f64 + Copy) -> [Option<f64>; 4] {
    let suffers = |guest: &&Slowed| guest.slowdown > SUFFERS;
    [
        mean_error(guests(&found.pairs), tell),
        mean_error(guests(&found.pairs).filter(suffers), tell),
        mean_error(guests(&found.mixes), tell),
        mean_error(guests(&found.mixes).filter(suffers), tell),
    ]
}

fn by_rule(found: &Contended) -> Table {
    let right = |head: &'static str| (head, Align::Right);
    let mut table = Table::new([
        ("rule", Align::Left),
        ("is told", Align::Left),
        right("pairs"),
        right("slowed > 1.2"),
        right("mixes of four"),
        right("slowed > 1.2"),
    ]);
    let mut row = |name: &str, means: &str, errors: [Option<f64>; 4]| {
        let cells = errors.map(|error| percent(error, 2));
        table.row([name.to_owned(), means.to_owned()].into_iter().chain(cells));
    };
    for variant in VARIANTS {
        row(variant.name, variant.means, errors(found, |guest| told(guest, variant.name)));
    }
    row(MEAN_ONLY, "nothing; says the mean slowdown of all other pairs", errors(found, |guest| told(guest, MEAN_ONLY)));
    table
}

/// The analytic rule's mean error with its interval, guests that ran together as the unit.
fn off_by(of: &[Together], seed: u64) -> Option<Estimate> {
    let tell = |guest: &Slowed| told(guest, VARIANTS[0].name);
    let errors: Vec<f64> = of.iter().filter_map(|together| mean_error(together.guests.iter(), tell)).collect();
    over_series(&errors, seed)
}

fn verdict(found: &Contended) -> String {
    let pairs = off_by(&found.pairs, found.seed);
    let mixes = off_by(&found.mixes, found.seed);
    let met = |error: Option<Estimate>| if error.is_some_and(|error| error.mean <= TARGET) { "met" } else { "missed" };
    let suffering = found.pairs.iter().filter(|pair| pair.guests.iter().any(|guest| guest.slowdown > SUFFERS)).count();
    format!(
        "The analytic rule is off by {} on average over {} pairs, of which {suffering} have a side slowed more than {SUFFERS} times (the aim of {} \
         is {}), and by {} over {} mixes of four ({}).",
        percent_within(pairs, 2),
        found.pairs.len(),
        percent(Some(TARGET), 0),
        met(pairs),
        percent_within(mixes, 2),
        found.mixes.len(),
        met(mixes),
    )
}

fn summary(found: &Contended) -> String {
    let cycles = found.quantum_cycles as f64 / 1e6;
    let mut text = format!(
        "# Rules of contention against the replayed host\n\n**{}**\n\n{} pairs drawn by the seed from {} on {}, half of them with a side that \
         suffers, and {} mixes of four on {}; {} quanta of {cycles} M cycles each, seed {}. Errors are |told / seen - 1|, means over guests. \
         [README.md](README.md) says how this was measured and how not to read it; `contention.csv` has every guest.\n\n",
        verdict(found),
        found.pairs.len(),
        found.possible,
        found.machine,
        found.mixes.len(),
        found.machine_of_mixes,
        found.quanta,
        found.seed,
    );
    text += &by_rule(found).markdown();
    text += "\n![Slowdown told against slowdown seen](contention.svg)\n\n## The guests that the analytic rule gets most wrong\n\n";
    text += &farthest(found).markdown();
    text
}

fn farthest(found: &Contended) -> Table {
    let mut table = Table::new([
        ("program", Align::Left),
        ("beside", Align::Left),
        ("seen", Align::Right),
        ("analytic", Align::Right),
        ("additive", Align::Right),
        ("error", Align::Right),
    ]);
    let mut all: Vec<(&Slowed, String, f64)> = found
        .pairs
        .iter()
        .chain(&found.mixes)
        .flat_map(|together| {
            (0..together.guests.len()).map(move |place| {
                let guest = &together.guests[place];
                (guest, beside(together, place), error(guest, told(guest, VARIANTS[0].name)))
            })
        })
        .collect();
    all.sort_by(|left, right| right.2.total_cmp(&left.2).then_with(|| left.0.program.cmp(&right.0.program)));
    for (guest, beside, error) in all.into_iter().take(LISTED) {
        table.row([
            guest.program.clone(),
            beside,
            number(Some(guest.slowdown), 3),
            number(Some(told(guest, VARIANTS[0].name)), 3),
            number(Some(told(guest, "additive")), 3),
            percent(Some(error), 1),
        ]);
    }
    table
}

/// The others' names.
fn beside(together: &Together, place: usize) -> String {
    let others = together.guests.iter().enumerate().filter(|(other, _)| *other != place);
    others.map(|(_, guest)| guest.program.as_str()).collect::<Vec<_>>().join(", ")
}

fn table_for_programs(found: &Contended) -> String {
    let heads: Vec<&str> = ["set", "number", "program", "beside", "slowdown"].into_iter().chain(columns()).collect();
    let rows = [("pair", &found.pairs), ("mix", &found.mixes)].into_iter().flat_map(|(set, of)| {
        of.iter().enumerate().flat_map(move |(number, together)| {
            together.guests.iter().enumerate().map(move |(place, guest)| {
                let names = [
                    set.to_owned(),
                    (number + 1).to_string(),
                    guest.program.clone(),
                    beside(together, place).replace(", ", "+"),
                ];
                let numbers = std::iter::once(guest.slowdown).chain(columns().map(|column| told(guest, column)));
                names.into_iter().chain(numbers.map(|value| cell(Some(value)))).collect()
            })
        })
    });
    csv(&heads, rows)
}

pub(super) fn for_terminal(found: &Contended) -> String {
    format!("{}\n{}", by_rule(found).aligned(), verdict(found))
}

pub(super) fn as_json(found: &Contended) -> serde_json::Value {
    let rule = |name: &str, errors: [Option<f64>; 4]| {
        let [pairs, pairs_suffering, mixes, mixes_suffering] = errors;
        serde_json::json!({
            "rule": name, "pairs": pairs, "pairs_suffering": pairs_suffering, "mixes": mixes, "mixes_suffering": mixes_suffering,
        })
    };
    let rules: Vec<serde_json::Value> =
        columns().map(|column| rule(column, errors(found, |guest| told(guest, column)))).collect();
    serde_json::json!({ "mean_absolute_errors": rules })
}
