//! Claims about model files and cards.

use predictor::counters::{Event, GuestId, Reading, Readings, Sample, VcpuId};
use predictor::features::Keep;
use predictor::model::{Machine, Made, NumberScores, PhaseScores, Scores};
use predictor::topology::DomainId;
use predictor::train::{Series, TrainSettings, train};

use super::*;

/// A model of a guest that alternates between two plain phases, ten quanta each.
fn model() -> Model {
    model_by(None)
}

/// The same, told apart by these components.
fn model_by(components: Option<Keep>) -> Model {
    let sample = |quantum: u64| {
        let references = if (quantum / 10).is_multiple_of(2) { 100 } else { 40_000 };
        let counts = [
            (Event::Instructions, 1_000_000),
            (Event::Cycles, 1_000_000 + 30 * references),
            (Event::Loads, 250_000),
            (Event::Stores, 90_000),
            (Event::L1Misses, 2 * references),
            (Event::LlcReferences, references),
            (Event::LlcMisses, references / 10),
            (Event::StallCycles, 30 * references),
        ];
        Sample {
            vcpu: VcpuId { guest: GuestId(0), index: 0 },
            domain: DomainId(0),
            elapsed: std::time::Duration::from_millis(5),
            readings: Readings::new(counts.map(|(event, count)| (event, Reading::Exact(count)))),
            address_space: None,
            truth: None,
        }
    };
    let machine = Machine {
        quantum_nanoseconds: 5_000_000,
        llc_bytes: Some(1 << 20),
        memory_bytes_per_cycle: Some(4.0),
        miss_per_hit_time: None,
    };
    let series = Series { name: "two-phases (ref)".to_owned(), samples: (0..100).map(sample).collect() };
    train(&[series], &machine, &TrainSettings { phases: 2..=2, components, ..TrainSettings::default() })
        .expect("plain data")
}

#[test]
fn a_saved_model_is_loaded_again_equal() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let file = folder.path().join("new").join("model.json");
    let model = model();
    save(&file, &model).expect("writable");
    assert_eq!(load(&file).expect("just saved"), model);
    assert_eq!(std::fs::read_dir(file.parent().expect("new")).expect("a folder").count(), 2);
    assert!(check_target(&file).is_ok(), "a model may be trained again over an older one");
    assert_eq!(load(file.parent().expect("new")).expect("by its folder"), model);
}

#[test]
fn a_card_says_what_the_model_knows() {
    let card = card(&model());
    for line in [
        "# A model of 2 execution phases",
        "| quantum | 5 ms |",
        "| time of an LLC miss | not known |",
        "- two-phases (ref)",
        "| llc_references |",
        "| from \\ to | 0 | 1 |",
        "| 0 | 45 | 5 |",
    ] {
        assert!(card.contains(line), "{line:?} is not in\n{card}");
    }
}

#[test]
fn a_card_says_by_which_components_phases_are_told_apart_and_nothing_where_there_are_none() {
    let card_by = |components| card(&model_by(components));
    let with = card_by(Some("1".parse().expect("a number")));
    assert!(with.contains("| share of variance | llc_references |"), "{with}");
    assert!(with.contains("| 100.0 % |"), "{with}");
    assert!(!card_by(None).contains("components"));
}

#[test]
fn a_card_says_what_made_the_model_and_how_well_it_forecasts() {
    let made = Made { command: "phasecast train a.parquet --out two".to_owned(), revision: None };
    let number = NumberScores {
        rate: "cycles_per_instruction".to_owned(),
        horizon_quanta: 4,
        series: 3,
        error_of_last_value: 0.625,
        within_quantiles: 0.79,
    };
    let phases = PhaseScores { series: 3, accuracy: 0.91, last_value_accuracy: 0.875 };
    let scored = model().recorded(made, Scores { phases: Some(phases), numbers: vec![number] }).expect("sound");
    let card = card(&scored);
    for line in [
        "phasecast train a.parquet --out two",
        "at revision not known.",
        "mean of 3 series: 91.0 % right; last value 87.5 %.",
        "| cycles_per_instruction | 4 | 3 | 0.62 | 79 % |",
    ] {
        assert!(card.contains(line), "{line:?} is not in\n{card}");
    }
}

#[test]
fn nothing_is_left_where_the_card_cannot_be_written() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let file = folder.path().join("model.json");
    // A folder in the card's place: no file can take its name.
    std::fs::create_dir(folder.path().join(CARD)).expect("writable");
    assert!(save(&file, &model()).is_err());
    let left: Vec<_> =
        std::fs::read_dir(folder.path()).expect("a folder").map(|entry| entry.expect("one").file_name()).collect();
    assert_eq!(left, [CARD]);
}

#[test]
fn a_card_never_replaces_what_somebody_wrote() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    std::fs::write(folder.path().join(CARD), "# My project\n").expect("writable");
    let complaint = check_target(&folder.path().join("model.json")).expect_err("in the way").to_string();
    assert!(complaint.ends_with("is no model's card; give the model a folder of its own"), "{complaint}");
}

#[test]
fn what_is_no_model_is_refused_by_name() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let file = folder.path().join("model.json");
    let refusal = |text: &str| {
        std::fs::write(&file, text).expect("writable");
        load(&file).expect_err("no model").to_string()
    };
    assert!(refusal("{\"format\":\"phasecast-model-9\"}").contains("is not phasecast-model-2"));
    let whole = serde_json::to_string(&model()).expect("plain data");
    assert!(refusal(&whole[..whole.len() / 2]).contains("is no model that can be used: EOF"));
}
