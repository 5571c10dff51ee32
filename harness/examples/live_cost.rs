//! What watching guests costs: the live host's own CPU time and memory against the number of vCPU threads, and the time of
//! one reading of a group.
//!
//! `cargo run --release -p harness --example live_cost [-- OUT.csv [SECONDS]]`, which writes OUT.svg beside it
//!
//! The guest is this program started anew, called like an emulator with threads named like its vCPUs; every other one
//! works half the time, the rest sleep. So the whole host is measured, discovery included, on any machine.

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use harness::host::Host;
use harness::host::live::{LiveHost, LiveSettings};
use harness::perf::Counters;
use harness::perf::plan::Processor;
use harness::procfs::{Pid, Tid};
use harness::report::figures::{WatchingCost, watching};

const ROLE: &str = "PHASECAST_COST_GUEST";
const QUANTUM: Duration = Duration::from_millis(100);

fn main() -> anyhow::Result<()> {
    if let Ok(threads) = std::env::var(ROLE) {
        return play(threads.parse()?);
    }
    let mut arguments = std::env::args().skip(1);
    let out = arguments.next();
    let seconds: u64 = arguments.next().map_or(Ok(10), |text| text.parse())?;
    let mut costs = Vec::new();
    let mut csv = String::from("threads,quantum_ms,cpu_share_of_one_core,us_per_thread_and_quantum,resident_kib\n");
    for threads in [1, 4, 16, 64, 128, 256] {
        let (share_of_core, line) = watch(threads, Duration::from_secs(seconds))?;
        costs.push(WatchingCost { threads, share_of_core });
        csv += &line;
    }
    print!("{csv}");
    if let Some(out) = out {
        std::fs::write(&out, &csv)?;
        let caption = format!("live host, a quantum of {} ms; the grey line is the aim of 1 %", QUANTUM.as_millis());
        std::fs::write(Path::new(&out).with_extension("svg"), watching(&costs, 0.01, &caption)?)?;
    }
    let (median, slowest) = group_read()?;
    println!("one group read: median {median:?}, 99 of 100 within {slowest:?}");
    Ok(())
}

fn play(threads: u32) -> anyhow::Result<()> {
    std::fs::write("/proc/self/comm", "qemu-system-x86")?;
    for number in 0..threads {
        std::thread::Builder::new().name(format!("CPU {number}/TCG")).spawn(move || {
            loop {
                let began = Instant::now();
                // Few enough that the machine is not full of them.
                while number % 2 == 0 && began.elapsed() < Duration::from_micros(50) {
                    std::hint::spin_loop();
                }
                std::thread::sleep(Duration::from_millis(20));
            }
        })?;
    }
    println!("ready");
    let mut line = String::new();
    // The end of the input is the end of whoever measures.
    std::io::stdin().read_line(&mut line)?;
    Ok(())
}

fn start(threads: u32) -> anyhow::Result<Child> {
    let mut command = Command::new(std::env::current_exe()?);
    let mut child = command.env(ROLE, threads.to_string()).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
    let mut line = String::new();
    BufReader::new(child.stdout.take().expect("piped")).read_line(&mut line)?;
    Ok(child)
}

/// The share of one core, and its line of the table.
fn watch(threads: u32, time: Duration) -> anyhow::Result<(f64, String)> {
    let mut child = start(threads)?;
    let within = Some(BTreeSet::from([Pid(child.id())]));
    let mut host = LiveHost::new(LiveSettings { include_tcg: true, within, ..LiveSettings::default() })?;
    anyhow::ensure!(host.advance(QUANTUM)?.arrivals.len() == threads as usize, "all threads are found");
    let (began, used) = (Instant::now(), cpu_time());
    let mut quanta = 0u32;
    while began.elapsed() < time {
        anyhow::ensure!(host.advance(QUANTUM)?.samples.len() == threads as usize, "all threads are read");
        quanta += 1;
    }
    let (used, passed) = (cpu_time() - used, began.elapsed());
    let share = used.as_secs_f64() / passed.as_secs_f64();
    let each = used.as_secs_f64() * 1e6 / f64::from(quanta) / f64::from(threads);
    let resident = resident_kib().unwrap_or_default();
    child.kill()?;
    child.wait()?;
    Ok((share, format!("{threads},{},{share:.5},{each:.2},{resident}\n", QUANTUM.as_millis())))
}

/// CPU time of this process, without that of guests.
fn cpu_time() -> Duration {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    Duration::new(u64::try_from(now.tv_sec).unwrap_or(0), u32::try_from(now.tv_nsec).unwrap_or(0))
}

fn resident_kib() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    line.trim().trim_end_matches("kB").trim().parse().ok()
}

/// The median and the 99th percentile of reading one group of a thread that works half the time.
fn group_read() -> anyhow::Result<(Duration, Duration)> {
    let mut child = start(1)?;
    let threads = std::fs::read_dir(format!("/proc/{}/task", child.id()))?.flatten();
    let vcpu = threads.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok()).max().unwrap_or(child.id());
    let mut counters = Counters::new(Processor::of(&std::fs::read_to_string("/proc/cpuinfo")?).events());
    let mut group = counters.open(Tid(vcpu))?;
    let mut times = Vec::new();
    for _ in 0..20_000 {
        let began = Instant::now();
        std::hint::black_box(group.read()?);
        times.push(began.elapsed());
    }
    times.sort_unstable();
    writeln!(std::io::stderr(), "a group of {:?}", counters.events())?;
    child.kill()?;
    child.wait()?;
    Ok((times[times.len() / 2], times[times.len() * 99 / 100]))
}
