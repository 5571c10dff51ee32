//! KVM guests of the lab: started, found in `/proc`, paused, ended. What is asked of them is the scenario's.

use std::process::{Child, Command, Stdio};
use std::time::Duration;

use crate::load::AT_WORK;
use crate::report::{Failure, wait};
use crate::system;
use crate::watcher::cpus_of;

/// Guests get so much memory.
const MEBIBYTES: u32 = 96;

/// Booting takes a few seconds on a quiet machine; more than this means that it hangs.
const BOOT_WITHIN: Duration = Duration::from_secs(180);

/// A QEMU with one vCPU.
#[derive(Debug)]
pub(crate) struct Guest {
    pub(crate) name: String,
    process: Child,
    /// The thread of its vCPU.
    pub(crate) vcpu: i32,
}

impl Guest {
    /// Starts QEMU on the lab's KVM and waits until the guest is at work for `load`, which is as `load.rs` reads it.
    pub(crate) fn boot(name: &str, load: &str) -> Result<Self, Failure> {
        let memory = format!("{MEBIBYTES}M");
        let process = Command::new("/qemu")
            .args(["-L", "/firmware", "-name", &format!("guest={name},debug-threads=on"), "-machine", "pc"])
            .args(["-accel", "kvm", "-cpu", "host", "-smp", "1", "-m", &memory])
            .args(["-nodefaults", "-no-user-config", "-display", "none", "-no-reboot"])
            .args(["-kernel", "/guest/vmlinuz", "-initrd", "/guest/initramfs.cpio"])
            .args(["-serial", &format!("file:{}", console(name))])
            .args(["-append", &format!("console=ttyS0 quiet panic=-1 mitigations=off -- load {load}")])
            .stdin(Stdio::null())
            .spawn()
            .map_err(|error| Failure::new(format!("start guest {name}"), error))?;
        let mut guest = Self { name: name.to_owned(), process, vcpu: 0 };
        guest.vcpu = guest.wait_for_boot()?;
        Ok(guest)
    }

    fn wait_for_boot(&mut self) -> Result<i32, Failure> {
        let console = console(&self.name);
        let what = format!("see guest {} at work", self.name);
        let booted = wait(&what, BOOT_WITHIN, || {
            let said = std::fs::read_to_string(&console).unwrap_or_default();
            let vcpu = said.contains(AT_WORK).then(|| self.find_vcpu()).flatten();
            let ended = self.process.try_wait().ok().flatten().map(|status| Failure::new(&what, status));
            vcpu.map(Ok).or(ended.map(Err))
        });
        booted.and_then(|booted| booted).map_err(|failure| {
            let said = std::fs::read(&console).unwrap_or_default();
            let said = String::from_utf8_lossy(&said).into_owned();
            failure.with(said.lines().last().unwrap_or("its console is empty"))
        })
    }

    pub(crate) fn pid(&self) -> u32 {
        self.process.id()
    }

    /// The thread of its vCPU, by the name QEMU gave it.
    fn find_vcpu(&self) -> Option<i32> {
        let tasks = std::fs::read_dir(format!("/proc/{}/task", self.pid())).ok()?;
        tasks.flatten().find_map(|task| {
            let name = std::fs::read_to_string(task.path().join("comm")).ok()?;
            (name.trim_end() == "CPU 0/KVM").then(|| task.file_name().to_str()?.parse().ok()).flatten()
        })
    }

    /// The CPUs its vCPU may run on.
    pub(crate) fn cpus(&self) -> Result<Cpus, Failure> {
        let list = cpus_of(self.pid(), self.vcpu);
        let cpus = list.and_then(|list| Cpus::of_list(&list));
        cpus.ok_or_else(|| Failure::new(format!("read the CPUs of {}", self.name), "it is gone"))
    }

    /// Stops the whole process, as a debugger would.
    pub(crate) fn pause(&self) {
        system::signal(self.pid(), libc::SIGSTOP);
    }

    pub(crate) fn resume(&self) {
        system::signal(self.pid(), libc::SIGCONT);
    }

    /// Kills it and waits until it is gone.
    pub(crate) fn kill(mut self) {
        // It may be gone already, which is as well.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// What a guest wrote to its console.
pub(crate) fn console(name: &str) -> String {
    format!("/tmp/{name}.console")
}

/// CPUs below 64, one bit each.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Cpus(pub(crate) u64);

impl Cpus {
    /// Reads "0-1,3".
    pub(crate) fn of_list(list: &str) -> Option<Self> {
        let bits = list.split(',').try_fold(0, |cpus, range| {
            let (first, last) = range.split_once('-').unwrap_or((range, range));
            let (first, last): (u32, u32) = (first.parse().ok()?, last.parse().ok()?);
            (first <= last && last < 64).then(|| (first..=last).fold(cpus, |cpus, cpu| cpus | 1 << cpu))
        });
        bits.map(Self)
    }

    pub(crate) fn contains(self, cpu: u32) -> bool {
        cpu < 64 && self.0 & (1 << cpu) != 0
    }

    pub(crate) fn is_within(self, other: Self) -> bool {
        self.0 & !other.0 == 0
    }

    pub(crate) fn and(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }
}

/// As the kernel writes them, but each CPU by itself: "0,1,3".
impl std::fmt::Display for Cpus {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let numbers: Vec<String> = (0..64).filter(|&cpu| self.contains(cpu)).map(|cpu| cpu.to_string()).collect();
        out.write_str(&numbers.join(","))
    }
}

#[cfg(test)]
mod tests {
    use super::Cpus;

    #[test]
    fn a_list_of_cpus_is_read_as_bits_and_written_one_by_one() {
        assert_eq!(Cpus::of_list("0-1,3"), Some(Cpus(0b1011)));
        assert_eq!(Cpus::of_list("2"), Some(Cpus(0b100)));
        assert_eq!(Cpus::of_list(""), None);
        assert_eq!(Cpus::of_list("3-1"), None);
        assert_eq!(Cpus::of_list("64"), None);
        assert_eq!(Cpus(0b1011).to_string(), "0,1,3");
    }
}
