//! A tree of PARSEC 3: `pkgs/{apps,kernels}/NAME/{inst/PLATFORM/bin,inputs/input_SIZE.tar,parsec/SIZE.runconf}`.
//!
//! A run configuration is a piece of shell that sets `run_exec` and `run_args`; plain assignments are read, with
//! `${NTHREADS}` as 1, since guests have one vCPU. PARSEC brings no expected output.

use std::fs;
use std::path::{Path, PathBuf};

use workloads::suite::{Command, Tolerance};

use super::{Benchmark, Found, Missing, Source, SuiteInput, refused};
use crate::input::InputError;

/// The sizes of an input, smallest first.
const SIZES: [&str; 6] = ["test", "simdev", "simsmall", "simmedium", "simlarge", "native"];

/// Looks at a tree.
pub(super) fn scan(root: &Path) -> Result<Found, InputError> {
    let remedy = "give the folder of an unpacked PARSEC 3, with bin, config and pkgs";
    if !root.join("pkgs").is_dir() {
        return Err(refused(root, "this is no PARSEC: no folder pkgs", remedy));
    }
    let version = fs::read_to_string(root.join("version")).unwrap_or_default();
    let version = version.lines().next().unwrap_or_default().trim().trim_start_matches("PARSEC ").to_owned();
    if !version.starts_with("3.") {
        let said = if version.is_empty() { "does not say its version".to_owned() } else { format!("is {version}") };
        return Err(refused(root, format!("this PARSEC {said}, not 3"), remedy));
    }
    let mut found = Found { version, benchmarks: Vec::new(), missing: Vec::new() };
    for group in ["apps", "kernels"] {
        for folder in folders(&root.join("pkgs").join(group)) {
            let name = name_of(&folder);
            match benchmark(&folder, &name, &mut found.missing) {
                Ok(benchmark) => found.benchmarks.push(benchmark),
                Err(reason) => found.missing.push(Missing::new(name, reason)),
            }
        }
    }
    Ok(found)
}

fn benchmark(folder: &Path, name: &str, missing: &mut Vec<Missing>) -> Result<Benchmark, String> {
    let binaries = binaries(folder)
        .ok_or_else(|| format!("not built: no inst/*/bin; run: parsecmgmt -a build -p {name} -c gcc-serial"))?;
    let mut inputs = Vec::new();
    let mut programs: Vec<(String, PathBuf)> = Vec::new();
    for size in SIZES {
        let input = input(folder, size).and_then(|input| {
            for command in &input.commands {
                let file = binaries.join(&command.program);
                if !file.is_file() {
                    return Err(format!("not built: no {}", file.display()));
                }
                if programs.iter().all(|(known, _)| *known != command.program) {
                    programs.push((command.program.clone(), file));
                }
            }
            Ok(input)
        });
        match input {
            Ok(input) => inputs.push(input),
            Err(reason) => missing.push(Missing::new(format!("{name}/{size}"), reason)),
        }
    }
    if inputs.is_empty() {
        return Err("no input of it can be run".to_owned());
    }
    let stresses = format!("what PARSEC's {name} does; nothing was measured here");
    Ok(Benchmark { name: name.to_owned(), stresses, programs, inputs })
}

/// The `bin` of a build: a serial one if there is one, else the first.
fn binaries(folder: &Path) -> Option<PathBuf> {
    let mut builds = folders(&folder.join("inst"));
    builds.retain(|build| build.join("bin").is_dir());
    let serial = builds.iter().find(|build| name_of(build).contains("serial"));
    serial.or_else(|| builds.first()).map(|build| build.join("bin"))
}

fn input(folder: &Path, size: &str) -> Result<SuiteInput, String> {
    let configuration = folder.join("parsec").join(format!("{size}.runconf"));
    let text = fs::read_to_string(&configuration).map_err(|_| format!("no input: no parsec/{size}.runconf"))?;
    let command = command_of(&text)?;
    let inputs = folder.join("inputs");
    let tar = inputs.join(format!("input_{size}.tar"));
    let sources = if tar.is_file() {
        vec![Source::Tar(tar)]
    } else if fs::read_dir(&inputs).is_ok_and(|mut entries| entries.next().is_some()) {
        return Err(format!("no input: {} is not there; unpack PARSEC's input package", tar.display()));
    } else {
        // Some, like swaptions, read no file.
        Vec::new()
    };
    let commands = vec![command];
    Ok(SuiteInput { name: size.to_owned(), sources, expected: None, commands, tolerance: Tolerance::EXACT })
}

/// The command of a run configuration; its standard output is kept.
fn command_of(text: &str) -> Result<Command, String> {
    let value = |name: &str| {
        let line = text.lines().rev().find_map(|line| line.trim().strip_prefix(name)?.strip_prefix('='))?;
        let line = line.split_once(" #").map_or(line, |(line, _)| line).trim();
        Some(line.trim_matches('"').replace("${NTHREADS}", "1").replace("$NTHREADS", "1"))
    };
    let program = value("run_exec").ok_or("its run configuration has no run_exec")?;
    let arguments = value("run_args").ok_or("its run configuration has no run_args")?;
    let program = program.rsplit('/').next().unwrap_or(&program).to_owned();
    let command = format!("{program} {arguments}").parse::<Command>()?;
    Ok(Command { stdout: command.stdout.or_else(|| Some("phasecast.stdout".to_owned())), ..command })
}

/// The folders in a folder, in the order of names.
fn folders(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path());
    let mut folders: Vec<PathBuf> = entries.filter(|path| path.is_dir()).collect();
    folders.sort();
    folders
}

fn name_of(folder: &Path) -> String {
    folder.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_configuration_is_read_for_one_thread() {
        let text = "#!/bin/bash\n# the command\nrun_exec=\"bin/blackscholes\"\nrun_args=\"${NTHREADS} in_4K.txt prices.txt\"\n";
        assert_eq!(
            String::from(command_of(text).expect("plain")),
            "blackscholes 1 in_4K.txt prices.txt > phasecast.stdout"
        );
        assert!(command_of("run_exec=\"bin/a\"\n").is_err());
        assert!(
            command_of("run_exec=\"bin/a\"\nrun_args=\"$(nproc)\"\n").is_err_and(|why| why.contains("needs a shell"))
        );
    }
}
