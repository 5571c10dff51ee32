//! What runs while the guest runs: QEMU calls these for each block and each access.
//!
//! There is one guest with one vCPU in a process, so its state is a plain static behind a pointer that is null
//! whenever nothing is counted: before the begin mark and after the release. One test of it is all that an uncounted
//! guest pays.

// SPDX-License-Identifier: GPL-2.0-or-later

#![expect(unsafe_code, reason = "called by QEMU, with pointers that QEMU was given")]

use std::ffi::{c_uint, c_void};
use std::fs::File;

use machine::cache::Direction;
use machine::counters::AddressSpace;
use machine::marks::Mark;
use machine::seat::Seat;
use machine::stream::Recorder;
use machine::uncore::Indexing;
use machine::vcpu::{AccessSite, Block, Vcpu};

use crate::dataflow::Special;
use crate::qemu::{
    MemoryInfo, Register, qemu_plugin_get_hwaddr, qemu_plugin_hwaddr_is_io, qemu_plugin_hwaddr_phys_addr,
    qemu_plugin_mem_is_store, qemu_plugin_mem_size_shift,
};
use crate::tlb::Translations;
use crate::translation::SpecialSite;

/// The vCPU while it is counted.
pub(crate) struct Running {
    pub(crate) vcpu: Vcpu,
    seat: Seat,
    addresses: Addresses,
    translations: Translations,
}

/// How an address becomes a physical one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Addresses {
    /// QEMU's translation tells.
    Translated,
    /// There is none: a program alone.
    Virtual,
}

/// What the vCPU is before it is counted.
pub(crate) struct Waiting {
    pub(crate) seat: Seat,
    pub(crate) addresses: Addresses,
    /// Where its stream is recorded to, if it is.
    pub(crate) stream: Option<File>,
}

static mut RUNNING: *mut Running = std::ptr::null_mut();
static mut WAITING: Option<Waiting> = None;

/// The state while counted.
///
/// # Safety
/// Only on the vCPU's thread, or once it has ended; and the answer of an earlier call is no longer used.
#[inline(always)]
pub(crate) unsafe fn running() -> Option<&'static mut Running> {
    // SAFETY: the pointer is null or a leaked box, touched by one thread at a time by the caller's promise.
    unsafe { RUNNING.as_mut() }
}

/// Leaves a seat to be taken at the begin mark.
///
/// # Safety
/// Before the vCPU runs.
pub(crate) unsafe fn wait_for_begin(waiting: Waiting) {
    // SAFETY: no callback runs yet.
    unsafe { WAITING = Some(waiting) };
}

/// Joins the machine; returns when the first turn has come.
///
/// # Safety
/// On the vCPU's thread, or before it runs.
pub(crate) unsafe fn begin() {
    let waiting = &raw mut WAITING;
    // SAFETY: as promised to us.
    let waiting = unsafe { (*waiting).take() };
    let Some(Waiting { mut seat, addresses, stream }) = waiting else { return };
    let Some(turn) = seat.join() else { return };
    let indexing = match addresses {
        Addresses::Translated => Indexing::Coloured,
        Addresses::Virtual => Indexing::Plain,
    };
    let mut vcpu = Vcpu::new(seat.machine(), seat.slot().0, seat.seed(), indexing, turn);
    if let Some(file) = stream {
        vcpu.record(Recorder::new(file, seat.machine()));
    }
    let translations = Translations::new();
    let running = Box::leak(Box::new(Running { vcpu, seat, addresses, translations }));
    // SAFETY: as promised to us; the box is never freed.
    unsafe { RUNNING = running };
}

/// Stops counting for good.
///
/// # Safety
/// As [`running`].
pub(crate) unsafe fn stop() {
    // SAFETY: as promised to us; whoever still holds the old answer no longer uses it.
    unsafe { RUNNING = std::ptr::null_mut() };
}

/// A vCPU that must not be there was started.
///
/// # Safety
/// As [`running`].
pub(crate) unsafe fn refuse(message: &str) {
    eprintln!("phasecast plugin: {message}");
    let waiting = &raw mut WAITING;
    // SAFETY: as promised to us.
    unsafe {
        if let Some(running) = running() {
            running.seat.fail(message);
        }
        if let Some(waiting) = (*waiting).take() {
            waiting.seat.fail(message);
        }
        stop();
    }
}

/// Ends the turn and waits for the next; no more counting if all were released meanwhile.
#[cold]
fn pass_turn(running: &mut Running) {
    let Running { vcpu, seat, .. } = running;
    if let Some(error) = vcpu.recording_error() {
        seat.fail(&error.to_string());
    }
    // SAFETY: on the vCPU's thread.
    if let Some(address_space) = unsafe { address_space() } {
        seat.tell_address_space(address_space);
    }
    match seat.pass(&vcpu.end_turn()) {
        Some(turn) => vcpu.enter(turn, seat.llc()),
        None => {
            if let Some(Err(error)) = vcpu.finish_recording() {
                eprintln!("phasecast plugin: {error}");
            }
            // SAFETY: on the vCPU's thread; callers return at once.
            unsafe { stop() }
        }
    }
}

/// How the register that holds the page table's address is read, where it can be.
pub(crate) struct PageTableRegister {
    pub(crate) read: unsafe fn(*mut Register) -> Option<u64>,
    pub(crate) register: *mut Register,
}

static mut PAGE_TABLE: Option<PageTableRegister> = None;

/// # Safety
/// On the vCPU's thread.
pub(crate) unsafe fn set_page_table_register(found: PageTableRegister) {
    // SAFETY: as promised to us.
    unsafe { PAGE_TABLE = Some(found) };
}

/// The address space that the vCPU is in. QEMU keeps control registers in memory, unlike those that its generated code
/// works with, so a callback that asks for no registers reads the present value all the same.
///
/// # Safety
/// On the vCPU's thread.
unsafe fn address_space() -> Option<AddressSpace> {
    let page_table = &raw const PAGE_TABLE;
    // SAFETY: as promised to us.
    unsafe {
        let PageTableRegister { read, register } = (*page_table).as_ref()?;
        read(*register).map(AddressSpace)
    }
}

/// Lets the vCPU be idle for as long as its halt is taken to last.
#[cold]
fn halt(running: &mut Running) {
    running.vcpu.halt();
    pass_turn(running);
}

#[cold]
#[inline(never)]
fn between_blocks(running: &mut Running) {
    if running.vcpu.event() {
        pass_turn(running);
    }
}

pub(crate) unsafe extern "C" fn on_block(_vcpu: c_uint, block: *mut c_void) {
    // SAFETY: on the vCPU's thread; the answer ends with this call.
    let Some(running) = (unsafe { running() }) else { return };
    if running.vcpu.finish_block() {
        between_blocks(running);
    }
    // SAFETY: translation gave QEMU a leaked `Block`.
    running.vcpu.start_block(unsafe { &*block.cast::<Block>() });
}

/// `LAST_SAFE` is the last place in a line at which an access as wide as this instruction's ends in the same line.
pub(crate) unsafe extern "C" fn on_load<const LAST_SAFE: u64>(
    _vcpu: c_uint,
    info: MemoryInfo,
    address: u64,
    site: *mut c_void,
) {
    // SAFETY: on the vCPU's thread; the answer ends with this call.
    let Some(running) = (unsafe { running() }) else { return };
    if !running.vcpu.read_hits::<LAST_SAFE>(address) {
        unusual(running, info, address, Direction::Read, site);
    }
}

/// As [`on_load`].
pub(crate) unsafe extern "C" fn on_store<const LAST_SAFE: u64>(
    _vcpu: c_uint,
    info: MemoryInfo,
    address: u64,
    site: *mut c_void,
) {
    // SAFETY: on the vCPU's thread; the answer ends with this call.
    let Some(running) = (unsafe { running() }) else { return };
    if !running.vcpu.write_hits::<LAST_SAFE>(address) {
        unusual(running, info, address, Direction::Write, site);
    }
}

/// For an instruction that does both: two accesses of it call this.
pub(crate) unsafe extern "C" fn on_load_or_store<const LAST_SAFE: u64>(
    vcpu: c_uint,
    info: MemoryInfo,
    address: u64,
    site: *mut c_void,
) {
    // SAFETY: `info` is of the access this callback is about, and all else is passed on as QEMU gave it.
    unsafe {
        if qemu_plugin_mem_is_store(info) {
            on_store::<LAST_SAFE>(vcpu, info, address, site);
        } else {
            on_load::<LAST_SAFE>(vcpu, info, address, site);
        }
    }
}

#[inline(never)]
fn unusual(running: &mut Running, info: MemoryInfo, address: u64, direction: Direction, site: *mut c_void) {
    if !running.vcpu.hits_first_level(address, direction) {
        access(running, info, address, direction, site);
    }
}

#[cold]
#[inline(never)]
fn access(running: &mut Running, info: MemoryInfo, address: u64, direction: Direction, site: *mut c_void) {
    // SAFETY: translation gave QEMU a leaked `AccessSite`.
    let site = unsafe { &*site.cast::<AccessSite>() };
    // SAFETY: `info` is of the access this callback is about.
    let bytes = || 1 << unsafe { qemu_plugin_mem_size_shift(info) };
    let Running { vcpu, seat, addresses, translations, .. } = running;
    match addresses {
        Addresses::Virtual => vcpu.access(address, direction, site, bytes, Some, seat.llc()),
        Addresses::Translated => {
            let translate = |address| translations.get(address, || physical(info, address));
            vcpu.access(address, direction, site, bytes, translate, seat.llc());
        }
    }
}

/// The physical address behind a virtual one that was just accessed; `None` for a device's.
fn physical(info: MemoryInfo, address: u64) -> Option<u64> {
    // SAFETY: within the callback of that access, as QEMU demands; what it answers is read at once.
    unsafe {
        let found = qemu_plugin_get_hwaddr(info, address);
        if found.is_null() || qemu_plugin_hwaddr_is_io(found) {
            return None;
        }
        Some(qemu_plugin_hwaddr_phys_addr(found))
    }
}

pub(crate) unsafe extern "C" fn on_special(_vcpu: c_uint, site: *mut c_void) {
    // SAFETY: translation gave QEMU a leaked `SpecialSite`.
    let site = unsafe { &*site.cast::<SpecialSite>() };
    // SAFETY: on the vCPU's thread; the answer ends with this call.
    let Some(running) = (unsafe { running() }) else {
        if site.special == Special::Mark(Mark::Begin) {
            // SAFETY: on the vCPU's thread.
            unsafe { begin() };
        }
        return;
    };
    match site.special {
        Special::Halt => halt(running),
        Special::AddressSpaceSwitch => {
            running.translations.clear();
            running.vcpu.switch_address_space(running.seat.llc());
        }
        Special::TranslationChange => running.translations.clear(),
        Special::Mark(mark) => running.vcpu.mark(mark, site.instruction),
    }
}
