//! Claims about vCPUs that share a domain's LLC and memory channel.

use machine::counters::Counters;

use crate::synthetic::{CHASE, LIGHT, QUANTUM, STREAM, small, together};

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
