//! Counters of one vCPU over one quantum, as a host read them.
//!
//! A reading says how it was obtained: a counter that could not be read is [`Reading::Absent`], never zero, and what
//! that absence means is decided by the feature stage alone.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::topology::DomainId;

/// A guest, by the number its host gave it; not reused within a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct GuestId(pub u32);

/// One virtual CPU of a guest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct VcpuId {
    /// The guest it belongs to.
    pub guest: GuestId,
    /// Its number within the guest, from 0.
    pub index: u32,
}

impl std::fmt::Display for VcpuId {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(out, "guest {} vCPU {}", self.guest.0, self.index)
    }
}

/// What a host can count. Names carry their unit; counts are of the quantum, never running sums.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Event {
    /// Retired instructions, user and kernel.
    Instructions,
    /// Retired instructions of the guest's kernel.
    KernelInstructions,
    /// Core cycles while the vCPU ran, stalls included.
    Cycles,
    /// Cycles in which the vCPU had nothing to run.
    IdleCycles,
    /// Data loads.
    Loads,
    /// Data stores.
    Stores,
    /// Loads and stores that missed the first-level data cache.
    L1Misses,
    /// Loads and stores that missed the private second-level cache. What the shared cache is asked for: placement
    /// does not change it.
    LlcReferences,
    /// References that missed the shared last-level cache.
    LlcMisses,
    /// Dirty lines sent from the last-level cache to memory.
    WriteBacks,
    /// Bytes fetched from memory.
    MemoryReadBytes,
    /// Cycles in which the core waited for memory.
    StallCycles,
    /// Nanoseconds in which the vCPU was on a CPU. What a host knows even where it has no counters.
    RunningNanoseconds,
}

impl Event {
    /// Every event that a core counts, in the order in which [`Readings`] keeps them. Emulated machines count all of them,
    /// and traces have a column for each; [`Event::RunningNanoseconds`], which the operating system counts, stands after.
    pub const ALL: [Event; 12] = [
        Event::Instructions,
        Event::KernelInstructions,
        Event::Cycles,
        Event::IdleCycles,
        Event::Loads,
        Event::Stores,
        Event::L1Misses,
        Event::LlcReferences,
        Event::LlcMisses,
        Event::WriteBacks,
        Event::MemoryReadBytes,
        Event::StallCycles,
    ];

    /// Events with a reading: [`Event::ALL`], and what the operating system counts.
    const KEPT: usize = Self::ALL.len() + 1;

    /// The name used in traces, journals and messages.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Event::Instructions => "instructions",
            Event::KernelInstructions => "kernel_instructions",
            Event::Cycles => "cycles",
            Event::IdleCycles => "idle_cycles",
            Event::Loads => "loads",
            Event::Stores => "stores",
            Event::L1Misses => "l1_misses",
            Event::LlcReferences => "llc_references",
            Event::LlcMisses => "llc_misses",
            Event::WriteBacks => "write_backs",
            Event::MemoryReadBytes => "memory_read_bytes",
            Event::StallCycles => "stall_cycles",
            Event::RunningNanoseconds => "running_nanoseconds",
        }
    }
}

/// One counter over one quantum.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reading {
    /// Counted all the time.
    Exact(u64),
    /// Counted part of the time and scaled up.
    Scaled {
        /// The estimate for the whole quantum.
        estimate: u64,
        /// The share of the quantum in which it was counted, in (0, 1).
        coverage: f64,
    },
    /// Not read, not supported, or went backwards.
    #[default]
    Absent,
}

impl Reading {
    /// The count, exact or estimated; `None` where there is none.
    #[must_use]
    pub const fn count(self) -> Option<u64> {
        match self {
            Reading::Exact(count) | Reading::Scaled { estimate: count, .. } => Some(count),
            Reading::Absent => None,
        }
    }
}

/// A reading for every event, absent unless set.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Readings([Reading; Event::KEPT]);

impl Readings {
    /// Readings of the events given; all others are absent.
    #[must_use]
    pub fn new(readings: impl IntoIterator<Item = (Event, Reading)>) -> Self {
        let mut all = Self::default();
        for (event, reading) in readings {
            all.0[event as usize] = reading;
        }
        all
    }

    /// What `reading` says of every event that a core counts.
    #[must_use]
    pub fn from_fn(reading: impl Fn(Event) -> Reading) -> Self {
        Self::new(Event::ALL.map(|event| (event, reading(event))))
    }

    /// The reading of `event`.
    #[must_use]
    pub const fn get(&self, event: Event) -> Reading {
        self.0[event as usize]
    }

    /// Every event with its reading, absent ones included, in the order of [`Event::ALL`]; what the operating system
    /// counts stands last.
    pub fn iter(&self) -> impl Iterator<Item = (Event, Reading)> + '_ {
        Event::ALL.into_iter().chain([Event::RunningNanoseconds]).zip(self.0)
    }
}

/// Written as a map from event name to reading, without the absent ones.
impl Serialize for Readings {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.iter().filter(|(_, reading)| *reading != Reading::Absent))
    }
}

impl<'de> Deserialize<'de> for Readings {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let present = std::collections::BTreeMap::<Event, Reading>::deserialize(deserializer)?;
        Ok(Self::new(present))
    }
}

/// Whose memory a vCPU sees: the physical address of its page table. Each process of a guest has one of its own; threads
/// of the guest's kernel go on with that of whoever ran before.
///
/// Two are equal or they are not; the number means nothing else, and nothing across runs: a process that ends gives its
/// page table back, and another may get it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "u64", into = "u64")]
pub struct AddressSpace(u64);

/// A number that no address space has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{0:#x} is no address space: give a page table's physical address with bits 0 to 12 and 63 clear, and not 0")]
pub struct NoAddressSpace(pub u64);

impl AddressSpace {
    /// Bits of CR3 that name no page table: the process's number in the TLB (0 to 11), and whether that is kept (63).
    /// Bit 12 is a page table's own, and Linux uses it: with its tables for user and kernel apart (page-table isolation)
    /// those of one process lie side by side and differ in this bit alone.
    const NO_ADDRESS: u64 = 0xfff | 1 << 12 | 1 << 63;

    /// The address space that an x86 processor with this value in CR3 is in. `None` of a value without an address: no
    /// page table has been set up.
    #[must_use]
    pub const fn of_cr3(cr3: u64) -> Option<Self> {
        match cr3 & !Self::NO_ADDRESS {
            0 => None,
            root => Some(Self(root)),
        }
    }

    /// The number that tells it from others, for files and hashes.
    #[must_use]
    pub const fn number(self) -> u64 {
        self.0
    }
}

impl TryFrom<u64> for AddressSpace {
    type Error = NoAddressSpace;

    fn try_from(number: u64) -> Result<Self, NoAddressSpace> {
        Self::of_cr3(number).filter(|space| space.0 == number).ok_or(NoAddressSpace(number))
    }
}

impl From<AddressSpace> for u64 {
    fn from(space: AddressSpace) -> Self {
        space.0
    }
}

/// A phase that the workload itself marked: ground truth, for scoring only. No policy may read it but an oracle.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct PhaseMark(pub u32);

/// One vCPU's counters over one quantum.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Sample {
    /// Whose counters these are.
    pub vcpu: VcpuId,
    /// The LLC domain in which the vCPU spent the quantum.
    pub domain: DomainId,
    /// Time that passed on the host's clock.
    pub elapsed: Duration,
    /// What was counted.
    pub readings: Readings,
    /// Whose memory the vCPU saw when the quantum ended, where the host can tell.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub address_space: Option<AddressSpace>,
    /// The phase that the workload marked over most of the quantum's instructions, where it marks any.
    pub truth: Option<PhaseMark>,
}

impl Sample {
    /// The count of `event`, exact or estimated; `None` where there is none.
    #[must_use]
    pub const fn count(&self, event: Event) -> Option<u64> {
        self.readings.get(event).count()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_absent_counter_never_becomes_zero() {
        let readings = Readings::new([(Event::Cycles, Reading::Exact(0))]);
        assert_eq!(readings.get(Event::Cycles).count(), Some(0));
        assert_eq!(readings.get(Event::LlcMisses).count(), None);
        let text = serde_json::to_string(&readings).expect("plain data");
        assert_eq!(text, r#"{"cycles":{"exact":0}}"#);
        assert_eq!(serde_json::from_str::<Readings>(&text).expect("own text"), readings);
    }

    #[test]
    fn both_page_tables_of_a_process_and_all_its_tlb_numbers_are_one_address_space() {
        let of = |cr3| AddressSpace::of_cr3(cr3).map(AddressSpace::number);
        assert_eq!(of(0x1_2345_6000), Some(0x1_2345_6000));
        for bits in [0x1000, 0x0fff, 0x1abc, 1 << 63, 1 << 63 | 0x1801] {
            assert_eq!(of(0x1_2345_6000 | bits), of(0x1_2345_6000), "{bits:#x}");
        }
        assert_ne!(of(0x1_2345_6000), of(0x1_2345_8000));
    }

    #[test]
    fn without_a_page_table_there_is_no_address_space() {
        for cr3 in [0, 0x1fff, 1 << 63] {
            assert_eq!(AddressSpace::of_cr3(cr3), None, "{cr3:#x}");
            assert_eq!(AddressSpace::try_from(cr3), Err(NoAddressSpace(cr3)));
        }
        assert_eq!(AddressSpace::try_from(0x5001), Err(NoAddressSpace(0x5001)));
        assert_eq!(serde_json::from_str::<AddressSpace>("16384").ok(), AddressSpace::of_cr3(0x4000));
        assert!(serde_json::from_str::<AddressSpace>("16385").is_err());
    }

    #[test]
    fn every_event_stands_at_its_own_place() {
        for (place, (event, _)) in Readings::default().iter().enumerate() {
            assert_eq!(event as usize, place, "{}", event.name());
        }
        assert_eq!(Readings::default().iter().count(), Event::KEPT);
    }
}
