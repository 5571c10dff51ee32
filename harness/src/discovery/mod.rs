//! Guests that run on this machine, whoever launched them, found without configuration.
//!
//! Owns telling guests from other processes and vCPU threads from other threads; watching and moving them is a host's.
//!
//! # The rule
//!
//! A thread is a vCPU only if all of this holds:
//!
//! 1. its process has a `kvm-vm` and `kvm-vcpu` descriptors: it does run a guest;
//! 2. its name is one that a VMM gives vCPU threads ([`names`]);
//! 3. no other thread of the process has that name's number;
//! 4. the number is among the numbers of the `kvm-vcpu` descriptors, or there are no more such threads than descriptors.
//!    The second half is for VMMs that number threads by position and vCPUs in KVM by APIC id, which has holes where
//!    cores are no power of two.
//!
//! Whoever may not read a process's descriptors cannot know the first: such a process is told as hidden, with the right
//! that is missing, and never guessed at.
//!
//! With `include_tcg` guests that QEMU emulates are found as well: no KVM, so the name and the program have to do. It is
//! for test beds.
//!
//! # Cost
//!
//! A pass reads one line for each process. Threads and descriptors of a process that is no guest are looked at again
//! after 1, 2, 4, ... 32 passes, since a VMM may have waited for its orders; at each pass where it is called like one.

pub mod names;
pub mod qmp;

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use crate::procfs::{Pid, Proc, ProcError, ThreadIdentity, Tid};

pub use names::{Accelerator, Vmm};

/// A process that is no guest is looked at again after at most so many passes.
const LONGEST_PAUSE: u32 = 32;

/// A vCPU's thread.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct VcpuThread {
    /// The vCPU's number within the guest, from the thread's name.
    pub number: u32,
    /// Which thread.
    pub thread: ThreadIdentity,
    /// What it is called.
    pub comm: String,
}

/// A guest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct FoundGuest {
    /// Its process.
    pub pid: Pid,
    /// When that began, in clock ticks since boot.
    pub start_ticks: u64,
    /// The name its VMM was given, else program and number.
    pub name: String,
    /// What runs it.
    pub vmm: Vmm,
    /// With what.
    pub accelerator: Accelerator,
    /// Its vCPUs, by number.
    pub vcpus: Vec<VcpuThread>,
    /// Whether the VMM itself named the same threads; absent where it was not asked.
    pub confirmed: Option<bool>,
}

/// Something that may be a guest, or part of one, and is left alone.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Hidden {
    /// The process.
    pub pid: Pid,
    /// What it is called.
    pub name: String,
    /// What cannot be seen or is not clear.
    pub problem: String,
    /// What would help.
    pub remedy: String,
}

/// What one pass found.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct Scan {
    /// Guests, by process.
    pub guests: Vec<FoundGuest>,
    /// What was left alone.
    pub hidden: Vec<Hidden>,
}

/// What to look for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Scope {
    /// Also guests that QEMU emulates.
    pub include_tcg: bool,
    /// Ask QEMU which threads are vCPUs, where its command line names a socket for that. Off by default: a monitor
    /// serves one client at a time, and may be meant for another.
    pub ask_qmp: bool,
}

/// Looks for guests again and again.
#[derive(Debug)]
pub struct Discovery {
    proc: Proc,
    scope: Scope,
    known: BTreeMap<Pid, Known>,
}

#[derive(Debug)]
struct Known {
    start_ticks: u64,
    what: What,
}

#[derive(Debug)]
enum What {
    /// Not a guest when last looked at.
    Other { passes_left: u32, pause: u32 },
    /// A guest; which numbers KVM has, and for how many threads that was read.
    Guest { name: String, kvm_numbers: BTreeSet<u32>, threads: usize, confirmed: Option<bool> },
}

/// A thread whose name fits.
struct Candidate {
    name: names::VcpuName,
    thread: VcpuThread,
}

impl Discovery {
    /// Looks among the processes of `proc`.
    #[must_use]
    pub fn new(proc: Proc, scope: Scope) -> Self {
        Self { proc, scope, known: BTreeMap::new() }
    }

    /// The processes it looks among.
    #[must_use]
    pub fn proc(&self) -> &Proc {
        &self.proc
    }

    /// One pass. Fails only where `/proc` cannot be listed.
    pub fn scan(&mut self) -> Result<Scan, ProcError> {
        let pids = self.proc.processes()?;
        let present: BTreeSet<Pid> = pids.iter().copied().collect();
        self.known.retain(|pid, _| present.contains(pid));
        let mut scan = Scan::default();
        for pid in pids {
            match self.look_at(pid, &mut scan) {
                Ok(()) => {}
                Err(error) if error.is_gone() => drop(self.known.remove(&pid)),
                // Nothing that is readable for everybody is missing of what could be a guest.
                Err(_) => {}
            }
        }
        Ok(scan)
    }

    fn look_at(&mut self, pid: Pid, scan: &mut Scan) -> Result<(), ProcError> {
        let stat = self.proc.process_stat(pid)?;
        if stat.has_ended() {
            self.known.remove(&pid);
            return Ok(());
        }
        let is_known = self.known.get(&pid).is_some_and(|known| known.start_ticks == stat.start_ticks);
        let is_vmm = names::is_called_like_a_vmm(stat.comm.as_bytes());
        let mut next_pause = 1;
        if let Some(Known { what: What::Other { passes_left, pause }, .. }) = self.known.get_mut(&pid)
            && is_known
        {
            if *passes_left > 0 && !is_vmm {
                *passes_left -= 1;
                return Ok(());
            }
            next_pause = (*pause * 2).min(LONGEST_PAUSE);
        }
        if !is_known {
            self.known.remove(&pid);
        }
        let other = What::Other { passes_left: next_pause, pause: next_pause };
        let candidates = self.candidates(pid)?;
        let what = if candidates.is_empty() && !is_vmm {
            other
        } else {
            let comm = stat.comm.to_string();
            self.examine(pid, stat.start_ticks, &comm, candidates, scan)?.unwrap_or(other)
        };
        self.known.insert(pid, Known { start_ticks: stat.start_ticks, what });
        Ok(())
    }

    /// Threads with a name that fits, each read just now.
    fn candidates(&self, pid: Pid) -> Result<Vec<Candidate>, ProcError> {
        let mut found = Vec::new();
        for tid in self.proc.threads(pid)? {
            let stat = match self.proc.stat(pid, tid) {
                Ok(stat) if !stat.has_ended() => stat,
                Ok(_) => continue,
                Err(error) if error.is_gone() => continue,
                Err(error) => return Err(error),
            };
            let Some(name) = names::vcpu(stat.comm.as_bytes()) else { continue };
            if name.accelerator == Accelerator::Tcg && !self.scope.include_tcg {
                continue;
            }
            let process_start_ticks = self.proc.process_stat(pid)?.start_ticks;
            let thread = ThreadIdentity { pid, tid, process_start_ticks, thread_start_ticks: stat.start_ticks };
            let comm = stat.comm.to_string();
            found.push(Candidate { thread: VcpuThread { number: name.number, thread, comm }, name });
        }
        found.sort_by_key(|candidate| (candidate.thread.number, candidate.thread.thread.tid));
        Ok(found)
    }

    /// Says whether a process with such threads is a guest, and which of them are its vCPUs.
    fn examine(
        &mut self,
        pid: Pid,
        start_ticks: u64,
        comm: &str,
        candidates: Vec<Candidate>,
        scan: &mut Scan,
    ) -> Result<Option<What>, ProcError> {
        let hide = |problem: String, remedy: &str| Hidden {
            pid,
            name: comm.chars().map(|letter| if letter.is_control() { '?' } else { letter }).collect(),
            problem,
            remedy: remedy.to_owned(),
        };
        if candidates.iter().any(|candidate| candidate.name.accelerator == Accelerator::Tcg) {
            return Ok(self.emulated(pid, start_ticks, comm, candidates, scan));
        }
        let (name, kvm_numbers, confirmed) = match self.known.remove(&pid).map(|known| known.what) {
            Some(What::Guest { name, kvm_numbers, threads, confirmed }) if threads == candidates.len() => {
                (name, kvm_numbers, confirmed)
            }
            known => match self.kvm_descriptors(pid) {
                Ok(Some(numbers)) => {
                    let name = self.name_of(pid, comm);
                    let confirmed = match known {
                        Some(What::Guest { confirmed, .. }) => confirmed,
                        _ => self.confirm(pid, &candidates, &mut |problem| {
                            scan.hidden.push(hide(problem, "look at it by hand; its threads are left alone"));
                        }),
                    };
                    (name, numbers, confirmed)
                }
                Ok(None) => return Ok(None),
                Err(error) if error.is_denied() && candidates.is_empty() => return Ok(None),
                Err(error) if error.is_denied() => {
                    let problem = "it has threads named like vCPUs, but its descriptors may not be read".to_owned();
                    scan.hidden.push(hide(problem, "grant CAP_SYS_PTRACE, or run as the user of the guest"));
                    return Ok(None);
                }
                Err(error) => return Err(error),
            },
        };
        let threads = candidates.len();
        if candidates.is_empty() {
            let problem = "it runs a guest, but none of its threads is named like a vCPU".to_owned();
            scan.hidden.push(hide(problem, "start QEMU with -name guest=NAME,debug-threads=on"));
        }
        let vmm = candidates.first().map(|candidate| candidate.name.vmm);
        let (vcpus, doubtful) = choose(candidates, &kvm_numbers);
        if doubtful > 0 {
            let problem = format!("{doubtful} of its threads are named like vCPUs, but not one for one with KVM's");
            scan.hidden.push(hide(problem, "these threads are left alone; nothing else is known to help"));
        }
        if let Some(vmm) = vmm
            && !vcpus.is_empty()
            && confirmed != Some(false)
        {
            let (name, accelerator) = (name.clone(), Accelerator::Kvm);
            scan.guests.push(FoundGuest { pid, start_ticks, name, vmm, accelerator, vcpus, confirmed });
        }
        Ok(Some(What::Guest { name, kvm_numbers, threads, confirmed }))
    }

    /// A guest without KVM: believed where the program is QEMU.
    fn emulated(
        &self,
        pid: Pid,
        start_ticks: u64,
        comm: &str,
        candidates: Vec<Candidate>,
        scan: &mut Scan,
    ) -> Option<What> {
        if !names::is_called_like_a_vmm(comm.as_bytes()) {
            return None;
        }
        let numbers: BTreeSet<u32> = candidates.iter().map(|candidate| candidate.thread.number).collect();
        let (vcpus, _) = choose(candidates, &numbers);
        let (name, vmm, accelerator) = (self.name_of(pid, comm), Vmm::Qemu, Accelerator::Tcg);
        if !vcpus.is_empty() {
            scan.guests.push(FoundGuest { pid, start_ticks, name, vmm, accelerator, vcpus, confirmed: None });
        }
        // Looked at anew at each pass: it is called like a VMM.
        None
    }

    /// The numbers of a process's vCPUs in KVM; `None` if it has no guest.
    fn kvm_descriptors(&self, pid: Pid) -> Result<Option<BTreeSet<u32>>, ProcError> {
        let mut has_guest = false;
        let mut numbers = BTreeSet::new();
        self.proc.descriptors(pid, &mut |target| {
            has_guest |= target == b"anon_inode:kvm-vm";
            let number = target.strip_prefix(b"anon_inode:kvm-vcpu:").and_then(names::number);
            numbers.extend(number);
        })?;
        Ok((has_guest && !numbers.is_empty()).then_some(numbers))
    }

    fn name_of(&self, pid: Pid, comm: &str) -> String {
        let arguments = self.proc.command_line(pid).unwrap_or_default();
        names::guest(&arguments).unwrap_or_else(|| names::printable(&format!("{comm} {}", pid.0)))
    }

    /// Whether the VMM names the same threads; a VMM that says otherwise is told as a problem.
    fn confirm(&self, pid: Pid, candidates: &[Candidate], tell: &mut dyn FnMut(String)) -> Option<bool> {
        if !self.scope.ask_qmp {
            return None;
        }
        let arguments = self.proc.command_line(pid).ok()?;
        let socket = qmp::socket_in(&arguments)?;
        let told = qmp::vcpu_threads(&socket, qmp::PATIENCE).ok()?;
        let ours: BTreeSet<Tid> = candidates.iter().map(|candidate| candidate.thread.thread.tid).collect();
        let theirs: BTreeSet<Tid> = told.into_iter().map(|(_, tid)| tid).collect();
        if ours != theirs {
            tell("QEMU names other threads as its vCPUs than their names do".to_owned());
        }
        Some(ours == theirs)
    }
}

/// The threads that are surely vCPUs, and how many others are named like some.
fn choose(candidates: Vec<Candidate>, kvm_numbers: &BTreeSet<u32>) -> (Vec<VcpuThread>, usize) {
    let all = candidates.len();
    let fits = all <= kvm_numbers.len();
    let mut by_number: BTreeMap<u32, Vec<VcpuThread>> = BTreeMap::new();
    for candidate in candidates {
        by_number.entry(candidate.thread.number).or_default().push(candidate.thread);
    }
    let sure = by_number.into_values().filter(|threads| threads.len() == 1).flatten();
    let sure: Vec<VcpuThread> = sure.filter(|thread| fits || kvm_numbers.contains(&thread.number)).collect();
    let doubtful = all - sure.len();
    (sure, doubtful)
}
