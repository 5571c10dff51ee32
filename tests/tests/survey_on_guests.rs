//! A tiny version of each survey on real guests: the numbers are not of interest, but that they are there and plausible.

use std::path::{Path, PathBuf};

use assert_cmd::Command;
use harness::survey;
use predictor::policy::PolicyKind;
use serde_json::Value;
use tests::bench::Bench;

/// Runs a survey in a folder of its own; answers its findings.
fn survey_of(bench: &Bench, out: &Path, arguments: &[&str]) -> Value {
    findings(&folder_of(bench, out, arguments))
}

/// Runs a survey in a folder of its own; answers the results folder that it made there.
fn folder_of(bench: &Bench, out: &Path, arguments: &[&str]) -> PathBuf {
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
    let folder = PathBuf::from(answer["folder"].as_str().expect("a path"));
    assert!(survey::render(&folder).expect("complete").len() >= 4);
    folder
}

fn findings(folder: &Path) -> Value {
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

#[test]
fn rules_of_contention_against_pairs_and_a_mix() {
    let Some(bench) = Bench::take() else { return };
    let out = tempfile::tempdir().expect("a temporary folder");
    let programs = ["chase-64k", "chase-768k", "stream-8m", "gather-768k"].map(|program| ["--program", program]);
    let few = ["--quanta", "5", "--pairs", "10", "--check", "0", "--reseed", "0"];
    let pairs = folder_of(&bench, out.path(), &[&["pairs"], programs.as_flattened(), &few].concat());
    let drawn = ["contention", "--pairs", pairs.to_str().expect("text"), "--draw", "4", "--mixes", "1"];
    let found = survey_of(&bench, out.path(), &drawn);
    let together = ["pairs", "mixes"].map(|set| found[set].as_array().expect("a list").clone());
    assert_eq!((together[0].len(), together[1].len()), (4, 1));
    let off = |rule: &str| {
        let guests = together.iter().flatten().flat_map(|together| together["guests"].as_array().expect("a list"));
        let errors: Vec<f64> = guests
            .map(|guest| {
                let (told, seen) = (guest["predicted"][rule].as_f64(), guest["slowdown"].as_f64());
                (told.expect("it was told") / seen.expect("it was seen") - 1.0).abs()
            })
            .collect();
        errors.iter().sum::<f64>() / errors.len() as f64
    };
    let (analytic, mean_only) = (off("analytic"), off("mean-only"));
    assert!(analytic < 0.5 * mean_only && analytic < 0.2, "off by {analytic}, the mean by {mean_only}");
}

#[test]
fn every_policy_on_one_mix_beside_the_best_run_there_is() {
    let Some(bench) = Bench::take() else { return };
    let out = tempfile::tempdir().expect("a temporary folder");
    // Models that have not seen a mix learn from the others, so there have to be other families.
    let programs = ["bzip2", "chase-64k", "gather-768k", "stream-8m", "stencil-4m", "viterbi"];
    let programs = programs.map(|program| ["--program", program]);
    let few = ["--quanta", "12", "--mixes", "1", "--tuning", "1"];
    let found = survey_of(&bench, out.path(), &[&["mixes"], programs.as_flattened(), &few].concat());
    let mix = &found["mixes"][0];
    let throughput = |run: &Value| -> f64 {
        let slowdowns = run["slowdowns"].as_array().expect("a list");
        slowdowns.iter().map(|slowdown| 1.0 / slowdown.as_f64().expect("a number")).sum()
    };
    let best = throughput(&mix["oracle"]);
    let runs = mix["runs"].as_array().expect("a list");
    for policy in PolicyKind::ALL {
        let of_policy: Vec<&Value> = runs.iter().filter(|run| run["policy"] == policy.name()).collect();
        assert!(!of_policy.is_empty(), "{policy} did not run");
        for run in of_policy.iter().filter(|run| run["recoloured"] == false) {
            assert!(throughput(run) < 1.03 * best, "{policy} has {}, the oracle {best}", throughput(run));
            assert!(policy != PolicyKind::StayPut || run["moves"] == 0);
        }
    }
}
