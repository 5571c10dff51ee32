//! `suite`: runs a benchmark of a suite that a user supplied, in the guest, from the suite's disk. It stands there as
//! `/suite/run`, static, since the disk brings no shell.
//!
//! The input's files are linked into the working folder, which is empty and can be written; the commands run one after
//! the other; then every output for which the suite has an answer is compared with it. A difference is a failure.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command as Process, ExitCode, Stdio};

use workloads::hash::fnv1a;
use workloads::suite::{Command, EXPECTED, INPUT, LIBRARIES, LOADER, MOUNT, PLAN, Plan, first_difference, verdict};

const USAGE: &str = "usage: suite BENCHMARK INPUT [ROOT]; runs in the working folder, which has to be empty";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let (benchmark, input, root) = match arguments.as_slice() {
        [benchmark, input] => (benchmark, input, MOUNT),
        [benchmark, input, root] => (benchmark, input, root.as_str()),
        _ => {
            eprintln!("{USAGE}");
            return ExitCode::from(2);
        }
    };
    match run(Path::new(root), benchmark, input) {
        Ok(answer) => {
            print!("{answer}");
            ExitCode::SUCCESS
        }
        Err(problem) => {
            eprintln!("failed to run {benchmark} on {input}: {problem}");
            ExitCode::FAILURE
        }
    }
}

fn run(root: &Path, benchmark: &str, input: &str) -> Result<String, String> {
    let folder = root.join(benchmark).join(input);
    let text = fs::read_to_string(folder.join(PLAN)).map_err(|error| format!("read its plan: {error}"))?;
    let plan: Plan = toml::from_str(&text).map_err(|error| format!("read its plan: {error}"))?;
    link_all(&folder.join(INPUT), Path::new(".")).map_err(|error| format!("lay out its input: {error}"))?;
    for command in &plan.commands {
        execute(root, benchmark, command, plan.dynamic)?;
    }
    let compared = compare(&folder.join(EXPECTED), &plan)?;
    if compared > 0 {
        return Ok(verdict(benchmark, input));
    }
    // Nothing to compare with: what was written is told, so that two runs can be compared.
    plan.commands.iter().filter_map(|command| command.stdout.as_ref()).map(|file| told(file)).collect()
}

/// Makes `to` look like `from`: folders are made, files linked to.
fn link_all(from: &Path, to: &Path) -> io::Result<()> {
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        if entry.path().is_dir() {
            fs::create_dir(&target)?;
            link_all(&entry.path(), &target)?;
        } else {
            std::os::unix::fs::symlink(fs::canonicalize(entry.path())?, &target)?;
        }
    }
    Ok(())
}

fn execute(root: &Path, benchmark: &str, command: &Command, dynamic: bool) -> Result<(), String> {
    let program = root.join(benchmark).join("exe").join(&command.program);
    let mut process = if dynamic {
        let libraries = root.join(LIBRARIES);
        let mut process = Process::new(libraries.join(LOADER));
        process.arg("--library-path").arg(libraries).arg(&program);
        process
    } else {
        Process::new(&program)
    };
    let failed = |what: &str, error: io::Error| format!("{what}: {error}");
    let stdin = match &command.stdin {
        Some(file) => Stdio::from(File::open(file).map_err(|error| failed(file, error))?),
        None => Stdio::null(),
    };
    let stdout = match &command.stdout {
        Some(file) => Stdio::from(File::create(file).map_err(|error| failed(file, error))?),
        None => Stdio::null(),
    };
    let status = process.args(&command.arguments).stdin(stdin).stdout(stdout).status();
    let status = status.map_err(|error| failed(&program.display().to_string(), error))?;
    if status.success() { Ok(()) } else { Err(format!("{} ended with {status}", String::from(command.clone()))) }
}

/// Compares every output that there is an answer for; answers how many there were.
fn compare(expected: &Path, plan: &Plan) -> Result<usize, String> {
    let mut compared = 0;
    for answer in files_below(expected).map_err(|error| format!("list the expected output: {error}"))? {
        let name = answer.strip_prefix(expected).map_err(|error| error.to_string())?;
        // Some answers are those of programs that only check the output; these are not run here.
        if !name.is_file() {
            continue;
        }
        let read = |path: &Path| fs::read(path).map_err(|error| format!("read {}: {error}", path.display()));
        if let Some(line) = first_difference(&read(name)?, &read(&answer)?, plan.tolerance) {
            return Err(format!("line {line} of {} is not what the suite expects", name.display()));
        }
        compared += 1;
    }
    Ok(compared)
}

fn files_below(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    if folder.is_dir() {
        for entry in fs::read_dir(folder)? {
            let path = entry?.path();
            if path.is_dir() { files.extend(files_below(&path)?) } else { files.push(path) }
        }
    }
    files.sort();
    Ok(files)
}

fn told(file: &str) -> Result<String, String> {
    let bytes = fs::read(file).map_err(|error| format!("read {file}: {error}"))?;
    Ok(format!("{file} {:016x}\n", fnv1a(&bytes)))
}
