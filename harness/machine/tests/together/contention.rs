//! Claims about vCPUs that share a domain's LLC and memory channel.

use machine::counters::Counters;

use crate::synthetic::{CHASE, LIGHT, Program, QUANTUM, STREAM, small, together};

/// Goes through memory as fast as it can be had.
const READER: Program =
    Program { instructions_per_block: 8, lines: 1 << 17, stride: 1, store_every: 0, chases: false, idles: false };
const WRITER: Program = Program { store_every: 1, ..READER };

fn bytes_moved(counts: &Counters) -> u64 {
    counts.memory_read_bytes + 64 * counts.write_backs
}

#[test]
fn two_streams_never_move_more_than_the_channel_carries() {
    let outcome = together(&small(), &[STREAM, STREAM], 3);
    for (quantum, counts) in outcome.quanta.iter().enumerate() {
        let share = counts.iter().map(bytes_moved).sum::<u64>() as f64 / (4.0 * QUANTUM as f64);
        assert!((0.9..=1.02).contains(&share), "quantum {quantum}: {share:.3} of the bandwidth");
    }
    let [first, second] = outcome.quanta[2][..] else { panic!("two guests") };
    let ratio = first.instructions as f64 / second.instructions as f64;
    assert!((ratio - 1.0).abs() < 0.01, "equal programs get equal shares: {ratio}");
}

#[test]
fn a_lone_light_user_sees_the_idle_latency() {
    let outcome = together(&small(), &[LIGHT], 2);
    assert!((200.0..201.0).contains(&outcome.latency_cycles), "{}", outcome.latency_cycles);
}

#[test]
fn a_chase_waits_longer_beside_a_stream_and_still_has_one_miss_under_way() {
    let cycles_per_instruction = |counts: &Counters| counts.cycles as f64 / counts.instructions as f64;
    let alone = together(&small(), &[CHASE], 2);
    let beside = together(&small(), &[CHASE, STREAM], 2);
    let slowdown = cycles_per_instruction(&beside.quanta[1][0]) / cycles_per_instruction(&alone.quanta[1][0]);
    assert!(slowdown > 1.1, "{slowdown:.2}");
    assert!((1.0..=1.2).contains(&alone.parallelism[0]), "{:?}", alone.parallelism);
    assert!((1.0..=1.2).contains(&beside.parallelism[0]), "{:?}", beside.parallelism);
    assert!(beside.parallelism[1] >= 4.0, "{:?}", beside.parallelism);
}

#[test]
fn halving_the_epoch_changes_no_program_by_one_percent() {
    let programs = [CHASE, STREAM];
    let whole = together(&small(), &programs, 2);
    let half = together(&small().replace("epoch_cycles = 20_000", "epoch_cycles = 10_000"), &programs, 2);
    for (whole, half) in whole.quanta.concat().iter().zip(&half.quanta.concat()) {
        let change = half.instructions as f64 / whole.instructions as f64 - 1.0;
        assert!(change.abs() < 0.01, "{change:+.4}");
    }
}

#[test]
fn the_same_run_twice_is_the_same_to_the_last_count() {
    let programs = [CHASE, STREAM];
    assert_eq!(together(&small(), &programs, 2).quanta, together(&small(), &programs, 2).quanta);
}

#[test]
fn samples_are_aligned_to_the_quantum() {
    for counts in together(&small(), &[CHASE, STREAM], 3).quanta.concat() {
        let off = (counts.cycles + counts.idle_cycles) as f64 / QUANTUM as f64 - 1.0;
        assert!(off.abs() < 0.001, "{off:+.5}");
    }
}

/// With so many miss registers that bandwidth alone holds a program back.
fn many_registers() -> String {
    small()
        .replace("miss_registers = 10", "miss_registers = 40")
        .replace("reorder_window = 192", "reorder_window = 1000")
}

#[test]
fn a_storing_stream_fills_the_channel_with_half_the_lines_of_a_reading_one() {
    let [reader, writer] = [READER, WRITER].map(|program| together(&many_registers(), &[program], 2).quanta[1][0]);
    for (name, counts) in [("reader", reader), ("writer", writer)] {
        let share = bytes_moved(&counts) as f64 / (4.0 * QUANTUM as f64);
        assert!((0.93..=0.96).contains(&share), "{name}: {share:.3} of the bandwidth");
    }
    assert_eq!(reader.write_backs, 0);
    let written = writer.write_backs as f64 / writer.llc_misses as f64;
    assert!((written - 1.0).abs() < 0.01, "{written:.4} lines written for each line fetched");
    let rate = writer.llc_misses as f64 / reader.llc_misses as f64;
    assert!((rate - 0.5).abs() < 0.01, "{rate:.4}");
}

#[test]
fn a_neighbour_feels_what_a_stream_writes_back() {
    // 40 cycles a line: neither stream fills the channel nor waits for it, and both fetch at the same rate.
    let beside = |store_every| {
        let stream = Program { instructions_per_block: 80, store_every, ..READER };
        let outcome = together(&many_registers(), &[CHASE, stream], 2);
        let [chase, stream] = outcome.quanta[1][..] else { panic!("two programs") };
        (stream.llc_misses as f64, chase.cycles as f64 / chase.instructions as f64, outcome.latency_cycles)
    };
    let (read, chase_beside_reader, latency_of_reader) = beside(0);
    let (written, chase_beside_writer, latency_of_writer) = beside(1);
    assert!((written / read - 1.0).abs() < 0.1, "{read} and {written} lines fetched");
    assert!(latency_of_writer > 1.05 * latency_of_reader, "{latency_of_reader:.0} and {latency_of_writer:.0} cycles");
    assert!(chase_beside_writer > 1.05 * chase_beside_reader, "{chase_beside_reader:.1} and {chase_beside_writer:.1}");
}

#[test]
fn stores_that_stay_in_the_llc_take_no_bandwidth() {
    let resident = Program { lines: 1 << 12, ..WRITER };
    let counts = together(&small(), &[resident], 2).quanta[1][0];
    assert!(counts.llc_references > 0);
    assert_eq!(bytes_moved(&counts), 0);
}
