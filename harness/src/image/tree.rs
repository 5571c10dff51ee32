//! The file system of programs: a tree of unpacked packages, made smaller, completed, and turned into one ext4 whose
//! bytes follow from its content.
//!
//! `mke2fs -d` copies owners and times of the tree, and the change times cannot be set. They are overwritten afterwards
//! with `debugfs`, together with the owners: an unprivileged user's files belong to root in the guest.

use std::fs::{self, FileTimes};
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use workloads::inputs::InputFile;

use super::ImageError;
use super::tools::{DEBUGFS, MKE2FS, run};

/// What no program of ours reads.
const SUPERFLUOUS: [&str; 17] = [
    "usr/share/doc",
    "usr/share/man",
    "usr/share/locale",
    "usr/share/lintian",
    "usr/share/bug",
    "usr/share/doc-base",
    "usr/share/X11",
    "usr/share/fonts",
    "usr/share/mime",
    "usr/share/xml",
    "usr/share/zoneinfo",
    "usr/share/gdb",
    "usr/share/debconf",
    "usr/share/info",
    "usr/lib/x86_64-linux-gnu/gconv",
    "usr/lib/systemd",
    "usr/lib/x86_64-linux-gnu/perl",
];

/// Libraries that a program names but never calls, and what is loaded in their place: a small library without versions
/// of its own, which the loader takes for any. x264 calls these five for formats that none of our inputs has.
const STAND_INS: [(&str, &str); 5] = [
    ("usr/lib/x86_64-linux-gnu/libavcodec.so.59", "libjbig.so.0"),
    ("usr/lib/x86_64-linux-gnu/libavformat.so.59", "libjbig.so.0"),
    ("usr/lib/x86_64-linux-gnu/libavutil.so.57", "libjbig.so.0"),
    ("usr/lib/x86_64-linux-gnu/libffms2.so.5", "libjbig.so.0"),
    ("usr/lib/x86_64-linux-gnu/libswscale.so.6", "libjbig.so.0"),
];

/// Where file systems are mounted in the guest, and what the tree always has.
const FOLDERS: [&str; 6] = ["proc", "dev", "tmp", "data", "suite", "usr/bin"];

/// All times in the image, in seconds since 1970: 2024-01-01.
const TIME_SECONDS: u64 = 1_704_067_200;

/// Random by choice of the dice, fixed for ever: the same content gives the same bytes.
const FILE_SYSTEM_ID: &str = "7e0f3a56-3c1d-4f0e-9d0b-5a1c6e2b9f41";

const BLOCK_BYTES: u64 = 4096;

/// Removes what is superfluous, adds our program and the inputs.
pub(super) fn complete(tree: &Path, kernels: &[u8], inputs: &[InputFile]) -> Result<(), ImageError> {
    for folder in SUPERFLUOUS {
        match fs::remove_dir_all(tree.join(folder)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(ImageError::step(format!("remove {folder} from the tree"), error));
            }
            _ => {}
        }
    }
    for folder in FOLDERS {
        fs::create_dir_all(tree.join(folder))
            .map_err(|error| ImageError::step(format!("create {folder} in the tree"), error))?;
    }
    for (library, stand_in) in STAND_INS {
        let failed = |error| ImageError::step(format!("put {stand_in} in the place of {library}"), error);
        let path = tree.join(library);
        if !path.with_file_name(stand_in).exists() {
            return Err(failed(io::Error::from(io::ErrorKind::NotFound)));
        }
        std::os::unix::fs::symlink(stand_in, path).map_err(failed)?;
    }
    add(tree, "/usr/bin/kernels", kernels)?;
    make_executable(&tree.join("usr/bin/kernels"))
        .map_err(|error| ImageError::step("make kernels executable", error))?;
    for input in inputs {
        add(tree, &input.path, &input.generate())?;
    }
    Ok(())
}

/// Writes the tree as an ext4 file system to `image`.
pub(super) fn write_ext4(tree: &Path, image: &Path) -> Result<(), ImageError> {
    let entries = walk(tree).map_err(|error| ImageError::step("list the tree of programs", error))?;
    // Content, one block more for each entry (folders, long extents), and room for tables.
    let blocks: u64 = entries.iter().map(|entry| entry.bytes.div_ceil(BLOCK_BYTES) + 1).sum();
    let inodes = entries.len() as u64 + 64;
    let blocks = blocks + blocks / 50 + inodes / 8 + 1024;
    let mut command = MKE2FS.command()?;
    command
        .args(["-q", "-F", "-b", "4096", "-I", "256", "-m", "0", "-L", "phasecast"])
        .args(["-O", "none,extent,filetype,sparse_super,large_file,dir_index,extra_isize,64bit"])
        .args(["-U", FILE_SYSTEM_ID])
        .args(["-E", &format!("root_owner=0:0,hash_seed={FILE_SYSTEM_ID},lazy_itable_init=0,nodiscard")])
        .args(["-N", &inodes.to_string()])
        .arg("-d")
        .args([tree, image])
        .arg(blocks.to_string());
    run(reproducible(&mut command), "write the file system of programs")?;
    let script = image.with_extension("debugfs");
    fs::write(&script, owner_and_times(&entries))
        .map_err(|error| ImageError::step("write debugfs's commands", error))?;
    let mut command = DEBUGFS.command()?;
    command.arg("-w").arg("-f").args([&script, &image.to_path_buf()]);
    run(reproducible(&mut command), "set owners and times in the file system of programs")?;
    fs::remove_file(&script).map_err(|error| ImageError::step("remove debugfs's commands", error))
}

/// Without the host's configuration and clock.
fn reproducible(command: &mut std::process::Command) -> &mut std::process::Command {
    command.env("MKE2FS_CONFIG", "/dev/null").env("E2FSPROGS_FAKE_TIME", TIME_SECONDS.to_string())
}

/// One thing in the tree.
struct Entry {
    /// Its path in the image, `/` first.
    path: String,
    bytes: u64,
}

/// Everything in the tree, in the order of paths.
fn walk(tree: &Path) -> io::Result<Vec<Entry>> {
    let mut found = vec![Entry { path: "/".to_owned(), bytes: BLOCK_BYTES }];
    let mut folders = vec![tree.to_path_buf()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder)? {
            let entry = entry?;
            let metadata = entry.metadata()?;
            let path = entry.path();
            let inner = path.strip_prefix(tree).map_err(io::Error::other)?;
            let inner = inner.to_str().ok_or_else(|| io::Error::other(format!("{} is no UTF-8", inner.display())))?;
            found.push(Entry { path: format!("/{inner}"), bytes: metadata.len() });
            if metadata.is_dir() {
                folders.push(path);
            }
        }
    }
    found.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(found)
}

fn owner_and_times(entries: &[Entry]) -> String {
    let mut script = String::new();
    for entry in entries {
        for (field, value) in [("uid", 0), ("gid", 0)] {
            script.push_str(&format!("set_inode_field \"{}\" {field} {value}\n", entry.path));
        }
        for field in ["atime", "ctime", "mtime", "crtime"] {
            script.push_str(&format!("set_inode_field \"{}\" {field} @{TIME_SECONDS}\n", entry.path));
        }
    }
    script
}

fn add(tree: &Path, path: &str, content: &[u8]) -> Result<(), ImageError> {
    let target: PathBuf = tree.join(path.trim_start_matches('/'));
    let time = SystemTime::UNIX_EPOCH + Duration::from_secs(TIME_SECONDS);
    let write = || -> io::Result<()> {
        fs::write(&target, content)?;
        fs::File::options().write(true).open(&target)?.set_times(FileTimes::new().set_modified(time))
    };
    write().map_err(|error| ImageError::step(format!("write {path} into the tree"), error))
}

fn make_executable(path: &Path) -> io::Result<()> {
    use std::os::unix::fs::PermissionsExt;
    fs::set_permissions(path, fs::Permissions::from_mode(0o755))
}
