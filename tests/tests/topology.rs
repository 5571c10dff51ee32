//! Topologies of real machines, read by the command, held against what other tools found in the same trees.
//!
//! The trees are other projects' test data and lie beside the checkout, not in it.

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

/// The folder with the trees; `None`, loudly, without it.
fn dumps() -> Option<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/data/topologies");
    if folder.join("expected.csv").is_file() {
        return Some(folder);
    }
    eprintln!("NOT TESTED: {} is not there", folder.display());
    None
}

/// A list of CPUs as the kernel writes it, as numbers.
fn cpus(list: &str) -> Vec<u64> {
    let number = |text: &str| text.parse::<u64>().expect("a number");
    let ranges =
        list.split(',').filter(|part| !part.is_empty()).map(|part| part.split_once('-').unwrap_or((part, part)));
    ranges.flat_map(|(first, last)| number(first)..=number(last)).collect()
}

fn numbers(value: &Value) -> Vec<u64> {
    value.as_array().expect("a list").iter().map(|number| number.as_u64().expect("a number")).collect()
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

/// `phasecast topology`.
fn phasecast() -> assert_cmd::Command {
    let mut command = assert_cmd::Command::cargo_bin("phasecast").expect("the command is built");
    command.arg("topology");
    command
}

fn told_by_the_command(root: &Path) -> Value {
    let output = phasecast().args(["--json", "--root"]).arg(root).output();
    let output = output.expect("the command starts");
    assert!(output.status.success(), "{}: {}", root.display(), String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).expect("JSON")
}

#[test]
fn every_machine_is_read_as_other_tools_read_it() {
    let Some(dumps) = dumps() else { return };
    let table = std::fs::read_to_string(dumps.join("expected.csv")).expect("a table");
    let mut rows = table.lines().map(fields);
    let columns = rows.next().expect("a header");
    let mut read = 0;
    for row in rows {
        let field = |name: &str| &row[columns.iter().position(|column| column == name).expect("a column")];
        let machine = field("machine");
        let root = tempfile::tempdir().expect("a folder");
        let unpacked = Command::new("tar")
            .arg("xzf")
            .arg(dumps.join(format!("{machine}.tar.gz")))
            .arg("-C")
            .arg(root.path())
            .status();
        assert!(unpacked.expect("tar is everywhere").success(), "{machine}");
        let told = told_by_the_command(root.path());
        assert_eq!(numbers(&told["cpus_online"]), cpus(field("online")), "{machine}");
        for (key, column) in
            [("packages", "n_packages"), ("nodes", "n_nodes"), ("cores", "n_cores"), ("llc_level", "llc_level")]
        {
            assert_eq!(&told[key].to_string(), field(column), "{key} of {machine}");
        }
        let domains = told["llc_domains"].as_array().expect("a list");
        let expected: Vec<&str> = field("llc_cpus").split(';').filter(|set| !set.is_empty()).collect();
        let sizes: Vec<&str> = field("llc_kib").split(';').collect();
        assert_eq!(domains.len(), expected.len(), "LLC domains of {machine}");
        for (place, set) in expected.into_iter().enumerate() {
            let domain = domains.iter().find(|domain| numbers(&domain["cpus"]) == cpus(set));
            let domain = domain.unwrap_or_else(|| panic!("{machine} has no LLC domain of CPUs {set}: {domains:?}"));
            let bytes = sizes.get(place).and_then(|kib| kib.parse::<u64>().ok()).map(|kib| kib * 1024);
            assert_eq!(domain["size_bytes"].as_u64(), bytes, "LLC of CPUs {set} of {machine}");
        }
        read += 1;
    }
    assert_eq!(read, 51);
}

#[test]
fn this_machine_has_at_least_the_cpu_that_runs_this() {
    let told = told_by_the_command(Path::new("/"));
    assert!(!numbers(&told["cpus_online"]).is_empty(), "{told}");
}

#[test]
fn a_folder_that_is_no_machine_is_refused_with_the_remedy() {
    let empty = tempfile::tempdir().expect("a folder");
    let output = phasecast().arg("--root").arg(empty.path()).output();
    let output = output.expect("the command starts");
    assert_eq!(output.status.code(), Some(2));
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(text.contains("no CPU is online") && text.contains("sysfs of a Linux machine"), "{text}");
}
