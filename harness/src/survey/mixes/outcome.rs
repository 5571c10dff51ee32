//! What many mixes come to: every score by mix, differences between policies with intervals, shares of gaps closed.
//!
//! The unit is the mix. A policy's throughput on a mix is the mean over its starts, since chance decides where guests begin;
//! staying put is the mean over the same starts. Intervals come from drawing mixes with replacement, probabilities from
//! exchanging the two sides of each mix.

use super::contest::{Finding, Knowledge, PolicyRun};
use super::{Mixes, Tried};
use crate::report::estimate::{Estimate, estimate, over_series, paired_permutation};
use crate::report::metrics::Scores;

/// The policy that decides whether forecasting is worth anything.
pub(super) const YARDSTICK: &str = "reactive";

/// The policy that never moves.
pub(super) const STATIC: &str = "stay-put";

/// A mix is worse off under a policy if it lost more than this share of staying put's throughput.
pub(super) const WORSE: f64 = 0.01;

/// The settings with the largest mean throughput on the mixes for tuning; of equals the last, which is calmer and sees
/// farther. How slowdowns are estimated is chosen with those of [`YARDSTICK`] and holds for all. A policy that was tried
/// with nothing else gets the first settings of that estimate.
pub(super) fn chosen(tuning: &[Finding], settings: &[Tried], policy: &str) -> usize {
    let best = |policy: &str, fits: &dyn Fn(usize) -> bool| {
        let mean_of = |setting: usize| {
            let runs = tuning.iter().flat_map(|finding| &finding.runs);
            mean(runs.filter(|run| run.policy == policy && run.setting == setting).filter_map(stp))
        };
        let tried = (0..settings.len()).rev().filter(|setting| fits(*setting));
        let scored = tried.filter_map(|setting| Some((setting, mean_of(setting)?)));
        scored.reduce(|best, other| if other.1 > best.1 { other } else { best }).map(|(setting, _)| setting)
    };
    let estimate = best(YARDSTICK, &|_| true).and_then(|setting| settings.get(setting)).map(|tried| tried.estimate);
    let fits = |setting: usize| estimate.is_none_or(|estimate| settings[setting].estimate == estimate);
    best(policy, &fits).or_else(|| (0..settings.len()).find(|setting| fits(*setting))).unwrap_or(0)
}

/// System throughput of a run.
pub(super) fn stp(run: &PolicyRun) -> Option<f64> {
    Some(Scores::of(&run.slowdowns)?.stp)
}

pub(super) fn mean(values: impl Iterator<Item = f64>) -> Option<f64> {
    let (sum, count) = values.fold((0.0, 0usize), |(sum, count), value| (sum + value, count + 1));
    (count > 0).then(|| sum / count as f64)
}

/// The runs of a mix under a policy in the page colours of the comparison.
pub(super) fn runs_of<'a>(
    finding: &'a Finding,
    policy: &'a str,
    knowledge: Knowledge,
) -> impl Iterator<Item = &'a PolicyRun> + 'a {
    let wanted = move |run: &&PolicyRun| run.policy == policy && run.knowledge == knowledge && !run.recoloured;
    finding.runs.iter().filter(wanted)
}

/// Throughput of a policy on one mix, the mean over starts.
pub(super) fn throughput(finding: &Finding, policy: &str, knowledge: Knowledge) -> Option<f64> {
    mean(runs_of(finding, policy, knowledge).filter_map(stp))
}

/// Throughput of the best static placement of one mix.
pub(super) fn best_static(finding: &Finding) -> Option<f64> {
    runs_of(finding, STATIC, Knowledge::Seen).filter_map(stp).reduce(f64::max)
}

/// Throughput of the best run of one mix.
pub(super) fn best(finding: &Finding) -> Option<f64> {
    Some(Scores::of(&finding.oracle.as_ref()?.slowdowns)?.stp)
}

/// A policy, or a yardstick, on every mix.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Contestant {
    pub(super) name: String,
    /// Throughput by mix.
    pub(super) stp: Vec<f64>,
    /// Slowdown of the worst guest by mix, mean over starts.
    pub(super) worst_slowdown: Vec<f64>,
    /// Mean slowdown by mix.
    pub(super) antt: Vec<f64>,
    /// Standard deviation of slowdowns over their mean, by mix.
    pub(super) unfairness: Vec<f64>,
    /// Moves by mix, mean over starts.
    pub(super) moves: Vec<f64>,
}

impl Contestant {
    /// A policy over all mixes; `None` if it did not run on each.
    pub(super) fn policy(mixes: &Mixes, policy: &str, knowledge: Knowledge) -> Option<Self> {
        let over_starts = |of: &dyn Fn(&Scores) -> f64| -> Option<Vec<f64>> {
            let scores = |finding| runs_of(finding, policy, knowledge).filter_map(|run| Scores::of(&run.slowdowns));
            mixes.mixes.iter().map(|finding| mean(scores(finding).map(|scores| of(&scores)))).collect()
        };
        let moves = |finding| mean(runs_of(finding, policy, knowledge).map(|run| run.moves as f64));
        let suffix = if knowledge == Knowledge::Unseen { ", unseen programs" } else { "" };
        Some(Self {
            name: format!("{policy}{suffix}"),
            stp: over_starts(&|scores| scores.stp)?,
            worst_slowdown: over_starts(&|scores| scores.worst_slowdown)?,
            antt: over_starts(&|scores| scores.antt)?,
            unfairness: over_starts(&|scores| scores.unfairness_deviation)?,
            moves: mixes.mixes.iter().map(moves).collect::<Option<_>>()?,
        })
    }

    /// The best static placement of each mix.
    pub(super) fn best_static(mixes: &Mixes) -> Option<Self> {
        let best = |finding: &Finding| -> Option<Scores> {
            runs_of(finding, STATIC, Knowledge::Seen)
                .filter_map(|run| Scores::of(&run.slowdowns))
                .reduce(|best, other| if other.stp > best.stp { other } else { best })
        };
        let scores: Option<Vec<Scores>> = mixes.mixes.iter().map(best).collect();
        Some(Self::yardstick("best static", &scores?, vec![0.0; mixes.mixes.len()]))
    }

    /// The best run of each mix.
    pub(super) fn oracle(mixes: &Mixes) -> Option<Self> {
        let oracles: Option<Vec<_>> = mixes.mixes.iter().map(|finding| finding.oracle.as_ref()).collect();
        let oracles = oracles?;
        let scores: Option<Vec<Scores>> = oracles.iter().map(|oracle| Scores::of(&oracle.slowdowns)).collect();
        Some(Self::yardstick("oracle", &scores?, oracles.iter().map(|oracle| oracle.moves as f64).collect()))
    }

    fn yardstick(name: &str, scores: &[Scores], moves: Vec<f64>) -> Self {
        Self {
            name: name.to_owned(),
            stp: scores.iter().map(|scores| scores.stp).collect(),
            worst_slowdown: scores.iter().map(|scores| scores.worst_slowdown).collect(),
            antt: scores.iter().map(|scores| scores.antt).collect(),
            unfairness: scores.iter().map(|scores| scores.unfairness_deviation).collect(),
            moves,
        }
    }

    /// Its mean throughput.
    pub(super) fn mean_stp(&self, seed: u64) -> Option<Estimate> {
        over_series(&self.stp, seed)
    }

    /// By which share its throughput is above that of `other`, mix by mix.
    pub(super) fn gains_over(&self, other: &Self) -> Vec<f64> {
        self.stp.iter().zip(&other.stp).map(|(own, other)| own / other - 1.0).collect()
    }
}

/// One policy against another.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Duel {
    /// By which share the one is above the other in the mean over mixes.
    pub(super) gain: Estimate,
    /// How probable so large a mean is by chance.
    pub(super) p: f64,
    /// On how many mixes it is more than [`WORSE`] below.
    pub(super) worse: usize,
}

/// `own` against `other`.
pub(super) fn duel(own: &Contestant, other: &Contestant, seed: u64) -> Option<Duel> {
    let gains = own.gains_over(other);
    Some(Duel {
        gain: over_series(&gains, seed)?,
        p: paired_permutation(&gains, seed)?,
        worse: gains.iter().filter(|gain| **gain < -WORSE).count(),
    })
}

/// Which share of the way from `from` to `to` the throughput of `own` is, over all mixes together: a ratio of sums, so that
/// mixes on which there is nothing to gain do not count for more than those on which there is.
pub(super) fn share_closed(own: &Contestant, from: &Contestant, to: &Contestant, seed: u64) -> Option<Estimate> {
    let sum = |drawn: &[usize], one: &Contestant, other: &Contestant| -> f64 {
        drawn.iter().map(|place| one.stp[*place] - other.stp[*place]).sum()
    };
    estimate(own.stp.len(), seed, &|drawn| sum(drawn, own, from) / sum(drawn, to, from))
}

/// How far the same policy is from itself under other page colours: the standard deviation of the difference of its gain
/// over staying put, mix by mix.
pub(super) fn recoloured_spread(mixes: &Mixes, policy: &str) -> Option<f64> {
    let gain = |finding: &Finding, recoloured: bool| -> Option<f64> {
        let of = |policy: &str| {
            // From those starts alone from which it ran in both.
            let again = |run: &PolicyRun| {
                let is_same = |other: &PolicyRun| (other.start, &other.policy) == (run.start, &run.policy);
                finding.runs.iter().any(|other| other.recoloured && is_same(other))
            };
            let runs = finding.runs.iter().filter(|run| run.recoloured == recoloured && run.policy == policy);
            let runs = runs.filter(|run| again(run));
            mean(runs.filter(|run| run.knowledge == Knowledge::Seen).filter_map(stp))
        };
        Some(of(policy)? / of(STATIC)? - 1.0)
    };
    let differences: Option<Vec<f64>> =
        mixes.mixes.iter().map(|finding| Some(gain(finding, true)? - gain(finding, false)?)).collect();
    let differences = differences?;
    let middle = mean(differences.iter().copied())?;
    Some(mean(differences.iter().map(|difference| (difference - middle).powi(2)))?.sqrt())
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::report::collected::MachineFacts;
    use crate::survey::mixes::Estimated;
    use crate::survey::mixes::contest::{GuestFacts, Yardstick};

    fn run(policy: &str, start: usize, setting: usize, stp: f64) -> PolicyRun {
        PolicyRun {
            policy: policy.to_owned(),
            knowledge: Knowledge::Seen,
            setting,
            start,
            recoloured: false,
            slowdowns: vec![4.0 / stp; 4],
            moves: 3,
        }
    }

    fn finding(mix: &str, starts: [f64; 3], reactive: f64, predictive: f64, oracle: f64) -> Finding {
        let mut runs: Vec<PolicyRun> = (0..3).map(|start| run(STATIC, start, 0, starts[start])).collect();
        for (policy, stp) in [(YARDSTICK, reactive), ("predictive", predictive)] {
            runs.extend((0..3).map(|start| run(policy, start, 1, stp)));
        }
        let guest = |program: &str| GuestFacts {
            program: program.to_owned(),
            input: "ref".to_owned(),
            llc_references_per_kilo_cycle: 1.0,
        };
        Finding {
            mix: mix.to_owned(),
            guests: ["a", "b", "c", "d"].map(guest).to_vec(),
            starts: 3,
            runs,
            oracle: Some(Yardstick { slowdowns: vec![4.0 / oracle; 4], moves: 5 }),
        }
    }

    fn tried(min_gain_share: f64) -> Tried {
        let (horizon_quanta, forecaster) = (8, "default".to_owned());
        Tried { min_gain_share, horizon_quanta, forecaster, estimate: Estimated::Additive }
    }

    pub(in crate::survey::mixes) fn three_mixes() -> Mixes {
        Mixes {
            machine: MachineFacts {
                name: "small".to_owned(),
                cpus_per_domain: vec![2, 2],
                llc_kib: None,
                frequency_mhz: Some(2000),
                refill_cycles: None,
            },
            quantum_cycles: 10_000_000,
            quanta: 200,
            seed: 1,
            settings: [0.01, 0.05].map(tried).to_vec(),
            tuning: Vec::new(),
            mixes: vec![
                finding("mix-01", [3.0, 3.2, 3.4], 3.3, 3.4, 3.5),
                finding("mix-02", [2.0, 2.0, 2.6], 2.4, 2.6, 2.8),
                finding("mix-03", [4.0, 4.0, 4.0], 4.0, 3.9, 4.0),
            ],
        }
    }

    #[test]
    fn staying_put_is_the_mean_over_starts_and_the_best_static_their_best() {
        let mixes = three_mixes();
        let put = Contestant::policy(&mixes, STATIC, Knowledge::Seen).expect("it ran");
        assert!((put.stp[0] - 3.2).abs() < 1e-12 && (put.stp[1] - 2.2).abs() < 1e-12);
        let best = Contestant::best_static(&mixes).expect("it ran");
        assert!((best.stp[0] - 3.4).abs() < 1e-12 && (best.stp[1] - 2.6).abs() < 1e-12);
        assert_eq!(Contestant::policy(&mixes, "random", Knowledge::Seen), None);
    }

    #[test]
    fn shares_of_gaps_are_of_all_mixes_together() {
        let mixes = three_mixes();
        let policy = |name| Contestant::policy(&mixes, name, Knowledge::Seen).expect("it ran");
        let oracle = Contestant::oracle(&mixes).expect("it was found");
        // Predictive is .2, .4 and -.1 above staying put; the oracle .3, .6 and 0.
        let share = share_closed(&policy("predictive"), &policy(STATIC), &oracle, 1).expect("there is a gap");
        assert!((share.mean - 0.5 / 0.9).abs() < 1e-12, "{share:?}");
        let duel = duel(&policy("predictive"), &policy(YARDSTICK), 1).expect("three mixes");
        assert_eq!((duel.worse, duel.p), (1, 0.5), "{duel:?}");
    }

    #[test]
    fn settings_are_the_best_on_mixes_for_tuning_and_of_equals_the_last() {
        let settings = [0.01, 0.05, 0.1].map(tried);
        let tuning = |by_setting: &[f64]| {
            let runs = by_setting.iter().zip(0..).map(|(stp, setting)| run(YARDSTICK, 0, setting, *stp)).collect();
            Finding { runs, ..finding("tuning-01", [3.0; 3], 3.0, 3.0, 3.0) }
        };
        assert_eq!(chosen(&[tuning(&[3.0, 3.5, 3.2]), tuning(&[3.0, 3.0, 3.1])], &settings, YARDSTICK), 1);
        assert_eq!(chosen(&[tuning(&[3.0, 3.0])], &settings, YARDSTICK), 1);
        assert_eq!(chosen(&[], &settings, YARDSTICK), 0);
    }

    #[test]
    fn all_policies_estimate_slowdowns_as_the_yardstick_does() {
        let settings = [tried(0.01), Tried { estimate: Estimated::Analytic, ..tried(0.01) }];
        let runs = vec![
            run(YARDSTICK, 0, 0, 3.0),
            run(YARDSTICK, 0, 1, 3.1),
            run("predictive", 0, 0, 3.5),
            run("predictive", 0, 1, 3.2),
        ];
        let tuning = [Finding { runs, ..finding("tuning-01", [3.0; 3], 3.0, 3.0, 3.0) }];
        assert_eq!(["predictive", YARDSTICK, "di"].map(|policy| chosen(&tuning, &settings, policy)), [1, 1, 1]);
    }

    #[test]
    fn a_spread_needs_runs_in_other_colours() {
        let mut mixes = three_mixes();
        assert_eq!(recoloured_spread(&mixes, YARDSTICK), None);
        for finding in &mut mixes.mixes {
            let again: Vec<PolicyRun> =
                finding.runs.iter().map(|run| PolicyRun { recoloured: true, ..run.clone() }).collect();
            finding.runs.extend(again);
        }
        assert_eq!(recoloured_spread(&mixes, YARDSTICK), Some(0.0));
    }
}
