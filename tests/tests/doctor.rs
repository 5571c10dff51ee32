//! The doctor tells what a machine is: checked against the sysfs trees of real machines, whose LLC domains other
//! tools have confirmed, and against this machine through the command.

use std::path::{Path, PathBuf};
use std::process::Command;

use assert_cmd::Command as Phasecast;
use harness::doctor::llc_domains::{self, list_of};
use serde_json::Value;

/// Trees of real machines beside the repository, each with the answer.
fn machines() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/data/topologies")
}

/// LLC domains as `expected.csv` writes them: CPU lists joined by `;`.
fn domains_of(tree: &Path) -> String {
    let Ok(topology) = llc_domains::read(&tree.join("sys")) else { return String::new() };
    let lists = topology.domains().iter().map(|domain| {
        let cpus: Vec<_> = domain.cpus.iter().map(|cpu| cpu.0).collect();
        list_of(&cpus)
    });
    lists.collect::<Vec<_>>().join(";")
}

#[test]
fn llc_domains_of_real_machines_are_those_that_other_tools_confirmed() {
    let Ok(expected) = std::fs::read_to_string(machines().join("expected.csv")) else {
        eprintln!("SKIPPED: no sysfs trees of real machines at {}", machines().display());
        return;
    };
    let mut rows = expected.lines().map(|line| line.split(',').collect::<Vec<_>>());
    let header = rows.next().expect("a header");
    let column = |name: &str| header.iter().position(|known| *known == name).expect("a known column");
    let (machine, llc, unconfirmed) = (column("machine"), column("llc_cpus"), column("unconfirmed"));
    let mut checked = 0;
    for row in rows.filter(|row| row.len() == header.len() && row[unconfirmed].is_empty()) {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let archive = machines().join(format!("{}.tar.gz", row[machine]));
        let unpacked = Command::new("tar").arg("xzf").arg(&archive).arg("-C").arg(folder.path()).status();
        assert!(unpacked.is_ok_and(|status| status.success()), "tar xzf {}", archive.display());
        assert_eq!(domains_of(folder.path()), row[llc], "{}", row[machine]);
        checked += 1;
    }
    assert!(checked > 30, "only {checked} machines were checked");
}

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
