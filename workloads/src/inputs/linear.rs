//! Linear programs in lp_solve's language: a factory's plan over time, sparse and in bands, and shipping from depots to
//! shops, wide and degenerate. All numbers are integers.

use std::fmt::Write;

use crate::random::SplitMix64;

/// About `bytes` of a plan: what to make of each product in each month, what to store, within each machine's hours.
pub(super) fn production(seed: u64, bytes: usize) -> Vec<u8> {
    let mut random = SplitMix64::new(seed);
    let (months, machines) = (18, 12);
    let products = (bytes / (months * 125)).max(4);
    // Hours of a product on a machine; it needs about half of them.
    let mut hours = vec![vec![0; products]; machines];
    hours.iter_mut().flatten().for_each(|hours| *hours = random.below(14).saturating_sub(7));
    let mut text = String::from("min: ");
    for month in 0..months {
        for product in 0..products {
            let _ = write!(
                text,
                "+{} m{product}_{month} +{} s{product}_{month} ",
                20 + random.below(60),
                1 + random.below(9)
            );
        }
        let _ = writeln!(text, "+{} o{month}", 90 + random.below(40));
    }
    text.push_str(";\n");
    for month in 0..months {
        for product in 0..products {
            let demand = random.below(60) * (1 + usize::from(month % 12 > 8));
            let before = if month > 0 { format!("+s{product}_{} ", month - 1) } else { String::new() };
            let _ = writeln!(text, "+m{product}_{month} {before}-s{product}_{month} = {demand};");
        }
        for (machine, hours) in hours.iter().enumerate() {
            let used = hours.iter().enumerate().filter(|(_, hours)| **hours > 0);
            let used: String = used.map(|(product, hours)| format!("+{hours} m{product}_{month} ")).collect();
            let limit = products * (45 + random.below(30));
            let _ = writeln!(text, "h{machine}_{month}: {used}-{} o{month} <= {limit};", 5 + machine);
        }
    }
    text.into_bytes()
}

/// About `bytes` of a transport problem: from each depot to each shop, at a cost that grows with their distance.
pub(super) fn transport(seed: u64, bytes: usize) -> Vec<u8> {
    let mut random = SplitMix64::new(seed);
    let depots = (bytes / 60).isqrt().max(6);
    let shops = depots * 3 / 2;
    let mut place = || (random.below(1000) as i64, random.below(1000) as i64);
    let from: Vec<(i64, i64)> = (0..depots).map(|_| place()).collect();
    let to: Vec<(i64, i64)> = (0..shops).map(|_| place()).collect();
    let demands: Vec<usize> = (0..shops).map(|_| 5 + random.below(40)).collect();
    // Enough in all, too little near by.
    let supply = demands.iter().sum::<usize>() * 11 / (10 * depots) + 1;
    let mut text = String::from("min: ");
    for (depot, a) in from.iter().enumerate() {
        for (shop, b) in to.iter().enumerate() {
            let _ = write!(text, "+{} x{depot}_{shop} ", 10 + ((a.0 - b.0).abs() + (a.1 - b.1).abs()) / 4);
        }
        text.push('\n');
    }
    text.push_str(";\n");
    for depot in 0..depots {
        let sum: String = (0..shops).map(|shop| format!("+x{depot}_{shop} ")).collect();
        let _ = writeln!(text, "{sum}<= {supply};");
    }
    for (shop, demand) in demands.iter().enumerate() {
        let sum: String = (0..depots).map(|depot| format!("+x{depot}_{shop} ")).collect();
        let _ = writeln!(text, "{sum}>= {demand};");
    }
    text.into_bytes()
}
