//! Finding the description of an emulated machine: by the name of one that comes with Phasecast, or in a file; and what it means
//! for guests that share a domain. What is in it is the `machine` crate's business.

use std::path::{Path, PathBuf};

use machine::spec::{Machine, SpecError};
use predictor::contention::analytic::SharedLlc;
use predictor::contention::{Contention, Rule};

use crate::input::{InputError, read_text, suggest};

/// The machine that comes with Phasecast under this name, or that a TOML file describes, whose path is relative to
/// `folder`; with the file, if there is one.
pub fn find(name_or_file: &str, folder: &Path) -> Result<(Machine, Option<PathBuf>), InputError> {
    if let Some(preset) = Machine::preset(name_or_file) {
        return Ok((preset, None));
    }
    if !name_or_file.ends_with(".toml") {
        let remedy = format!("{} or give the path of a TOML file", suggest(name_or_file, &Machine::preset_names()));
        return Err(InputError::new(format!("no machine is called {name_or_file:?}"), remedy));
    }
    let file = folder.join(name_or_file);
    let in_file = |problem: String, remedy: String| InputError::new(format!("{}: {problem}", file.display()), remedy);
    let text = read_text(&file).map_err(|mistake| in_file(mistake.problem, mistake.remedy))?;
    let machine = Machine::from_toml(&text)
        .map_err(|SpecError { key, problem, remedy }| in_file(format!("{key}: {problem}"), remedy))?;
    Ok((machine, Some(file)))
}

/// How guests that share an LLC domain of `machine` slow each other down: the analytic rule with its caches, memory and core.
#[must_use]
pub fn contention(machine: &Machine) -> Contention {
    let (llc, core) = (machine.llc(), machine.core());
    let shared = SharedLlc {
        lines: llc.lines() as f64,
        ways: llc.ways as f64,
        hit_cycles: f64::from(llc.latency_cycles),
        miss_cycles: f64::from(machine.memory().latency_cycles),
        hidden_cycles: f64::from(core.reorder_window) * core.cycles_per_instruction,
    };
    analytic(shared, machine.memory().bytes_per_cycle)
}

/// The analytic rule with such an LLC, before a memory that gives so many bytes a cycle.
#[must_use]
pub fn analytic(llc: SharedLlc, memory_bytes_per_cycle: f64) -> Contention {
    let additive = Contention::additive(llc.miss_cycles / llc.hit_cycles, Some(memory_bytes_per_cycle));
    Contention { rule: Rule::Analytic(llc), ..additive }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_machine_is_found_by_name_or_in_a_file() {
        let (preset, file) = find("rome-4x2", Path::new("/nowhere")).expect("it comes with the program");
        assert_eq!((preset.name(), file), ("rome-4x2", None));
        let folder = tempfile::tempdir().expect("a folder");
        std::fs::write(folder.path().join("mine.toml"), preset.text()).expect("written");
        let (found, file) = find("mine.toml", folder.path()).expect("there");
        assert_eq!((found, file), (preset, Some(folder.path().join("mine.toml"))));
    }

    #[test]
    fn a_mistake_in_a_machines_file_names_file_key_and_remedy() {
        let folder = tempfile::tempdir().expect("a folder");
        let text =
            Machine::preset("small-2x2").expect("it comes with the program").text().replace("ways = 16", "ways = 0");
        std::fs::write(folder.path().join("mine.toml"), text).expect("written");
        let mistake = find("mine.toml", folder.path()).expect_err("no ways").to_string();
        assert!(mistake.contains("mine.toml: llc.ways: 0 is out of range; write a whole number"), "{mistake}");
    }
}
