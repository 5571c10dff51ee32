//! Questions for a solver in SMT-LIB 2: circuits that should be equal, and timetables. Each is one check after another on
//! its own, so that different parts of the solver work in turn. Answers are sat or unsat, never a model.

use std::fmt::Write;

use crate::random::SplitMix64;

/// About `bytes` of bit-vector questions: is this rearranged arithmetic equal to that, does a mixed-up word have a source.
pub(super) fn circuits(seed: u64, bytes: usize) -> Vec<u8> {
    let mut random = SplitMix64::new(seed);
    let mut text = String::from("(set-logic QF_BV)\n");
    for number in 0.. {
        if text.len() >= bytes {
            break;
        }
        text.push_str("(push)\n");
        match number % 3 {
            0 => product(&mut random, &mut text),
            1 => mixer(&mut random, &mut text),
            _ => sums(&mut random, &mut text),
        }
        text.push_str("(check-sat)\n(pop)\n");
    }
    text.into_bytes()
}

/// (a + b) * c against a * c + b * c: equal, and hard to see.
fn product(random: &mut SplitMix64, text: &mut String) {
    let bits = 7 + random.below(2);
    for name in ["a", "b", "c"] {
        let _ = writeln!(text, "(declare-const {name} (_ BitVec {bits}))");
    }
    let k = random.below(1 << bits);
    let _ = writeln!(
        text,
        "(assert (distinct (bvmul (bvadd a b) (bvadd c (_ bv{k} {bits}))) (bvadd (bvmul a c) (bvmul b c) (bvmul (bvadd a b) (_ bv{k} {bits})))))"
    );
}

/// Rounds of multiply, shift and exclusive or, as hashes have; find what gives this number.
fn mixer(random: &mut SplitMix64, text: &mut String) {
    let bits = 20;
    let _ = writeln!(text, "(declare-const w0 (_ BitVec {bits}))");
    for round in 1..4 {
        let (factor, shift) = (2 * random.below(1 << 9) + 1, 3 + random.below(6));
        let _ = writeln!(text, "(declare-const w{round} (_ BitVec {bits}))");
        let _ = writeln!(
            text,
            "(assert (= w{round} (bvxor (bvmul w{0} (_ bv{factor} {bits})) (bvlshr w{0} (_ bv{shift} {bits})))))",
            round - 1
        );
    }
    let _ = writeln!(text, "(assert (= w3 (_ bv{} {bits})))", random.below(1 << bits));
}

/// Sums of selected numbers that should come out.
fn sums(random: &mut SplitMix64, text: &mut String) {
    let (bits, terms) = (16, 22);
    let weights: Vec<usize> = (0..terms).map(|_| random.below(3000)).collect();
    for at in 0..terms {
        let _ = writeln!(text, "(declare-const p{at} Bool)");
    }
    let term = |(at, weight): (usize, &usize)| format!("(ite p{at} (_ bv{weight} {bits}) (_ bv0 {bits}))");
    let sum = weights.iter().enumerate().map(term).collect::<Vec<_>>().join(" ");
    let target = weights.iter().sum::<usize>() / 2 + random.below(50);
    let _ = writeln!(text, "(assert (= (bvadd {sum}) (_ bv{target} {bits})))");
}

/// About `bytes` of timetables: jobs with lengths on machines, which may not overlap, to be done within a time.
pub(super) fn timetables(seed: u64, bytes: usize) -> Vec<u8> {
    let mut random = SplitMix64::new(seed);
    let mut text = String::from("(set-logic QF_IDL)\n");
    while text.len() < bytes {
        text.push_str("(push)\n");
        shop(&mut random, &mut text);
        text.push_str("(check-sat)\n(pop)\n");
    }
    text.into_bytes()
}

fn shop(random: &mut SplitMix64, text: &mut String) {
    let (jobs, machines) = (5 + random.below(2), 5);
    let mut tasks: Vec<Vec<(usize, usize)>> = Vec::new();
    for job in 0..jobs {
        let mut order: Vec<usize> = (0..machines).collect();
        for at in (1..machines).rev() {
            order.swap(at, random.below(at + 1));
        }
        tasks.push(order.into_iter().map(|machine| (machine, 3 + random.below(15))).collect());
        for step in 0..machines {
            let _ = writeln!(text, "(declare-const t{job}_{step} Int)");
        }
    }
    let _ = writeln!(text, "(declare-const zero Int)");
    let busiest = (0..machines)
        .map(|machine| tasks.iter().flatten().filter(|task| task.0 == machine).map(|task| task.1).sum::<usize>())
        .max();
    let deadline = busiest.unwrap_or(0) * (11 + random.below(5)) / 10;
    for (job, steps) in tasks.iter().enumerate() {
        let _ = writeln!(text, "(assert (>= (- t{job}_0 zero) 0))");
        for step in 1..machines {
            let _ = writeln!(text, "(assert (>= (- t{job}_{step} t{job}_{}) {}))", step - 1, steps[step - 1].1);
        }
        let (last, length) = (machines - 1, steps[machines - 1].1);
        let _ = writeln!(text, "(assert (<= (- t{job}_{last} zero) {}))", deadline.saturating_sub(length));
        for (other, others) in tasks.iter().enumerate().skip(job + 1) {
            for (step, task) in steps.iter().enumerate() {
                let meeting = others.iter().position(|theirs| theirs.0 == task.0);
                let Some(theirs) = meeting else { continue };
                let (mine, length) = (format!("t{job}_{step}"), others[theirs].1);
                let _ = writeln!(
                    text,
                    "(assert (or (>= (- t{other}_{theirs} {mine}) {}) (>= (- {mine} t{other}_{theirs}) {length})))",
                    task.1
                );
            }
        }
    }
}
