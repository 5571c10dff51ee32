//! What is in the outer machine: one initramfs, put together from this machine's programs and the cache's kernel.
//!
//! Nothing of it is cached but the kernel's package: the rest is there already, and copying it takes a second.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::image::initramfs::Archive;
use crate::image::kernel::KernelTree;
use crate::image::programs::GuestPrograms;
use crate::image::{Cache, ImageError, Progress};
use crate::interrupt::Interrupt;
use crate::qemu::Program;

/// KVM for both makers, in the order in which modules load.
const MODULES: [&str; 4] =
    ["virt/lib/irqbypass.ko", "arch/x86/kvm/kvm.ko", "arch/x86/kvm/kvm-amd.ko", "arch/x86/kvm/kvm-intel.ko"];

/// What QEMU loads for the guests inside, and the Debian package that has it.
const FIRMWARE: [(&str, &str); 4] = [
    ("bios-256k.bin", "seabios"),
    ("kvmvapic.bin", "qemu-system-data"),
    ("linuxboot_dma.bin", "qemu-system-data"),
    ("pvh.bin", "qemu-system-data"),
];
const FIRMWARE_FOLDERS: [&str; 2] = ["/usr/share/qemu", "/usr/share/seabios"];

/// The outer machine's files.
#[derive(Debug)]
pub(super) struct Contents {
    /// What it boots, and the guests in it.
    pub(super) kernel: PathBuf,
    pub(super) kernel_release: String,
    pub(super) initramfs: PathBuf,
    pub(super) initramfs_bytes: u64,
}

/// Puts them together in `folder`.
pub(super) fn build(
    qemu: &Program,
    cache: &Cache,
    folder: &Path,
    interrupt: &Interrupt,
    progress: &mut Progress<'_>,
) -> Result<Contents, ImageError> {
    let lab = GuestPrograms::find_one("lab")?;
    progress("unpack the kernel");
    let tree = folder.join("kernel");
    fs::create_dir(&tree).map_err(|error| ImageError::step(format!("create {}", tree.display()), error))?;
    let kernel = KernelTree::of_cache(cache, &tree, interrupt, progress)?;
    interrupt.check()?;
    progress("put together the outer machine");
    let own = std::env::current_exe().map_err(|error| ImageError::step("find phasecast's own program", error))?;
    let qemu = in_path(qemu.path())?;
    let mut outer = Tree::new(&["dev", "proc", "sys", "tmp", "run", "modules"]);
    outer.file("init", &lab);
    outer.copy("phasecast", &own)?;
    outer.copy("qemu", &qemu)?;
    let libraries: BTreeSet<PathBuf> = [libraries_of(&own)?, libraries_of(&qemu)?].into_iter().flatten().collect();
    for library in &libraries {
        outer.copy(&library.display().to_string(), library)?;
    }
    for (name, package) in FIRMWARE {
        let file = FIRMWARE_FOLDERS.iter().map(|folder| Path::new(folder).join(name)).find(|file| file.is_file());
        let missing =
            || ImageError::step(format!("find {name}"), format!("install it with: apt-get install {package}"));
        outer.copy(&format!("firmware/{name}"), &file.ok_or_else(missing)?)?;
    }
    for module in MODULES {
        let (name, bytes) = kernel.module(module)?;
        outer.file(&format!("modules/{name}"), &bytes);
    }
    outer.copy("guest/vmlinuz", &kernel.vmlinuz())?;
    let mut guest = Tree::new(&["dev", "proc", "sys"]);
    guest.file("init", &lab);
    outer.file("guest/initramfs.cpio", &guest.archive.finish());
    let (initramfs, bytes) = (folder.join("initramfs.cpio"), outer.archive.finish());
    fs::write(&initramfs, &bytes).map_err(|error| ImageError::step(format!("write {}", initramfs.display()), error))?;
    Ok(Contents {
        kernel: kernel.vmlinuz(),
        kernel_release: kernel.release().to_owned(),
        initramfs,
        initramfs_bytes: bytes.len() as u64,
    })
}

/// An archive that makes the folders it needs.
struct Tree {
    archive: Archive,
    folders: BTreeSet<PathBuf>,
}

impl Tree {
    fn new(folders: &[&str]) -> Self {
        let mut tree = Self { archive: Archive::default(), folders: BTreeSet::new() };
        folders.iter().for_each(|folder| tree.folder(Path::new(folder)));
        tree.archive.character_device("dev/console", 5, 1);
        tree
    }

    fn folder(&mut self, path: &Path) {
        if path.as_os_str().is_empty() || self.folders.contains(path) {
            return;
        }
        if let Some(parent) = path.parent() {
            self.folder(parent);
        }
        self.archive.folder(&path.display().to_string());
        self.folders.insert(path.to_owned());
    }

    /// Adds a program or what it reads; a leading `/` is left out.
    fn file(&mut self, path: &str, bytes: &[u8]) {
        let path = path.trim_start_matches('/');
        if let Some(folder) = Path::new(path).parent() {
            self.folder(folder);
        }
        self.archive.file(path, 0o755, bytes);
    }

    fn copy(&mut self, path: &str, from: &Path) -> Result<(), ImageError> {
        let bytes = fs::read(from).map_err(|error| ImageError::step(format!("read {}", from.display()), error))?;
        self.file(path, &bytes);
        Ok(())
    }
}

/// The file of a program that may be looked up in PATH.
fn in_path(program: &str) -> Result<PathBuf, ImageError> {
    if program.contains('/') {
        return Ok(program.into());
    }
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found = std::env::split_paths(&path).map(|folder| folder.join(program)).find(|file| file.is_file());
    found.ok_or_else(|| ImageError::step(format!("find {program}"), "it is in no folder of PATH"))
}

/// The libraries a program is loaded with, its loader among them; a static program has none.
fn libraries_of(program: &Path) -> Result<Vec<PathBuf>, ImageError> {
    let action = format!("find the libraries of {}", program.display());
    let output = Command::new("ldd").arg(program).env("LC_ALL", "C").stdin(Stdio::null()).output();
    let output = output.map_err(|error| {
        ImageError::step(&*action, format!("ldd: {error}; install it with: apt-get install libc-bin"))
    })?;
    let (said, complained) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    if !output.status.success() && !complained.contains("not a dynamic executable") {
        return Err(ImageError::step(action, complained.trim()));
    }
    libraries_in(&said).map_err(|missing| ImageError::step(action, format!("{missing} is not installed")))
}

/// The libraries in what `ldd` says, or the one that is missing.
pub(super) fn libraries_in(said: &str) -> Result<Vec<PathBuf>, String> {
    let mut libraries = Vec::new();
    for line in said.lines().map(str::trim) {
        let (name, place) = line.split_once("=>").unwrap_or(("", line));
        if place.trim() == "not found" {
            return Err(name.trim().to_owned());
        }
        // The kernel's own page has no file.
        libraries.extend(place.split_whitespace().next().filter(|place| place.starts_with('/')).map(PathBuf::from));
    }
    Ok(libraries)
}
