//! What every way of naming phases keeps.

use proptest::prelude::*;
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;

use super::bins::Bins;
use super::centres::Centres;
use super::leader::{LeaderSettings, Leaders};
use super::mixture::Mixture;
use super::two_level::{Settling, TwoLevel};
use super::*;

fn rng() -> ChaCha8Rng {
    ChaCha8Rng::seed_from_u64(1)
}

fn leaders() -> Leaders {
    Leaders::new(LeaderSettings { radius: 1.0, most: 6, memory: 8 }).expect("sound")
}

/// One of each, having learned from `rows` where it learns ahead.
fn all(rows: &[Vec<f64>]) -> Vec<(&'static str, Box<dyn NamePhase>)> {
    vec![
        ("isci", Box::new(Bins::isci())),
        ("ipc bins", Box::new(Bins::ipc(0.25).expect("a width"))),
        ("centres", Box::new(Centres::fit(rows, 4, 2, &mut rng()).expect("points"))),
        ("mixture", Box::new(Mixture::fit(rows, 4, 2, &mut rng()).expect("points"))),
        ("leaders", Box::new(leaders())),
        ("two levels", Box::new(TwoLevel::new(leaders(), Settling::Visits(2)))),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn every_name_is_below_the_number_of_phases_and_repeats_from_the_same_samples(
        rows in prop::collection::vec(prop::collection::vec(-10.0f64..10.0, 2), 5..60)
    ) {
        for ((way, mut one), (_, mut other)) in all(&rows).into_iter().zip(all(&rows)) {
            for row in &rows {
                let name = one.name(row).expect("finite");
                prop_assert!(name.index() < one.phases(), "{way}: {name} of {}", one.phases());
                prop_assert_eq!(other.name(row), Some(name), "{}", way);
            }
        }
    }

    #[test]
    fn of_a_coordinate_that_is_no_number_nothing_is_said_or_learned(
        rows in prop::collection::vec(prop::collection::vec(-10.0f64..10.0, 2), 5..30)
    ) {
        for ((way, mut told), (_, mut spared)) in all(&rows).into_iter().zip(all(&rows)) {
            for row in &rows {
                prop_assert_eq!(told.name(&[f64::NAN, 0.0]), None, "{}", way);
                prop_assert_eq!(told.name(row), spared.name(row), "{}", way);
            }
        }
    }
}

#[test]
fn centres_are_numbered_by_their_first_coordinate_whatever_its_unit() {
    let rows: Vec<Vec<f64>> = (0..90).map(|row| vec![f64::from(row % 3) * 1e6, f64::from(row % 7) * 1e-9]).collect();
    let mut centres = Centres::fit(&rows, 3, 4, &mut rng()).expect("points");
    let steady: Vec<Vec<f64>> = rows.iter().map(|row| vec![row[0], 5.0]).collect();
    let mut by_one = Centres::fit(&steady, 3, 4, &mut rng()).expect("a column that does not vary counts for nothing");
    assert_eq!(centres.phases(), 3);
    for kind in 0..3u32 {
        assert_eq!(by_one.name(&[f64::from(kind) * 1e6, 5.0]), Some(PhaseId(kind)));
    }
    assert!(centres.name(&[0.0, 0.0]) <= centres.name(&[2e6, 0.0]));
}
