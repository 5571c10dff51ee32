//! Which shared libraries a suite's programs need: as the host's loader finds them, without running the programs.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use workloads::suite::LOADER;

use super::{Benchmark, Found, Missing};
use crate::image::ImageError;
use crate::image::tools::read;

/// The loader of every x86-64 Linux with the GNU C library.
const HOST_LOADER: &str = "/lib64/ld-linux-x86-64.so.2";

/// What programs need beside themselves.
#[derive(Debug, Default)]
pub(super) struct Libraries {
    /// Files of libraries, the loader among them, by their names on the disk.
    pub(super) files: BTreeMap<String, PathBuf>,
    /// Benchmarks whose programs are started by the loader.
    pub(super) dynamic: Vec<String>,
}

/// How a program is linked.
#[derive(Debug, PartialEq, Eq)]
enum Linkage {
    Static,
    /// By this loader.
    Dynamic(String),
}

/// Finds the libraries of all benchmarks. Those that cannot run are taken out of `found`, with the reason.
pub(super) fn resolve(found: &mut Found) -> Result<Libraries, ImageError> {
    let mut libraries = Libraries::default();
    let mut kept = Vec::new();
    for benchmark in std::mem::take(&mut found.benchmarks) {
        match of_benchmark(&benchmark, &mut libraries)? {
            Ok(()) => kept.push(benchmark),
            Err(reason) => found.missing.push(Missing::new(&benchmark.name, reason)),
        }
    }
    found.benchmarks = kept;
    Ok(libraries)
}

fn of_benchmark(benchmark: &Benchmark, libraries: &mut Libraries) -> Result<Result<(), String>, ImageError> {
    let mut linkages = Vec::new();
    for (_, file) in &benchmark.programs {
        match linkage(&read(file, "the suite's program")?) {
            Ok(linkage) => linkages.push(linkage),
            Err(problem) => return Ok(Err(format!("{} {problem}", file.display()))),
        }
    }
    if linkages.iter().all(|linkage| *linkage == Linkage::Static) {
        return Ok(Ok(()));
    }
    for (linkage, (_, file)) in linkages.iter().zip(&benchmark.programs) {
        match linkage {
            Linkage::Dynamic(loader) if loader == HOST_LOADER => {}
            _ => return Ok(Err(format!("{} is not linked as its other programs or by {HOST_LOADER}", file.display()))),
        }
        match listed(file)? {
            Ok(files) => libraries.files.extend(files),
            Err(problem) => return Ok(Err(problem)),
        }
    }
    libraries.files.insert(LOADER.to_owned(), HOST_LOADER.into());
    libraries.dynamic.push(benchmark.name.clone());
    Ok(Ok(()))
}

/// What the loader says a program needs: lines `libm.so.6 => /lib/.../libm.so.6 (0x...)`.
fn listed(program: &Path) -> Result<Result<BTreeMap<String, PathBuf>, String>, ImageError> {
    let failed = |error: std::io::Error| ImageError::step(format!("list libraries of {}", program.display()), error);
    let mut command = Command::new(HOST_LOADER);
    command.arg("--list").arg(program).env("LC_ALL", "C").stdin(Stdio::null());
    let output = command.output().map_err(failed)?;
    let mut files = BTreeMap::new();
    for line in String::from_utf8_lossy(&output.stdout).lines() {
        let Some((name, place)) = line.trim().split_once(" => ") else { continue };
        let place = place.split(" (").next().unwrap_or(place);
        if !Path::new(place).is_file() {
            return Ok(Err(format!("{} needs {name}, which this machine does not have", program.display())));
        }
        files.insert(name.rsplit('/').next().unwrap_or(name).to_owned(), PathBuf::from(place));
    }
    if !output.status.success() {
        return Ok(Err(format!("the loader cannot load {}", program.display())));
    }
    Ok(Ok(files))
}

/// Reads an ELF header: the program has to be for x86-64; a segment of kind "interpreter" names its loader.
fn linkage(file: &[u8]) -> Result<Linkage, String> {
    const INTERPRETER: u64 = 3;
    let number = |at: usize, bytes: usize| -> Option<u64> {
        let mut number = [0; 8];
        number[..bytes].copy_from_slice(file.get(at..at.checked_add(bytes)?)?);
        Some(u64::from_le_bytes(number))
    };
    // Class 2 is 64 bits, machine 62 is x86-64.
    if file.get(..5) != Some(b"\x7fELF\x02") || number(18, 2) != Some(62) {
        return Err("is no x86-64 program".to_owned());
    }
    let truncated = || "is a truncated program".to_owned();
    let table = number(32, 8).ok_or_else(truncated)?;
    let (size, count) = (number(54, 2).ok_or_else(truncated)?, number(56, 2).ok_or_else(truncated)?);
    for segment in 0..count {
        let at = usize::try_from(table + segment * size).map_err(|_| truncated())?;
        if number(at, 4).ok_or_else(truncated)? != INTERPRETER {
            continue;
        }
        let field = |offset: usize| number(at + offset, 8).and_then(|value| usize::try_from(value).ok());
        let (begin, length) = field(8).zip(field(32)).ok_or_else(truncated)?;
        let name = begin.checked_add(length).and_then(|end| file.get(begin..end)).ok_or_else(truncated)?;
        return Ok(Linkage::Dynamic(String::from_utf8_lossy(name).trim_end_matches('\0').to_owned()));
    }
    Ok(Linkage::Static)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dynamic_program_names_its_loader_and_its_libraries() {
        let own = std::env::current_exe().expect("a test is a program");
        let file = std::fs::read(&own).expect("it can be read");
        assert_eq!(linkage(&file), Ok(Linkage::Dynamic(HOST_LOADER.to_owned())));
        let listed = listed(&own).expect("the loader runs").expect("all are there");
        assert!(listed.contains_key("libc.so.6"), "{listed:?}");
    }

    #[test]
    fn what_is_no_program_for_this_machine_is_refused() {
        assert_eq!(linkage(b"#!/bin/sh\n"), Err("is no x86-64 program".to_owned()));
        assert_eq!(linkage(b""), Err("is no x86-64 program".to_owned()));
        let mut cut = std::fs::read(std::env::current_exe().expect("a program")).expect("bytes");
        cut.truncate(100);
        assert_eq!(linkage(&cut), Err("is a truncated program".to_owned()));
    }
}
