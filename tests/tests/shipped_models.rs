//! Shipped models are what training makes of the traces beside them, byte for byte, and serve the hosts they are for.
//!
//! The seed and the numbers of phases are read from the command that the model names, the revision is taken as given:
//! it is that of the day on which the model was last trained.

use std::path::{Path, PathBuf};

use harness::artefact::{self, CARD, MODEL};
use predictor::model::Model;
use predictor::train::TrainSettings;

/// The folder of every shipped model.
fn shipped() -> Vec<PathBuf> {
    let models = Path::new(env!("CARGO_MANIFEST_DIR")).join("../models");
    let folders = std::fs::read_dir(models).expect("the models").map(|entry| entry.expect("an entry").path());
    let mut found: Vec<PathBuf> = folders.filter(|path| path.join(MODEL).is_file()).collect();
    found.sort();
    found
}

/// What follows `option` in the command that made the model.
fn option<'a>(model: &'a Model, option: &str) -> &'a str {
    let made = model.parts().provenance.made.as_ref().expect("a shipped model says what made it");
    let mut words = made.command.split(' ').skip_while(|word| *word != option);
    words.nth(1).unwrap_or_else(|| panic!("{} has no {option}", made.command))
}

#[test]
fn a_shipped_model_is_trained_again_byte_for_byte() {
    let folders = shipped();
    assert!(!folders.is_empty(), "a model is shipped");
    for folder in folders {
        let model = artefact::load(&folder).unwrap_or_else(|mistake| panic!("{mistake}"));
        let made = model.parts().provenance.made.clone().expect("a shipped model says what made it");
        let traces: Vec<PathBuf> = made
            .command
            .split(' ')
            .filter(|word| word.ends_with(".parquet"))
            .map(|name| folder.join("traces").join(name))
            .collect();
        let data = artefact::series::read(&traces).unwrap_or_else(|mistake| panic!("{mistake}"));
        let (least, most) = option(&model, "--phases").split_once('-').expect("a range");
        let number = |text: &str| text.parse().expect("a number");
        let settings = TrainSettings {
            phases: number(least)..=number(most),
            seed: option(&model, "--seed").parse().expect("a number"),
            ..TrainSettings::default()
        };
        let again = tempfile::tempdir().expect("a temporary folder");
        let trained = artefact::learn(&data, &settings, made).expect("enough samples");
        artefact::save(&artefact::file_at(again.path()), &trained).expect("writable");
        for file in [MODEL, CARD] {
            let text = |folder: &Path| std::fs::read_to_string(folder.join(file)).expect("a file");
            let same = text(&folder) == text(again.path());
            assert!(same, "{} is not what training makes; run `make models`", folder.join(file).display());
        }
    }
}
