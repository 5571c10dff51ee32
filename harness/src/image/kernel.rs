//! Debian's cloud kernel, unpacked: the file that boots, and its modules.

use std::fs;
use std::path::{Path, PathBuf};

use super::manifest::Package;
use super::packages::{self, Resolution};
use super::{Cache, ImageError, Progress, tools};
use crate::interrupt::Interrupt;

/// The kernel's package as a tree.
#[derive(Debug)]
pub(crate) struct KernelTree {
    folder: PathBuf,
    release: String,
}

impl KernelTree {
    /// Unpacks the kernel that this cache's images boot into `folder`, which exists; downloads it if need be.
    pub(crate) fn of_cache(
        cache: &Cache,
        folder: &Path,
        interrupt: &Interrupt,
        progress: &mut Progress<'_>,
    ) -> Result<Self, ImageError> {
        let _lock = cache.lock()?;
        let resolution = Resolution::of_cache(cache.folder(), progress)?;
        packages::download(cache.folder(), std::iter::once(&resolution.kernel), interrupt, progress)?;
        Self::unpack(cache, &resolution.kernel, folder)
    }

    /// Unpacks `package`, which was downloaded, into `folder`.
    pub(super) fn unpack(cache: &Cache, package: &Package, folder: &Path) -> Result<Self, ImageError> {
        packages::unpack(cache.folder(), package, folder)?;
        Ok(Self { folder: folder.to_owned(), release: release(folder)? })
    }

    /// Its release, as `6.1.0-56-cloud-amd64`.
    pub(crate) fn release(&self) -> &str {
        &self.release
    }

    /// The file that boots.
    pub(crate) fn vmlinuz(&self) -> PathBuf {
        self.folder.join("boot").join(format!("vmlinuz-{}", self.release))
    }

    /// The bytes of a module, named by its path below `kernel/`, and its name alone.
    pub(crate) fn module<'a>(&self, path: &'a str) -> Result<(&'a str, Vec<u8>), ImageError> {
        let file = self.folder.join("lib/modules").join(&self.release).join("kernel").join(path);
        Ok((path.rsplit('/').next().unwrap_or(path), tools::read(&file, "the kernel's module")?))
    }
}

/// The release in the name of the only kernel below `boot`.
fn release(tree: &Path) -> Result<String, ImageError> {
    let failed = |reason: &str| ImageError::step("find the kernel in its package", reason);
    let listed = fs::read_dir(tree.join("boot")).map_err(|error| failed(&error.to_string()))?;
    let names = listed.flatten().map(|entry| entry.file_name().to_string_lossy().into_owned());
    let release = names.filter_map(|name| name.strip_prefix("vmlinuz-").map(str::to_owned)).min();
    release.ok_or_else(|| failed("it has no boot/vmlinuz-*"))
}
