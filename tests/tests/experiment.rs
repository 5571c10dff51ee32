//! An experiment makes complete results or says why not, and its results can be read again. On the simulated host, so
//! that every stage runs in milliseconds.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use assert_cmd::Command;
use harness::experiment::description::{Experiment, Overrides};
use harness::experiment::progress::Progress;
use harness::experiment::{self, ExperimentError, Surroundings};
use harness::interrupt::Interrupt;
use harness::journal::Journal;
use harness::report;
use harness::trace::Trace;
use serde_json::Value;
use workloads::catalogue::Catalogue;

fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn experiments() -> PathBuf {
    repository().join("harness/experiments")
}

fn phasecast(arguments: &[&str]) -> std::process::Output {
    Command::cargo_bin("phasecast").expect("built").args(arguments).output().expect("run")
}

/// Runs the simulated quickstart for a few quanta into `out`; answers its folder.
fn quickstart(out: &Path, arguments: &[&str]) -> PathBuf {
    let file = experiments().join("quickstart-simulated.toml");
    let (file, out) = (file.to_str().expect("text"), out.to_str().expect("text"));
    let fixed = ["experiment", "run", file, "--out", out, "--json", "--quanta", "100"];
    let output = phasecast(&[&fixed, arguments].concat());
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let answer: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    PathBuf::from(answer["folder"].as_str().expect("a path"))
}

fn read(file: &Path) -> String {
    std::fs::read_to_string(file).unwrap_or_else(|error| panic!("{}: {error}", file.display()))
}

#[test]
fn results_are_complete_and_every_run_can_be_read_again() {
    let out = tempfile::tempdir().expect("a temporary folder");
    let folder = quickstart(out.path(), &[]);
    let name = folder.file_name().and_then(|name| name.to_str()).expect("a name");
    assert!(name.ends_with("-simulated-quickstart-simulated"), "{name}");
    for file in ["manifest.json", "experiment.toml", "mix.toml", "machine.toml", "model.json", "throughput.svg"] {
        assert!(!read(&folder.join(file)).is_empty(), "{file}");
    }
    let manifest: Value = serde_json::from_str(&read(&folder.join("manifest.json"))).expect("JSON");
    assert_eq!((&manifest["seed"], &manifest["quanta"]), (&Value::from(1), &Value::from(100)));
    for run in ["solo-alpha", "solo-delta", "mix-stay-put-1", "mix-reactive-2", "mix-predictive-1"] {
        let journal = Journal::read(&folder.join(format!("raw/{run}.jsonl"))).expect("a journal");
        assert_eq!(journal.turns.len(), 100, "{run}");
        Trace::read(&folder.join(format!("raw/{run}.parquet"))).expect("a trace");
    }
    let entries = std::fs::read_dir(out.path()).expect("readable").count();
    assert_eq!(entries, 1, "nothing else is left beside the results");
}

#[test]
fn what_is_kept_of_an_experiment_can_be_run_again_as_it_stands() {
    let out = tempfile::tempdir().expect("a temporary folder");
    let folder = quickstart(out.path(), &[]);
    let read = |file: &Path| Experiment::read(file, &Catalogue::builtin(), Overrides::default()).expect("sound");
    let (first, kept) = (read(&experiments().join("quickstart-simulated.toml")), read(&folder.join("experiment.toml")));
    assert_eq!(kept.mix.file, folder.join("mix.toml"));
    assert_eq!((kept.mix.guests, kept.mix.machine), (first.mix.guests, first.mix.machine));
}

#[test]
fn the_same_seed_gives_the_same_results_and_a_taken_name_gets_a_number() {
    let out = tempfile::tempdir().expect("a temporary folder");
    let (first, second) = (quickstart(out.path(), &[]), quickstart(out.path(), &[]));
    assert_eq!(format!("{}-2", first.display()), second.display().to_string());
    for file in ["collected.json", "model.json", "summary.md", "raw/mix-predictive-2.jsonl"] {
        assert_eq!(read(&first.join(file)), read(&second.join(file)), "{file}");
    }
    let other = quickstart(out.path(), &["--seed", "2"]);
    assert_ne!(read(&first.join("collected.json")), read(&other.join("collected.json")));
}

#[test]
fn the_report_is_made_again_from_what_was_collected() {
    let out = tempfile::tempdir().expect("a temporary folder");
    let folder = quickstart(out.path(), &[]);
    let before = read(&folder.join("summary.md"));
    std::fs::remove_file(folder.join("summary.md")).expect("removed");
    let output = phasecast(&["experiment", "report", folder.to_str().expect("text")]);
    assert!(output.status.success());
    assert_eq!(read(&folder.join("summary.md")), before);
}

#[test]
fn committed_results_are_what_their_data_say() {
    let results = std::fs::read_dir(repository().join("results")).into_iter().flatten().flatten();
    for folder in results.map(|entry| entry.path()).filter(|folder| folder.join(experiment::COLLECTED).exists()) {
        let collected = experiment::read_collected(&folder).expect("readable");
        let report = report::render(&collected).expect("complete");
        let hint = format!("run: phasecast experiment report {}", folder.display());
        let kept = Experiment::read(&folder.join("experiment.toml"), &Catalogue::builtin(), Overrides::default());
        assert!(kept.is_ok(), "{kept:?}");
        assert!(read(&folder.join(experiment::SUMMARY)) == report.summary, "summary.md differs; {hint}");
        for figure in report.figures {
            assert!(read(&folder.join(&figure.file)) == figure.svg, "{} differs; {hint}", figure.file);
        }
    }
}

/// The journal of a run in the only results folder within `out`, once it is there.
fn journal_of(out: &Path, run: &str) -> Option<std::fs::Metadata> {
    let folder = std::fs::read_dir(out).ok()?.flatten().next()?.path();
    std::fs::metadata(folder.join(format!("raw/{run}.jsonl"))).ok()
}

#[test]
fn an_interrupted_experiment_keeps_readable_journals_in_a_folder_called_partial() {
    let out = tempfile::tempdir().expect("a temporary folder");
    let file = experiments().join("quickstart-simulated.toml");
    let overrides = Overrides { quanta: Some(1_000_000), seed: None };
    let described = Experiment::read(&file, &Catalogue::builtin(), overrides).expect("sound");
    let interrupt = Interrupt::default();
    let around = Surroundings {
        shard: None,
        results: out.path(),
        cache: None,
        qemu: None,
        command: &[],
        interrupt: &interrupt,
        progress: &Progress::silent(),
    };
    let error = std::thread::scope(|scope| {
        let running = scope.spawn(|| experiment::run(&described, &around));
        let started = Instant::now();
        // Longer than its head, so that there are turns in it.
        while journal_of(out.path(), "solo-alpha").is_none_or(|journal| journal.len() <= 100_000) {
            assert!(started.elapsed() < Duration::from_secs(60) && !running.is_finished(), "it writes no journal");
            std::thread::sleep(Duration::from_millis(5));
        }
        interrupt.request();
        running.join().expect("no panic").expect_err("it cannot have finished")
    });
    assert!(matches!(error, ExperimentError::Run { .. } | ExperimentError::Interrupted { .. }), "{error}");
    let folder = std::fs::read_dir(out.path()).expect("readable").flatten().next().expect("one folder").path();
    assert!(folder.to_str().expect("text").ends_with("-partial"), "{}", folder.display());
    let journal = Journal::read(&folder.join("raw/solo-alpha.jsonl")).expect("a journal");
    assert!(!journal.turns.is_empty());
    let trace = Trace::read(&folder.join("raw/solo-alpha.parquet")).expect("a trace");
    assert_eq!(trace.rows.len(), journal.turns.len(), "journal and trace end together");
}

/// The simulated quickstart with one line of its text replaced, in a folder of its own.
fn mistaken(from: &str, to: &str) -> (tempfile::TempDir, std::process::Output) {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let text = read(&experiments().join("quickstart-simulated.toml"));
    assert!(text.contains(from), "{from}");
    std::fs::write(folder.path().join("wrong.toml"), text.replace(from, to)).expect("written");
    std::fs::copy(experiments().join("quickstart-mix.toml"), folder.path().join("quickstart-mix.toml"))
        .expect("copied");
    let (file, out) = (folder.path().join("wrong.toml"), folder.path().join("results"));
    let (file, out) = (file.to_str().expect("text"), out.to_str().expect("text"));
    let output = phasecast(&["experiment", "run", file, "--out", out]);
    (folder, output)
}

#[test]
fn a_mistake_in_an_experiment_is_one_line_with_its_key_and_nothing_is_written() {
    let mistakes = [
        ("\"reactive\"", "\"reactve\"", "policies[1]"),
        ("\"reactive\"", "\"stay-put\"", "policies"),
        ("quanta = 210", "quanta = 3", "quanta"),
        ("repeats = 2", "repeats = 0", "repeats"),
        ("repeats = 2", "repetitions = 2", "repetitions"),
        ("quickstart-mix.toml", "no-mix.toml", "wrong.toml: mix: "),
        ("name = \"quickstart-simulated\"", "name = \"../there\"", "name"),
        ("repeats = 2", "policy = { min_gain_share = 1.5 } #", "policy.min_gain_share"),
    ];
    for (from, to, key) in mistakes {
        let (folder, output) = mistaken(from, to);
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{to}: {said}");
        assert_eq!(said.trim_end().lines().count(), 1, "{said}");
        assert!(said.starts_with("phasecast: ") && said.contains("wrong.toml: "), "{said}");
        assert!(said.contains(key), "{said} lacks {key}");
        assert!(!folder.path().join("results").exists(), "{to} left results behind");
    }
}

#[test]
fn too_few_quanta_on_the_command_line_are_not_blamed_on_the_file() {
    let file = experiments().join("quickstart-simulated.toml");
    let output = phasecast(&["experiment", "run", file.to_str().expect("text"), "--quanta", "3"]);
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{said}");
    assert!(said.starts_with("phasecast: --quanta: 3 quanta are too few"), "{said}");
}

#[test]
fn every_experiment_in_the_repository_is_sound() {
    for entry in std::fs::read_dir(experiments()).expect("readable").flatten() {
        let file = entry.path();
        if file.to_str().is_some_and(|name| name.ends_with(".toml") && !name.ends_with("-mix.toml")) {
            Experiment::read(&file, &Catalogue::builtin(), Overrides::default())
                .unwrap_or_else(|mistake| panic!("{mistake}"));
        }
    }
}
