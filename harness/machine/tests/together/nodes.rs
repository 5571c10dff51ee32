//! Claims about memory that is on another node.

use machine::counters::Counters;

use crate::synthetic::{Bed, CHASE, STREAM, small};

const REMOTE: u64 = 130;

/// Domain 0 on node 0 and domain 1 on node 1.
fn two_nodes() -> String {
    let text = small().replacen("[l1]", "node = 1\n\n[l1]", 1);
    text.replacen("[memory]", &format!("[memory]\nremote_latency_cycles = {REMOTE}"), 1)
}

fn cycles_per_miss(counts: &Counters) -> f64 {
    counts.cycles as f64 / counts.llc_misses as f64
}

#[test]
fn a_chase_pays_the_way_to_another_node_on_every_miss_and_nothing_at_home() {
    let mut bed = Bed::start(&two_nodes(), &[(CHASE, 2)]);
    bed.quantum();
    let home = cycles_per_miss(&bed.quantum()[0]);
    bed.place(0, 0);
    bed.quantum();
    let away = cycles_per_miss(&bed.quantum()[0]);
    bed.place(0, 3);
    bed.quantum();
    let back = cycles_per_miss(&bed.quantum()[0]);
    bed.finish();
    assert!((away - home - REMOTE as f64).abs() < 1.0, "{home:.2} cycles a miss at home, {away:.2} away");
    assert!((back - home).abs() < 0.5, "{back:.2} cycles a miss back home");
}

#[test]
fn a_stream_from_another_node_is_charged_to_the_channel_where_it_runs() {
    let mut bed = Bed::start(&two_nodes(), &[(STREAM, 0)]);
    bed.quantum();
    bed.place(0, 2);
    for _ in 0..3 {
        bed.quantum();
    }
    let [home, here] = [0, 1].map(|domain| bed.latency_cycles(domain));
    bed.finish();
    assert!(home < 201.0 && here > 205.0, "{home:.1} cycles at home, {here:.1} where it runs");
}
