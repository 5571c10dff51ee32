//! The command `phasecast score`: its answers, its files, and how it refuses.

use std::fmt::Write;
use std::path::Path;
use std::process::Output;
use std::time::Duration;

use assert_cmd::Command;
use serde_json::Value;

fn phasecast(folder: &Path, arguments: &[&str]) -> Output {
    let mut command = Command::cargo_bin("phasecast").expect("the command is built");
    command.current_dir(folder).args(arguments).timeout(Duration::from_secs(300)).output().expect("it runs")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// A table of `rows` intervals of 1000 cycles, whose IPC is that of the phases in turn; the last is half as long.
fn table(rows: usize, ipc_of: impl Fn(usize) -> f64) -> String {
    let mut table = "t_s,cycles,instructions\n".to_owned();
    for row in 0..rows {
        let cut = if row + 1 == rows { 0.05 } else { 0.0 };
        let time = 0.1 * (row + 1) as f64 - cut;
        writeln!(table, "{time:.3},1000,{}", (1000.0 * ipc_of(row)).round()).expect("text");
    }
    table
}

/// Two series in `ipc-bins:0.25`: one of alternating phases 1 and 5, one that never leaves phase 2.
fn folder() -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let write = |name: &str, text: String| std::fs::write(folder.path().join(name), text).expect("writable");
    write("alternating.csv", table(101, |row| if row % 2 == 0 { 0.3 } else { 1.3 }));
    write("constant.csv", table(51, |_| 0.6));
    folder
}

#[test]
fn scores_are_printed_as_json_by_series_and_in_the_mean() {
    let folder = folder();
    let score = ["score", "alternating.csv", "constant.csv", "--json", "--forecasters", "last-value,markov-1"];
    let output = phasecast(folder.path(), &score);
    assert!(output.status.success(), "{}", text(&output.stderr));
    let found: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    let of = |series: &str, forecaster: &str| {
        let all = found["series"].as_array().expect("a list");
        all.iter().find(|entry| entry["series"] == series && entry["forecaster"] == forecaster).expect("scored").clone()
    };
    // 100 intervals are left, of which the first is only known.
    assert_eq!(of("alternating", "last-value")["forecasts"], 99);
    assert_eq!(of("alternating", "last-value")["accuracy"], 0.0);
    assert_eq!(of("constant", "last-value")["accuracy"], 1.0);
    assert_eq!(of("constant", "last-value")["change_accuracy"], Value::Null);
    assert!(of("alternating", "markov-1")["change_accuracy"].as_f64().expect("a number") > 0.9);
    // The constant series is left out of the mean.
    assert_eq!(found["mean"]["last-value"]["accuracy"], 0.0);
    assert_eq!(found["mean"]["markov-1"]["accuracy"], of("alternating", "markov-1")["accuracy"]);
    assert_eq!(found["mean"]["markov-1"]["series"], 1);
}

#[test]
fn predictions_name_rows_and_forecasters_in_the_order_of_time() {
    let folder = folder();
    let score = ["score", "alternating.csv", "--predictions", "p.csv", "--first", "5", "--forecasters", "last-value"];
    let output = phasecast(folder.path(), &score);
    assert!(output.status.success(), "{}", text(&output.stderr));
    let predictions = std::fs::read_to_string(folder.path().join("p.csv")).expect("written");
    let expected = "series,index,forecaster,predicted_phase\n\
        alternating,1,last-value,1\nalternating,2,last-value,5\nalternating,3,last-value,1\nalternating,4,last-value,5\n";
    assert_eq!(predictions, expected);
}

#[test]
fn the_same_command_gives_the_same_folder_for_every_phase_definition() {
    let folder = folder();
    for phases in ["ipc-bins:0.5", "ipc-bins:0.25"] {
        for out in ["one", "two"] {
            let score =
                ["score", "alternating.csv", "--phases", phases, "--horizon", "2", "--horizon", "1", "--out", out];
            let output = phasecast(folder.path(), &score);
            assert!(output.status.success(), "{}", text(&output.stderr));
        }
        for file in ["scores.json", "accuracy.svg", "calibration.svg", "coverage.svg"] {
            let read = |out: &str| std::fs::read(folder.path().join(out).join(file)).expect("written");
            assert!(!read("one").is_empty() && read("one") == read("two"), "{phases}: {file}");
        }
    }
    let summary = std::fs::read_to_string(folder.path().join("one/summary.md")).expect("written");
    assert!(summary.contains("## 2 ahead") && summary.contains("## 1 ahead"), "{summary}");
    let scores = std::fs::read(folder.path().join("one/scores.json")).expect("written");
    let scores: Value = serde_json::from_slice(&scores).expect("JSON");
    assert_eq!((&scores["horizon"], &scores["other_horizons"][0]["horizon"]), (&2.into(), &1.into()));
    // Two intervals ahead an alternation looks constant.
    assert_eq!(scores["mean"]["last-value"]["accuracy"], 1.0);
}

#[test]
fn what_cannot_be_scored_is_refused_with_a_remedy() {
    let folder = folder();
    let cases: [(&[&str], &str); 6] = [
        (&["alternating.csv", "--phases", "isci"], "needs: llc_misses; leave it out"),
        (&["alternating.csv", "--phases", "kmeans:3"], "does not count llc_references"),
        (&["alternating.csv", "--phases", "model:nowhere"], "nowhere"),
        (&["alternating.csv", "--forecasters", "last-valu"], "did you mean \"last-value\"?"),
        (&["alternating.csv", "alternating.csv"], "give each file once"),
        (&["ghost.csv"], "ghost.csv: no such file"),
    ];
    for (arguments, complaint) in cases {
        let output = phasecast(folder.path(), &[&["score"], arguments].concat());
        let said = text(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {said}");
        assert!(said.contains(complaint), "{arguments:?}: {said}");
    }
}

#[test]
fn clusters_learned_on_a_prefix_do_not_score_it() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let mut recording = String::new();
    for row in 0..100u32 {
        let references = if row / 10 % 2 == 0 { 10 } else { 50_000 };
        for (event, count) in [("instructions", 1_000_000), ("cycles", 2_000_000), ("LLC-loads", references)] {
            writeln!(recording, "{}.{:09},{count},,{event},5,100.00,,", row + 1, 0).expect("text");
        }
    }
    std::fs::write(folder.path().join("lone.csv"), recording).expect("writable");
    // With two levels each of the two settles at its eighth interval, by a change from the transition phase.
    for (phases, changes) in [("kmeans:2", 7), ("mixture:2", 7), ("leader", 7), ("two-level:2", 9)] {
        let score = ["score", "lone.csv", "--phases", phases, "--json", "--forecasters", "last-value"];
        let output = phasecast(folder.path(), &score);
        assert!(output.status.success(), "{phases}: {}", text(&output.stderr));
        let found: Value = serde_json::from_slice(&output.stdout).expect("JSON");
        assert_eq!(found["series"][0]["forecasts"], 79, "{phases}: a fifth is learned from, one more is only known");
        assert_eq!(found["series"][0]["changes"], changes, "{phases}");
    }
}
