//! vCPU-quanta a second that the simulated host lets pass on one core: advance and apply, no policy and no journal.
//!
//! `simulated_speed [VCPUS] [QUANTA]`, 64 and 20,000 if nothing is said: four vCPUs in each LLC domain, phases of about ten
//! quanta, and a swap of two vCPUs in every fourth quantum.

mod script;

use std::collections::BTreeMap;
use std::time::Instant;

use harness::host::Host;
use harness::host::simulated::SimulatedHost;
use harness::host::simulated::script::{KindId, Script};
use harness::host::simulated::sharing::Sharing;
use predictor::counters::{GuestId, VcpuId};
use predictor::placement::Move;
use predictor::topology::DomainId;

use script::{PER_DOMAIN, QUANTUM, script};

fn main() {
    let mut arguments = std::env::args().skip(1).map(|word| word.parse::<u64>().expect("a number"));
    let vcpus = arguments.next().map_or(64, |vcpus| u32::try_from(vcpus).expect("few"));
    let quanta = arguments.next().unwrap_or(20_000);
    let table = Sharing::Table(BTreeMap::from([((KindId(1), KindId(1)), 0.4)]));
    time("table of pairs", script(vcpus, table), quanta);
    time("contention model", script(vcpus, Sharing::Model), quanta);
}

fn time(what: &str, script: Script, quanta: u64) {
    let vcpus = script.guests.len();
    let mut host = SimulatedHost::new(script, 1).expect("a sound script");
    let vcpu = |place: usize| VcpuId { guest: GuestId(u32::try_from(place).expect("few")), index: 0 };
    let mut at: Vec<DomainId> = (0u32..).take(vcpus).map(|guest| DomainId(guest / PER_DOMAIN)).collect();
    let began = Instant::now();
    for quantum in 0..quanta {
        let seen = host.advance(QUANTUM).expect("no fault");
        assert_eq!(seen.samples.len(), vcpus);
        if quantum % 4 == 0 {
            let one = (quantum % vcpus as u64) as usize;
            let other = (one + PER_DOMAIN as usize) % vcpus;
            let swap = [(one, at[one], at[other]), (other, at[other], at[one])];
            let swap = swap.map(|(place, from, to)| Move { vcpu: vcpu(place), from, to });
            let outcomes = host.apply(&swap).expect("no fault");
            assert!(outcomes.iter().all(|outcome| outcome.refusal.is_none()), "{outcomes:?}");
            at.swap(one, other);
        }
    }
    let seconds = began.elapsed().as_secs_f64();
    let rate = vcpus as f64 * quanta as f64 / seconds;
    println!("{what}: {vcpus} vCPUs, {quanta} quanta in {seconds:.3} s, {:.2} M vCPU-quanta/s", rate / 1e6);
}
