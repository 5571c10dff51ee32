//! Which CPUs a thread may run on: asking the kernel, and telling it.
//!
//! Owns the two system calls and what their refusals mean. Whether a thread may be bound at all, and giving its old mask
//! back, is [`crate::custody`]'s business: nothing else calls [`bind`].

use rustix::io::Errno;
use rustix::thread::{CpuSet as RawSet, Pid as RawPid, sched_getaffinity, sched_setaffinity};

use crate::procfs::Tid;
use crate::sysfs::CpuSet;

/// Why a mask was not read or not set.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AffinityError {
    /// The thread has ended.
    #[error("thread {0} has ended")]
    Gone(u32),
    /// It belongs to somebody else.
    #[error("permission denied for thread {0}; CAP_SYS_NICE lets threads of other users be bound")]
    Denied(u32),
    /// The cpuset or the machine has none of the CPUs.
    #[error("none of the CPUs {cpus} is online and in the cpuset of thread {tid}")]
    NoSuchCpu {
        /// The thread.
        tid: u32,
        /// What was asked for.
        cpus: String,
    },
    /// More than a mask of this build holds.
    #[error("this machine has more than {} CPUs, which is more than this version binds", RawSet::MAX_CPU)]
    TooManyCpus,
    /// Anything else the kernel said.
    #[error("thread {tid}: {errno}")]
    Other {
        /// The thread.
        tid: u32,
        /// What the kernel said.
        errno: Errno,
    },
}

/// Where `tid` may run now, by its own mask and its cpuset together.
pub fn mask_of(tid: Tid) -> Result<CpuSet, AffinityError> {
    let raw = sched_getaffinity(Some(raw(tid)?)).map_err(|errno| match errno {
        Errno::SRCH => AffinityError::Gone(tid.0),
        Errno::PERM | Errno::ACCESS => AffinityError::Denied(tid.0),
        // The kernel has more CPUs than fit into the answer.
        Errno::INVAL => AffinityError::TooManyCpus,
        errno => AffinityError::Other { tid: tid.0, errno },
    })?;
    Ok((0..RawSet::MAX_CPU).filter(|cpu| raw.is_set(*cpu)).filter_map(|cpu| u32::try_from(cpu).ok()).collect())
}

/// Lets `tid` run on `cpus` only, as far as its cpuset has them. CPUs beyond the machine's are passed over.
pub(crate) fn bind(tid: Tid, cpus: &CpuSet) -> Result<(), AffinityError> {
    let mut mask = RawSet::new();
    for cpu in cpus.iter() {
        let cpu = usize::try_from(cpu).ok().filter(|cpu| *cpu < RawSet::MAX_CPU).ok_or(AffinityError::TooManyCpus)?;
        mask.set(cpu);
    }
    set(tid, &mask, || cpus.to_string())
}

/// Lets `tid` run wherever its cpuset lets it, now and after the cpuset has grown: what a thread is born with. A mask that
/// merely names today's CPUs of the cpuset would keep it from tomorrow's.
pub(crate) fn unbind(tid: Tid) -> Result<(), AffinityError> {
    let mut mask = RawSet::new();
    (0..RawSet::MAX_CPU).for_each(|cpu| mask.set(cpu));
    set(tid, &mask, || "of the machine".to_owned())
}

fn set(tid: Tid, mask: &RawSet, shown: impl Fn() -> String) -> Result<(), AffinityError> {
    sched_setaffinity(Some(raw(tid)?), mask).map_err(|errno| match errno {
        Errno::SRCH => AffinityError::Gone(tid.0),
        Errno::PERM | Errno::ACCESS => AffinityError::Denied(tid.0),
        Errno::INVAL => AffinityError::NoSuchCpu { tid: tid.0, cpus: shown() },
        errno => AffinityError::Other { tid: tid.0, errno },
    })
}

/// Number 0 would mean the calling thread.
fn raw(tid: Tid) -> Result<RawPid, AffinityError> {
    i32::try_from(tid.0).ok().and_then(RawPid::from_raw).ok_or(AffinityError::Gone(tid.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn own() -> Tid {
        Tid(u32::try_from(rustix::thread::gettid().as_raw_nonzero().get()).expect("positive"))
    }

    #[test]
    fn a_bound_thread_says_so_and_an_unbound_one_has_its_cpuset_again() {
        // On a thread of its own: the test's must not stay bound.
        let outcome = std::thread::spawn(|| {
            let before = mask_of(own()).expect("our own");
            let first: CpuSet = before.iter().take(1).collect();
            bind(own(), &first).expect("our own");
            let bound = mask_of(own()).expect("our own");
            unbind(own()).expect("our own");
            (before, first, bound, mask_of(own()).expect("our own"))
        });
        let (before, first, bound, after) = outcome.join().expect("no panic");
        assert_eq!(bound, first);
        assert!(before.iter().all(|cpu| after.contains(cpu)), "{before} became {after}");
    }

    #[test]
    fn no_number_means_the_calling_thread() {
        assert_eq!(mask_of(Tid(0)), Err(AffinityError::Gone(0)));
        assert_eq!(unbind(Tid(0)), Err(AffinityError::Gone(0)));
        assert_eq!(mask_of(Tid(u32::MAX)), Err(AffinityError::Gone(u32::MAX)));
        assert_eq!(mask_of(Tid(i32::MAX as u32)), Err(AffinityError::Gone(i32::MAX as u32)));
    }

    #[test]
    fn cpus_that_are_not_there_are_refused_by_name() {
        let refused = std::thread::spawn(|| bind(own(), &CpuSet::from_iter([1023]))).join().expect("no panic");
        assert!(refused.is_err_and(|error| error.to_string().contains("none of the CPUs 1023")));
        let refused = std::thread::spawn(|| bind(own(), &CpuSet::from_iter([1024]))).join().expect("no panic");
        assert_eq!(refused, Err(AffinityError::TooManyCpus));
    }
}
