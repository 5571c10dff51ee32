//! The ledger on disk: JSON lines, mode 0600, one writer.
//!
//! ```text
//! {"ledger":{"version":2,"boot_id":"c7bfbdd5-..."}}
//! {"bound":{"thread":{"pid":7,"tid":9,...},"comm":"CPU 0/KVM","original":"0-7","is_whole":true,"mask":"0-3"}}
//! {"released":{"thread":{"pid":7,"tid":9,...}}}
//! ```
//!
//! A thread has one `bound` line for each distinct mask we gave it, so the file grows with threads and domains, not with
//! moves; ended threads are swept out by writing the file anew beside the old one and renaming it.
//!
//! Whatever cannot be read, a last line cut short by a crash first of all, is passed over and counted. Start times mean
//! something only within one boot: a ledger of another one owes nobody anything.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustix::fs::FlockOperation;
use serde::{Deserialize, Serialize};

use crate::libvirt::LibvirtVcpu;
use crate::procfs::ThreadIdentity;
use crate::sysfs::CpuSet;

/// Where the ledger is unless somebody says otherwise. `/run` is emptied at boot.
pub const DEFAULT_LEDGER: &str = "/run/phasecast/custody.jsonl";

/// The format that this version writes and reads.
const VERSION: u32 = 2;

/// Version 1 knew no libvirt.
const OLDEST: u32 = 1;

/// Lines beyond what is owed, before the file is written anew.
const MOST_IDLE_LINES: usize = 256;

/// No ledger is longer; a longer file is none.
const MOST_BYTES: u64 = 64 << 20;

/// Why the ledger cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum LedgerError {
    /// Another process binds threads by it.
    #[error("{} is held by a running phasecast{}; stop that first", .ledger.display(), process(*.holder))]
    Held {
        /// The ledger.
        ledger: PathBuf,
        /// Its process, where it says.
        holder: Option<u32>,
    },
    /// It belongs to another user, who could have written anything.
    #[error("{} belongs to user {owner}, who is not this process's; remove it, or run as that user", .ledger.display())]
    Foreign {
        /// The ledger.
        ledger: PathBuf,
        /// Whose it is.
        owner: u32,
    },
    /// A version that this one cannot read.
    #[error("{} has version {found}; this phasecast reads {OLDEST} to {VERSION}: restore with the one that wrote it", .ledger.display())]
    Version {
        /// The ledger.
        ledger: PathBuf,
        /// What it says.
        found: u32,
    },
    /// The file cannot be opened, read or written.
    #[error("{action} {}: {source}", .file.display())]
    Io {
        /// What was tried.
        action: &'static str,
        /// On which file.
        file: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// An earlier write failed and could not be taken back.
    #[error("{} may end in half a line since a write failed; restart phasecast", .0.display())]
    Torn(PathBuf),
    /// There is no `/proc`.
    #[error("{0}")]
    Proc(String),
}

fn process(pid: Option<u32>) -> String {
    pid.map_or(String::new(), |pid| format!(" (process {pid})"))
}

/// One line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Line {
    /// The first one.
    Ledger {
        /// Of the format.
        version: u32,
        /// Which start of the machine.
        boot_id: Option<String>,
    },
    /// A thread will be bound.
    Bound {
        /// Which one.
        thread: ThreadIdentity,
        /// What it is called.
        comm: String,
        /// The mask it had before we first bound it.
        original: CpuSet,
        /// Whether that was all of its cpuset.
        is_whole: bool,
        /// The mask it will have.
        mask: CpuSet,
        /// What libvirt calls it, where libvirt is asked to bind it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        through: Option<LibvirtVcpu>,
    },
    /// A thread is owed nothing any more.
    Released {
        /// Which one.
        thread: ThreadIdentity,
    },
}

/// What is owed to one thread.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// What it is called.
    pub comm: String,
    /// The mask it had.
    pub original: CpuSet,
    /// Whether that was all of its cpuset.
    pub is_whole: bool,
    /// The masks we gave it, the last one last.
    pub masks: Vec<CpuSet>,
    /// What libvirt calls it, where libvirt is asked to bind it.
    pub through: Option<LibvirtVcpu>,
    /// Whether libvirt was asked for the last of the masks and did not say that it is set: it may set it yet.
    pub is_awaited: bool,
}

impl Entry {
    /// The mask we gave it last.
    #[must_use]
    pub fn last(&self) -> Option<&CpuSet> {
        self.masks.last()
    }

    /// Whether a thread with this mask is still where we put it: the mask is one that we set, whole or as far as the
    /// cpuset has it. So is the one it had, while libvirt was asked for
    /// another and has not set it.
    #[must_use]
    pub fn is_ours(&self, mask: &CpuSet, cpuset: Option<&CpuSet>) -> bool {
        (self.is_awaited && *mask == self.original)
            || self.masks.iter().any(|ours| {
                let cut = cpuset.map(|cpuset| ours.intersection(cpuset)).filter(|cut| !cut.is_empty());
                ours == mask || cut.is_some_and(|cut| cut == *mask)
            })
    }

    pub(super) fn set_last(&mut self, mask: CpuSet) {
        self.masks.retain(|known| *known != mask);
        self.masks.push(mask);
    }

    pub(super) fn line(&self, thread: ThreadIdentity, mask: CpuSet) -> Line {
        Line::Bound {
            thread,
            comm: self.comm.clone(),
            original: self.original.clone(),
            is_whole: self.is_whole,
            mask,
            through: self.through.clone(),
        }
    }
}

/// What a ledger says.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Contents {
    /// Of which start of the machine, where it says.
    pub boot_id: Option<String>,
    /// What is owed.
    pub entries: BTreeMap<ThreadIdentity, Entry>,
    /// Lines that could not be read.
    pub damaged_lines: usize,
}

/// Reads the lines of a ledger. Only a version that is not ours is an error: `Err` has its number.
pub fn parse(text: &mut dyn BufRead) -> Result<Contents, ParseError> {
    let mut contents = Contents::default();
    let mut line = Vec::new();
    loop {
        line.clear();
        if text.take(MOST_BYTES).read_until(b'\n', &mut line).map_err(ParseError::Io)? == 0 {
            return Ok(contents);
        }
        match serde_json::from_slice(&line) {
            Ok(Line::Ledger { version, .. }) if !(OLDEST..=VERSION).contains(&version) => {
                return Err(ParseError::Version(version));
            }
            Ok(Line::Ledger { boot_id, .. }) => contents.boot_id = boot_id,
            Ok(Line::Released { thread }) => drop(contents.entries.remove(&thread)),
            Ok(Line::Bound { thread, comm, original, is_whole, mask, through }) => {
                let new = Entry { comm, original, is_whole, masks: Vec::new(), through, is_awaited: false };
                contents.entries.entry(thread).or_insert(new).set_last(mask);
            }
            Err(_) => contents.damaged_lines += 1,
        }
    }
}

/// Why [`parse`] gives up.
#[derive(Debug, thiserror::Error)]
pub enum ParseError {
    /// Another version.
    #[error("version {0}")]
    Version(u32),
    /// The file cannot be read.
    #[error(transparent)]
    Io(io::Error),
}

/// Reads the ledger at `path`; nothing is owed where there is none.
pub(super) fn read(path: &Path) -> Result<Contents, LedgerError> {
    let failed = |action| move |source| LedgerError::Io { action, file: path.to_owned(), source };
    let file = match OpenOptions::new().read(true).custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK).open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Contents::default()),
        Err(error) => return Err(failed("open")(error)),
    };
    let about = file.metadata().map_err(failed("look at"))?;
    let own = rustix::process::geteuid().as_raw();
    if about.uid() != own && about.uid() != 0 {
        return Err(LedgerError::Foreign { ledger: path.to_owned(), owner: about.uid() });
    }
    if !about.is_file() || about.len() > MOST_BYTES {
        return Err(failed("read")(io::Error::other("this is no ledger; give another path, or remove it")));
    }
    parse(&mut BufReader::new(file)).map_err(|error| match error {
        ParseError::Version(found) => LedgerError::Version { ledger: path.to_owned(), found },
        ParseError::Io(source) => failed("read")(source),
    })
}

/// Makes the folder of a ledger where there is none; only its owner may look into a new one.
pub(super) fn create_folder(path: &Path) -> Result<(), LedgerError> {
    use std::os::unix::fs::DirBuilderExt;
    let folder = folder_of(path);
    let made = std::fs::DirBuilder::new().recursive(true).mode(0o700).create(folder);
    made.map_err(|source| LedgerError::Io { action: "create", file: folder.to_owned(), source })
}

fn folder_of(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// The right to bind threads by a ledger, while it lives. The lock is on a file beside the ledger, `NAME.lock`, since the
/// ledger itself is replaced now and then; the file stays, since removing it would let two processes hold it.
#[derive(Debug)]
pub(super) struct Lock {
    _file: File,
}

impl Lock {
    /// Takes the lock, and waits at most `patience` for it.
    pub(super) fn take(ledger: &Path, patience: Duration) -> Result<Self, LedgerError> {
        let path = beside(ledger, "lock");
        let failed = |action| {
            let file = path.clone();
            move |source| LedgerError::Io { action, file, source }
        };
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false).mode(0o600).custom_flags(libc::O_NOFOLLOW);
        let mut file = options.open(&path).map_err(failed("open"))?;
        let began = Instant::now();
        while let Err(errno) = rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive) {
            if errno != rustix::io::Errno::WOULDBLOCK {
                return Err(failed("lock")(errno.into()));
            }
            if began.elapsed() >= patience {
                let mut text = String::new();
                let holder = (&mut file).take(16).read_to_string(&mut text).ok().and_then(|_| text.trim().parse().ok());
                return Err(LedgerError::Held { ledger: ledger.to_owned(), holder });
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        // For people alone; the lock holds without.
        let _ = file.set_len(0).and_then(|()| writeln!(file, "{}", std::process::id()));
        Ok(Self { _file: file })
    }
}

fn beside(ledger: &Path, ending: &str) -> PathBuf {
    let mut name = ledger.as_os_str().to_owned();
    name.push(".");
    name.push(ending);
    PathBuf::from(name)
}

/// A ledger that is being written.
#[derive(Debug)]
pub(super) struct Ledger {
    path: PathBuf,
    boot_id: Option<String>,
    file: File,
    length_bytes: u64,
    lines: usize,
    is_torn: bool,
}

impl Ledger {
    /// Writes a ledger that says what is owed so far, in place of the one at `path`.
    pub(super) fn create(
        path: &Path,
        boot_id: Option<String>,
        owed: &BTreeMap<ThreadIdentity, Entry>,
    ) -> Result<Self, LedgerError> {
        let mut lines = vec![Line::Ledger { version: VERSION, boot_id: boot_id.clone() }];
        for (thread, entry) in owed {
            lines.extend(entry.masks.iter().map(|mask| entry.line(*thread, mask.clone())));
        }
        let text = written(&lines);
        let new = beside(path, "new");
        let failed = |action| {
            let file = new.clone();
            move |source| LedgerError::Io { action, file, source }
        };
        let mut options = OpenOptions::new();
        options.write(true).create(true).truncate(true).mode(0o600).custom_flags(libc::O_NOFOLLOW);
        let mut file = options.open(&new).map_err(failed("create"))?;
        file.write_all(&text).and_then(|()| file.sync_all()).map_err(failed("write"))?;
        std::fs::rename(&new, path).map_err(failed("rename"))?;
        // The name is as much part of the promise as the bytes.
        File::open(folder_of(path)).and_then(|folder| folder.sync_all()).map_err(failed("sync the folder of"))?;
        let length_bytes = text.len() as u64;
        Ok(Self { path: path.to_owned(), boot_id, file, length_bytes, lines: lines.len(), is_torn: false })
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Adds lines; they are on disk when this returns. A failure leaves the ledger as it was.
    pub(super) fn append(&mut self, lines: &[Line]) -> Result<(), LedgerError> {
        if lines.is_empty() {
            return Ok(());
        }
        self.write(lines)?;
        self.file.sync_data().map_err(|source| self.failed("sync", source))
    }

    fn write(&mut self, lines: &[Line]) -> Result<(), LedgerError> {
        if self.is_torn {
            return Err(LedgerError::Torn(self.path.clone()));
        }
        let text = written(lines);
        if let Err(source) = self.file.write_all(&text) {
            use std::io::Seek;
            let whole = self.file.set_len(self.length_bytes);
            self.is_torn = whole.and_then(|()| self.file.seek(io::SeekFrom::Start(self.length_bytes))).is_err();
            return Err(self.failed("write", source));
        }
        self.length_bytes += text.len() as u64;
        self.lines += lines.len();
        Ok(())
    }

    fn failed(&self, action: &'static str, source: io::Error) -> LedgerError {
        LedgerError::Io { action, file: self.path.clone(), source }
    }

    /// Says that a thread is owed nothing. Where that cannot be written, the line before it stays true enough: what is
    /// given back twice is given back once.
    pub(super) fn note_release(&mut self, thread: ThreadIdentity, owed: &BTreeMap<ThreadIdentity, Entry>) {
        let _ = self.write(&[Line::Released { thread }]);
        let needed: usize = 1 + owed.values().map(|entry| entry.masks.len()).sum::<usize>();
        if self.lines > needed + MOST_IDLE_LINES
            && let Ok(new) = Self::create(&self.path, self.boot_id.clone(), owed)
        {
            *self = new;
        }
    }

    /// Removes the file, for good.
    pub(super) fn remove(&mut self) {
        self.is_torn = true;
        let _ = std::fs::remove_file(&self.path);
    }

    #[cfg(test)]
    pub(super) fn redirect_to(&mut self, file: &Path) {
        self.file = OpenOptions::new().write(true).open(file).expect("a device");
    }
}

fn written(lines: &[Line]) -> Vec<u8> {
    let mut text = Vec::new();
    for line in lines {
        serde_json::to_writer(&mut text, line).expect("plain data into memory");
        text.push(b'\n');
    }
    text
}
