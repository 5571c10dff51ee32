//! QEMU 7.2 and 10.0 run the same guests to the same counts, each with its own plugin; and what only 10.0 tells, the
//! address space, tells processes apart.
//!
//! 10.0 is the one that `phasecast qemu install` puts into the cache. Where it or the system's QEMU is missing, a test
//! says so and passes, unless `REQUIRE_QEMU` names `10.0`.

use std::collections::BTreeSet;

use harness::host::emulated::{GuestPlan, plugin};
use harness::qemu::{PluginInterface, Qemu, RunFolder, Start, Uncounted};
use predictor::counters::{AddressSpace, Event, Sample};
use tests::bench::{Bench, guest, kernel, observe, program, small_machine};

/// The bench with QEMU 10.0, if it is installed.
fn with_ten() -> Option<Bench> {
    let bench = Bench::take_with(Some("10.0"));
    if let Err(reason) = &bench {
        let named = |versions: String| versions.split(',').any(|version| version.trim() == "10.0");
        assert!(!std::env::var("REQUIRE_QEMU").is_ok_and(named), "REQUIRE_QEMU names 10.0: {reason}");
        eprintln!("NOT TESTED: QEMU 10.0: {reason}");
    }
    bench.ok()
}

/// The system's QEMU, if it is the one with the other interface.
fn with_seven() -> Option<Bench> {
    let bench = Bench::take_with(Some("qemu-system-x86_64")).ok()?;
    (bench.qemu.interface() == PluginInterface::V1).then_some(bench)
}

/// What is compared, as running sums at the end of each quantum; the first are instructions.
const COMPARED: [Event; 4] = [Event::Instructions, Event::Loads, Event::Stores, Event::L1Misses];

type Series = Vec<[u64; COMPARED.len()]>;

fn series(bench: &Bench, plan: &GuestPlan, quanta: usize) -> Series {
    let mut host = bench.launch(&small_machine(), std::slice::from_ref(plan));
    let mut sums = [0; COMPARED.len()];
    let add = |sample: &Sample| {
        for (sum, event) in sums.iter_mut().zip(COMPARED) {
            *sum += sample.count(event).expect("the emulated host counts everything");
        }
        sums
    };
    observe(&mut host, quanta).iter().map(|seen| &seen.samples[0]).map(add).collect()
}

/// The sums when that many instructions had been executed, between two quanta in proportion.
fn at(series: &Series, instructions: f64) -> [f64; COMPARED.len()] {
    let place = series.iter().position(|sums| sums[0] as f64 >= instructions).expect("it got so far");
    let before = place.checked_sub(1).map_or([0; COMPARED.len()], |before| series[before]);
    let after = series[place];
    let share = (instructions - before[0] as f64) / (after[0] - before[0]) as f64;
    std::array::from_fn(|event| before[event] as f64 + share * (after[event] - before[event]) as f64)
}

/// A kernel that stays in its L2, so that page colours have no say in its speed, and a real program. Loads and stores are
/// compared as shares of all accesses, since the kernel's few stores are the timer's and vary; L1 misses by themselves.
/// Cycles are not compared: the two versions boot on their own, so pages lie elsewhere and meet other lines in the LLC.
#[test]
fn both_versions_count_the_same_within_a_thousandth() {
    let plans = [kernel("chase", "chase --size 64KiB --instructions 900G", 0), guest("bzip2", "bzip2", 0)];
    let counted = |bench: Bench| plans.iter().map(|plan| series(&bench, plan, 15)).collect::<Vec<_>>();
    let Some(ten) = with_ten().map(counted) else { return };
    let Some(seven) = with_seven().map(counted) else { return };
    let last = |series: &Series| series.last().expect("there were quanta")[0] as f64;
    let mut apart = Vec::new();
    for (plan, (one, other)) in plans.iter().zip(seven.iter().zip(&ten)) {
        let end = last(one).min(last(other));
        let ([_, loads, stores, misses], other) = (at(one, end), at(other, end));
        let accesses = loads + stores;
        for (place, count, of) in [(1, loads, accesses), (2, stores, accesses), (3, misses, misses)] {
            let off = (other[place] - count) / of;
            let line = format!("{}: {} {count:.0} and {:.0}", plan.name, COMPARED[place].name(), other[place]);
            eprintln!("{line}, {:+.4} % apart", off * 100.0);
            apart.extend((off.abs() > 1e-3).then_some(line));
        }
    }
    // In equal time.
    let (one, other) = (last(&seven[0]), last(&ten[0]));
    eprintln!("chase: instructions {one:.0} and {other:.0}, {:+.4} % apart", (other / one - 1.0) * 100.0);
    assert!((other / one - 1.0).abs() <= 1e-3, "the chase executed {one} instructions and {other}");
    assert!(apart.is_empty(), "more than a thousandth apart: {apart:#?}");
}

/// The spaces in which a guest's quanta end, until there are so many, or for so many quanta.
fn address_spaces(bench: &Bench, plan: &GuestPlan, enough: usize, quanta: usize) -> BTreeSet<Option<u64>> {
    let mut host = bench.launch(&small_machine(), std::slice::from_ref(plan));
    let mut spaces = BTreeSet::new();
    for _ in 0..quanta {
        let seen = observe(&mut host, 1);
        spaces.insert(seen[0].samples[0].address_space.map(AddressSpace::number));
        if spaces.len() >= enough {
            break;
        }
    }
    spaces
}

#[test]
fn address_spaces_tell_a_guests_processes_apart() {
    let Some(bench) = with_ten() else { return };
    let one = address_spaces(&bench, &kernel("one", "chase --size 64KiB --instructions 900G", 0), 2, 10);
    let two = address_spaces(&bench, &program("two", &["/usr/bin/perl", "-e", "fork; 1 while 1"], 0), 2, 400);
    eprintln!("one process: {one:x?}; two processes: {two:x?}");
    assert!(one.len() == 1 && !one.contains(&None), "one process has one: {one:x?}");
    assert!(two.len() >= 2 && !two.contains(&None), "each process has its own: {two:x?}");
    let page_aligned = |space: &Option<u64>| space.is_some_and(|root| root != 0 && root % 8192 == 0);
    assert!(one.iter().chain(&two).all(page_aligned), "they are page tables: {one:x?} {two:x?}");
}

#[test]
fn an_address_space_that_qemu_cannot_tell_is_absent() {
    let Some(bench) = with_seven() else { return };
    let spaces = address_spaces(&bench, &kernel("one", "chase --size 64KiB --instructions 900G", 0), 2, 1);
    assert_eq!(spaces, BTreeSet::from([None]));
}

#[test]
fn a_plugin_for_another_interface_is_refused_in_qemus_own_words() {
    let Some(bench) = with_ten() else { return };
    let file = plugin::find(PluginInterface::V1).expect("both were built");
    let folder = RunFolder::create().expect("a run folder");
    let plan = kernel("alpha", "chase", 0);
    let description = harness::host::emulated::description(&plan, &bench.image);
    let uncounted = Some(Uncounted { file: &file, calls: "blocks" });
    let error = Qemu::start(&bench.qemu, &description, Start { plugin: None, uncounted, state: None }, &folder)
        .expect_err("it is for 7.2")
        .to_string();
    eprintln!("{error}");
    assert!(error.contains("API version 1"), "{error}");
}
