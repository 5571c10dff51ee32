//! What QEMU calls when it loads the plugin, translates a block, and ends.

// SPDX-License-Identifier: GPL-2.0-or-later

#![expect(unsafe_code, reason = "called by QEMU and calling it")]

use std::ffi::{CStr, c_char, c_int, c_uint, c_void};
use std::fs::File;
use std::os::fd::FromRawFd;
use std::path::{Path, PathBuf};

use machine::seat::Seat;
use machine::segment::{Segment, Slot};
use machine::spec::{Cpu, Machine};
use machine::vcpu::{AccessSite, Block};

use crate::arguments::{Arguments, Calls, parse};
use crate::callbacks::{
    Addresses, PageTableRegister, Waiting, begin, on_block, on_load, on_load_or_store, on_special, on_store, refuse,
    running, set_page_table_register, stop, wait_for_begin,
};
use crate::qemu::{
    Dialect, Id, Info, LOADS_AND_STORES, LONGEST_INSTRUCTION, NO_REGISTERS, OnAccess, Registers, TranslationBlock,
    qemu_plugin_register_atexit_cb, qemu_plugin_register_vcpu_init_cb, qemu_plugin_register_vcpu_insn_exec_cb,
    qemu_plugin_register_vcpu_mem_cb, qemu_plugin_register_vcpu_tb_exec_cb, qemu_plugin_register_vcpu_tb_trans_cb,
    qemu_plugin_tb_get_insn, qemu_plugin_tb_n_insns, qemu_plugin_tb_vaddr,
};
use crate::report;
use crate::translation::{Blocks, MemorySite, SpecialSite, Translated};

static mut DIALECT: Option<Dialect> = None;
static mut CALLS: Calls = Calls::Accesses;
static mut BLOCKS: Option<Blocks> = None;
static mut REPORT: Option<(PathBuf, u32)> = None;

/// Loads the plugin; the answer is for QEMU, which gives up unless it is 0.
///
/// # Safety
/// In QEMU's call of `qemu_plugin_install`, with what it passes, and a dialect that is this QEMU's.
pub unsafe fn install(dialect: Dialect, id: Id, info: *const Info, argc: c_int, argv: *mut *mut c_char) -> c_int {
    // SAFETY: QEMU passes `argc` strings and its information, alive during the call.
    let (words, info) = unsafe {
        let words: Vec<_> = (0..argc as usize).map(|at| CStr::from_ptr(*argv.add(at)).to_string_lossy()).collect();
        (words, &*info)
    };
    let words: Vec<&str> = words.iter().map(AsRef::as_ref).collect();
    let vcpus = info.system_emulation.then_some(info.most_vcpus);
    match parse(words).and_then(|arguments| prepare(&arguments, vcpus).map(|()| arguments)) {
        Ok(arguments) => {
            // SAFETY: nothing is translated yet, and the functions have the types that QEMU expects.
            unsafe {
                DIALECT = Some(dialect);
                if let Arguments::Uncounted { calls } = arguments {
                    CALLS = calls;
                }
                qemu_plugin_register_vcpu_init_cb(id, on_vcpu);
                qemu_plugin_register_vcpu_tb_trans_cb(id, on_translation);
                qemu_plugin_register_atexit_cb(id, on_exit, std::ptr::null_mut());
            }
            0
        }
        Err(problem) => {
            eprintln!("phasecast plugin: failed to load: {problem}");
            1
        }
    }
}

fn prepare(arguments: &Arguments, vcpus: Option<c_int>) -> Result<(), String> {
    match arguments {
        Arguments::Shared { segment_fd, slot, stream_fd } => {
            // SAFETY: the harness passed this descriptor for us alone.
            let file = unsafe { File::from_raw_fd(*segment_fd) };
            let seat = Seat::attach(file, *slot).map_err(|error| error.to_string())?;
            if let Some(several @ 2..) = vcpus {
                let problem = format!(
                    "the guest may have {several} vCPUs and the emulated machine runs guests with one; start QEMU with -smp 1"
                );
                seat.fail(&problem);
                return Err(problem);
            }
            // SAFETY: as for the segment.
            let stream = stream_fd.map(|fd| unsafe { File::from_raw_fd(fd) });
            // SAFETY: no vCPU runs yet.
            unsafe { wait_for_begin(Waiting { seat, addresses: Addresses::Translated, stream }) };
        }
        Arguments::Uncounted { .. } => {}
        Arguments::Alone { machine, report } => {
            // SAFETY: no vCPU runs yet.
            unsafe {
                REPORT = Some((report.clone(), std::process::id()));
                wait_for_begin(Waiting { seat: alone(machine)?, addresses: Addresses::Virtual, stream: None });
                begin();
            }
        }
    }
    Ok(())
}

/// A seat in a machine of one's own, all the time in the world granted.
fn alone(path: &Path) -> Result<Seat, String> {
    let text = std::fs::read_to_string(path).map_err(|error| format!("read {}: {error}", path.display()))?;
    let machine = Machine::from_toml(&text).map_err(|error| format!("{}: {error}", path.display()))?;
    let segment = Segment::create(&machine, 1, 0).map_err(|error| error.to_string())?;
    let seat = Seat::beside(&segment, Slot(0)).map_err(|error| error.to_string())?;
    segment.place(Slot(0), Cpu(0)).map_err(|error| error.to_string())?;
    seat.arrive();
    segment.grant(machine.epoch_cycles() << 30).map_err(|error| error.to_string())?;
    Ok(seat)
}

unsafe extern "C" fn on_vcpu(_id: Id, vcpu: c_uint) {
    // SAFETY: set when the plugin was installed; this is the vCPU's thread, or it waits for it.
    if let Some(Registers { find, read }) = unsafe { DIALECT }.and_then(|dialect| dialect.registers) {
        // SAFETY: in the callback of a vCPU's initialisation.
        let register = unsafe { find(c"cr3") };
        if !register.is_null() {
            // SAFETY: as above.
            unsafe { set_page_table_register(PageTableRegister { read, register }) };
        }
    }
    if vcpu > 0 {
        // SAFETY: a thread is started by the one that runs, which waits for it meanwhile.
        unsafe { refuse("a second vCPU or thread was started, and only one can be followed; run it with one thread") };
    }
}

unsafe extern "C" fn on_translation(_id: Id, tb: *mut TranslationBlock) {
    let blocks = &raw mut BLOCKS;
    // SAFETY: QEMU translates under its own lock and keeps `tb` and its instructions during the call; the dialect was
    // set before.
    unsafe {
        let Some(Dialect { bytes_of, .. }) = DIALECT else { return };
        let count = qemu_plugin_tb_n_insns(tb);
        let mut bytes = Vec::with_capacity(count);
        for at in 0..count {
            let mut instruction = [0; LONGEST_INSTRUCTION];
            let size = bytes_of(qemu_plugin_tb_get_insn(tb, at), &mut instruction);
            bytes.push((instruction, size));
        }
        let bytes: Vec<&[u8]> = bytes.iter().map(|(bytes, size)| &bytes[..*size]).collect();
        let blocks = (*blocks).get_or_insert_with(Blocks::default);
        instrument(tb, blocks.get(qemu_plugin_tb_vaddr(tb), &bytes));
    }
}

/// The callback for an instruction: what can be told before it runs, its direction and width, need not be asked at
/// every access.
fn callback_for(site: &MemorySite) -> OnAccess {
    const fn by_direction<const LAST_SAFE: u64>(site: &MemorySite) -> OnAccess {
        match (site.loads, site.stores) {
            (true, false) => on_load::<LAST_SAFE>,
            (false, true) => on_store::<LAST_SAFE>,
            _ => on_load_or_store::<LAST_SAFE>,
        }
    }
    match site.bytes {
        1 => by_direction::<63>(site),
        2 => by_direction::<62>(site),
        4 => by_direction::<60>(site),
        _ => by_direction::<56>(site),
    }
}

/// # Safety
/// While QEMU translates `tb`.
unsafe fn instrument(tb: *mut TranslationBlock, translated: &'static Translated) {
    let pointer_to_block = std::ptr::from_ref::<Block>(&translated.block).cast_mut().cast::<c_void>();
    // SAFETY: as promised to us; all pointers are to leaked memory, and the callbacks only read it.
    unsafe {
        if CALLS == Calls::Translation {
            return;
        }
        qemu_plugin_register_vcpu_tb_exec_cb(tb, on_block, NO_REGISTERS, pointer_to_block);
        if CALLS == Calls::Blocks {
            return;
        }
        for site in &translated.sites {
            let insn = qemu_plugin_tb_get_insn(tb, site.access.instruction as usize);
            let data = std::ptr::from_ref::<AccessSite>(&site.access).cast_mut().cast::<c_void>();
            let callback = callback_for(site);
            qemu_plugin_register_vcpu_mem_cb(insn, callback, NO_REGISTERS, LOADS_AND_STORES, data);
        }
        for site in &translated.specials {
            let insn = qemu_plugin_tb_get_insn(tb, site.instruction as usize);
            let data = std::ptr::from_ref::<SpecialSite>(site).cast_mut().cast::<c_void>();
            qemu_plugin_register_vcpu_insn_exec_cb(insn, on_special, NO_REGISTERS, data);
        }
    }
}

unsafe extern "C" fn on_exit(_id: Id, _data: *mut c_void) {
    let report = &raw mut REPORT;
    // SAFETY: the vCPU has ended.
    let (report, running) = unsafe { ((*report).take(), running()) };
    let Some((path, process)) = report else { return };
    // A child that the program forked inherits all this, and is not what was asked about.
    if process != std::process::id() {
        return;
    }
    let Some(running) = running else {
        eprintln!("phasecast plugin: failed to write {}: nothing was counted", path.display());
        return;
    };
    if running.vcpu.finish_block() {
        running.vcpu.event();
    }
    if let Err(error) = std::fs::write(&path, report::json(&running.vcpu)) {
        eprintln!("phasecast plugin: failed to write {}: {error}", path.display());
    }
    // SAFETY: as above; `running` is no longer used.
    unsafe { stop() };
}
