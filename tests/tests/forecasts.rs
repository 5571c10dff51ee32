//! What `docs/forecasting.md` promises of the default forecaster, on recorded series of real programs.

use std::path::{Path, PathBuf};

use harness::score::evaluate::evaluate;
use harness::score::labels::{self, PhaseDefinition};
use harness::score::measures::Scores;
use harness::score::series::{self, Series};
use harness::workers::side_by_side;
use predictor::forecast::kind::{ForecasterKind, Trained};

/// Who is compared, in this order.
const KINDS: [ForecasterKind; 4] = [
    ForecasterKind::Default,
    ForecasterKind::ContextsBasic,
    ForecasterKind::Gpht { depth: 8, entries: 1024 },
    ForecasterKind::LastValue,
];

const INTERVALS: usize = 5000;

/// The recordings, which are no part of the repository.
fn recordings() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/data/counters/spec-skylake");
    let Ok(files) = std::fs::read_dir(&folder) else {
        eprintln!("NOT TESTED: {} is not there", folder.display());
        return Vec::new();
    };
    let mut files: Vec<PathBuf> = files.map(|file| file.expect("a readable folder").path()).collect();
    files.sort();
    files
}

/// Scores of every kind on one series, in the order of [`KINDS`].
fn scored(series: &Series) -> [Scores; KINDS.len()] {
    let definition = PhaseDefinition::IpcBins(0.25);
    let labels = labels::label(std::slice::from_ref(series), &definition, 1).expect("IPC is there");
    KINDS.map(|kind| {
        let mut forecaster = kind.start(labels.phases, &Trained::default());
        let found = evaluate(&series.intervals, &labels.labels[0], &[1], forecaster.as_mut());
        Scores::of(&found.outcomes[0], 1, 1)
    })
}

#[test]
fn the_default_forecaster_beats_the_published_ones_on_spec_programs() {
    let files = recordings();
    if files.is_empty() {
        return;
    }
    let found = side_by_side(files.len(), 2, &|place| {
        let series = series::read(&files[place], Some(INTERVALS)).map_err(|error| error.to_string())?.remove(0);
        Ok::<_, String>((series.name.clone(), scored(&series)))
    })
    .expect("recordings can be read");
    let accuracy = |scores: &Scores| scores.accuracy.expect("forecasts were made");
    let mean = |kind: usize| found.iter().map(|(_, all)| accuracy(&all[kind])).sum::<f64>() / found.len() as f64;
    let [default, basic, gpht, last] = [0, 1, 2, 3].map(mean);
    println!("default {default:.4}, contexts-basic {basic:.4}, gpht-1024 {gpht:.4}, last-value {last:.4}");
    assert!(default >= basic + 0.01, "{default} against the plain mixture's {basic}");
    assert!(1.0 - default <= 0.75 * (1.0 - gpht), "{default} against the history table's {gpht}");
    for (name, all) in &found {
        let (own, last) = (accuracy(&all[0]), accuracy(&all[3]));
        assert!(own >= last - 0.005, "{name}: {own} against last value's {last}");
    }
    let sure = |(_, all): &(String, [Scores; 4])| all[0].accuracy_at_coverage_80.expect("forecasts were made");
    let sure = found.iter().map(sure).sum::<f64>() / found.len() as f64;
    assert!(sure > default, "{sure} where it is sure, {default} everywhere");
}
