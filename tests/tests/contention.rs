//! `phasecast contention` on profiles of real programs, held against the definition solved in another way.
//!
//! The table is other people's measurement and lies beside the checkout, not in it.

use std::path::{Path, PathBuf};

use assert_cmd::Command;
use serde_json::Value;

fn profiles() -> Option<PathBuf> {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/data/contention/cache_profiles.csv");
    if file.is_file() {
        return Some(file);
    }
    eprintln!("NOT TESTED: {} is not there", file.display());
    None
}

fn contention(profiles: &Path, bandwidth: &str, apps: &[&str]) -> std::process::Output {
    let mut command = Command::cargo_bin("phasecast").expect("the command is built");
    command
        .args(["contention", "--model", "stalls", "--json", "--bandwidth-mib-s", bandwidth, "--profiles"])
        .arg(profiles);
    apps.iter().for_each(|app| {
        command.args(["--app", app]);
    });
    command.output().expect("the command starts")
}

/// A row's numbers: IPC, bandwidth, and stalls in total, on the LLC and on the store buffer.
fn row(table: &str, app: &str, ways: &str) -> [f64; 5] {
    let found = table.lines().map(|line| line.split(',').collect::<Vec<_>>());
    let found = found.into_iter().find(|fields| fields[0] == app && fields[2] == ways).expect("a row");
    [3, 9, 11, 13, 14].map(|column| found[column].parse().expect("a number"))
}

/// U by small steps from below, each u by halving on its own equation: slow, and nothing in common with the command.
fn shares(asked: &[f64]) -> Vec<f64> {
    let each = |b: f64, total: f64| {
        let c = 1.0 - 1.0 / b;
        let value = |u: f64| u * u * c + u * (1.0 - total) * c + (1.0 - total);
        let (mut low, mut high) = (0.0, 2.0);
        for _ in 0..100 {
            let middle = (low + high) / 2.0;
            if value(middle) > 0.0 { low = middle } else { high = middle }
        }
        low
    };
    let at = |total: f64| asked.iter().map(|b| each(*b, total)).collect::<Vec<f64>>();
    let (mut total, mut step) = (0.0, 0.1);
    while step > 1e-13 {
        while total + step < 1.0 && at(total + step).iter().sum::<f64>() > total + step {
            total += step;
        }
        step /= 10.0;
    }
    at(total)
}

#[test]
fn real_programs_are_slowed_as_the_definition_says() {
    let Some(profiles) = profiles() else { return };
    let table = std::fs::read_to_string(&profiles).expect("a table");
    let apps = [("GemsFDTD06", "1"), ("lbm06", "3"), ("mcf06", "4"), ("povray06", "2"), ("lbm06", "1")];
    let bandwidth = 15_000.0;
    let output =
        contention(&profiles, "15000", &apps.map(|(app, ways)| format!("{app}={ways}")).each_ref().map(String::as_str));
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let told: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    let rows = apps.map(|(app, ways)| row(&table, app, ways));
    let shares = shares(&rows.map(|row| row[1] / bandwidth));
    let mut slowdowns = Vec::new();
    for (place, (app, ways)) in apps.into_iter().enumerate() {
        let [ipc, taken, stalls, l3, stores] = rows[place];
        let best = (1..=11).map(|ways| row(&table, app, &ways.to_string())[0]).fold(0.0, f64::max);
        let longer = taken / bandwidth / shares[place];
        let stretched =
            if stalls == 0.0 { 1.0 } else { (stalls + (l3 + stores).min(stalls) * (longer - 1.0)) / stalls };
        let expected = best / ipc * stretched;
        let found = &told["apps"][place];
        assert_eq!((found["app"].as_str(), found["ways"].to_string()), (Some(app), ways.to_owned()));
        for (key, expected) in [("slowdown_cache_only", best / ipc), ("slowdown", expected)] {
            let value = found[key].as_f64().expect("a number");
            assert!((value - expected).abs() < 1e-6, "{key} of {app}: {value}, by hand {expected}");
        }
        slowdowns.push(expected);
    }
    let stp: f64 = slowdowns.iter().map(|slowdown| 1.0 / slowdown).sum();
    assert!((told["stp"].as_f64().expect("a number") - stp).abs() < 1e-6);
    assert!(slowdowns.iter().any(|slowdown| *slowdown > 1.1), "nobody is slowed: {slowdowns:?}");
}

#[test]
fn a_memory_that_one_program_fills_is_refused_with_its_name() {
    let Some(profiles) = profiles() else { return };
    let output = contention(&profiles, "100", &["povray06=2", "lbm06=3"]);
    assert_eq!(output.status.code(), Some(2));
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(text.contains("lbm06 with 3 ways") && text.contains("more bandwidth"), "{text}");
}
