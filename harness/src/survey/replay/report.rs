//! From findings to what people read: how far replay and emulation are apart, and what a replay costs.

use super::compare::{Agreement, GuestAgreement};
use super::speed::Timing;
use super::{Replay, figures};
use crate::report::ReportError;
use crate::report::text::{Align, Table, cell, csv, number, percent};
use crate::survey::{SUMMARY, TextFile};

/// The page on method and bias.
const README: &str = include_str!("README.md");

/// How far cycles of a guest may be from the emulated ones, as a share of these.
pub(super) const CYCLES_WITHIN: f64 = 0.02;
/// The same of LLC misses.
pub(super) const MISSES_WITHIN: f64 = 0.03;

/// Errors of the replay at equal work, as shares of what the emulated host counted.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Errors {
    pub(super) cycles: f64,
    /// 0 where neither host counted a miss.
    pub(super) llc_misses: f64,
    pub(super) llc_references: f64,
}

pub(super) fn errors(guest: &GuestAgreement) -> Errors {
    let [emulated, replayed] = guest.at_work;
    let error = |emulated: f64, replayed: f64| match emulated == replayed {
        true => 0.0,
        false => replayed / emulated - 1.0,
    };
    Errors {
        cycles: error(emulated.cycles, replayed.cycles),
        llc_misses: error(emulated.llc_misses, replayed.llc_misses),
        llc_references: error(emulated.llc_references, replayed.llc_references),
    }
}

pub(super) fn is_within(errors: &Errors) -> bool {
    errors.cycles.abs() <= CYCLES_WITHIN && errors.llc_misses.abs() <= MISSES_WITHIN
}

pub(super) fn render(replay: &Replay) -> Result<Vec<TextFile>, ReportError> {
    let mut files = vec![
        TextFile::new("README.md", README),
        TextFile::new(SUMMARY, summary(replay)),
        TextFile::new("agreement.csv", agreement_for_programs(replay)),
    ];
    files.push(TextFile::figure("agreement.svg", figures::agreement(replay))?);
    if let Some(speed) = &replay.speed {
        files.push(TextFile::new("speed.csv", speed_for_programs(&speed.timings)));
        files.push(TextFile::figure("speed.svg", figures::speed(speed))?);
    }
    Ok(files)
}

fn every(replay: &Replay) -> impl Iterator<Item = (&Agreement, &GuestAgreement)> {
    replay.agreements.iter().flat_map(|agreement| agreement.guests.iter().map(move |guest| (agreement, guest)))
}

fn verdict(replay: &Replay) -> String {
    let all: Vec<Errors> = every(replay).map(|(_, guest)| errors(guest)).collect();
    let within = all.iter().filter(|errors| is_within(errors)).count();
    let worst = |of: fn(&Errors) -> f64| all.iter().map(|errors| of(errors).abs()).fold(0.0, f64::max);
    format!(
        "{within} of {} guests' runs replay within {} in cycles and {} in LLC misses; the largest errors are {} and {}.",
        all.len(),
        percent(Some(CYCLES_WITHIN), 0),
        percent(Some(MISSES_WITHIN), 0),
        percent(Some(worst(|errors| errors.cycles)), 3),
        percent(Some(worst(|errors| errors.llc_misses)), 3),
    )
}

fn summary(replay: &Replay) -> String {
    let cycles = replay.quantum_cycles as f64 / 1e6;
    let mut text = format!(
        "# Replay against emulation on {}\n\n{} Each run is {} quanta of {cycles} M cycles, seed {}. [README.md](README.md) says how this was \
         measured and how not to read it; `agreement.csv` has the same and more for programs.\n\n",
        replay.machine.name,
        verdict(replay),
        replay.quanta,
        replay.seed,
    );
    text += "## At equal work\n\n";
    text += "Misses are per thousand instructions, as emulated. An error is the replay's count over the emulated one, less one, when both hosts \
             have executed the same instructions; under a policy that moves guests both made the same moves.\n\n";
    text += &agreement(replay).markdown();
    text += "\n![Errors of the replay](agreement.svg)\n\n## Decisions\n\n";
    text += "What the policy does when it is left to itself on the replayed host, against what it did on the emulated one.\n\n";
    text += &decisions(replay).markdown();
    if let Some(speed) = &replay.speed {
        let per_second = figures::references_per_second(&speed.timings);
        text += &format!(
            "\n## What a replay costs\n\n{} M references to the LLC a second of CPU time on one core, over all replays below. \
             Guests: {}.\n\n",
            number(Some(per_second / 1e6), 1),
            speed.programs.join(", "),
        );
        text += &costs(&speed.timings).markdown();
        text += "\n![CPU time against references](speed.svg)\n";
    }
    text
}

fn agreement(replay: &Replay) -> Table {
    let left = ["mix", "policy", "program", "family"].map(|head| (head, Align::Left));
    let right = ["M instructions", "CPI", "LLC misses", "cycles", "LLC misses off", "LLC references off", "within"];
    let mut table = Table::new(left.into_iter().chain(right.map(|head| (head, Align::Right))));
    for (agreement, guest) in every(replay) {
        let (errors, [emulated, _]) = (errors(guest), guest.at_work);
        let work = guest.work as f64;
        table.row([
            agreement.mix.clone(),
            agreement.policy.clone(),
            guest.program.clone(),
            guest.family.clone(),
            number(Some(work / 1e6), 0),
            number(Some(emulated.cycles / work), 2),
            number(Some(1000.0 * emulated.llc_misses / work), 3),
            signed(errors.cycles),
            signed(errors.llc_misses),
            signed(errors.llc_references),
            if is_within(&errors) { "yes" } else { "**no**" }.to_owned(),
        ]);
    }
    table
}

/// A share in percent, with its sign.
fn signed(share: f64) -> String {
    if share.is_finite() { format!("{:+.3} %", 100.0 * share) } else { "from none".to_owned() }
}

fn decisions(replay: &Replay) -> Table {
    let right = ["moves emulated", "moves replayed", "quanta with other moves", "quanta placed otherwise", "of quanta"];
    let left = [("mix", Align::Left), ("policy", Align::Left)];
    let mut table = Table::new(left.into_iter().chain(right.map(|head| (head, Align::Right))));
    for agreement in replay.agreements.iter().filter(|agreement| agreement.policy != "stay-put") {
        let decisions = agreement.decisions;
        let numbers = [
            decisions.emulated_moves,
            decisions.own_moves,
            decisions.differing_quanta,
            decisions.quanta_placed_otherwise,
            replay.quanta,
        ];
        let head = [agreement.mix.clone(), agreement.policy.clone()];
        table.row(head.into_iter().chain(numbers.map(|number| number.to_string())));
    }
    table
}

fn costs(timings: &[Timing]) -> Table {
    let heads = ["guests", "quanta", "M references", "M instructions", "CPU seconds", "M references a second"];
    let mut table = Table::new(heads.map(|head| (head, Align::Right)));
    for timing in timings {
        table.row([
            timing.guests.to_string(),
            timing.quanta.to_string(),
            number(Some(timing.references as f64 / 1e6), 2),
            number(Some(timing.instructions as f64 / 1e6), 0),
            number(Some(timing.cpu_seconds), 3),
            number(Some(timing.references as f64 / timing.cpu_seconds / 1e6), 1),
        ]);
    }
    table
}

fn agreement_for_programs(replay: &Replay) -> String {
    let heads = [
        "mix",
        "policy",
        "guest",
        "program",
        "family",
        "instructions",
        "emulated_cycles",
        "replayed_cycles",
        "emulated_llc_misses",
        "replayed_llc_misses",
        "emulated_llc_references",
        "replayed_llc_references",
        "cycles_error",
        "llc_misses_error",
    ];
    let row = |(agreement, guest): (&Agreement, &GuestAgreement)| {
        let (errors, [emulated, replayed]) = (errors(guest), guest.at_work);
        let names = [&agreement.mix, &agreement.policy, &guest.name, &guest.program, &guest.family];
        let numbers = [
            emulated.cycles,
            replayed.cycles,
            emulated.llc_misses,
            replayed.llc_misses,
            emulated.llc_references,
            replayed.llc_references,
            errors.cycles,
            errors.llc_misses,
        ];
        let mut cells: Vec<String> = names.into_iter().cloned().collect();
        cells.push(guest.work.to_string());
        cells.extend(numbers.map(|number| cell(Some(number))));
        cells
    };
    csv(&heads, every(replay).map(row))
}

fn speed_for_programs(timings: &[Timing]) -> String {
    let heads = ["guests", "quanta", "references", "instructions", "cpu_seconds"];
    let row = |timing: &Timing| {
        let numbers = [timing.guests as u64, timing.quanta, timing.references, timing.instructions];
        numbers.map(|number| number.to_string()).into_iter().chain([timing.cpu_seconds.to_string()]).collect()
    };
    csv(&heads, timings.iter().map(row))
}

pub(super) fn for_terminal(replay: &Replay) -> String {
    format!("{}\n{}", agreement(replay).aligned(), verdict(replay))
}

pub(super) fn as_json(replay: &Replay) -> serde_json::Value {
    let guest = |(agreement, guest): (&Agreement, &GuestAgreement)| {
        let errors = errors(guest);
        serde_json::json!({
            "mix": agreement.mix,
            "policy": agreement.policy,
            "guest": guest.name,
            "program": guest.program,
            "instructions": guest.work,
            "cycles_error": errors.cycles,
            "llc_misses_error": errors.llc_misses,
            "within": is_within(&errors),
        })
    };
    serde_json::json!({
        "verdict": verdict(replay),
        "guests": every(replay).map(guest).collect::<Vec<_>>(),
        "references_per_second": replay.speed.as_ref().map(|speed| figures::references_per_second(&speed.timings)),
    })
}
