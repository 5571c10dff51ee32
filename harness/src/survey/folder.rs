//! A survey's folder: findings are kept in it one by one, a survey that was stopped goes on in it, and it bears its final
//! name when it is complete.
//!
//! While a survey runs its folder is called `<date>-<host>-survey-<what>-partial`. `plan.json` in it says what is run, down to
//! the program's revision and the guest image; a later survey goes on in a partial folder only if its own plan is the same,
//! and if nobody else is at work there. Each finding is written under a temporary name and renamed, so one that is there is
//! whole.
//!
//! A shard has a folder of its own, whose name and `shard.json` say which it is, and stops when its share is done; [`super::merge`]
//! puts shards together.

use std::fs::{File, Permissions};
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::time::{Instant, SystemTime};

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use tempfile::Builder;

use super::{Collected, FINDINGS, Kept, SurveyError, VERSION, report_again};
use crate::experiment::Surroundings;
use crate::interrupt::Interrupted;
use crate::provenance::{ThisMachine, date_of, revision, time_of};
use crate::results::{self, FileError};
use crate::testbed::TestBed;
use crate::workers::{Shard, side_by_side};

/// The file of a shard's folder that says which it is.
const SHARD: &str = "shard.json";

/// After so many failed runs no further one begins: it is not the runs that are at fault.
const MOST_FAILURES: usize = 5;

/// Everything that a survey's findings depend on.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Plan {
    /// The survey's name.
    pub survey: String,
    /// The kind of host.
    pub host: String,
    /// The machine as TOML; of a survey of several, the one that the others are variants of.
    pub machine: String,
    /// The control period in cycles.
    pub quantum_cycles: u64,
    /// Length of each run in quanta.
    pub quanta: u64,
    /// The seed of everything random.
    pub seed: u64,
    /// A name for each run, unique, made of letters, digits, `-`, `_`, `.` and `+`.
    pub runs: Vec<String>,
    /// What guests boot, where they boot anything.
    pub image_digest: Option<String>,
    /// The commit that the program's source is at.
    pub revision: Option<String>,
    /// The program's version.
    pub version: String,
}

impl Plan {
    /// A plan whose `image_digest`, `host`, `revision` and `version` are what they are here and now.
    #[must_use]
    pub fn here(survey: &str, bed: &TestBed, machine: &str, cycles: (u64, u64), seed: u64, runs: Vec<String>) -> Self {
        let (quantum_cycles, quanta) = cycles;
        Self {
            survey: survey.to_owned(),
            host: bed.kind().name().to_owned(),
            machine: machine.to_owned(),
            quantum_cycles,
            quanta,
            seed,
            runs,
            image_digest: bed.image().map(|image| image.digest.clone()),
            revision: revision(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
        }
    }
}

/// One time that somebody worked on a survey.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Sitting {
    began: String,
    command: Vec<String>,
}

/// A survey's folder in the making.
#[derive(Debug)]
pub struct SurveyFolder {
    plan: Plan,
    partial: PathBuf,
    sittings: Vec<Sitting>,
    began: Instant,
    /// Held while the survey runs; the kernel lets it go with the process.
    _lock: File,
}

impl SurveyFolder {
    /// The folder in `results` in which a survey of the same plan was stopped, else a new one.
    pub fn open(plan: Plan, around: &Surroundings<'_>) -> Result<Self, SurveyError> {
        let results = around.results;
        std::fs::create_dir_all(results).map_err(FileError::io("create", results))?;
        let (partial, lock) = match find(results, &plan, around.shard)? {
            Some(found) => found,
            None => create(results, &plan, around.shard)?,
        };
        let mut sittings: Vec<Sitting> = read_if_there(&partial.join("sittings.json"))?.unwrap_or_default();
        sittings.push(Sitting { began: time_of(SystemTime::now()), command: around.command.to_vec() });
        write_whole(&partial, "sittings.json", &sittings)?;
        let folder = Self { plan, partial, sittings, began: Instant::now(), _lock: lock };
        let (done, all) =
            (folder.plan.runs.iter().filter(|run| folder.finding(run).exists()).count(), folder.plan.runs.len());
        let going_on = if done > 0 { format!(", {done} of them done before") } else { String::new() };
        around.progress.note(&format!("{all} runs{going_on}; writing to {}", folder.partial.display()));
        Ok(folder)
    }

    /// Where everything is written.
    #[must_use]
    pub fn partial(&self) -> &Path {
        &self.partial
    }

    /// Where the trace of the run called `run` goes.
    #[must_use]
    pub fn trace(&self, run: &str) -> PathBuf {
        self.partial.join("raw").join(format!("{run}.parquet"))
    }

    /// Where console logs of guests that failed go.
    #[must_use]
    pub fn consoles(&self) -> PathBuf {
        self.partial.join("consoles")
    }

    fn finding(&self, run: &str) -> PathBuf {
        self.partial.join("found").join(format!("{run}.json"))
    }

    /// The findings of these runs of the plan, in their order: kept ones as they are, the others by `measure`, so many at a
    /// time. `measure` gets a run's place in `runs` and a label for people. A run that fails does not stop the others.
    pub fn findings<Finding: Serialize + DeserializeOwned + Send>(
        &self,
        runs: &[String],
        workers: usize,
        around: &Surroundings<'_>,
        measure: &(dyn Fn(usize, &str) -> Result<Finding, SurveyError> + Sync),
    ) -> Result<Vec<Finding>, SurveyError> {
        let failures: Mutex<Vec<(usize, SurveyError)>> = Mutex::new(Vec::new());
        let one = |place: usize| -> Result<Option<Finding>, SurveyError> {
            let run = &runs[place];
            if let Some(kept) = read_if_there(&self.finding(run))? {
                return Ok(Some(kept));
            }
            if around.shard.is_some_and(|shard| !shard.has(place)) {
                return Ok(None);
            }
            around.interrupt.check().map_err(|source| self.interrupted(source))?;
            let label = format!("{}/{} {run}", place + 1, runs.len());
            match measure(place, &label) {
                Ok(finding) => {
                    write_whole(&self.partial.join("found"), &format!("{run}.json"), &finding)?;
                    Ok(Some(finding))
                }
                Err(error) if error.is_interruption() => Err(self.interrupted(Interrupted)),
                Err(error) => {
                    around.progress.note(&format!("{label}: {}", whole(&error)));
                    let mut failures = failures.lock().expect("no holder panics");
                    failures.push((place, error));
                    if failures.len() >= MOST_FAILURES {
                        Err(self.failed(runs, std::mem::take(&mut *failures)))
                    } else {
                        Ok(None)
                    }
                }
            }
        };
        let found = side_by_side(runs.len(), workers, &one)?;
        let failures = failures.into_inner().expect("no holder panics");
        if !failures.is_empty() {
            return Err(self.failed(runs, failures));
        }
        let found: Vec<Finding> = found.into_iter().flatten().collect();
        match around.shard {
            Some(shard) if found.len() < runs.len() => {
                Err(SurveyError::Part { folder: self.partial.clone(), shard, done: found.len(), of: runs.len() })
            }
            _ => Ok(found),
        }
    }

    fn interrupted(&self, source: Interrupted) -> SurveyError {
        SurveyError::Interrupted { folder: self.partial.clone(), source }
    }

    fn failed(&self, runs: &[String], mut failures: Vec<(usize, SurveyError)>) -> SurveyError {
        failures.sort_by_key(|(place, _)| *place);
        let failed = failures.iter().map(|(place, _)| runs[*place].clone()).collect();
        let (_, first) = failures.swap_remove(0);
        SurveyError::Failed { failed, of: runs.len(), folder: self.partial.clone(), source: Box::new(first) }
    }

    /// Writes findings, everything made from them, and the manifest; then gives the folder its name: all of it is there.
    pub fn complete<Body: Collected>(self, collected: &Body, bed: &TestBed) -> Result<PathBuf, SurveyError> {
        let kept = Kept { survey: Body::SURVEY.to_owned(), version: VERSION, findings: collected };
        write_whole(&self.partial, FINDINGS, &kept)?;
        report_again(&self.partial)?;
        let machine = self.partial.join("machine.toml");
        std::fs::write(&machine, &self.plan.machine).map_err(FileError::io("write", &machine))?;
        write_whole(&self.partial, "manifest.json", &Manifest::of(&self, bed))?;
        // There only where a shard found everything done.
        let _ = std::fs::remove_file(self.partial.join(SHARD));
        for leftover in ["sittings.json", "plan.json", "lock"].map(|name| self.partial.join(name)) {
            std::fs::remove_file(&leftover).map_err(FileError::io("remove", &leftover))?;
        }
        let found = self.partial.join("found");
        std::fs::remove_dir_all(&found).map_err(FileError::io("remove", &found))?;
        // Empty where the survey keeps no traces; then it says nothing.
        let _ = std::fs::remove_dir(self.partial.join("raw"));
        Ok(results::complete(&self.partial)?)
    }
}

/// A partial folder of the same plan at which nobody is at work, with its lock.
pub(super) fn find(
    results_folder: &Path,
    plan: &Plan,
    shard: Option<Shard>,
) -> Result<Option<(PathBuf, File)>, SurveyError> {
    let entries = std::fs::read_dir(results_folder).map_err(FileError::io("read", results_folder))?;
    let mut folders: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
    folders.retain(|folder| results::is_partial(folder));
    folders.sort();
    for folder in folders {
        // Another survey's or an experiment's folder, or one that was just begun, is none to go on in.
        let theirs: Option<Plan> = read_if_there(&folder.join("plan.json")).ok().flatten();
        let of_shard: Option<Shard> = read_if_there(&folder.join(SHARD)).ok().flatten();
        if theirs.as_ref() == Some(plan)
            && of_shard == shard
            && let Some(lock) = lock(&folder)?
        {
            return Ok(Some((folder, lock)));
        }
    }
    Ok(None)
}

pub(super) fn create(results_folder: &Path, plan: &Plan, shard: Option<Shard>) -> Result<(PathBuf, File), SurveyError> {
    let mut name = format!("{}-{}-survey-{}", date_of(SystemTime::now()), plan.host, plan.survey);
    if let Some(shard) = shard {
        name += &format!("-shard-{}", shard.to_string().replace('/', "-of-"));
    }
    let partial = results::begin(results_folder, &name, &["raw", "found"])?;
    let lock = lock(&partial)?.expect("nobody else knows of it yet");
    if let Some(shard) = shard {
        write_whole(&partial, SHARD, &shard)?;
    }
    write_whole(&partial, "plan.json", plan)?;
    Ok((partial, lock))
}

/// The folder's lock, unless somebody has it.
pub(super) fn lock(folder: &Path) -> Result<Option<File>, SurveyError> {
    let file = folder.join("lock");
    let lock = File::create(&file).map_err(FileError::io("create", &file))?;
    match lock.try_lock() {
        Ok(()) => Ok(Some(lock)),
        Err(std::fs::TryLockError::WouldBlock) => Ok(None),
        Err(std::fs::TryLockError::Error(error)) => Err(FileError::io("lock", &file)(error).into()),
    }
}

pub(super) fn read_if_there<Value: DeserializeOwned>(file: &Path) -> Result<Option<Value>, SurveyError> {
    let text = match std::fs::read_to_string(file) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(FileError::io("read", file)(error).into()),
    };
    let found = serde_json::from_str(&text).map_err(|error| FileError::unreadable(file)(error.to_string()))?;
    Ok(Some(found))
}

/// Writes a file that is whole whenever it is there.
pub(super) fn write_whole(folder: &Path, name: &str, value: &impl Serialize) -> Result<(), SurveyError> {
    let file = folder.join(name);
    let io = FileError::io("write", &file);
    let write = || -> std::io::Result<()> {
        let text = serde_json::to_string(value)? + "\n";
        let readable = Permissions::from_mode(0o644);
        let mut temporary = Builder::new().prefix(".").permissions(readable).tempfile_in(folder)?;
        temporary.write_all(text.as_bytes())?;
        temporary.persist(&file)?;
        Ok(())
    };
    Ok(write().map_err(io)?)
}

/// An error with all its causes on one line.
fn whole(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(error.source(), |cause| cause.source());
    std::iter::once(error.to_string()).chain(causes.map(ToString::to_string)).collect::<Vec<_>>().join(": ")
}

/// Enough to run the survey again, and to know on what it ran.
#[derive(Debug, Serialize)]
struct Manifest<'a> {
    plan: &'a Plan,
    /// Each time that somebody worked on it, the last one last.
    sittings: &'a [Sitting],
    seconds_of_last_sitting: u64,
    this_machine: ThisMachine,
    qemu: Option<String>,
    guest_kernel: Option<&'a str>,
}

impl<'a> Manifest<'a> {
    fn of(folder: &'a SurveyFolder, bed: &'a TestBed) -> Self {
        let image = bed.image();
        Self {
            plan: &folder.plan,
            sittings: &folder.sittings,
            seconds_of_last_sitting: folder.began.elapsed().as_secs(),
            this_machine: ThisMachine::look(),
            qemu: bed.qemu().map(|program| format!("QEMU emulator version {}", program.version())),
            guest_kernel: image.map(|image| image.manifest.kernel_release.as_str()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_at_which_somebody_is_at_work_is_not_gone_on_in() {
        let results = tempfile::tempdir().expect("a temporary folder");
        let plan = Plan {
            survey: "solo".to_owned(),
            host: "simulated".to_owned(),
            machine: String::new(),
            quantum_cycles: 1,
            quanta: 1,
            seed: 1,
            runs: Vec::new(),
            image_digest: None,
            revision: None,
            version: "0".to_owned(),
        };
        let (first, lock) = create(results.path(), &plan, None).expect("created");
        assert!(find(results.path(), &plan, None).expect("readable").is_none());
        drop(lock);
        let other = Plan { quanta: 2, ..plan.clone() };
        assert!(find(results.path(), &other, None).expect("readable").is_none());
        let (found, _lock) = find(results.path(), &plan, None).expect("readable").expect("it is free now");
        assert_eq!(found, first);
    }
}
