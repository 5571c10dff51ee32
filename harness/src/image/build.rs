//! The recipe: from packages, our programs and generated inputs to the three files of an image.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};
use workloads::catalogue::Catalogue;
use workloads::inputs::{GENERATORS_VERSION, InputFile};

use super::kernel::KernelTree;
use super::manifest::{Artefact, INITRAMFS, KERNEL, MANIFEST, Manifest, ROOTFS, hexadecimal};
use super::packages::{self, Resolution};
use super::programs::GuestPrograms;
use super::{Cache, Image, ImageError, Progress, initramfs, packages::write_whole, tree};
use crate::interrupt::Interrupt;

/// The version of this recipe; part of every digest. Raise it when the same inputs would give another image.
const RECIPE: u32 = 3;

/// The kernel's modules that a guest needs, below `kernel/` of its release, in the order in which they load: each after
/// those it uses. ext4 is built in.
const MODULES: [&str; 7] = [
    "drivers/virtio/virtio_ring.ko",
    "drivers/virtio/virtio.ko",
    "drivers/virtio/virtio_pci_legacy_dev.ko",
    "drivers/virtio/virtio_pci_modern_dev.ko",
    "drivers/virtio/virtio_pci.ko",
    "drivers/block/virtio_blk.ko",
    "drivers/char/virtio_console.ko",
];

/// Everything that goes in.
struct Ingredients {
    resolution: Resolution,
    programs: GuestPrograms,
    inputs: Vec<InputFile>,
}

pub(super) fn ensure(cache: &Cache, interrupt: &Interrupt, progress: &mut Progress<'_>) -> Result<Image, ImageError> {
    let programs = GuestPrograms::find()?;
    let _lock = cache.lock()?;
    let resolution = Resolution::of_cache(cache.folder(), progress)?;
    let ingredients = Ingredients { resolution, programs, inputs: Catalogue::builtin().files() };
    let digest = ingredients.digest();
    let entry = cache.entry(&digest);
    if entry.exists() {
        match Image::open(&entry) {
            Ok(image) if image.digest == digest => return Ok(image),
            Ok(_) => progress("the cached image bears another digest and is rebuilt"),
            Err(problem) => progress(&format!("the cached image is broken and is rebuilt ({})", problem.problem)),
        }
        fs::remove_dir_all(&entry)
            .map_err(|error| ImageError::step(format!("remove the broken image {}", entry.display()), error))?;
    }
    packages::download(cache.folder(), ingredients.resolution.all(), interrupt, progress)?;
    let building = cache.building()?;
    ingredients.build(cache, building.path(), interrupt, progress)?;
    publish(building, &entry)?;
    Image::open(&entry).map_err(|problem| ImageError::step("open the image that was just built", problem))
}

/// The digest of the image that belongs to this build of the guest's programs; `None` where these are not built, or where no
/// packages were resolved, and so there is no such image.
pub(super) fn digest_here(cache: &Cache) -> Option<String> {
    let programs = GuestPrograms::find().ok()?;
    let resolution = Resolution::kept(cache.folder())?;
    Some(Ingredients { resolution, programs, inputs: Catalogue::builtin().files() }.digest())
}

/// Gives a complete folder its name.
fn publish(building: tempfile::TempDir, entry: &Path) -> Result<(), ImageError> {
    let failed = |error: std::io::Error| ImageError::step(format!("keep the image {}", entry.display()), error);
    for name in [KERNEL, INITRAMFS, ROOTFS] {
        File::open(building.path().join(name)).and_then(|file| file.sync_all()).map_err(failed)?;
    }
    fs::rename(building.path(), entry).map_err(failed)?;
    // The name is ours now; there is nothing left to remove.
    let _ = building.keep();
    Ok(())
}

impl Ingredients {
    fn digest(&self) -> String {
        let mut hash = Sha256::new();
        let mut word = |text: &str| {
            hash.update((text.len() as u64).to_le_bytes());
            hash.update(text.as_bytes());
        };
        word(&format!("recipe {RECIPE}, generators {GENERATORS_VERSION}"));
        for package in self.resolution.all() {
            word(&package.name);
            word(&package.sha256);
        }
        for input in &self.inputs {
            word(&format!("{input:?}"));
        }
        word(&sha256_of(&self.programs.guest));
        word(&sha256_of(&self.programs.kernels));
        hexadecimal(&hash.finalize())
    }

    fn build(
        &self,
        cache: &Cache,
        folder: &Path,
        interrupt: &Interrupt,
        progress: &mut Progress<'_>,
    ) -> Result<(), ImageError> {
        let scratch = |name: &str| {
            let path = folder.join(name);
            fs::create_dir(&path)
                .map(|()| path.clone())
                .map_err(|error| ImageError::step(format!("create {}", path.display()), error))
        };
        progress("unpack the kernel");
        let kernel_tree = scratch("kernel")?;
        let kernel = KernelTree::unpack(cache, &self.resolution.kernel, &kernel_tree)?;
        fs::copy(kernel.vmlinuz(), folder.join(KERNEL))
            .map_err(|error| ImageError::step(format!("copy the kernel {}", kernel.release()), error))?;
        write_whole(&folder.join(INITRAMFS), &self.initramfs(&kernel)?)?;

        let programs_tree = scratch("programs")?;
        let packages = &self.resolution.programs;
        for (index, package) in packages.iter().enumerate() {
            interrupt.check()?;
            progress(&format!("unpack {} ({} of {})", package.name, index + 1, packages.len()));
            packages::unpack(cache.folder(), package, &programs_tree)?;
        }
        progress("generate inputs");
        tree::complete(&programs_tree, &self.programs.kernels, &self.inputs)?;
        interrupt.check()?;
        progress("write the file system of programs");
        tree::write_ext4(&programs_tree, &folder.join(ROOTFS))?;
        for tree in [&kernel_tree, &programs_tree] {
            remove_tree(tree)?;
        }
        interrupt.check()?;
        self.write_manifest(folder, kernel.release().to_owned())
    }

    fn initramfs(&self, kernel: &KernelTree) -> Result<Vec<u8>, ImageError> {
        let mut archive = initramfs::Archive::default();
        for folder in ["dev", "proc", "sys", "programs", "modules"] {
            archive.folder(folder);
        }
        archive.character_device("dev/console", 5, 1);
        archive.file("init", 0o755, &self.programs.guest);
        let mut order = String::new();
        for module in MODULES {
            let (name, bytes) = kernel.module(module)?;
            archive.file(&format!("modules/{name}"), 0o644, &bytes);
            order.push_str(&format!("{name}\n"));
        }
        archive.file("modules/order", 0o644, order.as_bytes());
        Ok(archive.finish())
    }

    fn write_manifest(&self, folder: &Path, kernel_release: String) -> Result<(), ImageError> {
        let artefacts = [KERNEL, INITRAMFS, ROOTFS].iter().map(|name| Artefact::of(folder, name));
        let artefacts = artefacts
            .collect::<std::io::Result<_>>()
            .map_err(|error| ImageError::step("read the image that was just built", error))?;
        let manifest = Manifest {
            format: Manifest::FORMAT,
            digest: self.digest(),
            recipe: RECIPE,
            kernel_release,
            guest_sha256: sha256_of(&self.programs.guest),
            kernels_sha256: sha256_of(&self.programs.kernels),
            generators: GENERATORS_VERSION,
            inputs: self.inputs.iter().map(|input| input.path.clone()).collect(),
            packages: self.resolution.all().cloned().collect(),
            artefacts,
        };
        let text =
            serde_json::to_vec_pretty(&manifest).map_err(|error| ImageError::step("describe the image", error))?;
        write_whole(&folder.join(MANIFEST), &text)
    }
}

fn remove_tree(tree: &PathBuf) -> Result<(), ImageError> {
    fs::remove_dir_all(tree).map_err(|error| ImageError::step(format!("remove {}", tree.display()), error))
}

fn sha256_of(bytes: &[u8]) -> String {
    hexadecimal(&Sha256::digest(bytes))
}
