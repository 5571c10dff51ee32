//! The scenario: guests that come, pause, go and are moved, a daemon that is reloaded, ended and killed, and what has to be
//! true after each.

use std::fs;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use crate::guests::{Guest, parse_list};
use crate::report::{Failure, Report, wait};
use crate::system;

const BOOT_WITHIN: Duration = Duration::from_secs(400);
const MOVE_WITHIN: Duration = Duration::from_secs(60);
const CONFIG: &str = "/tmp/phasecast.toml";
const JOURNAL: &str = "/tmp/journal";

/// What the claims are about.
struct Lab {
    guests: Vec<Guest>,
    /// The CPUs of each domain, one bit each.
    domains: Vec<u64>,
    /// The CPUs each guest's vCPU had before anybody acted.
    found: Vec<u64>,
}

/// Runs all of it; what needs something that failed is not tried.
pub(crate) fn run(report: &mut Report, count: usize) {
    if let Err(failure) = claims(report, count) {
        report.verdict("the scenario ran to its end", Err(failure));
    } else {
        report.verdict("the scenario ran to its end", Ok(String::new()));
    }
    for name in ["daemon-1", "daemon-2", "daemon-3"] {
        report.file(name, &fs::read_to_string(format!("/tmp/{name}.log")).unwrap_or_default());
    }
    let mut parts: Vec<_> = fs::read_dir(JOURNAL).into_iter().flatten().flatten().map(|entry| entry.path()).collect();
    parts.sort();
    for part in parts {
        report.file("journal", &fs::read_to_string(part).unwrap_or_default());
    }
}

fn claims(report: &mut Report, count: usize) -> Result<(), Failure> {
    let mut lab = Lab { guests: Vec::new(), domains: domains(), found: Vec::new() };
    let two = if lab.domains.len() == 2 {
        Ok(format!("{:x?}", lab.domains))
    } else {
        Err(Failure::new("see two LLC domains", format!("{:x?}", lab.domains)))
    };
    report.verdict("the machine has two LLC domains", two);
    report.tell(&format!("starting {count} guests"));
    for number in 0..count {
        lab.guests.push(Guest::start(&format!("g{number}"))?);
    }
    for guest in &lab.guests {
        guest.wait_for_boot(BOOT_WITHIN)?;
    }
    report.verdict("guests boot on KVM", Ok(format!("{count} guests")));
    // One whose owner bound it: it has to get back that and not everything.
    let bound =
        lab.guests.last().and_then(Guest::vcpu).ok_or_else(|| Failure::new("find the last guest", "no vCPU"))?;
    system::bind(bound, 0b1110).map_err(|error| Failure::new("bind a guest as its owner would", error))?;
    lab.found = lab.masks()?;
    report.verdict("guests are found", lab.discovery());

    configure("daemon-1", [0, 1])?;
    let mut daemon = daemon("daemon-1")?;
    report.verdict("the daemon binds guests to the domains ordered", lab.placed([0, 1]));
    configure("daemon-1", [1, 0])?;
    system::signal(daemon.id(), libc::SIGHUP);
    report.verdict("the daemon moves guests between domains", lab.placed([1, 0]));

    report.tell("one guest pauses, one is killed, one is added");
    if let Some(paused) = lab.guests.get(2) {
        system::signal(paused.process.id(), libc::SIGSTOP);
        std::thread::sleep(Duration::from_secs(3));
        system::signal(paused.process.id(), libc::SIGCONT);
    }
    lab.guests.remove(1).kill();
    lab.found.remove(1);
    let added = Guest::start("g1")?;
    added.wait_for_boot(BOOT_WITHIN)?;
    lab.guests.insert(1, added);
    lab.found.insert(1, lab.found[0]);
    let survived = lab.placed([1, 0]).and_then(|detail| still_runs(&mut daemon, detail));
    report.verdict("the daemon goes on when guests pause, die and come", survived);

    system::signal(daemon.id(), libc::SIGTERM);
    let status = end(&mut daemon)?;
    let status =
        if status == Some(0) { Ok(()) } else { Err(Failure::new("end the daemon", format!("exit {status:?}"))) };
    report.verdict("SIGTERM gives every affinity back", status.and_then(|()| lab.as_found(Duration::ZERO)));
    let explained = output(&["explain", JOURNAL]);
    report.file("explained", explained.as_deref().unwrap_or_default());
    let explained = explained.map(|text| format!("{} lines", text.lines().count()));
    report.verdict("the journal can be explained", explained);

    configure("daemon-2", [0, 1])?;
    daemon = self::daemon("daemon-2")?;
    lab.placed([0, 1])?;
    system::signal(daemon.id(), libc::SIGKILL);
    end(&mut daemon)?;
    report.verdict("after SIGKILL the watchdog gives every affinity back", lab.as_found(Duration::from_secs(40)));

    configure("daemon-3", [1, 0])?;
    daemon = self::daemon("daemon-3")?;
    lab.placed([1, 0])?;
    kill_with_watchdog(&mut daemon)?;
    let left = lab.placed([1, 0]);
    report.verdict("without its watchdog a killed daemon leaves guests bound", left);
    let restored = output(&["restore"]).and_then(|_| lab.as_found(Duration::ZERO));
    report.verdict("phasecast restore gives every affinity back", restored);
    lab.guests.iter_mut().for_each(Guest::kill);
    Ok(())
}

impl Lab {
    fn masks(&self) -> Result<Vec<u64>, Failure> {
        let mask = |guest: &Guest| {
            guest.cpus().ok_or_else(|| Failure::new(format!("read the CPUs of {}", guest.name), "it is gone"))
        };
        self.guests.iter().map(mask).collect()
    }

    /// `phasecast guests` names exactly our guests with the threads that `/proc` has.
    fn discovery(&self) -> Result<String, Failure> {
        let found = output(&["guests", "--json"])?;
        for guest in &self.guests {
            let thread = guest.vcpu().unwrap_or_default();
            for part in [format!("\"{}\"", guest.name), format!("\"tid\":{thread},")] {
                if !found.contains(&part) {
                    return Err(Failure::new(format!("find {part} of {}", guest.name), &found));
                }
            }
        }
        Ok(format!("{} guests with their threads", self.guests.len()))
    }

    /// Waits until the kernel says that the first two guests are bound to these domains.
    fn placed(&self, wanted: [usize; 2]) -> Result<String, Failure> {
        let expected: Vec<u64> =
            (0..).zip(wanted).map(|(guest, domain): (usize, usize)| self.domains[domain] & self.found[guest]).collect();
        let mut last = Vec::new();
        wait(&format!("see guests bound to {expected:x?}"), MOVE_WITHIN, || {
            last = self.masks().ok()?;
            last.starts_with(&expected).then_some(())
        })
        .map_err(|failure| failure.with(&format!("they are bound to {last:x?}")))?;
        Ok(format!("CPUs {last:x?}"))
    }

    fn as_found(&self, limit: Duration) -> Result<String, Failure> {
        let mut last = Vec::new();
        wait(&format!("see CPUs {:x?}", self.found), limit, || {
            last = self.masks().ok()?;
            (last == self.found).then_some(())
        })
        .map_err(|failure| failure.with(&format!("they are bound to {last:x?}")))?;
        Ok(format!("CPUs {last:x?}"))
    }
}

/// The CPUs of each LLC, in the order of their first CPU.
fn domains() -> Vec<u64> {
    let mut domains: Vec<u64> = Vec::new();
    for cpu in 0..64 {
        let list = fs::read_to_string(format!("/sys/devices/system/cpu/cpu{cpu}/cache/index3/shared_cpu_list"));
        let Some(cpus) = list.ok().and_then(|list| parse_list(list.trim())) else { break };
        if !domains.contains(&cpus) {
            domains.push(cpus);
        }
    }
    domains
}

/// Writes a configuration that orders the first two guests to these domains and leaves the others to the policy.
fn configure(name: &str, domains: [usize; 2]) -> Result<(), Failure> {
    let rules: String = (0..)
        .zip(domains)
        .map(|(guest, domain): (usize, usize)| format!("[[guest]]\nname = \"g{guest}\"\ndomain = {domain}\n"))
        .collect();
    let text = format!("[policy]\nmoves_per_vcpu_minute = 60.0\n[journal]\nfolder = \"{JOURNAL}\"\n{rules}");
    fs::write(CONFIG, text).map_err(|error| Failure::new(format!("configure {name}"), error))
}

fn daemon(name: &str) -> Result<Child, Failure> {
    let failed = |error| Failure::new(format!("start {name}"), error);
    let log = fs::File::create(format!("/tmp/{name}.log")).map_err(failed)?;
    let mut command = Command::new("/phasecast");
    command.args(["daemon", "--act", "--config", CONFIG]).stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
    command.spawn().map_err(failed)
}

fn still_runs(daemon: &mut Child, detail: String) -> Result<String, Failure> {
    match daemon.try_wait() {
        Ok(None) => Ok(detail),
        ended => Err(Failure::new("see the daemon go on", format!("it ended: {ended:?}"))),
    }
}

fn end(daemon: &mut Child) -> Result<Option<i32>, Failure> {
    let ended = wait("see the daemon end", Duration::from_secs(60), || daemon.try_wait().ok().flatten());
    if ended.is_err() {
        // It is reported as what it is; it must not disturb what comes next.
        let _ = daemon.kill();
    }
    ended.map(|status| status.code())
}

/// A daemon starts a watchdog that died anew; so it is stopped first.
fn kill_with_watchdog(daemon: &mut Child) -> Result<(), Failure> {
    let children = format!("/proc/{0}/task/{0}/children", daemon.id());
    system::signal(daemon.id(), libc::SIGSTOP);
    let mut watchdogs = fs::read_to_string(&children).unwrap_or_default();
    for task in fs::read_dir(format!("/proc/{}/task", daemon.id())).into_iter().flatten().flatten() {
        watchdogs += &fs::read_to_string(task.path().join("children")).unwrap_or_default();
    }
    let pids: Vec<u32> = watchdogs.split_whitespace().filter_map(|pid| pid.parse().ok()).collect();
    if pids.is_empty() {
        return Err(Failure::new("find the watchdog", "the daemon has no child"));
    }
    for pid in pids {
        system::signal(pid, libc::SIGKILL);
    }
    system::signal(daemon.id(), libc::SIGKILL);
    end(daemon).map(drop)
}

/// Runs phasecast to its end and answers what it printed.
fn output(arguments: &[&str]) -> Result<String, Failure> {
    let action = format!("run phasecast {}", arguments.join(" "));
    let output = Command::new("/phasecast").args(arguments).stdin(Stdio::null()).output();
    let output = output.map_err(|error| Failure::new(&action, error))?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        return Err(Failure::new(action, format!("{}: {said}", output.status)));
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}
