//! The manifest: what an image consists of, and the checksums that say whether it still does.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::input::InputError;

pub(super) const KERNEL: &str = "vmlinuz";
pub(super) const INITRAMFS: &str = "initramfs.cpio";
pub(super) const ROOTFS: &str = "rootfs.ext4";
pub(super) const MANIFEST: &str = "manifest.json";

/// The remedy for every broken image.
pub(super) const REBUILD: &str = "remove this folder and run: phasecast image build";

/// What is in an image. Written as `manifest.json`, format 1.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// The format of this file.
    pub format: u32,
    /// SHA-256 over everything that went in; the image's name.
    pub digest: String,
    /// The version of the recipe that built it.
    pub recipe: u32,
    /// The release of its kernel, as `6.1.0-56-cloud-amd64`.
    pub kernel_release: String,
    /// SHA-256 of the guest's init.
    pub guest_sha256: String,
    /// SHA-256 of the program of kernels.
    pub kernels_sha256: String,
    /// The version of the generators of inputs.
    pub generators: u32,
    /// Paths of the generated inputs, in the guest.
    pub inputs: Vec<String>,
    /// The Debian packages in it, in the order in which they were resolved.
    pub packages: Vec<Package>,
    /// Its files.
    pub artefacts: Vec<Artefact>,
}

/// One Debian package.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Package {
    /// Its name.
    pub name: String,
    /// Its version, epoch included.
    pub version: String,
    /// Where it was downloaded.
    pub uri: String,
    /// SHA-256 of the .deb.
    pub sha256: String,
}

/// One file of an image.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Artefact {
    /// Its name within the image's folder.
    pub file: String,
    /// Its size.
    pub size_bytes: u64,
    /// Its SHA-256.
    pub sha256: String,
}

impl Manifest {
    /// The format this release writes and reads.
    pub(super) const FORMAT: u32 = 1;

    /// Reads the manifest of the image in `folder`.
    pub(super) fn read(folder: &Path) -> Result<Self, InputError> {
        let path = folder.join(MANIFEST);
        let broken = |problem: String| InputError::new(problem, REBUILD).in_file(&path);
        let text = std::fs::read(&path).map_err(|error| broken(format!("the manifest cannot be read: {error}")))?;
        let manifest: Manifest = serde_json::from_slice(&text)
            .map_err(|error| broken(format!("this is no manifest of an image: {error}")))?;
        if manifest.format != Self::FORMAT {
            let problem = format!("the manifest has format {}, this release reads {}", manifest.format, Self::FORMAT);
            return Err(broken(problem));
        }
        Ok(manifest)
    }

    /// Compares every file of the image in `folder` with size and checksum.
    pub(super) fn verify(&self, folder: &Path) -> Result<(), InputError> {
        for name in [KERNEL, INITRAMFS, ROOTFS] {
            let path = folder.join(name);
            let broken = |problem: String| InputError::new(problem, REBUILD).in_file(&path);
            let expected = self.artefacts.iter().find(|artefact| artefact.file == name);
            let expected = expected.ok_or_else(|| broken("the manifest does not name this file".to_owned()))?;
            let length = std::fs::metadata(&path).map_err(|error| broken(format!("cannot be read: {error}")))?.len();
            if length != expected.size_bytes {
                return Err(broken(format!("has {length} bytes, the manifest says {}", expected.size_bytes)));
            }
            let found = sha256_of_file(&path).map_err(|error| broken(format!("cannot be read: {error}")))?;
            if found != expected.sha256 {
                return Err(broken("its SHA-256 is not the manifest's".to_owned()));
            }
        }
        Ok(())
    }
}

impl Artefact {
    /// Describes the file `name` in `folder`.
    pub(super) fn of(folder: &Path, name: &str) -> std::io::Result<Self> {
        let path = folder.join(name);
        let size_bytes = std::fs::metadata(&path)?.len();
        Ok(Self { file: name.to_owned(), size_bytes, sha256: sha256_of_file(&path)? })
    }
}

/// SHA-256 of a file, in hexadecimal.
pub(super) fn sha256_of_file(path: &Path) -> std::io::Result<String> {
    let mut file = File::open(path)?;
    let mut hash = Sha256::new();
    let mut buffer = vec![0; 1 << 20];
    loop {
        let count = file.read(&mut buffer)?;
        if count == 0 {
            return Ok(hexadecimal(&hash.finalize()));
        }
        hash.update(&buffer[..count]);
    }
}

/// Bytes as hexadecimal digits.
pub(super) fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::image::Image;

    /// A complete image of three tiny files.
    fn image() -> tempfile::TempDir {
        let folder = tempfile::tempdir().expect("a folder");
        for name in [KERNEL, INITRAMFS, ROOTFS] {
            std::fs::write(folder.path().join(name), format!("this is {name}")).expect("a file");
        }
        let artefacts = [KERNEL, INITRAMFS, ROOTFS].map(|name| Artefact::of(folder.path(), name).expect("a file"));
        let manifest = Manifest {
            format: Manifest::FORMAT,
            digest: "00".repeat(32),
            recipe: 1,
            kernel_release: "6.1.0".to_owned(),
            guest_sha256: String::new(),
            kernels_sha256: String::new(),
            generators: 1,
            inputs: Vec::new(),
            packages: Vec::new(),
            artefacts: artefacts.to_vec(),
        };
        std::fs::write(folder.path().join(MANIFEST), serde_json::to_vec(&manifest).expect("JSON")).expect("a file");
        folder
    }

    fn problem(folder: &Path) -> String {
        Image::open(folder).expect_err("a broken image").to_string()
    }

    #[test]
    fn a_whole_image_opens() {
        let folder = image();
        assert_eq!(Image::open(folder.path()).expect("it is whole").kernel, folder.path().join(KERNEL));
    }

    #[test]
    fn a_truncated_file_is_named_with_the_remedy_on_one_line() {
        let folder = image();
        std::fs::write(folder.path().join(ROOTFS), "this").expect("a file");
        let problem = problem(folder.path());
        let expected = format!(
            "{}: has 4 bytes, the manifest says 19; remove this folder and run: phasecast image build",
            folder.path().join(ROOTFS).display()
        );
        assert_eq!(problem, expected);
    }

    #[test]
    fn a_changed_byte_is_found() {
        let folder = image();
        std::fs::write(folder.path().join(KERNEL), "That is vmlinuz").expect("a file");
        assert!(problem(folder.path()).contains("vmlinuz: its SHA-256 is not the manifest's"));
    }

    #[test]
    fn a_missing_file_or_manifest_is_named() {
        let folder = image();
        std::fs::remove_file(folder.path().join(INITRAMFS)).expect("it was there");
        assert!(problem(folder.path()).contains("initramfs.cpio: cannot be read: No such file"));
        std::fs::remove_file(folder.path().join(MANIFEST)).expect("it was there");
        assert!(problem(folder.path()).contains("manifest.json: the manifest cannot be read"));
    }

    #[test]
    fn another_format_is_refused_by_number() {
        let folder = image();
        let path = folder.path().join(MANIFEST);
        let text = std::fs::read_to_string(&path).expect("text").replace("\"format\":1", "\"format\":2");
        std::fs::write(&path, text).expect("a file");
        assert!(problem(folder.path()).contains("the manifest has format 2, this release reads 1"));
    }
}
