//! Claims about vCPUs that share a CPU by time slices, and about halts.

use machine::counters::Counters;

use crate::synthetic::{Bed, CHASE, IDLE, Program, QUANTUM, RESIDENT, STREAM, small};

/// Slices of 13 epochs, which do not divide a quantum.
fn with_slices() -> String {
    small().replacen("[core]", "[core]\ntimeslice_cycles = 260_000", 1)
}

/// What each program does in the second of two quanta.
fn second_quantum(programs: &[(Program, u32)]) -> Vec<Counters> {
    let mut bed = Bed::start(&with_slices(), programs);
    bed.quantum();
    let counted = bed.quantum();
    bed.finish();
    counted
}

fn share(cycles: u64) -> f64 {
    cycles as f64 / QUANTUM as f64
}

#[test]
fn two_programs_on_one_cpu_get_half_of_it_each() {
    let both = second_quantum(&[(RESIDENT, 0), (CHASE, 0)]);
    for counts in &both {
        assert!((share(counts.cycles) - 0.5).abs() < 0.02, "{:.4} of the quantum", share(counts.cycles));
        assert_eq!(counts.idle_cycles, 0, "waiting is not idling");
    }
    let sum = share(both.iter().map(|counts| counts.cycles).sum());
    assert!((sum - 1.0).abs() < 0.001, "{sum:.5} of the quantum");
}

#[test]
fn three_programs_on_one_cpu_get_a_third_each_and_one_beside_them_gets_all_of_its_own() {
    let all = second_quantum(&[(RESIDENT, 0), (CHASE, 0), (STREAM, 1), (STREAM, 0)]);
    let shares: Vec<f64> = all.iter().map(|counts| share(counts.cycles)).collect();
    for (share, expected) in shares.iter().zip([1.0 / 3.0, 1.0 / 3.0, 1.0, 1.0 / 3.0]) {
        assert!((share - expected).abs() < 0.03, "{shares:.3?}");
    }
}

#[test]
fn each_switch_costs_a_program_its_private_caches() {
    let alone = second_quantum(&[(RESIDENT, 0)])[0];
    assert_eq!(alone.llc_references, 0, "it lives in its L2");
    let shared = second_quantum(&[(RESIDENT, 0), (RESIDENT, 0)])[0];
    let switches = QUANTUM / (2 * 260_000);
    let refills = shared.llc_references as f64 / 1024.0;
    assert!((refills - switches as f64).abs() <= 1.0, "{refills:.2} refills in {switches} slices");
    assert_eq!(shared.llc_misses, 0, "what it wrote is in the LLC of the same domain");
}

#[test]
fn an_idle_vcpu_gives_its_slices_up_and_its_halts_are_idle_time() {
    let [busy, idle] = second_quantum(&[(RESIDENT, 0), (IDLE, 0)])[..] else { panic!("two programs") };
    assert!(share(busy.cycles) > 0.97, "{:.4} of the quantum", share(busy.cycles));
    assert!(share(idle.cycles) < 0.001 && idle.instructions > 0, "{:.4} of the quantum", share(idle.cycles));
    assert!(idle.idle_cycles > QUANTUM / 2, "{} idle cycles", idle.idle_cycles);
}

#[test]
fn a_lone_idle_vcpu_is_idle_for_the_whole_of_every_quantum_wherever_its_halts_end() {
    let mut bed = Bed::start(&small(), &[(IDLE, 0), (CHASE, 1)]);
    for _ in 0..20 {
        // 7 epochs, while halts last for up to 100.
        let counts = bed.pass(140_000)[0];
        assert!((counts.cycles + counts.idle_cycles).abs_diff(140_000) <= 1, "{counts:?}");
    }
    bed.finish();
}

#[test]
fn slices_go_on_over_the_end_of_a_grant() {
    let programs = [(RESIDENT, 0), (CHASE, 0), (IDLE, 0), (STREAM, 1)];
    let total = |grants: u64| {
        let mut bed = Bed::start(&with_slices(), &programs);
        let mut sums = vec![[0; Counters::COUNT]; programs.len()];
        for _ in 0..grants {
            for (sum, counts) in sums.iter_mut().zip(bed.pass(2 * QUANTUM / grants)) {
                for (sum, count) in sum.iter_mut().zip(counts.to_array()) {
                    *sum += count;
                }
            }
        }
        bed.finish();
        sums
    };
    let whole = total(1);
    assert_eq!(total(4), whole);
    assert_eq!(total(1000), whole, "an epoch at a time");
}

#[test]
fn programs_with_a_cpu_each_do_not_notice_that_the_machine_has_slices() {
    let programs = [(RESIDENT, 0), (CHASE, 1), (STREAM, 2)];
    let counts = |machine: &str| {
        let mut bed = Bed::start(machine, &programs);
        let counted = [bed.quantum(), bed.quantum()];
        bed.finish();
        counted
    };
    assert_eq!(counts(&with_slices()), counts(&small()));
}

#[test]
fn a_line_that_is_dirty_in_both_private_caches_is_written_once_when_its_program_leaves() {
    let mut bed = Bed::start(&small(), &[(RESIDENT, 0)]);
    bed.quantum();
    bed.place(0, 2);
    let counts = bed.quantum()[0];
    bed.finish();
    assert_eq!(counts.write_backs, 512, "it stores to every other of 1024 lines");
    assert_eq!(counts.llc_misses, 1024);
}
