//! Marks: 8-byte NOPs by which a program inside a guest tells the plugin where it is. The encoding is part of the
//! contract with the guest's programs, which have their own copy of these constants.
//!
//! `0f 1f 84 00 imm32` is `nopl imm32(%rax,%rax,1)`: every x86-64 processor executes it as nothing.

/// The first four bytes of a mark.
pub const PREFIX: [u8; 4] = [0x0f, 0x1f, 0x84, 0x00];

/// The upper half of a mark's immediate, by which it is told from a compiler's padding.
pub const MAGIC: u32 = 0x5043_0000;

/// Phases that can be marked: codes `0..PHASES`.
pub const PHASES: usize = 64;

/// What a mark says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mark {
    /// This phase of the ground truth begins.
    Phase(u8),
    /// The vCPU joins its LLC domain; before this nothing is counted.
    Begin,
    /// From here on no phase is marked.
    EndOfTruth,
}

impl Mark {
    /// The mark that `instruction` encodes, if it is one.
    #[must_use]
    pub fn decode(instruction: &[u8]) -> Option<Self> {
        let rest = instruction.strip_prefix(&PREFIX)?;
        let immediate = u32::from_le_bytes(rest.try_into().ok()?);
        if immediate & 0xffff_0000 != MAGIC {
            return None;
        }
        match immediate & 0xffff {
            code @ 0..64 => Some(Mark::Phase(code as u8)),
            0x100 => Some(Mark::Begin),
            0x101 => Some(Mark::EndOfTruth),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mark_is_told_from_padding_and_from_unknown_codes() {
        assert_eq!(Mark::decode(&[0x0f, 0x1f, 0x84, 0, 7, 0, 0x43, 0x50]), Some(Mark::Phase(7)));
        assert_eq!(Mark::decode(&[0x0f, 0x1f, 0x84, 0, 0, 1, 0x43, 0x50]), Some(Mark::Begin));
        assert_eq!(Mark::decode(&[0x0f, 0x1f, 0x84, 0, 1, 1, 0x43, 0x50]), Some(Mark::EndOfTruth));
        assert_eq!(Mark::decode(&[0x0f, 0x1f, 0x84, 0, 0, 0, 0, 0]), None, "a compiler's 8-byte NOP");
        assert_eq!(Mark::decode(&[0x0f, 0x1f, 0x84, 0, 2, 1, 0x43, 0x50]), None, "no such code");
        assert_eq!(Mark::decode(&[0x0f, 0x1f, 0x84, 0]), None, "a shorter NOP");
    }
}
