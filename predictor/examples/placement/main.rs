//! What the search for a placement reaches: beside the exact solver where that is possible, and beside itself given
//! much more time where it is not.
//!
//! `cargo run --release -p predictor --example placement [-- SECONDS]`; SECONDS (10) is how long the long search takes.

mod problems;

use predictor::placement::whatif::WhatIf;
use predictor::placement::{exact, search};
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;

#[expect(clippy::disallowed_types, clippy::disallowed_methods, reason = "it measures how long the predictor takes")]
fn timed<Made>(make: impl FnOnce() -> Made) -> (Made, f64) {
    let start = std::time::Instant::now();
    (make(), start.elapsed().as_secs_f64())
}

fn main() {
    let seconds = std::env::args().nth(1).map_or(10.0, |text| text.parse().expect("a number of seconds"));
    beside_exact();
    for seed in 1..=3 {
        beside_itself(seed, seconds);
    }
}

fn beside_exact() {
    let (mut worst, mut sum, mut solved, mut equal, mut missed) = (0.0f64, 0.0, 0, 0, 0);
    let (mut exact_seconds, mut search_seconds) = (0.0, 0.0);
    for seed in 0..200 {
        let problem = problems::constrained(seed, 12, 4);
        let (best, took) = timed(|| exact::solve(&problem));
        exact_seconds += took;
        let Ok(best) = best else { continue };
        solved += 1;
        let budget = search::usual_budget(&problem);
        let (found, took) = timed(|| search::solve(&problem, budget, &mut ChaCha8Rng::seed_from_u64(1)));
        search_seconds += took;
        let Ok(found) = found else {
            missed += 1;
            continue;
        };
        let gap = found.after.cost / best.after.cost - 1.0;
        worst = worst.max(gap);
        sum += gap;
        equal += i32::from(gap < 1e-9);
    }
    println!(
        "200 problems of up to 12 vCPUs on up to 4 domains: {solved} have an answer, search misses {missed} of them"
    );
    println!(
        "  search above exact: mean {:.4} %, largest {:.4} %, {equal} equal",
        sum / f64::from(solved) * 100.0,
        worst * 100.0
    );
    println!("  exact {exact_seconds:.2} s, search {search_seconds:.2} s in all");
}

fn beside_itself(seed: u64, seconds: f64) {
    let problem = WhatIf::new(problems::free(seed, 16, 8, 128)).expect("sound by construction");
    let solve =
        |budget| search::solve(&problem, budget, &mut ChaCha8Rng::seed_from_u64(1)).expect("an answer").after.cost;
    let before = problem.bill(&problem.present().expect("all run")).cost;
    // Warm caches, and the rate of this machine.
    let (_, took) = timed(|| solve(100_000));
    let rate = 100_000.0 / took;
    println!("128 vCPUs on 16 domains of 8, seed {seed}: {rate:.0} changes a second, staying put costs {before:.3}");
    let (long, took) = timed(|| solve((rate * seconds) as u64));
    println!("  {took:>9.4} s: {long:.3}");
    for budget in [2_000, 5_000, 10_000, 15_000, 20_000, 30_000, 50_000, 100_000, 1_000_000] {
        let (cost, took) = timed(|| solve(budget));
        let above = (cost / long - 1.0) * 100.0;
        let of_gain = (cost - long) / (before - long) * 100.0;
        println!(
            "  {took:>9.4} s: {cost:.3}, {above:.2} % above it, {of_gain:.1} % of the gain missing, {budget} changes"
        );
    }
}
