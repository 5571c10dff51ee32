//! QEMU's plugin interface, as far as this plugin uses it: what both versions have, and where they differ a
//! [`Dialect`] to be filled in by the shared object built for one of them. The functions are QEMU's own and are found
//! when QEMU loads the plugin.
//!
//! Declared here instead of taken from a bindings crate, whose versions exclude each other: cargo builds a dependency
//! once for the whole workspace, and this workspace needs both.

// SPDX-License-Identifier: GPL-2.0-or-later

#![expect(unsafe_code, reason = "declares QEMU's functions")]

use std::ffi::{CStr, c_char, c_int, c_uint, c_void};

/// A plugin's number.
pub type Id = u64;

/// A block that is being translated.
#[repr(C)]
#[derive(Debug)]
pub struct TranslationBlock {
    _opaque: [u8; 0],
}

/// An instruction of such a block.
#[repr(C)]
#[derive(Debug)]
pub struct Instruction {
    _opaque: [u8; 0],
}

/// A translated address.
#[repr(C)]
#[derive(Debug)]
pub struct HardwareAddress {
    _opaque: [u8; 0],
}

/// What QEMU says of itself when it loads a plugin.
#[repr(C)]
#[derive(Debug)]
pub struct Info {
    target_name: *const c_char,
    lowest_version: c_int,
    current_version: c_int,
    /// Whether a whole machine is emulated, not a program.
    pub system_emulation: bool,
    initial_vcpus: c_int,
    /// How many vCPUs the machine may have; means nothing without system emulation.
    pub most_vcpus: c_int,
}

/// How one access was made, in QEMU's own encoding.
pub type MemoryInfo = u32;

/// The callback leaves the vCPU's registers alone.
pub const NO_REGISTERS: c_int = 0;
/// The callback wants to hear of loads and stores.
pub const LOADS_AND_STORES: c_int = 3;

/// Called for a vCPU.
pub type OnVcpu = unsafe extern "C" fn(Id, c_uint);
/// Called for a block that is being translated.
pub type OnTranslation = unsafe extern "C" fn(Id, *mut TranslationBlock);
/// Called at QEMU's end.
pub type OnExit = unsafe extern "C" fn(Id, *mut c_void);
/// Called when a block or an instruction is executed.
pub type OnExecution = unsafe extern "C" fn(c_uint, *mut c_void);
/// Called after an access.
pub type OnAccess = unsafe extern "C" fn(c_uint, MemoryInfo, u64, *mut c_void);

/// No x86 instruction is longer.
pub const LONGEST_INSTRUCTION: usize = 15;

/// Where the versions of the interface differ.
#[derive(Debug, Clone, Copy)]
pub struct Dialect {
    /// Copies an instruction's bytes and answers how many there are.
    pub bytes_of: unsafe fn(*const Instruction, &mut [u8; LONGEST_INSTRUCTION]) -> usize,
    /// How registers are read; `None` where they cannot be.
    pub registers: Option<Registers>,
}

/// A register of the guest, by which QEMU is asked for its value.
#[repr(C)]
#[derive(Debug)]
pub struct Register {
    _opaque: [u8; 0],
}

/// Reading a vCPU's registers.
#[derive(Debug, Clone, Copy)]
pub struct Registers {
    /// Finds a register by its name, when the vCPU is initialised; null if there is none of that name.
    pub find: unsafe fn(&CStr) -> *mut Register,
    /// A register's value now, in a callback on the vCPU's thread; `None` if QEMU does not tell.
    pub read: unsafe fn(*mut Register) -> Option<u64>,
}

unsafe extern "C" {
    pub(crate) fn qemu_plugin_register_vcpu_init_cb(id: Id, callback: OnVcpu);
    pub(crate) fn qemu_plugin_register_vcpu_tb_trans_cb(id: Id, callback: OnTranslation);
    pub(crate) fn qemu_plugin_register_atexit_cb(id: Id, callback: OnExit, data: *mut c_void);
    pub(crate) fn qemu_plugin_register_vcpu_tb_exec_cb(
        block: *mut TranslationBlock,
        callback: OnExecution,
        registers: c_int,
        data: *mut c_void,
    );
    pub(crate) fn qemu_plugin_register_vcpu_insn_exec_cb(
        instruction: *mut Instruction,
        callback: OnExecution,
        registers: c_int,
        data: *mut c_void,
    );
    pub(crate) fn qemu_plugin_register_vcpu_mem_cb(
        instruction: *mut Instruction,
        callback: OnAccess,
        registers: c_int,
        directions: c_int,
        data: *mut c_void,
    );
    pub(crate) fn qemu_plugin_tb_n_insns(block: *const TranslationBlock) -> usize;
    pub(crate) fn qemu_plugin_tb_vaddr(block: *const TranslationBlock) -> u64;
    pub(crate) fn qemu_plugin_tb_get_insn(block: *const TranslationBlock, at: usize) -> *mut Instruction;
    pub(crate) fn qemu_plugin_mem_size_shift(info: MemoryInfo) -> c_uint;
    pub(crate) fn qemu_plugin_mem_is_store(info: MemoryInfo) -> bool;
    pub(crate) fn qemu_plugin_get_hwaddr(info: MemoryInfo, address: u64) -> *mut HardwareAddress;
    pub(crate) fn qemu_plugin_hwaddr_is_io(address: *const HardwareAddress) -> bool;
    pub(crate) fn qemu_plugin_hwaddr_phys_addr(address: *const HardwareAddress) -> u64;
}
