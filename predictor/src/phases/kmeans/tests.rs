//! The claims of the page, each by its name.

use proptest::prelude::*;
use rand::SeedableRng;

use super::*;

/// Threads of the caller's: an executor as a harness would hand in.
struct Threads(usize);

impl Executor for Threads {
    fn for_each<T: Send>(&self, items: &mut [T], work: impl Fn(&mut T) + Sync) {
        let share = items.len().div_ceil(self.0).max(1);
        let work = &work;
        #[expect(clippy::disallowed_methods, reason = "a test of what callers do")]
        std::thread::scope(|scope| {
            for items in items.chunks_mut(share) {
                scope.spawn(move || items.iter_mut().for_each(work));
            }
        });
    }
}

fn rng(seed: u64) -> ChaCha8Rng {
    ChaCha8Rng::seed_from_u64(seed)
}

/// `count` rows around `kinds` centres, which lie far apart where `far` is large.
fn cloud(count: usize, dimensions: usize, kinds: usize, far: f32, seed: u64) -> Vec<f32> {
    use rand::Rng;
    let mut rng = rng(seed);
    let centres: Vec<f32> = (0..kinds * dimensions).map(|_| far * (rng.r#gen::<f32>() - 0.5)).collect();
    let value = |index: usize| {
        let (row, place) = (index / dimensions, index % dimensions);
        centres[(row % kinds) * dimensions + place] + rng.r#gen::<f32>() - 0.5
    };
    (0..count * dimensions).map(value).collect()
}

fn rows(values: &[f32], dimensions: usize, count: usize) -> Vec<Vec<f32>> {
    values.chunks(dimensions).take(count).map(<[f32]>::to_vec).collect()
}

fn squared(a: &[f32], b: &[f32]) -> f64 {
    a.iter().zip(b).map(|(a, b)| (f64::from(*a) - f64::from(*b)).powi(2)).sum()
}

fn from(values: &[f32], dimensions: usize, start: &[Vec<f32>], settings: &Settings) -> Fit {
    let points = Points::new(values, dimensions).expect("finite");
    fit_from(&points, start, settings, &Sequential).expect("a start like the points")
}

const ONE_STEP: Settings = Settings { steps_most: 1, tolerance: 0.0, lanes: Lanes::Portable };

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn every_point_belongs_to_its_nearest_centroid(
        count in 1usize..300, dimensions in 1usize..20, clusters in 1usize..20, far in 0.0f32..50.0, seed in 0u64..1000,
    ) {
        let values = cloud(count, dimensions, 5, far, seed);
        let start = rows(&values, dimensions, clusters);
        let fit = from(&values, dimensions, &start, &Settings::default());
        for (row, owner) in values.chunks(dimensions).zip(&fit.owners) {
            let own = squared(row, &fit.centroids[*owner as usize]);
            let least = fit.centroids.iter().map(|centroid| squared(row, centroid)).fold(f64::INFINITY, f64::min);
            // Scores are rounded to the spread of the data.
            prop_assert!(own <= least + 1e-5 * (1.0 + f64::from(far * far) * dimensions as f64), "{own} and {least}");
        }
    }

    #[test]
    fn steps_never_raise_the_inertia(
        count in 20usize..400, dimensions in 1usize..9, clusters in 1usize..9, seed in 0u64..1000,
    ) {
        let values = cloud(count, dimensions, 6, 3.0, seed);
        let mut centroids = rows(&values, dimensions, clusters);
        let mut before = f64::INFINITY;
        for _ in 0..12 {
            let fit = from(&values, dimensions, &centroids, &ONE_STEP);
            prop_assert!(fit.inertia <= before * (1.0 + 1e-5), "{} after {before}", fit.inertia);
            (before, centroids) = (fit.inertia, fit.centroids);
        }
    }

    #[test]
    fn portable_and_avx2_agree_bit_by_bit(
        count in 1usize..500, dimensions in 1usize..20, clusters in 1usize..40, far in 0.0f32..20.0, seed in 0u64..1000,
    ) {
        let values = cloud(count, dimensions, 7, far, seed);
        let points = Points::new(&values, dimensions).expect("finite");
        let by = |lanes| fit(&points, clusters, 2, &mut rng(seed), &Settings { lanes, ..Settings::default() }, &Sequential);
        prop_assert_eq!(by(Lanes::Portable), by(Lanes::widest()));
    }

    #[test]
    fn points_in_another_order_have_the_same_clusters(
        count in 10usize..400, dimensions in 1usize..9, turn in 1usize..300, seed in 0u64..1000,
    ) {
        let values = cloud(count, dimensions, 4, 30.0, seed);
        let start = rows(&values, dimensions, 4);
        let mut turned = values.clone();
        turned.rotate_left((turn % count) * dimensions);
        let (one, other) = (from(&values, dimensions, &start, &Settings::default()), from(&turned, dimensions, &start, &Settings::default()));
        prop_assert!((one.inertia - other.inertia).abs() <= 1e-4 * one.inertia.max(1e-3), "{} and {}", one.inertia, other.inertia);
    }
}

#[test]
fn any_number_of_threads_gives_the_same_bits() {
    let values = cloud(40_000, 5, 9, 4.0, 1);
    let points = Points::new(&values, 5).expect("finite");
    let alone = fit(&points, 9, 2, &mut rng(7), &Settings::default(), &Sequential);
    for threads in [2, 3, 5] {
        assert_eq!(fit(&points, 9, 2, &mut rng(7), &Settings::default(), &Threads(threads)), alone);
    }
}

#[test]
fn an_empty_cluster_takes_the_farthest_point_of_a_cluster_that_keeps_another() {
    // Nothing is nearest to 100; the farthest from its centroid is 9, which 0 owns with others.
    let values = [0.0, 1.0, 9.0, 20.0];
    let fit = from(&values, 1, &[vec![0.0], vec![21.0], vec![100.0]], &Settings::default());
    assert_eq!(fit.centroids, [[0.5], [20.0], [9.0]]);
    assert_eq!(fit.owners, [0, 0, 2, 1]);
}

#[test]
fn more_clusters_than_distinct_points_leave_some_empty_where_they_were() {
    let fit = from(&[2.0; 6], 1, &[vec![2.0], vec![5.0]], &Settings::default());
    assert_eq!((fit.owners, fit.inertia), (vec![0; 6], 0.0));
    assert_eq!(fit.centroids, [[2.0], [5.0]]);
}

#[test]
fn of_centroids_as_near_the_lowest_is_taken() {
    let fit = from(&[1.0, -1.0, 0.0], 1, &[vec![1.0], vec![-1.0]], &ONE_STEP);
    assert_eq!(fit.owners, [0, 1, 0]);
}

#[test]
fn plain_lloyd_in_double_precision_ends_at_the_same_inertia() {
    for seed in 0..5 {
        let values = cloud(3000, 8, 6, 2.0, seed);
        let start = rows(&values, 8, 6);
        let settings = Settings { steps_most: 1000, tolerance: 0.0, ..Settings::default() };
        let ours = from(&values, 8, &start, &settings).inertia;
        let mut centroids: Vec<Vec<f64>> =
            start.iter().map(|row| row.iter().copied().map(f64::from).collect()).collect();
        let points: Vec<Vec<f64>> = values.chunks(8).map(|row| row.iter().copied().map(f64::from).collect()).collect();
        let mut inertia = f64::INFINITY;
        loop {
            let owners: Vec<(usize, f64)> =
                points.iter().map(|point| crate::phases::nearest(point, &centroids)).collect();
            let now: f64 = owners.iter().map(|(_, squared)| squared).sum();
            if now >= inertia {
                break;
            }
            inertia = now;
            for (cluster, centroid) in centroids.iter_mut().enumerate() {
                let own: Vec<&Vec<f64>> = points
                    .iter()
                    .zip(&owners)
                    .filter(|(_, owner)| owner.0 == cluster)
                    .map(|(point, _)| point)
                    .collect();
                for (place, value) in centroid.iter_mut().enumerate() {
                    *value = own.iter().map(|point| point[place]).sum::<f64>() / own.len() as f64;
                }
            }
        }
        assert!((ours / inertia - 1.0).abs() < 1e-4, "{ours} and {inertia}");
    }
}

#[test]
fn restarts_never_end_worse_than_the_first_run() {
    let values = cloud(2000, 3, 12, 8.0, 3);
    let points = Points::new(&values, 3).expect("finite");
    let by = |restarts| fit(&points, 12, restarts, &mut rng(5), &Settings::default(), &Sequential).inertia;
    assert!(by(6) <= by(1));
}

#[test]
fn points_and_starts_that_make_no_sense_are_refused_by_place() {
    assert_eq!(Points::new(&[], 1).map(drop), Err(PointsError::NoRows { values: 0, dimensions: 1 }));
    assert_eq!(Points::new(&[1.0; 5], 2).map(drop), Err(PointsError::NoRows { values: 5, dimensions: 2 }));
    let refused = Points::new(&[1.0, 2.0, 3.0, f32::NAN], 2).map(drop).expect_err("no number");
    assert_eq!(
        refused.to_string(),
        "coordinate 1 of point 1 is NaN; it must be finite and within 1000000000000000 of 0"
    );
    let points = Points::new(&[1.0, 2.0], 2).expect("finite");
    assert_eq!(fit_from(&points, &[], &ONE_STEP, &Sequential), Err(StartError::Count(0)));
    assert_eq!(fit_from(&points, &[vec![1.0]], &ONE_STEP, &Sequential), Err(StartError::Unlike(0)));
}
