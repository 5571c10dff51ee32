//! `phasecast` as it is run in the lab: configured, started, reloaded, ended, killed.

use std::fs;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use crate::report::{Failure, Report, now, wait};
use crate::system;

const CONFIG: &str = "/tmp/phasecast.toml";
pub(crate) const JOURNAL: &str = "/tmp/journal";
/// Long enough for a machine that is emulated, and whose processors take turns on fewer real ones.
const QUANTUM_MILLISECONDS: u32 = 250;
const END_WITHIN: Duration = Duration::from_secs(60);

/// A daemon that acts.
#[derive(Debug)]
pub(crate) struct Daemon {
    process: Child,
    number: usize,
    since: u64,
}

/// Writes a configuration that orders guests to domains, and leaves the others to the policy.
pub(crate) fn configure(orders: &[(String, usize)]) -> Result<(), Failure> {
    let rule = |(guest, domain): &(String, usize)| format!("[[guest]]\nname = \"{guest}\"\ndomain = {domain}\n");
    let rules: String = orders.iter().map(rule).collect();
    let text = format!(
        "quantum_milliseconds = {QUANTUM_MILLISECONDS}\nrescan_quanta = 2\nwatchdog_seconds = 20\n\
         [policy]\nkind = \"load-balance\"\nmoves_per_vcpu_minute = 60.0\n\
         [journal]\nfolder = \"{JOURNAL}\"\nquiet_kept_one_in = 1\n{rules}"
    );
    fs::write(CONFIG, text).map_err(|error| Failure::new("configure the daemon", error))
}

impl Daemon {
    /// Starts the daemon of this number, counted from 1, and waits until its journal begins.
    pub(crate) fn start(number: usize) -> Result<Self, Failure> {
        let failed = |error| Failure::new(format!("start daemon {number}"), error);
        let log = fs::File::create(log(number)).map_err(failed)?;
        let mut command = Command::new("/phasecast");
        command.args(["daemon", "--act", "--config", CONFIG]).stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
        let since = now();
        let process = command.spawn().map_err(failed)?;
        let journal = format!("{JOURNAL}/journal-{number:06}.jsonl");
        let daemon = Self { process, number, since };
        wait(&format!("see {journal} begin"), END_WITHIN, || {
            fs::read(&journal).ok().filter(|text| text.contains(&b'\n'))
        })
        .map_err(|failure| failure.with(fs::read_to_string(self::log(number)).unwrap_or_default().trim()))?;
        Ok(daemon)
    }

    /// Has it read its configuration again.
    pub(crate) fn reload(&self) {
        system::signal(self.process.id(), libc::SIGHUP);
    }

    /// Whether it has not ended.
    pub(crate) fn still_runs(&mut self, detail: String) -> Result<String, Failure> {
        match self.process.try_wait() {
            Ok(None) => Ok(detail),
            ended => Err(Failure::new("see the daemon go on", format!("it ended: {ended:?}"))),
        }
    }

    /// Asks it to end and waits until it has; it must say that all went well.
    pub(crate) fn terminate(mut self, report: &Report) -> Result<(), Failure> {
        report.daemon(self.number, self.since);
        system::signal(self.process.id(), libc::SIGTERM);
        match self.end()? {
            Some(0) => Ok(()),
            status => Err(Failure::new("end the daemon", format!("its exit status is {status:?}"))),
        }
    }

    /// Kills it alone.
    pub(crate) fn kill(mut self, report: &Report) -> Result<(), Failure> {
        report.daemon(self.number, self.since);
        system::signal(self.process.id(), libc::SIGKILL);
        self.end().map(drop)
    }

    /// Kills it and its watchdog. A daemon starts a watchdog that died anew; so it is stopped first.
    pub(crate) fn kill_with_watchdog(mut self, report: &Report) -> Result<(), Failure> {
        report.daemon(self.number, self.since);
        system::signal(self.process.id(), libc::SIGSTOP);
        let mut children = String::new();
        for task in fs::read_dir(format!("/proc/{}/task", self.process.id())).into_iter().flatten().flatten() {
            children += &fs::read_to_string(task.path().join("children")).unwrap_or_default();
        }
        let children: Vec<u32> = children.split_whitespace().filter_map(|pid| pid.parse().ok()).collect();
        if children.is_empty() {
            return Err(Failure::new("find the watchdog", "the daemon has no child"));
        }
        for pid in children {
            system::signal(pid, libc::SIGKILL);
        }
        system::signal(self.process.id(), libc::SIGKILL);
        self.end().map(drop)
    }

    fn end(&mut self) -> Result<Option<i32>, Failure> {
        let ended = wait("see the daemon end", END_WITHIN, || self.process.try_wait().ok().flatten());
        if ended.is_err() {
            // It is reported as what it is; it must not disturb what comes next.
            let _ = self.process.kill();
            let _ = self.process.wait();
        }
        ended.map(|status| status.code())
    }
}

/// What the daemon of this number wrote to its standard error.
pub(crate) fn log(number: usize) -> String {
    format!("/tmp/daemon-{number}.log")
}

/// What stands in the journal so far, of all daemons.
pub(crate) fn journals() -> Vec<(String, String)> {
    let entries = fs::read_dir(JOURNAL).into_iter().flatten().flatten();
    let mut files: Vec<_> = entries.map(|entry| entry.path()).collect();
    files.sort();
    let name = |path: &std::path::Path| path.file_name().map(|name| name.to_string_lossy().into_owned());
    let read = |path: std::path::PathBuf| Some((name(&path)?, fs::read_to_string(&path).unwrap_or_default()));
    files.into_iter().filter_map(read).collect()
}

/// Runs phasecast to its end and answers what it printed.
pub(crate) fn output(arguments: &[&str]) -> Result<String, Failure> {
    let action = format!("run phasecast {}", arguments.join(" "));
    let output = Command::new("/phasecast").args(arguments).stdin(Stdio::null()).output();
    let output = output.map_err(|error| Failure::new(&action, error))?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        return Err(Failure::new(action, format!("{}: {said}", output.status)));
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}
