//! Which of our events a counter of another program is.
//!
//! perf's names differ by version, processor and option. A name is first brought into one form: lower case, without the
//! unit around it (`cpu/cycles/`), without what says whose work is counted (`:u`), and `LLC-load` as `LLC-loads`. Then each
//! event takes the first of its sources that the recording has:
//!
//! | event | sources, the best first |
//! |---|---|
//! | instructions | `instructions`, `inst_retired.any` |
//! | kernel_instructions | `instructions:k` |
//! | cycles | `cycles`, `cpu-cycles`, `cpu_clk_unhalted.thread`, `core_cycles` |
//! | loads | `L1-dcache-loads`, `mem_inst_retired.all_loads` |
//! | stores | `L1-dcache-stores`, `mem_inst_retired.all_stores` |
//! | l1_misses | `L1-dcache-load-misses` |
//! | llc_references | `LLC-loads` + `LLC-stores`, `LLC-loads`, `cache-references`, `l2_misses` |
//! | llc_misses | `LLC-load-misses` + `LLC-store-misses`, `LLC-load-misses`, `cache-misses`, `l3_misses` |
//! | stall_cycles | `cycle_activity.stalls_mem_any`, `stalled-cycles-backend` |
//!
//! and our own names. What the kernel's generic names count depends on the processor: on some, `LLC-loads` are requests to
//! the L2, and `cache-references` those of the instruction cache.
//!
//! The choice is made once for a recording, so that a sum never loses a part from one interval to the next. Where a part was
//! not counted in an interval, the event is absent there. Counters of the two kinds of core of a hybrid processor are
//! the exception: one that was not counted had nothing to count, since no time was spent there.

use predictor::counters::{Event, Reading, Readings};

use super::recorded::{Counted, Interval, Recorded, sum};
use super::{Amount, Layout};

/// For each event the names that it can be had from, the best first; names within one are added up.
const SOURCES: [(Event, &[&[&str]]); 12] = [
    (Event::Instructions, &[&["instructions"], &["inst_retired.any"], &["inst_retired.any_p"]]),
    (Event::KernelInstructions, &[&["kernel_instructions"], &["instructions:k"]]),
    (Event::Cycles, &[&["cycles"], &["cpu-cycles"], &["cpu_clk_unhalted.thread"], &["core_cycles"]]),
    (Event::IdleCycles, &[&["idle_cycles"]]),
    (Event::Loads, &[&["loads"], &["l1-dcache-loads"], &["mem_inst_retired.all_loads"]]),
    (Event::Stores, &[&["stores"], &["l1-dcache-stores"], &["mem_inst_retired.all_stores"]]),
    (Event::L1Misses, &[&["l1_misses"], &["l1-dcache-load-misses"]]),
    (
        Event::LlcReferences,
        &[&["llc_references"], &["llc-loads", "llc-stores"], &["llc-loads"], &["cache-references"], &["l2_misses"]],
    ),
    (
        Event::LlcMisses,
        &[
            &["llc_misses"],
            &["llc-load-misses", "llc-store-misses"],
            &["llc-load-misses"],
            &["cache-misses"],
            &["l3_misses"],
        ],
    ),
    (Event::WriteBacks, &[&["write_backs"]]),
    (Event::MemoryReadBytes, &[&["memory_read_bytes"]]),
    (Event::StallCycles, &[&["stall_cycles"], &["cycle_activity.stalls_mem_any"], &["stalled-cycles-backend"]]),
];

/// A name in one form, and the kind of core it is of on a hybrid processor.
fn canonical(name: &str) -> (String, bool) {
    let mut name = name.to_ascii_lowercase();
    let hybrid = name.starts_with("cpu_core/") || name.starts_with("cpu_atom/");
    let mut whose = String::new();
    if let Some((_, inner)) = name.split_once('/').filter(|(unit, _)| hybrid || *unit == "cpu") {
        let (inner, modifier) = inner.rsplit_once('/').unwrap_or((inner, ""));
        (whose, name) = (modifier.to_owned(), inner.to_owned());
    } else if let Some((inner, modifier)) = name.rsplit_once(':')
        && !modifier.is_empty()
        && modifier.chars().all(|letter| "ukhgpsd".contains(letter))
    {
        (whose, name) = (modifier.to_owned(), inner.to_owned());
    }
    if ["llc-load", "llc-store"].contains(&name.as_str()) {
        name.push('s');
    }
    let kernel_only = whose.contains('k') && !whose.contains('u');
    if kernel_only {
        name += ":k";
    }
    (name, hybrid)
}

/// Where one part of an event stands among a recording's counters: several places where a processor has two kinds of core.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Part {
    places: Vec<usize>,
}

/// Where each event that a recording has comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sources(Vec<(Event, Vec<Part>)>);

impl Sources {
    /// The sources of `recorded`, whose table has `layout` if it is one.
    #[must_use]
    pub fn of(recorded: &Recorded, layout: Option<Layout>) -> Self {
        let names: Vec<(String, bool)> = match layout {
            Some(Layout::ThreeRuns) => {
                recorded.events.iter().map(|name| (three_runs(name).to_owned(), false)).collect()
            }
            _ => recorded.events.iter().map(|name| canonical(name)).collect(),
        };
        let part = |wanted: &&str| {
            let places: Vec<usize> = (0..names.len()).filter(|place| names[*place].0 == *wanted).collect();
            let hybrid = places.iter().all(|place| names[*place].1);
            // The same event twice, as `instructions` and `instructions:u`: the first is taken.
            let places = if hybrid { places } else { places.into_iter().take(1).collect() };
            (!places.is_empty()).then_some(Part { places })
        };
        let all = SOURCES.into_iter().filter_map(|(event, choices)| {
            let parts = choices.iter().find_map(|choice| choice.iter().map(part).collect::<Option<Vec<Part>>>())?;
            Some((event, parts))
        });
        Self(all.collect())
    }

    /// The events that there is a source for.
    pub fn events(&self) -> impl Iterator<Item = Event> + '_ {
        self.0.iter().map(|(event, _)| *event)
    }

    /// What `interval` says of each event.
    #[must_use]
    pub fn readings(&self, interval: &Interval) -> Readings {
        Readings::new(self.0.iter().map(|(event, parts)| (*event, reading(parts, interval))))
    }
}

fn reading(parts: &[Part], interval: &Interval) -> Reading {
    let of_part =
        |part: &Part| part.places.iter().filter_map(|place| interval.counts.get(*place).copied().flatten()).reduce(sum);
    let counted: Option<Vec<Counted>> = parts.iter().map(of_part).collect();
    let Some(counted) = counted.and_then(|counted| counted.into_iter().reduce(sum)) else { return Reading::Absent };
    let count = counted.amount.as_count();
    match counted.running_ratio {
        Some(coverage) if coverage <= 0.0 => Reading::Absent,
        Some(coverage) if coverage < 1.0 => Reading::Scaled { estimate: count, coverage },
        _ => Reading::Exact(count),
    }
}

/// The name of a column of [`Layout::ThreeRuns`] as perf would have it. What run 2 counted is made comparable by
/// [`one_run`].
fn three_runs(column: &str) -> &str {
    match column {
        "instr_run1" => "instructions",
        "cycles_run1" => "cycles",
        "llc_rd_acc_run2" => "llc-loads",
        "llc_rd_miss_run2" => "llc-load-misses",
        "llc_wr_acc_run1" => "llc-stores",
        "llc_wr_miss_run1" => "llc-store-misses",
        other => other,
    }
}

/// Makes three runs one: what runs 2 and 3 counted is taken per instruction of their own, times the instructions of
/// run 1. Where a run's instructions are missing or 0, so are its counts.
pub fn one_run(recorded: &mut Recorded) {
    let place = |wanted: &str| recorded.place(wanted);
    let Some(base) = place("instr_run1") else { return };
    let others = [
        (place("instr_run2"), [place("llc_rd_acc_run2"), place("llc_rd_miss_run2")]),
        (place("instr_run3"), [place("mem_xfers_run3"), None]),
    ];
    for interval in &mut recorded.intervals {
        let base = interval.counts[base].map(|counted| counted.amount.as_f64());
        for (own, counts) in &others {
            let own = own.and_then(|own| interval.counts[own]).map(|counted| counted.amount.as_f64());
            let ratio = base.zip(own).map(|(base, own)| base / own).filter(|ratio| ratio.is_finite());
            for place in counts.iter().flatten() {
                interval.counts[*place] = interval.counts[*place].zip(ratio).map(|(counted, ratio)| Counted {
                    amount: Amount::Real(counted.amount.as_f64() * ratio),
                    running_ratio: counted.running_ratio,
                });
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn recorded(counts: &[(&str, Option<u64>, Option<f64>)]) -> Recorded {
        let counted = |(_, count, running_ratio): &(&str, Option<u64>, Option<f64>)| {
            count.map(|count| Counted { amount: Amount::Whole(count), running_ratio: *running_ratio })
        };
        Recorded {
            run: 0,
            group: None,
            events: counts.iter().map(|(name, ..)| (*name).into()).collect(),
            intervals: vec![Interval { end_seconds: None, counts: counts.iter().map(counted).collect() }],
        }
    }

    fn read(counts: &[(&str, Option<u64>, Option<f64>)], event: Event) -> Reading {
        let recorded = recorded(counts);
        Sources::of(&recorded, None).readings(&recorded.intervals[0]).get(event)
    }

    #[test]
    fn every_event_has_its_sources_once() {
        assert!(SOURCES.iter().map(|(event, _)| *event).eq(Event::ALL));
    }

    #[test]
    fn names_of_all_versions_are_one() {
        for name in ["instructions", "instructions:u", "cpu/instructions/", "instructions:Gpp", "INST_RETIRED.ANY"] {
            assert_eq!(read(&[(name, Some(7), None)], Event::Instructions), Reading::Exact(7), "{name}");
        }
        assert_eq!(read(&[("instructions:k", Some(7), None)], Event::Instructions), Reading::Absent);
        assert_eq!(read(&[("instructions:k", Some(7), None)], Event::KernelInstructions), Reading::Exact(7));
    }

    #[test]
    fn a_sum_that_lacks_a_part_is_absent() {
        let both = [("LLC-load", Some(3), None), ("LLC-store", Some(4), Some(0.5))];
        assert_eq!(read(&both, Event::LlcReferences), Reading::Scaled { estimate: 7, coverage: 0.5 });
        assert_eq!(
            read(&[("LLC-load", Some(3), None), ("LLC-store", None, None)], Event::LlcReferences),
            Reading::Absent
        );
        assert_eq!(read(&both[..1], Event::LlcReferences), Reading::Exact(3));
    }

    #[test]
    fn of_two_kinds_of_core_the_one_without_work_counts_nothing() {
        let of = |core, atom| {
            read(&[("cpu_core/cycles/", core, Some(1.0)), ("cpu_atom/cycles/", atom, Some(1.0))], Event::Cycles)
        };
        assert_eq!([of(Some(3), Some(4)), of(Some(3), None)], [Reading::Exact(7), Reading::Exact(3)]);
        assert_eq!(of(None, None), Reading::Absent);
    }

    #[test]
    fn counts_of_three_runs_are_each_divided_by_their_own_instructions() {
        let mut recorded = recorded(&[
            ("instr_run1", Some(100), None),
            ("llc_wr_miss_run1", Some(3), None),
            ("instr_run2", Some(200), None),
            ("llc_rd_miss_run2", Some(8), None),
        ]);
        one_run(&mut recorded);
        let readings = Sources::of(&recorded, Some(Layout::ThreeRuns)).readings(&recorded.intervals[0]);
        assert_eq!(readings.get(Event::LlcMisses), Reading::Exact(3 + 4));
        assert_eq!(readings.get(Event::Cycles), Reading::Absent);
    }
}
