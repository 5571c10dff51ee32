//! Which performance events the kernel lets this process open, and what a refusal means.
//!
//! Each event is opened for real on the process itself and closed at once: what sysfs or `perf list` promise is no
//! proof.

use std::io;
use std::path::Path;

use perf_event::Builder;
use perf_event::events::{Hardware, Software};

use super::{Check, State};

/// The name of the check of hardware events.
pub const HARDWARE: &str = "hardware events";

/// What became of opening each event of a kind.
type Attempts = Vec<(&'static str, io::Result<()>)>;

/// Tries hardware and software events, and reads what the kernel allows without privileges.
#[must_use]
pub fn checks(proc: &Path) -> Vec<Check> {
    let paranoid = paranoid_level(proc);
    vec![hardware(&open_hardware(), paranoid), software(&open_software()), allowance(paranoid)]
}

fn attempt(mut builder: Builder<'_>) -> io::Result<()> {
    builder.observe_self().any_cpu().build().map(drop)
}

fn open_hardware() -> Attempts {
    [
        ("cycles", Hardware::CPU_CYCLES),
        ("instructions", Hardware::INSTRUCTIONS),
        ("cache-references", Hardware::CACHE_REFERENCES),
        ("cache-misses", Hardware::CACHE_MISSES),
        ("branches", Hardware::BRANCH_INSTRUCTIONS),
        ("branch-misses", Hardware::BRANCH_MISSES),
        ("stalled-cycles-backend", Hardware::STALLED_CYCLES_BACKEND),
    ]
    .map(|(name, event)| (name, attempt(Builder::new(event))))
    .into()
}

fn open_software() -> Attempts {
    [
        ("task-clock", Software::TASK_CLOCK),
        ("page-faults", Software::PAGE_FAULTS),
        ("context-switches", Software::CONTEXT_SWITCHES),
        ("cpu-migrations", Software::CPU_MIGRATIONS),
    ]
    .map(|(name, event)| (name, attempt(Builder::new(event))))
    .into()
}

/// What an error of `perf_event_open` means, and what to do about it.
fn explain(error: &io::Error) -> (String, Option<&'static str>) {
    let (meaning, remedy) = match error.raw_os_error() {
        Some(libc::ENOENT) => ("ENOENT: there is no such event here; this machine shows no PMU", None),
        Some(libc::EACCES | libc::EPERM) => (
            "permission denied",
            Some("grant CAP_PERFMON to the process, or set /proc/sys/kernel/perf_event_paranoid to 1 or less"),
        ),
        Some(libc::ENOSYS) => ("ENOSYS: the kernel was built without performance events", None),
        Some(libc::EOPNOTSUPP) => ("EOPNOTSUPP: the PMU cannot do this", None),
        Some(libc::ENODEV) => ("ENODEV: the PMU is not usable on this CPU", None),
        Some(libc::EBUSY) => ("EBUSY: another process holds the PMU", Some("stop the other profiler")),
        Some(libc::EMFILE) => ("EMFILE: too many open files", Some("raise the limit: ulimit -n")),
        _ => return (error.to_string(), None),
    };
    (meaning.to_owned(), remedy)
}

/// Names of the events that open, and the reasons why others do not, each with the events it holds for.
fn sort_out(attempts: &Attempts) -> (Vec<&'static str>, Vec<String>, Option<&'static str>) {
    let opened = attempts.iter().filter(|(_, outcome)| outcome.is_ok()).map(|(name, _)| *name).collect();
    let mut reasons: Vec<(String, Vec<&str>)> = Vec::new();
    let mut remedy = None;
    for (name, error) in attempts.iter().filter_map(|(name, outcome)| Some((*name, outcome.as_ref().err()?))) {
        let (meaning, what_to_do) = explain(error);
        remedy = remedy.or(what_to_do);
        match reasons.iter_mut().find(|(known, _)| *known == meaning) {
            Some((_, names)) => names.push(name),
            None => reasons.push((meaning, vec![name])),
        }
    }
    let reasons = reasons.into_iter().map(|(meaning, names)| format!("{}: {meaning}", names.join(", "))).collect();
    (opened, reasons, remedy)
}

fn describe(name: &str, attempts: &Attempts, meaning: impl Into<String>) -> Check {
    let (opened, reasons, remedy) = sort_out(attempts);
    let state = match (opened.is_empty(), reasons.is_empty()) {
        (_, true) => State::Ok,
        (false, false) => State::Limited,
        (true, false) => State::Missing,
    };
    let mut found = Vec::new();
    if !opened.is_empty() {
        found.push(format!("open: {}", opened.join(", ")));
    }
    found.extend(reasons);
    let check = Check::new(name, state, found.join("; "), meaning);
    match remedy {
        Some(remedy) => check.remedy(remedy),
        None => check,
    }
}

fn hardware(attempts: &Attempts, paranoid: Option<i64>) -> Check {
    let check = describe(
        HARDWARE,
        attempts,
        "a live host counts cycles, instructions and cache events of vCPUs with these; the emulated host needs none",
    );
    match paranoid {
        Some(level) if level > 1 && check.state != State::Missing => Check { state: State::Limited, ..check },
        _ => check,
    }
}

fn software(attempts: &Attempts) -> Check {
    describe("software events", attempts, "the kernel's own counters; they say when a vCPU ran, not what it did")
}

fn paranoid_level(proc: &Path) -> Option<i64> {
    std::fs::read_to_string(proc.join("sys/kernel/perf_event_paranoid")).ok()?.trim().parse().ok()
}

fn allowance(level: Option<i64>) -> Check {
    const NAME: &str = "perf_event_paranoid";
    match level {
        None => Check::new(NAME, State::Missing, "not readable", "the kernel offers no performance events"),
        Some(level) if level <= 1 => Check::new(NAME, State::Ok, level.to_string(), "other threads may be counted"),
        Some(level) => Check::new(
            NAME,
            State::Limited,
            level.to_string(),
            "without privileges only a process's own user-mode events may be counted; root and CAP_PERFMON may more",
        )
        .remedy("sysctl kernel.perf_event_paranoid=1, or CAP_PERFMON for the process"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(errno: i32) -> io::Result<()> {
        Err(io::Error::from_raw_os_error(errno))
    }

    #[test]
    fn one_reason_is_told_once_for_all_its_events() {
        let attempts = vec![("cycles", refused(libc::ENOENT)), ("instructions", refused(libc::ENOENT))];
        let check = hardware(&attempts, Some(0));
        assert_eq!(check.state, State::Missing);
        assert!(check.found.starts_with("cycles, instructions: ENOENT"), "{}", check.found);
        assert_eq!(check.remedy, None, "nothing makes a PMU appear");
    }

    #[test]
    fn a_refusal_for_lack_of_rights_says_which_rights() {
        let attempts = vec![("cycles", Ok(())), ("cache-misses", refused(libc::EACCES))];
        let check = hardware(&attempts, Some(4));
        assert_eq!(check.state, State::Limited);
        assert!(check.found.starts_with("open: cycles; cache-misses: permission denied"), "{}", check.found);
        assert!(check.remedy.is_some_and(|remedy| remedy.contains("CAP_PERFMON")));
    }

    #[test]
    fn the_level_that_forbids_counting_others_is_a_limit() {
        assert_eq!(
            [Some(-1), Some(1), Some(2), None].map(|level| allowance(level).state),
            [State::Ok, State::Ok, State::Limited, State::Missing]
        );
    }
}
