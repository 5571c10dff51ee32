//! Claims about the guest image: it is whole or rebuilt, and what boots from it runs programs and says how they ended.

use std::fs::{self, File};
use std::path::Path;
use std::time::Duration;

use harness::image::{Cache, Image, ImageError};
use harness::interrupt::Interrupt;
use harness::qemu::{Accelerator, Description, Qemu, RunFolder, Start};
use tests::bench::Bench;
use workloads::catalogue::{Catalogue, Family};
use workloads::launch::encode_argv;

/// Long enough for a machine that is busy with other tests.
const PATIENCE: Duration = Duration::from_secs(200);

/// A cache of its own with the same packages, and with a copy of the bench's image.
fn cache_with_a_copy(bench: &Bench) -> (tempfile::TempDir, Cache, std::path::PathBuf) {
    let folder = tempfile::tempdir().expect("a folder");
    for file in fs::read_dir(&bench.cache).expect("a folder").map(|entry| entry.expect("an entry")) {
        if file.file_name().to_string_lossy().starts_with("packages-") {
            fs::copy(file.path(), folder.path().join(file.file_name())).expect("a resolution");
        }
    }
    std::os::unix::fs::symlink(bench.cache.join("debs"), folder.path().join("debs")).expect("a link");
    let cache = Cache::open(folder.path()).expect("a cache");
    let original = bench.image.kernel.parent().expect("an image stands in a folder");
    let entry = cache.folder().join("images").join(&bench.image.digest);
    fs::create_dir(&entry).expect("a folder");
    for file in fs::read_dir(original).expect("a folder").map(|entry| entry.expect("an entry")) {
        fs::copy(file.path(), entry.join(file.file_name())).expect("a copy");
    }
    (folder, cache, entry)
}

fn truncate(file: &Path) {
    let half = fs::metadata(file).expect("a file").len() / 2;
    File::options().write(true).open(file).and_then(|file| file.set_len(half)).expect("half a file");
}

#[test]
fn a_truncated_image_is_never_used_and_is_rebuilt_to_the_same_bytes() {
    let Some(bench) = Bench::take() else { return };
    let (_folder, cache, entry) = cache_with_a_copy(&bench);
    truncate(&entry.join("rootfs.ext4"));
    let refusal = Image::open(&entry).expect_err("half an image").to_string();
    assert!(refusal.contains("rootfs.ext4: has ") && refusal.ends_with("phasecast image build"), "{refusal}");

    // What a build that was killed leaves behind is neither used nor kept.
    let abandoned = cache.folder().join("images/.building-abandoned");
    fs::create_dir(&abandoned).expect("a folder");

    let mut said = Vec::new();
    let image = Image::ensure(&cache, &Interrupt::default(), &mut |line| said.push(line.to_owned()));
    let image = image.expect("an image");
    assert!(said[0].starts_with("the cached image is broken and is rebuilt"), "{said:?}");
    assert_eq!(image.manifest, bench.image.manifest, "the same packages and programs give the same bytes");
    assert!(!abandoned.exists());
    assert_eq!(cache.images().expect("a list").len(), 1);
}

#[test]
fn a_build_that_is_interrupted_leaves_nothing_that_looks_like_an_image() {
    let Some(bench) = Bench::take() else { return };
    let (_folder, cache, entry) = cache_with_a_copy(&bench);
    fs::remove_dir_all(&entry).expect("it was there");
    let interrupt = Interrupt::default();
    let outcome = Image::ensure(&cache, &interrupt, &mut |line| {
        if line.starts_with("generate inputs") {
            interrupt.request();
        }
    });
    assert!(matches!(outcome, Err(ImageError::Interrupted(_))), "{outcome:?}");
    assert_eq!(fs::read_dir(cache.folder().join("images")).expect("a folder").count(), 0);
}

/// Boots a guest with this program and lets it go; answers the lines it says from `begin` on, up to the first run that
/// succeeds or the error.
fn boot(bench: &Bench, argv: &[String]) -> Vec<String> {
    let description = Description {
        name: "trial".to_owned(),
        accelerator: Accelerator::Tcg,
        memory_mib: 256,
        kernel: bench.image.kernel.clone(),
        initramfs: Some(bench.image.initramfs.clone()),
        rootfs: Some(bench.image.rootfs.clone()),
        suite: None,
        command_line: format!("console=ttyS0 quiet panic=-1 cryptomgr.notests no_timer_check {}", encode_argv(argv)),
    };
    let interrupt = Interrupt::default();
    let folder = RunFolder::create().expect("a folder");
    let program = &bench.qemu;
    let mut guest = Qemu::start(program, &description, Start::default(), &folder).expect("a guest");
    let mut lines = Vec::new();
    loop {
        let line = guest.wait_line("hear from", PATIENCE, &interrupt).expect("a line");
        if line == "ready" {
            guest.send("go").expect("it listens");
            continue;
        }
        let last = line.contains(" status=0 ") || line.starts_with("error");
        lines.push(line);
        if last {
            return lines;
        }
    }
}

/// bzip2; every real program on every input with `PHASECAST_PROGRAMS=all`.
#[test]
fn a_real_program_in_a_guest_gives_the_catalogues_answer() {
    let Some(bench) = Bench::take() else { return };
    let all = std::env::var("PHASECAST_PROGRAMS").is_ok_and(|which| which == "all");
    for program in Catalogue::builtin().programs().iter().filter(|program| program.family == Family::Real) {
        let chosen = if all { program.inputs() } else { &program.inputs()[..usize::from(program.name == "bzip2")] };
        for input in chosen {
            let launch = program.launch(Some(&input.name)).expect("its own input");
            let checksum = launch.checksum.expect("real programs end");
            let expected = ["begin".to_owned(), format!("done run=0 status=0 checksum={checksum:016x}")];
            assert_eq!(boot(&bench, &launch.argv), expected, "{} {}", program.name, input.name);
        }
    }
}

#[test]
fn a_program_that_the_image_lacks_is_named_before_anything_runs() {
    let Some(bench) = Bench::take() else { return };
    let lines = boot(&bench, &["/usr/bin/bzip3".to_owned()]);
    let expected = "error failed to find the program /usr/bin/bzip3: the image has no such file; rebuild it";
    assert_eq!(lines, [expected]);
}

#[test]
fn a_program_that_fails_is_reported_with_its_status_and_last_words() {
    let Some(bench) = Bench::take() else { return };
    let lines = boot(&bench, &["/usr/bin/kernels", "chess"].map(str::to_owned));
    assert!(lines[1].starts_with("done run=0 status=2 checksum="), "{lines:?}");
    let expected = "error failed to run /usr/bin/kernels (run 0): exit status 2: kernels: no kernel called \"chess\"; \
                    choose one of: chase, gather, stream, stencil, blackscholes, canneal, swaptions, \
                    streamcluster, fluidanimate, dedup, viterbi, eventqueue, stringwalk, spmv, btree; see kernels --help";
    assert_eq!(lines[2], expected);
}
