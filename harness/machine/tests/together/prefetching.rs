//! Claims about what the prefetcher does for programs and to their neighbours.

use machine::counters::Counters;

use crate::synthetic::{CHASE, Outcome, Program, small, together};

/// A prefetcher as Intel's manual describes its L2 streamer.
const PREFETCHER: &str = "[prefetcher]\nstreams = 32\ndegree = 2\ndistance = 20\n";

/// Loads only, one line in 64 instructions: three loads in the reorder window.
const SPARSE_STREAM: Program =
    Program { instructions_per_block: 64, lines: 1 << 17, stride: 1, store_every: 0, chases: false, idles: false };
/// A chase whose lines happen to lie in a row.
const SORTED_CHASE: Program = Program { stride: 1, ..CHASE };

fn with_prefetcher() -> String {
    small().replace("[llc]", &format!("{PREFETCHER}\n[llc]"))
}

/// The second quantum of a program alone, without and with the prefetcher.
fn without_and_with(program: Program) -> [Counters; 2] {
    [small(), with_prefetcher()].map(|machine| together(&machine, &[program], 2).quanta[1][0])
}

fn cycles_per_instruction(counts: &Counters) -> f64 {
    counts.cycles as f64 / counts.instructions as f64
}

#[test]
fn a_stream_that_its_window_holds_back_is_helped_and_asks_memory_for_no_more() {
    let [without, with] = without_and_with(SPARSE_STREAM);
    let speedup = cycles_per_instruction(&without) / cycles_per_instruction(&with);
    assert!(speedup > 1.5, "{speedup:.2}");
    let per_instruction = |counts: &Counters| counts.llc_misses as f64 / counts.instructions as f64;
    let more = per_instruction(&with) / per_instruction(&without) - 1.0;
    assert!(more.abs() < 0.01, "{more:+.4} misses");
}

#[test]
fn a_chase_in_random_order_is_left_alone_and_one_in_a_row_is_helped() {
    let [without, with] = without_and_with(CHASE);
    assert_eq!(with, without, "not one prefetch");
    let [without, with] = without_and_with(SORTED_CHASE);
    let speedup = cycles_per_instruction(&without) / cycles_per_instruction(&with);
    assert!(speedup > 2.0, "{speedup:.2}");
}

#[test]
fn a_line_that_is_late_is_waited_for() {
    // A block of 4 instructions and 2 cycles for each line: 20 lines ahead are 40 cycles, of the 200 that memory takes.
    let [_, with] = without_and_with(SORTED_CHASE);
    let per_line = cycles_per_instruction(&with) * 4.0;
    assert!(per_line >= 200.0 / 20.0, "{per_line:.1} cycles a line: more than 20 would be under way");
}

#[test]
fn two_streams_with_prefetchers_never_move_more_than_the_channel_carries() {
    let greedy = Program { instructions_per_block: 8, ..SPARSE_STREAM };
    let Outcome { quanta, .. } = together(&with_prefetcher(), &[greedy, greedy], 3);
    for counts in &quanta {
        let moved: u64 = counts.iter().map(|counts| counts.memory_read_bytes + 64 * counts.write_backs).sum();
        let share = moved as f64 / (4.0 * 10_000_000.0);
        assert!((0.9..=1.03).contains(&share), "{share:.3} of the bandwidth");
    }
}

#[test]
fn halving_the_epoch_changes_no_prefetched_stream_by_one_percent() {
    let run = |machine: &str| together(machine, &[SPARSE_STREAM, CHASE], 2).quanta.concat();
    let whole = run(&with_prefetcher());
    let half = run(&with_prefetcher().replace("epoch_cycles = 20_000", "epoch_cycles = 10_000"));
    for (whole, half) in whole.iter().zip(&half) {
        let change = half.instructions as f64 / whole.instructions as f64 - 1.0;
        assert!(change.abs() < 0.01, "{change:+.4}");
    }
}
