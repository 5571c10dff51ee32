//! Where results come from: the source's revision, the machine that everything ran on, dates. What is done with them is
//! the business of whoever writes results.

use std::process::Command;
use std::time::{SystemTime, UNIX_EPOCH};

use serde::Serialize;

/// What a result may depend on, in the machine that emulated or measured.
#[derive(Debug, Serialize)]
pub struct ThisMachine {
    /// The processor's own name.
    pub processor: Option<String>,
    /// CPUs that this process may use.
    pub cpus: usize,
    /// Its memory.
    pub memory_mib: Option<u64>,
    /// The kernel's release.
    pub kernel: Option<String>,
}

impl ThisMachine {
    /// What this machine is; absent where the kernel does not say.
    #[must_use]
    pub fn look() -> Self {
        let read = |path: &str| std::fs::read_to_string(path).ok();
        let value = |text: String, key: &str| {
            let line = text.lines().find(|line| line.starts_with(key))?;
            Some(line.split_once(':')?.1.trim().to_owned())
        };
        let memory = read("/proc/meminfo").and_then(|text| value(text, "MemTotal"));
        Self {
            processor: read("/proc/cpuinfo").and_then(|text| value(text, "model name")),
            cpus: std::thread::available_parallelism().map_or(1, usize::from),
            memory_mib: memory
                .and_then(|text| text.trim_end_matches("kB").trim().parse::<u64>().ok())
                .map(|kib| kib / 1024),
            kernel: read("/proc/sys/kernel/osrelease").map(|release| release.trim().to_owned()),
        }
    }
}

/// The commit that the program's source is at, where it runs inside a checkout; `+changes` if files differ.
#[must_use]
pub fn revision() -> Option<String> {
    let git = |arguments: &[&str]| {
        let output = Command::new("git").args(arguments).output().ok().filter(|output| output.status.success())?;
        Some(String::from_utf8_lossy(&output.stdout).trim().to_owned())
    };
    let commit = git(&["rev-parse", "HEAD"])?;
    let changed = git(&["status", "--porcelain", "--untracked-files=no"]).is_some_and(|list| !list.is_empty());
    Some(if changed { format!("{commit}+changes") } else { commit })
}

/// The day of `moment` in UTC, as `2026-01-31`.
#[must_use]
pub fn date_of(moment: SystemTime) -> String {
    let seconds = moment.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    let (year, month, day) = civil(seconds / 86_400);
    format!("{year:04}-{month:02}-{day:02}")
}

/// The time of `moment` in UTC, as `2026-01-31T23:59:59Z`.
#[must_use]
pub fn time_of(moment: SystemTime) -> String {
    let seconds = moment.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    let (hour, minute, second) = (seconds / 3600 % 24, seconds / 60 % 60, seconds % 60);
    format!("{}T{hour:02}:{minute:02}:{second:02}Z", date_of(moment))
}

/// The time of so many milliseconds after 1970 in UTC, as `2026-01-31T23:59:59.250Z`.
#[must_use]
pub fn time_of_millis(millis: u64) -> String {
    let time = time_of(UNIX_EPOCH + std::time::Duration::from_millis(millis));
    format!("{}.{:03}Z", time.trim_end_matches('Z'), millis % 1000)
}

/// Year, month and day of the day that is `days` after 1970-01-01: whole years first, then whole months.
fn civil(mut days: u64) -> (u64, usize, u64) {
    let leap = |year: u64| year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400));
    let mut year = 1970;
    while days >= 365 + u64::from(leap(year)) {
        days -= 365 + u64::from(leap(year));
        year += 1;
    }
    let lengths = [31, 28 + u64::from(leap(year)), 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
    let mut month = 0;
    while days >= lengths[month] {
        days -= lengths[month];
        month += 1;
    }
    (year, month + 1, days + 1)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn dates_know_leap_years() {
        let at = |seconds| time_of(UNIX_EPOCH + Duration::from_secs(seconds));
        assert_eq!(at(0), "1970-01-01T00:00:00Z");
        assert_eq!(at(951_782_399), "2000-02-28T23:59:59Z");
        assert_eq!(at(951_782_400), "2000-02-29T00:00:00Z");
        assert_eq!(at(1_709_251_200), "2024-03-01T00:00:00Z");
    }
}
