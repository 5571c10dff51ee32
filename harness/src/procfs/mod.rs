//! What the kernel says of processes and threads under `/proc`, and of their cpusets.
//!
//! Owns reading these files under any root, and telling a thread that ended from one that may not be looked at. What a
//! process *is*, a guest or not, is [`crate::discovery`]'s business.
//!
//! Files are read by descriptor-relative paths into buffers on the stack: nothing is allocated on the way of
//! [`Proc::stat`], [`Proc::run_time`] and [`Proc::identity`], which a host asks for every thread in every quantum.
//! A process that ends while it is read is [`ProcError::Gone`], not a failure.

mod cgroup;
mod stat;
mod status;

#[cfg(test)]
mod tests;

use std::fmt;
use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use serde::{Deserialize, Serialize};

use crate::sysfs::CpuSet;

pub use stat::{Comm, RunTime, StatError, ThreadStat, parse_schedstat, parse_stat};
pub use status::{Capability, Status, parse_status};

/// Longer than any `stat` line: a name of 64 bytes and 52 numbers.
const STAT_BYTES: usize = 2048;
/// `Cpus_allowed` and `Mems_allowed` of the largest machines included.
const STATUS_BYTES: usize = 32 << 10;
/// Of a command line, as much as is read; guests' are a few KiB.
const COMMAND_LINE_BYTES: usize = 64 << 10;

/// A process, by its number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Pid(pub u32);

/// A thread, by its number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Tid(pub u32);

/// Which thread is meant, beyond the reuse of numbers: no other thread of this boot has the same four.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ThreadIdentity {
    /// The process it belongs to.
    pub pid: Pid,
    /// The thread.
    pub tid: Tid,
    /// When the process began, in clock ticks since boot.
    pub process_start_ticks: u64,
    /// When the thread began, in clock ticks since boot.
    pub thread_start_ticks: u64,
}

impl fmt::Display for ThreadIdentity {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "thread {} of process {}", self.tid.0, self.pid.0)
    }
}

/// Why a file under `/proc` was not read.
#[derive(Debug, thiserror::Error)]
pub enum ProcError {
    /// The process or thread has ended, or never was.
    #[error("{0} is gone: its process or thread has ended")]
    Gone(String),
    /// This process may not look.
    #[error("read {0}: permission denied; CAP_SYS_PTRACE lets it be read")]
    Denied(String),
    /// It is there and makes no sense.
    #[error("{file} is not what the kernel writes: {problem}")]
    Garbled {
        /// Which file.
        file: String,
        /// What is wrong with it.
        problem: String,
    },
    /// Anything else.
    #[error("read {file}: {source}")]
    Io {
        /// Which file.
        file: String,
        /// What the kernel said.
        source: io::Error,
    },
}

impl ProcError {
    fn of(errno: Errno, file: &str) -> Self {
        match errno {
            Errno::NOENT | Errno::SRCH | Errno::NOTDIR => Self::Gone(file.to_owned()),
            Errno::ACCESS | Errno::PERM => Self::Denied(file.to_owned()),
            other => Self::Io { file: file.to_owned(), source: other.into() },
        }
    }

    /// Whether the thread has simply ended.
    #[must_use]
    pub const fn is_gone(&self) -> bool {
        matches!(self, Self::Gone(_))
    }

    /// Whether more rights would help.
    #[must_use]
    pub const fn is_denied(&self) -> bool {
        matches!(self, Self::Denied(_))
    }
}

/// The processes of a machine, or of a copy of its `/proc`.
#[derive(Debug)]
pub struct Proc {
    root: PathBuf,
    folder: OwnedFd,
}

impl Proc {
    /// The processes of the machine whose root folder is `root`; `/` is this one.
    pub fn open(root: &Path) -> Result<Self, ProcError> {
        let path = root.join("proc");
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let folder = rustix::fs::open(&path, flags, Mode::empty())
            .map_err(|errno| ProcError::of(errno, &path.display().to_string()))?;
        Ok(Self { root: root.to_owned(), folder })
    }

    /// The root folder that this is below.
    #[must_use]
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// All processes, ascending.
    pub fn processes(&self) -> Result<Vec<Pid>, ProcError> {
        Ok(self.numbers(".")?.into_iter().map(Pid).collect())
    }

    /// The threads of a process, ascending.
    pub fn threads(&self, pid: Pid) -> Result<Vec<Tid>, ProcError> {
        Ok(self.numbers(&format!("{}/task", pid.0))?.into_iter().map(Tid).collect())
    }

    /// What a thread is called, does, and where it ran last. Allocates nothing unless it fails.
    pub fn stat(&self, pid: Pid, tid: Tid) -> Result<ThreadStat, ProcError> {
        self.stat_at(&ShortPath::new(format_args!("{}/task/{}/stat", pid.0, tid.0)))
    }

    /// The same of a whole process: its main thread's name, and its start.
    pub fn process_stat(&self, pid: Pid) -> Result<ThreadStat, ProcError> {
        self.stat_at(&ShortPath::new(format_args!("{}/stat", pid.0)))
    }

    fn stat_at(&self, path: &ShortPath) -> Result<ThreadStat, ProcError> {
        let mut buffer = [0; STAT_BYTES];
        let text = self.read(path.as_str(), &mut buffer)?;
        parse_stat(text).map_err(|error| self.garbled(path.as_str(), &error))
    }

    /// How long a thread has run and waited for a CPU. Allocates nothing unless it fails.
    pub fn run_time(&self, pid: Pid, tid: Tid) -> Result<RunTime, ProcError> {
        let path = ShortPath::new(format_args!("{}/task/{}/schedstat", pid.0, tid.0));
        let mut buffer = [0; 128];
        let text = self.read(path.as_str(), &mut buffer)?;
        parse_schedstat(text).map_err(|error| self.garbled(path.as_str(), &error))
    }

    /// Which thread has this number now. A thread that has ended and was not yet waited for is gone.
    pub fn identity(&self, pid: Pid, tid: Tid) -> Result<ThreadIdentity, ProcError> {
        let thread = self.stat(pid, tid)?;
        if thread.has_ended() {
            return Err(ProcError::Gone(format!("thread {} of process {}", tid.0, pid.0)));
        }
        let process_start_ticks = self.process_stat(pid)?.start_ticks;
        Ok(ThreadIdentity { pid, tid, process_start_ticks, thread_start_ticks: thread.start_ticks })
    }

    /// What `status` says of a thread.
    pub fn status(&self, pid: Pid, tid: Tid) -> Result<Status, ProcError> {
        let path = format!("{}/task/{}/status", pid.0, tid.0);
        let mut buffer = vec![0; STATUS_BYTES];
        let text = self.read(&path, &mut buffer)?;
        Ok(parse_status(text))
    }

    /// What `status` says of this very process.
    pub fn own_status(&self) -> Result<Status, ProcError> {
        let mut buffer = vec![0; STATUS_BYTES];
        Ok(parse_status(self.read("self/status", &mut buffer)?))
    }

    /// Which start of the machine this is; absent where the kernel does not say.
    #[must_use]
    pub fn boot_id(&self) -> Option<String> {
        let mut buffer = [0; 64];
        let text = self.read("sys/kernel/random/boot_id", &mut buffer).ok()?;
        let text = std::str::from_utf8(text).ok()?.trim();
        (!text.is_empty()).then(|| text.to_owned())
    }

    /// The arguments a process was started with. What is longer than 64 KiB is cut.
    pub fn command_line(&self, pid: Pid) -> Result<Vec<String>, ProcError> {
        let mut buffer = vec![0; COMMAND_LINE_BYTES];
        let bytes = self.read(&format!("{}/cmdline", pid.0), &mut buffer)?;
        let bytes = bytes.strip_suffix(&[0]).unwrap_or(bytes);
        if bytes.is_empty() {
            return Ok(Vec::new());
        }
        Ok(bytes.split(|byte| *byte == 0).map(|part| String::from_utf8_lossy(part).into_owned()).collect())
    }

    /// What the descriptors of a process are open on, as the kernel names it: `anon_inode:kvm-vm`. Shows each to
    /// `visit`; a descriptor that is closed meanwhile is passed over.
    pub fn descriptors(&self, pid: Pid, visit: &mut dyn FnMut(&[u8])) -> Result<(), ProcError> {
        let folder = format!("{}/fd", pid.0);
        let opened = self.open_folder(&folder)?;
        let mut target = [const { std::mem::MaybeUninit::uninit() }; 512];
        for number in self.numbers_in(&opened, &folder)? {
            let name = ShortPath::new(format_args!("{number}"));
            match rustix::fs::readlinkat_raw(&opened, name.as_str(), &mut target) {
                Ok((filled, _)) => visit(filled),
                Err(Errno::NOENT | Errno::SRCH) => {}
                Err(errno) => return Err(ProcError::of(errno, &self.shown(&format!("{folder}/{number}")))),
            }
        }
        Ok(())
    }

    /// The CPUs that a process's cgroup lets it use; absent where it is in no cpuset that can be read.
    #[must_use]
    pub fn cpuset(&self, pid: Pid) -> Option<CpuSet> {
        let mut buffer = vec![0; 16 << 10];
        let text = self.read(&format!("{}/cgroup", pid.0), &mut buffer).ok()?;
        cgroup::cpuset(&self.root, &String::from_utf8_lossy(text))
    }

    fn open_folder(&self, folder: &str) -> Result<OwnedFd, ProcError> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        rustix::fs::openat(&self.folder, folder, flags, Mode::empty())
            .map_err(|errno| ProcError::of(errno, &self.shown(folder)))
    }

    fn numbers(&self, folder: &str) -> Result<Vec<u32>, ProcError> {
        let opened = self.open_folder(folder)?;
        self.numbers_in(&opened, folder)
    }

    fn numbers_in(&self, opened: &OwnedFd, folder: &str) -> Result<Vec<u32>, ProcError> {
        let failed = |errno| ProcError::of(errno, &self.shown(folder));
        let mut found = Vec::new();
        for entry in rustix::fs::Dir::read_from(opened).map_err(failed)? {
            let entry = entry.map_err(failed)?;
            let name = entry.file_name().to_bytes();
            found.extend(std::str::from_utf8(name).ok().filter(|name| name.as_bytes()[0] != b'+').and_then(decimal));
        }
        found.sort_unstable();
        Ok(found)
    }

    /// Fills `buffer` from the beginning of a file; answers what was filled. Pipes and devices are refused.
    fn read<'b>(&self, file: &str, buffer: &'b mut [u8]) -> Result<&'b [u8], ProcError> {
        let failed = |errno| ProcError::of(errno, &self.shown(file));
        let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NOCTTY | OFlags::NONBLOCK;
        let opened = rustix::fs::openat(&self.folder, file, flags, Mode::empty()).map_err(failed)?;
        let mut filled = 0;
        while filled < buffer.len() {
            match rustix::io::read(&opened, &mut buffer[filled..]) {
                Ok(0) => break,
                Ok(read) => filled += read,
                Err(Errno::INTR) => {}
                Err(errno) => return Err(failed(errno)),
            }
        }
        Ok(&buffer[..filled])
    }

    fn garbled(&self, file: &str, problem: &dyn fmt::Display) -> ProcError {
        ProcError::Garbled { file: self.shown(file), problem: problem.to_string() }
    }

    fn shown(&self, file: &str) -> String {
        self.root.join("proc").join(file).display().to_string()
    }
}

fn decimal(text: &str) -> Option<u32> {
    text.parse().ok()
}

/// A path of numbers and short words, on the stack.
struct ShortPath {
    bytes: [u8; 64],
    length: usize,
}

impl ShortPath {
    fn new(path: fmt::Arguments<'_>) -> Self {
        let mut short = Self { bytes: [0; 64], length: 0 };
        fmt::Write::write_fmt(&mut short, path).expect("two numbers of ten digits and the words between are shorter");
        short
    }

    fn as_str(&self) -> &str {
        std::str::from_utf8(&self.bytes[..self.length]).expect("it was written as text")
    }
}

impl fmt::Write for ShortPath {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let end = self.length + text.len();
        self.bytes.get_mut(self.length..end).ok_or(fmt::Error)?.copy_from_slice(text.as_bytes());
        self.length = end;
        Ok(())
    }
}
