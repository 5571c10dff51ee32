//! The disk of a suite: what was found is laid out in a folder, the folder's content gives its name, and ext4 is made of
//! it unless the cache has it. What lies on it is described in [`workloads::suite`].

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};
use workloads::hash::fnv1a;
use workloads::suite::{EXPECTED, INPUT, LIBRARIES, MOUNT, PLAN, Plan, RUNNER, verdict};

use super::libraries::Libraries;
use super::{Added, AddedInput, AddedProgram, Benchmark, Found, Source, Suite, SuiteInput};
use crate::image::manifest::{hexadecimal, sha256_of_file};
use crate::image::packages::write_whole;
use crate::image::programs::GuestPrograms;
use crate::image::tools::{TAR, run};
use crate::image::{Cache, ImageError, Progress, tree};
use crate::interrupt::Interrupt;

/// The version of the layout; part of every digest.
const LAYOUT: u32 = 1;

pub(super) const DISK: &str = "disk.ext4";
pub(super) const CATALOGUE: &str = "catalogue.toml";
/// The file that names the digest last added.
pub(super) const CURRENT: &str = "current";

/// Makes disk and catalogue of what was found.
pub(super) fn make(
    cache: &Cache,
    suite: Suite,
    found: Found,
    libraries: &Libraries,
    interrupt: &Interrupt,
    progress: &mut Progress<'_>,
) -> Result<Added, ImageError> {
    let runner = GuestPrograms::find_one("suite")?;
    let _lock = cache.lock()?;
    let building = cache.building()?;
    let tree = building.path().join("tree");
    let lay = |action: &str, error: std::io::Error| ImageError::step(format!("{action} of the suite's disk"), error);
    fs::create_dir_all(tree.join(LIBRARIES)).map_err(|error| lay("make the folders", error))?;
    write_program(&tree.join(RUNNER), &runner)?;
    for (name, file) in &libraries.files {
        let target = tree.join(LIBRARIES).join(name);
        copy(file, &target)?;
        // The loader among them is started as a program.
        set_mode(&target, 0o755)?;
    }
    for (index, benchmark) in found.benchmarks.iter().enumerate() {
        interrupt.check()?;
        progress(&format!("lay out {} ({} of {})", benchmark.name, index + 1, found.benchmarks.len()));
        lay_out(&tree, benchmark, libraries.dynamic.contains(&benchmark.name))?;
    }
    let digest = digest_of(&tree, suite).map_err(|error| lay("read the content", error))?;
    let shelf = cache.folder().join("suites").join(suite.name());
    let entry = shelf.join(&digest);
    if !entry.join(DISK).is_file() {
        interrupt.check()?;
        progress("write the file system of the suite");
        let complete = building.path().join("complete");
        fs::create_dir_all(&complete).map_err(|error| lay("make the folder", error))?;
        tree::write_ext4(&tree, &complete.join(DISK))?;
        write_whole(&complete.join(CATALOGUE), catalogue_of(suite, &found).as_bytes())?;
        fs::create_dir_all(&shelf).map_err(|error| lay("make the folder", error))?;
        fs::rename(&complete, &entry).map_err(|error| lay("keep the image", error))?;
    }
    let current = building.path().join(CURRENT);
    write_whole(&current, format!("{digest}\n").as_bytes())?;
    fs::rename(&current, shelf.join(CURRENT)).map_err(|error| lay("keep the name", error))?;
    let disk = entry.join(DISK);
    let disk_bytes = fs::metadata(&disk).map_err(|error| lay("measure the image", error))?.len();
    let programs = found.benchmarks.iter().map(|benchmark| added(suite, benchmark)).collect();
    Ok(Added {
        suite: suite.name(),
        version: found.version,
        digest,
        disk,
        disk_bytes,
        programs,
        missing: found.missing,
    })
}

fn added(suite: Suite, benchmark: &Benchmark) -> AddedProgram {
    let inputs = benchmark.inputs.iter();
    let inputs = inputs.map(|input| AddedInput { name: input.name.clone(), verified: input.expected.is_some() });
    AddedProgram { name: format!("{}/{}", suite.name(), benchmark.name), inputs: inputs.collect() }
}

fn lay_out(tree: &Path, benchmark: &Benchmark, dynamic: bool) -> Result<(), ImageError> {
    let folder = tree.join(&benchmark.name);
    for (name, file) in &benchmark.programs {
        let target = folder.join("exe").join(name);
        copy(file, &target)?;
        set_mode(&target, 0o755)?;
    }
    for input in &benchmark.inputs {
        lay_out_input(&folder.join(&input.name), input, dynamic)?;
    }
    Ok(())
}

fn lay_out_input(folder: &Path, input: &SuiteInput, dynamic: bool) -> Result<(), ImageError> {
    let inner = folder.join(INPUT);
    make_folder(&inner)?;
    for source in &input.sources {
        match source {
            Source::Folder(source) => copy_tree(source, &inner)?,
            Source::Tar(tar) => {
                let mut command = TAR.command()?;
                command.args(["--extract", "--no-same-owner", "--no-same-permissions", "--file"]).arg(tar);
                run(command.arg("--directory").arg(&inner), &format!("unpack {}", tar.display()))?;
            }
        }
    }
    if let Some(expected) = &input.expected {
        copy_tree(expected, &folder.join(EXPECTED))?;
    }
    let plan = Plan { dynamic, commands: input.commands.clone(), tolerance: input.tolerance };
    let text = toml::to_string(&plan).map_err(|error| ImageError::step("describe a run of the suite", error))?;
    write_whole(&folder.join(PLAN), text.as_bytes())
}

fn make_folder(folder: &Path) -> Result<(), ImageError> {
    fs::create_dir_all(folder).map_err(|error| ImageError::step(format!("make {}", folder.display()), error))
}

/// Copies a file into a folder that is made if need be; the copy can be read by everybody.
fn copy(from: &Path, to: &Path) -> Result<(), ImageError> {
    make_folder(to.parent().unwrap_or(to))?;
    // A file of an earlier layer gives way.
    let _ = fs::remove_file(to);
    fs::copy(from, to).map_err(|error| ImageError::step(format!("copy {}", from.display()), error))?;
    set_mode(to, 0o644)
}

fn set_mode(file: &Path, mode: u32) -> Result<(), ImageError> {
    fs::set_permissions(file, fs::Permissions::from_mode(mode))
        .map_err(|error| ImageError::step(format!("set the permissions of {}", file.display()), error))
}

fn copy_tree(from: &Path, to: &Path) -> Result<(), ImageError> {
    make_folder(to)?;
    for path in sorted(from).map_err(|error| ImageError::step(format!("list {}", from.display()), error))? {
        let target = to.join(path.file_name().unwrap_or_default());
        if path.is_dir() { copy_tree(&path, &target)? } else { copy(&path, &target)? }
    }
    Ok(())
}

fn write_program(path: &Path, bytes: &[u8]) -> Result<(), ImageError> {
    write_whole(path, bytes)?;
    set_mode(path, 0o755)
}

fn sorted(folder: &Path) -> std::io::Result<Vec<PathBuf>> {
    let mut paths = fs::read_dir(folder)?.map(|entry| Ok(entry?.path())).collect::<std::io::Result<Vec<_>>>()?;
    paths.sort();
    Ok(paths)
}

/// SHA-256 over every path and content of the tree, in the order of paths.
fn digest_of(tree: &Path, suite: Suite) -> std::io::Result<String> {
    let mut hash = Sha256::new();
    hash.update(format!("layout {LAYOUT} of {}\n", suite.name()));
    let mut folders = vec![tree.to_path_buf()];
    while let Some(folder) = folders.pop() {
        for path in sorted(&folder)? {
            let inner = path.strip_prefix(tree).unwrap_or(&path).display().to_string();
            hash.update((inner.len() as u64).to_le_bytes());
            hash.update(&inner);
            if path.is_dir() {
                folders.push(path);
            } else {
                hash.update(sha256_of_file(&path)?);
            }
        }
    }
    Ok(hexadecimal(&hash.finalize()))
}

/// The programs of the suite, in the format of `workloads/catalogue.toml`.
fn catalogue_of(suite: Suite, found: &Found) -> String {
    let quoted = |text: &str| toml::Value::String(text.to_owned()).to_string();
    let mut text = format!("# Made by phasecast image add-suite {}; do not edit.\n", suite.name());
    for benchmark in &found.benchmarks {
        let (name, runner) = (format!("{}/{}", suite.name(), benchmark.name), format!("{MOUNT}/{RUNNER}"));
        text += &format!(
            "\n[[program]]\nname = {}\nfamily = \"real\"\nstresses = {}\ntruth = false\ncommand = [{}, {}]\n",
            quoted(&name),
            quoted(&benchmark.stresses),
            quoted(&runner),
            quoted(&benchmark.name),
        );
        for input in &benchmark.inputs {
            let name = quoted(&input.name);
            text += &format!("[[program.input]]\nname = {name}\narguments = [{name}]\n");
            if input.expected.is_some() {
                let checksum = fnv1a(verdict(&benchmark.name, &input.name).as_bytes());
                text += &format!("checksum = \"{checksum:016x}\"\n");
            }
        }
    }
    text
}
