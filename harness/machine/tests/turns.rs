//! Claims about how vCPUs share virtual time through the segment, with threads in the place of guests.

use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use machine::counters::Counters;
use machine::marks::PHASES;
use machine::seat::{Seat, TurnEnd};
use machine::segment::{Progress, Segment, Slot};
use machine::spec::{Cpu, Domain, Machine};

const EPOCH: u64 = 20_000;
const LONG: Duration = Duration::from_secs(20);

type Log = Arc<Mutex<Vec<(u32, u64)>>>;

fn small() -> Segment {
    Segment::create(&Machine::preset("small-2x2").expect("preset"), 4, 1).expect("memory")
}

/// A vCPU that does nothing but take turns, and logs (slot, end of the epoch) for each.
fn idler(segment: &Segment, slot: u32, lines_per_epoch: u64, log: &Log) -> JoinHandle<Vec<u32>> {
    let mut seat = Seat::beside(segment, Slot(slot)).expect("free slot");
    let log = Arc::clone(log);
    std::thread::spawn(move || {
        let mut generations = Vec::new();
        let mut instructions = 0;
        let mut next = seat.join();
        while let Some(turn) = next {
            log.lock().expect("log").push((slot, turn.epoch_end_cycles));
            generations.push(turn.generation);
            instructions += 100;
            let counters = Counters { instructions, ..Counters::default() };
            let phase_instructions = [0; PHASES + 1];
            next = seat.pass(&TurnEnd { counters, phase_instructions, lines_moved: lines_per_epoch, halt: None });
        }
        generations.dedup();
        generations
    })
}

#[test]
fn members_of_a_domain_take_turns_in_the_order_of_their_slots() {
    let (segment, log) = (small(), Log::default());
    for (slot, cpu) in [(2, 0), (0, 1), (3, 2)] {
        segment.place(Slot(slot), Cpu(cpu)).expect("free");
    }
    let guests = [3, 2, 0].map(|slot| idler(&segment, slot, 0, &log));
    assert_eq!(segment.wait(LONG), Progress::AllParked, "all arrive");
    segment.grant(3 * EPOCH).expect("parked");
    assert_eq!(segment.wait(LONG), Progress::AllParked, "all come to the horizon");
    let log = log.lock().expect("log").clone();
    let of = |slots: &[u32]| log.iter().copied().filter(|(slot, _)| slots.contains(slot)).collect::<Vec<_>>();
    assert_eq!(of(&[0, 2]), [1, 2, 3].map(|epoch| [(0, epoch * EPOCH), (2, epoch * EPOCH)]).concat());
    assert_eq!(of(&[3]), [1, 2, 3].map(|epoch| (3, epoch * EPOCH)));
    assert_eq!(segment.counters(Slot(2)).instructions, 300);
    assert_eq!(segment.horizon_cycles(), 3 * EPOCH);
    segment.release();
    for guest in guests {
        guest.join().expect("a released vCPU goes on");
    }
}

/// A harness that asks all the time, not only when the bell rings, meets every moment of a domain's parking.
#[test]
fn however_often_it_is_asked_a_quantum_ends_when_all_domains_have_parked() {
    let (segment, log) = (small(), Log::default());
    for slot in 0..4 {
        segment.place(Slot(slot), Cpu(slot)).expect("free");
    }
    let guests = [0, 1, 2, 3].map(|slot| idler(&segment, slot, 0, &log));
    assert_eq!(segment.wait(LONG), Progress::AllParked);
    for quantum in 1..=2_000 {
        segment.grant(EPOCH).expect("parked");
        while segment.wait(Duration::ZERO) != Progress::AllParked {
            std::hint::spin_loop();
        }
        for slot in 0..4 {
            assert_eq!(segment.counters(Slot(slot)).instructions, 100 * quantum, "slot {slot}");
        }
    }
    segment.release();
    for guest in guests {
        guest.join().expect("a released vCPU goes on");
    }
}

#[test]
fn a_move_is_seen_at_the_next_turn_and_only_by_the_one_that_moved() {
    let (segment, log) = (small(), Log::default());
    segment.place(Slot(0), Cpu(0)).expect("free");
    segment.place(Slot(1), Cpu(1)).expect("free");
    let guests = [0, 1].map(|slot| idler(&segment, slot, 0, &log));
    for cpu in [0, 3, 3, 0] {
        assert_eq!(segment.wait(LONG), Progress::AllParked);
        segment.place(Slot(0), Cpu(cpu)).expect("parked");
        segment.grant(EPOCH).expect("parked");
    }
    assert_eq!(segment.wait(LONG), Progress::AllParked);
    segment.release();
    let [moved, stayed] = guests.map(|guest| guest.join().expect("a released vCPU goes on"));
    assert_eq!(moved.len(), 3, "first place, away, and back: {moved:?}");
    assert_eq!(stayed.len(), 1);
}

#[test]
fn a_vcpu_that_has_not_arrived_is_named_and_holds_time_back() {
    let segment = small();
    segment.place(Slot(1), Cpu(0)).expect("free");
    assert_eq!(segment.wait(Duration::from_millis(1)), Progress::Pending(vec![Slot(1)]));
    assert!(segment.grant(EPOCH).expect_err("nobody there").to_string().contains("slot 1 has not arrived"));
    assert!(!segment.arrived(Slot(1)));
    let _seat = Seat::beside(&segment, Slot(1)).expect("free slot");
    assert!(Seat::beside(&segment, Slot(1)).is_err(), "a slot has one vCPU");
}

#[test]
fn grants_and_places_that_make_no_sense_are_refused() {
    let (segment, log) = (small(), Log::default());
    assert!(segment.place(Slot(0), Cpu(4)).is_err(), "no such CPU");
    assert!(segment.place(Slot(4), Cpu(0)).is_err(), "no such slot");
    assert!(segment.grant(EPOCH + 1).is_err(), "not a multiple of the epoch");
    let guests = [0, 1].map(|slot| {
        segment.place(Slot(slot), Cpu(0)).expect("for a moment");
        idler(&segment, slot, 0, &log)
    });
    assert_eq!(segment.wait(LONG), Progress::AllParked);
    let refusal = segment.grant(EPOCH).expect_err("one CPU, two vCPUs").to_string();
    assert!(refusal.contains("slots 0 and 1 are on the same CPU"), "{refusal}");
    segment.release();
    for guest in guests {
        guest.join().expect("a released vCPU goes on");
    }
}

#[test]
fn a_failure_is_told_at_once_with_its_reason() {
    let segment = small();
    segment.place(Slot(0), Cpu(0)).expect("free");
    let seat = Seat::beside(&segment, Slot(0)).expect("free slot");
    seat.fail("the guest has 2 vCPUs");
    assert_eq!(segment.wait(LONG), Progress::Failed(Slot(0)));
    assert_eq!(segment.failure(Slot(0)).as_deref(), Some("the guest has 2 vCPUs"));
}

#[test]
fn traffic_raises_the_latency_of_its_own_domain_and_an_empty_one_calms_down() {
    let (segment, log) = (small(), Log::default());
    segment.place(Slot(0), Cpu(0)).expect("free");
    let guest = idler(&segment, 0, EPOCH / 16, &log);
    assert_eq!(segment.wait(LONG), Progress::AllParked);
    let idle = segment.memory_latency_cycles(Domain(1));
    segment.grant(50 * EPOCH).expect("parked");
    assert_eq!(segment.wait(LONG), Progress::AllParked);
    assert!(segment.memory_latency_cycles(Domain(0)) > 1.2 * idle);
    assert_eq!(segment.memory_latency_cycles(Domain(1)), idle);
    segment.place(Slot(0), Cpu(2)).expect("parked");
    segment.grant(50 * EPOCH).expect("parked");
    assert_eq!(segment.wait(LONG), Progress::AllParked);
    assert!(segment.memory_latency_cycles(Domain(0)) < 1.01 * idle);
    segment.release();
    guest.join().expect("a released vCPU goes on");
}
