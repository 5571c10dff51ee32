//! The emulated machine behaves as a machine does, seen through real guests: neighbours fight over a shared cache and
//! part again, loads overlap only if they can, and the step in which the emulation proceeds does not show.

use harness::host::Host;
use predictor::counters::{GuestId, VcpuId};
use predictor::placement::Move;
use predictor::topology::DomainId;
use tests::bench::{Bench, kernel, small_machine, small_machine_with, totals};

/// About 3/4 of the LLC of a domain.
const CHASE: &str = "chase --size 768KiB --instructions 900G";
const STREAM: &str = "stream --size 8MiB --instructions 900G";
/// Quanta until a program has set up its data and filled the caches.
const WARM_UP: usize = 4;

#[test]
fn sharing_an_llc_with_a_stream_doubles_a_chases_cycles_and_parting_restores_them() {
    let Some(bench) = Bench::take() else { return };
    let machine = small_machine();
    let mut alone = bench.launch(&machine, &[kernel("chase", CHASE, 0)]);
    totals(&mut alone, WARM_UP);
    let solo = totals(&mut alone, 4)[0].cycles_per_instruction();
    drop(alone);

    let mut host = bench.launch(&machine, &[kernel("chase", CHASE, 0), kernel("stream", STREAM, 1)]);
    totals(&mut host, WARM_UP);
    let beside = totals(&mut host, 4)[0].cycles_per_instruction();
    assert!(beside >= 2.0 * solo, "{beside:.2} cycles per instruction beside a stream, {solo:.2} alone");

    let vcpu = VcpuId { guest: GuestId(1), index: 0 };
    let outcome = host.apply(&[Move { vcpu, from: DomainId(0), to: DomainId(1) }]).expect("the host is well");
    assert_eq!(outcome[0].refusal, None);
    totals(&mut host, WARM_UP);
    let parted = totals(&mut host, 4)[0].cycles_per_instruction();
    assert!((parted / solo - 1.0).abs() <= 0.1, "{parted:.2} cycles per instruction when parted, {solo:.2} alone");
    eprintln!("cycles per instruction of the chase: {solo:.2} alone, {beside:.2} beside a stream, {parted:.2} parted");
}

/// With L misses that each take t cycles, t L / cycles is a lower bound on how many were under way while there was at
/// least one, and t L / stall cycles an upper bound: the core stalls only while one is under way.
#[test]
fn a_chase_has_one_miss_under_way_and_independent_loads_have_many() {
    let Some(bench) = Bench::take() else { return };
    // So much bandwidth that every miss takes the idle latency.
    let machine = small_machine_with(&[("bytes_per_cycle = 4.0", "bytes_per_cycle = 400.0")]);
    let chase = kernel("chase", "chase --size 8MiB --instructions 900G", 0);
    let gather = kernel("gather", "gather --size 8MiB --instructions 900G", 2);
    let mut host = bench.launch(&machine, &[chase, gather]);
    totals(&mut host, 24);
    let [chase, gather] = totals(&mut host, 4).try_into().expect("two guests");
    let latency = f64::from(machine.memory().latency_cycles);
    let waited = |misses: u64| misses as f64 * latency;
    let bounds = |of: tests::bench::Totals| {
        (waited(of.llc_misses) / of.cycles as f64, waited(of.llc_misses) / of.stall_cycles as f64)
    };
    eprintln!("misses under way: chase {:.2?}, gather {:.2?}", bounds(chase), bounds(gather));
    let (_, most) = bounds(chase);
    assert!((1.0..=1.2).contains(&most), "the chase had at most {most:.2} misses under way");
    let (least, _) = bounds(gather);
    assert!(least >= 4.0, "independent loads had at least {least:.2} misses under way");
}

#[test]
fn halving_the_epoch_moves_no_guest_by_more_than_one_percent() {
    let Some(bench) = Bench::take() else { return };
    let guests = [
        kernel("chase", CHASE, 0),
        kernel("stream", STREAM, 1),
        kernel("gather", "gather --size 8MiB --instructions 900G", 2),
        kernel("stencil", "stencil --size 4MiB --instructions 900G", 3),
    ];
    let run = |epoch: &str| {
        let mut host = bench.launch(&small_machine_with(&[("epoch_cycles = 20_000", epoch)]), &guests);
        totals(&mut host, 10)
    };
    let (whole, half) = (run("epoch_cycles = 20_000"), run("epoch_cycles = 10_000"));
    for ((guest, whole), half) in guests.iter().zip(&whole).zip(&half) {
        for (what, whole, half) in [
            ("instructions", whole.instructions, half.instructions),
            ("cycles", whole.cycles, half.cycles),
            ("LLC references", whole.llc_references, half.llc_references),
            ("LLC misses", whole.llc_misses, half.llc_misses),
        ] {
            let change = half as f64 / whole as f64 - 1.0;
            eprintln!("{}: {change:+.5} of its {what}", guest.name);
            assert!(change.abs() <= 0.01, "{}: {:+.2} % {what}", guest.name, 100.0 * change);
        }
    }
}

const PREFETCHER: &str = "[prefetcher]\nstreams = 32\ndegree = 2\ndistance = 20\n\n[llc]";
/// Four times the LLC: every access of a chase in it misses, and every line of a stream.
const LARGE_CHASE: &str = "chase --size 4MiB --instructions 900G";
/// Quanta until that has been set up.
const LARGE_WARM_UP: usize = 14;

#[test]
fn a_prefetcher_helps_a_stream_and_leaves_a_chase_alone() {
    let Some(bench) = Bench::take() else { return };
    let guests = [kernel("chase", LARGE_CHASE, 0), kernel("stream", STREAM, 2)];
    let run = |machine: &machine::spec::Machine| {
        let mut host = bench.launch(machine, &guests);
        totals(&mut host, LARGE_WARM_UP);
        totals(&mut host, 3)
    };
    let without = run(&small_machine());
    let with = run(&small_machine_with(&[("[llc]", PREFETCHER)]));
    let [chase, stream] =
        [0, 1].map(|guest| without[guest].cycles_per_instruction() / with[guest].cycles_per_instruction());
    eprintln!("with the prefetcher: chase {chase:.3} times as fast, stream {stream:.3} times");
    assert!((chase - 1.0).abs() <= 0.02, "the chase became {chase:.3} times as fast");
    assert!(stream >= 1.1, "the stream became {stream:.3} times as fast");
}

#[test]
fn memory_on_another_node_costs_a_chase_what_the_machine_says() {
    let Some(bench) = Bench::take() else { return };
    let machine =
        small_machine_with(&[("[l1]", "node = 1\n\n[l1]"), ("[memory]\n", "[memory]\nremote_latency_cycles = 120\n")]);
    let mut host = bench.launch(&machine, &[kernel("chase", LARGE_CHASE, 0)]);
    totals(&mut host, LARGE_WARM_UP);
    let mut cycles_per_miss = || {
        let counted = totals(&mut host, 2)[0];
        let per_miss = counted.cycles as f64 / counted.llc_misses as f64;
        let vcpu = VcpuId { guest: GuestId(0), index: 0 };
        host.apply(&[Move { vcpu, from: DomainId(0), to: DomainId(1) }]).expect("the host is well");
        per_miss
    };
    let (home, away) = (cycles_per_miss(), cycles_per_miss());
    eprintln!("cycles for each miss of the chase: {home:.1} at home, {away:.1} away");
    assert!((away - home - 120.0).abs() <= 6.0, "{home:.1} cycles a miss at home, {away:.1} away");
}

#[test]
fn two_guests_on_one_cpu_get_half_of_it_each_and_pay_for_cold_caches() {
    let Some(bench) = Bench::take() else { return };
    let machine = small_machine_with(&[("[core]", "[core]\ntimeslice_cycles = 1_000_000")]);
    // Both live in their L2, which holds 128 KiB.
    let local = |name: &str, cpu| kernel(name, "chase --size 96KiB --instructions 900G", cpu);
    let mut host = bench.launch(&machine, &[local("first", 0), local("second", 0), local("alone", 2)]);
    totals(&mut host, WARM_UP);
    let [first, second, alone] = totals(&mut host, 4).try_into().expect("three guests");
    let granted = 4.0 * 10_000_000.0;
    for guest in [first, second] {
        let share = guest.cycles as f64 / granted;
        assert!((share - 0.5).abs() <= 0.03 && guest.idle_cycles == 0, "{guest:?}");
    }
    assert!(((first.cycles + second.cycles) as f64 / granted - 1.0).abs() <= 0.001, "{first:?} {second:?}");
    // 20 slices in 4 quanta, and 1536 lines to bring back in each.
    let refills = (first.llc_references as f64 - alone.llc_references as f64 / 2.0) / 1536.0;
    eprintln!("L2 refills of the first guest in 20 slices: {refills:.1}");
    assert!((15.0..=25.0).contains(&refills), "{refills:.1} refills; {first:?}, alone {alone:?}");
}
