//! The doctor tells what this machine is.

use assert_cmd::Command as Phasecast;
use serde_json::Value;

fn doctor(arguments: &[&str]) -> String {
    let output = Phasecast::cargo_bin("phasecast").expect("built").arg("doctor").args(arguments).output();
    let output = output.expect("run");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("text")
}

#[test]
fn the_doctor_says_why_and_what_to_do_in_lines_that_fit_a_terminal() {
    let text = doctor(&[]);
    for name in ["simulated", "emulated", "live", "QEMU", "hardware events", "LLC domains", "memory"] {
        assert!(text.contains(name), "{name} is missing from:\n{text}");
    }
    let too_long: Vec<_> = text.lines().filter(|line| line.chars().count() > 110).collect();
    assert!(too_long.is_empty(), "{too_long:?}");
}

#[test]
fn the_doctor_answers_programs_in_json() {
    let report: Value = serde_json::from_str(&doctor(&["--json"])).expect("JSON");
    let checks = report["checks"].as_array().expect("a list of checks");
    assert!(!checks.is_empty());
    for check in checks {
        assert!(["ok", "limited", "missing"].contains(&check["state"].as_str().expect("a state")), "{check}");
        assert!(check["meaning"].as_str().is_some_and(|meaning| !meaning.is_empty()), "{check}");
    }
    assert_eq!(report["verdicts"][0]["host"], "simulated");
}
