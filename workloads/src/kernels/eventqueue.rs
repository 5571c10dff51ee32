//! Discrete event simulation, as in omnetpp: a binary heap of events, each with a record somewhere in memory.
//!
//! It presses **cache capacity with dependent reads and writes**: taking the earliest event sifts through the heap, one comparison
//! depending on the last, near the root in the private caches and near the leaves not; then the event's record and its module's
//! state are fetched, at random, and written; and a new event goes in. Reuse is graded (the upper half of the heap
//! is hot), so performance falls smoothly as the LLC shrinks, not at a cliff.

use super::Kernel;
use crate::hash::Fnv1a;
use crate::random::SplitMix64;

/// Counted with cachegrind over some 40 M instructions of the release build, 768 KiB.
pub const INSTRUCTIONS_PER_OPERATION: f64 = 530.0;

/// Events under way for each module.
const EVENTS_PER_MODULE: usize = 4;

/// Modules that a module sends to.
const GATES: usize = 6;

/// What the heap holds: 16 bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Due {
    time: u64,
    record: u32,
}

/// What an event carries: one line.
#[derive(Debug, Clone, Copy)]
struct Record {
    module: u32,
    hops: u32,
    payload: [u64; 7],
}

/// What handles events: one line.
#[derive(Debug, Clone, Copy)]
struct Module {
    gates: [u32; GATES],
    handled: u64,
    state: u64,
    busy_until: u64,
    mean_delay: u64,
}

/// A network of modules. An operation is one event handled and one sent.
#[derive(Debug)]
pub struct EventQueue {
    /// The earliest first: the children of n are 2 n + 1 and 2 n + 2.
    heap: Vec<Due>,
    records: Vec<Record>,
    modules: Vec<Module>,
    now: u64,
    handled: u64,
}

impl EventQueue {
    /// A network with `working_set_bytes` / 94 events under way.
    #[must_use]
    pub fn new(working_set_bytes: usize, seed: u64) -> Self {
        let mut random = SplitMix64::new(seed);
        let bytes_per_event = size_of::<Due>() + size_of::<Record>() + size_of::<Module>() / EVENTS_PER_MODULE;
        let events = (working_set_bytes / bytes_per_event).max(EVENTS_PER_MODULE);
        let module_count = events / EVENTS_PER_MODULE;
        let modules = (0..module_count)
            .map(|_| Module {
                gates: std::array::from_fn(|_| random.below(module_count) as u32),
                handled: 0,
                state: random.next_u64(),
                busy_until: 0,
                mean_delay: 1000 + random.below(100_000) as u64,
            })
            .collect();
        let records = (0..events)
            .map(|_| Record { module: random.below(module_count) as u32, hops: 0, payload: [random.next_u64(); 7] })
            .collect();
        let mut queue = Self { heap: Vec::with_capacity(events), records, modules, now: 0, handled: 0 };
        for record in 0..events {
            queue.push(Due { time: random.below(100_000) as u64, record: record as u32 });
        }
        queue
    }

    fn push(&mut self, due: Due) {
        let mut at = self.heap.len();
        self.heap.push(due);
        while at > 0 {
            let parent = (at - 1) / 2;
            if self.heap[parent] <= due {
                break;
            }
            self.heap[at] = self.heap[parent];
            at = parent;
        }
        self.heap[at] = due;
    }

    fn pop(&mut self) -> Due {
        let earliest = self.heap[0];
        let last = self.heap.len() - 1;
        let moved = self.heap[last];
        self.heap.truncate(last);
        let mut at = 0;
        loop {
            let left = 2 * at + 1;
            if left >= last {
                break;
            }
            let right_is_earlier = left + 1 < last && self.heap[left + 1] < self.heap[left];
            let child = left + usize::from(right_is_earlier);
            if moved <= self.heap[child] {
                break;
            }
            self.heap[at] = self.heap[child];
            at = child;
        }
        if last > 0 {
            self.heap[at] = moved;
        }
        earliest
    }

    /// Handles the earliest event: its module changes state, and sends it on to another, later.
    fn handle(&mut self) {
        let due = self.pop();
        self.now = due.time;
        let record = &mut self.records[due.record as usize];
        let module = &mut self.modules[record.module as usize];
        module.handled += 1;
        module.state = (module.state ^ record.payload[record.hops as usize % 7]).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let draw = module.state >> 32;
        // A server that is busy makes its customers wait.
        let begins = module.busy_until.max(due.time);
        module.busy_until = begins + 10;
        let leaves = begins + 1 + ((draw * 2 * module.mean_delay) >> 32);
        record.payload[record.hops as usize % 7] = module.state.rotate_left(17);
        record.hops = record.hops.wrapping_add(1);
        record.module = module.gates[(draw % GATES as u64) as usize];
        self.handled += 1;
        self.push(Due { time: leaves, record: due.record });
    }
}

impl Kernel for EventQueue {
    fn run(&mut self, operations: u64) {
        for _ in 0..operations {
            self.handle();
        }
    }

    fn checksum(&self) -> u64 {
        let mut hash = Fnv1a::default();
        hash.update_u64(self.now);
        hash.update_u64(self.handled);
        for module in self.modules.iter().step_by((self.modules.len() / 2048).max(1)) {
            hash.update_u64(module.handled);
            hash.update_u64(module.state);
        }
        hash.digest()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_never_runs_backwards_and_no_event_is_lost() {
        let mut queue = EventQueue::new(64 * 1024, 1);
        let events = queue.heap.len();
        let mut before = 0;
        for _ in 0..20_000 {
            queue.run(1);
            assert!(queue.now >= before);
            before = queue.now;
        }
        let mut records: Vec<u32> = queue.heap.iter().map(|due| due.record).collect();
        records.sort_unstable();
        assert!(records.into_iter().eq(0..events as u32));
    }

    #[test]
    fn the_heap_gives_events_in_order() {
        let mut queue = EventQueue::new(16 * 1024, 2);
        let mut expected = queue.heap.clone();
        expected.sort_unstable();
        let found: Vec<Due> = (0..expected.len()).map(|_| queue.pop()).collect();
        assert_eq!(found, expected);
    }
}
