//! The plugin for QEMU 7.2, whose plugin interface has version 1. What it does is `phasecast_plugin`'s; this shared
//! object says which version it speaks and how that one is asked for an instruction's bytes.

// SPDX-License-Identifier: GPL-2.0-or-later

#![expect(unsafe_code, reason = "called by QEMU and calling it")]

use std::ffi::{c_char, c_int, c_void};

use phasecast_plugin::install;
use phasecast_plugin::qemu::{Dialect, Id, Info, Instruction, LONGEST_INSTRUCTION};

/// The version of the interface, which QEMU compares with its own.
#[unsafe(no_mangle)]
pub static qemu_plugin_version: c_int = 1;

unsafe extern "C" {
    fn qemu_plugin_insn_data(instruction: *const Instruction) -> *const c_void;
    fn qemu_plugin_insn_size(instruction: *const Instruction) -> usize;
}

/// # Safety
/// While QEMU translates the instruction's block.
unsafe fn bytes_of(instruction: *const Instruction, bytes: &mut [u8; LONGEST_INSTRUCTION]) -> usize {
    // SAFETY: as promised to us; QEMU answers a pointer to as many bytes as it says the instruction has.
    let found = unsafe {
        let size = qemu_plugin_insn_size(instruction).min(LONGEST_INSTRUCTION);
        std::slice::from_raw_parts(qemu_plugin_insn_data(instruction).cast::<u8>(), size)
    };
    bytes[..found.len()].copy_from_slice(found);
    found.len()
}

/// Called once by QEMU; not 0 makes it give up.
///
/// # Safety
/// By QEMU, with its own information and arguments.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn qemu_plugin_install(id: Id, info: *const Info, argc: c_int, argv: *mut *mut c_char) -> c_int {
    // SAFETY: all is passed on as QEMU gave it.
    unsafe { install(Dialect { bytes_of, registers: None }, id, info, argc, argv) }
}
