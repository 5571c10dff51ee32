//! From findings to what people read: the summary, a table for programs, figures, method and bias.

use super::statistics::Figures;
use super::{Finding, Solo, figures};
use crate::report::ReportError;
use crate::report::metrics::Spread;
use crate::report::text::{Align, Table, UNKNOWN, cell, csv, number, percent};
use crate::survey::{SUMMARY, TextFile};

/// The page on method and bias.
const README: &str = include_str!("README.md");

pub(super) fn render(solo: &Solo) -> Result<Vec<TextFile>, ReportError> {
    let mut files = vec![
        TextFile::new("README.md", README),
        TextFile::new(SUMMARY, summary(solo)),
        TextFile::new("solo.csv", table_for_programs(solo)),
    ];
    for (name, drawn) in [("hierarchy.svg", figures::hierarchy(solo)), ("phases.svg", figures::phases(solo))] {
        files.push(TextFile::figure(name, drawn)?);
    }
    Ok(files)
}

/// The runs under the survey's own seed.
pub(super) fn main_runs(solo: &Solo) -> impl Iterator<Item = &Finding> {
    solo.findings.iter().filter(|finding| finding.seed == solo.seed)
}

fn summary(solo: &Solo) -> String {
    let cycles = solo.quantum_cycles as f64 / 1e6;
    let mut text = format!(
        "# Every program alone on {}, {} host\n\n{} programs and inputs, {} quanta of {cycles} M cycles each, seed {}. \
         [README.md](README.md) says how this was measured and how not to read it; `solo.csv` has the same and more for programs.\n\n",
        solo.machine.name,
        solo.host,
        main_runs(solo).count(),
        solo.quanta,
        solo.seed,
    );
    text += "## What each asks of the hierarchy\n\n";
    text += "Misses are per thousand instructions; L2 misses are references to the LLC. Channel: share of the bandwidth of one LLC \
             domain's memory channel, write-backs included.\n\n";
    text += &hierarchy(solo).markdown();
    text += "\n![LLC references against LLC misses](hierarchy.svg)\n\n## Phases\n\n";
    text += "Phases are those that training finds in this run alone. Lag 1: autocorrelation from one quantum to the next; n/a where \
             nothing varies. As marked: share of quanta whose phase is the one that the program marks.\n\n";
    text += &phases(solo).markdown();
    text += "\n![Phases over time](phases.svg)\n\n## Placements of pages\n\n";
    text += "A seed decides where a guest's pages lie in the LLC. First inputs of every eighth program of the catalogue, under several:\n\n";
    text + &spread(solo).markdown()
}

fn hierarchy(solo: &Solo) -> Table {
    let heads = ["CPI", "IPC", "L1 misses", "L2 misses", "LLC misses", "write-backs", "channel", "kernel", "idle"];
    let left = [("program", Align::Left), ("input", Align::Left), ("family", Align::Left)];
    let mut table = Table::new(left.into_iter().chain(heads.map(|head| (head, Align::Right))));
    for finding in main_runs(solo) {
        let figures = Figures::of(finding, solo);
        table.row([
            finding.program.clone(),
            finding.input.clone(),
            finding.family.clone(),
            number(figures.cycles_per_instruction, 2),
            number(figures.instructions_per_cycle, 2),
            number(figures.l1_misses_per_kilo_instruction, 1),
            number(figures.llc_references_per_kilo_instruction, 2),
            number(figures.llc_misses_per_kilo_instruction, 2),
            number(figures.write_backs_per_kilo_instruction, 2),
            percent(figures.channel_share, 1),
            percent(figures.kernel_share, 1),
            percent(figures.idle_share, 1),
        ]);
    }
    table
}

fn phases(solo: &Solo) -> Table {
    let heads = [
        "phases",
        "quanta in a phase",
        "marked quanta",
        "as marked",
        "lag 1 of CPI",
        "lag 1 of LLC references",
        "runs, all right",
    ];
    let left = [("program", Align::Left), ("input", Align::Left)];
    let mut table = Table::new(left.into_iter().chain(heads.map(|head| (head, Align::Right))));
    for finding in main_runs(solo) {
        let figures = Figures::of(finding, solo);
        table.row([
            finding.program.clone(),
            finding.input.clone(),
            finding.phases.map_or(UNKNOWN.to_owned(), |phases| phases.to_string()),
            number(figures.phase_quanta, 1),
            if finding.truth { number(figures.marked_quanta, 1) } else { "-".to_owned() },
            if finding.truth { percent(figures.truth_agreement, 1) } else { "-".to_owned() },
            number(figures.lag1_cycles_per_instruction, 2),
            number(figures.lag1_llc_references, 2),
            answers(finding),
        ]);
    }
    table
}

/// How many runs of the program ended; each had the right answer, or the run would have failed.
fn answers(finding: &Finding) -> String {
    if finding.ends { finding.completed_runs.to_string() } else { "never ends".to_owned() }
}

fn spread(solo: &Solo) -> Table {
    let heads = ["seeds", "CPI", "from", "to", "LLC misses", "from", "to"];
    let left = [("program", Align::Left), ("input", Align::Left)];
    let mut table = Table::new(left.into_iter().chain(heads.map(|head| (head, Align::Right))));
    for finding in main_runs(solo) {
        let same = |other: &&Finding| (&other.program, &other.input) == (&finding.program, &finding.input);
        let runs: Vec<Figures> = solo.findings.iter().filter(same).map(|finding| Figures::of(finding, solo)).collect();
        if runs.len() < 2 {
            continue;
        }
        let of = |value: fn(&Figures) -> Option<f64>| Spread::of(&runs.iter().filter_map(value).collect::<Vec<_>>());
        let mut cells = vec![finding.program.clone(), finding.input.clone(), runs.len().to_string()];
        for spread in [of(|run| run.cycles_per_instruction), of(|run| run.llc_misses_per_kilo_instruction)] {
            let parts =
                [spread.map(|spread| spread.mean), spread.map(|spread| spread.least), spread.map(|spread| spread.most)];
            cells.extend(parts.map(|part| number(part, 3)));
        }
        table.row(cells);
    }
    table
}

fn table_for_programs(solo: &Solo) -> String {
    let heads = [
        "program",
        "input",
        "family",
        "seed",
        "quanta",
        "instructions",
        "cycles_per_instruction",
        "l1_misses_per_kilo_instruction",
        "llc_references_per_kilo_instruction",
        "llc_misses_per_kilo_instruction",
        "write_backs_per_kilo_instruction",
        "channel_share",
        "kernel_share",
        "idle_share",
        "phases",
        "phase_quanta",
        "marked_quanta",
        "truth_agreement",
        "lag1_cycles_per_instruction",
        "lag1_llc_references",
        "ends",
        "completed_runs",
    ];
    let row = |finding: &Finding| {
        let figures = Figures::of(finding, solo);
        let instructions = finding.sums.get(predictor::counters::Event::Instructions).count();
        let mut cells =
            vec![finding.program.clone(), finding.input.clone(), finding.family.clone(), finding.seed.to_string()];
        cells.push(finding.series.len().to_string());
        cells.push(instructions.map(|count| count.to_string()).unwrap_or_default());
        let numbers = [
            figures.cycles_per_instruction,
            figures.l1_misses_per_kilo_instruction,
            figures.llc_references_per_kilo_instruction,
            figures.llc_misses_per_kilo_instruction,
            figures.write_backs_per_kilo_instruction,
            figures.channel_share,
            figures.kernel_share,
            figures.idle_share,
            finding.phases.map(|phases| phases as f64),
            figures.phase_quanta,
            figures.marked_quanta,
            figures.truth_agreement,
            figures.lag1_cycles_per_instruction,
            figures.lag1_llc_references,
        ];
        cells.extend(numbers.map(cell));
        cells.extend([finding.ends.to_string(), finding.completed_runs.to_string()]);
        cells
    };
    csv(&heads, solo.findings.iter().map(row))
}

/// One run's figures.
pub(super) fn as_json(finding: &Finding, solo: &Solo) -> serde_json::Value {
    let figures = Figures::of(finding, solo);
    serde_json::json!({
        "program": finding.program,
        "input": finding.input,
        "cycles_per_instruction": figures.cycles_per_instruction,
        "l1_misses_per_kilo_instruction": figures.l1_misses_per_kilo_instruction,
        "llc_references_per_kilo_instruction": figures.llc_references_per_kilo_instruction,
        "llc_misses_per_kilo_instruction": figures.llc_misses_per_kilo_instruction,
        "channel_share": figures.channel_share,
        "phases": finding.phases,
        "phase_quanta": figures.phase_quanta,
        "completed_runs": finding.completed_runs,
    })
}

/// The table of the hierarchy alone, for a terminal.
pub(super) fn for_terminal(solo: &Solo) -> String {
    hierarchy(solo).aligned()
}
