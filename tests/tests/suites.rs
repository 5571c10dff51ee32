//! Claims about suites that users supply: stand-in trees in the real layout, small programs in place of the benchmarks, a
//! disk made of them, and real guests that run from it.

use std::fs;
use std::path::Path;
use std::process::Command;

use harness::host::emulated::{EmulatedHost, GuestPlan};
use harness::host::{GuestEvent, Host};
use harness::image::Cache;
use harness::image::suite::{Added, Suite, add, catalogue};
use harness::interrupt::Interrupt;
use tests::bench::{Bench, QUANTUM, guest, small_machine, whole};

/// Sums the numbers of a file, and writes a second file beside its standard output, as 505.mcf_r does.
const MCF: &str = r#"
#include <stdio.h>
int main(int argc, char **argv) {
    FILE *in = fopen(argv[1], "r"), *log = fopen("mcf.out", "w");
    double number, sum = 0;
    if (argc != 2 || !in || !log) return 1;
    while (fscanf(in, "%lf", &number) == 1) sum += number;
    printf("sum   %.6f\n", sum);
    fprintf(log, "done\n");
    return fclose(log);
}
"#;

/// Prints its name and what stands in its standard input, through the mathematical library.
const BWAVES: &str = r#"
#include <math.h>
#include <stdio.h>
int main(int argc, char **argv) {
    double number;
    if (argc != 2 || scanf("%lf", &number) != 1) return 1;
    printf("%s %.9f\n", argv[1], sqrt(number));
    return 0;
}
"#;

/// Copies a file, for one thread.
const BLACKSCHOLES: &str = r#"
#include <stdio.h>
int main(int argc, char **argv) {
    if (argc != 4 || argv[1][0] != '1') return 1;
    FILE *in = fopen(argv[2], "r"), *out = fopen(argv[3], "w");
    if (!in || !out) return 1;
    for (int byte; (byte = fgetc(in)) != EOF;) fputc(byte, out);
    printf("done\n");
    return fclose(out);
}
"#;

fn write(root: &Path, path: &str, text: &str) {
    let path = root.join(path);
    fs::create_dir_all(path.parent().expect("a parent")).expect("a folder");
    fs::write(path, text).expect("a file");
}

/// Compiles a program to `path` below `root`.
fn compile(root: &Path, path: &str, text: &str, options: &[&str]) {
    write(root, "source.c", text);
    let program = root.join(path);
    fs::create_dir_all(program.parent().expect("a parent")).expect("a folder");
    let mut command = Command::new("gcc");
    command.arg("-O1").arg(root.join("source.c")).args(["-o".as_ref(), program.as_os_str()]).args(options);
    assert!(command.status().expect("gcc, which building Rust programs needs").success());
}

/// A tree of SPEC CPU 2017 with two benchmarks: one static with a tolerance, one that needs libraries and reads its
/// standard input.
fn spec2017(root: &Path, expected_sum: &str) {
    write(root, "version.txt", "1.1.9\n");
    let mcf = "benchspec/CPU/505.mcf_r";
    compile(root, &format!("{mcf}/exe/mcf_r_base.stand-in-m64"), MCF, &["-static"]);
    write(root, &format!("{mcf}/data/test/input/inp.in"), "1 2 3.5\n");
    write(root, &format!("{mcf}/data/test/output/inp.out"), &format!("sum {expected_sum}\n"));
    write(root, &format!("{mcf}/data/test/output/mcf.out"), "done\n");
    write(root, &format!("{mcf}/Spec/object.pm"), "$benchnum = '505';\n$reltol = 0.001;\n");
    let bwaves = "benchspec/CPU/503.bwaves_r";
    compile(root, &format!("{bwaves}/exe/bwaves_r_base.stand-in-m64"), BWAVES, &["-lm"]);
    for (number, square) in [(1, "4"), (2, "9")] {
        write(root, &format!("{bwaves}/data/test/input/bwaves_{number}.in"), square);
    }
    write(root, &format!("{bwaves}/data/test/output/bwaves_1.out"), "bwaves_1 2.0\n");
    write(root, &format!("{bwaves}/Spec/object.pm"), "$reltol = 1e-9;\n");
}

/// A tree of PARSEC 3 with one application, whose input is a tar.
fn parsec(root: &Path) {
    let package = "pkgs/apps/blackscholes";
    write(root, "version", "3.0-beta-20150206\n");
    compile(root, &format!("{package}/inst/amd64-linux.gcc-serial/bin/blackscholes"), BLACKSCHOLES, &["-static"]);
    let configuration = "#!/bin/bash\nrun_exec=\"bin/blackscholes\"\nrun_args=\"${NTHREADS} in_4.txt prices.txt\"\n";
    write(root, &format!("{package}/parsec/test.runconf"), configuration);
    write(root, "in_4.txt", "42 40 0.1\n");
    let tar = root.join(package).join("inputs/input_test.tar");
    fs::create_dir_all(tar.parent().expect("a parent")).expect("a folder");
    let status = Command::new("tar").arg("-cf").arg(&tar).arg("-C").arg(root).arg("in_4.txt").status();
    assert!(status.expect("tar is everywhere").success());
}

fn added(cache: &Cache, suite: Suite, root: &Path) -> Added {
    add(cache, suite, root, &Interrupt::default(), &mut |line| eprintln!("suite: {line}"))
        .unwrap_or_else(|error| panic!("{}", whole(&error)))
}

/// A guest that runs a suite's program from the disk in `cache`.
fn suite_guest(cache: &Cache, program: &str, cpu: u32) -> GuestPlan {
    let programs = catalogue(Some(cache.folder())).expect("a catalogue");
    let launch = programs.program(program).and_then(|program| program.launch(Some("test")));
    GuestPlan { launch: launch.expect("it was added"), ..guest(program, "idle", cpu) }
}

/// Lets time pass until every guest has run its program twice; the host itself compares checksums.
fn run_twice(mut host: EmulatedHost, guests: usize) -> Result<(), String> {
    let mut done = std::collections::BTreeSet::new();
    for _ in 0..400 {
        let seen = host.advance(QUANTUM).map_err(|error| whole(&error))?;
        for GuestEvent::RunCompleted { guest, run, .. } in seen.guest_events {
            done.insert((guest, run.min(1)));
        }
        if done.len() == 2 * guests {
            return Ok(());
        }
    }
    Err(format!("after 400 quanta only {done:?} are done"))
}

#[test]
fn guests_run_a_suites_benchmarks_from_its_disk_and_their_output_is_compared() {
    let Some(bench) = Bench::take() else { return };
    let folder = tempfile::tempdir().expect("a folder");
    let cache = Cache::open(folder.path()).expect("a cache");
    let (spec, pars) = (tempfile::tempdir().expect("a folder"), tempfile::tempdir().expect("a folder"));
    spec2017(spec.path(), "6.5004");
    parsec(pars.path());
    let first = added(&cache, Suite::Spec2017, spec.path());
    assert_eq!(first.version, "1.1.9");
    let names: Vec<&str> = first.programs.iter().map(|program| program.name.as_str()).collect();
    assert_eq!(names, ["spec2017/503.bwaves_r", "spec2017/505.mcf_r"]);
    assert!(first.missing.iter().any(|missing| missing.what == "505.mcf_r/refrate"), "{:?}", first.missing);
    let made = fs::metadata(&first.disk).and_then(|disk| disk.modified()).expect("a disk");
    let again = added(&cache, Suite::Spec2017, spec.path());
    assert_eq!(again.digest, first.digest);
    assert_eq!(fs::metadata(&again.disk).and_then(|disk| disk.modified()).expect("a disk"), made, "made once");
    added(&cache, Suite::Parsec, pars.path());

    let programs = ["spec2017/505.mcf_r", "spec2017/503.bwaves_r", "parsec/blackscholes"];
    let guests: Vec<GuestPlan> = (0..).zip(programs).map(|(cpu, name)| suite_guest(&cache, name, cpu)).collect();
    assert_eq!(guests.iter().map(|guest| guest.launch.checksum.is_some()).collect::<Vec<_>>(), [true, true, false]);
    run_twice(bench.launch(&small_machine(), &guests), guests.len()).unwrap_or_else(|problem| panic!("{problem}"));
}

#[test]
fn a_benchmark_whose_output_is_wrong_ends_the_run_with_the_file_and_the_line() {
    let Some(bench) = Bench::take() else { return };
    let (folder, root) = (tempfile::tempdir().expect("a folder"), tempfile::tempdir().expect("a folder"));
    let cache = Cache::open(folder.path()).expect("a cache");
    spec2017(root.path(), "7.5");
    added(&cache, Suite::Spec2017, root.path());
    let guests = [suite_guest(&cache, "spec2017/505.mcf_r", 0)];
    let problem = run_twice(bench.launch(&small_machine(), &guests), 1).expect_err("6.5 is not 7.5");
    assert!(problem.contains("line 1 of inp.out is not what the suite expects"), "{problem}");
}
