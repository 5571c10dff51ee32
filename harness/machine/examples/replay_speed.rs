//! What a replay costs: `replay_speed MACHINE QUANTA STREAM...` plays the streams together, one on each CPU, and prints
//! CPU time by reference. With more CPUs than streams, streams are played more than once.
//!
//! ```text
//! cargo run --release -p machine --example replay_speed -- small-2x2 100 a.stream b.stream
//! ```

use std::path::Path;
use std::sync::Arc;

use machine::replay::ReplayedMachine;
use machine::segment::Slot;
use machine::spec::{Cpu, Machine};
use machine::stream::Stream;

const QUANTUM_CYCLES: u64 = 10_000_000;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [machine, quanta, files @ ..] = &arguments[..] else { return Err("name a machine, quanta and streams".into()) };
    let machine = Machine::preset(machine).ok_or("no such machine")?;
    let quanta: u64 = quanta.parse()?;
    let streams =
        files.iter().map(|file| Ok(Arc::new(Stream::open(Path::new(file))?))).collect::<Result<Vec<_>, Box<_>>>();
    let streams = streams.map_err(|error: Box<dyn std::error::Error>| error)?;
    let cpus = machine.domains().iter().map(|(_, cpus)| cpus.len()).sum::<usize>();
    println!("guests quanta references CPU_seconds ns_per_reference millions_per_second");
    for guests in (0..).map(|power| 1 << power).take_while(|guests| *guests <= cpus) {
        for quanta in [quanta / 4, quanta / 2, quanta] {
            let streams: Vec<_> = streams.iter().cycle().take(guests).cloned().collect();
            let began = cpu_seconds()?;
            let references = references(&machine, streams, quanta)?;
            let seconds = cpu_seconds()? - began;
            let each = seconds / references as f64;
            println!("{guests} {quanta} {references} {seconds:.3} {:.1} {:.1}", 1e9 * each, 1e-6 / each);
        }
    }
    Ok(())
}

/// Plays the streams; answers how many references they made.
fn references(machine: &Machine, streams: Vec<Arc<Stream>>, quanta: u64) -> Result<u64, Box<dyn std::error::Error>> {
    let slots = streams.len() as u32;
    let mut replayed = ReplayedMachine::new(machine, streams, 1)?;
    for slot in 0..slots {
        replayed.place(Slot(slot), Cpu(slot))?;
    }
    for _ in 0..quanta {
        replayed.advance(QUANTUM_CYCLES)?;
    }
    Ok((0..slots).map(|slot| replayed.counters(Slot(slot)).llc_references).sum())
}

/// CPU time of this process so far.
fn cpu_seconds() -> Result<f64, Box<dyn std::error::Error>> {
    let schedstat = std::fs::read_to_string("/proc/self/schedstat")?;
    let nanoseconds = schedstat.split_whitespace().next().ok_or("no time")?;
    Ok(nanoseconds.parse::<f64>()? / 1e9)
}
