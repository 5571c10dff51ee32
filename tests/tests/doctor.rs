//! The doctor tells what a machine is: checked against the sysfs trees of real machines, whose LLC domains other
//! tools have confirmed, and against this machine through the command.

use std::path::{Path, PathBuf};
use std::process::Command;

use assert_cmd::Command as Phasecast;
use harness::doctor::llc_domains::{self, list_of};
use serde_json::Value;

/// One machine for each oddity: CPUs offline, caches of two sizes, sharing told only by bit maps, several domains in
/// one package, no cache told at all.
const MACHINES: [&str; 8] = [
    "16amd64-8n2c",
    "16em64t-4s2c2t-offlines",
    "20em64t-hybrid-1p6c2t+2ca4co1t",
    "64fake-4n2s2ca2c2t",
    "8em64t-2s2ca2c",
    "2ps3-2t",
    "desktop",
    "linux-amd64-amd-ryzen-1600",
];

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

/// The fields of a line of CSV; a field in quotes may hold commas.
fn fields(line: &str) -> Vec<String> {
    let mut fields = vec![String::new()];
    for (place, part) in line.split('"').enumerate() {
        let quoted = place % 2 == 1;
        for (number, text) in part.split(if quoted { '"' } else { ',' }).enumerate() {
            if number > 0 {
                fields.push(String::new());
            }
            fields.last_mut().expect("never empty").push_str(text);
        }
    }
    fields
}

#[test]
fn llc_domains_of_real_machines_are_those_that_other_tools_confirmed() {
    let Ok(expected) = std::fs::read_to_string(machines().join("expected.csv")) else {
        eprintln!("SKIPPED: no sysfs trees of real machines at {}", machines().display());
        return;
    };
    let mut rows = expected.lines().map(fields);
    let header = rows.next().expect("a header");
    let column = |name: &str| header.iter().position(|known| *known == name).expect("a known column");
    let (machine, llc) = (column("machine"), column("llc_cpus"));
    let mut checked = Vec::new();
    for row in rows.filter(|row| MACHINES.contains(&row[machine].as_str())) {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let archive = machines().join(format!("{}.tar.gz", row[machine]));
        let unpacked = Command::new("tar").arg("xzf").arg(&archive).arg("-C").arg(folder.path()).status();
        assert!(unpacked.is_ok_and(|status| status.success()), "tar xzf {}", archive.display());
        assert_eq!(domains_of(folder.path()), row[llc], "{}", row[machine]);
        checked.push(row[machine].clone());
    }
    assert_eq!(checked.len(), MACHINES.len(), "only these were checked: {checked:?}");
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
