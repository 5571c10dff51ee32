//! Removing images that nobody needs: each takes hundreds of megabytes, and every change of the guest's programs makes
//! another.
//!
//! Whoever opens an image holds a lock on its manifest, so one that a run uses is not removed.

use std::fs::{self, File};
use std::path::Path;

use super::manifest::{MANIFEST, REBUILD};
use super::{Cache, ImageError, build};
use crate::input::InputError;

/// What became of an image.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// It is gone, or would be.
    Removed,
    /// It is the image of this build.
    Current,
    /// Somebody is using it.
    InUse,
}

/// One image that was looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pruned {
    /// Its name.
    pub digest: String,
    /// The size of its files.
    pub bytes: u64,
    /// What became of it.
    pub fate: Fate,
}

impl Cache {
    /// Removes every image but this build's, or with `all` that too, unless it is being used; with `dry_run` only says so.
    /// In the order of their names.
    pub fn prune(&self, all: bool, dry_run: bool) -> Result<Vec<Pruned>, ImageError> {
        let current = if all { None } else { build::digest_here(self) };
        // Nobody builds meanwhile, and what a killed build left is cleared.
        let _lock = self.lock()?;
        let judge = |digest: String| {
            let folder = self.entry(&digest);
            let bytes = bytes_in(&folder);
            let fate = if current.as_ref() == Some(&digest) {
                Fate::Current
            } else if File::open(folder.join(MANIFEST)).is_ok_and(|manifest| manifest.try_lock().is_err()) {
                Fate::InUse
            } else {
                Fate::Removed
            };
            if fate == Fate::Removed && !dry_run {
                remove(&folder)
                    .map_err(|error| ImageError::step(format!("remove the image {}", folder.display()), error))?;
            }
            Ok(Pruned { digest, bytes, fate })
        };
        self.digests()?.into_iter().map(judge).collect()
    }
}

/// The manifest of the image in `folder`, locked for as long as it is open.
pub(super) fn in_use(folder: &Path) -> Result<File, InputError> {
    let path = folder.join(MANIFEST);
    let broken = |error: std::io::Error| {
        InputError::new(format!("the manifest cannot be read: {error}"), REBUILD).in_file(&path)
    };
    let file = File::open(&path).map_err(broken)?;
    file.lock_shared().map_err(broken)?;
    Ok(file)
}

/// The manifest goes first: without it the rest is no image.
fn remove(folder: &Path) -> std::io::Result<()> {
    match fs::remove_file(folder.join(MANIFEST)) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    fs::remove_dir_all(folder)
}

fn bytes_in(folder: &Path) -> u64 {
    let files = fs::read_dir(folder).into_iter().flatten().flatten();
    files.filter_map(|file| file.metadata().ok()).map(|metadata| metadata.len()).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A cache with an image of each name: a manifest and nothing else.
    fn cache_with(names: &[&str]) -> (tempfile::TempDir, Cache) {
        let folder = tempfile::tempdir().expect("a folder");
        let cache = Cache::open(folder.path()).expect("a cache");
        for name in names {
            let entry = cache.entry(name);
            fs::create_dir(&entry).expect("a folder");
            fs::write(entry.join(MANIFEST), "{}").expect("written");
        }
        (folder, cache)
    }

    fn fates(pruned: &[Pruned]) -> Vec<(&str, Fate)> {
        pruned.iter().map(|image| (image.digest.as_str(), image.fate)).collect()
    }

    #[test]
    fn old_images_go_and_the_one_in_use_stays() {
        let (_folder, cache) = cache_with(&["aa", "bb"]);
        let used = in_use(&cache.entry("bb")).expect("a manifest");
        let expected = [("aa", Fate::Removed), ("bb", Fate::InUse)];
        assert_eq!(fates(&cache.prune(false, true).expect("a list")), expected);
        assert_eq!(cache.digests().expect("a list").len(), 2, "a dry run removes nothing");
        assert_eq!(fates(&cache.prune(false, false).expect("a list")), expected);
        drop(used);
        assert_eq!(fates(&cache.prune(true, false).expect("a list")), [("bb", Fate::Removed)]);
        assert_eq!(cache.digests().expect("a list"), [""; 0]);
    }
}
