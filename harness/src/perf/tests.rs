//! Counting threads of this process with what this machine has: at least the task clock.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::plan::Processor;
use super::*;

/// A thread that works, or sleeps, until it is dropped.
struct Thread {
    tid: Tid,
    stop: Arc<AtomicBool>,
    handle: Option<std::thread::JoinHandle<()>>,
}

impl Thread {
    fn start(works: bool) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let asked = Arc::clone(&stop);
        let (say, said) = std::sync::mpsc::channel();
        let handle = std::thread::spawn(move || {
            say.send(rustix::thread::gettid().as_raw_nonzero().get()).expect("the test listens");
            while !asked.load(Ordering::Relaxed) {
                if !works {
                    std::thread::sleep(Duration::from_millis(5));
                }
            }
        });
        let tid = Tid(u32::try_from(said.recv().expect("it starts")).expect("positive"));
        Self { tid, stop, handle: Some(handle) }
    }
}

impl Drop for Thread {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        self.handle.take().into_iter().for_each(|handle| handle.join().expect("no panic"));
    }
}

fn open(counters: &mut Counters, tid: Tid) -> Option<Group> {
    match counters.open(tid) {
        Ok(group) => Some(group),
        Err(NotCounted::Denied) => {
            eprintln!("skipped: this process may not count threads");
            None
        }
        Err(error) => panic!("{error}"),
    }
}

#[test]
fn time_on_a_cpu_is_known_without_a_pmu() {
    let (works, sleeps) = (Thread::start(true), Thread::start(false));
    let mut counters = Counters::new(Vec::new());
    let Some(mut busy) = open(&mut counters, works.tid) else { return };
    let mut idle = open(&mut counters, sleeps.tid).expect("as the first");
    std::thread::sleep(Duration::from_millis(200));
    let (busy, idle) = (busy.read().expect("it lives"), idle.read().expect("it lives"));
    assert!(busy.running_ns > 5 * idle.running_ns && busy.running_ns > 10_000_000, "{busy:?} {idle:?}");
    assert_eq!((busy.iter().count(), busy.get(Event::Cycles)), (0, Reading::Absent));
}

#[test]
fn what_this_machine_has_is_counted_and_what_it_lacks_is_told() {
    let thread = Thread::start(true);
    let wanted = Processor::of(&std::fs::read_to_string("/proc/cpuinfo").expect("Linux")).events();
    let count = wanted.len();
    let mut counters = Counters::new(wanted);
    let Some(mut group) = open(&mut counters, thread.tid) else { return };
    assert_eq!(counters.events().len() + counters.refused().count(), count);
    std::thread::sleep(Duration::from_millis(50));
    let read = group.read().expect("it lives");
    assert_eq!(read.iter().map(|(event, _)| event).collect::<Vec<_>>(), counters.events());
    eprintln!("counted: {:?}, refused: {:?}", counters.events(), counters.refused().collect::<Vec<_>>());
}

#[test]
fn a_thread_that_ended_runs_no_more_and_cannot_be_opened() {
    let thread = Thread::start(true);
    let mut counters = Counters::new(Vec::new());
    let Some(mut group) = open(&mut counters, thread.tid) else { return };
    let tid = thread.tid;
    drop(thread);
    while counters.open(tid).is_ok() {
        std::thread::yield_now();
    }
    assert!(matches!(counters.open(tid), Err(NotCounted::Gone(_))));
    let _ = group.read();
    assert_eq!(group.read().map(|read| read.running_ns).unwrap_or(0), 0, "nothing of it runs");
}

#[test]
fn counts_of_part_of_the_time_are_scaled_and_say_so() {
    assert_eq!(reading(Some(10), 100, 100), Reading::Exact(10));
    assert_eq!(reading(Some(0), 0, 0), Reading::Exact(0), "it did not run");
    assert_eq!(reading(Some(10), 100, 25), Reading::Scaled { estimate: 40, coverage: 0.25 });
    assert_eq!(reading(Some(0), 100, 0), Reading::Absent, "never counted is not zero");
    assert_eq!(reading(None, 100, 100), Reading::Absent, "it went backwards");
}

#[test]
fn guest_only_counting_that_counts_nothing_is_given_up() {
    let mut counters = Counters::new(Vec::new());
    let event = Planned { event: Event::Instructions, encoding: Encoding::Instructions };
    counters.found = Some(Found { events: vec![event], modes: Modes::GuestOnly, refused: Vec::new() });
    let ran = |count| {
        let mut readings = [(Event::Instructions, Reading::Absent); MOST_EVENTS];
        readings[0].1 = Reading::Exact(count);
        GroupReading { running_ns: PROOF_NS / 2, readings, counted: 1 }
    };
    assert!(!counters.doubt(&ran(0)));
    assert!(counters.doubt(&ran(0)), "two seconds without an instruction");
    assert_eq!(counters.modes(), Some(Modes::WholeThread));
    let mut sound = counters.clone();
    sound.found = Some(Found { events: vec![event], modes: Modes::GuestOnly, refused: Vec::new() });
    sound.unproven_ns = Some(0);
    assert!(!sound.doubt(&ran(5)));
    assert!((0..10).all(|_| !sound.doubt(&ran(0))), "a guest that halts is no proof after one that was counted");
}
