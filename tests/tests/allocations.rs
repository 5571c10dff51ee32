//! Reading a vCPU in every quantum allocates nothing: an allocator that counts says so.

#![expect(unsafe_code, reason = "an allocator is unsafe to write; this one hands everything to the system's")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::path::Path;

use harness::perf::plan::Processor;
use harness::perf::{Counters, NotCounted};
use harness::procfs::{Pid, Proc, Tid};

/// The system's allocator, which counts for each thread by itself: the test runner's threads allocate as they like.
struct Counting;

thread_local! {
    static ALLOCATIONS: Cell<u64> = const { Cell::new(0) };
}

// SAFETY: every call goes to the system's allocator as it came; counting touches no memory but a thread's own number.
unsafe impl GlobalAlloc for Counting {
    // SAFETY: as the trait asks of callers; passed on unchanged.
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // A thread that is ending has no number any more, and need not be counted.
        let _ = ALLOCATIONS.try_with(|count| count.set(count.get() + 1));
        // SAFETY: the caller's promises are the system allocator's.
        unsafe { System.alloc(layout) }
    }

    // SAFETY: as the trait asks of callers; passed on unchanged.
    unsafe fn dealloc(&self, place: *mut u8, layout: Layout) {
        // SAFETY: the caller's promises are the system allocator's.
        unsafe { System.dealloc(place, layout) }
    }
}

#[global_allocator]
static COUNTING: Counting = Counting;

fn allocations_of(work: impl FnOnce()) -> u64 {
    let before = ALLOCATIONS.get();
    work();
    ALLOCATIONS.get() - before
}

#[test]
fn reading_a_vcpu_allocates_nothing() {
    assert!(allocations_of(|| drop(std::hint::black_box(Box::new(1)))) > 0, "the allocator counts");
    let proc = Proc::open(Path::new("/")).expect("a proc");
    let pid = Pid(std::process::id());
    let tid = *proc.threads(pid).expect("our own").last().expect("one at least");
    let Tid(number) = tid;
    let counters = || Counters::new(Processor::of(&std::fs::read_to_string("/proc/cpuinfo").expect("Linux")).events());
    let mut group = match counters().open(Tid(number)) {
        Ok(group) => Some(group),
        Err(NotCounted::Denied) => {
            eprintln!("NOT TESTED: groups of counters, which this process may not open");
            None
        }
        Err(error) => panic!("{error}"),
    };
    let mut read = || {
        group.iter_mut().for_each(|group| assert!(group.read().expect("it lives").iter().count() <= 8));
        proc.stat(pid, tid).expect("it lives");
        proc.run_time(pid, tid).expect("it lives");
        proc.identity(pid, tid).expect("it lives");
    };
    read();
    assert_eq!(allocations_of(|| (0..1000).for_each(|_| read())), 0);
}
