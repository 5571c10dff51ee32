//! Counting threads with the kernel's performance events, one group for each vCPU.
//!
//! Owns which events are asked for ([`plan`]), how many of them fit, opening them on a thread, reading them, and what
//! cannot be counted and why. Which threads those are, and what the counts mean, is others' business.
//!
//! # Manners
//!
//! Others use the same few counters. Groups are neither pinned nor exclusive, so the kernel shares the PMU out by turns;
//! what was counted part of the time is scaled and says its coverage. A group is no larger than the PMU takes at once:
//! events join it in the order of their worth until one is refused.
//!
//! # Guest only
//!
//! Counters shall count the guest and not its VMM or the kernel (`exclude_host`). Some hosts refuse that, as one with a
//! mediated virtual PMU does (`EOPNOTSUPP`); some accept it and count nothing. So the first groups are watched: threads
//! that ran for [`PROOF_NS`] in all and retired no instruction show that it does not count, and everything is opened
//! anew without. Which of the two is in force is told.
//!
//! # Without a PMU
//!
//! A group of the kernel's task clock alone: its time is the thread's time on a CPU, which is all that is known then.

#![expect(unsafe_code, reason = "descriptors of perf_event_open are taken over from the crate that opened them")]

pub mod plan;

#[cfg(test)]
mod tests;

use std::io;
use std::os::fd::{FromRawFd, IntoRawFd, OwnedFd};
use std::time::Duration;

use perf_event::events::{Hardware, Raw, Software};
use perf_event::{Builder, Counter};
use predictor::counters::{Event, Reading};

use crate::procfs::Tid;
use plan::{Encoding, Planned};

/// Instructions, cycles and at most so many others in a group.
pub const MOST_EVENTS: usize = 8;

/// Time on a CPU after which a guest that retired nothing was not counted.
pub const PROOF_NS: u64 = 2_000_000_000;

/// `PERF_FORMAT_TOTAL_TIME_ENABLED | PERF_FORMAT_TOTAL_TIME_RUNNING | PERF_FORMAT_GROUP`: a count of values, two times,
/// then one value for each event in the order in which they joined.
const READ_FORMAT: u64 = 1 | 2 | 8;

/// Whose instructions are counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Modes {
    /// The guest's alone.
    GuestOnly,
    /// All that the thread executes, the VMM's and the kernel's for it included.
    WholeThread,
}

/// Why a thread is not counted.
#[derive(Debug, thiserror::Error)]
pub enum NotCounted {
    /// It has ended.
    #[error("thread {0} has ended")]
    Gone(u32),
    /// This process may not.
    #[error("permission denied; needs CAP_PERFMON, or perf_event_paranoid <= 1 for guests of the same user")]
    Denied,
    /// No descriptor is left.
    #[error("no descriptor is left for its counters; raise the limit (LimitNOFILE=, ulimit -n)")]
    NoDescriptor,
    /// Anything else.
    #[error("open counters: {0}")]
    Io(io::Error),
}

impl NotCounted {
    fn of(error: io::Error, tid: Tid) -> Self {
        match error.raw_os_error() {
            Some(libc::ESRCH) => Self::Gone(tid.0),
            Some(libc::EACCES | libc::EPERM) => Self::Denied,
            Some(libc::EMFILE | libc::ENFILE) => Self::NoDescriptor,
            _ => Self::Io(error),
        }
    }
}

/// What this machine lets be counted, found by trying.
#[derive(Debug, Clone)]
pub struct Counters {
    wanted: Vec<Planned>,
    found: Option<Found>,
    /// Nanoseconds that guests ran without an instruction retired; `None` once one was.
    unproven_ns: Option<u64>,
}

#[derive(Debug, Clone)]
struct Found {
    events: Vec<Planned>,
    modes: Modes,
    refused: Vec<(&'static str, String)>,
}

impl Counters {
    /// Will try `wanted`, in this order.
    #[must_use]
    pub fn new(wanted: Vec<Planned>) -> Self {
        Self { wanted, found: None, unproven_ns: Some(0) }
    }

    /// What is counted; empty before the first thread, and where there is no PMU.
    #[must_use]
    pub fn events(&self) -> Vec<Event> {
        self.found.iter().flat_map(|found| &found.events).map(|planned| planned.event).collect()
    }

    /// Whose instructions are counted, once that is known.
    #[must_use]
    pub fn modes(&self) -> Option<Modes> {
        self.found.as_ref().filter(|found| !found.events.is_empty()).map(|found| found.modes)
    }

    /// Events that were refused, each with the reason.
    pub fn refused(&self) -> impl Iterator<Item = (&'static str, &str)> {
        self.found.iter().flat_map(|found| &found.refused).map(|(event, reason)| (*event, reason.as_str()))
    }

    /// Opens a group on a thread; the first one also finds out what can be counted.
    pub fn open(&mut self, tid: Tid) -> Result<Group, NotCounted> {
        let found = match &self.found {
            Some(found) => found,
            None => self.found.insert(find(&self.wanted, tid)?),
        };
        Group::open(tid, &found.events, found.modes).map_err(|error| NotCounted::of(error, tid))
    }

    /// Learns from a reading whether guest-only counting counts. `true` says that it does not: every group is to be
    /// opened anew, and will count whole threads.
    pub fn doubt(&mut self, read: &GroupReading) -> bool {
        let Some(found) = self.found.as_mut().filter(|found| found.modes == Modes::GuestOnly) else { return false };
        let Some(unproven_ns) = &mut self.unproven_ns else { return false };
        match read.get(Event::Instructions).count() {
            None => return false,
            Some(0) => *unproven_ns += read.running_ns,
            Some(_) => {
                self.unproven_ns = None;
                return false;
            }
        }
        if *unproven_ns < PROOF_NS {
            return false;
        }
        found.modes = Modes::WholeThread;
        true
    }
}

/// Tries the events on a thread, in order, as one group that grows.
fn find(wanted: &[Planned], tid: Tid) -> Result<Found, NotCounted> {
    let mut refused = Vec::new();
    for modes in [Modes::GuestOnly, Modes::WholeThread] {
        let mut events: Vec<Planned> = Vec::new();
        refused.clear();
        for planned in wanted.iter().take(MOST_EVENTS) {
            events.push(*planned);
            match Group::open(tid, &events, modes) {
                Ok(_) => continue,
                Err(error) => {
                    events.pop();
                    match NotCounted::of(error, tid) {
                        NotCounted::Io(error) => refused.push((planned.event.name(), meaning(&error))),
                        other => return Err(other),
                    }
                }
            }
        }
        if !events.is_empty() {
            return Ok(Found { events, modes, refused });
        }
    }
    Ok(Found { events: Vec::new(), modes: Modes::WholeThread, refused })
}

fn meaning(error: &io::Error) -> String {
    match error.raw_os_error() {
        Some(libc::ENOENT) => "this machine shows no PMU, or not this event".to_owned(),
        Some(libc::EINVAL | libc::ENOSPC) => "it does not fit beside the others".to_owned(),
        Some(libc::EOPNOTSUPP) => "the PMU cannot count guests alone".to_owned(),
        _ => error.to_string(),
    }
}

/// The counters of one thread. Closing it takes nothing from anybody.
#[derive(Debug)]
pub struct Group {
    leader: OwnedFd,
    /// Kept open: a closed member leaves its group.
    _members: Vec<OwnedFd>,
    events: Vec<Event>,
    before: Totals,
}

/// What the kernel answers: sums since the group was opened.
#[derive(Debug, Clone, Copy, Default)]
struct Totals {
    enabled_ns: u64,
    running_ns: u64,
    values: [u64; MOST_EVENTS],
}

/// What one thread did since the last reading.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct GroupReading {
    /// Time on a CPU.
    pub running_ns: u64,
    readings: [(Event, Reading); MOST_EVENTS],
    counted: usize,
}

impl GroupReading {
    /// The events of the group, with what was counted.
    pub fn iter(&self) -> impl Iterator<Item = (Event, Reading)> + '_ {
        self.readings[..self.counted].iter().copied()
    }

    /// The reading of one event.
    #[must_use]
    pub fn get(&self, event: Event) -> Reading {
        self.iter().find(|(counted, _)| *counted == event).map_or(Reading::Absent, |(_, reading)| reading)
    }
}

impl Group {
    fn open(tid: Tid, planned: &[Planned], modes: Modes) -> io::Result<Self> {
        let pid = i32::try_from(tid.0).map_err(|_| io::Error::from_raw_os_error(libc::ESRCH))?;
        let build = |mut builder: Builder<'static>, leader: Option<&mut Counter>| {
            builder.observe_pid(pid).any_cpu().enabled(true).exclude_kernel(false).exclude_hv(false);
            builder.exclude_host(modes == Modes::GuestOnly).exclude_guest(false);
            builder.attrs_mut().read_format = READ_FORMAT;
            match leader {
                Some(leader) => builder.build_with_group(leader),
                None => builder.build(),
            }
        };
        let builder_of = |planned: &Planned| match planned.encoding {
            Encoding::Cycles => Builder::new(Hardware::CPU_CYCLES),
            Encoding::Instructions => Builder::new(Hardware::INSTRUCTIONS),
            Encoding::CacheReferences => Builder::new(Hardware::CACHE_REFERENCES),
            Encoding::CacheMisses => Builder::new(Hardware::CACHE_MISSES),
            Encoding::Raw(config) => Builder::new(Raw::new(config)),
        };
        let mut leader = match planned.first() {
            Some(first) => build(builder_of(first), None)?,
            None => build(Builder::new(Software::TASK_CLOCK), None)?,
        };
        let mut members = Vec::new();
        for planned in planned.iter().skip(1) {
            members.push(owned(build(builder_of(planned), Some(&mut leader))?));
        }
        let events = planned.iter().map(|planned| planned.event).collect();
        let mut group = Self { leader: owned(leader), _members: members, events, before: Totals::default() };
        group.before = group.totals()?;
        Ok(group)
    }

    /// What was counted since the last reading, by one system call and without allocating.
    pub fn read(&mut self) -> io::Result<GroupReading> {
        let now = self.totals()?;
        let before = std::mem::replace(&mut self.before, now);
        let enabled_ns = now.enabled_ns.saturating_sub(before.enabled_ns);
        let counted_ns = now.running_ns.saturating_sub(before.running_ns);
        let mut readings = [(Event::Instructions, Reading::Absent); MOST_EVENTS];
        for (place, event) in self.events.iter().enumerate() {
            let counted = now.values[place].checked_sub(before.values[place]);
            readings[place] = (*event, reading(counted, enabled_ns, counted_ns));
        }
        Ok(GroupReading { running_ns: enabled_ns, readings, counted: self.events.len() })
    }

    fn totals(&self) -> io::Result<Totals> {
        let mut bytes = [0u8; 8 * (3 + MOST_EVENTS)];
        let expected = 8 * (3 + self.events.len().max(1));
        let read = loop {
            match rustix::io::read(&self.leader, &mut bytes[..expected]) {
                Err(rustix::io::Errno::INTR) => {}
                other => break other?,
            }
        };
        if read < expected {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let word = |place: usize| u64::from_ne_bytes(bytes[8 * place..8 * place + 8].try_into().expect("eight bytes"));
        let mut totals = Totals { enabled_ns: word(1), running_ns: word(2), values: [0; MOST_EVENTS] };
        for place in 0..self.events.len() {
            totals.values[place] = word(3 + place);
        }
        Ok(totals)
    }
}

/// What a counter says that ran for `counted_ns` of the `enabled_ns` in which its thread ran.
fn reading(counted: Option<u64>, enabled_ns: u64, counted_ns: u64) -> Reading {
    match counted {
        None => Reading::Absent,
        Some(count) if counted_ns >= enabled_ns => Reading::Exact(count),
        Some(_) if counted_ns == 0 => Reading::Absent,
        Some(count) => {
            let coverage = counted_ns as f64 / enabled_ns as f64;
            Reading::Scaled { estimate: (count as f64 / coverage).round() as u64, coverage }
        }
    }
}

fn owned(counter: Counter) -> OwnedFd {
    let descriptor = counter.into_raw_fd();
    // SAFETY: the counter gave its descriptor away, which is open and which nobody else closes.
    unsafe { OwnedFd::from_raw_fd(descriptor) }
}

/// Raises this process's limit on descriptors as far as it may; answers with what it is then.
pub fn raise_descriptor_limit() -> Option<u64> {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit { current: limit.maximum, maximum: limit.maximum };
    match setrlimit(Resource::Nofile, raised) {
        Ok(()) => limit.maximum,
        Err(_) => limit.current,
    }
}

/// A time in nanoseconds; 584 years fit.
#[must_use]
pub fn nanoseconds(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}
