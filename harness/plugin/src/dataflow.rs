//! Register dataflow of one translation block: which earlier loads and which registers at its start an address, and
//! each register at its end, wait for. Two misses overlap only if neither's address waits for the other; this is what
//! tells. Pure: bytes in, sets out. When those registers are ready is the machine's business.
//!
//! # Method
//!
//! The block is walked once. Every register carries the set it depends on: at first itself. An instruction's result
//! depends on all that it reads, and on the load it makes, whose own set holds its address. Since sets are unions of
//! sets, they are transitive: a chase `mov rax, [rax]; mov rax, [rax]` gives the second load {rax at start, load 0}.
//!
//! Over-approximations make loads wait too long, omissions make them overlap too freely. The known ones: an
//! instruction with two results (`xchg`, `mul`) gives both the union; what passes through memory (a spilled pointer)
//! is not followed; mask and x87 registers are not followed; loads past the 64th of a block count as waiting for
//! their registers only, and nothing waits for them.

// SPDX-License-Identifier: GPL-2.0-or-later

use iced_x86::{
    Code, Decoder, DecoderOptions, FlowControl, Instruction, InstructionInfoFactory, Mnemonic, OpAccess, OpKind,
    Register,
};
use machine::marks::Mark;
use machine::pipeline::{Dependences, LOAD_SLOTS, REGISTERS};

const FLAGS: usize = 32;

/// One memory operand of an instruction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Access {
    /// Position of the instruction in the block.
    pub(crate) instruction: u16,
    /// The slot under which later instructions wait for it, if it loads and a slot was free.
    pub(crate) load_slot: Option<u8>,
    /// Whether it loads.
    pub(crate) loads: bool,
    /// Whether it stores.
    pub(crate) stores: bool,
    /// Bytes accessed at once; 0 where the instruction does not say.
    pub(crate) bytes: u16,
    /// What its address waits for.
    pub(crate) address: Dependences,
}

/// An instruction that means something beyond its dataflow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Special {
    /// The vCPU has nothing to run.
    Halt,
    /// Another address space from here on: virtually tagged lines are void.
    AddressSpaceSwitch,
    /// Some page lies elsewhere from here on.
    TranslationChange,
    /// The guest's program says where it is.
    Mark(Mark),
}

/// The dataflow of one block.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Flow {
    /// Its memory operands, in program order; an instruction that moves from memory to memory has two.
    pub(crate) accesses: Vec<Access>,
    /// Registers whose value at the block's end is not the one at its start, and what that value waits for.
    pub(crate) outputs: Vec<(u8, Dependences)>,
    /// Special instructions by their position.
    pub(crate) specials: Vec<(u16, Special)>,
}

/// Follows the registers through a block that starts at `address`; `instructions` are the bytes of each, as QEMU
/// splits them. Bytes that do not decode to one 64-bit instruction are passed over.
pub(crate) fn analyse(address: u64, instructions: &[&[u8]]) -> Flow {
    let mut walk = Walk::new();
    let mut at = address;
    for (position, bytes) in (0u16..).zip(instructions) {
        let mut decoder = Decoder::with_ip(64, bytes, at, DecoderOptions::NONE);
        let instruction = decoder.decode();
        if !instruction.is_invalid() {
            walk.step(position, &instruction, bytes);
        }
        at += bytes.len() as u64;
    }
    walk.finish()
}

struct Walk {
    info: InstructionInfoFactory,
    state: [Dependences; REGISTERS],
    next_slot: usize,
    flow: Flow,
}

impl Walk {
    fn new() -> Self {
        Self {
            info: InstructionInfoFactory::new(),
            state: std::array::from_fn(Dependences::register),
            next_slot: 0,
            flow: Flow::default(),
        }
    }

    fn step(&mut self, position: u16, instruction: &Instruction, bytes: &[u8]) {
        if let Some(special) = special(instruction, bytes) {
            self.flow.specials.push((position, special));
            return; // a mark is a NOP; the others write no register that is followed
        }
        let loaded = self.memory(position, instruction);
        let result = if clears(instruction) { Dependences::default() } else { self.read(instruction).and(loaded) };
        self.write(instruction, result);
    }

    /// Enters the memory operands; answers what a value loaded by this instruction waits for.
    fn memory(&mut self, position: u16, instruction: &Instruction) -> Dependences {
        let mut loaded = Dependences::default();
        // The factory lends its answer; the few operands are copied so that slots can be given out meanwhile.
        let operands: Vec<_> = self.info.info(instruction).used_memory().to_vec();
        for operand in operands {
            let (loads, stores) = directions(operand.access());
            if !loads && !stores {
                continue;
            }
            let address = self.of(operand.base()).and(self.of(operand.index()));
            let load_slot = (loads && self.next_slot < LOAD_SLOTS).then(|| {
                self.next_slot += 1;
                (self.next_slot - 1) as u8
            });
            if loads {
                loaded = loaded.and(address);
            }
            if let Some(slot) = load_slot {
                loaded.loads |= 1 << slot;
            }
            let bytes = operand.memory_size().size() as u16;
            self.flow.accesses.push(Access { instruction: position, load_slot, loads, stores, bytes, address });
        }
        loaded
    }

    /// What the registers that the instruction reads wait for.
    fn read(&mut self, instruction: &Instruction) -> Dependences {
        let mut all = Dependences::default();
        if instruction.rflags_read() != 0 {
            all = all.and(self.state[FLAGS]);
        }
        let own_bookkeeping = bookkeeping(instruction);
        for used in self.info.info(instruction).used_registers() {
            let reads = !matches!(used.access(), OpAccess::None | OpAccess::Write | OpAccess::NoMemAccess);
            if let Some(index) = index_of(used.register())
                && reads
                && own_bookkeeping & (1 << index) == 0
            {
                all = all.and(self.state[index]);
            }
        }
        all
    }

    fn write(&mut self, instruction: &Instruction, result: Dependences) {
        let own_bookkeeping = bookkeeping(instruction);
        for used in self.info.info(instruction).used_registers() {
            let writes =
                !matches!(used.access(), OpAccess::None | OpAccess::Read | OpAccess::CondRead | OpAccess::NoMemAccess);
            let Some(index) = index_of(used.register()) else { continue };
            if !writes || own_bookkeeping & (1 << index) != 0 {
                continue; // a stack or string pointer steps on by itself, whatever was loaded
            }
            let keeps_old_part =
                used.register().size() < 4 || matches!(used.access(), OpAccess::CondWrite | OpAccess::ReadCondWrite);
            self.state[index] = if keeps_old_part { result.and(self.state[index]) } else { result };
        }
        if instruction.rflags_modified() != 0 {
            self.state[FLAGS] = result;
        }
    }

    fn of(&self, register: Register) -> Dependences {
        index_of(register).map_or_else(Dependences::default, |index| self.state[index])
    }

    fn finish(mut self) -> Flow {
        for (index, dependences) in self.state.iter().enumerate() {
            if *dependences != Dependences::register(index) {
                self.flow.outputs.push((index as u8, *dependences));
            }
        }
        self.flow
    }
}

fn special(instruction: &Instruction, bytes: &[u8]) -> Option<Special> {
    match instruction.code() {
        Code::Hlt => Some(Special::Halt),
        Code::Mov_cr_r64 if instruction.op0_register() == Register::CR3 => Some(Special::AddressSpaceSwitch),
        Code::Mov_cr_r64 | Code::Invlpg_m | Code::Invpcid_r64_m128 => Some(Special::TranslationChange),
        Code::Nop_rm32 => Mark::decode(bytes).map(Special::Mark),
        _ => None,
    }
}

fn directions(access: OpAccess) -> (bool, bool) {
    match access {
        OpAccess::None | OpAccess::NoMemAccess => (false, false),
        OpAccess::Read | OpAccess::CondRead => (true, false),
        OpAccess::Write | OpAccess::CondWrite => (false, true),
        OpAccess::ReadWrite | OpAccess::ReadCondWrite => (true, true),
    }
}

/// `xor r, r` and its like give zero whatever was in r.
fn clears(instruction: &Instruction) -> bool {
    let idiom = matches!(
        instruction.mnemonic(),
        Mnemonic::Xor | Mnemonic::Sub | Mnemonic::Pxor | Mnemonic::Xorps | Mnemonic::Xorpd | Mnemonic::Psubd
    );
    idiom
        && instruction.op_count() == 2
        && instruction.op0_kind() == OpKind::Register
        && instruction.op1_kind() == OpKind::Register
        && instruction.op0_register() == instruction.op1_register()
}

/// Registers that the instruction steps on by a constant: their new value waits for the old one alone.
fn bookkeeping(instruction: &Instruction) -> u64 {
    const RSP: u64 = 1 << 4;
    const COUNT_AND_POINTERS: u64 = 1 << 1 | 1 << 6 | 1 << 7; // rcx, rsi, rdi
    if instruction.is_string_instruction() {
        return COUNT_AND_POINTERS;
    }
    let explicit = instruction.op_count() > 0
        && instruction.op0_kind() == OpKind::Register
        && index_of(instruction.op0_register()) == Some(4);
    let stack = instruction.is_stack_instruction()
        || matches!(instruction.flow_control(), FlowControl::Call | FlowControl::IndirectCall | FlowControl::Return);
    if stack && !explicit && instruction.mnemonic() != Mnemonic::Leave { RSP } else { 0 }
}

/// The place of a register in the sets; `None` for those that are not followed.
fn index_of(register: Register) -> Option<usize> {
    let full = register.full_register();
    if full.is_gpr64() {
        Some(full as usize - Register::RAX as usize)
    } else if full.is_vector_register() && full.number() < 16 {
        Some(16 + full.number())
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RAX: u64 = 1;
    const RCX: u64 = 1 << 1;
    const RBX: u64 = 1 << 3;
    const RSP: u64 = 1 << 4;
    const RSI: u64 = 1 << 6;

    fn access_of(flow: &Flow, place: usize) -> Dependences {
        flow.accesses[place].address
    }

    fn output(flow: &Flow, register: u8) -> Option<Dependences> {
        flow.outputs.iter().find(|(index, _)| *index == register).map(|(_, dependences)| *dependences)
    }

    #[test]
    fn each_load_of_a_chase_waits_for_all_before_it() {
        // mov rax, [rax]; mov rax, [rax]; mov rax, [rax]
        let flow = analyse(0x1000, &[&[0x48, 0x8b, 0x00][..]; 3]);
        let waits: Vec<_> =
            flow.accesses.iter().map(|access| (access.address.registers, access.address.loads)).collect();
        assert_eq!(waits, [(RAX, 0b0), (RAX, 0b1), (RAX, 0b11)]);
        assert_eq!(output(&flow, 0), Some(Dependences { registers: RAX, loads: 0b111 }));
    }

    #[test]
    fn loads_from_an_index_that_arithmetic_advances_wait_for_no_load() {
        // mov rax, [rbx]; add rbx, 8; mov rcx, [rbx]
        let flow = analyse(0, &[&[0x48, 0x8b, 0x03], &[0x48, 0x83, 0xc3, 0x08], &[0x48, 0x8b, 0x0b]]);
        assert_eq!(access_of(&flow, 0), Dependences { registers: RBX, loads: 0 });
        assert_eq!(access_of(&flow, 1), Dependences { registers: RBX, loads: 0 });
        assert_eq!(output(&flow, 3), None, "rbx waits for rbx alone, as at the start");
    }

    #[test]
    fn the_stack_pointer_does_not_wait_for_what_is_popped() {
        // pop rbx; push rcx; mov rax, [rsp]
        let flow = analyse(0, &[&[0x5b], &[0x51], &[0x48, 0x8b, 0x04, 0x24]]);
        assert_eq!(access_of(&flow, 2), Dependences { registers: RSP, loads: 0 });
        assert_eq!(output(&flow, 3), Some(Dependences { registers: RSP, loads: 0b1 }));
    }

    #[test]
    fn clearing_a_register_ends_its_wait() {
        // mov rax, [rax]; xor eax, eax; mov rcx, [rax]
        let flow = analyse(0, &[&[0x48, 0x8b, 0x00], &[0x31, 0xc0], &[0x48, 0x8b, 0x08]]);
        assert_eq!(access_of(&flow, 1), Dependences::default());
    }

    #[test]
    fn a_byte_written_keeps_what_the_rest_waits_for() {
        // mov al, [rsi]; mov rcx, [rax]
        let flow = analyse(0, &[&[0x8a, 0x06], &[0x48, 0x8b, 0x08]]);
        assert_eq!(access_of(&flow, 1), Dependences { registers: RAX | RSI, loads: 0b1 });
    }

    #[test]
    fn an_address_chosen_by_a_flag_waits_for_what_set_the_flag() {
        // cmp qword [rsi], 0; cmove rax, rbx; mov rcx, [rax]
        let flow = analyse(0, &[&[0x48, 0x83, 0x3e, 0x00], &[0x48, 0x0f, 0x44, 0xc3], &[0x48, 0x8b, 0x08]]);
        assert_eq!(access_of(&flow, 1), Dependences { registers: RAX | RBX | RSI, loads: 0b1 });
    }

    #[test]
    fn an_address_that_passes_a_vector_register_still_waits() {
        // movq xmm0, [rsi]; movq rax, xmm0; mov rcx, [rax]
        let flow = analyse(0, &[&[0xf3, 0x0f, 0x7e, 0x06], &[0x66, 0x48, 0x0f, 0x7e, 0xc0], &[0x48, 0x8b, 0x08]]);
        assert_eq!(access_of(&flow, 1), Dependences { registers: RSI, loads: 0b1 });
    }

    #[test]
    fn an_instruction_that_modifies_memory_loads_and_stores() {
        // add [rbx], rcx
        let flow = analyse(0, &[&[0x48, 0x01, 0x0b]]);
        let access = flow.accesses[0];
        assert!(access.loads && access.stores);
        assert_eq!((access.bytes, access.address.registers), (8, RBX));
    }

    #[test]
    fn a_string_copy_steps_its_pointers_whatever_it_loads() {
        // rep movsq
        let flow = analyse(0, &[&[0xf3, 0x48, 0xa5]]);
        assert_eq!(flow.accesses.len(), 2);
        assert_eq!(flow.outputs, []);
    }

    #[test]
    fn lea_and_nop_touch_no_memory() {
        // lea rax, [rsi + rcx]; nop dword [rax + rax + 0x1234]
        let flow = analyse(0, &[&[0x48, 0x8d, 0x04, 0x0e], &[0x0f, 0x1f, 0x84, 0x00, 0x34, 0x12, 0, 0]]);
        assert_eq!((flow.accesses.len(), flow.specials.len()), (0, 0));
        assert_eq!(output(&flow, 0), Some(Dependences { registers: RSI | RCX, loads: 0 }));
    }

    #[test]
    fn halts_address_space_switches_and_marks_are_recognised() {
        let mark = [0x0f, 0x1f, 0x84, 0x00, 0x03, 0x00, 0x43, 0x50];
        // hlt; mov cr3, rax; mov cr0, rax; a mark of phase 3
        let flow = analyse(0, &[&[0xf4], &[0x0f, 0x22, 0xd8], &[0x0f, 0x22, 0xc0], &mark]);
        assert_eq!(
            flow.specials,
            [
                (0, Special::Halt),
                (1, Special::AddressSpaceSwitch),
                (2, Special::TranslationChange),
                (3, Special::Mark(Mark::Phase(3)))
            ]
        );
    }

    #[test]
    fn more_loads_than_slots_are_still_seen() {
        let flow = analyse(0, &[&[0x48, 0x8b, 0x03][..]; 70]);
        assert_eq!(flow.accesses.len(), 70);
        assert_eq!(flow.accesses[63].load_slot, Some(63));
        assert_eq!(flow.accesses[64].load_slot, None);
    }

    #[test]
    fn garbage_is_passed_over() {
        assert_eq!(analyse(0, &[&[0x06], &[], &[0xff, 0xff, 0xff]]), Flow::default());
    }
}
