//! From runs to what people read: the verdict, the table of policies, the mixes, two figures.

use std::collections::BTreeSet;

use super::contest::{Finding, Knowledge};
use super::outcome::{
    Contestant, STATIC, WORSE, YARDSTICK, best, best_static, chosen, duel, mean, recoloured_spread, share_closed, stp,
    throughput,
};
use super::{Estimated, Mixes, figures};
use crate::report::ReportError;
use crate::report::text::{Align, Table, cell, csv, number, percent, percent_within};
use crate::survey::{SUMMARY, TextFile};

/// The page on method and bias.
const README: &str = include_str!("README.md");

/// The policy that is ours.
pub(super) const OURS: &str = "predictive";

pub(super) fn render(mixes: &Mixes) -> Result<Vec<TextFile>, ReportError> {
    Ok(vec![
        TextFile::new("README.md", README),
        TextFile::new(SUMMARY, summary(mixes)?),
        TextFile::new("runs.csv", table_for_programs(mixes)),
        TextFile::figure("gains.svg", figures::gains(mixes))?,
        TextFile::figure("moves.svg", figures::moves(mixes))?,
    ])
}

/// Everybody who is compared: the policies in their order, those whose models know nothing of the guests, the yardsticks.
pub(super) struct Field {
    pub(super) put: Contestant,
    pub(super) policies: Vec<Contestant>,
    pub(super) unseen: Vec<Contestant>,
    pub(super) best_static: Contestant,
    pub(super) oracle: Contestant,
}

impl Field {
    pub(super) fn of(mixes: &Mixes) -> Result<Self, ReportError> {
        let missing = |what: &str| ReportError::Incomplete {
            what: "the survey of mixes".to_owned(),
            problem: format!("not every mix has {what}"),
        };
        let names = names(&mixes.mixes);
        let of = |knowledge| {
            let all = names.iter().filter(|name| **name != STATIC);
            all.filter_map(|name| Contestant::policy(mixes, name, knowledge)).collect::<Vec<_>>()
        };
        Ok(Self {
            put: Contestant::policy(mixes, STATIC, Knowledge::Seen).ok_or_else(|| missing("runs that stay put"))?,
            policies: of(Knowledge::Seen),
            unseen: of(Knowledge::Unseen),
            best_static: Contestant::best_static(mixes).ok_or_else(|| missing("a best static placement"))?,
            oracle: Contestant::oracle(mixes).ok_or_else(|| missing("a best run"))?,
        })
    }

    pub(super) fn named(&self, name: &str) -> Option<&Contestant> {
        self.policies.iter().find(|contestant| contestant.name == name)
    }

    fn all(&self) -> impl Iterator<Item = &Contestant> {
        let moving = self.policies.iter().chain(&self.unseen);
        std::iter::once(&self.put).chain(moving).chain([&self.best_static, &self.oracle])
    }
}

/// The policies that ran, in their order.
pub(super) fn names(findings: &[Finding]) -> Vec<&str> {
    let mut names: Vec<&str> = Vec::new();
    for run in findings.iter().flat_map(|finding| &finding.runs) {
        if !names.contains(&run.policy.as_str()) {
            names.push(&run.policy);
        }
    }
    names
}

fn verdict(mixes: &Mixes, field: &Field) -> String {
    let seed = mixes.seed;
    let (Some(ours), Some(reactive)) = (field.named(OURS), field.named(YARDSTICK)) else {
        return format!("Without both {OURS} and {YARDSTICK} there is no verdict.");
    };
    let ahead = duel(ours, reactive, seed);
    let still = duel(ours, &field.put, seed);
    let share = |from| share_closed(ours, from, &field.oracle, seed);
    format!(
        "Over {} mixes {OURS} is {} above {YARDSTICK} in throughput (p = {}) and {} above staying put; it closes {} of the gap from \
         staying put to the oracle, and {} of that from {YARDSTICK} to the oracle. On {} mixes it is more than {} below staying put. \
         The oracle is {} above the best static placement: that is what phases are worth here.",
        mixes.mixes.len(),
        percent_within(ahead.map(|duel| duel.gain), 2),
        number(ahead.map(|duel| duel.p), 4),
        percent_within(still.map(|duel| duel.gain), 2),
        percent_within(share(&field.put), 0),
        percent_within(share(reactive), 0),
        still.map_or(0, |duel| duel.worse),
        percent(Some(WORSE), 0),
        percent_within(duel(&field.oracle, &field.best_static, seed).map(|duel| duel.gain), 2),
    )
}

fn summary(mixes: &Mixes) -> Result<String, ReportError> {
    let field = Field::of(mixes)?;
    let mut text = format!(
        "# Policies on {} mixes of four guests on {}, replayed host\n\n**{}**\n\n{} quanta of {} M cycles each, seed {}. \
         [README.md](README.md) says how this was measured and how not to read it; `runs.csv` has every run.\n\n## Policies\n\n\
         Means over mixes; a mix's number is the mean over the {} ways to pair its guests up at the start; policies that do not look whom they part \
         (random, load-balance, round-robin, brm) begin at one of them, each mix at the next. Intervals are 95 %, by drawing \
         mixes; p is of the difference to {YARDSTICK}, by exchanging sides. The share is of the gap from staying put to the oracle, over all \
         mixes together. The same policy under other page colours differs from itself by a standard deviation of {} a mix.\n\n",
        mixes.mixes.len(),
        mixes.machine.name,
        verdict(mixes, &field),
        mixes.quanta,
        mixes.quantum_cycles as f64 / 1e6,
        mixes.seed,
        mixes.mixes.first().map_or(0, |finding| finding.starts),
        percent(recoloured_spread(mixes, YARDSTICK), 2),
    );
    text += &table(mixes, &field).markdown();
    text += "\n![Throughput by mix, relative to staying put](gains.svg)\n\n## Settings\n\n";
    text += &format!(
        "Chosen for each policy that weighs moves on {} other mixes. A step must gain so much, as a share of the slowdowns of the domains that \
         it touches, and is weighed over so many quanta; slowdowns are estimated as suits reactive best; the cells are throughput above staying put from the same start, and moves. What \
         was chosen is bold.\n\n",
        mixes.tuning.len()
    );
    text += &settings(mixes).markdown();
    text += "\n![Throughput against moves](moves.svg)\n\n## Mixes\n\nThroughput (STP): guests' worth of undisturbed work at once.\n\n";
    text += &by_mix(mixes).markdown();
    Ok(text)
}

/// vCPUs moved per vCPU and second of virtual time.
pub(super) fn moves_per_vcpu_second(mixes: &Mixes, moves: f64) -> Option<f64> {
    let guests = mixes.mixes.first()?.guests.len() as f64;
    let hertz = mixes.machine.frequency_mhz? as f64 * 1e6;
    Some(moves / guests / (mixes.quanta as f64 * mixes.quantum_cycles as f64 / hertz))
}

fn table(mixes: &Mixes, field: &Field) -> Table {
    let right = |head: &'static str| (head, Align::Right);
    let mut table = Table::new([
        ("policy", Align::Left),
        right("STP"),
        right("above staying put"),
        right("above reactive"),
        right("p"),
        right("share of gap"),
        right("ANTT"),
        right("worst slowdown"),
        right("unfairness"),
        right("moves per vCPU-second"),
        right("mixes below -1 %"),
    ]);
    let reactive = field.named(YARDSTICK);
    for contestant in field.all() {
        let put = duel(contestant, &field.put, mixes.seed);
        let versus = reactive.filter(|reactive| reactive.name != contestant.name);
        let versus = versus.and_then(|reactive| duel(contestant, reactive, mixes.seed));
        let average = |values: &[f64]| mean(values.iter().copied());
        let is_put = contestant.name == STATIC;
        let unless_put = |text: String| if is_put { String::new() } else { text };
        table.row([
            contestant.name.clone(),
            number(contestant.mean_stp(mixes.seed).map(|stp| stp.mean), 3),
            unless_put(percent_within(put.map(|duel| duel.gain), 2)),
            versus.map(|duel| percent_within(Some(duel.gain), 2)).unwrap_or_default(),
            versus.map(|duel| number(Some(duel.p), 4)).unwrap_or_default(),
            unless_put(percent_within(share_closed(contestant, &field.put, &field.oracle, mixes.seed), 0)),
            number(average(&contestant.antt), 3),
            number(average(&contestant.worst_slowdown), 3),
            number(average(&contestant.unfairness), 3),
            number(average(&contestant.moves).and_then(|moves| moves_per_vcpu_second(mixes, moves)), 2),
            unless_put(put.map_or(String::new(), |duel| duel.worse.to_string())),
        ]);
    }
    table
}

/// A policy with each settings on the mixes for tuning: throughput over that of staying put from the same start, and moves.
pub(super) fn tried(mixes: &Mixes, policy: &str, setting: usize) -> Option<(f64, f64)> {
    let each = |finding: &Finding| {
        let run = finding.runs.iter().find(|run| run.policy == policy && run.setting == setting)?;
        let put = finding.runs.iter().find(|other| other.policy == STATIC && other.start == run.start)?;
        Some((stp(run)? / stp(put)? - 1.0, run.moves as f64))
    };
    let all: Vec<(f64, f64)> = mixes.tuning.iter().map(each).collect::<Option<_>>()?;
    Some((mean(all.iter().map(|(gain, _)| *gain))?, mean(all.iter().map(|(_, moves)| *moves))?))
}

fn settings(mixes: &Mixes) -> Table {
    let policies: Vec<&str> = weighing(mixes);
    let columns = policies.iter().map(|policy| (*policy, Align::Right));
    let heads = [
        ("slowdowns", Align::Left),
        ("forecaster", Align::Left),
        ("weighed over", Align::Right),
        ("least gain", Align::Right),
    ];
    let mut table = Table::new(heads.into_iter().chain(columns));
    for (place, setting) in mixes.settings.iter().enumerate() {
        let cells = policies.iter().map(|policy| match tried(mixes, policy, place) {
            None => String::new(),
            Some((gain, moves)) => {
                let text = format!("{}, {moves:.1} moves", percent(Some(gain), 2));
                if chosen(&mixes.tuning, &mixes.settings, policy) == place { format!("**{text}**") } else { text }
            }
        });
        let estimate = match setting.estimate {
            Estimated::Additive => "additive",
            Estimated::Analytic => "analytic",
        };
        let head = [
            estimate.to_owned(),
            setting.forecaster.clone(),
            format!("{} quanta", setting.horizon_quanta),
            percent(Some(setting.min_gain_share), 1),
        ];
        table.row(head.into_iter().chain(cells));
    }
    table
}

/// The policies to which settings matter: those that ran with more than one on the mixes for tuning.
fn weighing(mixes: &Mixes) -> Vec<&str> {
    let several = |policy: &&str| {
        let runs = mixes.tuning.iter().flat_map(|finding| &finding.runs).filter(|run| run.policy == *policy);
        runs.map(|run| run.setting).collect::<BTreeSet<_>>().len() > 1
    };
    names(&mixes.tuning).into_iter().filter(several).collect()
}

fn by_mix(mixes: &Mixes) -> Table {
    let policies: Vec<&str> = names(&mixes.mixes);
    let columns = policies.iter().chain(&["best static", "oracle"]).map(|name| (*name, Align::Right));
    let heads = [("mix", Align::Left), ("guests", Align::Left)];
    let mut table = Table::new(heads.into_iter().chain(columns));
    for finding in &mixes.mixes {
        let guests: Vec<&str> = finding.guests.iter().map(|guest| guest.program.as_str()).collect();
        let scores = policies.iter().map(|policy| throughput(finding, policy, Knowledge::Seen));
        let cells = scores.chain([best_static(finding), best(finding)]).map(|stp| number(stp, 3));
        table.row([finding.mix.clone(), guests.join(", ")].into_iter().chain(cells));
    }
    table
}

fn table_for_programs(mixes: &Mixes) -> String {
    let heads = [
        "set",
        "mix",
        "policy",
        "knowledge",
        "setting",
        "start",
        "recoloured",
        "moves",
        "stp",
        "guest",
        "program",
        "input",
        "slowdown",
    ];
    let mut rows = Vec::new();
    for (set, findings) in [("tuning", &mixes.tuning), ("comparison", &mixes.mixes)] {
        for finding in findings {
            for run in &finding.runs {
                let knowledge = if run.knowledge == Knowledge::Seen { "seen" } else { "unseen" };
                for (guest, slowdown) in run.slowdowns.iter().enumerate() {
                    rows.push(vec![
                        set.to_owned(),
                        finding.mix.clone(),
                        run.policy.clone(),
                        knowledge.to_owned(),
                        run.setting.to_string(),
                        run.start.to_string(),
                        run.recoloured.to_string(),
                        run.moves.to_string(),
                        cell(stp(run)),
                        guest.to_string(),
                        finding.guests[guest].program.clone(),
                        finding.guests[guest].input.clone(),
                        cell(Some(*slowdown)),
                    ]);
                }
            }
            for (guest, slowdown) in finding.oracle.iter().flat_map(|oracle| oracle.slowdowns.iter().enumerate()) {
                let moves = finding.oracle.as_ref().map_or(0, |oracle| oracle.moves);
                let mut row: Vec<String> =
                    [set, finding.mix.as_str(), "oracle", "", "", "", "false"].map(String::from).to_vec();
                row.extend([moves.to_string(), cell(best(finding)), guest.to_string()]);
                row.extend([
                    finding.guests[guest].program.clone(),
                    finding.guests[guest].input.clone(),
                    cell(Some(*slowdown)),
                ]);
                rows.push(row);
            }
        }
    }
    csv(&heads, rows)
}

pub(super) fn for_terminal(mixes: &Mixes) -> String {
    match Field::of(mixes) {
        Ok(field) => format!("{}\n{}", table(mixes, &field).aligned(), verdict(mixes, &field)),
        Err(error) => error.to_string(),
    }
}

pub(super) fn as_json(mixes: &Mixes) -> serde_json::Value {
    let Ok(field) = Field::of(mixes) else { return serde_json::Value::Null };
    let of = |contestant: &Contestant| {
        let put = duel(contestant, &field.put, mixes.seed);
        let reactive = field.named(YARDSTICK).and_then(|reactive| duel(contestant, reactive, mixes.seed));
        let told = |duel: Option<super::outcome::Duel>| {
            duel.map(|duel| serde_json::json!({ "gain": duel.gain.mean, "low": duel.gain.low, "high": duel.gain.high, "p": duel.p, "worse": duel.worse }))
        };
        serde_json::json!({
            "policy": contestant.name,
            "stp": contestant.mean_stp(mixes.seed).map(|stp| stp.mean),
            "above_stay_put": told(put),
            "above_reactive": told(reactive),
            "share_of_gap": share_closed(contestant, &field.put, &field.oracle, mixes.seed).map(|share| share.mean),
            "moves": mean(contestant.moves.iter().copied()),
        })
    };
    serde_json::json!({ "mixes": mixes.mixes.len(), "policies": field.all().map(of).collect::<Vec<_>>() })
}

#[cfg(test)]
mod tests {
    use super::super::outcome::tests::three_mixes;
    use super::*;

    #[test]
    fn the_verdict_says_every_number_that_decides() {
        let mixes = three_mixes();
        let text = summary(&mixes).expect("complete");
        assert!(text.contains("Over 3 mixes predictive is"), "{text}");
        assert!(text.contains("On 1 mixes it is more than 1 % below staying put"), "{text}");
        assert!(text.contains("| mix-02 | a, b, c, d | 2.200 | 2.400 | 2.600 | 2.600 | 2.800 |"), "{text}");
    }

    #[test]
    fn moves_are_told_per_vcpu_and_second_of_virtual_time() {
        // 200 quanta of 10 M cycles at 2 GHz are a second.
        assert_eq!(moves_per_vcpu_second(&three_mixes(), 8.0), Some(2.0));
    }

    #[test]
    fn a_survey_without_a_best_run_is_told_so() {
        let mut mixes = three_mixes();
        mixes.mixes[1].oracle = None;
        assert!(summary(&mixes).expect_err("incomplete").to_string().contains("not every mix has a best run"));
    }

    #[test]
    fn every_run_has_a_line_for_each_guest() {
        let mixes = three_mixes();
        let lines = table_for_programs(&mixes).lines().count();
        assert_eq!(lines, 1 + 3 * (9 + 1) * 4);
    }
}
