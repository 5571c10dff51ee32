//! The cache of recorded streams: each guest's references to the LLC, recorded once while it was alone, so that the
//! replayed host can play it in any company.
//!
//! ```text
//! CACHE/streams/KEY-INSTRUCTIONS/stream       the references, in the format of `machine::stream`
//! CACHE/streams/KEY-INSTRUCTIONS/about.json   what it is of, and when the guest completed runs of its program
//! CACHE/streams/KEY.lock                      held while one of that key is recorded
//! ```
//!
//! The key is a digest of all that the content depends on: image, QEMU, the guest's machine, its command line with the
//! program, and the private part of the emulated machine. A recording is written in a folder of another name and gets its own
//! when it is whole; both files are verified whenever it is opened. A longer recording serves shorter needs, and the one it
//! outgrows is removed. Playing streams is [`crate::host::replayed`]'s business.

mod about;
mod length;
mod recording;

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use machine::replay::ReplayError;
use machine::stream::{Stream, StreamError};

pub use about::{About, Key};
pub use length::Lengths;
pub use recording::{Recorder, Wanted};

use crate::host::HostError;
use crate::host::emulated::LaunchError;
use crate::host::replayed::Completion;
use crate::input::InputError;
use crate::interrupt::Interrupted;

/// The file of a recording with the references.
const STREAM: &str = "stream";
/// The file of a recording that says what it is of.
const ABOUT: &str = "about.json";
/// Folders in which a recording is going on start with this and are never looked at.
const RECORDING: &str = ".recording-";

/// Why there is no stream.
#[derive(Debug, thiserror::Error)]
pub enum StreamsError {
    /// What was asked for cannot be.
    #[error(transparent)]
    Input(#[from] InputError),
    /// The guest to be recorded did not start.
    #[error("failed to start guest \"{guest}\" for its recording")]
    Launch {
        /// Whose stream was to be recorded.
        guest: String,
        /// Why not.
        source: Box<LaunchError>,
    },
    /// The guest to be recorded did not go on.
    #[error("failed to record the stream of guest \"{guest}\"")]
    Run {
        /// Whose stream was to be recorded.
        guest: String,
        /// Why not.
        source: HostError,
    },
    /// A stream could not be written or read.
    #[error(transparent)]
    Stream(#[from] StreamError),
    /// A stream could not be played.
    #[error(transparent)]
    Replay(#[from] ReplayError),
    /// The file system said no.
    #[error("failed to {action} {}: {cause}", .file.display())]
    Io {
        /// What was tried.
        action: &'static str,
        /// On which file.
        file: PathBuf,
        /// Why not.
        cause: io::Error,
    },
    /// Somebody asked to stop.
    #[error("failed to record streams")]
    Interrupted(#[from] Interrupted),
}

impl StreamsError {
    fn io<'a>(action: &'static str, file: &'a Path) -> impl FnOnce(io::Error) -> Self + use<'a> {
        move |cause| Self::Io { action, file: file.to_owned(), cause }
    }
}

/// One whole recording. While it lives, [`Streams::remove`] leaves its files alone.
#[derive(Debug, Clone)]
pub struct Recording {
    /// What it is of.
    pub about: About,
    /// The references.
    pub stream: Arc<Stream>,
    /// When the guest completed runs of its program.
    pub completions: Arc<[Completion]>,
    _in_use: Arc<File>,
}

/// One entry of the cache as it stands there, unverified.
#[derive(Debug)]
pub struct Entry {
    /// Its folder.
    pub folder: PathBuf,
    /// The size of its files.
    pub bytes: u64,
    /// When it was last used; absent if the file system does not say.
    pub used: Option<std::time::SystemTime>,
    /// What it is of, or why that cannot be read.
    pub about: Result<About, InputError>,
}

/// The recordings of one cache.
#[derive(Debug, Clone)]
pub struct Streams {
    folder: PathBuf,
}

impl Streams {
    /// The recordings in the folder `streams` of `cache`, which is made if need be.
    pub fn open(cache: &Path) -> Result<Self, StreamsError> {
        let folder = cache.join("streams");
        fs::create_dir_all(&folder).map_err(StreamsError::io("create", &folder))?;
        Ok(Self { folder })
    }

    /// Where they are.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// The longest whole recording of `key`; broken ones count as absent.
    #[must_use]
    pub fn longest(&self, key: &Key) -> Option<Recording> {
        let mut folders = self.folders_of(key).unwrap_or_default();
        folders.sort();
        folders.into_iter().rev().find_map(|(_, folder)| open(&folder).ok())
    }

    /// Every entry, broken or not, in the order of programs.
    pub fn entries(&self) -> Result<Vec<Entry>, StreamsError> {
        let mut entries: Vec<Entry> = self.folders()?.into_iter().map(|folder| entry(&folder)).collect();
        let order =
            |entry: &Entry| (entry.about.as_ref().ok().map(|about| about.program.clone()), entry.folder.clone());
        entries.sort_by_key(order);
        Ok(entries)
    }

    /// Removes an entry; `false`, and nothing is done, if somebody is playing it.
    pub fn remove(&self, entry: &Entry) -> Result<bool, StreamsError> {
        let about = entry.folder.join(ABOUT);
        if File::open(&about).is_ok_and(|file| file.try_lock().is_err()) {
            return Ok(false);
        }
        remove(&entry.folder).map_err(StreamsError::io("remove", &entry.folder))?;
        Ok(true)
    }

    /// Clears what recordings that were killed have left: folders that nobody is writing to.
    pub fn clear_abandoned(&self) -> Result<u64, StreamsError> {
        let mut cleared = 0;
        for folder in list(&self.folder)?.into_iter().filter(|path| name_of(path).starts_with(RECORDING)) {
            let stream = File::open(folder.join(STREAM));
            if stream.is_ok_and(|file| file.try_lock().is_err()) {
                continue;
            }
            fs::remove_dir_all(&folder).map_err(StreamsError::io("remove", &folder))?;
            cleared += 1;
        }
        Ok(cleared)
    }

    fn folders(&self) -> Result<Vec<PathBuf>, StreamsError> {
        let all = list(&self.folder)?;
        Ok(all.into_iter().filter(|path| path.is_dir() && !name_of(path).starts_with('.')).collect())
    }

    /// Folders of recordings of `key`, with the instructions that their names say.
    fn folders_of(&self, key: &Key) -> Result<Vec<(u64, PathBuf)>, StreamsError> {
        let of_key = |path: PathBuf| {
            let instructions = name_of(&path).strip_prefix(key.text())?.strip_prefix('-')?.parse().ok()?;
            Some((instructions, path))
        };
        Ok(self.folders()?.into_iter().filter_map(of_key).collect())
    }
}

/// Opens a recording and verifies all of it.
pub fn open(folder: &Path) -> Result<Recording, InputError> {
    let (about, file) = About::read(&folder.join(ABOUT))?;
    let path = folder.join(STREAM);
    let broken = |problem: String| InputError::new(problem, about::REMEDY).in_file(&path);
    let stream = Stream::open(&path).map_err(|error| broken(error.reason))?;
    let header = stream.header();
    if (&header.program, &header.image, &header.private) != (&about.program, &about.image, &about.private) {
        return Err(broken(format!("it is of another program, image or machine than {ABOUT} says")));
    }
    if stream.instructions() != about.instructions {
        let found = stream.instructions();
        return Err(broken(format!("it covers {found} instructions, {ABOUT} says {}", about.instructions)));
    }
    // Its age is the time of its last use; where that cannot be written, it is only taken for older than it is.
    let _ = file.set_modified(std::time::SystemTime::now());
    let completions = about.completions.clone().into();
    Ok(Recording { about, stream: Arc::new(stream), completions, _in_use: Arc::new(file) })
}

fn entry(folder: &Path) -> Entry {
    let files = [STREAM, ABOUT].map(|name| fs::metadata(folder.join(name)).ok());
    let bytes = files.iter().flatten().map(fs::Metadata::len).sum();
    let used = files[1].as_ref().and_then(|metadata| metadata.modified().ok());
    Entry { folder: folder.to_owned(), bytes, used, about: About::read(&folder.join(ABOUT)).map(|(about, _)| about) }
}

/// The file that says what it is goes first: without it the rest is never used.
fn remove(folder: &Path) -> io::Result<()> {
    match fs::remove_file(folder.join(ABOUT)) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    fs::remove_dir_all(folder)
}

fn list(folder: &Path) -> Result<Vec<PathBuf>, StreamsError> {
    let listed = fs::read_dir(folder).map_err(StreamsError::io("list", folder))?;
    Ok(listed.flatten().map(|entry| entry.path()).collect())
}

fn name_of(path: &Path) -> String {
    path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default()
}
