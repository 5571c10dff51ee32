//! The cache: where images and what they are built from live between runs.
//!
//! ```text
//! DIR/packages-*.json the resolution of Debian's packages, by what was asked for
//! DIR/debs/           downloaded packages, checked by SHA-256 before use
//! DIR/apt/            apt's own state
//! DIR/images/DIGEST/  complete images
//! DIR/lock            held while an image is built
//! ```

use std::fs::File;
use std::path::{Path, PathBuf};

use super::packages::Resolution;
use super::{Image, ImageError};
use crate::input::InputError;

/// Folders that are being built start with this and are never looked at.
const BUILDING: &str = ".building-";

/// A folder with images.
#[derive(Debug, Clone)]
pub struct Cache {
    folder: PathBuf,
}

impl Cache {
    /// The cache in `folder`, which is created if need be.
    pub fn open(folder: impl Into<PathBuf>) -> Result<Self, ImageError> {
        let folder = folder.into();
        std::fs::create_dir_all(folder.join("images"))
            .and_then(|()| folder.canonicalize())
            .map(|folder| Self { folder: folder.clone() })
            .map_err(|error| ImageError::step(format!("create the cache {}", folder.display()), error))
    }

    /// The folder used when none is named: `$PHASECAST_CACHE`, else `$XDG_CACHE_HOME/phasecast`, else
    /// `~/.cache/phasecast`. A variable that is empty counts as not set.
    pub fn default_folder() -> Result<PathBuf, InputError> {
        let named = |variable: &str| std::env::var_os(variable).filter(|value| !value.is_empty()).map(PathBuf::from);
        let below = |base: PathBuf| base.join("phasecast");
        named("PHASECAST_CACHE")
            .or_else(|| named("XDG_CACHE_HOME").map(below))
            .or_else(|| named("HOME").map(|home| below(home.join(".cache"))))
            .ok_or_else(|| {
                let problem = "none of PHASECAST_CACHE, XDG_CACHE_HOME and HOME is set";
                InputError::new(problem, "name a folder for images with --cache DIR")
            })
    }

    /// Where it is.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Forgets which versions of Debian's packages were resolved: the next image asks the mirror again.
    pub fn refresh(&self) -> Result<(), ImageError> {
        Resolution::forget(&self.folder)
    }

    /// Every entry, whole or broken, in the order of their names.
    pub fn images(&self) -> Result<Vec<Result<Image, InputError>>, ImageError> {
        Ok(self.entries()?.iter().map(|entry| Image::open(entry)).collect())
    }

    /// The digests of all entries, by their names alone.
    pub fn digests(&self) -> Result<Vec<String>, ImageError> {
        let name = |path: &PathBuf| path.file_name().map(|name| name.to_string_lossy().into_owned());
        Ok(self.entries()?.iter().filter_map(name).collect())
    }

    /// The folder of the image with this digest.
    pub(super) fn entry(&self, digest: &str) -> PathBuf {
        self.folder.join("images").join(digest)
    }

    /// Waits until nobody else builds, then clears what a killed build left. Released when the answer is dropped.
    pub(crate) fn lock(&self) -> Result<File, ImageError> {
        let path = self.folder.join("lock");
        let failed = |error: std::io::Error| ImageError::step(format!("lock {}", path.display()), error);
        let file = File::options().create(true).truncate(false).write(true).open(&path).map_err(failed)?;
        file.lock().map_err(failed)?;
        let listed = std::fs::read_dir(self.folder.join("images")).map_err(failed)?;
        for entry in listed.flatten() {
            if entry.file_name().to_string_lossy().starts_with(BUILDING) {
                std::fs::remove_dir_all(entry.path()).map_err(failed)?;
            }
        }
        Ok(file)
    }

    /// A fresh folder beside the images; removed when dropped.
    pub(super) fn building(&self) -> Result<tempfile::TempDir, ImageError> {
        let images = self.folder.join("images");
        tempfile::Builder::new()
            .prefix(BUILDING)
            .tempdir_in(&images)
            .map_err(|error| ImageError::step(format!("create a folder in {}", images.display()), error))
    }

    fn entries(&self) -> Result<Vec<PathBuf>, ImageError> {
        let images = self.folder.join("images");
        let listed = std::fs::read_dir(&images)
            .map_err(|error| ImageError::step(format!("list the images in {}", images.display()), error))?;
        let mut entries: Vec<PathBuf> = listed.flatten().map(|entry| entry.path()).collect();
        entries.retain(|path| path.file_name().is_some_and(|name| !name.to_string_lossy().starts_with('.')));
        entries.sort();
        Ok(entries)
    }
}
