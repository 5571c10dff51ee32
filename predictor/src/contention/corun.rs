//! Relative speed of two workloads on real machines, told from what each does alone; and how wrong that is.
//!
//! # Problem
//!
//! Some workloads were run alone with counters, and in pairs. How fast does a pair run that nobody tried: of two known workloads, or with one
//! that never ran beside anybody?
//!
//! # Models
//!
//! ```text
//! mean         the mean of all pairs
//! partner-mean the mean of the pairs with the same corunner
//! di           linear in the miss rates of both
//! additive     mean + s(subject) + n(corunner): sensitivity and intensity of each workload, least squares
//! learned      the same, with s and n ridge regressions on what the workload does alone; who is known keeps
//!              most of its own residual
//! forest       a random forest on the counters of both
//! ```
//!
//! Of a workload that was left out the additive model knows nothing: its `s` or `n` is 0, the mean of the others. That is what `learned` has
//! to beat there. Its regressions see two rates a cycle each: for `s`, misses of the own first-level data and instruction caches
//! (who lives in private caches fears nobody); for `n`, lines brought into the last private level and requests to it (who brings much in
//! takes it from others).
//!
//! # Properties
//!
//! Each with a test: on pairs made of sensitivity and intensity, additive is exact; where these follow counters, so is learned for
//! a workload never seen; a held-out pair is held out in both directions.

use smartcore::ensemble::random_forest_regressor::{RandomForestRegressor, RandomForestRegressorParameters};
use smartcore::linalg::basic::matrix::DenseMatrix;

/// Counters of a workload alone, in events per 1000 cycles.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Alone {
    /// Misses of the first-level data cache, and of the instruction cache.
    pub private: [f64; 2],
    /// Lines brought into the last private level, and requests to it.
    pub shared: [f64; 2],
    /// What goes on to memory, or to the last shared level where that is not counted.
    pub misses: f64,
}

/// One workload beside another; both by their places in the list of workloads.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct CoRun {
    /// Who was measured.
    pub subject: usize,
    /// Beside whom.
    pub corunner: usize,
    /// Instructions per cycle, of those alone.
    pub relative_ipc: f64,
}

/// How relative speed is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Teller {
    /// The mean of all pairs.
    Mean,
    /// The mean beside the same corunner.
    PartnerMean,
    /// Miss rates.
    Di,
    /// Sensitivity and intensity of each workload.
    Additive,
    /// These from counters.
    Learned,
    /// As learned, with how many counters and how strong a ridge chosen by leaving workloads out of the training pairs.
    LearnedNested,
    /// A random forest on counters.
    Forest,
}

impl Teller {
    /// Every one, the simplest first.
    pub const ALL: [Teller; 7] = [
        Teller::Mean,
        Teller::PartnerMean,
        Teller::Di,
        Teller::Additive,
        Teller::Learned,
        Teller::LearnedNested,
        Teller::Forest,
    ];

    /// The name used in tables.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Teller::Mean => "mean",
            Teller::PartnerMean => "partner-mean",
            Teller::Di => "di",
            Teller::Additive => "additive",
            Teller::Learned => "learned",
            Teller::LearnedNested => "learned-nested",
            Teller::Forest => "forest",
        }
    }
}

/// What is held out together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HeldOut {
    /// A pair of workloads, in both directions.
    Pair,
    /// A workload, with every pair that it is in.
    Workload,
}

/// How wrong a model is about what was held out from it.
#[derive(Debug, Clone, PartialEq)]
pub struct Tested {
    /// Mean absolute error of relative IPC.
    pub mean_absolute_error: f64,
    /// Share of the co-runs held out that lie within the model's own interval of 80 %.
    pub within_interval: f64,
    /// Half the mean width of that interval.
    pub half_width: f64,
}

/// Shape of a learned model: how many counters each regression sees, and its ridge as a share of the number of workloads.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Shape {
    private: usize,
    shared: usize,
    ridge: f64,
}

/// The shape used where none is chosen.
const WHOLE: Shape = Shape { private: 2, shared: 2, ridge: 0.3 };

/// Ridges among which a nested choice is made.
const RIDGES: [f64; 3] = [0.1, 0.3, 1.0];

/// So many co-runs count as much as a regression on counters.
const PRIOR_RUNS: f64 = 2.0;

/// The share of co-runs that an interval is to hold.
const INTERVAL: f64 = 0.8;

/// Alternations of the least squares of sensitivities and intensities.
const ALTERNATIONS: usize = 100;

const TREES: usize = 200;

/// A fitted model.
type Told = Box<dyn Fn(usize, usize) -> f64>;

/// How wrong `teller` is about each of `runs` held out from it.
#[must_use]
pub fn test(teller: Teller, held_out: HeldOut, runs: &[CoRun], workloads: &[Alone]) -> Option<Tested> {
    let mut errors = Vec::new();
    let mut widths = Vec::new();
    for (train, test) in folds(held_out, runs, workloads.len()) {
        let told = fit(teller, &train, workloads);
        let width = half_width(teller, held_out, &train, workloads);
        errors.extend(test.iter().map(|run| (run.relative_ipc - told(run.subject, run.corunner)).abs()));
        widths.resize(errors.len(), width);
    }
    let count = errors.len() as f64;
    (count > 0.0).then(|| Tested {
        mean_absolute_error: errors.iter().sum::<f64>() / count,
        within_interval: errors.iter().zip(&widths).filter(|(error, width)| error <= width).count() as f64 / count,
        half_width: widths.iter().sum::<f64>() / count,
    })
}

/// Training and test runs of each fold, none of them empty.
fn folds(held_out: HeldOut, runs: &[CoRun], workloads: usize) -> Vec<(Vec<CoRun>, Vec<CoRun>)> {
    let pair = |run: &CoRun| (run.subject.min(run.corunner), run.subject.max(run.corunner));
    let split = |held: &dyn Fn(&CoRun) -> bool| -> (Vec<CoRun>, Vec<CoRun>) { runs.iter().partition(|run| !held(run)) };
    let all: Vec<(Vec<CoRun>, Vec<CoRun>)> = match held_out {
        HeldOut::Pair => {
            let pairs: std::collections::BTreeSet<(usize, usize)> = runs.iter().map(pair).collect();
            pairs.into_iter().map(|out| split(&|run| pair(run) == out)).collect()
        }
        HeldOut::Workload => {
            (0..workloads).map(|out| split(&|run| run.subject == out || run.corunner == out)).collect()
        }
    };
    all.into_iter().filter(|(train, test)| !train.is_empty() && !test.is_empty()).collect()
}

/// The size of error below which the model's share of [`INTERVAL`] lies where runs of the training set are held out from it in turn.
fn half_width(teller: Teller, held_out: HeldOut, train: &[CoRun], workloads: &[Alone]) -> f64 {
    // A forest is slow to grow, so it borrows; and a nested choice once more nested says no more than the model chosen.
    let inner = match teller {
        Teller::Forest => Teller::Additive,
        Teller::LearnedNested => Teller::Learned,
        other => other,
    };
    let mut errors = errors(held_out, train, workloads.len(), |train| fit(inner, train, workloads));
    errors.sort_by(f64::total_cmp);
    let place = (INTERVAL * errors.len() as f64).ceil() as usize;
    errors.get(place.saturating_sub(1)).copied().unwrap_or(f64::INFINITY)
}

fn errors(held_out: HeldOut, runs: &[CoRun], workloads: usize, fit: impl Fn(&[CoRun]) -> Told) -> Vec<f64> {
    let folds = folds(held_out, runs, workloads);
    folds
        .iter()
        .flat_map(|(train, test)| {
            let told = fit(train);
            test.iter().map(|run| (run.relative_ipc - told(run.subject, run.corunner)).abs()).collect::<Vec<_>>()
        })
        .collect()
}

fn fit(teller: Teller, train: &[CoRun], workloads: &[Alone]) -> Told {
    match teller {
        Teller::Mean => {
            let mean = mean(train.iter().map(|run| run.relative_ipc)).unwrap_or(1.0);
            Box::new(move |_, _| mean)
        }
        Teller::PartnerMean => {
            let all = mean(train.iter().map(|run| run.relative_ipc)).unwrap_or(1.0);
            let beside = |who| mean(train.iter().filter(|run| run.corunner == who).map(|run| run.relative_ipc));
            let means: Vec<f64> = (0..workloads.len()).map(|who| beside(who).unwrap_or(all)).collect();
            Box::new(move |_, corunner| means[corunner])
        }
        Teller::Di => {
            let rows: Vec<Vec<f64>> =
                train.iter().map(|run| miss_rates(run.subject, run.corunner, workloads)).collect();
            let line = Ridge::fit(&rows, &train.iter().map(|run| run.relative_ipc).collect::<Vec<_>>(), 1e-6);
            let workloads = workloads.to_vec();
            Box::new(move |subject, corunner| line.tell(&miss_rates(subject, corunner, &workloads)))
        }
        Teller::Additive => {
            let effects = Effects::of(train, workloads.len());
            Box::new(move |subject, corunner| effects.mean + effects.sensitivity[subject] + effects.intensity[corunner])
        }
        Teller::Learned => learned(train, workloads, WHOLE),
        Teller::LearnedNested => learned(train, workloads, chosen(train, workloads)),
        Teller::Forest => forest(train, workloads).unwrap_or_else(|| fit(Teller::Additive, train, workloads)),
    }
}

fn miss_rates(subject: usize, corunner: usize, workloads: &[Alone]) -> Vec<f64> {
    vec![workloads[subject].misses, workloads[corunner].misses]
}

/// The shape whose errors are least where workloads of the training set are left out; of equals the first.
fn chosen(train: &[CoRun], workloads: &[Alone]) -> Shape {
    let counts = (0..=2).flat_map(|private| (0..=2).map(move |shared| (private, shared)));
    let shapes = counts.flat_map(|(private, shared)| RIDGES.map(|ridge| Shape { private, shared, ridge }));
    let off = |shape: Shape| {
        let errors = errors(HeldOut::Workload, train, workloads.len(), |train| learned(train, workloads, shape));
        mean(errors.into_iter()).unwrap_or(f64::INFINITY)
    };
    let weighed = shapes.map(|shape| (off(shape), shape));
    weighed.reduce(|best, one| if one.0 < best.0 { one } else { best }).map_or(WHOLE, |(_, shape)| shape)
}

fn learned(train: &[CoRun], workloads: &[Alone], shape: Shape) -> Told {
    let effects = Effects::of(train, workloads.len());
    let blend = |effect: &[f64], runs: &[f64], rates: &dyn Fn(&Alone) -> Vec<f64>| -> Vec<f64> {
        let seen: Vec<usize> = (0..workloads.len()).filter(|who| runs[*who] > 0.0).collect();
        let rows: Vec<Vec<f64>> = seen.iter().map(|who| rates(&workloads[*who])).collect();
        let line = Ridge::fit(&rows, &seen.iter().map(|who| effect[*who]).collect::<Vec<_>>(), shape.ridge);
        let one = |who: usize| {
            let told = line.tell(&rates(&workloads[who]));
            told + (effect[who] - told) * runs[who] / (runs[who] + PRIOR_RUNS)
        };
        (0..workloads.len()).map(one).collect()
    };
    let private = |alone: &Alone| alone.private[..shape.private].to_vec();
    let shared = |alone: &Alone| alone.shared[..shape.shared].to_vec();
    let sensitivity = blend(&effects.sensitivity, &effects.as_subject, &private);
    let intensity = blend(&effects.intensity, &effects.as_corunner, &shared);
    let mean = effects.mean;
    Box::new(move |subject, corunner| mean + sensitivity[subject] + intensity[corunner])
}

fn forest(train: &[CoRun], workloads: &[Alone]) -> Option<Told> {
    fn row(subject: usize, corunner: usize, workloads: &[Alone]) -> Vec<f64> {
        let (own, other) = (&workloads[subject], &workloads[corunner]);
        own.private
            .iter()
            .chain(&own.shared)
            .chain([&own.misses])
            .chain(&other.shared)
            .chain([&other.misses])
            .copied()
            .collect()
    }
    let rows: Vec<Vec<f64>> = train.iter().map(|run| row(run.subject, run.corunner, workloads)).collect();
    let examples = DenseMatrix::from_2d_vec(&rows).ok()?;
    let answers: Vec<f64> = train.iter().map(|run| run.relative_ipc).collect();
    let parameters =
        RandomForestRegressorParameters::default().with_n_trees(TREES).with_min_samples_leaf(3).with_m(3).with_seed(1);
    let forest = RandomForestRegressor::fit(&examples, &answers, parameters).ok()?;
    let workloads = workloads.to_vec();
    let fallback = mean(answers.into_iter()).unwrap_or(1.0);
    Some(Box::new(move |subject, corunner| {
        let row = DenseMatrix::from_2d_vec(&vec![row(subject, corunner, &workloads)]);
        let told: Option<Vec<f64>> = row.ok().and_then(|row| forest.predict(&row).ok());
        told.and_then(|told| told.first().copied()).unwrap_or(fallback)
    }))
}

fn mean(values: impl Iterator<Item = f64>) -> Option<f64> {
    let (sum, count) = values.fold((0.0, 0.0), |(sum, count), value| (sum + value, count + 1.0));
    (count > 0.0).then(|| sum / count)
}

/// Sensitivity and intensity of each workload, 0 of one that was not seen in that part.
struct Effects {
    mean: f64,
    sensitivity: Vec<f64>,
    intensity: Vec<f64>,
    as_subject: Vec<f64>,
    as_corunner: Vec<f64>,
}

impl Effects {
    /// Least squares, by turns: each is the mean of what the other leaves over.
    fn of(runs: &[CoRun], workloads: usize) -> Self {
        let nothing = || vec![0.0; workloads];
        let all = mean(runs.iter().map(|run| run.relative_ipc)).unwrap_or(1.0);
        let mut effects = Self {
            mean: all,
            sensitivity: nothing(),
            intensity: nothing(),
            as_subject: nothing(),
            as_corunner: nothing(),
        };
        for run in runs {
            effects.as_subject[run.subject] += 1.0;
            effects.as_corunner[run.corunner] += 1.0;
        }
        for _ in 0..ALTERNATIONS {
            let left = |run: &CoRun, intensity: &[f64]| run.relative_ipc - all - intensity[run.corunner];
            effects.sensitivity = (0..workloads)
                .map(|who| {
                    let of = runs.iter().filter(|run| run.subject == who);
                    mean(of.map(|run| left(run, &effects.intensity))).unwrap_or(0.0)
                })
                .collect();
            let left = |run: &CoRun, sensitivity: &[f64]| run.relative_ipc - all - sensitivity[run.subject];
            effects.intensity = (0..workloads)
                .map(|who| {
                    let of = runs.iter().filter(|run| run.corunner == who);
                    mean(of.map(|run| left(run, &effects.sensitivity))).unwrap_or(0.0)
                })
                .collect();
        }
        effects
    }
}

/// A line through standardised columns.
struct Ridge {
    answer: f64,
    columns: Vec<(f64, f64, f64)>,
}

impl Ridge {
    fn fit(rows: &[Vec<f64>], answers: &[f64], ridge: f64) -> Self {
        let count = rows.len().max(1) as f64;
        let answer = answers.iter().sum::<f64>() / count;
        let width = rows.first().map_or(0, Vec::len);
        let scale = |column: usize| {
            let mean = rows.iter().map(|row| row[column]).sum::<f64>() / count;
            let variance = rows.iter().map(|row| (row[column] - mean).powi(2)).sum::<f64>() / count;
            (mean, variance.sqrt().max(1e-12))
        };
        let scales: Vec<(f64, f64)> = (0..width).map(scale).collect();
        let standard = |row: &[f64], column: usize| (row[column] - scales[column].0) / scales[column].1;
        let sum = |of: &dyn Fn(usize) -> f64| (0..rows.len()).map(of).sum::<f64>();
        let mut system: Vec<Vec<f64>> = (0..width)
            .map(|one| {
                let products = (0..width).map(|other| {
                    let ridge = if one == other { ridge * count } else { 0.0 };
                    sum(&|row| standard(&rows[row], one) * standard(&rows[row], other)) + ridge
                });
                products.chain([sum(&|row| standard(&rows[row], one) * (answers[row] - answer))]).collect()
            })
            .collect();
        let weights = solved(&mut system);
        let columns = scales.into_iter().zip(weights).map(|((mean, deviation), weight)| (mean, deviation, weight));
        Self { answer, columns: columns.collect() }
    }

    fn tell(&self, row: &[f64]) -> f64 {
        let part = |((mean, deviation, weight), value): (&(f64, f64, f64), &f64)| weight * (value - mean) / deviation;
        self.answer + self.columns.iter().zip(row).map(part).sum::<f64>()
    }
}

/// Gauss and Jordan on a positive definite system, the right side in the last column.
fn solved(system: &mut [Vec<f64>]) -> Vec<f64> {
    let size = system.len();
    for pivot in 0..size {
        let scale = system[pivot][pivot];
        system[pivot].iter_mut().for_each(|value| *value /= scale);
        let row = system[pivot].clone();
        for (_, other) in system.iter_mut().enumerate().filter(|(place, _)| *place != pivot) {
            let factor = other[pivot];
            other.iter_mut().zip(&row).for_each(|(value, pivot)| *value -= factor * pivot);
        }
    }
    system.iter().map(|row| row[size]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Workload k has k first-level misses and brings k lines in; each costs a hundredth.
    fn made(workloads: usize) -> (Vec<CoRun>, Vec<Alone>) {
        let alone = |who: usize| Alone {
            private: [who as f64, (who * who % 5) as f64],
            shared: [((who + 2) % workloads) as f64, (who * who % 3) as f64],
            misses: (who * 7 % 4) as f64,
        };
        let alone: Vec<Alone> = (0..workloads).map(alone).collect();
        let run = |subject: usize, corunner: usize| CoRun {
            subject,
            corunner,
            relative_ipc: 1.0 - 0.01 * alone[subject].private[0] - 0.01 * alone[corunner].shared[0],
        };
        let runs = (0..workloads).flat_map(|one| (0..workloads).map(move |other| (one, other)));
        (runs.map(|(one, other)| run(one, other)).collect(), alone)
    }

    fn error(teller: Teller, held_out: HeldOut) -> f64 {
        let (runs, alone) = made(9);
        test(teller, held_out, &runs, &alone).expect("there are runs").mean_absolute_error
    }

    #[test]
    fn additive_is_exact_where_pairs_are_made_of_sensitivity_and_intensity() {
        assert!(error(Teller::Additive, HeldOut::Pair) < 1e-6);
        assert!(error(Teller::Mean, HeldOut::Pair) > 0.02);
    }

    #[test]
    fn learned_tells_a_workload_never_seen_where_counters_carry_it() {
        let (learned, additive) =
            (error(Teller::Learned, HeldOut::Workload), error(Teller::Additive, HeldOut::Workload));
        assert!(learned < 0.6 * additive, "{learned} {additive}");
        let nested = error(Teller::LearnedNested, HeldOut::Workload);
        assert!(nested < 0.6 * additive, "{nested} {additive}");
    }

    #[test]
    fn a_pair_is_held_out_in_both_directions_and_a_workload_in_all_its_pairs() {
        let (runs, _) = made(4);
        let pairs = folds(HeldOut::Pair, &runs, 4);
        assert_eq!(pairs.len(), 10);
        assert!(pairs.iter().all(|(train, test)| train.len() + test.len() == 16 && test.len() <= 2));
        let workloads = folds(HeldOut::Workload, &runs, 4);
        assert!(workloads.iter().all(|(train, test)| train.len() == 9 && test.len() == 7));
    }

    #[test]
    fn the_same_runs_are_told_the_same_by_every_teller() {
        let (runs, alone) = made(5);
        for teller in Teller::ALL {
            let one = test(teller, HeldOut::Workload, &runs, &alone).expect("there are runs");
            assert_eq!(test(teller, HeldOut::Workload, &runs, &alone).as_ref(), Some(&one), "{}", teller.name());
            assert!((0.0..=1.0).contains(&one.within_interval));
        }
    }
}
