//! Records guests whose vCPU two programs share, with the address space at the end of each quantum: what docs/introspection.md
//! is measured on.
//!
//! ```text
//! cargo build --workspace && cargo run -p tests --example two_programs -- DIR [--qemu 10.0]
//! ```
//!
//! Each guest runs a Perl script that starts both programs, each again and again, and either leaves them to the guest's own
//! scheduler or stops one and continues the other after a time drawn from its seed.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use harness::host::Host;
use harness::host::emulated::GuestPlan;
use harness::journal::run::{GuestDescription, RunDescription};
use harness::trace::TraceWriter;
use predictor::counters::GuestId;
use tests::bench::{Bench, program, small_machine};

/// Two programs, by the words they are started with, separated by commas: a name, then both.
const PAIRS: [(&str, &str, &str); 8] = [
    ("bzip2+xz", "/bin/bzip2,--stdout,--keep,-9,/data/corpus", "/usr/bin/xz,--stdout,--keep,-5,/data/text.xz-ref"),
    ("gzip+perl", "/bin/gzip,--stdout,--keep,-9,/data/archive", "/usr/bin/perl,/data/report.pl,/data/log,3"),
    (
        "cc1+sqlite3",
        "/usr/lib/gcc/x86_64-linux-gnu/12/cc1,-quiet,-O2,-fpreprocessed,-o,-,/data/unit.i",
        "/usr/bin/sqlite3,-batch,-init,/data/orders.sql,:memory:,.exit",
    ),
    (
        "bzip2+chase",
        "/bin/bzip2,--stdout,--keep,-9,/data/archive",
        "/usr/bin/kernels,chase,--size,768KiB,--instructions,900G",
    ),
    (
        "phased+phased",
        "/usr/bin/kernels,phased,chase:768KiB:4M blackscholes:64KiB:60M,--repeat,9000",
        "/usr/bin/kernels,phased,stream:8MiB:20M stencil:64KiB:50M,--repeat,9000",
    ),
    (
        "xz+povray",
        "/usr/bin/xz,--stdout,--keep,-5,/data/archive.xz-new",
        "/usr/bin/povray,-D,-V,+FB,+O-,-GA,+W320,+H240,/data/scene.pov",
    ),
    ("perl+bzip2", "/usr/bin/perl,/data/index.pl,/data/text,2", "/bin/bzip2,--stdout,--keep,-9,/data/corpus"),
    (
        "sqlite3+stream",
        "/usr/bin/sqlite3,-batch,-init,/data/network.sql,:memory:,.exit",
        "/usr/bin/kernels,stream,--size,8MiB,--instructions,900G",
    ),
];

/// Starts both programs for ever, each in a process group of its own, and lets them run in turns of LEAST to MOST milliseconds
/// of the guest's time; where MOST is 0, as the guest's scheduler likes.
const SCRIPT: &str = r#"($s,$l,$m,@c)=@ARGV;srand $s;
@p=map{@w=split/,/;$p=fork;if(!$p){setpgrp;open STDOUT,">/dev/null";open STDERR,">/dev/null";system@w while 1}setpgrp$p,0;$p}@c;
sub z{select undef,undef,undef,$_[0]/1e3}
z 1e6 while!$m;
kill STOP=>map-$_,@p;
while(1){for(@p){kill CONT=>-$_;z($l+rand($m-$l));kill STOP=>-$_}}"#;

/// How the vCPU is shared, and how long a quantum is.
struct Regime {
    name: &'static str,
    quantum_cycles: u64,
    quanta: u64,
    /// Milliseconds of a turn, from and to.
    turn: (u32, u32),
}

const REGIMES: [Regime; 3] = [
    // A quantum is some 8 ms of the guest's time: turns of 5 to 50 quanta.
    Regime { name: "turns", quantum_cycles: 4_000_000, quanta: 1500, turn: (40, 400) },
    // Its time slice is 4 ms: a few quanta.
    Regime { name: "slices", quantum_cycles: 500_000, quanta: 3000, turn: (0, 0) },
    // Two or more slices in one quantum.
    Regime { name: "mixed", quantum_cycles: 4_000_000, quanta: 1500, turn: (0, 0) },
];

fn main() {
    let mut words = std::env::args().skip(1);
    let folder = PathBuf::from(words.next().expect("the folder for traces comes first"));
    let qemu = words.skip_while(|word| word != "--qemu").nth(1).unwrap_or_else(|| "10.0".to_owned());
    std::fs::create_dir_all(&folder).expect("a folder for traces");
    let bench = Bench::take_with(Some(&qemu)).unwrap_or_else(|reason| panic!("QEMU {qemu}: {reason}"));
    for regime in &REGIMES {
        for (run, pairs) in (1u32..).zip(PAIRS.chunks(4)) {
            record(&bench, regime, run, pairs, &folder.join(format!("{}-{run}.parquet", regime.name)));
        }
    }
}

fn record(bench: &Bench, regime: &Regime, seed: u32, pairs: &[(&str, &str, &str)], file: &Path) {
    if file.exists() {
        return eprintln!("{} is there", file.display());
    }
    let machine = small_machine();
    let quantum = Duration::from_nanos(regime.quantum_cycles * 1000 / u64::from(machine.frequency_mhz()));
    let [seed_word, least, most] = [seed, regime.turn.0, regime.turn.1].map(|number| number.to_string());
    let plan = |(cpu, (name, one, other)): (u32, &(&str, &str, &str))| -> GuestPlan {
        program(name, &["/usr/bin/perl", "-e", SCRIPT, &seed_word, &least, &most, one, other], cpu)
    };
    let plans: Vec<GuestPlan> = (0..).zip(pairs).map(plan).collect();
    let mut host = bench.launch(&machine, &plans);
    let guests = (0..).map(GuestId).zip(pairs).map(|(id, (name, ..))| {
        let [name, program, input] = [*name, *name, regime.name].map(str::to_owned);
        (id, GuestDescription { name, program, input })
    });
    let run = RunDescription {
        purpose: "record".to_owned(),
        host: "emulated".to_owned(),
        machine: machine.name().to_owned(),
        mix: format!("{}-{seed}", regime.name),
        policy: "stay-put".to_owned(),
        seed: seed.into(),
        quantum,
        frequency_hz: Some(u64::from(machine.frequency_mhz()) * 1_000_000),
        llc_latency_cycles: None,
        memory_latency_cycles: None,
        memory_bytes_per_cycle: None,
        topology: host.topology().clone(),
        events: host.events().clone(),
        guests: guests.collect::<BTreeMap<_, _>>(),
        revision: env!("CARGO_PKG_VERSION").to_owned(),
    };
    let mut trace = TraceWriter::create(file, &run).expect("a trace");
    for number in 0..regime.quanta {
        let seen = host.advance(quantum).unwrap_or_else(|error| panic!("quantum {number}: {error}"));
        trace.add_quantum(number, &seen.samples).expect("room for the trace");
        if number % 100 == 0 {
            eprintln!("{}: {number} of {}", file.display(), regime.quanta);
        }
    }
    trace.finish().expect("room for the trace");
}
