//! Which of the vCPUs on a CPU has it in an epoch: [`crate::turns`]' rule, on state that one process owns.
//!
//! A vCPU alone on its CPU runs in every epoch in which it is not halted. Those that share one take it in the order of
//! their slots, for a time slice each; one that halts gives the rest of its slice up, and one that nobody else waits
//! for keeps the CPU.

use std::collections::BTreeMap;

use crate::spec::{Cpu, Machine};

/// A vCPU that may run in an epoch: one that is not halted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Awake {
    pub(super) slot: usize,
    pub(super) cpu: Cpu,
}

/// Who has a CPU, and since when.
#[derive(Debug, Clone, Copy)]
struct Hold {
    slot: usize,
    began_cycles: u64,
}

/// Who runs in an epoch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Chosen {
    pub(super) slot: usize,
    /// Another had the CPU before: the private caches are cold.
    pub(super) took_over: bool,
}

/// The CPUs and who has them.
#[derive(Debug, Clone)]
pub(super) struct Occupancy {
    slice_cycles: u64,
    holds: BTreeMap<Cpu, Hold>,
    /// By slot: it has halted in its last turn, and gives up its CPU if another waits.
    yields: Vec<bool>,
}

impl Occupancy {
    pub(super) fn new(machine: &Machine, slots: usize) -> Self {
        // Without slices nobody shares a CPU.
        let slice_cycles = machine.timeslice_cycles().unwrap_or(u64::MAX);
        Self { slice_cycles, holds: BTreeMap::new(), yields: vec![false; slots] }
    }

    /// A turn is over, by a halt or not.
    pub(super) fn turn_ended(&mut self, slot: usize, halted: bool) {
        self.yields[slot] = halted;
    }

    /// Who of `awake`, in the order of their slots, runs in the epoch that begins at `start_cycles`; in the same order.
    pub(super) fn choose(&mut self, awake: &[Awake], start_cycles: u64) -> Vec<Chosen> {
        let mut chosen = Vec::with_capacity(awake.len());
        for (place, first) in awake.iter().enumerate() {
            if awake[..place].iter().all(|earlier| earlier.cpu != first.cpu) {
                let rivals = awake[place..].iter().filter(|rival| rival.cpu == first.cpu).map(|rival| rival.slot);
                chosen.push(self.holder(first.cpu, rivals, start_cycles));
            }
        }
        chosen.sort_by_key(|chosen| chosen.slot);
        chosen
    }

    /// Who of `rivals`, in the order of their slots, has `cpu`.
    fn holder(&mut self, cpu: Cpu, mut rivals: impl Iterator<Item = usize> + Clone, start_cycles: u64) -> Chosen {
        let hold = self.holds.get(&cpu).copied();
        let alone = rivals.clone().nth(1).is_none();
        if let Some(Hold { slot, began_cycles }) = hold
            && rivals.clone().any(|rival| rival == slot)
        {
            self.yields[slot] &= !alone;
            if alone || (!self.yields[slot] && start_cycles - began_cycles < self.slice_cycles) {
                return Chosen { slot, took_over: false };
            }
        }
        let next = rivals.clone().find(|&slot| hold.is_none_or(|hold| slot > hold.slot)).or_else(|| rivals.next());
        let slot = next.expect("who asks is one of the rivals");
        self.holds.insert(cpu, Hold { slot, began_cycles: start_cycles });
        self.yields[slot] = false;
        Chosen { slot, took_over: hold.is_some_and(|hold| hold.slot != slot) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Who has CPU 0 in each of 12 epochs, as letters; `halts` says in which epochs whose turn ends by a halt.
    fn turns(slice_epochs: u64, guests: usize, halts: &[(u64, usize)]) -> String {
        let text = Machine::preset("small-2x2").expect("preset").text().to_owned();
        let slices = format!("[core]\ntimeslice_cycles = {}", 20_000 * slice_epochs);
        let machine = Machine::from_toml(&text.replacen("[core]", &slices, 1)).expect("sound");
        let mut occupancy = Occupancy::new(&machine, guests);
        let awake: Vec<Awake> = (0..guests).map(|slot| Awake { slot, cpu: Cpu(0) }).collect();
        let mut told = String::new();
        for epoch in 0..12 {
            let chosen = occupancy.choose(&awake, epoch * 20_000);
            assert_eq!(chosen.len(), 1);
            occupancy.turn_ended(chosen[0].slot, halts.contains(&(epoch, chosen[0].slot)));
            told.push(char::from(b'A' + chosen[0].slot as u8));
        }
        told
    }

    #[test]
    fn those_that_share_a_cpu_take_it_for_a_slice_each() {
        assert_eq!(turns(2, 2, &[]), "AABBAABBAABB");
        assert_eq!(turns(3, 3, &[]), "AAABBBCCCAAA");
    }

    #[test]
    fn who_halts_gives_the_rest_of_its_slice_up() {
        assert_eq!(turns(2, 2, &[(2, 1)]), "AABAABBAABBA");
    }

    #[test]
    fn who_is_alone_keeps_its_cpu() {
        assert_eq!(turns(2, 1, &[(3, 0)]), "AAAAAAAAAAAA");
    }
}
