//! System calls of process 1: mounting, modules, the change of root. Its only unsafe code.
#![expect(unsafe_code, reason = "process 1 makes system calls the standard library does not have")]

use std::ffi::CString;
use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;
use std::time::Duration;

use crate::Failure;

/// Where the file system of programs is mounted in the initramfs, before it becomes the root.
const PROGRAMS: &str = "/programs";

/// The names of the modules, one a line, in the order in which they have to be loaded.
const MODULE_LIST: &str = "/modules/order";

/// How often and how long something that a driver brings is waited for: 10 s of the guest's time in all.
const WAIT_STEP: Duration = Duration::from_millis(2);
const WAIT_STEPS: u32 = 5000;

/// Mounts `/proc`, `/sys` and `/dev` of the initramfs.
pub(crate) fn mount_kernel_file_systems() -> Result<(), Failure> {
    mount("proc", "/proc", "proc", 0)?;
    mount("sysfs", "/sys", "sysfs", 0)?;
    mount("devtmpfs", "/dev", "devtmpfs", 0)
}

/// Loads the modules of the initramfs in their order.
pub(crate) fn load_modules() -> Result<(), Failure> {
    let list = std::fs::read_to_string(MODULE_LIST);
    let list = list.map_err(|error| Failure::new(format!("read {MODULE_LIST}"), error))?;
    for name in list.lines() {
        let path = format!("/modules/{name}");
        let file = File::open(&path).map_err(|error| Failure::new(format!("open {path}"), error))?;
        // SAFETY: the descriptor is open, and the parameters are an empty C string.
        let result = unsafe { libc::syscall(libc::SYS_finit_module, file.as_raw_fd(), c"".as_ptr(), 0) };
        answer(result).map_err(|error| Failure::new(format!("load the module {name}"), error))?;
    }
    Ok(())
}

/// Mounts the disk of programs read-only and makes it the root, with writable `/tmp` and kernel file systems, and the
/// disk of a suite at `suite`.
pub(crate) fn enter_programs(suite: Option<&str>) -> Result<(), Failure> {
    mount_disk("/dev/vda", PROGRAMS)?;
    if let Some(folder) = suite {
        mount_disk("/dev/vdb", &format!("{PROGRAMS}{folder}"))?;
    }
    mount("proc", &format!("{PROGRAMS}/proc"), "proc", 0)?;
    mount("devtmpfs", &format!("{PROGRAMS}/dev"), "devtmpfs", 0)?;
    mount("tmpfs", &format!("{PROGRAMS}/tmp"), "tmpfs", 0)?;
    std::os::unix::fs::chroot(PROGRAMS).map_err(|error| Failure::new(format!("enter {PROGRAMS}"), error))?;
    std::env::set_current_dir("/").map_err(|error| Failure::new("enter /", error))
}

fn mount_disk(disk: &str, target: &str) -> Result<(), Failure> {
    wait_for(&format!("find the disk {disk}"), || std::path::Path::new(disk).exists().then_some(()))?;
    mount(disk, target, "ext4", libc::MS_RDONLY | libc::MS_NOATIME)
}

/// The last step before `ready`: what is dirty is written, and programs start at the same addresses each time.
pub(crate) fn settle() -> Result<(), Failure> {
    // SAFETY: both take plain numbers or nothing.
    let result = unsafe {
        libc::sync();
        libc::personality(libc::ADDR_NO_RANDOMIZE as libc::c_ulong)
    };
    answer(i64::from(result)).map_err(|error| Failure::new("switch off address randomisation", error))
}

/// Collects children that the program left behind.
pub(crate) fn reap() {
    // SAFETY: a null status pointer is allowed.
    while unsafe { libc::waitpid(-1, std::ptr::null_mut(), libc::WNOHANG) } > 0 {}
}

/// Asks until there is an answer, for 10 s.
pub(crate) fn wait_for<T>(action: &str, mut ask: impl FnMut() -> Option<T>) -> Result<T, Failure> {
    for _ in 0..WAIT_STEPS {
        if let Some(found) = ask() {
            return Ok(found);
        }
        std::thread::sleep(WAIT_STEP);
    }
    Err(Failure::new(action, "it did not appear within 10 s; the harness has to attach it"))
}

fn mount(source: &str, target: &str, kind: &str, flags: libc::c_ulong) -> Result<(), Failure> {
    let failed = |reason: &dyn std::fmt::Display| Failure::new(format!("mount {kind} on {target}"), reason);
    let text = |text: &str| CString::new(text).map_err(|error| failed(&error));
    let (source, path, file_system) = (text(source)?, text(target)?, text(kind)?);
    // SAFETY: three C strings that outlive the call, and no data.
    let result = unsafe { libc::mount(source.as_ptr(), path.as_ptr(), file_system.as_ptr(), flags, std::ptr::null()) };
    answer(i64::from(result)).map_err(|error| failed(&error))
}

fn answer(result: i64) -> io::Result<()> {
    if result == -1 { Err(io::Error::last_os_error()) } else { Ok(()) }
}
