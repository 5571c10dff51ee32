//! The claims of the page, each by its name.

use linfa::prelude::{Fit, Predict};
use linfa_clustering::GaussianMixtureModel;
use ndarray::Array2;
use proptest::prelude::*;
use rand::{Rng, SeedableRng};

use super::*;

/// `count` points around each centre, the first axis three times as wide as the second.
fn rows(centres: &[[f64; 2]], count: usize, seed: u64) -> Vec<Vec<f64>> {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    // The sum of three uniform numbers is near enough to a Gaussian.
    let mut noise = || (0..3).map(|_| rng.r#gen::<f64>() - 0.5).sum::<f64>();
    (0..count)
        .flat_map(|_| centres.iter().map(|[x, y]| vec![x + 3.0 * noise(), y + noise()]).collect::<Vec<_>>())
        .collect()
}

fn rng(seed: u64) -> ChaCha8Rng {
    ChaCha8Rng::seed_from_u64(seed)
}

const FAR: [[f64; 2]; 3] = [[-20.0, 3.0], [0.0, -8.0], [25.0, 12.0]];

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn a_step_never_lowers_the_likelihood(count in 10usize..80, components in 1usize..6, seed in 0u64..1000) {
        let rows = rows(&[[0.0, 0.0], [2.0, 1.0], [5.0, -1.0]], count, seed);
        let mut mixture = Mixture::start(&rows, components, 1, &mut rng(seed)).expect("points");
        let mut before = f64::NEG_INFINITY;
        for _ in 0..20 {
            let floored = mixture.components.iter().flat_map(|component| &component.variance).any(|variance| *variance <= VARIANCE_FLOOR);
            let likelihood = mixture.step(&rows);
            prop_assert!(floored || likelihood >= before - 1e-9, "{likelihood} after {before}");
            before = likelihood;
        }
    }

    #[test]
    fn responsibilities_sum_to_one_however_far_the_point(x in -1e9f64..1e9, y in -1e9f64..1e9) {
        let mixture = Mixture::fit(&rows(&FAR, 30, 1), 3, 3, &mut rng(1)).expect("points");
        let (log_density, shares) = mixture.responsibilities(&[x, y]);
        prop_assert!(log_density.is_finite());
        prop_assert!((shares.iter().sum::<f64>() - 1.0).abs() < 1e-9, "{shares:?}");
    }
}

#[test]
fn on_clusters_far_apart_components_are_those_of_linfa() {
    let rows = rows(&FAR, 200, 5);
    let ours = Mixture::fit(&rows, 3, 4, &mut rng(2)).expect("points");
    let data = Array2::from_shape_fn((rows.len(), 2), |(row, column)| rows[row][column]);
    let theirs = GaussianMixtureModel::params_with_rng(3, rng(2))
        .n_runs(4)
        .tolerance(1e-6)
        .fit(&linfa::DatasetBase::from(data.clone()))
        .expect("far apart");
    let mut means: Vec<Vec<f64>> = theirs.means().outer_iter().map(|row| row.to_vec()).collect();
    let mut variances: Vec<(f64, Vec<f64>)> = means
        .iter()
        .zip(theirs.covariances().outer_iter())
        .map(|(mean, covariance)| (mean[0], vec![covariance[[0, 0]], covariance[[1, 1]]]))
        .collect();
    means.sort_by(|a, b| a[0].total_cmp(&b[0]));
    variances.sort_by(|a, b| a.0.total_cmp(&b.0));
    for ((ours, mean), (_, variance)) in ours.components().iter().zip(&means).zip(&variances) {
        for axis in 0..2 {
            assert!((ours.mean[axis] - mean[axis]).abs() < 1e-3, "{ours:?} and {mean:?}");
            assert!((ours.variance[axis] - variance[axis]).abs() < 1e-3 * variance[axis], "{ours:?} and {variance:?}");
        }
    }
    let labels = theirs.predict(&data);
    let mut ours = ours;
    for (row, label) in rows.iter().zip(&labels) {
        let mean = theirs.means().row(*label)[0];
        let expected = means.iter().position(|other| other[0] == mean);
        assert_eq!(ours.name(row).map(PhaseId::index), expected);
    }
}

#[test]
fn bic_finds_as_many_components_as_there_are() {
    let mixture = Mixture::fit_by_bic(&rows(&FAR, 100, 3), 1..=6, 3, &mut rng(4)).expect("points");
    assert_eq!(mixture.components().len(), 3, "{:?}", mixture.components());
}

#[test]
fn a_wide_component_takes_a_point_that_is_nearer_to_a_tight_one() {
    let mut rows = rows(&[[0.0, 0.0]], 200, 1);
    rows.iter_mut().for_each(|row| row[0] *= 0.05);
    rows.extend(self::rows(&[[8.0, 0.0]], 200, 2).into_iter().map(|row| vec![8.0 + (row[0] - 8.0) * 1.5, row[1]]));
    let mut mixture = Mixture::fit(&rows, 2, 3, &mut rng(1)).expect("points");
    // 3 from the first mean, 5 from the second.
    assert_eq!(mixture.name(&[3.0, 0.0]), Some(PhaseId(1)));
}
