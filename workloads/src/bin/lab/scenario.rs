//! The scenario: guests that come, pause, go and are moved; a daemon that is reloaded, ended and killed; and what has to be
//! true after each.
//!
//! ```text
//! guests boot; the owner of the last one binds it; `phasecast guests` finds them all
//! daemon 1   orders by configuration; other orders by SIGHUP; then none, one guest killed and others paused: the policy
//!            moves by itself; a guest comes and is moved; its owner binds it elsewhere; SIGTERM
//! daemon 2   orders; SIGKILL: the watchdog gives back
//! daemon 3   orders; watchdog and daemon are killed, and a guest: `phasecast restore` gives back what is left
//! ```
//!
//! Half of the guests, the *firsts*, are those that get orders.

use std::collections::BTreeMap;
use std::fs;
use std::time::Duration;

use crate::daemons::{self, Daemon, configure, output};
use crate::guests::{Cpus, Guest, console};
use crate::report::{Change, Failure, Report, now, wait};
use crate::system;
use crate::watcher::{self, Watched};

const MOVE_WITHIN: Duration = Duration::from_secs(60);
/// The watchdog acts at once when its daemon is dead, and waits for the ledger's lock.
const GIVEN_BACK_WITHIN: Duration = Duration::from_secs(40);
/// At work for most of the time, then for less of it: nobody who is at work is idle, and a machine with fewer processors than
/// it pretends to have is left time for the daemon.
const LOAD: &str = "70:5,40:5";
/// The guest that comes late.
const LATE: &str = "late";

/// What the claims are about.
struct Lab<'a> {
    report: &'a Report,
    watched: Watched,
    guests: Vec<Guest>,
    /// How many of them are the firsts.
    firsts: usize,
    /// The CPUs of each LLC domain.
    domains: Vec<Cpus>,
    /// The CPUs that each guest's owner wants for it.
    found: BTreeMap<String, Cpus>,
}

/// Runs all of it; what needs something that failed is not tried.
pub(crate) fn run(report: &Report, count: usize) {
    let mut lab = Lab {
        report,
        watched: watcher::start(report),
        guests: Vec::new(),
        firsts: count / 2,
        domains: domains(),
        found: BTreeMap::new(),
    };
    let done = lab.claims(count).map(|()| "nothing was left out".to_owned());
    report.verdict("the scenario ran to its end", done);
    for (name, text) in daemons::journals() {
        report.file(&name, &text);
    }
    for number in 1..=3 {
        let log = daemons::log(number);
        report.file(log.trim_start_matches("/tmp/"), &fs::read_to_string(&log).unwrap_or_default());
    }
    for name in (0..count).map(|number| format!("g{number}")).chain([LATE.to_owned()]) {
        let said = fs::read(console(&name)).unwrap_or_default();
        report.file(&format!("{name}.console"), &String::from_utf8_lossy(&said));
    }
}

impl Lab<'_> {
    fn claims(&mut self, count: usize) -> Result<(), Failure> {
        let shown: Vec<String> = self.domains.iter().map(Cpus::to_string).collect();
        let two =
            if self.domains.len() == 2 { Ok(()) } else { Err(Failure::new("see two LLC domains", shown.join(" "))) };
        if !self.report.verdict("the machine has two LLC domains", two.map(|()| shown.join(" and "))) {
            return Err(Failure::new("go on", "there is nothing to move between"));
        }
        for number in 0..count {
            self.boot(&format!("g{number}"))?;
        }
        self.report.verdict("guests boot on KVM", Ok(format!("{count} guests")));
        // It has to get back what its owner gave it, and not everything.
        self.bind_as_owner(&format!("g{}", count - 1), &|all, _| Cpus(all.0 & !1))?;
        self.report.verdict("guests and their vCPU threads are found", self.discovery());
        self.first_daemon()?;
        let explained = output(&["explain", daemons::JOURNAL]);
        self.report.file("explained.txt", explained.as_deref().unwrap_or_default());
        let explained = explained.map(|text| format!("{} lines", text.lines().count()));
        self.report.verdict("the journal can be explained", explained);
        self.second_daemon()?;
        self.third_daemon()?;
        self.guests.drain(..).for_each(Guest::kill);
        Ok(())
    }

    fn first_daemon(&mut self) -> Result<(), Failure> {
        configure(&self.orders(0))?;
        let mut daemon = Daemon::start(1)?;
        self.report.verdict("guests are brought to the domain that is ordered", self.wait_bound(&self.orders(0)));
        configure(&self.orders(1))?;
        daemon.reload();
        let moved = self.wait_bound(&self.orders(1));
        self.report.verdict("a reload moves guests to the other domain", moved);

        self.report.tell("one guest is killed, others pause: one domain has all the work");
        self.guests.remove(self.firsts).kill();
        let paused = self.guests[self.firsts..].iter().map(|guest| guest.name.clone()).collect::<Vec<_>>();
        self.guests[self.firsts..].iter().for_each(Guest::pause);
        configure(&[])?;
        daemon.reload();
        self.report.verdict("the policy moves a guest to the domain that is idle", self.wait_for_policy());
        self.guests[self.firsts..].iter().for_each(Guest::resume);

        self.boot(LATE)?;
        let late = |domain| vec![(LATE.to_owned(), domain)];
        configure(&late(0))?;
        daemon.reload();
        let mut moved = self.wait_bound(&late(0));
        configure(&late(1))?;
        daemon.reload();
        moved = moved.and_then(|_| self.wait_bound(&late(1)));
        self.report.verdict("a guest that comes while the daemon runs is moved", moved);
        self.bind_as_owner(LATE, &|_, domains| Cpus(domains[0].0 & domains[0].0.wrapping_neg()))?;
        self.report.verdict("what an owner sets meanwhile is seen", wait_for_log(1, "somebody else bound"));
        let survived = daemon.still_runs(format!("{} paused, one was killed, one came", paused.join(" and ")));
        self.report.verdict("the daemon goes on when guests pause, die and come", survived);

        let ended = daemon.terminate(self.report);
        let given_back = ended.and_then(|()| self.wait_as_found(Duration::ZERO));
        self.report.verdict("SIGTERM gives every affinity back", given_back);
        Ok(())
    }

    fn second_daemon(&mut self) -> Result<(), Failure> {
        let daemon = self.daemon_with_bound_guests(2)?;
        daemon.kill(self.report)?;
        let given_back = self.wait_as_found(GIVEN_BACK_WITHIN);
        self.report.verdict("after SIGKILL the watchdog gives every affinity back", given_back);
        Ok(())
    }

    fn third_daemon(&mut self) -> Result<(), Failure> {
        let daemon = self.daemon_with_bound_guests(3)?;
        daemon.kill_with_watchdog(self.report)?;
        let left = self.wait_bound(&self.orders(1));
        self.report.verdict("without its watchdog a killed daemon leaves guests bound", left);
        // Its thread is owed something and is no more.
        self.guests.remove(0).kill();
        self.firsts -= 1;
        let restored = output(&["restore"]);
        self.report.file("restore.txt", restored.as_deref().unwrap_or_default());
        let restored = restored.and_then(|_| self.wait_as_found(Duration::ZERO));
        self.report.verdict("phasecast restore gives every affinity back", restored);
        let again = output(&["restore"]).and_then(|text| match text.contains("nothing is owed") {
            true => Ok(text.trim().to_owned()),
            false => Err(Failure::new("see that nothing is owed", text)),
        });
        self.report.verdict("after that nothing is owed", again);
        Ok(())
    }

    /// A daemon that has bound all the firsts, to one domain and then to the other.
    fn daemon_with_bound_guests(&self, number: usize) -> Result<Daemon, Failure> {
        configure(&self.orders(0))?;
        let daemon = Daemon::start(number)?;
        let mut bound = self.wait_bound(&self.orders(0));
        if bound.is_ok() {
            configure(&self.orders(1))?;
            daemon.reload();
            bound = self.wait_bound(&self.orders(1));
        }
        match bound {
            Ok(_) => Ok(daemon),
            Err(failure) => {
                // Else its journal would go on while the others write theirs.
                daemon.kill(self.report)?;
                Err(failure)
            }
        }
    }

    fn boot(&mut self, name: &str) -> Result<(), Failure> {
        self.report.tell(&format!("boot guest {name}"));
        let guest = Guest::boot(name, LOAD)?;
        self.watched.add(guest.pid(), guest.vcpu, name);
        self.found.insert(name.to_owned(), guest.cpus()?);
        self.guests.push(guest);
        Ok(())
    }

    /// Binds a guest to what `choose` makes of the CPUs it has and of the domains.
    fn bind_as_owner(&mut self, name: &str, choose: &dyn Fn(Cpus, &[Cpus]) -> Cpus) -> Result<(), Failure> {
        let guest = self.guest(name)?;
        let cpus = choose(guest.cpus()?, &self.domains);
        let since = now();
        system::bind(guest.vcpu, cpus.0).map_err(|error| Failure::new(format!("bind {name} as its owner"), error))?;
        let (list, at) = (cpus.to_string(), now());
        self.report.change("ordered", Change { guest: name, thread: guest.vcpu, cpus: &list, since, at });
        self.found.insert(name.to_owned(), cpus);
        Ok(())
    }

    fn guest(&self, name: &str) -> Result<&Guest, Failure> {
        let found = self.guests.iter().find(|guest| guest.name == name);
        found.ok_or_else(|| Failure::new(format!("find guest {name}"), "it was not started"))
    }

    /// The firsts, all to this domain.
    fn orders(&self, domain: usize) -> Vec<(String, usize)> {
        self.guests[..self.firsts].iter().map(|guest| (guest.name.clone(), domain)).collect()
    }

    /// `phasecast guests` names exactly our guests with the threads that `/proc` has.
    fn discovery(&self) -> Result<String, Failure> {
        let found = output(&["guests", "--json"])?;
        for guest in &self.guests {
            for part in [format!("\"name\":\"{}\"", guest.name), format!("\"tid\":{},", guest.vcpu)] {
                if !found.contains(&part) {
                    return Err(Failure::new(format!("find {part} of {}", guest.name), &found));
                }
            }
        }
        let threads = found.matches("\"tid\":").count();
        if threads != self.guests.len() || !found.contains("\"hidden\":[]") {
            return Err(Failure::new("find nothing else", &found));
        }
        Ok(format!("{threads} guests with one thread each"))
    }

    /// Waits until the kernel says that these guests are bound to these domains, within what their owners allow.
    fn wait_bound(&self, orders: &[(String, usize)]) -> Result<String, Failure> {
        let is_bound = |(name, domain): &(String, usize)| {
            let wanted = self.found.get(name).map(|found| found.and(self.domains[*domain]));
            self.guest(name).is_ok_and(|guest| guest.cpus().ok() == wanted)
        };
        self.wait_until("see guests bound to the domain ordered", MOVE_WITHIN, || orders.iter().all(is_bound))
    }

    /// Waits until one of the firsts, which all are bound to the second domain, is bound to the first.
    fn wait_for_policy(&self) -> Result<String, Failure> {
        let is_moved = |guest: &Guest| guest.cpus().is_ok_and(|cpus| cpus.is_within(self.domains[0]));
        self.wait_until("see one of the guests at work bound to the other domain", MOVE_WITHIN, || {
            self.guests[..self.firsts].iter().any(is_moved)
        })
    }

    fn wait_as_found(&self, limit: Duration) -> Result<String, Failure> {
        let is_as_found = |guest: &Guest| guest.cpus().ok().as_ref() == self.found.get(&guest.name);
        self.wait_until("see what owners want", limit, || self.guests.iter().all(is_as_found))
    }

    /// Waits, and says in any case where everybody may run.
    fn wait_until(&self, what: &str, limit: Duration, is_so: impl Fn() -> bool) -> Result<String, Failure> {
        let reached = wait(what, limit, || is_so().then_some(()));
        let cpus = |guest: &Guest| match guest.cpus() {
            Ok(cpus) => format!("{} on {cpus}", guest.name),
            Err(_) => format!("{} gone", guest.name),
        };
        let all = self.guests.iter().map(cpus).collect::<Vec<_>>().join(", ");
        reached.map(|()| all.clone()).map_err(|failure| failure.with(&all))
    }
}

fn wait_for_log(number: usize, text: &str) -> Result<String, Failure> {
    wait(&format!("see \"{text}\" in the daemon's log"), MOVE_WITHIN, || {
        let log = fs::read_to_string(daemons::log(number)).unwrap_or_default();
        log.lines().find(|line| line.contains(text)).map(str::to_owned)
    })
}

/// The CPUs of each LLC, in the order of their first CPU.
fn domains() -> Vec<Cpus> {
    let mut domains: Vec<Cpus> = Vec::new();
    for cpu in 0..64 {
        let list = fs::read_to_string(format!("/sys/devices/system/cpu/cpu{cpu}/cache/index3/shared_cpu_list"));
        let Some(cpus) = list.ok().and_then(|list| Cpus::of_list(list.trim())) else { break };
        if !domains.contains(&cpus) {
            domains.push(cpus);
        }
    }
    domains
}
