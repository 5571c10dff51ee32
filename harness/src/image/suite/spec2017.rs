//! A tree of SPEC CPU 2017: `benchspec/CPU/505.mcf_r/{exe,data/{all,test,train,refrate}/{input,output},run,Spec}`.
//!
//! How a benchmark is run stands in Perl (`Spec/object.pm`) and is worked out by SPEC's own tools. Two things stand in for
//! them: the `speccmds.cmd` that `runcpu --action setup` leaves in a run folder, which is exact; else the usual command
//! lines, as many published simulator set-ups have them (`harness/suites/spec2017.toml`). Of `object.pm` only the plain
//! tolerances are read.

use std::fs;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use workloads::suite::{Command, Tolerance};

use super::{Benchmark, Found, Missing, Source, SuiteInput, refused};
use crate::input::InputError;

/// The sizes of a rate benchmark's input.
const SIZES: [&str; 3] = ["test", "train", "refrate"];

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Usual {
    benchmark: Vec<UsualBenchmark>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct UsualBenchmark {
    name: String,
    stresses: String,
    #[serde(default)]
    test: Vec<Command>,
    #[serde(default)]
    train: Vec<Command>,
    #[serde(default)]
    refrate: Vec<Command>,
}

impl UsualBenchmark {
    fn commands(&self, size: &str) -> &[Command] {
        match size {
            "test" => &self.test,
            "train" => &self.train,
            _ => &self.refrate,
        }
    }
}

/// The usual command lines.
fn usual() -> Vec<UsualBenchmark> {
    let usual: Usual = toml::from_str(include_str!("../../../suites/spec2017.toml")).expect("a test reads it");
    usual.benchmark
}

/// Looks at a tree.
pub(super) fn scan(root: &Path) -> Result<Found, InputError> {
    let benchmarks = root.join("benchspec/CPU");
    if !benchmarks.is_dir() {
        let other = root.join("benchspec/CPU2006").is_dir();
        let problem = if other { "this is SPEC CPU 2006" } else { "this is no SPEC CPU 2017: no folder benchspec/CPU" };
        return Err(refused(root, problem, "give the folder of an installed SPEC CPU 2017, with shrc and version.txt"));
    }
    let version = fs::read_to_string(root.join("version.txt")).unwrap_or_default();
    let version = version.lines().next().map_or("unknown", str::trim).to_owned();
    let mut found = Found { version, benchmarks: Vec::new(), missing: Vec::new() };
    for usual in usual() {
        let folder = benchmarks.join(&usual.name);
        if !folder.is_dir() {
            found.missing.push(Missing::new(&usual.name, "not in this tree"));
            continue;
        }
        match benchmark(&folder, &usual, &mut found.missing) {
            Ok(benchmark) => found.benchmarks.push(benchmark),
            Err(reason) => found.missing.push(Missing::new(&usual.name, reason)),
        }
    }
    Ok(found)
}

fn benchmark(folder: &Path, usual: &UsualBenchmark, missing: &mut Vec<Missing>) -> Result<Benchmark, String> {
    let tolerance = tolerance(&fs::read_to_string(folder.join("Spec/object.pm")).unwrap_or_default());
    let executables = executables(&folder.join("exe"));
    if executables.is_empty() {
        return Err(format!("not built: {} has no program; run: runcpu --action build", folder.join("exe").display()));
    }
    let mut inputs = Vec::new();
    for size in SIZES {
        match input(folder, size, usual, tolerance) {
            Ok(input) => inputs.push(input),
            Err(reason) => missing.push(Missing::new(format!("{}/{size}", usual.name), reason)),
        }
    }
    let mut programs: Vec<(String, PathBuf)> = Vec::new();
    for command in inputs.iter().flat_map(|input| &input.commands) {
        let name = &command.program;
        if programs.iter().any(|(known, _)| known == name) {
            continue;
        }
        let file = choose(&executables, name)
            .ok_or_else(|| format!("not built: no {name}_base.* in exe; run: runcpu --action build"))?;
        programs.push((name.clone(), file));
    }
    if inputs.is_empty() {
        return Err("no input of it can be run".to_owned());
    }
    Ok(Benchmark { name: usual.name.clone(), stresses: usual.stresses.clone(), programs, inputs })
}

fn input(folder: &Path, size: &str, usual: &UsualBenchmark, tolerance: Tolerance) -> Result<SuiteInput, String> {
    let data = folder.join("data");
    let own = data.join(size);
    if !own.is_dir() {
        return Err(format!("no input: {} is not there", own.display()));
    }
    let sources: Vec<PathBuf> =
        [data.join("all/input"), own.join("input")].into_iter().filter(|folder| folder.is_dir()).collect();
    let commands = match set_up(folder, size) {
        Some(commands) => commands?,
        None => usual.commands(size).to_vec(),
    };
    if commands.is_empty() {
        return Err(format!("its command line is not known; run: runcpu --action setup --size {size}, then try again"));
    }
    for file in commands.iter().filter_map(|command| command.stdin.as_ref()) {
        if !sources.iter().any(|folder| folder.join(file).is_file()) {
            return Err(format!("no input: there is no {file} in data/all/input or data/{size}/input"));
        }
    }
    let expected = Some(own.join("output")).filter(|folder| folder.is_dir());
    let sources = sources.into_iter().map(Source::Folder).collect();
    Ok(SuiteInput { name: size.to_owned(), sources, expected, commands, tolerance })
}

/// Every program of the folder, in the order of names.
fn executables(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path());
    let mut files: Vec<PathBuf> = entries.filter(|path| path.is_file()).collect();
    files.sort();
    files
}

/// `mcf_r_base.LABEL`, else `mcf_r_peak.LABEL`, else `mcf_r`; of several labels the first.
fn choose(executables: &[PathBuf], program: &str) -> Option<PathBuf> {
    let named = |prefix: String| {
        let named = |file: &&PathBuf| file.file_name().is_some_and(|name| name.to_string_lossy().starts_with(&prefix));
        executables.iter().find(named)
    };
    let plain = || executables.iter().find(|file| file.file_name().is_some_and(|name| name == program));
    named(format!("{program}_base.")).or_else(|| named(format!("{program}_peak."))).or_else(plain).cloned()
}

/// The commands of the first run folder of this size that has some; `None` if no run was set up.
fn set_up(folder: &Path, size: &str) -> Option<Result<Vec<Command>, String>> {
    let entries = fs::read_dir(folder.join("run")).into_iter().flatten().flatten().map(|entry| entry.path());
    let of_size = |path: &PathBuf| {
        let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        ["base", "peak"].iter().any(|tune| name.starts_with(&format!("run_{tune}_{size}_")))
    };
    let mut folders: Vec<PathBuf> = entries.filter(of_size).collect();
    folders.sort();
    let text = folders.iter().find_map(|folder| fs::read_to_string(folder.join("speccmds.cmd")).ok())?;
    Some(text.lines().filter_map(command_of).collect())
}

/// One line of speccmds.cmd: `-i stdin -o stdout -e stderr ../run_base_test_LABEL.0000/mcf_r_base.LABEL inp.in`, with
/// redirections that say the same again behind it. Lines with other options first are settings.
fn command_of(line: &str) -> Option<Result<Command, String>> {
    let mut words = line.split_whitespace().peekable();
    let (mut stdin, mut stdout) = (None, None);
    while let Some(option) = words.next_if(|word| word.starts_with('-')) {
        let value = words.next().map(str::to_owned);
        match option {
            "-i" => stdin = value,
            "-o" => stdout = value,
            "-e" => {}
            _ => return None,
        }
    }
    let path = words.next()?;
    let name = path.rsplit('/').next().unwrap_or(path);
    let program = name.split_once("_base.").or_else(|| name.split_once("_peak.")).map_or(name, |(program, _)| program);
    let is_redirection = |word: &&str| [">", ">>", "<", "2>", "2>>", "0<&-"].contains(word);
    let arguments: Vec<&str> = words.take_while(|word| !is_redirection(word)).collect();
    // Quotes and the like are refused by the parser of commands.
    let command = format!("{program} {}", arguments.join(" ")).parse::<Command>();
    Some(command.map(|command| Command { stdin, stdout, ..command }))
}

/// `$reltol = 0.01;` and `$abstol = 1e-5;` of an object.pm; what is not a plain number is not read.
fn tolerance(object: &str) -> Tolerance {
    let of = |name: &str| {
        let line = object.lines().find_map(|line| line.trim().strip_prefix(name)?.trim().strip_prefix('='))?;
        line.split(';').next()?.trim().parse::<f64>().ok()
    };
    Tolerance { absolute: of("$abstol").unwrap_or(0.0), relative: of("$reltol").unwrap_or(0.0) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_usual_command_is_one_and_writes_somewhere() {
        let usual = usual();
        assert_eq!(usual.len(), 23);
        for benchmark in &usual {
            let commands = SIZES.iter().flat_map(|size| benchmark.commands(size));
            assert!(commands.clone().count() > 0, "{}", benchmark.name);
            assert!(!benchmark.commands("test").is_empty(), "{}", benchmark.name);
        }
    }

    #[test]
    fn a_run_that_was_set_up_says_its_commands() {
        let line = "-o inp.out -e inp.err ../run_base_test_my-m64.0000/mcf_r_base.my-m64 inp.in > inp.out 2>> inp.err";
        let command = command_of(line).expect("a command").expect("without quotes");
        assert_eq!(String::from(command), "mcf_r inp.in > inp.out");
        let line = "-i a.in -o a.out -e a.err ../run_base_test_x.0000/bwaves_r_base.x a < a.in > a.out 2>> a.err";
        assert_eq!(String::from(command_of(line).expect("one").expect("plain")), "bwaves_r a < a.in > a.out");
        assert!(command_of("-C /spec/benchspec/CPU/505.mcf_r/run/run_base_test_my-m64.0000").is_none());
        assert!(command_of("-o a -e b ../x/gcc_r_base.x 'a b'").expect("a command").is_err());
    }

    #[test]
    fn plain_tolerances_are_read_and_others_left() {
        let object = "$benchnum = '505';\n$abstol = 1e-5;\n$reltol   = 0.01;\n";
        assert_eq!(tolerance(object), Tolerance { absolute: 1e-5, relative: 0.01 });
        assert_eq!(tolerance("%reltol = ( 'a' => 1 );\n$abstol = { 'default' => 1 };\n"), Tolerance::EXACT);
    }
}
