//! A model's card: what it was trained on, which phases it knows, what followed what. Made from the model alone, so
//! that card and model cannot disagree.

use std::fmt::Write;

use predictor::features::Projection;
use predictor::forecast::kind::ForecasterKind;
use predictor::model::{Model, ModelParts};
use predictor::phases::PhaseId;

/// The card of `model` in Markdown. Ends with a newline.
#[must_use]
pub fn card(model: &Model) -> String {
    let parts = model.parts();
    let sections = [
        heading(parts),
        machine(parts),
        data(parts),
        scores(parts),
        memory(model),
        features(parts),
        phases(parts),
        transitions(parts),
        limits(),
    ];
    sections.join("\n")
}

fn heading(parts: &ModelParts) -> String {
    let phases = parts.phases.len();
    format!(
        "# A model of {phases} execution phases\n\n\
         It tells phases of vCPUs apart by counters, forecasts the next one, and estimates how much co-located phases\n\
         slow each other down. `model.json` beside this file is the model; `phasecast train` made both.\n"
    )
}

fn machine(parts: &ModelParts) -> String {
    let machine = &parts.machine;
    let known = |value: Option<String>| value.unwrap_or_else(|| "not known".to_owned());
    let mut text = String::from("## Machine\n\n| what | value |\n|---|---|\n");
    for (what, value) in [
        ("quantum", format!("{} ms", machine.quantum_nanoseconds as f64 / 1e6)),
        ("one LLC", known(machine.llc_bytes.map(|bytes| format!("{} KiB", bytes / 1024)))),
        ("memory of one LLC domain", known(machine.memory_bytes_per_cycle.map(|rate| format!("{rate} bytes a cycle")))),
        ("time of an LLC miss", known(machine.miss_per_hit_time.map(|times| format!("{times} times that of a hit")))),
    ] {
        let _infallible = writeln!(text, "| {what} | {value} |");
    }
    text
}

fn data(parts: &ModelParts) -> String {
    let provenance = &parts.provenance;
    let mut text = format!(
        "## Data\n\n{} samples of vCPUs at work, each alone in its LLC domain; clustering seed {}.\n\n",
        provenance.active_samples, provenance.seed
    );
    for series in &provenance.series {
        let _infallible = writeln!(text, "- {series}");
    }
    if let Some(made) = &provenance.made {
        let revision = made.revision.as_deref().unwrap_or("not known");
        let _infallible = writeln!(text, "\nMade by\n\n```\n{}\n```\n\nat revision {revision}.", made.command);
    }
    text
}

fn scores(parts: &ModelParts) -> String {
    let mut text = String::from("## Scores\n\n");
    let Some(scores) = &parts.provenance.scores else { return text + "Nobody scored this model.\n" };
    text += &match &scores.phases {
        Some(phases) => format!(
            "The next quantum's phase, forecast online for each program by a model of the other programs, mean of {} \
             series: {:.1} % right; last value {:.1} %.\n",
            phases.series,
            100.0 * phases.accuracy,
            100.0 * phases.last_value_accuracy,
        ),
        None => "One program alone, so that forecasts of phases could not be scored on another.\n".to_owned(),
    };
    text += "\nNumbers, forecast online. Error is the absolute error in last value's, mean over the series in which last \
             value\nerrs; 80 % of the values are to lie between the outer quantiles.\n\n\
             | rate | quanta ahead | series | error | between the quantiles |\n|---|---:|---:|---:|---:|\n";
    for number in &scores.numbers {
        let (rate, horizon, series) = (&number.rate, number.horizon_quanta, number.series);
        let (error, within) = (number.error_of_last_value, 100.0 * number.within_quantiles);
        let _infallible = writeln!(text, "| {rate} | {horizon} | {series} | {error:.2} | {within:.0} % |");
    }
    text
}

/// What a vCPU costs its controller in memory, at the start; forecasters state their bounds themselves.
fn memory(model: &Model) -> String {
    format!(
        "## Memory\n\nOne vCPU's forecaster of phases starts with {} bytes, its forecaster of numbers takes {} bytes and \
         stays there.\n",
        model.forecaster(ForecasterKind::Default).memory_bytes(),
        model.numeric_forecaster().memory_bytes(),
    )
}

fn features(parts: &ModelParts) -> String {
    let mut text = String::from(
        "## Features\n\nEvents per 1000 instructions, as ln(1 + rate), less the center, in spreads. None of them depends on placement.\n\n\
         | event | center | spread |\n|---|---:|---:|\n",
    );
    let scale = &parts.phases.scale;
    for ((feature, center), spread) in parts.phases.features.features().iter().zip(&scale.center).zip(&scale.spread) {
        let _infallible = writeln!(text, "| {} | {center:.3} | {spread:.3} |", feature.event().name());
    }
    if let Some(projection) = &parts.phases.projection {
        text += &components(parts, projection);
    }
    text
}

/// The components that phases are told apart by.
fn components(parts: &ModelParts, projection: &Projection) -> String {
    let mut text = String::from(
        "\nPhases are told apart by principal components of these coordinates. Each row is a direction; distances count what\n\
         lies beside them as well, so that novelty sees it.\n\n",
    );
    let names: String =
        parts.phases.features.features().iter().map(|feature| format!(" {} |", feature.event().name())).collect();
    let rule: String = parts.phases.features.features().iter().map(|_| "---:|").collect();
    let _infallible = writeln!(text, "| share of variance |{names}\n|---:|{rule}");
    for (share, component) in projection.variance_shares().iter().zip(projection.components()) {
        let cells: String = component.iter().map(|coordinate| format!(" {coordinate:.3} |")).collect();
        let _infallible = writeln!(text, "| {:.1} % |{cells}", 100.0 * share);
    }
    text
}

fn phases(parts: &ModelParts) -> String {
    let mut text = String::from(
        "## Phases\n\nWhat each does alone, per 1000 instructions. The length is the mean of the runs that were seen to \
         end.\n\n\
         | phase | quanta | length (M instructions) | LLC references | LLC misses | memory bytes | cycles | stalled |\n\
         |---:|---:|---:|---:|---:|---:|---:|---:|\n",
    );
    for (phase, pressure) in parts.phases.ids().zip(&parts.pressures) {
        let quanta: f64 = parts.transitions.0[phase.index()].iter().sum();
        let _infallible = writeln!(
            text,
            "| {} | {quanta:.0} | {} | {:.2} | {:.2} | {:.0} | {:.0} | {:.0} % |",
            phase.0,
            mean_run(parts, phase).map_or_else(|| "-".to_owned(), |length| format!("{:.1}", length / 1e6)),
            pressure.llc_references_per_kilo_instruction,
            pressure.llc_misses_per_kilo_instruction,
            pressure.memory_bytes_per_kilo_instruction,
            1000.0 * pressure.cycles_per_instruction,
            100.0 * pressure.stall_share,
        );
    }
    text
}

/// Mean length of the completed runs of `phase` in instructions, by the middle of their buckets.
fn mean_run(parts: &ModelParts, phase: PhaseId) -> Option<f64> {
    let width = *parts.run_lengths.bucket_widths().get(phase.index())? as f64;
    let mine = || parts.run_lengths.runs().filter(|run| run.phase == phase);
    let runs: f64 = mine().map(|run| run.runs).sum();
    let instructions: f64 = mine().map(|run| run.runs * (f64::from(run.bucket) + 0.5) * width).sum();
    (runs > 0.0).then(|| instructions / runs)
}

fn transitions(parts: &ModelParts) -> String {
    let mut text =
        String::from("## Transitions\n\nHow often a quantum of one phase (row) was followed by one of another.\n\n");
    let columns: String = parts.phases.ids().map(|phase| format!(" {} |", phase.0)).collect();
    let rule: String = parts.phases.ids().map(|_| "---:|").collect();
    let _infallible = writeln!(text, "| from \\ to |{columns}\n|---:|{rule}");
    for (phase, row) in parts.phases.ids().zip(&parts.transitions.0) {
        let cells: String = row.iter().map(|count| format!(" {count:.0} |")).collect();
        let _infallible = writeln!(text, "| {} |{cells}", phase.0);
    }
    text
}

fn limits() -> String {
    "## Limits\n\nPhase numbers mean something within this model only. Pressures hold for this size of LLC and this length \
     of quantum;\na run that differs in either is refused. What the training guests never did is not known.\n"
        .to_owned()
}
