//! From imported series to a trace, so that training, scoring and other people's tools read one format.
//!
//! What a recording does not say stays unsaid where the format allows it. Where it does not: every series becomes a guest
//! of its own that is alone in an LLC domain of its own (an import cannot know who shared a cache), and time is 0 where
//! none was recorded.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::time::Duration;

use predictor::counters::{AddressSpace, Event, GuestId, Sample, VcpuId};
use predictor::topology::{CpuId, DomainId, LlcDomain, NodeId, Topology, TopologyError};

use super::events::{Sources, one_run};
use super::recorded::{ADDRESS_SPACE, Counted, Recorded, series};
use super::{Amount, Format, Import, Layout};
use crate::input::InputError;
use crate::journal::run::{GuestDescription, RunDescription};
use crate::trace::{TraceError, TraceWriter};

/// One series with what it says of our events.
#[derive(Debug, Clone, PartialEq)]
pub struct Imported {
    /// Its name: the file's, and the group's where there are several.
    pub name: String,
    /// The events that it has.
    pub events: BTreeSet<Event>,
    /// Its intervals as samples of one guest.
    pub samples: Vec<Sample>,
}

/// The series of a file called `file` as samples; `guests` of other files stand before it.
#[must_use]
pub fn samples(file: &Path, import: &Import, guests: usize) -> Vec<Imported> {
    let layout = match import.format {
        Format::Table(layout) => Some(layout),
        _ => None,
    };
    let stem = stem(file);
    let number = |place: usize| u32::try_from(guests + place).unwrap_or(u32::MAX);
    let convert = |(place, mut recorded): (usize, Recorded)| {
        if layout == Some(Layout::ThreeRuns) {
            one_run(&mut recorded);
        }
        let sources = Sources::of(&recorded, layout);
        // Elsewhere a column of that name is anybody's.
        let spaces = recorded.place(ADDRESS_SPACE).filter(|_| import.format == Format::Trace);
        let sample = |interval: usize| Sample {
            vcpu: VcpuId { guest: GuestId(number(place)), index: 0 },
            domain: DomainId(number(place)),
            elapsed: elapsed(&recorded, interval),
            readings: sources.readings(&recorded.intervals[interval]),
            address_space: spaces.and_then(|place| address_space(&recorded.intervals[interval].counts[place]?)),
            truth: None,
        };
        Imported {
            name: recorded.name(&stem),
            events: sources.events().collect(),
            samples: (0..recorded.intervals.len()).map(sample).collect(),
        }
    };
    series(&import.readings).into_iter().enumerate().map(convert).collect()
}

fn address_space(counted: &Counted) -> Option<AddressSpace> {
    match counted.amount {
        Amount::Whole(number) => AddressSpace::try_from(number).ok(),
        Amount::Real(_) => None,
    }
}

/// The file's name without what says how it is packed.
#[must_use]
pub fn stem(file: &Path) -> String {
    let name = file.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let name = name.strip_suffix(".gz").unwrap_or(&name);
    let endings = [".csv", ".parquet", ".jsonl", ".json", ".txt"];
    endings.into_iter().find_map(|ending| name.strip_suffix(ending)).unwrap_or(name).to_owned()
}

fn elapsed(recorded: &Recorded, interval: usize) -> Duration {
    let seconds = recorded.elapsed_seconds(interval).unwrap_or(0.0);
    Duration::try_from_secs_f64(seconds).unwrap_or(Duration::ZERO)
}

/// Writes `imported` as a trace at `path`; answers the number of rows.
pub fn write(path: &Path, imported: &[Imported]) -> anyhow::Result<u64> {
    let nothing = || InputError::new("no interval counts instructions", "record the event instructions as well");
    if !imported.iter().any(|series| series.events.contains(&Event::Instructions) && !series.samples.is_empty()) {
        return Err(nothing().into());
    }
    let run = describe(path, imported)?;
    write_rows(path, &run, imported).map_err(Into::into)
}

fn write_rows(path: &Path, run: &RunDescription, imported: &[Imported]) -> Result<u64, TraceError> {
    let mut writer = TraceWriter::create(path, run)?;
    let longest = imported.iter().map(|series| series.samples.len()).max().unwrap_or(0);
    for (quantum, place) in (0u64..).zip(0..longest) {
        let samples: Vec<Sample> = imported.iter().filter_map(|series| series.samples.get(place).cloned()).collect();
        writer.add_quantum(quantum, &samples)?;
    }
    writer.finish()
}

fn describe(path: &Path, imported: &[Imported]) -> Result<RunDescription, TopologyError> {
    let domain =
        |number: u32| LlcDomain { id: DomainId(number), node: NodeId(0), cpus: vec![CpuId(number)], llc_bytes: None };
    let guest = |series: &Imported| GuestDescription {
        name: series.name.clone(),
        program: String::new(),
        input: String::new(),
    };
    let guests: BTreeMap<GuestId, GuestDescription> = (0..).map(GuestId).zip(imported.iter().map(guest)).collect();
    let mut lengths: Vec<Duration> =
        imported.iter().flat_map(|series| series.samples.iter().map(|sample| sample.elapsed)).collect();
    lengths.sort_unstable();
    Ok(RunDescription {
        purpose: "import".to_owned(),
        host: "imported".to_owned(),
        machine: "not known".to_owned(),
        mix: stem(path),
        policy: "none".to_owned(),
        seed: 0,
        quantum: lengths.get(lengths.len() / 2).copied().unwrap_or_default(),
        frequency_hz: None,
        llc_latency_cycles: None,
        memory_latency_cycles: None,
        memory_bytes_per_cycle: None,
        topology: Topology::new((0..u32::try_from(imported.len()).unwrap_or(u32::MAX)).map(domain).collect())?,
        events: imported.iter().flat_map(|series| series.events.iter().copied()).collect(),
        guests,
        revision: env!("CARGO_PKG_VERSION").to_owned(),
    })
}
