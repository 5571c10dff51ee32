//! `lab`: process 1 of the KVM lab, and of the guests in it. In the lab it starts KVM guests, runs `phasecast` on them, and
//! says of each claim whether it holds; in a guest it is at work for as much of the time as it is told. How the lab's
//! machine is built and started is the harness's.
//!
//! | arguments | role |
//! |---|---|
//! | `scenario GUESTS` | the lab: this many guests of one vCPU, an even number of at least 4 |
//! | `load PERCENT:SECONDS,...` | a guest: so much of the time at work, for so long, then the next, for ever |

mod daemons;
mod guests;
mod load;
mod report;
mod scenario;
mod system;
mod watcher;

use std::path::Path;

use report::{Failure, Report};

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let done = match words[..] {
        ["scenario", guests] => lab(guests),
        ["load", phases] => load::run(phases),
        _ => Err(Failure::new("understand the arguments", format!("{words:?}"))),
    };
    if let Err(failure) = done {
        println!("lab: {failure}");
    }
    system::power_off();
}

fn lab(guests: &str) -> Result<(), Failure> {
    system::mount_all().map_err(|error| Failure::new("mount the kernel's file systems", error))?;
    let report = Report::open()?;
    let guests: usize = guests.parse().map_err(|error| Failure::new("read the number of guests", error))?;
    if report.verdict("KVM is there", load_modules()) {
        scenario::run(&report, guests);
    }
    report.end();
    Ok(())
}

/// Loads `irqbypass` and `kvm`, then the one for this processor.
fn load_modules() -> Result<String, Failure> {
    let cpuinfo =
        std::fs::read_to_string("/proc/cpuinfo").map_err(|error| Failure::new("read /proc/cpuinfo", error))?;
    let flags = cpuinfo.lines().find(|line| line.starts_with("flags")).unwrap_or_default();
    let has = |wanted: &str| flags.split_whitespace().any(|flag| flag == wanted);
    let vendor = match (has("svm"), has("vmx")) {
        (true, _) => "kvm-amd.ko",
        (false, true) => "kvm-intel.ko",
        (false, false) => return Err(Failure::new("find svm or vmx among the processor's flags", flags)),
    };
    for name in ["irqbypass.ko", "kvm.ko", vendor] {
        let loaded = system::load_module(&Path::new("/modules").join(name));
        loaded.map_err(|error| Failure::new(format!("load {name}"), error))?;
    }
    system::loopback_up().map_err(|error| Failure::new("bring up loopback", error))?;
    let opened = std::fs::File::options().read(true).write(true).open("/dev/kvm");
    opened.map_err(|error| Failure::new("open /dev/kvm", error))?;
    Ok(format!("{vendor} is loaded and /dev/kvm opens"))
}
