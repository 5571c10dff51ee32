//! The guest image: Debian's cloud kernel, an initramfs with our init, and one read-only file system of programs and
//! inputs that all guests share. Built without privileges, cached by content.
//!
//! An image's digest is the SHA-256 of everything that goes in: the resolved packages, the guest's programs, the
//! generated inputs and the version of this recipe. What stands in the cache under that digest was built whole, in a
//! folder of another name, before it got its own; and it is checked against its manifest's checksums each time it is
//! opened. So an image is either right or not there.
//!
//! Starting guests from it belongs to [`crate::qemu`] and the hosts.

mod build;
mod cache;
pub(crate) mod initramfs;
pub(crate) mod kernel;
mod manifest;
pub(crate) mod packages;
pub(crate) mod programs;
mod prune;
pub mod suite;
mod tools;
mod tree;

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;

pub use cache::Cache;
pub use manifest::{Artefact, Manifest, Package};
pub use prune::{Fate, Pruned};

use crate::input::InputError;
use crate::interrupt::{Interrupt, Interrupted};

/// A complete and verified image.
#[derive(Debug, Clone)]
pub struct Image {
    /// The kernel, for `-kernel`.
    pub kernel: PathBuf,
    /// The initramfs, for `-initrd`.
    pub initramfs: PathBuf,
    /// The ext4 file system of programs, to be attached read-only as the first virtio disk.
    pub rootfs: PathBuf,
    /// What is in it.
    pub manifest: Manifest,
    /// Its name: 64 hexadecimal digits.
    pub digest: String,
    /// Locked, so that nobody removes the image while it is in use.
    _in_use: Arc<File>,
}

/// An image could not be built.
#[derive(Debug, thiserror::Error)]
pub enum ImageError {
    /// A step failed.
    #[error("failed to {action}: {reason}")]
    Step {
        /// What was tried, and on what: finishes "failed to ...".
        action: String,
        /// Why it did not work, and what to do about it.
        reason: String,
    },
    /// A program of the host is missing.
    #[error("failed to find {program}, which builds the guest image; install it with: apt-get install {package}")]
    MissingTool {
        /// The program.
        program: &'static str,
        /// The Debian package that has it.
        package: &'static str,
    },
    /// The static programs of the guest were not built.
    #[error("failed to find the guest's program {}; build it with: make guest", path.display())]
    MissingGuest {
        /// Where it should be.
        path: PathBuf,
    },
    /// Somebody asked to stop.
    #[error("failed to build the guest image")]
    Interrupted(#[from] Interrupted),
}

impl ImageError {
    pub(crate) fn step(action: impl Into<String>, reason: impl std::fmt::Display) -> Self {
        Self::Step { action: action.into(), reason: reason.to_string() }
    }
}

/// Hears what is being done, one short line at a time: "download povray_3.7.deb (12 of 90)".
pub type Progress<'a> = dyn FnMut(&str) + 'a;

impl Image {
    /// The image that belongs to this build of the guest's programs: from the cache if it is whole there, else built.
    pub fn ensure(cache: &Cache, interrupt: &Interrupt, progress: &mut Progress<'_>) -> Result<Self, ImageError> {
        build::ensure(cache, interrupt, progress)
    }

    /// Opens one entry of a cache and verifies all of it; a broken one is an error that says what is wrong.
    pub fn open(folder: &Path) -> Result<Self, InputError> {
        let in_use = prune::in_use(folder)?;
        let manifest = Manifest::read(folder)?;
        manifest.verify(folder)?;
        Ok(Self {
            kernel: folder.join(manifest::KERNEL),
            initramfs: folder.join(manifest::INITRAMFS),
            rootfs: folder.join(manifest::ROOTFS),
            digest: manifest.digest.clone(),
            manifest,
            _in_use: Arc::new(in_use),
        })
    }
}
