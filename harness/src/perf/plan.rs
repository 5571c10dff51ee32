//! Which events stand for what on which processor, in the order of their worth.
//!
//! The kernel's generic names are taken where they mean the same everywhere. The generic cache events do not: on Intel
//! they are the architectural "last-level cache references and misses" of the core (SDM volume 3B, 21.2.1.2), on AMD Zen
//! they are L1 instruction-cache or L2 events, whichever the kernel chose, and on ARM those of the L1 data cache.
//!
//! | processor | event | encoding | source |
//! |---|---|---|---|
//! | Intel, all | LLC references, misses | generic (2EH/4FH, 2EH/41H) | SDM 3B, architectural events |
//! | Intel Core, Haswell to Granite Rapids | loads, stores | D0H/81H, D0H/82H | perfmon: MEM_INST_RETIRED.ALL_LOADS, ALL_STORES (MEM_UOPS_RETIRED before Skylake) |
//! | Intel Skylake to Ice Lake | stall cycles | A3H/14H, cmask 20 | perfmon: CYCLE_ACTIVITY.STALLS_MEM_ANY |
//! | AMD Zen, 17H and later | LLC references | PMCx064, 09H | perf's lists: L2 misses of data and instruction fetches, without prefetches of the L2 |
//! | AMD Zen 2 and later | LLC misses | PMCx043, 48H | perf's lists: demand fills of the data cache from memory, near and far |
//! | AMD Zen, 17H and later | loads, stores | PMCx029, 01H, 02H | perf's lists: dispatched, so wrong paths are among them |
//!
//! perf's lists are `tools/perf/pmu-events/arch/x86/amdzen*` of the kernel's source, made from AMD's processor references. Zen 1's has
//! no PMCx043. PMCx044 of Zen 3 counts fills for prefetches too, and would have more misses than there are references.
//!
//! AMD's L3 events count a whole LLC domain and cannot be had for a thread; they are not used. A raw code is asked for
//! only on processors of this table: on others the same code counts something else, and the kernel would not know.

use perf_event::events::Raw;
use predictor::counters::Event;

/// How an event is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Encoding {
    /// The kernel's generic cycles.
    Cycles,
    /// The kernel's generic instructions.
    Instructions,
    /// The kernel's generic cache references.
    CacheReferences,
    /// The kernel's generic cache misses.
    CacheMisses,
    /// The processor's own code.
    Raw(u64),
}

/// An event to ask for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Planned {
    /// What it stands for.
    pub event: Event,
    /// How it is asked for.
    pub encoding: Encoding,
}

/// Which processor this is, as far as its events depend on it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Processor {
    /// `GenuineIntel`, `AuthenticAMD`; empty where the kernel names none, as on ARM.
    pub vendor: String,
    /// The family, extended part included.
    pub family: u32,
    /// The model, extended part included.
    pub model: u32,
}

impl Processor {
    /// The first processor that `/proc/cpuinfo` describes.
    #[must_use]
    pub fn of(cpuinfo: &str) -> Self {
        let value = |key: &str| {
            let line = cpuinfo.lines().find(|line| line.split(':').next().is_some_and(|name| name.trim() == key))?;
            Some(line.split_once(':')?.1.trim())
        };
        let number = |key| value(key).and_then(|text| text.parse().ok()).unwrap_or(0);
        Self {
            vendor: value("vendor_id").unwrap_or_default().to_owned(),
            family: number("cpu family"),
            model: number("model"),
        }
    }

    /// What to ask for, what matters most first.
    #[must_use]
    pub fn events(&self) -> Vec<Planned> {
        let mut plan = vec![(Event::Cycles, Encoding::Cycles), (Event::Instructions, Encoding::Instructions)];
        match (self.vendor.as_str(), self.family) {
            ("GenuineIntel", _) => {
                plan.push((Event::LlcReferences, Encoding::CacheReferences));
                plan.push((Event::LlcMisses, Encoding::CacheMisses));
                if self.family == 6 && has_retired_loads(self.model) {
                    plan.push((Event::Loads, raw(0xd0, 0x81, 0)));
                    plan.push((Event::Stores, raw(0xd0, 0x82, 0)));
                }
                if self.family == 6 && has_memory_stalls(self.model) {
                    plan.push((Event::StallCycles, raw(0xa3, 0x14, 20)));
                }
            }
            ("AuthenticAMD", 0x17 | 0x19 | 0x1a) => {
                plan.push((Event::LlcReferences, raw(0x64, 0x09, 0)));
                if self.family != 0x17 || is_zen2(self.model) {
                    plan.push((Event::LlcMisses, raw(0x43, 0x48, 0)));
                }
                plan.push((Event::Loads, raw(0x29, 0x01, 0)));
                plan.push((Event::Stores, raw(0x29, 0x02, 0)));
            }
            _ => {}
        }
        plan.into_iter().map(|(event, encoding)| Planned { event, encoding }).collect()
    }
}

/// Of family 17H, those that are not Zen 1.
const fn is_zen2(model: u32) -> bool {
    model >= 0x30
}

/// Haswell to Granite Rapids, servers and clients of one kind of core.
const fn has_retired_loads(model: u32) -> bool {
    matches!(model, 0x3c | 0x3d | 0x3f | 0x45..=0x47 | 0x4f | 0x56 | 0xad | 0xae | 0xcf | 0x8f | 0xa7 | 0x7d | 0x7e)
        || has_memory_stalls(model)
}

/// Skylake, Cascade Lake, Ice Lake servers and Skylake to Comet Lake clients.
const fn has_memory_stalls(model: u32) -> bool {
    matches!(model, 0x55 | 0x4e | 0x5e | 0x8e | 0x9e | 0xa5 | 0xa6 | 0x6a | 0x6c)
}

/// An x86 event code: low and high bits of the event, unit mask, counter mask.
const fn raw(event: u64, unit_mask: u64, counter_mask: u64) -> Encoding {
    Encoding::Raw(Raw::new(event & 0xff | unit_mask << 8 | counter_mask << 24 | (event >> 8 & 0xf) << 32).config)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan(vendor: &str, family: u32, model: u32) -> Vec<(Event, Encoding)> {
        let processor = Processor { vendor: vendor.to_owned(), family, model };
        processor.events().into_iter().map(|planned| (planned.event, planned.encoding)).collect()
    }

    #[test]
    fn each_vendors_shared_cache_is_asked_for_in_its_own_words() {
        let intel = plan("GenuineIntel", 6, 0x55);
        assert_eq!(intel[2], (Event::LlcReferences, Encoding::CacheReferences));
        assert_eq!(intel[6], (Event::StallCycles, Encoding::Raw(0x1400_14a3)));
        let zen3 = plan("AuthenticAMD", 0x19, 1);
        assert_eq!(zen3[2], (Event::LlcReferences, Encoding::Raw(0x0964)));
        for zen2_and_later in [zen3, plan("AuthenticAMD", 0x17, 0x31), plan("AuthenticAMD", 0x1a, 2)] {
            assert_eq!(zen2_and_later[3], (Event::LlcMisses, Encoding::Raw(0x4843)));
        }
        let zen1 = plan("AuthenticAMD", 0x17, 1);
        assert!(zen1.iter().all(|(event, _)| *event != Event::LlcMisses), "no list has a code for it");
    }

    #[test]
    fn an_unknown_processor_is_asked_for_what_means_the_same_everywhere() {
        for unknown in [plan("", 0, 0), plan("AuthenticAMD", 0x15, 2), plan("HygonGenuine", 0x18, 1)] {
            assert_eq!(
                unknown.iter().map(|(event, _)| *event).collect::<Vec<_>>(),
                [Event::Cycles, Event::Instructions]
            );
        }
        assert_eq!(plan("GenuineIntel", 6, 0x5f).len(), 4, "an Atom has other codes for loads");
    }

    #[test]
    fn the_processor_is_the_first_that_the_kernel_describes() {
        let text =
            "processor\t: 0\nvendor_id\t: AuthenticAMD\ncpu family\t: 25\nmodel\t\t: 1\nmodel name\t: AMD EPYC 7763\n";
        let found = Processor::of(text);
        assert_eq!((found.vendor.as_str(), found.family, found.model), ("AuthenticAMD", 0x19, 1));
        assert_eq!(Processor::of("CPU implementer : 0x41\n"), Processor::default());
    }
}
