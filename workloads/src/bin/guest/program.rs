//! The program of this guest: warmed up once, then run again and again from the same state.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Command, ExitStatus, Stdio};

use workloads::hash::Fnv1a;
use workloads::suite;

use crate::{Failure, system};

/// The program's folder, emptied before each run; where its output goes stands outside.
const RUN_FOLDER: &str = "/tmp/run";
const OUTPUT: &str = "/tmp/output";
const MESSAGES: &str = "/tmp/messages";

/// How much of the program's standard error is reported when it fails.
const LAST_WORDS_BYTES: u64 = 4096;

/// The loader, which lists the libraries of a program.
const LOADER: &str = "/lib64/ld-linux-x86-64.so.2";

/// Programs see this environment and no other. Without variables of their own, perl and Python order hashes anew in each
/// run.
const ENVIRONMENT: [(&str, &str); 7] = [
    ("PATH", "/usr/bin:/bin"),
    ("HOME", RUN_FOLDER),
    ("LC_ALL", "C"),
    ("TZ", "UTC"),
    ("PERL_HASH_SEED", "0"),
    ("PERL_PERTURB_KEYS", "0"),
    ("PYTHONHASHSEED", "0"),
];

/// What to run.
pub(crate) struct Program {
    argv: Vec<String>,
}

/// How a run ended.
pub(crate) struct Outcome {
    /// The exit status; 128 + n after signal n.
    pub(crate) status: i32,
    /// FNV-1a of the standard output.
    pub(crate) checksum: u64,
    /// The end of the standard error, if the status is not 0.
    pub(crate) last_words: String,
}

impl Program {
    /// The program at `argv[0]`, which has to exist.
    pub(crate) fn new(argv: Vec<String>) -> Result<Self, Failure> {
        let program = Self { argv };
        let exists = Path::new(program.name()).is_file();
        exists.then_some(()).ok_or_else(|| {
            Failure::new(format!("find the program {}", program.name()), "the image has no such file; rebuild it")
        })?;
        Ok(program)
    }

    /// Its path.
    pub(crate) fn name(&self) -> &str {
        self.argv.first().map_or("", String::as_str)
    }

    /// Reads the program, every file among its arguments, and the libraries of those that are programs, so that a run
    /// waits for no disk.
    pub(crate) fn warm_up(&self) -> Result<(), Failure> {
        let named = self.argv.iter().filter(|argument| Path::new(argument).is_file());
        let mut files: BTreeSet<String> =
            named.flat_map(|path| std::iter::once(path.clone()).chain(libraries(path))).collect();
        files.extend(self.suite_files());
        for path in files {
            read_whole(&path).map_err(|error| Failure::new(format!("read {path}"), error))?;
        }
        Ok(())
    }

    /// Everything of the benchmark on a suite's disk that a run reads.
    fn suite_files(&self) -> Vec<String> {
        let [runner, benchmark, input] = self.argv.as_slice() else { return Vec::new() };
        let mount = Path::new(suite::MOUNT);
        if Path::new(runner) != mount.join(suite::RUNNER) {
            return Vec::new();
        }
        let benchmark = mount.join(benchmark);
        let mut folders = vec![mount.join(suite::LIBRARIES), benchmark.join("exe"), benchmark.join(input)];
        let mut files = Vec::new();
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
                let path = entry.path();
                if path.is_dir() { folders.push(path) } else { files.push(path.display().to_string()) }
            }
        }
        files.sort();
        files
    }

    /// Runs it once.
    pub(crate) fn run(&self) -> Result<Outcome, Failure> {
        empty_run_folder().map_err(|error| Failure::new(format!("empty {RUN_FOLDER}"), error))?;
        let mut output = create(OUTPUT)?;
        let mut messages = create(MESSAGES)?;
        let share = |file: &File| file.try_clone().map_err(|error| Failure::new("share an output file", error));
        let status = Command::new(self.name())
            .args(&self.argv[1..])
            .env_clear()
            .envs(ENVIRONMENT)
            .current_dir(RUN_FOLDER)
            .stdin(Stdio::null())
            .stdout(share(&output)?)
            .stderr(share(&messages)?)
            .status()
            .map_err(|error| Failure::new(format!("start {}", self.name()), error))?;
        system::reap();
        let checksum = hash_of(&mut output).map_err(|error| Failure::new("read the program's output", error))?;
        let status = status_number(status);
        let last_words = if status == 0 { String::new() } else { tail_of(&mut messages) };
        // The pages of the output go back to the kernel before the next run asks for them.
        output.set_len(0).map_err(|error| Failure::new("truncate the program's output", error))?;
        Ok(Outcome { status, checksum, last_words })
    }
}

/// A program's libraries as the loader finds them; none for a static program and for other files, which the loader
/// refuses to list.
fn libraries(program: &str) -> Vec<String> {
    let listing = Command::new(LOADER).args(["--list", program]).env_clear().stderr(Stdio::null()).output();
    let Ok(listing) = listing else { return Vec::new() };
    let listing = String::from_utf8_lossy(&listing.stdout).into_owned();
    listing
        .split_whitespace()
        .filter(|word| word.starts_with('/') && Path::new(word).is_file())
        .map(str::to_owned)
        .collect()
}

fn create(path: &str) -> Result<File, Failure> {
    let file = File::options().read(true).write(true).create(true).truncate(true).open(path);
    file.map_err(|error| Failure::new(format!("create {path}"), error))
}

fn empty_run_folder() -> std::io::Result<()> {
    if Path::new(RUN_FOLDER).exists() {
        std::fs::remove_dir_all(RUN_FOLDER)?;
    }
    std::fs::create_dir(RUN_FOLDER)
}

fn status_number(status: ExitStatus) -> i32 {
    match (status.code(), status.signal()) {
        (Some(code), _) => code,
        (None, Some(signal)) => 128 + signal,
        (None, None) => 255,
    }
}

fn read_whole(path: &str) -> std::io::Result<()> {
    let mut file = File::open(path)?;
    let mut buffer = vec![0; 64 * 1024];
    while file.read(&mut buffer)? > 0 {}
    Ok(())
}

fn hash_of(file: &mut File) -> std::io::Result<u64> {
    file.seek(SeekFrom::Start(0))?;
    let mut hash = Fnv1a::default();
    let mut buffer = vec![0; 64 * 1024];
    loop {
        let count = file.read(&mut buffer)?;
        if count == 0 {
            return Ok(hash.digest());
        }
        hash.update(&buffer[..count]);
    }
}

/// The end of what the program said on standard error; says so if even that cannot be read.
fn tail_of(file: &mut File) -> String {
    let mut read = || -> std::io::Result<Vec<u8>> {
        let length = file.seek(SeekFrom::End(0))?;
        file.seek(SeekFrom::Start(length.saturating_sub(LAST_WORDS_BYTES)))?;
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes)?;
        Ok(bytes)
    };
    match read() {
        Ok(bytes) if bytes.is_empty() => "it said nothing on standard error".to_owned(),
        Ok(bytes) => String::from_utf8_lossy(&bytes).trim_end().to_owned(),
        Err(error) => format!("its standard error cannot be read: {error}"),
    }
}
