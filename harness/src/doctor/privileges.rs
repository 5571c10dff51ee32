//! What this process may do, and how much memory there is for guests.

use std::path::Path;

use super::{Check, State};
use crate::host::emulated::QEMU_OVERHEAD_MIB;

/// The name of the check of memory for guests.
pub const MEMORY: &str = "memory";

/// Host memory for which one guest of 256 MiB is admitted, QEMU included.
const GUEST_MIB: u64 = 256 + QEMU_OVERHEAD_MIB;

/// Guests in the quickstart.
const GUESTS: u64 = 4;

/// A capability that something here asks for: its number in the kernel, its name, what for.
const CAPABILITIES: [(u32, &str, &str); 4] = [
    (38, "CAP_PERFMON", "count other users' threads"),
    (23, "CAP_SYS_NICE", "bind other users' vCPU threads to CPUs"),
    (19, "CAP_SYS_PTRACE", "see which processes of other users run guests"),
    (21, "CAP_SYS_ADMIN", "mount and use resctrl"),
];

/// Reads the process's capabilities and the machine's memory.
#[must_use]
pub fn checks(proc: &Path) -> Vec<Check> {
    let read = |path: &str| std::fs::read_to_string(proc.join(path)).unwrap_or_default();
    vec![capabilities(&read("self/status")), memory(&read("meminfo"))]
}

fn capabilities(status: &str) -> Check {
    const NAME: &str = "capabilities";
    let meaning = "a live host needs CAP_PERFMON, CAP_SYS_NICE and CAP_SYS_PTRACE; the emulated host runs without any";
    let held = status
        .lines()
        .find_map(|line| line.strip_prefix("CapEff:"))
        .and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
    let Some(held) = held else {
        return Check::new(NAME, State::Missing, "not readable", meaning);
    };
    let (have, lack): (Vec<_>, Vec<_>) = CAPABILITIES.iter().partition(|(bit, ..)| held >> bit & 1 == 1);
    let names = |list: &[&(u32, &str, &str)]| list.iter().map(|(_, name, _)| *name).collect::<Vec<_>>().join(", ");
    let found = if have.is_empty() { "none of those asked for".into() } else { names(&have) };
    if lack.is_empty() {
        return Check::new(NAME, State::Ok, found, meaning);
    }
    let purposes: Vec<_> = lack.iter().map(|(_, name, purpose)| format!("{name} to {purpose}")).collect();
    Check::new(NAME, State::Limited, found, meaning)
        .remedy(format!("for a live host, run as root or grant (setcap): {}", purposes.join("; ")))
}

/// Memory that could be used now without swapping, in MiB; `None` where the kernel does not say.
#[must_use]
pub fn available_mib(proc: &Path) -> Option<u64> {
    available_in(&std::fs::read_to_string(proc.join("meminfo")).ok()?)
}

fn available_in(meminfo: &str) -> Option<u64> {
    let line = meminfo.lines().find_map(|line| line.strip_prefix("MemAvailable:"))?;
    line.trim().trim_end_matches("kB").trim().parse::<u64>().ok().map(|kib| kib / 1024)
}

fn memory(meminfo: &str) -> Check {
    let available_mib = available_in(meminfo);
    let Some(available_mib) = available_mib else {
        return Check::new(MEMORY, State::Limited, "not readable", "unknown how many guests fit");
    };
    let room = available_mib / GUEST_MIB;
    let found = format!("{available_mib} MiB available");
    let meaning = format!("room for {room} guests of 256 MiB, at {GUEST_MIB} MiB each with QEMU");
    match room {
        0 => Check::new(MEMORY, State::Missing, found, meaning).remedy("free memory, or use a larger machine"),
        room if room < GUESTS => Check::new(MEMORY, State::Limited, found, meaning)
            .remedy(format!("the quickstart runs {GUESTS} guests: free memory, or lower memory_mib in the mix")),
        _ => Check::new(MEMORY, State::Ok, found, meaning),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_capability_says_what_it_is_for() {
        let check = capabilities("Name:\tphasecast\nCapEff:\t0000004000880000\n");
        assert_eq!((check.state, check.found.as_str()), (State::Limited, "CAP_PERFMON, CAP_SYS_NICE, CAP_SYS_PTRACE"));
        assert!(check.remedy.is_some_and(|remedy| remedy.ends_with("CAP_SYS_ADMIN to mount and use resctrl")));
        assert_eq!(capabilities("CapEff:\t000001ffffffffff\n").state, State::Ok);
        assert_eq!(capabilities("CapEff:\t0000000000000000\n").found, "none of those asked for");
    }

    #[test]
    fn memory_is_told_in_guests() {
        let states = [100, 700, 4000].map(|mib: u64| memory(&format!("MemAvailable: {} kB\n", mib * 1024)).state);
        assert_eq!(states, [State::Missing, State::Limited, State::Ok]);
    }
}
