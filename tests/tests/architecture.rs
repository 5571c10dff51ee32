//! The architecture as tests: the one-way street, what the predictor may depend on, where `unsafe` lives, how files
//! open and how long they are, and that every dependency is used.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the workspace").to_owned()
}

/// Every Rust file under `folder`, with its path from the workspace's root and its text.
fn sources_in(folder: &str) -> Vec<(String, String)> {
    let mut found = Vec::new();
    let mut folders = vec![root().join(folder)];
    while let Some(folder) = folders.pop() {
        let Ok(entries) = std::fs::read_dir(&folder) else { continue };
        for entry in entries {
            let path = entry.expect("a readable folder").path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|ending| ending == "rs") {
                let text = std::fs::read_to_string(&path).expect("a readable file");
                let name = path.strip_prefix(root()).expect("within the workspace").display().to_string();
                found.push((name, text));
            }
        }
    }
    found.sort();
    found
}

fn sources() -> Vec<(String, String)> {
    ["predictor", "harness", "workloads", "tests"].into_iter().flat_map(sources_in).collect()
}

/// The lines that are code, with the number of each; comment lines are left out.
fn code(text: &str) -> impl Iterator<Item = (usize, &str)> {
    (1..).zip(text.lines()).filter(|(_, line)| !line.trim_start().starts_with("//"))
}

/// Whether `word` stands in `line` as a whole identifier.
fn names(line: &str, word: &str) -> bool {
    let is_word = |letter: char| letter.is_alphanumeric() || letter == '_';
    line.match_indices(word).any(|(start, _)| {
        let before = line[..start].chars().next_back();
        let after = line[start + word.len()..].chars().next();
        !before.is_some_and(is_word) && !after.is_some_and(is_word)
    })
}

/// Where a module of `folder`, whose `lib.rs` lists its modules in the order of the data, names a later one.
fn names_of_later_modules(folder: &str) -> Vec<String> {
    let lib = std::fs::read_to_string(root().join(folder).join("lib.rs")).expect("a library");
    let modules: Vec<&str> = lib.lines().filter_map(|line| line.strip_prefix("pub mod ")?.strip_suffix(';')).collect();
    assert!(modules.len() >= 10, "the modules stand in lib.rs, one a line: {modules:?}");
    let mut wrong = Vec::new();
    for (file, text) in sources_in(folder) {
        let inner = file.trim_start_matches(folder).trim_start_matches('/').trim_end_matches(".rs");
        let own = inner.split('/').next().expect("a name");
        let Some(place) = modules.iter().position(|module| *module == own) else { continue };
        for (number, line) in code(&text) {
            for later in &modules[place + 1..] {
                if names(line, &format!("crate::{later}")) {
                    wrong.push(format!("{file}:{number} names {later}"));
                }
            }
            // `use crate::{a, b}` would hide a module from the search above.
            if line.contains("crate::{") {
                wrong.push(format!("{file}:{number} gathers modules; name each in a line of its own"));
            }
        }
    }
    wrong
}

#[test]
fn no_stage_of_the_predictor_names_a_later_one() {
    assert_eq!(names_of_later_modules("predictor/src"), [""; 0]);
}

#[test]
fn no_module_of_the_harness_names_a_later_one() {
    assert_eq!(names_of_later_modules("harness/src"), [""; 0]);
}

/// Where a file under one of `places` names one of `words`.
fn named_in(places: &[&str], words: &[&str]) -> Vec<String> {
    let within = |file: &String| places.iter().any(|place| file.starts_with(place));
    let mut found = Vec::new();
    for (file, text) in sources().into_iter().filter(|(file, _)| within(file)) {
        for (number, line) in code(&text) {
            found.extend(words.iter().filter(|word| names(line, word)).map(|word| format!("{file}:{number}: {word}")));
        }
    }
    found
}

#[test]
fn control_policy_and_journal_name_no_clock() {
    let places = ["predictor/src/", "harness/src/control.rs", "harness/src/journal/"];
    assert_eq!(named_in(&places, &["Instant", "SystemTime", "clock_gettime"]), [""; 0]);
    assert_ne!(named_in(&["harness/src/experiment/"], &["SystemTime"]), [""; 0], "the search finds nothing at all");
}

#[test]
fn the_predictor_names_no_file_environment_thread_or_global() {
    let world = ["std::fs", "std::env", "std::process", "std::net", "std::thread", "std::sync", "thread_local"];
    assert_eq!(named_in(&["predictor/src/"], &world), [""; 0]);
    let global = |line: &str| line.trim_start().trim_start_matches("pub ").starts_with("static ");
    let globals = sources_in("predictor/src").into_iter().filter(|(_, text)| code(text).any(|(_, line)| global(line)));
    assert_eq!(globals.map(|(file, _)| file).collect::<Vec<_>>(), [""; 0]);
}

#[test]
fn the_predictor_depends_on_nothing_that_touches_the_world() {
    let tree = Command::new(env!("CARGO"))
        .args([
            "tree",
            "--offline",
            "--package",
            "predictor",
            "--edges",
            "normal",
            "--prefix",
            "none",
            "--format",
            "{lib}",
        ])
        .current_dir(root())
        .output()
        .expect("cargo runs");
    assert!(tree.status.success(), "{}", String::from_utf8_lossy(&tree.stderr));
    let tree = String::from_utf8(tree.stdout).expect("names");
    let crates: BTreeSet<&str> = tree.lines().filter_map(|line| line.split_whitespace().next()).collect();
    assert!(crates.contains("linfa"), "{crates:?}");
    let forbidden = [
        "harness",
        "machine",
        "workloads",
        "phasecast_plugin",
        "rustix",
        "nix",
        "memmap2",
        "tempfile",
        "mio",
        "tokio",
        "socket2",
        "parquet",
        "clap",
        "indicatif",
        "signal_hook",
        "perf_event",
        "qapi",
        "chrono",
        "time",
        "tracing",
        "log",
        "serde_json",
        "toml",
    ];
    let found: Vec<&&str> = forbidden.iter().filter(|name| crates.contains(**name)).collect();
    assert!(found.is_empty(), "the predictor's dependencies include {found:?}");
}

#[test]
fn unsafe_stays_in_its_homes_and_says_why_it_is_safe() {
    // System calls, the shared segment, the plugin, marks as instructions, instructions that must be asked for, and an
    // allocator that counts.
    const HOMES: [&str; 11] = [
        "harness/machine/src/",
        "harness/plugin/",
        "harness/src/qemu/",
        "harness/src/host/live",
        "harness/src/perf/",
        "tests/src/live/kvm.rs",
        "tests/tests/allocations.rs",
        "workloads/src/marks.rs",
        "predictor/src/simd/avx2.rs",
        "workloads/src/bin/guest/",
        "workloads/src/bin/lab/",
    ];
    let mut wrong = Vec::new();
    for (file, text) in sources() {
        if file == "tests/tests/architecture.rs" {
            continue;
        }
        let lines: Vec<&str> = text.lines().collect();
        for (number, line) in code(&text) {
            let block = names(line, "unsafe") && (line.contains("unsafe {") || line.contains("unsafe impl"));
            if names(line, "unsafe") && !HOMES.iter().any(|home| file.starts_with(home)) {
                wrong.push(format!("{file}:{number} is unsafe and no home of it"));
            }
            let above = &lines[number.saturating_sub(12)..number];
            if block && !above.iter().any(|line| line.contains("SAFETY:")) {
                wrong.push(format!("{file}:{number} does not say why it is safe"));
            }
        }
        if names(&code(&text).map(|(_, line)| line).collect::<String>(), "unsafe") && !text.contains("unsafe_code") {
            wrong.push(format!("{file} does not expect the lint with a reason"));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn every_file_opens_with_what_it_owns() {
    let opens = |text: &str| text.starts_with("//! ");
    let without: Vec<String> = sources().into_iter().filter(|(_, text)| !opens(text)).map(|(file, _)| file).collect();
    assert!(without.is_empty(), "{without:#?}");
}

#[test]
fn files_stay_short() {
    let long = sources().into_iter().map(|(file, text)| (text.lines().count(), file)).filter(|(lines, _)| *lines > 500);
    assert_eq!(long.collect::<Vec<_>>(), []);
}

#[test]
fn nothing_is_called_a_drawer() {
    const DRAWERS: [&str; 8] = ["utils", "util", "common", "misc", "helpers", "helper", "core", "stuff"];
    let is_drawer = |file: &String| {
        let parts = file.trim_end_matches(".rs").split('/');
        parts.into_iter().any(|part| DRAWERS.contains(&part))
    };
    let drawers: Vec<String> = sources().into_iter().map(|(file, _)| file).filter(is_drawer).collect();
    assert!(drawers.is_empty(), "{drawers:#?}");
}

#[test]
fn no_test_is_skipped_by_attribute() {
    let attribute = concat!("#[", "ignore");
    let skipped: Vec<String> =
        sources().into_iter().filter(|(_, text)| text.contains(attribute)).map(|(file, _)| file).collect();
    assert!(skipped.is_empty(), "{skipped:#?}");
}

#[test]
fn every_dependency_is_used() {
    let mut unused = Vec::new();
    for folder in ["predictor", "harness", "harness/machine", "harness/plugin", "workloads", "tests"] {
        let manifest = std::fs::read_to_string(root().join(folder).join("Cargo.toml")).expect("a manifest");
        let manifest: toml::Table = manifest.parse().expect("TOML");
        let code_in = |parts: &[&str]| -> String {
            parts.iter().flat_map(|part| sources_in(&format!("{folder}/{part}"))).map(|(_, text)| text).collect()
        };
        let normal = code_in(&["src"]);
        let all = normal.clone() + &code_in(&["tests", "benches", "examples"]);
        for (section, text) in [("dependencies", &normal), ("dev-dependencies", &all)] {
            let Some(dependencies) = manifest.get(section).and_then(toml::Value::as_table) else { continue };
            for name in dependencies.keys() {
                let imported = match name.as_str() {
                    "perf-event2" => "perf_event".to_owned(),
                    name => name.replace('-', "_"),
                };
                let mentions = |line: &str| names(line, &imported) && (line.contains("::") || line.contains("use "));
                if !code(text).any(|(_, line)| mentions(line)) {
                    unused.push(format!("{folder}: {name} in [{section}]"));
                }
            }
        }
    }
    assert!(unused.is_empty(), "{unused:#?}");
}
