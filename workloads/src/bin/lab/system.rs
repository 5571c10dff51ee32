//! What the lab's init asks of the kernel: file systems, modules, the loopback interface, affinities and signals. The
//! scenario leaves every system call to this.

#![expect(unsafe_code, reason = "system calls that std does not offer")]

use std::ffi::CString;
use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;
use std::path::Path;

/// Mounts what the kernel offers, and places to write.
pub(crate) fn mount_all() -> io::Result<()> {
    for (kind, place) in [
        ("proc", "/proc"),
        ("sysfs", "/sys"),
        ("cgroup2", "/sys/fs/cgroup"),
        ("devtmpfs", "/dev"),
        ("tmpfs", "/run"),
        ("tmpfs", "/tmp"),
        ("tmpfs", "/dev/shm"),
    ] {
        std::fs::create_dir_all(place)?;
        let (kind, place) = (CString::new(kind)?, CString::new(place)?);
        // SAFETY: all pointers are to strings that end in zero and outlive the call; no data is passed.
        let done = unsafe { libc::mount(kind.as_ptr(), place.as_ptr(), kind.as_ptr(), 0, std::ptr::null()) };
        check(done.into())?;
    }
    Ok(())
}

/// Loads a module of the kernel.
pub(crate) fn load_module(path: &Path) -> io::Result<()> {
    let file = File::open(path)?;
    // SAFETY: the descriptor is open and the arguments are an empty string that ends in zero.
    check(unsafe { libc::syscall(libc::SYS_finit_module, file.as_raw_fd(), c"".as_ptr(), 0) })
}

/// Brings the loopback interface up, which a status page on loopback needs.
pub(crate) fn loopback_up() -> io::Result<()> {
    let socket = std::net::UdpSocket::bind("0.0.0.0:0")?;
    // SAFETY: ifreq is plain data for which zeroes are valid.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    for (place, letter) in request.ifr_name.iter_mut().zip(*b"lo") {
        *place = letter.cast_signed();
    }
    request.ifr_ifru.ifru_flags = libc::IFF_UP as libc::c_short;
    // SAFETY: the request is an ifreq that outlives the call.
    check(unsafe { libc::ioctl(socket.as_raw_fd(), libc::SIOCSIFFLAGS, &raw const request) }.into())
}

/// Lets bytes pass a terminal as they are: no line end becomes two.
pub(crate) fn make_raw(port: &File) -> io::Result<()> {
    // SAFETY: termios is plain data for which zeroes are valid, and is filled in by the call below.
    let mut settings: libc::termios = unsafe { std::mem::zeroed() };
    // SAFETY: the descriptor is open and the settings outlive both calls.
    unsafe {
        check(libc::tcgetattr(port.as_raw_fd(), &raw mut settings).into())?;
        libc::cfmakeraw(&raw mut settings);
        check(libc::tcsetattr(port.as_raw_fd(), libc::TCSANOW, &raw const settings).into())
    }
}

/// Binds a thread to CPUs below 64, one bit each.
pub(crate) fn bind(thread: i32, cpus: u64) -> io::Result<()> {
    // SAFETY: the mask is eight bytes and outlives the call.
    let done = unsafe { libc::syscall(libc::SYS_sched_setaffinity, thread, 8_usize, &raw const cpus) };
    check(done)
}

/// Sends a signal.
pub(crate) fn signal(process: u32, signal: i32) {
    // SAFETY: no memory is passed. A process that is gone is seen by whoever looks for it next.
    unsafe { libc::kill(process.cast_signed(), signal) };
}

/// Ends every process but this one and turns the machine off: guests that still run when KVM stops would complain at length.
pub(crate) fn power_off() {
    // SAFETY: no memory is passed.
    unsafe {
        libc::kill(-1, libc::SIGKILL);
        while libc::waitpid(-1, std::ptr::null_mut(), 0) > 0 {}
        libc::sync();
        libc::reboot(libc::RB_POWER_OFF);
    }
}

fn check(answer: i64) -> io::Result<()> {
    if answer < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}
