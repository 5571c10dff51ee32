//! The laws of projections, against an eigen-decomposition by plane rotations.

use proptest::prelude::*;

use super::*;

fn all() -> Keep {
    "1.0".parse().expect("a share")
}

fn components(count: usize) -> Keep {
    Keep::Components(NonZeroUsize::new(count).expect("at least one"))
}

/// Eigenvalues of the covariance matrix with their vectors, largest first: Jacobi's rotations, until nothing is left off
/// the diagonal.
fn eigen(points: &[Vec<f64>]) -> Vec<(f64, Vec<f64>)> {
    let size = points[0].len();
    let mean = mean(points).expect("points");
    let of = |i: usize, j: usize| {
        points.iter().map(|p| (p[i] - mean[i]) * (p[j] - mean[j])).sum::<f64>() / points.len() as f64
    };
    let mut a: Vec<Vec<f64>> = (0..size).map(|i| (0..size).map(|j| of(i, j)).collect()).collect();
    let mut vectors: Vec<Vec<f64>> =
        (0..size).map(|i| (0..size).map(|j| f64::from(u8::from(i == j))).collect()).collect();
    for _ in 0..60 {
        for p in 0..size {
            for q in p + 1..size {
                let angle = 0.5 * (2.0 * a[p][q]).atan2(a[q][q] - a[p][p]);
                let (sin, cos) = angle.sin_cos();
                for row in &mut a {
                    (row[p], row[q]) = (cos * row[p] - sin * row[q], sin * row[p] + cos * row[q]);
                }
                for column in 0..size {
                    let (one, other) = (a[p][column], a[q][column]);
                    (a[p][column], a[q][column]) = (cos * one - sin * other, sin * one + cos * other);
                    let (one, other) = (vectors[p][column], vectors[q][column]);
                    (vectors[p][column], vectors[q][column]) = (cos * one - sin * other, sin * one + cos * other);
                }
            }
        }
    }
    let mut pairs: Vec<(f64, Vec<f64>)> = (0..size).map(|i| a[i][i]).zip(vectors).collect();
    pairs.sort_by(|(one, _), (other, _)| other.total_cmp(one));
    pairs
}

/// Between `rows` points of 1 to 7 columns, which share causes, so that they are correlated.
fn points(rows: std::ops::Range<usize>) -> impl Strategy<Value = Vec<Vec<f64>>> {
    (1usize..8, rows).prop_flat_map(|(columns, rows)| {
        let causes = prop::collection::vec(prop::collection::vec(-3.0..3.0f64, columns), rows);
        let mixing = prop::collection::vec(prop::collection::vec(-1.0..1.0f64, columns), columns);
        (causes, mixing).prop_map(|(causes, mixing)| {
            causes.iter().map(|cause| mixing.iter().map(|row| 1.0 + dot(row, cause)).collect()).collect()
        })
    })
}

fn variance(points: &[Vec<f64>]) -> f64 {
    eigen(points).iter().map(|(value, _)| value).sum()
}

#[test]
fn what_is_kept_is_written_as_it_is_read() {
    for text in ["1", "3", "0.95", "1.0"] {
        assert_eq!(text.parse::<Keep>().map(|keep| keep.to_string()), Ok(text.to_owned()));
    }
    for text in ["0", "-1", "0.0", "1.5", "nan", "inf", "", "x", "1e-1", "-0.5"] {
        assert!(text.parse::<Keep>().is_err(), "{text}");
    }
}

#[test]
fn where_nothing_varies_there_is_no_projection() {
    assert_eq!(Projection::fit(&[], all()), None);
    assert_eq!(Projection::fit(&[vec![], vec![]], all()), None);
    assert_eq!(Projection::fit(&vec![vec![3.0, -1.0]; 9], all()), None);
    assert_eq!(Projection::fit(&[vec![3.0, -1.0]], components(2)), None);
    assert_eq!(Projection::fit(&[vec![f64::NAN], vec![1.0]], all()), None);
}

#[test]
fn one_column_is_its_own_component() {
    let projection = Projection::fit(&[vec![5.0], vec![1.0]], components(3)).expect("they vary");
    assert_eq!((projection.components(), projection.variance_shares()), ([vec![1.0]].as_slice(), [1.0].as_slice()));
    assert_eq!(projection.project(&[5.0]), [2.0]);
}

#[test]
fn the_fewest_components_that_explain_the_share_are_kept() {
    // Variances 16, 4 and 1 of 21 along the axes.
    let points: Vec<Vec<f64>> = (0..3)
        .flat_map(|axis| {
            [-1.0, 1.0].map(|sign| (0..3).map(|at| if at == axis { sign * [4.0, 2.0, 1.0][at] } else { 0.0 }).collect())
        })
        .collect();
    let kept =
        |text: &str| Projection::fit(&points, text.parse().expect("in range")).expect("they vary").components().len();
    assert_eq!(["0.5", "0.76", "0.77", "0.95", "0.96", "1.0"].map(kept), [1, 1, 2, 2, 3, 3]);
    assert_eq!(["1", "2", "3", "9"].map(kept), [1, 2, 3, 3]);
}

#[test]
fn parts_that_do_not_fit_together_are_refused() {
    let points = vec![vec![1.0, 2.0, 0.0], vec![2.0, 4.5, 1.0], vec![0.0, 1.0, 5.0], vec![3.0, 3.0, 3.0]];
    let sound: ProjectionParts = Projection::fit(&points, components(2)).expect("they vary").into();
    let damages: [fn(&mut ProjectionParts); 9] = [
        |parts| parts.components.clear(),
        |parts| parts.mean.truncate(1),
        |parts| parts.components[1].truncate(2),
        |parts| parts.variance_shares.truncate(1),
        |parts| parts.components[0][0] += 0.001,
        |parts| parts.components[1] = parts.components[0].clone(),
        |parts| parts.components[0][2] = f64::NAN,
        |parts| parts.mean[0] = f64::INFINITY,
        |parts| parts.variance_shares[0] = -0.1,
    ];
    for (place, damage) in damages.iter().enumerate() {
        let mut parts = sound.clone();
        damage(&mut parts);
        assert!(Projection::new(parts).is_err(), "damage {place}");
    }
    let text = serde_json::to_string(&Projection::new(sound.clone()).expect("sound")).expect("plain data");
    assert_eq!(serde_json::from_str::<Projection>(&text).map(ProjectionParts::from).expect("own text"), sound);
}

/// Found by a property test: an iterative solver made NaN of it and panicked.
#[test]
fn columns_that_nearly_say_the_same_beside_one_that_never_varies_have_components() {
    let points: Vec<Vec<f64>> = [
        [4.03, 3.46, 1.56, 3.41, 4.45],
        [1.07, 1.0, 1.0, 1.05, 1.04],
        [2.45, 1.98, 1.97, 3.17, -0.73],
        [1.0, 1.0, 1.0, 1.0, 1.0],
        [1.0, 1.0, 1.0, 1.0, 1.0],
    ]
    .map(|row| [row.as_slice(), &[0.604_532_442_395_229_1]].concat())
    .into();
    let projection = Projection::fit(&points, all()).expect("they vary");
    // Three points differ from the rest, which are one.
    assert_eq!(projection.components().len(), 3);
    assert!(points.iter().all(|point| projection.residual(point) < 1e-12));
}

proptest! {
    #[test]
    fn components_are_orthonormal_and_the_same_points_give_the_same(points in points(1..40)) {
        let Some(projection) = Projection::fit(&points, all()) else { return Ok(()) };
        for (place, one) in projection.components().iter().enumerate() {
            for (other_place, other) in projection.components().iter().enumerate() {
                let expected = f64::from(u8::from(place == other_place));
                prop_assert!((dot(one, other) - expected).abs() < 1e-8, "{one:?} and {other:?}");
            }
            let largest = one.iter().fold(0.0f64, |most, value| if value.abs() > most.abs() { *value } else { most });
            prop_assert!(largest > 0.0);
        }
        prop_assert_eq!(Projection::fit(&points, all()), Some(projection));
    }

    #[test]
    fn projecting_then_lifting_loses_exactly_the_variance_that_is_not_explained(
        points in points(2..40), count in 1usize..8
    ) {
        let Some(projection) = Projection::fit(&points, components(count)) else { return Ok(()) };
        let lost = points.iter().map(|point| projection.residual(point)).sum::<f64>() / points.len() as f64;
        let explained: f64 = projection.variance_shares().iter().sum();
        let total = variance(&points);
        prop_assert!((lost - (1.0 - explained) * total).abs() < 1e-7 * total.max(1.0), "{lost} of {total}, {explained}");
        for point in &points {
            let again = projection.project(&projection.lift(&projection.project(point)));
            prop_assert!(again.iter().zip(projection.project(point)).all(|(one, other)| (one - other).abs() < 1e-6));
        }
    }

    #[test]
    fn components_are_the_eigenvectors_of_the_covariance_matrix(points in points(2..40)) {
        let Some(projection) = Projection::fit(&points, all()) else { return Ok(()) };
        let (expected, total) = (eigen(&points), variance(&points));
        for (place, component) in projection.components().iter().enumerate() {
            let (value, vector) = &expected[place];
            prop_assert!((projection.variance_shares()[place] - value / total).abs() < 1e-7);
            // Directions of nearly equal variance are arbitrary within their plane.
            let apart = |other: usize| expected.get(other).is_none_or(|(other, _)| (other - value).abs() > 1e-3 * total);
            if apart(place + 1) && (place == 0 || apart(place - 1)) {
                prop_assert!(dot(component, vector).abs() > 1.0 - 1e-7, "{component:?}, not {vector:?}");
            }
        }
        let left: f64 = expected[projection.components().len()..].iter().map(|(value, _)| value).sum();
        prop_assert!(left < 1e-8 * total.max(1.0), "{left} of {total} varies in no component");
    }

    #[test]
    fn a_column_that_never_varies_is_in_no_component(points in points(2..40), level in -5.0..5.0f64) {
        let with: Vec<Vec<f64>> = points.iter().map(|point| [point.as_slice(), &[level]].concat()).collect();
        let Some(projection) = Projection::fit(&with, all()) else { return Ok(()) };
        prop_assert!(projection.components().iter().all(|row| row[row.len() - 1].abs() < 1e-8));
    }

    #[test]
    fn fewer_points_than_columns_have_fewer_components_than_points(points in points(2..6)) {
        let Some(projection) = Projection::fit(&points, components(9)) else { return Ok(()) };
        prop_assert!(projection.components().len() <= points[0].len().min(points.len() - 1).max(1));
        prop_assert!(points.iter().all(|point| projection.residual(point) < 1e-7 * variance(&points).max(1.0)));
    }
}
