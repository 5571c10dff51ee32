//! A tiny version of each survey on real guests: the numbers are not of interest, but that they are there and plausible.

use std::path::Path;

use assert_cmd::Command;
use harness::survey;
use serde_json::Value;
use tests::bench::Bench;

/// Runs a survey in a folder of its own; answers its findings.
fn survey_of(bench: &Bench, out: &Path, arguments: &[&str]) -> Value {
    let output = Command::cargo_bin("phasecast")
        .expect("built")
        .args(["survey"])
        .args(arguments)
        .arg("--out")
        .arg(out)
        .arg("--cache")
        .arg(&bench.cache)
        .arg("--json")
        .output()
        .expect("run");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let answer: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    let folder = Path::new(answer["folder"].as_str().expect("a path"));
    assert!(survey::render(folder).expect("complete").len() >= 4);
    let text = std::fs::read_to_string(folder.join(survey::FINDINGS)).expect("readable");
    serde_json::from_str::<Value>(&text).expect("JSON")["findings"].clone()
}

fn slowdown(side: &Value) -> f64 {
    side["nanoseconds_together"].as_f64().expect("time") / side["nanoseconds_alone"].as_f64().expect("time")
}

#[test]
fn two_programs_alone() {
    let Some(bench) = Bench::take() else { return };
    let out = tempfile::tempdir().expect("a temporary folder");
    let programs = ["solo", "--program", "chase-64k", "--program", "stream-8m", "--quanta", "4"];
    let solo = survey_of(&bench, out.path(), &programs);
    let misses = |place: usize| {
        let sums = &solo["findings"].as_array().expect("a list")[place]["sums"];
        let count = |event: &str| sums[event]["exact"].as_f64().expect("every event is counted");
        1000.0 * count("llc_misses") / count("instructions")
    };
    let places: Vec<usize> = (0..solo["findings"].as_array().expect("a list").len()).collect();
    let of = |program: &str| places.iter().copied().find(|place| solo["findings"][*place]["program"] == *program);
    let (chase, stream) = (of("chase-64k").expect("it ran"), of("stream-8m").expect("it ran"));
    assert!(misses(chase) < 1.0 && misses(stream) > 5.0, "{} and {}", misses(chase), misses(stream));
}

#[test]
fn one_pair_replayed_and_emulated() {
    let Some(bench) = Bench::take() else { return };
    let out = tempfile::tempdir().expect("a temporary folder");
    let programs = ["pairs", "--program", "chase-768k", "--program", "stream-8m", "--quanta", "5"];
    let few = ["--pairs", "2", "--check", "1", "--reseed", "1", "--seed", "3"];
    let pairs = survey_of(&bench, out.path(), &[&programs[..], &few].concat());
    let checked = &pairs["checked"][0];
    let same =
        pairs["pairs"].as_array().expect("a list").iter().find(|pair| {
            [0, 1].iter().all(|side| pair["sides"][*side]["program"] == checked["sides"][*side]["program"])
        });
    let same = same.expect("what is checked is one of the pairs");
    for side in 0..2 {
        let (replayed, emulated) = (slowdown(&same["sides"][side]), slowdown(&checked["sides"][side]));
        assert!((replayed / emulated - 1.0).abs() < 0.1, "{replayed} replayed, {emulated} emulated");
    }
}

#[test]
fn one_pair_on_every_variant_of_the_machine() {
    let Some(bench) = Bench::take() else { return };
    let out = tempfile::tempdir().expect("a temporary folder");
    let arguments = ["sensitivity", "--host", "replayed", "--pair", "chase-768k+stream-8m", "--quanta", "5"];
    let found = survey_of(&bench, out.path(), &arguments);
    let of = |variant: &str| {
        let answers = found["answers"].as_array().expect("a list");
        let answers = answers.iter().find(|answers| answers["variant"] == *variant).expect("it ran");
        slowdown(&answers["pairs"][0]["sides"][0])
    };
    assert!(of("as-it-is") > 1.1, "a stream takes the LLC from a chase");
    assert!((of("epoch-x0.5") / of("as-it-is") - 1.0).abs() < 0.1, "the epoch is an artefact and changes little");
}
