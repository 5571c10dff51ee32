//! The plugin for QEMU 10.0, whose plugin interface has version 4. What it does is `phasecast_plugin`'s; this shared
//! object says which version it speaks, and how that one is asked for an instruction's bytes and for registers.

// SPDX-License-Identifier: GPL-2.0-or-later

#![expect(unsafe_code, reason = "called by QEMU and calling it")]

use std::ffi::{CStr, c_char, c_int, c_uint, c_void};

use phasecast_plugin::install;
use phasecast_plugin::qemu::{Dialect, Id, Info, Instruction, LONGEST_INSTRUCTION, Register, Registers};

/// The version of the interface, which QEMU compares with its own.
#[unsafe(no_mangle)]
pub static qemu_plugin_version: c_int = 4;

/// GLib's array of anything; QEMU answers with one.
#[repr(C)]
struct Array {
    data: *mut c_char,
    length: c_uint,
}

/// GLib's array of bytes.
#[repr(C)]
struct ByteArray {
    data: *mut u8,
    length: c_uint,
}

/// One register, as QEMU lists them. The texts live as long as QEMU.
#[repr(C)]
struct Description {
    handle: *mut Register,
    name: *const c_char,
    feature: *const c_char,
}

// Of QEMU, and of the GLib that QEMU has loaded.
unsafe extern "C" {
    fn qemu_plugin_get_registers() -> *mut Array;
    fn qemu_plugin_read_register(register: *mut Register, bytes: *mut ByteArray) -> c_int;
    fn g_array_free(array: *mut Array, with_content: c_int) -> *mut c_char;
    fn g_byte_array_new() -> *mut ByteArray;
    fn g_byte_array_free(array: *mut ByteArray, with_content: c_int) -> *mut u8;
    fn qemu_plugin_insn_data(instruction: *const Instruction, bytes: *mut c_void, most: usize) -> usize;
}

/// # Safety
/// While QEMU translates the instruction's block.
unsafe fn bytes_of(instruction: *const Instruction, bytes: &mut [u8; LONGEST_INSTRUCTION]) -> usize {
    // SAFETY: as promised to us; QEMU writes no more than it is given room for, and answers how much.
    unsafe { qemu_plugin_insn_data(instruction, bytes.as_mut_ptr().cast(), bytes.len()) }
}

/// # Safety
/// In QEMU's callback of a vCPU's initialisation.
unsafe fn find(name: &CStr) -> *mut Register {
    // SAFETY: as promised to us; the array is ours to free, its elements are descriptions.
    unsafe {
        let all = qemu_plugin_get_registers();
        if all.is_null() {
            return std::ptr::null_mut();
        }
        let listed = std::slice::from_raw_parts((*all).data.cast::<Description>(), (*all).length as usize);
        let found = listed.iter().find(|register| CStr::from_ptr(register.name) == name);
        let handle = found.map_or(std::ptr::null_mut(), |register| register.handle);
        g_array_free(all, 1);
        handle
    }
}

/// The low 64 bits of a register, or all of a smaller one.
///
/// # Safety
/// In a callback on the vCPU's thread, with what [`find`] answered.
unsafe fn read(register: *mut Register) -> Option<u64> {
    // SAFETY: as promised to us; the array is made and freed here, and QEMU says how many bytes it appended.
    unsafe {
        let bytes = g_byte_array_new();
        let size = qemu_plugin_read_register(register, bytes);
        let told = usize::try_from(size).unwrap_or_default().min((*bytes).length as usize);
        let mut value = [0; 8];
        for (place, byte) in value.iter_mut().enumerate().take(told) {
            *byte = *(*bytes).data.add(place);
        }
        g_byte_array_free(bytes, 1);
        (told > 0).then(|| u64::from_le_bytes(value))
    }
}

/// Called once by QEMU; not 0 makes it give up.
///
/// # Safety
/// By QEMU, with its own information and arguments.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn qemu_plugin_install(id: Id, info: *const Info, argc: c_int, argv: *mut *mut c_char) -> c_int {
    // SAFETY: all is passed on as QEMU gave it.
    unsafe { install(Dialect { bytes_of, registers: Some(Registers { find, read }) }, id, info, argc, argv) }
}
