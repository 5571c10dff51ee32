//! Claims about the real programs of the catalogue: each writes what the catalogue says, on every input. Shown outside
//! guests by QEMU's user emulation with the guests' CPU, in the tree of programs as the image has it.
//!
//! All runs take one and a half minutes of CPU. By default a third of them is made; which third follows from the image,
//! so that it changes with every change of programs and inputs. `PHASECAST_PROGRAMS=all` asks for all.

use std::collections::VecDeque;
use std::ffi::OsString;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Mutex;

use tests::bench::Bench;
use workloads::catalogue::{Catalogue, Family, Launch};
use workloads::hash::fnv1a;

/// The environment of programs in a guest, as its init has it.
const ENVIRONMENT: [(&str, &str); 7] = [
    ("PATH", "/usr/bin:/bin"),
    ("HOME", "/tmp"),
    ("LC_ALL", "C"),
    ("TZ", "UTC"),
    ("PERL_HASH_SEED", "0"),
    ("PERL_PERTURB_KEYS", "0"),
    ("PYTHONHASHSEED", "0"),
];

const EMULATOR: &str = "qemu-x86_64";

/// How many parts the runs are cut into, of which one is made.
const PARTS: usize = 3;

#[test]
fn every_program_writes_what_the_catalogue_says() {
    if which(EMULATOR).is_none() || which("debugfs").is_none() {
        assert!(std::env::var_os("REQUIRE_TOOLS").is_none(), "REQUIRE_TOOLS asks for {EMULATOR} and debugfs");
        eprintln!("NOT TESTED: {EMULATOR} (package qemu-user) or debugfs (e2fsprogs) is missing");
        return;
    }
    let Some(bench) = Bench::take() else { return };
    let folder = tempfile::tempdir().expect("a folder");
    let tree = unpack(&bench.image.rootfs, folder.path());
    let part = usize::from_str_radix(&bench.image.digest[..4], 16).expect("hexadecimal digits") % PARTS;
    let all = std::env::var("PHASECAST_PROGRAMS").is_ok_and(|which| which == "all");
    let chosen = runs().into_iter().enumerate().filter(|(index, _)| all || index % PARTS == part);
    let queue: Mutex<VecDeque<(String, Launch)>> = Mutex::new(chosen.map(|(_, run)| run).collect());
    let wrong = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                loop {
                    let next = queue.lock().expect("no thread panics").pop_front();
                    let Some((name, launch)) = next else { return };
                    if let Err(difference) = check(&tree, &launch) {
                        wrong.lock().expect("no thread panics").push(format!("{name}: {difference}"));
                    }
                }
            });
        }
    });
    let wrong = wrong.into_inner().expect("no thread panicked");
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Every real program on every input, by name.
fn runs() -> Vec<(String, Launch)> {
    let catalogue = Catalogue::builtin();
    let real = catalogue.programs().iter().filter(|program| program.family == Family::Real);
    let runs = real.flat_map(|program| {
        let launch = |name: &str| program.launch(Some(name)).expect("its own input");
        program.inputs().iter().map(move |input| (format!("{} {}", program.name, input.name), launch(&input.name)))
    });
    runs.collect()
}

/// The file system of programs as a folder.
fn unpack(rootfs: &Path, folder: &Path) -> PathBuf {
    let tree = folder.join("tree");
    std::fs::create_dir(&tree).expect("a folder");
    let mut dump = Command::new("debugfs");
    dump.arg("-R").arg(format!("rdump / {}", tree.display())).arg(rootfs).env("PATH", with_sbin());
    let status = dump.stdout(Stdio::null()).stderr(Stdio::null()).status().expect("debugfs");
    assert!(status.success() && tree.join("data").is_dir(), "debugfs copies the tree");
    tree
}

/// Runs the program to its end and compares what it wrote; the answer says what was wrong.
fn check(tree: &Path, launch: &Launch) -> Result<(), String> {
    let folder = tempfile::tempdir().map_err(|error| error.to_string())?;
    let words: Vec<String> = launch.argv.iter().flat_map(|argument| emulated(tree, argument)).collect();
    let output = Command::new(&words[0])
        .args(&words[1..])
        .env_clear()
        .envs(ENVIRONMENT)
        .current_dir(folder.path())
        .stdin(Stdio::null())
        .output()
        .map_err(|error| format!("failed to start {}: {error}", words[0]))?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        return Err(format!("{}: {}", output.status, said.trim_end()));
    }
    let (found, expected) = (fnv1a(&output.stdout), launch.checksum.ok_or("the catalogue has no checksum")?);
    let same = found == expected;
    same.then_some(()).ok_or_else(|| format!("wrote {found:016x}, where the catalogue has {expected:016x}"))
}

/// An argument as it is, or, if it is a program of the tree, the words that emulate it there. That is so for the program
/// itself and for one that it starts. Data is found in the tree by the emulator, which looks there first.
fn emulated(tree: &Path, argument: &str) -> Vec<String> {
    let path = tree.join(argument.trim_start_matches('/'));
    let executable = path.metadata().is_ok_and(|file| file.is_file() && file.permissions().mode() & 0o111 != 0);
    if !argument.starts_with('/') || !executable {
        return vec![argument.to_owned()];
    }
    let emulator = [which(EMULATOR).unwrap_or_else(|| EMULATOR.into()), "-cpu".into(), "Nehalem".into(), "-L".into()];
    emulator.into_iter().chain([tree.to_path_buf(), path]).map(|word| word.display().to_string()).collect()
}

fn which(program: &str) -> Option<PathBuf> {
    let paths = with_sbin();
    std::env::split_paths(&paths).map(|folder| folder.join(program)).find(|path| path.is_file())
}

/// Where programs are looked for: the path, and where Debian keeps tools that are in no ordinary user's.
fn with_sbin() -> OsString {
    let mut path = std::env::var_os("PATH").unwrap_or_default();
    path.push(":/usr/sbin:/sbin");
    path
}
