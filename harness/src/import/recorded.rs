//! Readings put together: each recording of each group as a series of intervals.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use predictor::counters::{self, AddressSpace, VcpuId};

use super::{Amount, RawReading, Reading};
use crate::trace::{Row, Trace};

/// Numbers the recordings of a file and the intervals in them, reading by reading.
///
/// With times, an interval is what has the same time, and a time that goes back begins another recording. Without, a
/// recording is one interval, and an event that comes again begins the next.
#[derive(Debug, Default)]
pub(super) struct Places {
    run: u32,
    interval: u64,
    time_seconds: Option<f64>,
    /// What the interval has, by event and group.
    seen: BTreeSet<(Arc<str>, Option<Arc<str>>)>,
    texts: BTreeSet<Arc<str>>,
}

impl Places {
    /// A heading says that another recording begins.
    pub(super) fn new_run(&mut self) {
        if !self.seen.is_empty() {
            self.run += 1;
            self.interval = 0;
            self.time_seconds = None;
            self.seen.clear();
        }
    }

    pub(super) fn place(&mut self, raw: RawReading) -> Reading {
        let event = self.text(&raw.event);
        let group = raw.group.as_deref().map(|group| self.text(group));
        let unit = self.text(&raw.unit);
        let what = (event.clone(), group.clone());
        match (self.time_seconds, raw.time_seconds) {
            (Some(before), Some(now)) if now > before => {
                self.interval += 1;
                self.seen.clear();
            }
            (Some(before), Some(now)) if now < before => self.new_run(),
            (None, None) if self.seen.contains(&what) => self.new_run(),
            _ => {}
        }
        self.time_seconds = raw.time_seconds;
        self.seen.insert(what);
        let (value, running_ratio) = (raw.value, raw.running_ratio);
        let (run, interval) = (self.run, self.interval);
        Reading { time_seconds: raw.time_seconds, event, value, unit, running_ratio, group, run, interval }
    }

    /// The same text, held once.
    fn text(&mut self, text: &str) -> Arc<str> {
        if let Some(held) = self.texts.get(text) {
            return held.clone();
        }
        let held: Arc<str> = Arc::from(text);
        self.texts.insert(held.clone());
        held
    }
}

/// A counter of one interval.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Counted {
    /// How much.
    pub amount: Amount,
    /// The share of the interval in which it was counted, where the format says.
    pub running_ratio: Option<f64>,
}

/// What was counted over one interval, in the order of [`Recorded::events`].
#[derive(Debug, Clone, PartialEq)]
pub struct Interval {
    /// Its end, in seconds since the recording began.
    pub end_seconds: Option<f64>,
    /// The counters; `None` where one was not read.
    pub counts: Vec<Option<Counted>>,
}

/// One recording of one group: intervals in their order, each with the same events.
#[derive(Debug, Clone, PartialEq)]
pub struct Recorded {
    /// The recording in its file, from 0.
    pub run: u32,
    /// The group, where the file tells them apart.
    pub group: Option<Arc<str>>,
    /// The names of the events, in the order in which they first came.
    pub events: Vec<Arc<str>>,
    /// The intervals.
    pub intervals: Vec<Interval>,
}

impl Recorded {
    /// The name of this recording of the file called `file`: more than that only where the file holds several.
    #[must_use]
    pub fn name(&self, file: &str) -> String {
        let group = self.group.as_deref().map(|group| format!(" {group}")).unwrap_or_default();
        let run = if self.run > 0 { format!(" run {}", self.run + 1) } else { String::new() };
        format!("{file}{group}{run}")
    }

    /// Where the event called `name` stands in each interval.
    #[must_use]
    pub fn place(&self, name: &str) -> Option<usize> {
        self.events.iter().position(|event| &**event == name)
    }

    /// What the event at `place` counted in the interval at `row`.
    #[must_use]
    pub fn number(&self, row: usize, place: usize) -> Option<f64> {
        self.intervals[row].counts[place].map(|counted| counted.amount.as_f64())
    }

    /// How long the interval at `place` was, in seconds: from the end of the one before, or from the recording's begin.
    #[must_use]
    pub fn elapsed_seconds(&self, place: usize) -> Option<f64> {
        let begin = match place.checked_sub(1) {
            None => 0.0,
            Some(before) => self.intervals[before].end_seconds?,
        };
        Some(self.intervals[place].end_seconds? - begin)
    }
}

/// The series in `readings`: by recording, then by group in the order of their names.
#[must_use]
pub fn series(readings: &[Reading]) -> Vec<Recorded> {
    // Each with the number of the interval that was read last.
    type Key = (u32, Option<Arc<str>>);
    let mut all: BTreeMap<Key, (Recorded, Option<u64>)> = BTreeMap::new();
    for reading in readings {
        let key = (reading.run, reading.group.clone());
        let (recorded, last) = all.entry(key).or_insert_with(|| {
            let (run, group) = (reading.run, reading.group.clone());
            (Recorded { run, group, events: Vec::new(), intervals: Vec::new() }, None)
        });
        if *last != Some(reading.interval) {
            *last = Some(reading.interval);
            let counts = vec![None; recorded.events.len()];
            recorded.intervals.push(Interval { end_seconds: reading.time_seconds, counts });
        }
        let place = recorded.events.iter().position(|event| *event == reading.event).unwrap_or_else(|| {
            recorded.events.push(reading.event.clone());
            recorded.events.len() - 1
        });
        let Some(interval) = recorded.intervals.last_mut() else { continue };
        interval.counts.resize(recorded.events.len(), None);
        let counted = reading.value.map(|amount| Counted { amount, running_ratio: reading.running_ratio });
        // Uncore units of one name are listed one after the other; what they count together is the sum.
        interval.counts[place] = match (interval.counts[place], counted) {
            (Some(one), Some(other)) => Some(sum(one, other)),
            (one, other) => one.or(other),
        };
    }
    let mut series: Vec<Recorded> = all.into_values().map(|(recorded, _)| recorded).collect();
    for recorded in &mut series {
        let width = recorded.events.len();
        recorded.intervals.iter_mut().for_each(|interval| interval.counts.resize(width, None));
    }
    series
}

/// What two counters counted together; the estimate is as good as the worse of the two.
pub(super) fn sum(one: Counted, other: Counted) -> Counted {
    let amount = match (one.amount, other.amount) {
        (Amount::Whole(one), Amount::Whole(other)) => Amount::Whole(one.saturating_add(other)),
        (one, other) => Amount::Real(one.as_f64() + other.as_f64()),
    };
    let running_ratio = match (one.running_ratio, other.running_ratio) {
        (Some(one), Some(other)) => Some(one.min(other)),
        (one, other) => one.or(other),
    };
    Counted { amount, running_ratio }
}

/// What stands among the events of a trace without being one: a number that is compared, never added.
pub(super) const ADDRESS_SPACE: &str = "address_space";

/// The readings of a trace: a group for each vCPU, called as its guest, or as its program where that is known.
#[must_use]
pub(super) fn of_trace(trace: &Trace) -> Vec<Reading> {
    let mut time_seconds: BTreeMap<VcpuId, (f64, u64)> = BTreeMap::new();
    let names: BTreeMap<VcpuId, Arc<str>> =
        trace.rows.iter().map(|row| (row.sample.vcpu, Arc::from(name_of(row)))).collect();
    let events: Vec<(counters::Event, Arc<str>)> =
        counters::Event::ALL.into_iter().map(|event| (event, Arc::from(event.name()))).collect();
    let unit: Arc<str> = Arc::from("");
    let knows_spaces = trace.rows.iter().any(|row| row.sample.address_space.is_some());
    let address_space: Option<Arc<str>> = knows_spaces.then(|| Arc::from(ADDRESS_SPACE));
    let mut readings = Vec::new();
    for row in &trace.rows {
        let (end, interval) = time_seconds.entry(row.sample.vcpu).or_default();
        *end += row.sample.elapsed.as_secs_f64();
        let mut push = |event: &Arc<str>, value: Option<u64>, running_ratio: Option<f64>| {
            readings.push(Reading {
                time_seconds: Some(*end),
                event: event.clone(),
                value: value.map(Amount::Whole),
                unit: unit.clone(),
                running_ratio,
                group: names.get(&row.sample.vcpu).cloned(),
                run: 0,
                interval: *interval,
            });
        };
        for (event, name) in events.iter().filter(|(event, _)| trace.run.events.contains(event)) {
            let reading = row.sample.readings.get(*event);
            let running_ratio = match reading {
                counters::Reading::Exact(_) => Some(1.0),
                counters::Reading::Scaled { coverage, .. } => Some(coverage),
                counters::Reading::Absent => None,
            };
            push(name, reading.count(), running_ratio);
        }
        if let Some(name) = &address_space {
            push(name, row.sample.address_space.map(AddressSpace::number), None);
        }
        *interval += 1;
    }
    readings
}

/// The program that each group of a trace runs, where that is known.
#[must_use]
pub(super) fn programs(trace: &Trace) -> BTreeMap<Arc<str>, String> {
    let known = trace.rows.iter().filter(|row| !row.program.is_empty());
    known.map(|row| (Arc::from(name_of(row)), row.program.clone())).collect()
}

fn name_of(row: &Row) -> String {
    match row.sample.vcpu.index {
        0 => row.guest_name.clone(),
        index => format!("{} vCPU {index}", row.guest_name),
    }
}
