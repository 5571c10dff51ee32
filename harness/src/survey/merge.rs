//! Putting the shards of a survey together: several processes, maybe on several machines, each did its share of one plan.
//!
//! What comes of it is a partial folder as one process would have left it that was stopped after its last run; the survey's command
//! without `--shard` goes on in it, finds nothing missing, and makes the results. Findings do not say who found them, so the
//! results are the same bytes as without shards; the manifest lists all sittings. Shards of different plans are refused,
//! naming what differs: a table of two sources would be nobody's.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;

use super::SurveyError;
use super::folder::{Plan, Sitting, create, find, lock, read_if_there, write_whole};
use crate::results::FileError;

/// Folders of a survey in which a run may leave files: its finding, its trace, consoles of guests that failed.
const KEPT: [&str; 3] = ["found", "raw", "consoles"];

/// What was put together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Merged {
    /// The partial folder in which the survey goes on.
    pub folder: PathBuf,
    /// Findings in it.
    pub done: usize,
    /// Runs of the plan whose findings are missing.
    pub missing: Vec<String>,
}

/// Copies what is in `shards`, partial folders of surveys of one plan, into the partial folder of that plan beside the first of
/// them; begins it if it is not there.
pub fn merge(shards: &[PathBuf]) -> Result<Merged, SurveyError> {
    let refuse = |folder: &Path, problem: String| SurveyError::Merge { folder: folder.to_owned(), problem };
    let mut plans = Vec::new();
    let mut locks = Vec::new();
    for folder in shards {
        let no_plan = || refuse(folder, "it has no plan.json; give partial folders of a survey".to_owned());
        let plan: Plan = read_if_there(&folder.join("plan.json"))?.ok_or_else(no_plan)?;
        locks.push(lock(folder)?.ok_or_else(|| refuse(folder, "somebody is at work in it; wait".to_owned()))?);
        plans.push(plan);
    }
    let (Some(plan), Some(first)) = (plans.first(), shards.first()) else {
        return Err(refuse(Path::new(""), "there is no folder; give those of all shards".to_owned()));
    };
    for (folder, other) in shards.iter().zip(&plans) {
        if let Some(difference) = difference(plan, other) {
            let problem = format!("it is of another plan than {}: {difference}", first.display());
            return Err(refuse(folder, problem));
        }
    }
    let results = first.parent().filter(|parent| *parent != Path::new("")).unwrap_or(Path::new("."));
    let (target, _lock) = match find(results, plan, None)? {
        Some(found) => found,
        None => create(results, plan, None)?,
    };
    let mut sittings: Vec<Sitting> = read_if_there(&target.join("sittings.json"))?.unwrap_or_default();
    for folder in shards.iter().filter(|folder| !same(folder, &target)) {
        sittings.extend(read_if_there::<Vec<Sitting>>(&folder.join("sittings.json"))?.unwrap_or_default());
        KEPT.iter().try_for_each(|kept| copy(&folder.join(kept), &target.join(kept), folder))?;
    }
    write_whole(&target, "sittings.json", &sittings)?;
    let is_missing = |run: &&String| !target.join("found").join(format!("{run}.json")).exists();
    let missing: Vec<String> = plan.runs.iter().filter(is_missing).cloned().collect();
    Ok(Merged { folder: target, done: plan.runs.len() - missing.len(), missing })
}

fn same(one: &Path, other: &Path) -> bool {
    matches!((one.canonicalize(), other.canonicalize()), (Ok(one), Ok(other)) if one == other)
}

/// Copies every file that is not there; one that is there and differs is refused.
fn copy(from: &Path, to: &Path, shard: &Path) -> Result<(), SurveyError> {
    let Ok(entries) = fs::read_dir(from) else { return Ok(()) };
    fs::create_dir_all(to).map_err(FileError::io("create", to))?;
    for entry in entries.flatten().filter(|entry| entry.path().is_file()) {
        let (source, target) = (entry.path(), to.join(entry.file_name()));
        let read = |file: &Path| fs::read(file).map_err(FileError::io("read", file));
        if target.exists() {
            if read(&source)? != read(&target)? {
                let name = entry.file_name().to_string_lossy().into_owned();
                let problem =
                    format!("another shard has a different {name}; runs of one plan do not differ: remove one");
                return Err(SurveyError::Merge { folder: shard.to_owned(), problem });
            }
            continue;
        }
        // Written elsewhere and renamed: what is in a survey's folder is whole.
        let half = to.join(format!(".{}", entry.file_name().to_string_lossy()));
        fs::copy(&source, &half).map_err(FileError::io("copy", &source))?;
        fs::rename(&half, &target).map_err(FileError::io("rename", &half))?;
    }
    Ok(())
}

/// The first key in which two plans differ, with what stands there.
fn difference(one: &Plan, other: &Plan) -> Option<String> {
    let fields = |plan: &Plan| match serde_json::to_value(plan) {
        Ok(Value::Object(fields)) => fields,
        _ => serde_json::Map::new(),
    };
    let (one, other) = (fields(one), fields(other));
    let short = |value: &Value| match value {
        Value::Array(list) => format!("a list of {}", list.len()),
        Value::String(text) if text.lines().count() > 1 => format!("{:?}...", text.lines().next().unwrap_or_default()),
        other => other.to_string(),
    };
    let differs = |(key, value): &(&String, &Value)| other.get(*key) != Some(value);
    let (key, value) = one.iter().find(differs)?;
    Some(format!("{key} is {} there and {} here", short(value), other.get(key).map_or("absent".to_owned(), short)))
}
