//! A process that KVM knows as a guest: a virtual machine with vCPUs, and a thread for each, called as a VMM calls it.
//!
//! The vCPUs execute nothing: what the live host sees of a guest are descriptors, threads and their time on a CPU, and the
//! threads spin, sleep, or do both by turns.
//!
//! A test file whose tests start guests has a test called `kvm_guest` that does nothing but [`play`]: the guest is that
//! file's own program, started anew with [`ROLE`] set. It says `ready` when the threads are there, then reads lines:
//! `plug` adds a vCPU, `unplug` ends the last thread, and the end of the input, which comes with the end of the test, ends
//! the process. It says `absent` where there is no KVM.

#![expect(unsafe_code, reason = "KVM is asked for by ioctl")]

use std::io::BufRead;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

const CREATE_VM: libc::Ioctl = 0xae01;
const CREATE_VCPU: libc::Ioctl = 0xae41;

struct Vcpu {
    stop: Arc<AtomicBool>,
    thread: std::thread::JoinHandle<()>,
    // KVM keeps a vCPU as long as its descriptor is open.
    _descriptor: OwnedFd,
}

/// What the process is to be, as `VMM WORK VCPUS`.
pub const ROLE: &str = "PHASECAST_KVM_GUEST";

/// Plays the guest if this process was started to be one, and ends it; else nothing.
///
/// # Panics
/// If the role makes no sense.
pub fn play() {
    let Ok(role) = std::env::var(ROLE) else { return };
    let words: Vec<&str> = role.split(' ').collect();
    let [vmm, work, count] = words[..] else { panic!("a role is VMM WORK VCPUS") };
    // Of the process, not of the thread that the test runs in.
    std::fs::write("/proc/self/comm", program(vmm)).expect("our own name");
    serve(vmm, work, count.parse().expect("a number of vCPUs"));
    std::process::exit(0);
}

fn serve(vmm: &str, work: &str, count: u32) {
    let Ok(kvm) = std::fs::File::options().read(true).write(true).open("/dev/kvm") else {
        println!("absent");
        return;
    };
    let Some(machine) = ask(&kvm, CREATE_VM, 0) else {
        println!("absent");
        return;
    };
    let add = |number: u32| Some(Vcpu::start(ask(&machine, CREATE_VCPU, number)?, vmm, work, number));
    let mut vcpus: Vec<Vcpu> = (0..count).map_while(add).collect();
    println!("{}", if vcpus.len() == count as usize { "ready" } else { "absent" });
    for line in std::io::stdin().lock().lines().map_while(Result::ok) {
        match line.as_str() {
            "plug" => vcpus.extend(add(u32::try_from(vcpus.len()).expect("few"))),
            "unplug" => vcpus.pop().into_iter().for_each(Vcpu::end),
            _ => continue,
        }
        println!("done");
    }
}

impl Vcpu {
    fn start(descriptor: OwnedFd, vmm: &str, work: &str, number: u32) -> Self {
        let name = match vmm {
            "cloud-hypervisor" => format!("vcpu{number}"),
            "firecracker" => format!("fc_vcpu {number}"),
            "crosvm" => format!("crosvm_vcpu{number}"),
            _ => format!("CPU {number}/KVM"),
        };
        let stop = Arc::new(AtomicBool::new(false));
        let asked = Arc::clone(&stop);
        let work = work.to_owned();
        let body = move || {
            while !asked.load(Ordering::Relaxed) {
                let began = Instant::now();
                while work != "sleep" && began.elapsed() < Duration::from_millis(5) {
                    std::hint::spin_loop();
                }
                if work != "spin" {
                    std::thread::sleep(Duration::from_millis(5));
                }
            }
        };
        let thread = std::thread::Builder::new().name(name).spawn(body).expect("a thread");
        Self { stop, thread, _descriptor: descriptor }
    }

    fn end(self) {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.join().expect("no panic");
    }
}

/// The descriptor that KVM answers with; `None` if it refuses.
fn ask(of: &impl AsRawFd, request: libc::Ioctl, argument: u32) -> Option<OwnedFd> {
    // SAFETY: both requests take a number and answer with a new descriptor or -1; no memory is passed.
    let answer = unsafe { libc::ioctl(of.as_raw_fd(), request, libc::c_ulong::from(argument)) };
    // SAFETY: the descriptor is new, and nobody else has it.
    (answer >= 0).then(|| unsafe { OwnedFd::from_raw_fd(answer) })
}

fn program(vmm: &str) -> &'static str {
    match vmm {
        "cloud-hypervisor" => "cloud-hyperviso",
        "firecracker" => "firecracker",
        "crosvm" => "crosvm",
        _ => "qemu-system-x86",
    }
}
