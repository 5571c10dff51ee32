//! What is known of a block before it runs, kept for ever: QEMU's generated code holds pointers to it.
//!
//! QEMU drops and translates blocks again; so that this does not grow without bound, a block that was seen before, the
//! same bytes at the same address, is answered from memory.

// SPDX-License-Identifier: GPL-2.0-or-later

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};

use machine::pipeline::Outputs;
use machine::vcpu::{AccessSite, Block};

use crate::dataflow::{Access, Flow, Special, analyse};

/// One instruction that the plugin wants to hear of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct SpecialSite {
    /// Its position in the block.
    pub(crate) instruction: u32,
    /// What it means.
    pub(crate) special: Special,
}

/// One instruction that accesses memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct MemorySite {
    /// Whether it loads.
    pub(crate) loads: bool,
    /// Whether it stores.
    pub(crate) stores: bool,
    /// Bytes it accesses at once, of several operands the most; 0 where the instruction does not say.
    pub(crate) bytes: u16,
    /// What its accesses wait for, and who waits for them.
    pub(crate) access: AccessSite,
}

/// A block as the callbacks need it.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Translated {
    /// Its length and register dataflow.
    pub(crate) block: Block,
    /// Instructions that access memory, by their position.
    pub(crate) sites: Vec<MemorySite>,
    /// Instructions with a meaning of their own.
    pub(crate) specials: Vec<SpecialSite>,
}

/// All blocks seen so far.
#[derive(Default)]
pub(crate) struct Blocks {
    known: HashMap<(u64, u64), &'static Translated>,
}

impl Blocks {
    /// The block that starts at `address` and consists of these instructions.
    pub(crate) fn get(&mut self, address: u64, instructions: &[&[u8]]) -> &'static Translated {
        let mut hasher = DefaultHasher::new();
        instructions.hash(&mut hasher);
        self.known
            .entry((address, hasher.finish()))
            .or_insert_with(|| Box::leak(Box::new(translate(address, instructions))))
    }
}

fn translate(address: u64, instructions: &[&[u8]]) -> Translated {
    let Flow { accesses, outputs, specials } = analyse(address, instructions);
    let mut sites: Vec<MemorySite> = Vec::new();
    for Access { instruction, load_slot, loads, stores, bytes, address } in accesses {
        let instruction = u32::from(instruction);
        // QEMU tells which instruction accesses memory, not which of its operands: they share a site.
        match sites.last_mut().filter(|site| site.access.instruction == instruction) {
            Some(site) => {
                site.loads |= loads;
                site.stores |= stores;
                site.bytes = site.bytes.max(bytes);
                site.access.address = site.access.address.and(address);
                site.access.load_slot = site.access.load_slot.or(load_slot);
            }
            None => {
                sites.push(MemorySite { loads, stores, bytes, access: AccessSite { instruction, load_slot, address } })
            }
        }
    }
    let length = instructions.len() as u32;
    let kernel_instructions = if address >> 63 == 1 { length } else { 0 };
    let specials = specials
        .into_iter()
        .map(|(instruction, special)| SpecialSite { instruction: instruction.into(), special })
        .collect();
    Translated {
        block: Block { instructions: length, kernel_instructions, outputs: Outputs::new(outputs) },
        sites,
        specials,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_block_seen_again_is_the_same_and_other_bytes_are_another() {
        let mut blocks = Blocks::default();
        let first = blocks.get(0x1000, &[&[0x48, 0x8b, 0x00], &[0xc3]]);
        assert!(std::ptr::eq(first, blocks.get(0x1000, &[&[0x48, 0x8b, 0x00], &[0xc3]])));
        assert!(!std::ptr::eq(first, blocks.get(0x1000, &[&[0x48, 0x8b, 0x01], &[0xc3]])));
        assert!(!std::ptr::eq(first, blocks.get(0x2000, &[&[0x48, 0x8b, 0x00], &[0xc3]])));
    }

    #[test]
    fn the_upper_half_of_the_address_space_is_the_kernels() {
        let nop: &[&[u8]] = &[&[0x90]];
        assert_eq!(translate(0xffff_ffff_8100_0000, nop).block.kernel_instructions, 1);
        assert_eq!(translate(0x40_0000, nop).block.kernel_instructions, 0);
    }

    #[test]
    fn the_operands_of_one_instruction_share_a_site() {
        let copy = translate(0, &[&[0xf3, 0x48, 0xa5]]); // rep movsq
        assert_eq!(copy.sites.len(), 1);
        assert_eq!(copy.sites[0].access.address.registers, 1 << 6 | 1 << 7, "rsi and rdi");
    }
}
