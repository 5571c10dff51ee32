//! Whose turn it is in an LLC domain: which vCPU has each CPU in an epoch, and when an epoch, or the granted time, is
//! over. The state is in the shared segment; the harness opens the first epoch of a grant, and whoever's turn ends an
//! epoch opens the next.
//!
//! **Rule.** A vCPU that has its CPU for itself runs in every epoch in which it is not halted. vCPUs that share a CPU take
//! it in the order of their slots, for a time slice each; one that halts gives the rest of its slice up, and one that
//! nobody else waits for keeps the CPU. Slices begin and end with epochs, and run on over the end of a grant. Whoever
//! comes after another on a CPU finds the private caches cold.
//!
//! ```text
//! slices of 2 epochs on one CPU:   A A B B A A B B        B halts in its first epoch:  A A B A A A B ...
//! ```

use std::sync::atomic::Ordering::{Relaxed, Release};

use crate::bandwidth::Channel;
use crate::layout::{DomainState, Mapping, NOWHERE};
use crate::pipeline::TICKS_PER_CYCLE;
use crate::segment::{give_turn, ring};
use crate::spec::Machine;

/// The turns of one domain.
pub(crate) struct Turns<'a> {
    mapping: &'a Mapping,
    state: &'a DomainState,
    channel: &'a Channel,
    epoch_cycles: u64,
    slice_cycles: u64,
}

impl<'a> Turns<'a> {
    pub(crate) fn of(mapping: &'a Mapping, machine: &Machine, channel: &'a Channel, domain: u32) -> Self {
        // Without slices nobody shares a CPU: grants refuse it.
        let slice_cycles = machine.timeslice_cycles().unwrap_or(u64::MAX);
        let epoch_cycles = machine.epoch_cycles();
        Self { mapping, state: mapping.domain(domain), channel, epoch_cycles, slice_cycles }
    }

    /// Opens the first epoch from `start_cycles` on in which somebody runs, and gives the first turn. If nobody does
    /// before the horizon, the domain parks.
    pub(crate) fn open(&self, start_cycles: u64) {
        let horizon_cycles = self.mapping.header().horizon_cycles.load(Relaxed);
        let mut start_cycles = start_cycles;
        while start_cycles < horizon_cycles {
            let end_cycles = start_cycles + self.epoch_cycles;
            self.state.epoch_end_cycles.store(end_cycles, Relaxed);
            if let Some(first) = self.choose(start_cycles) {
                give_turn(self.mapping.slot(first));
                return;
            }
            self.settle();
            start_cycles = end_cycles;
        }
        self.state.running.store(0, Release);
        ring(&self.mapping.header().doorbell);
    }

    /// The turn of the vCPU in `slot` is over: the next one's begins, or the next epoch.
    pub(crate) fn hand_on(&self, slot: u32) {
        let members = &self.state.members[..self.state.member_count.load(Relaxed) as usize];
        match members.iter().map(|member| member.load(Relaxed)).find(|&member| member > slot) {
            Some(next) => give_turn(self.mapping.slot(next)),
            None => {
                self.settle();
                self.open(self.state.epoch_end_cycles.load(Relaxed));
            }
        }
    }

    /// Lets the memory channel know what the epoch moved.
    fn settle(&self) {
        let lines = self.state.lines_moved.swap(0, Relaxed);
        let latency = f64::from_bits(self.state.latency_bits.load(Relaxed));
        self.state.latency_bits.store(self.channel.next_latency_cycles(latency, lines).to_bits(), Relaxed);
    }

    /// Chooses who runs in the epoch that begins at `start_cycles`; answers the first.
    fn choose(&self, start_cycles: u64) -> Option<u32> {
        let residents = self.state.residents();
        let awake =
            |slot: &u32| self.mapping.slot(*slot).halted_until_ticks.load(Relaxed) <= start_cycles * TICKS_PER_CYCLE;
        let cpu_of = |slot: u32| self.mapping.slot(slot).cpu.load(Relaxed);
        let mut members = 0;
        for slot in residents.iter().map(|resident| resident.load(Relaxed)).filter(awake) {
            let cpu = cpu_of(slot);
            let rivals = || residents.iter().map(|rival| rival.load(Relaxed)).filter(|&rival| cpu_of(rival) == cpu);
            if self.holder(cpu, rivals().filter(awake), start_cycles) == slot {
                self.state.members[members].store(slot, Relaxed);
                members += 1;
            }
        }
        self.state.member_count.store(members as u32, Relaxed);
        (members > 0).then(|| self.state.members[0].load(Relaxed))
    }

    /// Who of `rivals`, the awake vCPUs on `cpu` in the order of their slots, has it in the epoch that begins at
    /// `start_cycles`. Asking again gives the same answer.
    fn holder(&self, cpu: u32, rivals: impl Iterator<Item = u32> + Clone, start_cycles: u64) -> u32 {
        let hold = &self.state.holds[(cpu - self.state.first_cpu.load(Relaxed)) as usize];
        let holder = hold.slot.load(Relaxed);
        let present = rivals.clone().any(|slot| slot == holder);
        let alone = rivals.clone().nth(1).is_none();
        let began_cycles = hold.began_cycles.load(Relaxed);
        let goes_on = || {
            let yields = self.mapping.slot(holder).yields.load(Relaxed) == 1;
            start_cycles == began_cycles || (!yields && start_cycles - began_cycles < self.slice_cycles)
        };
        if present && alone {
            self.mapping.slot(holder).yields.store(0, Relaxed);
        }
        if present && (alone || goes_on()) {
            return holder;
        }
        let next = rivals.clone().find(|&slot| slot > holder || holder == NOWHERE).or_else(|| rivals.clone().next());
        let next = next.expect("who asks is one of the rivals");
        hold.slot.store(next, Relaxed);
        hold.began_cycles.store(start_cycles, Relaxed);
        self.mapping.slot(next).yields.store(0, Relaxed);
        if holder != NOWHERE && holder != next {
            self.mapping.slot(next).generation.fetch_add(1, Relaxed);
        }
        next
    }
}
