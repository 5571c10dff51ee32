//! Saved states of booted guests, so that every run starts from the same instruction.
//!
//! A guest is booted once, without the plugin, until its init says `ready`; then its memory and devices are written to a
//! file in the cache. The file's name is a digest of everything that decides its content: image, QEMU, machine arguments
//! and kernel command line, which carries the program. A file beside it says its size and digest; a state without one,
//! or with another size or digest, is made again and never used.
//!
//! Guests restored from one state are clones: they have the same random state, and so the same addresses and hashes.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::time::Duration;

use rustix::fs::{FlockOperation, flock};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::{Description, Program, Qemu, QemuError, RunFolder, SavedState, Start};
use crate::interrupt::Interrupt;

/// What init says once the guest is to be saved.
pub const READY: &str = "ready";
/// Booting takes about 8 s of CPU time; more than this means that it hangs.
const READY_WITHIN: Duration = Duration::from_secs(120);
/// Part of every digest: another number makes every state anew.
const FORMAT: u32 = 1;

/// The saved states of one cache.
#[derive(Debug)]
pub struct Snapshots {
    folder: PathBuf,
    /// States that this process has read and found whole, with their length: reading one again costs a second.
    verified: Mutex<BTreeMap<String, u64>>,
}

/// What stands beside a state.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Sidecar {
    format: u32,
    bytes: u64,
    sha256: String,
    qemu: String,
    image: String,
    arguments: Vec<String>,
}

impl Snapshots {
    /// The states in the folder `snapshots` of `cache`, which is made if need be.
    pub fn open(cache: &Path) -> Result<Self, QemuError> {
        let folder = cache.join("snapshots");
        fs::create_dir_all(&folder).map_err(QemuError::system(format!("make {}", folder.display())))?;
        Ok(Self { folder, verified: Mutex::new(BTreeMap::new()) })
    }

    /// The state of a guest that has booted `image` and is ready; made now if it is not there. Processes that want the
    /// same state wait for the first of them.
    pub fn ensure(
        &self,
        program: &Program,
        description: &Description,
        image: &str,
        run: &RunFolder,
        interrupt: &Interrupt,
    ) -> Result<SavedState, QemuError> {
        let key = key(program, description, image);
        let state = self.folder.join(format!("{key}.state"));
        let console = state.with_extension("log");
        let fail = |error| QemuError::system(format!("use saved state {}", state.display()))(error);
        let _lock = self.lock(&key, interrupt)?;
        if let Some(file) = self.whole(&key, &state).map_err(fail)? {
            return Ok(SavedState { file, console });
        }
        let sidecar = sidecar_of(&state);
        for stale in [&sidecar, &state] {
            remove(stale).map_err(fail)?;
        }
        let mut guest = Qemu::start(program, description, Start::default(), run)?;
        let line = guest.wait_line("boot", READY_WITHIN, interrupt)?;
        if line != READY {
            return Err(guest.failure("boot", format!("it says: {line}")));
        }
        guest.pause()?;
        guest.save(&state, interrupt)?;
        fs::copy(guest.console(), &console).map_err(fail)?;
        drop(guest);
        let (bytes, sha256) = digest(&state).map_err(fail)?;
        let (qemu, arguments) = (program.version().to_owned(), description.machine_arguments());
        let content = Sidecar { format: FORMAT, bytes, sha256, qemu, image: image.to_owned(), arguments };
        write_sidecar(&sidecar, &content).map_err(fail)?;
        self.remember(&key, bytes);
        self.remove_of_other_images(image);
        Ok(SavedState { file: File::open(&state).map_err(fail)?, console })
    }

    /// Removes states of other images that nobody is looking at, lest the cache grow with every image. A guest that is
    /// being restored has its file open and keeps it. What cannot be removed now is tried again next time.
    fn remove_of_other_images(&self, image: &str) {
        let Ok(entries) = fs::read_dir(&self.folder) else { return };
        for sidecar in entries.flatten().map(|entry| entry.path()) {
            if sidecar.extension().is_none_or(|extension| extension != "json") {
                continue;
            }
            let text = fs::read(&sidecar).unwrap_or_default();
            let other = serde_json::from_slice::<Sidecar>(&text).is_ok_and(|content| content.image != image);
            let lock = File::options().create(true).append(true).open(sidecar.with_extension("lock"));
            let free = |lock: &File| flock(lock, FlockOperation::NonBlockingLockExclusive).is_ok();
            if other && lock.as_ref().is_ok_and(free) {
                // The sidecar goes first: without it the rest is never used.
                for extension in ["json", "state", "log"] {
                    let _ = fs::remove_file(sidecar.with_extension(extension));
                }
            }
        }
    }

    /// The state, if it is there and as its sidecar says.
    fn whole(&self, key: &str, state: &Path) -> io::Result<Option<File>> {
        let Ok(text) = fs::read(sidecar_of(state)) else { return Ok(None) };
        let Ok(expected) = serde_json::from_slice::<Sidecar>(&text) else { return Ok(None) };
        let file = match File::open(state) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        if file.metadata()?.len() != expected.bytes || !state.with_extension("log").is_file() {
            return Ok(None);
        }
        if !self.remembers(key, expected.bytes) {
            if digest(state)? != (expected.bytes, expected.sha256) {
                return Ok(None);
            }
            self.remember(key, expected.bytes);
        }
        Ok(Some(file))
    }

    fn remembers(&self, key: &str, bytes: u64) -> bool {
        self.verified.lock().is_ok_and(|verified| verified.get(key) == Some(&bytes))
    }

    fn remember(&self, key: &str, bytes: u64) {
        if let Ok(mut verified) = self.verified.lock() {
            verified.insert(key.to_owned(), bytes);
        }
    }

    /// Held while a state is made, looked at, or waited for.
    fn lock(&self, key: &str, interrupt: &Interrupt) -> Result<File, QemuError> {
        let path = self.folder.join(format!("{key}.lock"));
        let fail = |error| QemuError::system(format!("lock {}", path.display()))(error);
        let file = File::options().create(true).append(true).open(&path).map_err(fail)?;
        loop {
            match flock(&file, FlockOperation::NonBlockingLockExclusive) {
                Ok(()) => return Ok(file),
                Err(rustix::io::Errno::WOULDBLOCK | rustix::io::Errno::INTR) => {}
                Err(error) => return Err(fail(error.into())),
            }
            interrupt.check()?;
            std::thread::sleep(Duration::from_millis(50));
        }
    }
}

fn sidecar_of(state: &Path) -> PathBuf {
    state.with_extension("json")
}

/// The name of a state: a digest of what decides its content.
fn key(program: &Program, description: &Description, image: &str) -> String {
    let mut hasher = Sha256::new();
    let format = FORMAT.to_string();
    let arguments = description.machine_arguments();
    let parts = [format.as_str(), program.version(), image].into_iter().chain(arguments.iter().map(String::as_str));
    for part in parts {
        // With its length before it, no part can pass for two.
        hasher.update((part.len() as u64).to_le_bytes());
        hasher.update(part.as_bytes());
    }
    hexadecimal(&hasher.finalize())[..32].to_owned()
}

fn digest(file: &Path) -> io::Result<(u64, String)> {
    let mut hasher = Sha256::new();
    let mut reader = io::BufReader::with_capacity(1 << 20, File::open(file)?);
    let mut bytes = 0;
    loop {
        let chunk = io::BufRead::fill_buf(&mut reader)?;
        let length = chunk.len();
        if length == 0 {
            return Ok((bytes, hexadecimal(&hasher.finalize())));
        }
        hasher.update(chunk);
        bytes += length as u64;
        io::BufRead::consume(&mut reader, length);
    }
}

fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Written under another name first: a sidecar that is there is whole.
fn write_sidecar(path: &Path, content: &Sidecar) -> io::Result<()> {
    let unnamed = path.with_extension("json.part");
    fs::write(&unnamed, serde_json::to_vec_pretty(content)?)?;
    File::open(&unnamed)?.sync_all()?;
    fs::rename(unnamed, path)
}

fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cache_with(state: &[u8], claimed: &[u8]) -> (tempfile::TempDir, Snapshots, PathBuf) {
        let folder = tempfile::tempdir().expect("a folder");
        let snapshots = Snapshots::open(folder.path()).expect("a cache");
        let path = snapshots.folder.join("abc.state");
        let original = snapshots.folder.join("original");
        fs::write(&original, claimed).expect("written");
        let (bytes, sha256) = digest(&original).expect("read");
        let (qemu, image) = ("7.2".to_owned(), "image".to_owned());
        let content = Sidecar { format: FORMAT, bytes, sha256, qemu, image, arguments: Vec::new() };
        write_sidecar(&sidecar_of(&path), &content).expect("written");
        fs::write(&path, state).expect("written");
        fs::write(path.with_extension("log"), "").expect("written");
        (folder, snapshots, path)
    }

    #[test]
    fn a_whole_state_is_used() {
        let (_folder, snapshots, path) = cache_with(b"state", b"state");
        assert!(snapshots.whole("abc", &path).expect("readable").is_some());
    }

    #[test]
    fn a_truncated_or_damaged_state_is_never_used() {
        for damaged in [&b"stat"[..], b"stale", b""] {
            let (_folder, snapshots, path) = cache_with(damaged, b"state");
            assert!(snapshots.whole("abc", &path).expect("readable").is_none(), "{damaged:?}");
        }
    }

    #[test]
    fn a_state_without_a_sidecar_is_never_used() {
        let (_folder, snapshots, path) = cache_with(b"state", b"state");
        fs::write(sidecar_of(&path), b"{\"format\":").expect("half a sidecar");
        assert!(snapshots.whole("abc", &path).expect("readable").is_none());
        fs::remove_file(sidecar_of(&path)).expect("removed");
        assert!(snapshots.whole("abc", &path).expect("readable").is_none());
    }

    #[test]
    fn states_of_other_images_are_removed_unless_somebody_uses_them() {
        let (_folder, snapshots, path) = cache_with(b"state", b"state");
        snapshots.remove_of_other_images("image");
        assert!(path.exists(), "it is this image's");
        let held = snapshots.lock("abc", &Interrupt::default()).expect("nobody else");
        snapshots.remove_of_other_images("another image");
        assert!(path.exists(), "it is being used");
        drop(held);
        snapshots.remove_of_other_images("another image");
        assert!(!path.exists() && !sidecar_of(&path).exists());
    }

    #[test]
    fn waiting_for_somebody_elses_state_can_be_interrupted() {
        let (_folder, snapshots, _path) = cache_with(b"state", b"state");
        let interrupt = Interrupt::default();
        let _held = snapshots.lock("abc", &interrupt).expect("nobody else");
        interrupt.request();
        let error = snapshots.lock("abc", &interrupt).expect_err("it is held");
        assert!(matches!(error, QemuError::Interrupted(_)), "{error}");
    }
}
