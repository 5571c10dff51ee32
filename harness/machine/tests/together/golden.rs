//! The default machine counts today what it counted when the first results were made, to the last cycle.

use expect_test::expect;
use machine::counters::Counters;

use crate::synthetic::{Bed, CHASE, Program, STREAM, small};

/// Works in the LLC, twice the L2, with stores.
const LOCAL: Program =
    Program { instructions_per_block: 8, lines: 1 << 12, stride: 1, store_every: 5, chases: false, idles: false };

fn row(slot: usize, counts: &Counters) -> String {
    let Counters {
        instructions,
        cycles,
        idle_cycles,
        l1_misses,
        llc_references,
        llc_misses,
        write_backs,
        stall_cycles,
        ..
    } = *counts;
    assert_eq!(idle_cycles, 0, "nobody halts");
    format!("{slot} {instructions} {cycles} {l1_misses} {llc_references} {llc_misses} {write_backs} {stall_cycles}\n")
}

/// Slot 0 chases beside a stream in slot 1; in the third quantum the stream moves beside slot 2, which works in
/// the LLC.
#[test]
fn small_2x2_counts_what_it_always_counted() {
    let mut bed = Bed::start(&small(), &[(CHASE, 0), (STREAM, 1), (LOCAL, 2)]);
    let mut table =
        String::from("slot instructions cycles l1_misses llc_references llc_misses write_backs stall_cycles\n");
    for quantum in 0..3 {
        if quantum == 2 {
            bed.place(1, 3);
        }
        for (slot, counts) in bed.quantum().iter().enumerate() {
            table += &row(slot, counts);
        }
    }
    expect![[r#"
        slot instructions cycles l1_misses llc_references llc_misses write_backs stall_cycles
        0 155352 10000071 38838 38838 38838 11304 9922395
        1 6204688 10000151 387793 387793 387793 112494 6897807
        2 19864560 10000003 2483070 2483070 4096 0 67723
        0 153824 10000040 38456 38456 38456 11602 9923128
        1 6152928 9999871 384558 384558 384558 116581 6923407
        2 20000000 10000000 2500000 2500000 0 0 0
        0 198624 9999980 49656 49656 49656 4702 9900668
        1 6465840 10000060 404115 404115 404115 130840 6767140
        2 20000000 10000000 2500000 2500000 0 0 0
    "#]]
    .assert_eq(&table);
    bed.finish();
}
