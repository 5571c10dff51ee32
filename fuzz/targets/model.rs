//! Any bytes as a model: a model that is accepted can be used.

#![no_main]

use predictor::forecast::kind::ForecasterKind;
use predictor::model::Model;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    if let Ok(model) = serde_json::from_slice::<Model>(bytes) {
        let forecaster = model.forecaster(ForecasterKind::Default);
        assert!(forecaster.forecast(1).is_none(), "nothing was observed");
        let again = serde_json::to_vec(&model).expect("plain data");
        assert_eq!(serde_json::from_slice::<Model>(&again).expect("its own text"), model);
    }
});
