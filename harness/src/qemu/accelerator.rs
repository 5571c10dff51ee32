//! Who executes a guest's instructions on this machine, decided by trying.
//!
//! `/dev/kvm` can open, answer its version and create guests, and still never boot one: without the processor's help
//! some kernels offer a software KVM that hangs at a stock kernel's first line. So the last check boots one.

#![expect(unsafe_code, reason = "one ioctl that no safe interface offers")]

use std::fs::{File, OpenOptions};
use std::os::fd::AsRawFd;
use std::path::Path;
use std::time::{Duration, Instant};

use serde::Serialize;

use super::{Description, Program, Qemu, QemuError, RunFolder, Start};

/// `KVM_GET_API_VERSION`: `_IO(0xAE, 0x00)`.
const KVM_GET_API_VERSION: libc::c_ulong = 0xAE00;
/// Fixed since Linux 2.6.22.
const KVM_API_VERSION: i32 = 12;
/// A kernel with a working KVM writes its first line in well under a second.
const FIRST_LINE_WITHIN: Duration = Duration::from_secs(10);

/// Who executes a guest's instructions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Accelerator {
    /// The processor, through KVM.
    Kvm,
    /// QEMU's translator.
    Tcg,
}

/// One thing that was looked at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Check {
    /// What it is.
    pub name: &'static str,
    /// Whether it is as KVM needs it.
    pub ok: bool,
    /// What was found.
    pub detail: String,
}

/// Which accelerator can be used here, and why.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct AcceleratorReport {
    /// KVM only if every check passed.
    pub usable: Accelerator,
    /// What was looked at, in order; nothing after the first failure.
    pub checks: Vec<Check>,
}

impl AcceleratorReport {
    /// Why it is this accelerator, in one line.
    #[must_use]
    pub fn reason(&self) -> String {
        match self.checks.iter().find(|check| !check.ok) {
            Some(check) => format!("no KVM: {}: {}", check.name, check.detail),
            None => "KVM boots a guest".to_owned(),
        }
    }
}

/// Looks at one thing: what was found, or what is missing.
type Look<'a> = &'a dyn Fn() -> Result<String, String>;

/// Finds out whether KVM really works. The last check boots `kernel` and takes up to 10 s; without a kernel it counts as
/// failed, since nothing else proves that guests run.
#[must_use]
pub fn probe(kernel: Option<&Path>) -> AcceleratorReport {
    let steps: [(&'static str, Look<'_>); 4] = [
        ("processor flags", &processor_flags),
        ("/dev/kvm", &|| open_kvm().map(|_| "opens for reading and writing".to_owned())),
        ("KVM interface", &interface_version),
        ("probe boot", &|| probe_boot(kernel)),
    ];
    let mut checks = Vec::new();
    for (name, look) in steps {
        let found = look();
        let ok = found.is_ok();
        checks.push(Check { name, ok, detail: found.unwrap_or_else(|problem| problem) });
        if !ok {
            return AcceleratorReport { usable: Accelerator::Tcg, checks };
        }
    }
    AcceleratorReport { usable: Accelerator::Kvm, checks }
}

fn processor_flags() -> Result<String, String> {
    let text = std::fs::read_to_string("/proc/cpuinfo").map_err(|error| format!("/proc/cpuinfo: {error}"))?;
    flag_in(&text)
        .map(|flag| format!("{flag} is there"))
        .ok_or_else(|| "neither vmx nor svm in /proc/cpuinfo".to_owned())
}

fn flag_in(cpuinfo: &str) -> Option<&str> {
    let (_, flags) = cpuinfo.lines().find(|line| line.starts_with("flags"))?.split_once(':')?;
    flags.split_whitespace().find(|flag| ["vmx", "svm"].contains(flag))
}

fn open_kvm() -> Result<File, String> {
    OpenOptions::new().read(true).write(true).open("/dev/kvm").map_err(|error| error.to_string())
}

fn interface_version() -> Result<String, String> {
    let kvm = open_kvm()?;
    // SAFETY: the request takes no argument and touches no memory of ours; the descriptor is open.
    let version = unsafe { libc::ioctl(kvm.as_raw_fd(), KVM_GET_API_VERSION, 0) };
    if version == KVM_API_VERSION {
        Ok(format!("version {version}"))
    } else {
        Err(format!("version {version} where {KVM_API_VERSION} is expected"))
    }
}

fn probe_boot(kernel: Option<&Path>) -> Result<String, String> {
    let kernel = kernel.ok_or("not tried without a kernel; build the guest image first: phasecast image build")?;
    let elapsed = boot_to_first_line(kernel).map_err(|error| error.to_string())?;
    elapsed
        .map(|elapsed| format!("first console line after {} ms", elapsed.as_millis()))
        .ok_or_else(|| format!("no console line within {} s", FIRST_LINE_WITHIN.as_secs()))
}

fn boot_to_first_line(kernel: &Path) -> Result<Option<Duration>, QemuError> {
    let folder = RunFolder::create()?;
    let description = Description {
        name: "kvm-probe".to_owned(),
        accelerator: Accelerator::Kvm,
        memory_mib: 256,
        kernel: kernel.to_owned(),
        initramfs: None,
        rootfs: None,
        suite: None,
        command_line: "console=ttyS0 earlyprintk=ttyS0 panic=-1".to_owned(),
    };
    let began = Instant::now();
    let mut guest = Qemu::start(&Program::of_system()?, &description, Start::default(), &folder)?;
    while began.elapsed() < FIRST_LINE_WITHIN {
        if std::fs::read(guest.console()).is_ok_and(|log| log.contains(&b'\n')) {
            return Ok(Some(began.elapsed()));
        }
        if guest.ended().is_some() {
            return Err(guest.failure("boot", "it ended before its first console line"));
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_processor_with_virtualisation_says_so_in_its_flags() {
        assert_eq!(flag_in("model name\t: x\nflags\t\t: fpu svm sse\n"), Some("svm"));
        assert_eq!(flag_in("flags\t\t: fpu vmxish sse\nbugs: vmx\n"), None);
    }

    #[test]
    fn without_a_probe_boot_kvm_is_never_usable() {
        let report = probe(None);
        assert_eq!(report.usable, Accelerator::Tcg);
        assert!(report.checks.last().is_some_and(|check| !check.ok));
        assert!(report.reason().starts_with("no KVM: "), "{}", report.reason());
    }
}
