//! Claims about scripts of kernels in real guests.

use harness::host::Host;
use harness::host::emulated::GuestPlan;
use predictor::counters::PhaseMark;
use tests::bench::{Bench, QUANTUM, guest, small_machine, whole};
use workloads::catalogue::Launch;
use workloads::script::Script;

/// Each phase takes at least 2 M cycles alone, and the shares of the matrix are far apart.
const CHAIN: &str =
    "[chase:256KiB:400k..1M stream:256KiB:4M..12M gather:256KiB:4M..12M | 0 80 20 | 50 0 50 | 20 80 0]x100";
const MATRIX: [[f64; 3]; 3] = [[0.0, 0.8, 0.2], [0.5, 0.0, 0.5], [0.2, 0.8, 0.0]];

/// What is looked at at once: a fifth of the shortest phase.
const SLICE: std::time::Duration = QUANTUM.checked_div(25).expect("not by zero");

#[test]
fn a_guests_marks_are_the_chain_that_its_seed_draws_and_tell_its_matrix() {
    let Some(bench) = Bench::take() else { return };
    let argv = ["/usr/bin/kernels", "phased", CHAIN, "--seed", "5"].map(str::to_owned).to_vec();
    let launch = Launch { argv, files: Vec::new(), checksum: None, disk: None };
    let mut host = bench.launch(&small_machine(), &[GuestPlan { launch, ..guest("chain", "idle", 0) }]);
    let mut drawn: Vec<u32> = Vec::new();
    let script: Script = CHAIN.parse().expect("a script");
    script.play(1, 5, |step| drawn.push(step.phase as u32));

    let mut marked: Vec<u32> = Vec::new();
    while marked.len() < drawn.len() {
        let seen = host.advance(SLICE).unwrap_or_else(|error| panic!("{}", whole(&error)));
        if let Some(PhaseMark(phase)) = seen.samples.first().and_then(|sample| sample.truth)
            && marked.last() != Some(&phase)
        {
            marked.push(phase);
        }
    }
    assert_eq!(marked, drawn);
    for (from, row) in (0..).zip(MATRIX) {
        let next: Vec<u32> = marked.windows(2).filter(|pair| pair[0] == from).map(|pair| pair[1]).collect();
        for (to, share) in (0..).zip(row) {
            let found = next.iter().filter(|next| **next == to).count() as f64 / next.len() as f64;
            // Four standard errors.
            let bound = 4.0 * (share * (1.0 - share) / next.len() as f64).sqrt();
            assert!((found - share).abs() <= bound, "{from} to {to}: {found} of {}, not {share}", next.len());
        }
    }
}
