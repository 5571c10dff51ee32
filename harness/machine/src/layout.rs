//! How the shared segment is laid out, and its mapping into a process. Who may write what when is [`crate::segment`]'s
//! and [`crate::seat`]'s business.
//!
//! ```text
//! Header | DomainState per domain | SlotState per slot | LLC tags per domain, each from a page boundary
//! ```
//!
//! All state is atomic, so shared references into the mapping are sound whatever the other processes do; the LLC tags
//! are plain words and belong to whoever has the turn in their domain.
#![expect(unsafe_code, reason = "references into memory that is shared between processes")]

use std::fs::File;
use std::mem::size_of;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use memmap2::{MmapOptions, MmapRaw};

use crate::counters::{AddressSpace, Counters};
use crate::idle::Halt;
use crate::marks::PHASES;
use crate::pipeline::TICKS_PER_CYCLE;
use crate::seat::TurnEnd;
use crate::segment::SegmentError;
use crate::spec::{MAX_CPUS_PER_DOMAIN, Machine};

/// `"PHASECST"`.
const MAGIC: u64 = u64::from_le_bytes(*b"PHASECST");

/// Raised with every change to these structures: harness and plugin must agree.
const VERSION: u32 = 4;

const PAGE: usize = 4096;
const MAX_TEXT: usize = 8192;
/// Longest failure message, in bytes.
pub(crate) const MAX_FAILURE: usize = 512;

/// What all share.
#[repr(C)]
pub(crate) struct Header {
    magic: AtomicU64,
    bytes: AtomicU64,
    version: AtomicU32,
    slots: AtomicU32,
    domains: AtomicU32,
    text_bytes: AtomicU32,
    /// Seed of the page colours.
    pub(crate) seed: AtomicU64,
    /// Cycles granted since the start.
    pub(crate) horizon_cycles: AtomicU64,
    /// Counts events the harness may wait for: a domain parked, a vCPU arrived or failed.
    pub(crate) doorbell: AtomicU32,
    /// 1 once all guests may run freely, uncounted.
    pub(crate) released: AtomicU32,
    text: [AtomicU8Cell; MAX_TEXT],
}

type AtomicU8Cell = std::sync::atomic::AtomicU8;

/// One LLC domain. Written by the harness while parked, by the holder of the turn otherwise.
#[repr(C, align(64))]
pub(crate) struct DomainState {
    /// Where the current epoch ends.
    pub(crate) epoch_end_cycles: AtomicU64,
    /// Lines moved to and from memory in the current epoch.
    pub(crate) lines_moved: AtomicU64,
    /// Loaded memory latency in cycles, the bits of an `f64`.
    pub(crate) latency_bits: AtomicU64,
    /// 1 from the grant until the horizon.
    pub(crate) running: AtomicU32,
    /// How many of `members` are in use.
    pub(crate) member_count: AtomicU32,
    /// Slots that take turns in the current epoch, ascending.
    pub(crate) members: [AtomicU32; MAX_RESIDENTS],
    /// How many of `residents` are in use.
    pub(crate) resident_count: AtomicU32,
    /// The number of its first CPU.
    pub(crate) first_cpu: AtomicU32,
    /// Slots that are placed here, ascending.
    pub(crate) residents: [AtomicU32; MAX_RESIDENTS],
    /// Who has each of its CPUs.
    pub(crate) holds: [Hold; MAX_CPUS_PER_DOMAIN as usize],
}

impl DomainState {
    pub(crate) fn residents(&self) -> &[AtomicU32] {
        &self.residents[..self.resident_count.load(Ordering::Relaxed) as usize]
    }
}

/// Who has a CPU.
#[repr(C)]
pub(crate) struct Hold {
    /// When its time slice began.
    pub(crate) began_cycles: AtomicU64,
    /// The vCPU that runs here, or ran last; `NOWHERE` if none ever has.
    pub(crate) slot: AtomicU32,
}

/// Most vCPUs in one LLC domain, those that share a CPU included.
pub(crate) const MAX_RESIDENTS: usize = 256;

/// No plugin has attached yet.
pub(crate) const EMPTY: u32 = 0;
/// A plugin has attached; its vCPU has not passed the begin mark.
pub(crate) const ATTACHED: u32 = 1;
/// The vCPU has passed the begin mark.
pub(crate) const ARRIVED: u32 = 2;
/// A CPU number no machine has.
pub(crate) const NOWHERE: u32 = u32::MAX;

/// One vCPU.
#[repr(C, align(64))]
pub(crate) struct SlotState {
    /// 1 while this vCPU has the turn in its domain: the word it sleeps on.
    pub(crate) turn: AtomicU32,
    /// `EMPTY`, `ATTACHED` or `ARRIVED`.
    pub(crate) status: AtomicU32,
    /// The CPU it is placed on; `NOWHERE` at first.
    pub(crate) cpu: AtomicU32,
    /// That CPU's domain.
    pub(crate) domain: AtomicU32,
    /// The node on which its memory is: where it was first placed.
    pub(crate) home: AtomicU32,
    /// Raised whenever it is placed on another CPU.
    pub(crate) generation: AtomicU32,
    /// 1 if it has halted in its last turn, and gives up its CPU if another waits.
    pub(crate) yields: AtomicU32,
    /// If it is halted: since when, until when, and its idle time before that. The counters say no more than that.
    pub(crate) halted_from_ticks: AtomicU64,
    /// See `halted_from_ticks`.
    pub(crate) halted_until_ticks: AtomicU64,
    /// See `halted_from_ticks`.
    pub(crate) idle_before_ticks: AtomicU64,
    /// Length of `failure`; 0 while there is none.
    pub(crate) failure_bytes: AtomicU32,
    /// The address space at the end of the last turn, marked with [`KNOWN`]; 0 if nobody told.
    address_space: AtomicU64,
    failure: [AtomicU8Cell; MAX_FAILURE],
    counters: [AtomicU64; Counters::COUNT],
    marks: [AtomicU64; PHASES + 1],
}

/// Set in an address space that was told: no physical address has this bit.
const KNOWN: u64 = 1 << 63;

impl SlotState {
    pub(crate) fn set_address_space(&self, AddressSpace(root): AddressSpace) {
        self.address_space.store(root | KNOWN, Ordering::Relaxed);
    }

    pub(crate) fn address_space(&self) -> Option<AddressSpace> {
        let told = self.address_space.load(Ordering::Relaxed);
        (told & KNOWN != 0).then_some(AddressSpace(told & !KNOWN))
    }

    /// Makes the state at the end of a turn visible to the others; ordered by the hand-over of the turn that follows.
    pub(crate) fn publish(&self, end: &TurnEnd) {
        for (cell, count) in self.counters.iter().zip(end.counters.to_array()) {
            cell.store(count, Ordering::Relaxed);
        }
        for (cell, count) in self.marks.iter().zip(end.phase_instructions) {
            cell.store(count, Ordering::Relaxed);
        }
        let Halt { from_ticks, until_ticks, idle_before_ticks } = end.halt.unwrap_or_default();
        self.yields.store(end.halt.is_some().into(), Ordering::Relaxed);
        self.halted_from_ticks.store(from_ticks, Ordering::Relaxed);
        self.halted_until_ticks.store(until_ticks, Ordering::Relaxed);
        self.idle_before_ticks.store(idle_before_ticks, Ordering::Relaxed);
    }

    /// What the vCPU has counted up to `now_cycles`, which is no earlier than the end of its last turn. While it is
    /// halted its idle time goes on, and nobody wakes it to say so.
    pub(crate) fn counters(&self, now_cycles: u64) -> Counters {
        let counters = Counters::from_array(std::array::from_fn(|at| self.counters[at].load(Ordering::Relaxed)));
        let until = self.halted_until_ticks.load(Ordering::Relaxed).min(now_cycles * TICKS_PER_CYCLE);
        match until.checked_sub(self.halted_from_ticks.load(Ordering::Relaxed)) {
            Some(ticks @ 1..) => {
                let idle_ticks = self.idle_before_ticks.load(Ordering::Relaxed) + ticks;
                Counters { idle_cycles: idle_ticks / TICKS_PER_CYCLE, ..counters }
            }
            _ => counters,
        }
    }

    pub(crate) fn marks(&self) -> [u64; PHASES + 1] {
        std::array::from_fn(|at| self.marks[at].load(Ordering::Relaxed))
    }

    pub(crate) fn set_failure(&self, message: &str) {
        let bytes = &message.as_bytes()[..message.len().min(MAX_FAILURE)];
        for (cell, byte) in self.failure.iter().zip(bytes) {
            cell.store(*byte, Ordering::Relaxed);
        }
        self.failure_bytes.store(bytes.len() as u32, Ordering::Release);
    }

    pub(crate) fn failure(&self) -> Option<String> {
        let length = self.failure_bytes.load(Ordering::Acquire) as usize;
        let bytes: Vec<u8> =
            self.failure[..length.min(MAX_FAILURE)].iter().map(|cell| cell.load(Ordering::Relaxed)).collect();
        (length > 0).then(|| String::from_utf8_lossy(&bytes).into_owned())
    }
}

/// A segment mapped into this process.
pub(crate) struct Mapping {
    file: File,
    map: MmapRaw,
    domains: usize,
    slots: usize,
    tag_words: usize,
}

const fn to_page(bytes: usize) -> usize {
    bytes.next_multiple_of(PAGE)
}

const DOMAINS_AT: usize = to_page(size_of::<Header>());

const fn slots_at(domains: usize) -> usize {
    DOMAINS_AT + domains * size_of::<DomainState>()
}

const fn tags_at(domains: usize, slots: usize) -> usize {
    to_page(slots_at(domains) + slots * size_of::<SlotState>())
}

const fn tag_bytes(words: usize) -> usize {
    to_page(words * size_of::<u64>())
}

impl Mapping {
    /// A fresh segment in an anonymous file, all zero but the header.
    pub(crate) fn create(machine: &Machine, slots: u32, seed: u64) -> Result<Self, SegmentError> {
        let text = machine.text().as_bytes();
        if text.len() > MAX_TEXT {
            return Err(SegmentError::new(
                "create the shared segment",
                format!("the machine's text has {} bytes and there is room for {MAX_TEXT}; shorten it", text.len()),
            ));
        }
        let domains = machine.domains().len();
        let bytes = tags_at(domains, slots as usize) + domains * tag_bytes(machine.llc().lines());
        let flags = rustix::fs::MemfdFlags::CLOEXEC;
        let file = File::from(
            rustix::fs::memfd_create("phasecast-segment", flags)
                .map_err(|error| SegmentError::new("create the shared segment", error.to_string()))?,
        );
        file.set_len(bytes as u64).map_err(|error| {
            SegmentError::new(format!("make the shared segment {bytes} bytes long"), error.to_string())
        })?;
        let mapping = Self::map(file, bytes, domains, slots as usize, machine.llc().lines())?;
        let header = mapping.header();
        header.bytes.store(bytes as u64, Ordering::Relaxed);
        header.version.store(VERSION, Ordering::Relaxed);
        header.slots.store(slots, Ordering::Relaxed);
        header.domains.store(domains as u32, Ordering::Relaxed);
        header.seed.store(seed, Ordering::Relaxed);
        for (cell, byte) in header.text.iter().zip(text) {
            cell.store(*byte, Ordering::Relaxed);
        }
        header.text_bytes.store(text.len() as u32, Ordering::Relaxed);
        header.magic.store(MAGIC, Ordering::Release);
        Ok(mapping)
    }

    /// Maps a segment that another process created; answers its machine too.
    pub(crate) fn attach(file: File) -> Result<(Self, Machine), SegmentError> {
        let refuse = |reason: String| SegmentError::new("attach to the shared segment", reason);
        let bytes = file.metadata().map_err(|error| refuse(error.to_string()))?.len() as usize;
        if bytes < DOMAINS_AT {
            return Err(refuse(format!("{bytes} bytes is no segment; pass the descriptor that the harness created")));
        }
        let mut mapping = Self::map(file, bytes, 0, 0, 0)?;
        let header = mapping.header();
        if header.magic.load(Ordering::Acquire) != MAGIC {
            return Err(refuse(
                "it does not begin as a segment does; pass the descriptor that the harness created".into(),
            ));
        }
        let version = header.version.load(Ordering::Relaxed);
        if version != VERSION {
            return Err(refuse(format!(
                "its layout has version {version} and this plugin knows {VERSION}; build harness and plugin together"
            )));
        }
        let length = (header.text_bytes.load(Ordering::Relaxed) as usize).min(MAX_TEXT);
        let text: Vec<u8> = header.text[..length].iter().map(|cell| cell.load(Ordering::Relaxed)).collect();
        let machine = Machine::from_toml(&String::from_utf8_lossy(&text)).map_err(|error| refuse(error.to_string()))?;
        let (domains, slots) = (machine.domains().len(), header.slots.load(Ordering::Relaxed) as usize);
        let expected = tags_at(domains, slots) + domains * tag_bytes(machine.llc().lines());
        if bytes != expected || header.bytes.load(Ordering::Relaxed) != bytes as u64 {
            return Err(refuse(format!("it has {bytes} bytes and its machine needs {expected}")));
        }
        (mapping.domains, mapping.slots, mapping.tag_words) = (domains, slots, machine.llc().lines());
        Ok((mapping, machine))
    }

    fn map(file: File, bytes: usize, domains: usize, slots: usize, tag_words: usize) -> Result<Self, SegmentError> {
        let map = MmapOptions::new().len(bytes).map_raw(&file).map_err(|error| {
            SegmentError::new(format!("map the shared segment of {bytes} bytes"), error.to_string())
        })?;
        Ok(Self { file, map, domains, slots, tag_words })
    }

    pub(crate) fn fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }

    pub(crate) fn file(&self) -> &File {
        &self.file
    }

    pub(crate) fn header(&self) -> &Header {
        // SAFETY: every mapping is at least a header long and page-aligned; a header is atomics only, so any bytes
        // are a valid one and others may write to it.
        unsafe { &*self.map.as_ptr().cast::<Header>() }
    }

    pub(crate) fn domains(&self) -> usize {
        self.domains
    }

    pub(crate) fn slots(&self) -> usize {
        self.slots
    }

    /// # Panics
    /// If there is no such domain.
    pub(crate) fn domain(&self, index: u32) -> &DomainState {
        assert!((index as usize) < self.domains, "domain {index} of {}", self.domains);
        // SAFETY: in bounds by the check above and the sizes compared in `attach`; aligned, since `DOMAINS_AT` is a
        // page boundary and the size a multiple of the alignment; atomics only, as in `header`.
        unsafe { &*self.map.as_ptr().add(DOMAINS_AT).cast::<DomainState>().add(index as usize) }
    }

    /// # Panics
    /// If there is no such slot.
    pub(crate) fn slot(&self, index: u32) -> &SlotState {
        assert!((index as usize) < self.slots, "slot {index} of {}", self.slots);
        // SAFETY: as in `domain`; `DomainState` has the same alignment, so the slots behind it are aligned.
        unsafe { &*self.map.as_ptr().add(slots_at(self.domains)).cast::<SlotState>().add(index as usize) }
    }

    /// The LLC tags of a domain, `sets * ways` words.
    ///
    /// # Safety
    /// The caller has the turn in that domain for as long as it uses the answer.
    ///
    /// # Panics
    /// If there is no such domain.
    #[expect(clippy::mut_from_ref, reason = "the turn, not the reference, makes the access exclusive")]
    pub(crate) unsafe fn tags(&self, domain: u32) -> &mut [u64] {
        assert!((domain as usize) < self.domains, "domain {domain} of {}", self.domains);
        let at = tags_at(self.domains, self.slots) + domain as usize * tag_bytes(self.tag_words);
        // SAFETY: in bounds and aligned as in `domain`; exclusive by the caller's promise, and turns are handed over
        // with release and acquire, so earlier writes are visible.
        unsafe { std::slice::from_raw_parts_mut(self.map.as_mut_ptr().add(at).cast::<u64>(), self.tag_words) }
    }
}
