//! A second QEMU beside the system's, without privileges: Debian's packages of QEMU 10, unpacked into the cache.
//!
//! ```text
//! DIR/qemu/10.0/bin/qemu-system-x86_64   starts the program below with its libraries and firmware
//! DIR/qemu/10.0/tree/                    the packages' files
//! DIR/qemu/10.0/packages.json            which packages, from where, with their SHA-256
//! ```
//!
//! The packages are those of Debian 12's backports and all libraries they need, so that it does not matter what the
//! host has. The C library is the exception: the plugin is built against the host's, so that one is used; it must be
//! glibc 2.36 or newer. A folder gets its name when the program in it has said its version; one that is there is whole.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use crate::image::packages::{Sources, closure, download, unpack, write_whole};
use crate::image::{Cache, ImageError, Package, Progress};
use crate::interrupt::Interrupt;
use crate::qemu::Program;

/// Debian 12 for the libraries, its backports for QEMU.
const SOURCES: Sources<'static> = Sources::Listed {
    name: "backports",
    lines: "deb http://deb.debian.org/debian bookworm main\n\
            deb http://deb.debian.org/debian bookworm-backports main\n",
};
const RELEASE: &str = "bookworm-backports";
const PACKAGE: &str = "qemu-system-x86";
/// The version that the plugin for interface 4 was tried on.
const MAJOR: &str = "10.";
/// Folders that are being filled start with this and are never looked at.
const INSTALLING: &str = ".installing-";

/// The C library and the compiler's support library, which the plugin shares with the host's other programs.
const FROM_THE_HOST: [&str; 2] = ["libc6", "libgcc-s1"];

const STARTER: &str = r#"#!/bin/sh
# Starts the QEMU of this folder with the libraries and the firmware that came with it.
tree=$(cd "$(dirname "$0")/../tree" && pwd) || exit 1
libraries=$tree/usr/lib/x86_64-linux-gnu:$tree/lib/x86_64-linux-gnu
LD_LIBRARY_PATH=$libraries${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH} \
    exec "$tree/usr/bin/qemu-system-x86_64" -L "$tree/usr/share/qemu" -L "$tree/usr/share/seabios" "$@"
"#;

/// Where the program of an installed version stands, whether it is there or not.
#[must_use]
pub fn program_of(cache: &Path, version: &str) -> PathBuf {
    cache.join("qemu").join(version).join("bin/qemu-system-x86_64")
}

/// The installed versions, in the order of their names.
#[must_use]
pub fn versions(cache: &Path) -> Vec<String> {
    let Ok(entries) = std::fs::read_dir(cache.join("qemu")) else { return Vec::new() };
    let names = entries.flatten().map(|entry| entry.file_name().to_string_lossy().into_owned());
    let mut versions: Vec<String> = names.filter(|name| !name.starts_with('.')).collect();
    versions.sort();
    versions
}

/// Installs QEMU 10 unless it is there; answers the program. 33 MB are downloaded, 130 MB stored.
pub fn ensure(cache: &Cache, interrupt: &Interrupt, progress: &mut Progress<'_>) -> Result<Program, ImageError> {
    let _lock = cache.lock()?;
    for version in versions(cache.folder()).iter().filter(|version| version.starts_with(MAJOR)) {
        if let Ok(program) = Program::at(program_of(cache.folder(), version).display().to_string()) {
            return Ok(program);
        }
    }
    progress("resolve Debian packages");
    let mut packages = closure(cache.folder(), SOURCES, RELEASE, &[PACKAGE])?;
    packages.retain(is_needed);
    download(cache.folder(), packages.iter(), interrupt, progress)?;
    let building = fill(cache, &packages, interrupt, progress)?;
    publish(cache, building)
}

/// Libraries and QEMU's own parts. The rest of what apt would install is for a system that boots.
fn is_needed(package: &Package) -> bool {
    let name = package.name.as_str();
    let wanted = ["lib", "qemu-system-", "zlib1g", "seabios", "ipxe-qemu"].iter().any(|start| name.starts_with(start));
    wanted && !FROM_THE_HOST.contains(&name)
}

fn fill(
    cache: &Cache,
    packages: &[Package],
    interrupt: &Interrupt,
    progress: &mut Progress<'_>,
) -> Result<tempfile::TempDir, ImageError> {
    let parent = cache.folder().join("qemu");
    let failed = |error: std::io::Error| ImageError::step(format!("make a folder in {}", parent.display()), error);
    std::fs::create_dir_all(&parent).map_err(failed)?;
    let building = tempfile::Builder::new().prefix(INSTALLING).tempdir_in(&parent).map_err(failed)?;
    let (tree, programs) = (building.path().join("tree"), building.path().join("bin"));
    std::fs::create_dir_all(&tree).and_then(|()| std::fs::create_dir_all(&programs)).map_err(failed)?;
    for (index, package) in packages.iter().enumerate() {
        interrupt.check()?;
        progress(&format!("unpack {} ({} of {})", package.name, index + 1, packages.len()));
        unpack(cache.folder(), package, &tree)?;
    }
    let starter = programs.join("qemu-system-x86_64");
    write_whole(&starter, STARTER.as_bytes())?;
    std::fs::set_permissions(&starter, std::fs::Permissions::from_mode(0o755)).map_err(failed)?;
    let list = serde_json::to_vec_pretty(packages).map_err(|error| ImageError::step("describe packages", error))?;
    write_whole(&building.path().join("packages.json"), &list)?;
    Ok(building)
}

/// Gives the folder the name of the version that its program says it is.
fn publish(cache: &Cache, building: tempfile::TempDir) -> Result<Program, ImageError> {
    let failed = |reason: String| ImageError::step("use the QEMU that was just unpacked", reason);
    let starter = building.path().join("bin/qemu-system-x86_64");
    let program = Program::at(starter.display().to_string()).map_err(|error| failed(error.to_string()))?;
    let version = release_of(program.version())
        .filter(|version| version.starts_with(MAJOR))
        .ok_or_else(|| failed(format!("it is version {}, and 10.x was expected", program.version())))?;
    let entry = cache.folder().join("qemu").join(&version);
    let moved = match std::fs::remove_dir_all(&entry) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error),
        _ => {
            // Its owner alone may look into a temporary folder; this one is for all who may read the cache.
            std::fs::set_permissions(building.path(), std::fs::Permissions::from_mode(0o755))
                .and_then(|()| std::fs::rename(building.path(), &entry))
        }
    };
    moved.map_err(|error| ImageError::step(format!("keep {}", entry.display()), error))?;
    // The name is ours now; there is nothing left to remove.
    let _ = building.keep();
    Program::at(program_of(cache.folder(), &version).display().to_string()).map_err(|error| failed(error.to_string()))
}

/// `10.0` of `10.0.2 (Debian 1:10.0.2+ds-2)`.
fn release_of(version: &str) -> Option<String> {
    let mut numbers = version.split_whitespace().next()?.split('.');
    Some(format!("{}.{}", numbers.next()?, numbers.next()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn package(name: &str) -> Package {
        let text = String::new;
        Package { name: name.to_owned(), version: text(), uri: text(), sha256: text() }
    }

    #[test]
    fn libraries_and_qemu_are_unpacked_and_the_c_library_is_the_hosts() {
        for needed in ["libglib2.0-0", "qemu-system-x86", "qemu-system-common", "seabios", "zlib1g", "libstdc++6"] {
            assert!(is_needed(&package(needed)), "{needed}");
        }
        for left_out in ["libc6", "libgcc-s1", "perl-base", "passwd", "debconf"] {
            assert!(!is_needed(&package(left_out)), "{left_out}");
        }
    }

    #[test]
    fn a_folder_is_named_by_the_release() {
        assert_eq!(release_of("10.0.2 (Debian 1:10.0.2+ds-2+deb13u1~bpo12+1)").as_deref(), Some("10.0"));
        assert_eq!(release_of("10"), None);
    }

    #[test]
    fn a_version_that_is_being_installed_is_not_listed() {
        let cache = tempfile::tempdir().expect("a folder");
        assert_eq!(versions(cache.path()), [""; 0]);
        for name in ["10.0", ".installing-abc"] {
            std::fs::create_dir_all(cache.path().join("qemu").join(name)).expect("made");
        }
        assert_eq!(versions(cache.path()), ["10.0"]);
    }
}
