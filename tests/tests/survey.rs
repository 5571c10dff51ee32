//! A survey makes complete results or goes on where it stopped, and what is committed is what its findings say. On the
//! simulated host, so that everything runs in milliseconds.

use std::path::{Path, PathBuf};

use assert_cmd::Command;
use harness::experiment::Surroundings;
use harness::experiment::progress::Progress;
use harness::interrupt::Interrupt;
use harness::survey::{self, SurveyError, solo};
use harness::testbed::BedKind;
use harness::trace::Trace;
use machine::spec::Machine;
use serde_json::Value;

fn phasecast(arguments: &[&str]) -> std::process::Output {
    Command::cargo_bin("phasecast").expect("built").args(arguments).output().expect("run")
}

fn read(file: &Path) -> String {
    std::fs::read_to_string(file).unwrap_or_else(|error| panic!("{}: {error}", file.display()))
}

/// Runs the solo survey of two programs on the simulated host; answers how it ended.
fn solo(out: &Path, arguments: &[&str]) -> std::process::Output {
    let fixed = ["survey", "solo", "--host", "simulated", "--json", "--program", "bzip2", "--program", "phased-three"];
    phasecast(&[&fixed, ["--out", out.to_str().expect("text")].as_slice(), arguments].concat())
}

fn folder_of(output: &std::process::Output) -> PathBuf {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let answer: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    PathBuf::from(answer["folder"].as_str().expect("a path"))
}

/// A folder for results.
fn results() -> tempfile::TempDir {
    tempfile::tempdir().expect("a temporary folder")
}

#[test]
fn a_survey_leaves_its_findings_and_everything_that_is_made_of_them() {
    let out = results();
    let folder = folder_of(&solo(out.path(), &["--quanta", "60"]));
    let name = folder.file_name().and_then(|name| name.to_str()).expect("a name");
    assert!(name.ends_with("-simulated-survey-solo"), "{name}");
    let manifest: Value = serde_json::from_str(&read(&folder.join("manifest.json"))).expect("JSON");
    assert_eq!(manifest["plan"]["quanta"], Value::from(60));
    let trace = Trace::read(&folder.join("raw/bzip2.ref.seed-1.parquet")).expect("a trace");
    assert_eq!(trace.rows.len(), 60);
    let summary = read(&folder.join(survey::SUMMARY));
    assert!(summary.contains("| bzip2 | ref | real |") && summary.contains("| phased-three |"), "{summary}");
    assert!(["found", "plan.json", "lock"].iter().all(|left| !folder.join(left).exists()), "the work is over");
    for file in survey::render(&folder).expect("complete") {
        assert_eq!(read(&folder.join(&file.name)), file.text, "{}", file.name);
    }
}

#[test]
fn a_survey_of_which_a_part_is_there_does_only_what_is_missing() {
    let out = results();
    // As a survey that was stopped leaves it: the plan, one finding that no run would give, and no more.
    let whole = folder_of(&solo(out.path(), &["--quanta", "50"]));
    let manifest: Value = serde_json::from_str(&read(&whole.join("manifest.json"))).expect("JSON");
    let findings: Value = serde_json::from_str(&read(&whole.join(survey::FINDINGS))).expect("JSON");
    let mut kept = findings["findings"]["findings"][0].clone();
    kept["completed_runs"] = Value::from(4711);
    let name = whole.file_name().and_then(|name| name.to_str()).expect("a name");
    let partial = out.path().join(format!("{name}-partial"));
    std::fs::remove_dir_all(&whole).expect("removed");
    for inner in ["found", "raw"] {
        std::fs::create_dir_all(partial.join(inner)).expect("a folder");
    }
    let run = manifest["plan"]["runs"][0].as_str().expect("a name");
    std::fs::write(partial.join("plan.json"), manifest["plan"].to_string()).expect("written");
    std::fs::write(partial.join(format!("found/{run}.json")), kept.to_string()).expect("written");

    let other = folder_of(&solo(out.path(), &["--quanta", "51"]));
    let findings: Value = serde_json::from_str(&read(&other.join(survey::FINDINGS))).expect("JSON");
    assert_ne!(findings["findings"]["findings"][0]["completed_runs"], Value::from(4711), "another plan does not go on");
    let output = solo(out.path(), &["--quanta", "50"]);
    let resumed = folder_of(&output);
    assert!(String::from_utf8_lossy(&output.stderr).contains("1 of them done before"));
    let findings: Value = serde_json::from_str(&read(&resumed.join(survey::FINDINGS))).expect("JSON");
    assert_eq!(findings["findings"]["findings"][0]["completed_runs"], Value::from(4711), "the kept one was kept");
    assert!(!partial.exists());
}

#[test]
fn an_interrupted_survey_says_where_it_goes_on() {
    let out = results();
    let (interrupt, progress) = (Interrupt::default(), Progress::silent());
    let around = Surroundings {
        shard: None,
        results: out.path(),
        cache: None,
        qemu: None,
        command: &[],
        interrupt: &interrupt,
        progress: &progress,
    };
    let request = solo::Request {
        host: BedKind::Simulated,
        machine: Machine::preset("small-2x2").expect("it comes with the program"),
        quantum_cycles: 10_000_000,
        quanta: 30,
        seed: 1,
        programs: vec!["bzip2".to_owned()],
        inputs: solo::Inputs::All,
    };
    interrupt.request();
    let error = solo::run(&request, &around).expect_err("it was asked to stop");
    let SurveyError::Interrupted { folder, .. } = &error else { panic!("{error}") };
    assert!(folder.is_dir() && error.to_string().contains("the same command goes on in"), "{error}");
    let again = Interrupt::default();
    let outcome = solo::run(&request, &Surroundings { interrupt: &again, ..around }).expect("nobody stops it");
    assert!(!folder.exists(), "it went on there");
    assert_eq!(std::fs::read_dir(out.path()).expect("readable").count(), 1, "{}", outcome.folder.display());
}

#[test]
fn pairs_are_compared_with_their_guests_alone() {
    let out = results();
    let programs = ["chase-768k", "stream-8m", "blackscholes-64k"].map(|program| ["--program", program]).concat();
    let fixed = ["survey", "pairs", "--host", "simulated", "--json", "--quanta", "50", "--reseed", "2", "--out"];
    let folder = folder_of(&phasecast(&[&fixed, [out.path().to_str().expect("text")].as_slice(), &programs].concat()));
    let findings: Value = serde_json::from_str(&read(&folder.join(survey::FINDINGS))).expect("JSON");
    let pairs = findings["findings"]["pairs"].as_array().expect("a list");
    assert_eq!(pairs.len(), 6, "three programs meet each other and themselves");
    assert_eq!(findings["findings"]["reseeded"].as_array().expect("a list").len(), 4, "two pairs under two more seeds");
    let slowdown = |side: &Value| {
        side["nanoseconds_together"].as_f64().expect("time") / side["nanoseconds_alone"].as_f64().expect("time")
    };
    let find = |one: &str, other: &str| {
        let sides = |pair: &&Value| pair["sides"][0]["program"] == *one && pair["sides"][1]["program"] == *other;
        pairs.iter().find(sides).unwrap_or_else(|| panic!("{one} and {other} ran"))
    };
    // As the simulated host's table of interference has it.
    assert!(slowdown(&find("chase-768k", "stream-8m")["sides"][0]) > 2.0);
    assert!(slowdown(&find("stream-8m", "blackscholes-64k")["sides"][1]) < 1.05);
    for file in survey::render(&folder).expect("complete") {
        assert_eq!(read(&folder.join(&file.name)), file.text, "{}", file.name);
    }
}

#[test]
fn sensitivity_runs_every_pair_on_every_variant() {
    let out = results();
    let fixed =
        ["survey", "sensitivity", "--host", "simulated", "--json", "--quanta", "40", "--pair", "chase-768k+stream-8m"];
    let folder = folder_of(&phasecast(&[&fixed, ["--out", out.path().to_str().expect("text")].as_slice()].concat()));
    let findings: Value = serde_json::from_str(&read(&folder.join(survey::FINDINGS))).expect("JSON");
    let answers = findings["findings"]["answers"].as_array().expect("a list");
    let variants: Vec<&str> = answers.iter().map(|answers| answers["variant"].as_str().expect("a name")).collect();
    let expected = ["as-it-is", "window-x0.5", "window-x2", "prefetcher-on", "llc-x0.5", "llc-x2", "epoch-x0.5"];
    assert_eq!(variants[..7], expected);
    assert_eq!(variants[7..], ["as-it-is", "as-it-is"], "two more seeds");
    // Scripts know of no window, prefetcher or epoch.
    let summary = read(&folder.join(survey::SUMMARY));
    assert!(summary.contains("**Who suffers** is the same for every pair under all 6 variants."), "{summary}");
    for file in survey::render(&folder).expect("complete") {
        assert_eq!(read(&folder.join(&file.name)), file.text, "{}", file.name);
    }
}

#[test]
fn a_mistake_in_a_survey_is_one_line_and_nothing_is_written() {
    let out = results();
    let cases: [(&[&str], &str); 4] = [
        (&["--program", "bzip3"], "--program: no program is called \"bzip3\"; did you mean \"bzip2\"?"),
        (&["--machine", "small-2x3"], "--machine: no machine is called \"small-2x3\"; did you mean \"small-2x2\"?"),
        (&["--machine", "there.toml"], "--machine: there.toml: no such file"),
        (&["--quantum-cycles", "10"], "--quantum-cycles: 10 is not a multiple of the machine's epoch"),
    ];
    for (arguments, expected) in cases {
        let output = solo(&out.path().join("results"), arguments);
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{said}");
        assert_eq!(said.trim_end().lines().count(), 1, "{said}");
        assert!(said.starts_with(&format!("phasecast: {expected}")), "{said} is not: {expected}");
        assert!(!out.path().join("results").exists());
    }
}

/// A small sweep; answers how it ended.
fn sweep(out: &Path, arguments: &[&str]) -> std::process::Output {
    let fixed = ["survey", "sweep", "--over", "phase-length", "--mixes", "1", "--json"];
    phasecast(&[&fixed, ["--out", out.to_str().expect("text")].as_slice(), arguments].concat())
}

/// Every file of a folder but the manifest, which says who sat over it and when.
fn contents(folder: &Path) -> Vec<(String, String)> {
    let entries = std::fs::read_dir(folder).expect("a folder").flatten();
    let mut files: Vec<_> = entries
        .map(|entry| (entry.file_name().to_string_lossy().into_owned(), read(&entry.path())))
        .filter(|(name, _)| name != "manifest.json")
        .collect();
    files.sort();
    files
}

#[test]
fn shards_come_to_the_same_bytes_as_one_process() {
    let (whole, parts) = (results(), results());
    let expected = folder_of(&sweep(whole.path(), &["--quanta", "30"]));
    let shards: Vec<PathBuf> = ["1/3", "2/3", "3/3"]
        .map(|shard| folder_of(&sweep(parts.path(), &["--quanta", "30", "--shard", shard])))
        .into();
    assert!(shards[1].ends_with(shards[1].file_name().expect("a name")) && shards[1].join("shard.json").exists());
    let paths: Vec<&str> = shards.iter().map(|shard| shard.to_str().expect("text")).collect();
    let merged = phasecast(&[&["survey", "merge", "--json"], paths.as_slice()].concat());
    let answer: Value = serde_json::from_slice(&merged.stdout).expect("JSON");
    assert_eq!((&answer["done"], &answer["missing"]), (&Value::from(7), &serde_json::json!([])));
    let output = sweep(parts.path(), &["--quanta", "30"]);
    assert!(String::from_utf8_lossy(&output.stderr).contains("7 of them done before"));
    let found = folder_of(&output);
    assert_eq!(contents(&found), contents(&expected));
    let manifest: Value = serde_json::from_str(&read(&found.join("manifest.json"))).expect("JSON");
    assert_eq!(manifest["sittings"].as_array().expect("a list").len(), 4, "three shards, and who put them together");
}

#[test]
fn shards_of_different_plans_are_refused_by_what_differs() {
    let out = results();
    let one = folder_of(&sweep(out.path(), &["--quanta", "30", "--shard", "1/3"]));
    let other = folder_of(&sweep(out.path(), &["--quanta", "31", "--shard", "2/3"]));
    let folders = [one, other].map(|folder| folder.to_str().expect("text").to_owned());
    let refused = phasecast(&["survey", "merge", &folders[0], &folders[1]]);
    let said = String::from_utf8_lossy(&refused.stderr);
    assert!(!refused.status.success() && said.contains("quanta is 30 there and 31 here"), "{said}");
    let nothing = phasecast(&["survey", "merge", out.path().to_str().expect("text")]);
    assert!(String::from_utf8_lossy(&nothing.stderr).contains("it has no plan.json"));
}

#[test]
fn placements_are_asked_of_the_machine_that_is_there() {
    let out = results();
    let fixed = ["survey", "placements", "--json", "--quanta", "5", "--machine", "rome-4x2", "--out"];
    let folder = folder_of(&phasecast(&[&fixed, [out.path().to_str().expect("text")].as_slice()].concat()));
    let summary = read(&folder.join(survey::SUMMARY));
    assert!(summary.contains("| same CPU | 2.000 | 2.000 | 2.000 | 1.000 |"), "{summary}");
    assert!(summary.contains("The machine does not have: same core."), "{summary}");
    for file in survey::render(&folder).expect("complete") {
        assert_eq!(read(&folder.join(&file.name)), file.text, "{}", file.name);
    }
}

#[test]
fn a_mistake_in_a_pair_names_it() {
    for (pair, expected) in [("bzip2", "is no pair; give two programs"), ("bzip2+cc2", "no program is called \"cc2\"")]
    {
        let output = phasecast(&["survey", "sensitivity", "--host", "simulated", "--pair", pair]);
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{said}");
        assert!(said.starts_with("phasecast: --pair: ") && said.contains(expected), "{said}");
    }
    let output = phasecast(&["survey", "pairs", "--host", "simulated", "--program", "idle"]);
    assert!(String::from_utf8_lossy(&output.stderr).contains("\"idle\" never ends"));
}

#[test]
fn committed_surveys_are_what_their_findings_say() {
    let results = Path::new(env!("CARGO_MANIFEST_DIR")).join("../results");
    let folders = std::fs::read_dir(results).into_iter().flatten().flatten().map(|entry| entry.path());
    for folder in folders.filter(|folder| folder.join(survey::FINDINGS).exists()) {
        for file in survey::render(&folder).expect("complete") {
            let hint = format!("run: phasecast survey report {}", folder.display());
            assert!(read(&folder.join(&file.name)) == file.text, "{} differs; {hint}", file.name);
        }
    }
}
