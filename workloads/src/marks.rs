//! Marks: how a program inside a guest tells the emulated machine where it stands, at the cost of one instruction.
//!
//! A mark is the 8-byte no-operation `nopl imm32(%rax,%rax,1)`, bytes `0f 1f 84 00` and four of an immediate. Every
//! processor ignores it; the plugin inside QEMU recognises the immediate when the block is translated. Compilers emit the
//! same instruction as padding, with an immediate of 0; ours carries [`MAGIC`] in its upper half.
//!
//! Marks are the ground truth of a trace. The forecaster never sees them.
#![expect(unsafe_code, reason = "a mark is one instruction that no safe code can express")]

/// The upper half of every mark's immediate.
pub const MAGIC: u32 = 0x5043_0000;

/// How many phases a program can tell apart: codes 0 to 63.
pub const PHASES: u32 = 64;

/// Code: from here on the guest counts; its vCPU joins its LLC domain at virtual cycle 0.
pub const BEGIN: u32 = 0x100;

/// Code: no phase is marked from here on.
pub const END_OF_TRUTH: u32 = 0x101;

/// The first four bytes of every mark.
pub const OPCODE: [u8; 4] = [0x0f, 0x1f, 0x84, 0x00];

/// The bytes of a mark with this code.
#[must_use]
pub fn encode(code: u32) -> [u8; 8] {
    let [a, b, c, d] = OPCODE;
    let [e, f, g, h] = (MAGIC | code).to_le_bytes();
    [a, b, c, d, e, f, g, h]
}

#[cfg(target_arch = "x86_64")]
#[inline(never)]
fn mark<const CODE: u32>() {
    // SAFETY: an 8-byte no-operation that touches neither registers, flags nor memory. `nomem` is left out on purpose,
    // so that the compiler moves no work across the mark.
    unsafe {
        std::arch::asm!(
            ".byte 0x0f, 0x1f, 0x84, 0x00",
            ".long {immediate}",
            immediate = const MAGIC | CODE,
            options(nostack, preserves_flags),
        );
    }
}

/// Elsewhere nobody looks for marks.
#[cfg(not(target_arch = "x86_64"))]
fn mark<const CODE: u32>() {}

macro_rules! phase_marks {
    ($($code:literal)*) => { [$(mark::<$code>),*] };
}

/// One instruction each: the immediate is part of the code and cannot be an argument.
const PHASE_MARKS: [fn(); PHASES as usize] = phase_marks!(
    0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20 21 22 23 24 25 26 27 28 29 30 31
    32 33 34 35 36 37 38 39 40 41 42 43 44 45 46 47 48 49 50 51 52 53 54 55 56 57 58 59 60 61 62 63
);

/// Phase `phase` begins.
///
/// # Panics
/// If there is no such phase: [`PHASES`] is the limit.
pub fn begin_phase(phase: u32) {
    PHASE_MARKS[phase as usize]();
}

/// No phase is marked from here on.
pub fn end_of_truth() {
    mark::<END_OF_TRUTH>();
}

/// The guest's measured time begins.
pub fn begin() {
    mark::<BEGIN>();
}

#[cfg(all(test, target_arch = "x86_64"))]
mod tests {
    use super::*;

    /// Reads the machine code of the function that carries the mark, which is what the plugin sees.
    fn code_of(function: fn()) -> &'static [u8] {
        // SAFETY: the text segment is readable, and a function is followed by more of it.
        unsafe { std::slice::from_raw_parts(function as *const u8, 32) }
    }

    #[test]
    fn each_phase_is_marked_by_its_own_instruction() {
        for (phase, function) in PHASE_MARKS.iter().enumerate() {
            let expected = encode(u32::try_from(phase).expect("64 phases"));
            assert!(code_of(*function).windows(8).any(|bytes| bytes == expected), "phase {phase}");
        }
    }

    #[test]
    fn begin_and_end_are_no_phases() {
        assert!(code_of(mark::<BEGIN>).windows(8).any(|bytes| bytes == encode(0x100)));
        assert!(code_of(mark::<END_OF_TRUTH>).windows(8).any(|bytes| bytes == encode(0x101)));
    }
}
