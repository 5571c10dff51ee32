//! The guest's own programs: the static binaries `guest` and `kernels`, built beside the harness.

use std::path::PathBuf;

use super::ImageError;
use super::tools::read;

/// Names the folder with `guest` and `kernels`, for builds that keep them elsewhere.
const FOLDER_VARIABLE: &str = "PHASECAST_GUEST_BIN";

/// Where cargo puts them, seen from the folder of the harness's own binary or of a test's.
const BUILD_FOLDER: &str = "x86_64-unknown-linux-gnu/release";

/// The two binaries.
#[derive(Debug)]
pub(crate) struct GuestPrograms {
    /// Process 1.
    pub(super) guest: Vec<u8>,
    /// The benchmark kernels.
    pub(super) kernels: Vec<u8>,
}

impl GuestPrograms {
    /// Finds and reads them.
    pub(super) fn find() -> Result<Self, ImageError> {
        Ok(Self { guest: Self::find_one("guest")?, kernels: Self::find_one("kernels")? })
    }

    /// Finds and reads one static program of the guest.
    pub(crate) fn find_one(name: &str) -> Result<Vec<u8>, ImageError> {
        let path = folder()?.join(name);
        if path.is_file() { read(&path, "the guest's program") } else { Err(ImageError::MissingGuest { path }) }
    }
}

fn folder() -> Result<PathBuf, ImageError> {
    if let Some(folder) = std::env::var_os(FOLDER_VARIABLE) {
        return Ok(folder.into());
    }
    let executable =
        std::env::current_exe().map_err(|error| ImageError::step("find the harness's own program", error))?;
    // target/debug/phasecast, or target/debug/deps/image-0123: the build folder is beside the profile's.
    let candidates = executable.ancestors().skip(2).take(2).map(|target| target.join(BUILD_FOLDER));
    let found = candidates.clone().find(|folder| folder.join("guest").is_file());
    Ok(found.or_else(|| candidates.into_iter().next()).unwrap_or_else(|| PathBuf::from(BUILD_FOLDER)))
}
