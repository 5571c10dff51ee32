//! What is to run on an emulated host, and whether it can.

use std::collections::BTreeMap;

use machine::spec::{Cpu, Machine};
use workloads::catalogue::Launch;

use crate::input::InputError;

/// QEMU's own memory beside that of its guest: program, translated code and the plugin's tables.
pub const QEMU_OVERHEAD_MIB: u64 = 150;

/// A guest to launch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GuestPlan {
    /// Its name, unique among the guests.
    pub name: String,
    /// What it runs.
    pub launch: Launch,
    /// Its memory.
    pub memory_mib: u32,
    /// Its vCPUs; only 1 is possible on this host.
    pub vcpus: u32,
    /// The emulated CPU on which it starts.
    pub cpu: Cpu,
}

/// Refuses what this host cannot run. Messages are at keys of a mix file: `guest[1].vcpus`.
pub fn check(machine: &Machine, guests: &[GuestPlan]) -> Result<(), InputError> {
    let memory: Vec<u32> = guests.iter().map(|guest| guest.memory_mib).collect();
    check_with(machine, guests, &memory)
}

/// As [`check`] of guests that never run at once: what each needs alone, and whether all have a place on the machine.
pub fn check_one_by_one(machine: &Machine, guests: &[GuestPlan]) -> Result<(), InputError> {
    let largest = guests.iter().map(|guest| guest.memory_mib).max();
    check_with(machine, guests, largest.as_slice())
}

fn check_with(machine: &Machine, guests: &[GuestPlan], memory_at_once_mib: &[u32]) -> Result<(), InputError> {
    for (index, guest) in guests.iter().enumerate() {
        check_vcpus(guest.vcpus).map_err(|error| error.at(format!("guest[{index}].vcpus")))?;
    }
    check_count(machine, guests.len())?;
    check_memory(memory_at_once_mib, available_mib())?;
    check_places(machine, guests)
}

fn check_places(machine: &Machine, guests: &[GuestPlan]) -> Result<(), InputError> {
    let mut taken: BTreeMap<Cpu, &str> = BTreeMap::new();
    for (index, guest) in guests.iter().enumerate() {
        let refuse = |problem: String, remedy: &str| InputError::new(problem, remedy).at(format!("guest[{index}]"));
        if machine.domain_of(guest.cpu).is_none() {
            let problem = format!("machine \"{}\" has no CPU {}", machine.name(), guest.cpu.0);
            return Err(refuse(problem, "choose one of its CPUs"));
        }
        if let Some(other) = taken.insert(guest.cpu, &guest.name)
            && machine.timeslice_cycles().is_none()
        {
            let problem = format!("\"{}\" and \"{other}\" are both on CPU {}", guest.name, guest.cpu.0);
            return Err(refuse(problem, "give each guest a CPU of its own, or the machine core.timeslice_cycles"));
        }
        if guests[..index].iter().any(|other| other.name == guest.name) {
            return Err(refuse(format!("there are two guests called \"{}\"", guest.name), "give each its own name"));
        }
    }
    Ok(())
}

/// Refuses guests with several vCPUs: the epoch barrier parks one vCPU at a time, and QEMU's threads would wait for each
/// other inside it.
pub fn check_vcpus(vcpus: u32) -> Result<(), InputError> {
    if vcpus == 1 {
        return Ok(());
    }
    Err(InputError::new(
        format!(
            "{vcpus} vCPUs; on the emulated host a guest has exactly 1, since its clock is kept in step by parking it"
        ),
        "use several guests instead",
    ))
}

fn check_count(machine: &Machine, guests: usize) -> Result<(), InputError> {
    let cpus: usize = machine.domains().iter().map(|(_, cpus)| cpus.len()).sum();
    if guests == 0 {
        return Err(InputError::new("there is no guest", "name at least one").at("guest"));
    }
    if guests > cpus && machine.timeslice_cycles().is_none() {
        let problem = format!("{guests} guests, but machine \"{}\" has {cpus} CPUs", machine.name());
        return Err(InputError::new(problem, "remove guests or take a larger machine").at("guest"));
    }
    Ok(())
}

/// Refuses more memory than is available on this machine now.
fn check_memory(guests_mib: &[u32], available_mib: Option<u64>) -> Result<(), InputError> {
    let guests = guests_mib.len();
    let needed = guests_mib.iter().map(|&memory| u64::from(memory) + QEMU_OVERHEAD_MIB).sum::<u64>();
    match available_mib {
        Some(available) if needed > available => {
            let problem = format!("{guests} guests need {needed} MiB of memory, and {available} MiB are available");
            Err(InputError::new(problem, "lower memory_mib or remove guests").at("guest"))
        }
        // Where the kernel does not say, the guests themselves will.
        _ => Ok(()),
    }
}

fn available_mib() -> Option<u64> {
    available_in(&std::fs::read_to_string("/proc/meminfo").ok()?)
}

fn available_in(meminfo: &str) -> Option<u64> {
    let line = meminfo.lines().find_map(|line| line.strip_prefix("MemAvailable:"))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kib / 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn machine() -> Machine {
        Machine::preset("small-2x2").expect("it comes with the program")
    }

    fn plan(name: &str, cpu: u32) -> GuestPlan {
        let launch = Launch { argv: vec!["/bin/true".to_owned()], files: Vec::new(), checksum: None, disk: None };
        GuestPlan { name: name.to_owned(), launch, memory_mib: 1, vcpus: 1, cpu: Cpu(cpu) }
    }

    fn refusal(guests: &[GuestPlan]) -> String {
        check(&machine(), guests).expect_err("it cannot run").to_string()
    }

    #[test]
    fn several_vcpus_are_refused_saying_why() {
        let text = refusal(&[plan("alpha", 0), GuestPlan { vcpus: 2, ..plan("beta", 1) }]);
        assert!(text.starts_with("guest[1].vcpus: 2 vCPUs; ") && text.contains("parking"), "{text}");
    }

    #[test]
    fn more_guests_than_cpus_are_refused_with_both_numbers() {
        let guests: Vec<_> = (0..5).map(|index| plan(&format!("g{index}"), index)).collect();
        let text = refusal(&guests);
        assert!(text.contains("5 guests") && text.contains("has 4 CPUs"), "{text}");
    }

    #[test]
    fn more_guests_than_memory_are_refused_with_both_numbers() {
        let error = check_memory(&[256, 256], Some(700)).expect_err("too much");
        assert!(error.to_string().contains("need 812 MiB of memory, and 700 MiB are available"), "{error}");
        assert_eq!(check_memory(&[256, 256], Some(812)), Ok(()));
        assert_eq!(check_memory(&[256, 256], None), Ok(()));
    }

    #[test]
    fn two_guests_cannot_start_on_one_cpu_nor_outside_the_machine() {
        assert!(refusal(&[plan("alpha", 1), plan("beta", 1)]).contains("both on CPU 1"));
        assert!(refusal(&[plan("alpha", 4)]).contains("has no CPU 4"));
        assert!(refusal(&[plan("alpha", 0), plan("alpha", 1)]).contains("two guests called \"alpha\""));
        assert!(refusal(&[]).contains("there is no guest"));
    }

    #[test]
    fn available_memory_is_read_as_the_kernel_writes_it() {
        assert_eq!(available_in("MemTotal: 9 kB\nMemAvailable:   2097152 kB\n"), Some(2048));
        assert_eq!(available_in("MemTotal: 9 kB\n"), None);
    }
}
