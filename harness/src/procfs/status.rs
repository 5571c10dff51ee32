//! `status` of a thread: which CPUs it may run on, and what this process may do.

use crate::sysfs::CpuSet;

/// A right that the live host asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Capability {
    /// Count threads of other users.
    Perfmon,
    /// Bind threads of other users.
    SysNice,
    /// See the descriptors of other users' processes.
    SysPtrace,
    /// Everything; holds the others on old kernels.
    SysAdmin,
}

impl Capability {
    /// As it is written in units and by `setcap`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Capability::Perfmon => "CAP_PERFMON",
            Capability::SysNice => "CAP_SYS_NICE",
            Capability::SysPtrace => "CAP_SYS_PTRACE",
            Capability::SysAdmin => "CAP_SYS_ADMIN",
        }
    }

    /// Its number in the kernel.
    const fn bit(self) -> u32 {
        match self {
            Capability::SysPtrace => 19,
            Capability::SysAdmin => 21,
            Capability::SysNice => 23,
            Capability::Perfmon => 38,
        }
    }
}

/// What `status` says; what it does not say is absent.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Status {
    /// Where the thread may run, by its affinity and its cpuset together.
    pub cpus_allowed: Option<CpuSet>,
    /// Rights in force, as the kernel's bits.
    pub effective_capabilities: Option<u64>,
    /// The effective user.
    pub user: Option<u32>,
}

impl Status {
    /// Whether the thread has this right; `None` where `status` does not say.
    #[must_use]
    pub fn has(&self, capability: Capability) -> Option<bool> {
        self.effective_capabilities.map(|held| held >> capability.bit() & 1 == 1)
    }
}

/// Reads `status`; lines that make no sense are as good as missing.
#[must_use]
pub fn parse_status(text: &[u8]) -> Status {
    let text = String::from_utf8_lossy(text);
    let value = |key: &str| text.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(':')).map(str::trim);
    Status {
        cpus_allowed: value("Cpus_allowed_list").and_then(|list| CpuSet::from_list(list).ok()),
        effective_capabilities: value("CapEff").and_then(|bits| u64::from_str_radix(bits, 16).ok()),
        user: value("Uid").and_then(|ids| ids.split_whitespace().nth(1)?.parse().ok()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_there_is_read_and_the_rest_is_absent() {
        let text = b"Name:\tCPU 0/KVM\nUid:\t0\t107\t0\t0\nCapEff:\t0000004000800000\nCpus_allowed:\tf\nCpus_allowed_list:\t0-3\n";
        let status = parse_status(text);
        assert_eq!(status.cpus_allowed.as_ref().map(ToString::to_string).as_deref(), Some("0-3"));
        assert_eq!(status.user, Some(107));
        assert_eq!(status.has(Capability::Perfmon), Some(true));
        assert_eq!(status.has(Capability::SysPtrace), Some(false));
        assert_eq!(parse_status(b"Cpus_allowed_list:\tall\nCapEff: -\n\xff\xfe"), Status::default());
        assert_eq!(Status::default().has(Capability::SysNice), None, "not told is not refused");
    }
}
