//! `lab`: process 1 of the KVM lab. Starts KVM guests inside it, runs `phasecast` on them, and says of each claim whether
//! it holds. How the lab is built and started is the harness's.

mod guests;
mod report;
mod scenario;
mod system;

use std::path::Path;

use report::{Failure, Report};

fn main() {
    if let Err(failure) = run() {
        println!("lab: {failure}");
    }
    system::power_off();
}

fn run() -> Result<(), Failure> {
    system::mount_all().map_err(|error| Failure::new("mount the kernel's file systems", error))?;
    let mut report = Report::open()?;
    let kvm = load_modules();
    if report.verdict("kvm is there", kvm) {
        let count = std::env::args().nth(1).and_then(|count| count.parse().ok()).unwrap_or(4);
        scenario::run(&mut report, count);
    }
    report.end();
    Ok(())
}

fn load_modules() -> Result<String, Failure> {
    let order =
        std::fs::read_to_string("/modules/order").map_err(|error| Failure::new("read /modules/order", error))?;
    for name in order.lines() {
        let loaded = system::load_module(&Path::new("/modules").join(name));
        loaded.map_err(|error| Failure::new(format!("load {name}"), error))?;
    }
    system::loopback_up().map_err(|error| Failure::new("bring up loopback", error))?;
    let kvm = std::fs::metadata("/dev/kvm").map_err(|error| Failure::new("see /dev/kvm", error))?;
    Ok(format!("{} modules loaded, /dev/kvm is there ({} bytes)", order.lines().count(), kvm.len()))
}
