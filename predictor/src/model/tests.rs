//! A model reloads equal, and nothing else loads.

use proptest::prelude::*;

use super::*;
use crate::forecast::run_length::{RunCount, RunTable};
use crate::scenes::{MACHINE, changing_partners, trained, trained_by_components};

fn written() -> (Model, serde_json::Value) {
    let model = trained(&changing_partners());
    let value = serde_json::to_value(&model).expect("plain data");
    (model, value)
}

fn refusal(value: serde_json::Value) -> String {
    serde_json::from_value::<Model>(value).expect_err("damaged").to_string()
}

#[test]
fn a_model_reloads_equal() {
    let (model, _) = written();
    let text = serde_json::to_string_pretty(&model).expect("plain data");
    assert!(text.contains(FORMAT));
    assert_eq!(serde_json::from_str::<Model>(&text).expect("own text"), model);
}

#[test]
fn another_release_s_format_is_refused_even_if_all_else_differs() {
    let refused = refusal(serde_json::json!({ "format": "phasecast-model-99", "anything": 1 }));
    assert_eq!(refused, ModelError::UnknownFormat.to_string());
}

#[test]
fn a_model_whose_parts_disagree_about_the_number_of_phases_is_refused() {
    let (model, mut value) = written();
    value["pressures"].as_array_mut().expect("a list").pop();
    let phases = model.parts().phases.len();
    let expected = ModelError::Mismatch { part: "pressures", of: "phases", expected: phases, found: phases - 1 };
    assert_eq!(refusal(value), expected.to_string());
}

fn written_with_components() -> (Model, serde_json::Value) {
    let model = trained_by_components(&changing_partners(), "2".parse().expect("a number"));
    let value = serde_json::to_value(&model).expect("plain data");
    (model, value)
}

#[test]
fn a_model_with_components_reloads_equal_and_one_without_does_not_name_them() {
    let (model, value) = written_with_components();
    assert_eq!(value["phases"]["projection"]["components"].as_array().map(Vec::len), Some(2));
    assert_eq!(serde_json::from_value::<Model>(value).expect("own text"), model);
    assert_eq!(written().1["phases"].get("projection"), None);
}

#[test]
fn components_that_do_not_fit_features_or_centroids_are_refused() {
    let (_, mut value) = written_with_components();
    value["phases"]["centroids"][0].as_array_mut().expect("a row").push(0.5.into());
    let refused = refusal(value);
    assert!(refused.contains("2 components but 3 entries in a row of phases.centroids"), "{refused}");
    let (_, mut value) = written_with_components();
    for row in ["mean", "components"] {
        let rows = &mut value["phases"]["projection"][row];
        if row == "mean" {
            rows.as_array_mut().expect("a list").push(0.0.into());
        } else {
            rows.as_array_mut()
                .expect("rows")
                .iter_mut()
                .for_each(|row| row.as_array_mut().expect("a row").push(0.0.into()));
        }
    }
    let refused = refusal(value);
    assert!(refused.contains("entries in phases.projection.mean"), "{refused}");
    let (_, mut value) = written_with_components();
    value["phases"]["projection"]["components"][0][0] = 2.0.into();
    assert!(refusal(value).contains("phases.projection has components 0 and 0 with product"));
}

#[test]
fn a_key_that_no_release_wrote_is_refused() {
    let (_, mut value) = written();
    value["pressure"] = 1.into();
    assert!(refusal(value).contains("unknown field `pressure`"));
}

#[test]
fn runs_of_phases_that_do_not_exist_are_refused() {
    let (model, _) = written();
    let mut parts = model.parts().clone();
    let stray = RunCount { phase: PhaseId(0), bucket: 3, next: PhaseId(99), runs: 1.0 };
    let widths = parts.run_lengths.bucket_widths().to_vec();
    parts.run_lengths = RunTable { bucket_instructions: widths, runs: vec![stray] }.into();
    assert!(matches!(Model::new(parts), Err(ModelError::OutOfRange { part: "run_lengths.runs", .. })));
}

#[test]
fn a_host_that_cannot_see_the_phases_is_refused_naming_the_counters() {
    let (model, _) = written();
    let here: BTreeSet<Event> = [Event::Instructions, Event::Cycles, Event::LlcReferences].into();
    let refused = model.check_host(&here, &MACHINE).expect_err("features are missing");
    assert!(refused.to_string().contains("loads, stores, l1_misses"), "{refused}");
}

#[test]
fn another_quantum_or_cache_is_refused_and_an_unknown_cache_is_not() {
    let (model, _) = written();
    let events = Event::ALL.into();
    assert_eq!(model.check_host(&events, &MACHINE), Ok(()));
    assert_eq!(model.check_host(&events, &Machine { llc_bytes: None, ..MACHINE }), Ok(()));
    let slower = Machine { quantum_nanoseconds: 7, ..MACHINE };
    assert_eq!(model.check_host(&events, &slower), Err(ModelError::Quantum { trained: 5_000_000, here: 7 }));
    let larger = Machine { llc_bytes: Some(2 << 20), ..MACHINE };
    assert_eq!(model.check_host(&events, &larger), Err(ModelError::LlcSize { trained: 1 << 20, here: 2 << 20 }));
}

proptest! {
    #[test]
    fn no_bytes_make_the_loader_panic(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        prop_assert!(serde_json::from_slice::<Model>(&bytes).is_err());
    }

    #[test]
    fn a_damaged_file_is_refused_or_a_model(
        cuts in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6), end in any::<prop::sample::Index>()
    ) {
        let (model, _) = written();
        let mut bytes = serde_json::to_vec(&model).expect("plain data");
        for (place, byte) in cuts {
            let place = place.index(bytes.len());
            bytes[place] = byte;
        }
        // Whatever still loads has passed every check.
        let _either = serde_json::from_slice::<Model>(&bytes);
        bytes.truncate(end.index(bytes.len()));
        prop_assert!(serde_json::from_slice::<Model>(&bytes).is_err());
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn a_number_that_is_not_finite_is_refused_wherever_it_stands(place in 0usize..6, bad in prop::sample::select(
        vec![f64::NAN, f64::INFINITY, f64::NEG_INFINITY]
    )) {
        let (model, _) = written();
        let mut parts = model.parts().clone();
        match place {
            0 => parts.phases.centroids[0][0] = bad,
            1 => parts.phases.radii[0] = bad,
            2 => parts.transitions.0[0][0] = bad,
            3 => parts.pressures[0].stall_share = bad,
            4 => parts.contention.memory_bytes_per_cycle = Some(bad),
            _ => parts.phases.scale.center[0] = bad,
        }
        let refused = matches!(Model::new(parts), Err(ModelError::OutOfRange { .. }));
        prop_assert!(refused);
    }
}
