//! The command line: help with examples, exit codes, one line for each mistake, and nothing written by a command that
//! refused.

use std::path::Path;
use std::process::{Output, Stdio};
use std::time::{Duration, Instant};

use assert_cmd::Command;
use harness::trace::Trace;
use tests::mixes::TWO_BZIP2S;

fn phasecast(folder: &Path, arguments: &[&str]) -> Output {
    let mut command = Command::cargo_bin("phasecast").expect("the command is built");
    command.current_dir(folder).args(arguments).timeout(Duration::from_secs(120)).output().expect("it runs")
}

/// A folder with `mix.toml` in it.
fn folder_with(mix: &str) -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("a temporary folder");
    std::fs::write(folder.path().join("mix.toml"), mix).expect("writable");
    folder
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// Names of what is in the folder, sorted.
fn files(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).expect("a folder");
    let mut names: Vec<String> =
        entries.map(|entry| entry.expect("readable").file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    names
}

#[test]
fn the_catalogue_is_told_to_people_and_to_programs() {
    let folder = folder_with(TWO_BZIP2S);
    let list = text(&phasecast(folder.path(), &["catalogue", "list", "--family", "real"]).stdout);
    assert!(list.lines().any(|line| line.starts_with("bzip2 ") && line.contains("ref, new")), "{list}");
    assert!(!list.contains("chase"), "{list}");
    let show = phasecast(folder.path(), &["catalogue", "show", "sqlite3", "--json"]);
    let shown: serde_json::Value = serde_json::from_slice(&show.stdout).expect("JSON");
    assert_eq!(shown["inputs"][0]["argv"][0], "/usr/bin/sqlite3");
    assert_eq!(shown["inputs"][0]["files"][0]["path"], "/data/orders.sql");
    let output = phasecast(folder.path(), &["catalogue", "show", "sqlite"]);
    assert_eq!(output.status.code(), Some(2));
    let said = text(&output.stderr);
    assert_eq!(said.trim_end(), "phasecast: no program is called \"sqlite\"; did you mean \"sqlite3\"?");
}

#[test]
fn every_command_explains_itself_with_examples() {
    let folder = folder_with(TWO_BZIP2S);
    let commands: [&[&str]; 12] = [
        &["doctor"],
        &["catalogue", "list"],
        &["catalogue", "show"],
        &["image", "build"],
        &["image", "show"],
        &["qemu", "install"],
        &["qemu", "list"],
        &["record"],
        &["import"],
        &["train"],
        &["score"],
        &["experiment", "run"],
    ];
    for command in commands {
        let output = phasecast(folder.path(), &[command, &["--help"]].concat());
        assert!(output.status.success(), "{command:?}: {}", text(&output.stderr));
        let help = text(&output.stdout);
        assert!(help.contains("Examples:"), "{command:?} has no examples:\n{help}");
        assert!(help.contains("Usage:"), "{command:?}");
    }
    let version = phasecast(folder.path(), &["--version"]);
    assert!(text(&version.stdout).starts_with("phasecast "));
}

#[test]
fn a_qemu_that_is_not_installed_is_a_mistake_with_its_remedy() {
    let folder = folder_with(TWO_BZIP2S);
    let record = ["record", "mix.toml", "--out", "t.parquet", "--cache", "cache", "--qemu", "10.0"];
    let output = phasecast(folder.path(), &record);
    let said = text(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{said}");
    assert!(said.contains("QEMU 10.0 is not installed") && said.contains("phasecast qemu install"), "{said}");
    let listed = phasecast(folder.path(), &["qemu", "list", "--cache", "cache", "--json"]);
    let found: serde_json::Value = serde_json::from_slice(&listed.stdout).expect("JSON");
    assert_eq!(found[0]["name"], "qemu-system-x86_64");
    assert_eq!(files(folder.path()), ["mix.toml"]);
}

#[test]
fn a_mistake_gets_one_line_exit_code_2_and_nothing_is_written() {
    let of_mix = |mix: &str| (folder_with(mix), vec!["record", "mix.toml", "--out", "t.parquet"]);
    let with = |arguments: &[&'static str]| (folder_with(TWO_BZIP2S), [&["record", "mix.toml"], arguments].concat());
    let cases = [
        (
            of_mix(&TWO_BZIP2S.replace("\"bzip2\"", "\"bzip3\"")),
            "mix.toml: guest[0].program: no program is called \"bzip3\"",
        ),
        (of_mix(&TWO_BZIP2S.replace("seed", "sead")), "mix.toml: sead: no key is called \"sead\""),
        (
            of_mix(&TWO_BZIP2S.replace("domain = 1", "domain = 9")),
            "mix.toml: guest[1].domain: the machine has no LLC domain 9",
        ),
        (of_mix(&TWO_BZIP2S.replace("domain = 1", "vcpus = 2")), "mix.toml: guest[1].vcpus: 2 vCPUs"),
        (
            of_mix(&TWO_BZIP2S.replace("small-2x2", "small-9x9")),
            "mix.toml: machine: no machine is called \"small-9x9\"",
        ),
        (of_mix("machine = "), "mix.toml: machine: "),
        (with(&["--out", "nowhere/t.parquet"]), "nowhere/t.parquet: there is no folder nowhere"),
        (with(&["--out", "."]), ".: a folder stands there"),
        (with(&["--out", "t.parquet", "--alone", "alpho"]), "mix.toml: --alone names \"alpho\""),
    ];
    for ((folder, arguments), expected) in cases {
        let output = phasecast(folder.path(), &arguments);
        let complaint = text(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {complaint}");
        assert!(complaint.starts_with(&format!("phasecast: {expected}")), "{complaint}");
        assert_eq!(complaint.lines().count(), 1, "{complaint}");
        assert_eq!(files(folder.path()), ["mix.toml"], "{arguments:?}");
    }
}

#[test]
fn more_guests_than_memory_are_refused_before_anything_starts() {
    let folder = folder_with(&TWO_BZIP2S.replace("\"bzip2\"", "\"bzip2\"\nmemory_mib = 65536"));
    let available = std::fs::read_to_string("/proc/meminfo").expect("Linux");
    let available = available.lines().find_map(|line| line.strip_prefix("MemAvailable:")?.trim().strip_suffix(" kB"));
    if available.and_then(|kib| kib.parse::<u64>().ok()).is_none_or(|kib| kib > 130 << 20) {
        eprintln!("SKIPPED: this machine has room for two guests of 64 GiB");
        return;
    }
    let output = phasecast(folder.path(), &["record", "mix.toml", "--out", "t.parquet"]);
    let complaint = text(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{complaint}");
    assert!(complaint.starts_with("phasecast: mix.toml: guest: 2 guests need 131"), "{complaint}");
    assert_eq!(files(folder.path()), ["mix.toml"]);
}

#[test]
fn a_command_line_that_makes_no_sense_is_refused_with_exit_code_2() {
    let folder = folder_with(TWO_BZIP2S);
    for arguments in [
        &["record"][..],
        &["record", "mix.toml", "--out", "t.parquet", "--quanta", "0"],
        &["train", "--out", "model.json"],
        &["train", "t.parquet", "--out", "model.json", "--phases", "9-3"],
        &["forecast"],
    ] {
        assert_eq!(phasecast(folder.path(), arguments).status.code(), Some(2), "{arguments:?}");
    }
    assert_eq!(phasecast(folder.path(), &["record", "none.toml", "--out", "t.parquet"]).status.code(), Some(2));
    assert_eq!(files(folder.path()), ["mix.toml"]);
}

#[test]
fn what_is_recorded_can_be_trained_on() {
    let folder = folder_with(TWO_BZIP2S);
    let record = ["record", "mix.toml", "--out", "t.parquet", "--host", "simulated", "--quanta", "150", "--json"];
    let recorded = phasecast(folder.path(), &[&record[..], &["--journal", "j.jsonl"]].concat());
    assert!(recorded.status.success(), "{}", text(&recorded.stderr));
    let summary: serde_json::Value = serde_json::from_slice(&recorded.stdout).expect("JSON");
    assert_eq!((summary["quanta"].as_u64(), summary["samples"].as_u64()), (Some(150), Some(300)));
    assert_eq!(summary["guests"]["1"]["name"], "beta");
    assert_eq!(Trace::read(&folder.path().join("t.parquet")).expect("a trace").rows.len(), 300);
    assert_eq!(text(&recorded.stderr), "", "no progress bar where nobody looks");

    let train = |seed| {
        let model = format!("models/{seed}/model.json");
        let trained = phasecast(folder.path(), &["train", "t.parquet", "--out", &model, "--seed", seed]);
        assert!(trained.status.success(), "{}", text(&trained.stderr));
        std::fs::read_to_string(folder.path().join(model)).expect("a model")
    };
    train("1");
    assert_eq!(files(&folder.path().join("models/1")), ["README.md", "model.json"]);
    let again = phasecast(folder.path(), &["train", "t.parquet", "--out", "models/1/model.json"]);
    assert!(again.status.success(), "a model may be trained again: {}", text(&again.stderr));
}

#[test]
fn the_same_seed_records_the_same_journal() {
    let folder = folder_with(TWO_BZIP2S);
    let journal = |name: &str, seed: &str| {
        let arguments =
            ["record", "mix.toml", "--out", "t.parquet", "--host", "simulated", "--quanta", "20", "--journal", name];
        assert!(phasecast(folder.path(), &[&arguments[..], &["--seed", seed]].concat()).status.success());
        std::fs::read(folder.path().join(name)).expect("a journal")
    };
    let first = journal("one.jsonl", "7");
    assert!(first == journal("two.jsonl", "7"));
    assert!(first != journal("three.jsonl", "8"));
}

#[test]
fn what_is_no_trace_is_refused_with_exit_code_2() {
    let folder = folder_with(TWO_BZIP2S);
    for (file, expected) in [("mix.toml", "is no trace that can be used"), ("none.parquet", "cannot be read")] {
        let output = phasecast(folder.path(), &["train", file, "--out", "m/model.json"]);
        let complaint = text(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{complaint}");
        assert!(complaint.starts_with(&format!("phasecast: {file}: {expected}")), "{complaint}");
        assert_eq!(complaint.lines().count(), 1, "{complaint}");
    }
    assert_eq!(files(folder.path()), ["mix.toml"]);
}

#[test]
fn control_c_leaves_a_complete_trace_and_exit_code_130() {
    let folder = folder_with(TWO_BZIP2S);
    let program = assert_cmd::cargo::cargo_bin("phasecast");
    let arguments = ["record", "mix.toml", "--out", "t.parquet", "--host", "simulated", "--quanta", "100000000"];
    let mut child = std::process::Command::new(program)
        .current_dir(folder.path())
        .args(arguments)
        .args(["--journal", "j.jsonl"])
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .expect("it starts");
    let started = Instant::now();
    let long_enough = |journal: std::fs::Metadata| journal.len() > 100_000;
    while !std::fs::metadata(folder.path().join("j.jsonl")).is_ok_and(long_enough) {
        assert!(started.elapsed() < Duration::from_secs(60), "it records nothing");
        std::thread::sleep(Duration::from_millis(5));
    }
    let sent = std::process::Command::new("sh").args(["-c", &format!("kill -INT {}", child.id())]).status();
    assert!(sent.expect("a shell").success());
    let status = child.wait().expect("it ends");
    assert_eq!(status.code(), Some(130));
    let rows = Trace::read(&folder.path().join("t.parquet")).expect("a complete trace").rows.len() as u64;
    let journal = harness::journal::Journal::read(&folder.path().join("j.jsonl")).expect("a journal");
    assert_eq!(journal.ending, Some(harness::journal::Ending::Interrupted));
    assert_eq!(rows, 2 * journal.turns.len() as u64, "two samples for each turn");
}

#[test]
fn a_broken_image_is_listed_and_makes_the_exit_code_2() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    std::fs::create_dir_all(folder.path().join("images/0123")).expect("a folder");
    for json in [&[][..], &["--json"]] {
        let output = phasecast(folder.path(), &[&["image", "show", "--cache", "."], json].concat());
        let (shown, complaint) = (text(&output.stdout), text(&output.stderr));
        assert_eq!(output.status.code(), Some(2), "{complaint}");
        for said in [shown, complaint] {
            assert!(said.contains("0123/manifest.json: the manifest cannot be read"), "{said}");
        }
    }
}

#[test]
fn a_trace_that_is_too_short_to_learn_from_is_named_with_exit_code_2() {
    let folder = folder_with(TWO_BZIP2S);
    let record = ["record", "mix.toml", "--out", "t.parquet", "--host", "simulated", "--quanta", "3"];
    assert!(phasecast(folder.path(), &record).status.success());
    let output = phasecast(folder.path(), &["train", "t.parquet", "--out", "m/model.json"]);
    let complaint = text(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{complaint}");
    assert!(complaint.starts_with("phasecast: t.parquet: 6 samples of vCPUs at work are too few; "), "{complaint}");
}

#[test]
fn a_command_does_not_write_over_what_it_reads() {
    let folder = folder_with(&TWO_BZIP2S.replace("\"small-2x2\"", "\"machine.toml\""));
    let preset = Path::new(env!("CARGO_MANIFEST_DIR")).join("../harness/machines/small-2x2.toml");
    std::fs::copy(preset, folder.path().join("machine.toml")).expect("copied");
    std::fs::write(folder.path().join("t.parquet"), "kept").expect("written");
    let record = ["record", "./mix.toml", "--host", "simulated", "--quanta", "3", "--out"];
    let cases = [
        [&record[..], &["mix.toml"]].concat(),
        [&record[..], &["machine.toml"]].concat(),
        [&record[..], &["t.parquet", "--journal", "mix.toml"]].concat(),
        [&record[..], &["t.parquet", "--journal", "./t.parquet"]].concat(),
        [&record[..], &["new", "--journal", "./new"]].concat(),
        vec!["train", "t.parquet", "--out", "./t.parquet"],
    ];
    for arguments in cases {
        let output = phasecast(folder.path(), &arguments);
        let complaint = text(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {complaint}");
        assert!(complaint.contains("this would overwrite"), "{arguments:?}: {complaint}");
        assert_eq!(files(folder.path()), ["machine.toml", "mix.toml", "t.parquet"], "{arguments:?}");
    }
    assert_eq!(std::fs::read_to_string(folder.path().join("t.parquet")).expect("text"), "kept");
}
