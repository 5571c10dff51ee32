//! The summary of an experiment as Markdown. Every number and every sentence about a number is computed here; the
//! template only arranges them.

use minijinja::syntax::SyntaxConfig;
use minijinja::value::Serde;
use minijinja::{Environment, Value};
use serde::Serialize;

use super::collected::{Collected, Run};
use super::metrics::{
    Comparison, ForecastScore, Scores, Spread, compare, scores, slowdowns, truth_agreement, work_agreement,
};
use super::{Figure, ReportError};

const TEMPLATE: &str = include_str!("summary/template.md");

/// The policies that the verdict is about.
const PREDICTIVE: &str = "predictive";
const REACTIVE: &str = "reactive";
const STAY_PUT: &str = "stay-put";

/// What an unknown number looks like.
const UNKNOWN: &str = "n/a";

/// Writes the summary; `figures` are linked below it.
pub fn write(collected: &Collected, figures: &[Figure]) -> Result<String, ReportError> {
    let incomplete = |problem| ReportError::Incomplete { what: collected.experiment.clone(), problem };
    collected.check().map_err(incomplete)?;
    let mut environment = Environment::new();
    let syntax = SyntaxConfig::builder().trim_blocks(true).lstrip_blocks(true).keep_trailing_newline(true).build()?;
    environment.set_syntax(syntax);
    let view = Value::from(Serde(View::of(collected, figures)));
    Ok(environment.render_str(TEMPLATE, view)?)
}

/// The table of scores alone, for a terminal.
#[must_use]
pub fn table(collected: &Collected) -> String {
    let heads = ["policy", "runs", "STP", "spread", "ANTT", "worst", "max/min", "moves", "refused"];
    let mut text = line(&heads.map(str::to_owned));
    for row in policies(collected) {
        let cells = [row.name, row.runs, row.stp, row.stp_spread, row.antt, row.worst, row.unfairness_ratio, row.moves];
        let cells: Vec<_> = cells.into_iter().chain([row.refusals]).collect();
        text.push_str(&line(&cells));
    }
    text
}

fn line(cells: &[String]) -> String {
    let mut text = String::new();
    for (place, cell) in cells.iter().enumerate() {
        text.push_str(&if place == 0 { format!("{cell:<12}") } else { format!("{cell:>9}") });
    }
    format!("{}\n", text.trim_end())
}

/// One sentence: whether foresight helped.
#[must_use]
pub fn verdict(collected: &Collected) -> String {
    let (Some(predictive), Some(reactive)) = (stp(collected, PREDICTIVE), stp(collected, REACTIVE)) else {
        return "Predictive and reactive were not both run, so they are not compared.".to_owned();
    };
    let difference = percent(predictive.mean / reactive.mean - 1.0);
    let spread = format!("{:.3} and {:.3}", predictive.width(), reactive.width());
    let numbers = format!("STP {:.3} against {:.3}, {difference}", predictive.mean, reactive.mean);
    match compare(predictive, reactive) {
        Comparison::Better => format!(
            "**Predictive beat reactive**: {numbers}, more than repeated runs of either differ (spread {spread})."
        ),
        Comparison::Worse => format!(
            "**Predictive lost to reactive**: {numbers}, more than repeated runs of either differ (spread {spread})."
        ),
        Comparison::NoDifference => format!(
            "**Predictive did not beat reactive**: {numbers}, which is within the spread of repeated runs ({spread}) or \
             too small to mean anything."
        ),
    }
}

/// How much of what moving gains is owed to foresight.
fn share_of_gain(collected: &Collected) -> Option<String> {
    let of = |policy| stp(collected, policy).map(|spread| spread.mean);
    let (stay, reactive, predictive) = (of(STAY_PUT)?, of(REACTIVE)?, of(PREDICTIVE)?);
    let change = |policy: f64| percent(policy / stay - 1.0);
    let numbers = format!(
        "Against staying put, reactive changes STP by {} and predictive by {}",
        change(reactive),
        change(predictive)
    );
    let gain = predictive - stay;
    if gain > 0.0 && predictive > reactive && reactive > stay {
        Some(format!("{numbers}: {:.0} % of predictive's gain is foresight.", 100.0 * (predictive - reactive) / gain))
    } else {
        Some(format!("{numbers}."))
    }
}

fn stp(collected: &Collected, policy: &str) -> Option<Spread> {
    Spread::of(&run_scores(collected, policy).iter().map(|scores| scores.stp).collect::<Vec<_>>())
}

fn run_scores(collected: &Collected, policy: &str) -> Vec<Scores> {
    collected.runs_of(policy).filter_map(|run| scores(collected, run)).collect()
}

fn percent(share: f64) -> String {
    format!("{:+.2} %", 100.0 * share)
}

fn share(value: Option<f64>) -> String {
    value.map_or(UNKNOWN.to_owned(), |value| format!("{:.1} %", 100.0 * value))
}

fn number(value: Option<f64>, digits: usize) -> String {
    value.map_or(UNKNOWN.to_owned(), |value| format!("{value:.digits$}"))
}

/// All that the template shows, as text.
#[derive(Debug, Serialize)]
struct View<'a> {
    collected: &'a Collected,
    quanta: usize,
    quantum_mcycles: String,
    verdict: String,
    share_of_gain: Option<String>,
    domains: String,
    guests: Vec<GuestRow<'a>>,
    policies: Vec<PolicyRow>,
    slowdowns: Vec<SlowdownRow<'a>>,
    policy_names: Vec<&'a str>,
    forecasts: Vec<ForecastRow>,
    agreements: Vec<AgreementRow<'a>>,
    refill_share: String,
    figures: Vec<Link<'a>>,
}

#[derive(Debug, Serialize)]
struct GuestRow<'a> {
    name: &'a str,
    program: &'a str,
    input: &'a str,
    about: &'a str,
    first_domain: u32,
    alone_cpi: String,
    seen_quanta: String,
    marked_quanta: String,
}

#[derive(Debug, Serialize)]
struct PolicyRow {
    name: String,
    runs: String,
    stp: String,
    stp_spread: String,
    antt: String,
    harmonic: String,
    unfairness_ratio: String,
    unfairness_deviation: String,
    worst: String,
    moves: String,
    refusals: String,
}

#[derive(Debug, Serialize)]
struct SlowdownRow<'a> {
    guest: &'a str,
    by_policy: Vec<String>,
}

#[derive(Debug, Serialize)]
struct ForecastRow {
    policy: String,
    guest: String,
    quanta: u64,
    changes: u64,
    accuracy: String,
    last_value: String,
    on_changes: String,
    false_alarms: u64,
}

#[derive(Debug, Serialize)]
struct AgreementRow<'a> {
    guest: &'a str,
    truth_alone: String,
    truth_in_mix: String,
    alone_and_mix: String,
}

#[derive(Debug, Serialize)]
struct Link<'a> {
    file: &'a str,
    caption: &'a str,
}

impl<'a> View<'a> {
    fn of(collected: &'a Collected, figures: &'a [Figure]) -> Self {
        let policy_names = collected.policies();
        let domains: Vec<_> = collected.machine.cpus_per_domain.iter().map(|cpus| format!("{cpus} CPUs")).collect();
        let refill = collected.machine.refill_cycles.map(|cycles| cycles as f64 / collected.quantum_cycles as f64);
        Self {
            collected,
            quanta: collected.runs.iter().flat_map(|run| &run.series).map(|series| series.len()).max().unwrap_or(0),
            quantum_mcycles: (collected.quantum_cycles as f64 / 1e6).to_string(),
            verdict: verdict(collected),
            share_of_gain: share_of_gain(collected),
            domains: domains.join(" + "),
            guests: guests(collected),
            policies: policies(collected),
            slowdowns: slowdown_rows(collected, &policy_names),
            forecasts: forecasts(collected, &policy_names),
            agreements: agreements(collected),
            policy_names,
            refill_share: number(refill, 3),
            figures: figures.iter().map(|figure| Link { file: &figure.file, caption: &figure.caption }).collect(),
        }
    }
}

fn guests(collected: &Collected) -> Vec<GuestRow<'_>> {
    let rows = collected.guests.iter().zip(&collected.solo).enumerate();
    rows.map(|(place, (guest, solo))| {
        let cycles: Option<u64> = solo.cycles.iter().copied().sum();
        let instructions: Option<u64> = solo.instructions.iter().copied().sum();
        let cpi = cycles.zip(instructions).filter(|(_, retired)| *retired > 0);
        GuestRow {
            name: &guest.name,
            program: &guest.program,
            input: &guest.input,
            about: &guest.about,
            first_domain: collected.runs[0].series[place].domain[0],
            alone_cpi: number(cpi.map(|(cycles, instructions)| cycles as f64 / instructions as f64), 3),
            seen_quanta: number(solo.mean_phase_quanta(), 1),
            marked_quanta: number(solo.mean_mark_quanta(), 1),
        }
    })
    .collect()
}

fn policies(collected: &Collected) -> Vec<PolicyRow> {
    collected.policies().into_iter().map(|policy| policy_row(collected, policy)).collect()
}

fn policy_row(collected: &Collected, policy: &str) -> PolicyRow {
    let runs: Vec<_> = collected.runs_of(policy).collect();
    let scores = run_scores(collected, policy);
    let mean =
        |of: fn(&Scores) -> f64| Spread::of(&scores.iter().map(of).collect::<Vec<_>>()).map(|spread| spread.mean);
    let count = |of: fn(&Run) -> u64| {
        let counts: Vec<_> = runs.iter().map(|run| of(run).to_string()).collect();
        counts.join(", ")
    };
    PolicyRow {
        name: policy.to_owned(),
        runs: runs.len().to_string(),
        stp: number(mean(|scores| scores.stp), 3),
        stp_spread: if runs.len() > 1 {
            number(stp(collected, policy).map(|spread| spread.width()), 3)
        } else {
            "-".into()
        },
        antt: number(mean(|scores| scores.antt), 3),
        harmonic: number(mean(|scores| scores.harmonic_speedup), 3),
        unfairness_ratio: number(mean(|scores| scores.unfairness_ratio), 3),
        unfairness_deviation: number(mean(|scores| scores.unfairness_deviation), 3),
        worst: number(mean(|scores| scores.worst_slowdown), 3),
        moves: count(|run| run.moves),
        refusals: count(|run| run.refusals),
    }
}

fn slowdown_rows<'a>(collected: &'a Collected, policies: &[&str]) -> Vec<SlowdownRow<'a>> {
    let of = |policy: &str, guest: usize| {
        let runs: Option<Vec<_>> = collected.runs_of(policy).map(|run| slowdowns(collected, run)[guest]).collect();
        number(runs.and_then(|runs| Spread::of(&runs)).map(|spread| spread.mean), 3)
    };
    let row = |(place, guest): (usize, &'a super::collected::Guest)| SlowdownRow {
        guest: &guest.name,
        by_policy: policies.iter().map(|policy| of(policy, place)).collect(),
    };
    collected.guests.iter().enumerate().map(row).collect()
}

/// For each policy that forecasts more than the last value: one row a guest, then all together.
fn forecasts(collected: &Collected, policies: &[&str]) -> Vec<ForecastRow> {
    let mut rows = Vec::new();
    for policy in policies.iter().filter(|policy| **policy != REACTIVE) {
        let of = |guest: usize| {
            let each = collected.runs_of(policy).map(|run| ForecastScore::of(&run.series[guest]));
            each.fold(ForecastScore::default(), ForecastScore::and)
        };
        let by_guest: Vec<_> = (0..collected.guests.len()).map(of).collect();
        let all = by_guest.iter().copied().fold(ForecastScore::default(), ForecastScore::and);
        if all.quanta == 0 {
            continue;
        }
        let names = collected.guests.iter().map(|guest| guest.name.as_str());
        rows.extend(names.zip(by_guest).map(|(name, score)| forecast_row(policy, name, score)));
        rows.push(forecast_row(policy, "all", all));
    }
    rows
}

fn forecast_row(policy: &str, guest: &str, score: ForecastScore) -> ForecastRow {
    ForecastRow {
        policy: policy.to_owned(),
        guest: guest.to_owned(),
        quanta: score.quanta,
        changes: score.changes(),
        accuracy: share(score.accuracy()),
        last_value: share(score.last_value_accuracy()),
        on_changes: share(score.accuracy_on_changes()),
        false_alarms: score.false_alarms,
    }
}

fn agreements(collected: &Collected) -> Vec<AgreementRow<'_>> {
    let run = collected.runs_of(STAY_PUT).next().unwrap_or(&collected.runs[0]);
    let rows = collected.solo.iter().zip(&run.series);
    rows.map(|(solo, mix)| AgreementRow {
        guest: &solo.guest,
        truth_alone: share(truth_agreement(solo)),
        truth_in_mix: share(truth_agreement(mix)),
        alone_and_mix: share(work_agreement(solo, mix)),
    })
    .collect()
}
