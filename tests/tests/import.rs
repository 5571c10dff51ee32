//! The command `phasecast import`: what it prints and writes, and how it refuses.

use std::path::Path;
use std::process::Output;
use std::time::Duration;

use assert_cmd::Command;
use harness::trace::Trace;

fn phasecast(folder: &Path, arguments: &[&str]) -> Output {
    let mut command = Command::cargo_bin("phasecast").expect("the command is built");
    command.current_dir(folder).args(arguments).timeout(Duration::from_secs(120)).output().expect("it runs")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// A folder with a recording of two intervals, in the second of which the instructions were not counted.
fn folder() -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let recording = "# started on a day\n\n\
        0.100000000,700,,cycles:u,5,100.00,,\n0.100000000,900,,instructions:u,5,50.00,,\n\
        0.200000000,800,,cycles:u,5,100.00,,\n0.200000000,<not counted>,,instructions:u,0,0.00,,\n";
    std::fs::write(folder.path().join("guest.csv"), recording).expect("writable");
    std::fs::write(folder.path().join("torn.csv"), recording.replace("5,50.00", "5,50,00")).expect("writable");
    folder
}

#[test]
fn readings_are_printed_as_json_and_what_was_not_counted_is_null() {
    let folder = folder();
    let output = phasecast(folder.path(), &["import", "guest.csv", "--json"]);
    assert!(output.status.success(), "{}", text(&output.stderr));
    let found: serde_json::Value = serde_json::from_slice(&output.stdout).expect("JSON");
    let second = serde_json::json!(
        {"time": 0.1, "event": "instructions:u", "value": 900, "unit": "", "running_ratio": 0.5}
    );
    assert_eq!(found[1], second);
    assert_eq!((found.as_array().map(Vec::len), &found[3]["value"]), (Some(4), &serde_json::Value::Null));
}

#[test]
fn an_imported_recording_is_a_trace() {
    let folder = folder();
    let output = phasecast(folder.path(), &["import", "guest.csv", "--out", "guest.parquet"]);
    assert!(output.status.success(), "{}", text(&output.stderr));
    assert!(text(&output.stdout).contains("2 samples of 1 series in guest.parquet"), "{}", text(&output.stdout));
    let trace = Trace::read(&folder.path().join("guest.parquet")).expect("a trace");
    let guests: Vec<&str> = trace.rows.iter().map(|row| row.guest_name.as_str()).collect();
    assert_eq!(guests, ["guest", "guest"]);
    assert_eq!(trace.rows[1].sample.elapsed, Duration::from_millis(100));
}

#[test]
fn a_bad_row_is_named_by_file_line_and_column_and_lenience_counts_it() {
    let folder = folder();
    let output = phasecast(folder.path(), &["import", "torn.csv", "--out", "torn.parquet"]);
    let said = text(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{said}");
    assert!(said.contains("torn.csv: line 4, column 35: ") && said.contains("--lenient"), "{said}");
    assert_eq!(said.trim_end().lines().count(), 1, "{said}");
    assert!(!folder.path().join("torn.parquet").exists());

    let output = phasecast(folder.path(), &["import", "torn.csv", "--lenient"]);
    assert!(output.status.success(), "{}", text(&output.stderr));
    assert!(text(&output.stdout).contains("1 bad rows skipped"), "{}", text(&output.stdout));
    assert!(text(&output.stderr).contains("line 4, column 35"), "{}", text(&output.stderr));
}

#[test]
fn a_recording_is_not_written_over_and_a_missing_one_is_named() {
    let folder = folder();
    let output = phasecast(folder.path(), &["import", "guest.csv", "--out", "guest.csv"]);
    assert_eq!(output.status.code(), Some(2), "{}", text(&output.stderr));
    let output = phasecast(folder.path(), &["import", "ghost.csv"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(text(&output.stderr).starts_with("phasecast: ghost.csv: no such file; "), "{}", text(&output.stderr));
}
