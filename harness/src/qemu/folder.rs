//! The folder of one run: console logs, removed at the end, and left over by nobody.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, flock};
use tempfile::TempDir;

use super::QemuError;

const PREFIX: &str = "phasecast-run-";
const LOCK: &str = "lock";

/// A private folder for the files of running guests. Its lock is held as long as the harness lives, so that the next run
/// can tell and remove what a killed one left behind.
#[derive(Debug)]
pub struct RunFolder {
    folder: TempDir,
    _lock: File,
}

impl RunFolder {
    /// Makes a folder under `$XDG_RUNTIME_DIR`, else the folder for temporary files, and removes those of runs that are
    /// no more.
    pub fn create() -> Result<Self, QemuError> {
        let parent = std::env::var_os("XDG_RUNTIME_DIR")
            .map(PathBuf::from)
            .filter(|folder| folder.is_dir())
            .unwrap_or_else(std::env::temp_dir);
        remove_abandoned(&parent);
        Self::create_in(&parent)
    }

    fn create_in(parent: &Path) -> Result<Self, QemuError> {
        let fail = |error| QemuError::system(format!("make a run folder in {}", parent.display()))(error);
        let folder = tempfile::Builder::new().prefix(PREFIX).tempdir_in(parent).map_err(fail)?;
        // Locked before it gets its name: nobody ever sees it unlocked while we live.
        let unnamed = folder.path().join("lock.new");
        let lock = File::create(&unnamed).map_err(fail)?;
        flock(&lock, FlockOperation::NonBlockingLockExclusive).map_err(|error| fail(error.into()))?;
        fs::rename(&unnamed, folder.path().join(LOCK)).map_err(fail)?;
        Ok(Self { folder, _lock: lock })
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    /// Copies every console log to `to`, which is made if need be.
    pub fn keep_consoles(&self, to: &Path) -> Result<(), QemuError> {
        let fail = |error| QemuError::system(format!("keep console logs in {}", to.display()))(error);
        fs::create_dir_all(to).map_err(fail)?;
        for entry in fs::read_dir(self.path()).map_err(fail)? {
            let path = entry.map_err(fail)?.path();
            if path.extension().is_some_and(|extension| extension == "log")
                && let Some(name) = path.file_name()
            {
                fs::copy(&path, to.join(name)).map_err(fail)?;
            }
        }
        Ok(())
    }
}

/// Removes run folders whose lock nobody holds. A folder that cannot be looked into belongs to somebody else; one
/// without a lock is being made this moment.
fn remove_abandoned(parent: &Path) {
    let Ok(entries) = fs::read_dir(parent) else { return };
    for path in entries.flatten().map(|entry| entry.path()) {
        let ours = path.file_name().and_then(|name| name.to_str()).is_some_and(|name| name.starts_with(PREFIX));
        if !ours {
            continue;
        }
        let Ok(lock) = File::open(path.join(LOCK)) else { continue };
        if flock(&lock, FlockOperation::NonBlockingLockExclusive).is_ok() {
            // Failing to remove it costs disk space only, and the next run tries again.
            let _ = fs::remove_dir_all(&path);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folders_of_the_dead_are_removed_and_those_of_the_living_stay() {
        let parent = tempfile::tempdir().expect("a folder");
        let living = RunFolder::create_in(parent.path()).expect("a run folder");
        let dead = parent.path().join("phasecast-run-dead");
        fs::create_dir(&dead).expect("a folder");
        fs::write(dead.join(LOCK), "").expect("a lock nobody holds");
        let foreign = parent.path().join("something-else");
        fs::create_dir(&foreign).expect("a folder");
        remove_abandoned(parent.path());
        assert!(living.path().exists() && foreign.exists() && !dead.exists());
    }

    #[test]
    fn console_logs_can_be_kept_after_the_run() {
        let parent = tempfile::tempdir().expect("a folder");
        let run = RunFolder::create_in(parent.path()).expect("a run folder");
        fs::write(run.path().join("alpha.log"), "panic").expect("a log");
        let kept = parent.path().join("results/consoles");
        run.keep_consoles(&kept).expect("kept");
        let gone = run.path().to_owned();
        drop(run);
        assert_eq!(fs::read_to_string(kept.join("alpha.log")).expect("kept"), "panic");
        assert!(!gone.exists() && !kept.join(LOCK).exists());
    }
}
