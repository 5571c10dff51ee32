//! From cells to what people read: for each thing varied, the gain of every policy over staying put with its interval, what
//! acting ahead adds to reacting, and the values at which that is told from nothing.

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::cell::STAY_PUT;
use super::{Cell, Over, Sweeps, figures};
use crate::report::ReportError;
use crate::report::text::{Align, Table, cell, csv, number, percent};
use crate::survey::{SUMMARY, TextFile};

/// The page on method and bias.
const README: &str = include_str!("README.md");

/// Draws of each bootstrap.
const DRAWS: usize = 1000;

/// Who acts ahead, and who is compared.
const AHEAD: &str = "predictive";
const REACTING: &str = "reactive";

/// A mean over mixes with its 95 % interval.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Mean {
    pub(super) mean: f64,
    pub(super) low: f64,
    pub(super) high: f64,
}

impl Mean {
    /// Of one value for each mix, by drawing mixes with replacement (Efron's percentile bootstrap). The same draws for every
    /// policy, so that intervals are comparable.
    fn of(values: &[f64]) -> Option<Self> {
        if values.is_empty() {
            return None;
        }
        let mean = |sum: f64| sum / values.len() as f64;
        let mut rng = ChaCha8Rng::seed_from_u64(1);
        let mut draws: Vec<f64> =
            (0..DRAWS).map(|_| mean((0..values.len()).map(|_| values[rng.gen_range(0..values.len())]).sum())).collect();
        draws.sort_by(f64::total_cmp);
        Some(Self { mean: mean(values.iter().sum()), low: draws[DRAWS / 40], high: draws[DRAWS - 1 - DRAWS / 40] })
    }

    /// `+1.23 % [+0.90, +1.51]`.
    fn text(&self) -> String {
        format!("{:+.2} % [{:+.2}, {:+.2}]", 100.0 * self.mean, 100.0 * self.low, 100.0 * self.high)
    }
}

/// The cells of one value.
pub(super) fn cells(found: &Sweeps, over: Over, value: f64) -> Vec<&Cell> {
    found.cells.iter().filter(|cell| cell.over == over && cell.value.total_cmp(&value).is_eq()).collect()
}

/// Who was compared with staying put, in the order of the runs.
pub(super) fn contenders(found: &Sweeps, over: Over) -> Vec<String> {
    let first = found.cells.iter().find(|cell| cell.over == over);
    first.into_iter().flat_map(|cell| &cell.runs).skip(1).map(|run| run.contender.clone()).collect()
}

fn stp(cell: &Cell, contender: &str) -> Option<f64> {
    cell.runs.iter().find(|run| run.contender == contender).map(|run| run.stp)
}

/// How much more throughput `contender` has than `other`, as a share, mix by mix.
fn gains(cells: &[&Cell], contender: &str, other: &str) -> Vec<f64> {
    cells.iter().filter_map(|cell| Some(stp(cell, contender)? / stp(cell, other)? - 1.0)).collect()
}

/// The gain of `contender` over staying put at a value.
pub(super) fn gain(found: &Sweeps, over: Over, value: f64, contender: &str) -> Option<Mean> {
    Mean::of(&gains(&cells(found, over, value), contender, STAY_PUT))
}

/// vCPUs moved, of each hundred in a quantum.
fn moves(found: &Sweeps, cells: &[&Cell], contender: &str) -> Option<f64> {
    let all: Vec<f64> = cells
        .iter()
        .filter_map(|cell| cell.runs.iter().find(|run| run.contender == contender))
        .map(|run| 100.0 * run.moves as f64 / (found.quanta * found.guests as u64) as f64)
        .collect();
    (!all.is_empty()).then(|| all.iter().sum::<f64>() / all.len() as f64)
}

pub(super) fn render(found: &Sweeps) -> Result<Vec<TextFile>, ReportError> {
    let mut files = vec![
        TextFile::new("README.md", README),
        TextFile::new(SUMMARY, summary(found)),
        TextFile::new("sweeps.csv", table_for_programs(found)),
    ];
    for over in &found.over {
        let name = format!("{}.svg", over.name());
        files.push(TextFile::figure(&name, figures::curve(found, *over))?);
    }
    Ok(files)
}

fn summary(found: &Sweeps) -> String {
    let cycles = found.quantum_cycles as f64 / 1e6;
    let mut text = format!(
        "# When acting ahead pays, on the simulated host\n\n{}\n\n{} mixes of {} guests at each value, machine {}, {} quanta of \
         {cycles} M cycles each, kinds of phases {}, slowdowns by the {} rule, seed {}. **Everything here is arithmetic, not a measurement**: [README.md](README.md) \
         says what is simulated and how not to read it; `sweeps.csv` has every run.\n",
        conclusions(found).iter().map(|line| format!("- {line}")).collect::<Vec<_>>().join("\n"),
        found.mixes,
        found.guests,
        found.machine,
        found.quanta,
        found.kinds,
        found.contention,
        found.seed,
    );
    for over in &found.over {
        text += &format!(
            "\n## {}\n\nSystem throughput over that of staying put, mean over mixes [95 % interval]. By: {}.\n\n{}\n![{1}]({}.svg)\n\n\
             Acting ahead against reacting on the same mixes, and vCPUs moved, of each hundred in a quantum:\n\n{}",
            title(*over),
            over.label(),
            gain_table(found, *over).markdown(),
            over.name(),
            ahead_table(found, *over).markdown(),
        );
    }
    text
}

const fn title(over: Over) -> &'static str {
    match over {
        Over::PhaseLength => "How long must phases be?",
        Over::ForecastQuality => "How good must a forecast be?",
        Over::MigrationCost => "How cheap must a move be?",
        Over::Budget => "How many moves does it take?",
    }
}

fn gain_table(found: &Sweeps, over: Over) -> Table {
    let contenders = contenders(found, over);
    let heads = contenders.iter().map(|name| (name.as_str(), Align::Right));
    let mut table = Table::new([(over.name(), Align::Right)].into_iter().chain(heads));
    for value in over.values() {
        let gain = |name: &String| gain(found, over, *value, name).map_or("n/a".to_owned(), |mean| mean.text());
        table.row([value.to_string()].into_iter().chain(contenders.iter().map(gain)));
    }
    table
}

fn ahead_table(found: &Sweeps, over: Over) -> Table {
    let contenders = contenders(found, over);
    let heads: Vec<String> = contenders.iter().map(|name| format!("moves, {name}")).collect();
    let fixed =
        [(over.name(), Align::Right), ("predictive over reactive", Align::Right), ("mixes better", Align::Right)];
    let mut table = Table::new(fixed.into_iter().chain(heads.iter().map(|head| (head.as_str(), Align::Right))));
    for value in over.values() {
        let cells = cells(found, over, *value);
        let ahead = gains(&cells, AHEAD, REACTING);
        let better = ahead.iter().filter(|gain| **gain > 0.0).count() as f64 / ahead.len().max(1) as f64;
        let mut row = vec![value.to_string(), Mean::of(&ahead).map_or("n/a".to_owned(), |mean| mean.text())];
        row.push(percent(Some(better), 0));
        row.extend(contenders.iter().map(|name| number(moves(found, &cells, name), 1)));
        table.row(row);
    }
    table
}

/// A sentence or two for each thing varied, from the numbers alone.
pub(super) fn conclusions(found: &Sweeps) -> Vec<String> {
    let mut lines = Vec::new();
    for over in &found.over {
        let told = |contender: &str, other: &str, sign: f64| -> Vec<String> {
            let is_told = |value: &&f64| {
                Mean::of(&gains(&cells(found, *over, **value), contender, other))
                    .is_some_and(|mean| (sign * mean.low).min(sign * mean.high) > 0.0)
            };
            over.values().iter().filter(is_told).map(ToString::to_string).collect()
        };
        let at = |values: Vec<String>| if values.is_empty() { "no value".to_owned() } else { values.join(", ") };
        lines.push(format!(
            "**{}** Predictive is above reactive at {} and below at {}; predictive is above staying put at {}, reactive at {}.",
            title(*over),
            at(told(AHEAD, REACTING, 1.0)),
            at(told(AHEAD, REACTING, -1.0)),
            at(told(AHEAD, STAY_PUT, 1.0)),
            at(told(REACTING, STAY_PUT, 1.0)),
        ));
        let oracle = over.values().iter().filter_map(|value| {
            let cells = cells(found, *over, *value);
            let of = |contender| Mean::of(&gains(&cells, contender, STAY_PUT)).map(|mean| mean.mean);
            Some(format!(
                "{:.0} % and {:.0} % at {value}",
                100.0 * of(AHEAD)? / of("oracle")?,
                100.0 * of(REACTING)? / of("oracle")?
            ))
        });
        lines.push(format!(
            "Of the oracle's gain over staying put predictive and reactive have {}.",
            oracle.collect::<Vec<_>>().join(", ")
        ));
        if *over == Over::ForecastQuality {
            lines.push(format!(
                "Told the coming quantum, with this share of forecasts wrong, a policy is above reacting at {} and below at {}; with \
                 this share of changes missed and nothing else wrong, above at {}.",
                at(told("foretold, wrong", REACTING, 1.0)),
                at(told("foretold, wrong", REACTING, -1.0)),
                at(told("foretold, late", REACTING, 1.0)),
            ));
        }
    }
    lines
}

fn table_for_programs(found: &Sweeps) -> String {
    let heads = ["over", "value", "mix", "contender", "stp", "worst_slowdown", "moves"];
    let rows = found.cells.iter().flat_map(|one| {
        one.runs.iter().map(|run| {
            vec![
                one.over.name().to_owned(),
                cell(Some(one.value)),
                one.mix.to_string(),
                run.contender.clone(),
                cell(Some(run.stp)),
                cell(Some(run.worst_slowdown)),
                run.moves.to_string(),
            ]
        })
    });
    csv(&heads, rows)
}

pub(super) fn for_terminal(found: &Sweeps) -> String {
    let tables = found.over.iter().map(|over| format!("{}\n{}", title(*over), gain_table(found, *over).aligned()));
    let lines = conclusions(found).join("\n").replace("**", "");
    format!("{}\n{lines}", tables.collect::<Vec<_>>().join("\n"))
}

pub(super) fn as_json(found: &Sweeps) -> serde_json::Value {
    let mean = |mean: Option<Mean>| mean.map(|mean| [mean.mean, mean.low, mean.high]);
    let sweeps = found.over.iter().map(|over| {
        let points = over.values().iter().map(|value| {
            let all = cells(found, *over, *value);
            let gains: serde_json::Map<String, serde_json::Value> = contenders(found, *over)
                .into_iter()
                .map(|name| {
                    let gain = mean(gain(found, *over, *value, &name));
                    (name, serde_json::json!(gain))
                })
                .collect();
            let ahead = mean(Mean::of(&self::gains(&all, AHEAD, REACTING)));
            serde_json::json!({ "value": value, "gain_over_stay_put": gains, "predictive_over_reactive": ahead })
        });
        serde_json::json!({ "over": over.name(), "points": points.collect::<Vec<_>>() })
    });
    let conclusions: Vec<String> = conclusions(found).iter().map(|line| line.replace("**", "")).collect();
    serde_json::json!({ "sweeps": sweeps.collect::<Vec<_>>(), "conclusions": conclusions })
}

#[cfg(test)]
mod tests {
    use super::super::Run;
    use super::*;

    fn cell_of(value: f64, mix: u64, stps: [f64; 3]) -> Cell {
        let names = [STAY_PUT, REACTING, AHEAD];
        let run = |(name, stp): (&str, f64)| Run { contender: name.to_owned(), stp, worst_slowdown: 1.5, moves: 3 };
        Cell { over: Over::Budget, value, mix, runs: names.into_iter().zip(stps).map(run).collect() }
    }

    #[test]
    fn a_gain_is_told_over_the_same_mix_and_not_over_the_mean() {
        // Twice 10 % more, of very different mixes.
        let cells = [cell_of(0.0, 0, [1.0, 1.1, 1.1]), cell_of(0.0, 1, [4.0, 4.4, 4.0])];
        let all: Vec<&Cell> = cells.iter().collect();
        let mean = Mean::of(&gains(&all, REACTING, STAY_PUT)).expect("two mixes");
        assert!((mean.mean - 0.1).abs() < 1e-12 && (mean.high - mean.low).abs() < 1e-12, "{mean:?}");
        assert_eq!(mean.text(), "+10.00 % [+10.00, +10.00]");
    }

    #[test]
    fn of_no_mix_there_is_no_mean() {
        assert_eq!(Mean::of(&[]), None);
    }
}
