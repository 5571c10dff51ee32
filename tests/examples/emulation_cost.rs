//! What emulating a machine costs, taken apart: CPU seconds of one run of a program without a plugin, with a plugin that
//! is called for more and more and counts nothing, and with the model. How the numbers are read is docs/emulation-cost.md.
//!
//! ```text
//! cargo build --workspace && cargo run -p tests --example emulation_cost -- [--qemu NAME]... [--program NAME]... [--repeats N]
//! ```
//!
//! A repeat runs all variants once, one after the other, so that other work on the machine meets them all; the least of
//! the repeats counts, since other work can only add.

use std::collections::BTreeMap;
use std::time::Duration;

use harness::host::emulated::GuestPlan;
use tests::bench::{Bench, Totals, guest, kernel};

/// The variants that count nothing, in the order in which they add up.
const CALLS: [Option<&str>; 4] = [None, Some("translation"), Some("blocks"), Some("accesses")];

/// Programs from those that miss everywhere to those that live in the L1.
const PROGRAMS: [(&str, &str); 5] = [
    ("bzip2", ""),
    ("chase", "chase --size 768KiB --instructions 400M"),
    ("stream", "stream --size 8MiB --instructions 400M"),
    ("stencil", "stencil --size 64KiB --instructions 400M"),
    ("blackscholes", "blackscholes --size 16KiB --instructions 400M"),
];

struct Request {
    qemus: Vec<String>,
    programs: Vec<String>,
    repeats: usize,
}

fn main() {
    let request = request(std::env::args().skip(1));
    println!(
        "{:<8} {:<13} {:>6} {:>6} {:>6} {:>6} {:>6} {:>6}  {:>7} {:>6} {:>6} {:>8}",
        "qemu",
        "program",
        "plain",
        "transl",
        "blocks",
        "access",
        "model",
        "ratio",
        "M instr",
        "% load",
        "% store",
        "L1 m/ki"
    );
    for qemu in &request.qemus {
        let bench = match Bench::take_with((qemu != "default").then_some(qemu)) {
            Ok(bench) => bench,
            Err(reason) => {
                eprintln!("QEMU {qemu} is left out: {reason}");
                continue;
            }
        };
        for (name, arguments) in PROGRAMS {
            if request.programs.is_empty() || request.programs.iter().any(|wanted| wanted == name) {
                measure(&bench, qemu, &plan(name, arguments), request.repeats);
            }
        }
    }
}

fn plan(name: &str, arguments: &str) -> GuestPlan {
    if arguments.is_empty() { guest(name, name, 0) } else { kernel(name, arguments, 0) }
}

fn measure(bench: &Bench, qemu: &str, plan: &GuestPlan, repeats: usize) {
    let mut least: BTreeMap<usize, Duration> = BTreeMap::new();
    let mut counted = Totals::default();
    for _ in 0..repeats {
        for (place, calls) in CALLS.into_iter().enumerate() {
            keep_least(&mut least, place, bench.uncounted_run(plan, calls));
        }
        let (spent, totals) = bench.counted_run(plan);
        keep_least(&mut least, CALLS.len(), spent);
        counted = totals;
    }
    let seconds: Vec<f64> = least.values().map(Duration::as_secs_f64).collect();
    let columns: Vec<String> = seconds.iter().map(|seconds| format!("{seconds:>6.2}")).collect();
    let share = |count: u64| 100.0 * count as f64 / counted.instructions as f64;
    println!(
        "{qemu:<8} {:<13} {} {:>6.2}  {:>7} {:>6.1} {:>6.1} {:>8.2}",
        plan.name,
        columns.join(" "),
        seconds[CALLS.len()] / seconds[0],
        counted.instructions / 1_000_000,
        share(counted.loads),
        share(counted.stores),
        10.0 * share(counted.l1_misses),
    );
}

fn keep_least(least: &mut BTreeMap<usize, Duration>, place: usize, spent: Duration) {
    let kept = least.entry(place).or_insert(spent);
    *kept = spent.min(*kept);
}

/// Without `--qemu` the default one, without `--program` all, and two repeats.
fn request(mut words: impl Iterator<Item = String>) -> Request {
    let mut request = Request { qemus: Vec::new(), programs: Vec::new(), repeats: 2 };
    while let Some(word) = words.next() {
        let mut value = || words.next().unwrap_or_else(|| panic!("{word} needs a value"));
        match word.as_str() {
            "--qemu" => request.qemus.push(value()),
            "--program" => request.programs.push(value()),
            "--repeats" => request.repeats = value().parse().expect("a number of repeats"),
            _ => panic!("{word} is not known; there are --qemu NAME, --program NAME and --repeats N"),
        }
    }
    if request.qemus.is_empty() {
        request.qemus.push("default".to_owned());
    }
    request
}
