//! KVM guests of the lab: started, found in `/proc`, ended. What is asked of them is the scenario's.

use std::process::{Child, Command, Stdio};
use std::time::Duration;

use crate::report::{Failure, wait};

/// Guests get so much memory.
const MEBIBYTES: u32 = 96;

/// A QEMU with one vCPU.
#[derive(Debug)]
pub(crate) struct Guest {
    pub(crate) name: String,
    pub(crate) process: Child,
}

impl Guest {
    /// Starts QEMU on the lab's KVM; the guest runs a kernel that never ends.
    pub(crate) fn start(name: &str) -> Result<Self, Failure> {
        let memory = format!("{MEBIBYTES}M");
        let process = Command::new("/qemu")
            .args(["-L", "/firmware", "-name", &format!("guest={name},debug-threads=on"), "-machine", "pc"])
            .args(["-accel", "kvm", "-cpu", "host", "-smp", "1", "-m", &memory])
            .args(["-nodefaults", "-no-user-config", "-display", "none", "-no-reboot"])
            .args(["-kernel", "/guest/vmlinuz", "-initrd", "/guest/initramfs.cpio"])
            .args(["-serial", &format!("file:{}", console(name))])
            .args(["-append", "console=ttyS0 panic=-1 mitigations=off -- chase --size 64KiB --instructions 900G"])
            .stdin(Stdio::null())
            .spawn()
            .map_err(|error| Failure::new(format!("start guest {name}"), error))?;
        Ok(Self { name: name.to_owned(), process })
    }

    /// Waits until its kernel has started our program.
    pub(crate) fn wait_for_boot(&self, limit: Duration) -> Result<(), Failure> {
        let console = console(&self.name);
        wait(&format!("see guest {} boot", self.name), limit, || {
            std::fs::read_to_string(&console).unwrap_or_default().contains("as init process").then_some(())
        })
        .map_err(|failure| {
            let said = std::fs::read(&console).unwrap_or_default();
            let said = String::from_utf8_lossy(&said).into_owned();
            failure.with(said.lines().last().unwrap_or("its console is empty"))
        })
    }

    /// The thread of its vCPU, by the name QEMU gave it.
    pub(crate) fn vcpu(&self) -> Option<i32> {
        let tasks = std::fs::read_dir(format!("/proc/{}/task", self.process.id())).ok()?;
        tasks.flatten().find_map(|task| {
            let name = std::fs::read_to_string(task.path().join("comm")).ok()?;
            (name.trim_end() == "CPU 0/KVM").then(|| task.file_name().to_str()?.parse().ok()).flatten()
        })
    }

    /// The CPUs its vCPU may run on, as the kernel says, one bit each.
    pub(crate) fn cpus(&self) -> Option<u64> {
        let status = std::fs::read_to_string(format!("/proc/{}/task/{}/status", self.process.id(), self.vcpu()?));
        status.ok()?.lines().find_map(|line| parse_list(line.strip_prefix("Cpus_allowed_list:")?.trim()))
    }

    /// Kills it and waits until it is gone.
    pub(crate) fn kill(&mut self) {
        // It may be gone already, which is as well.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Reads "0-1,3" as bits.
pub(crate) fn parse_list(list: &str) -> Option<u64> {
    list.split(',').try_fold(0, |cpus, range| {
        let (first, last) = range.split_once('-').unwrap_or((range, range));
        let (first, last): (u32, u32) = (first.parse().ok()?, last.parse().ok()?);
        (first <= last && last < 64).then(|| (first..=last).fold(cpus, |cpus, cpu| cpus | 1 << cpu))
    })
}

fn console(name: &str) -> String {
    format!("/tmp/{name}.console")
}

#[cfg(test)]
mod tests {
    use super::parse_list;

    #[test]
    fn a_list_of_cpus_is_read_as_bits() {
        assert_eq!(parse_list("0-1,3"), Some(0b1011));
        assert_eq!(parse_list("2"), Some(0b100));
        assert_eq!(parse_list(""), None);
        assert_eq!(parse_list("3-1"), None);
        assert_eq!(parse_list("64"), None);
    }
}
