//! Claims about reading suites' trees.

use std::fs;

use super::*;

/// Writes files with their folders; this test's own program stands in for every executable.
fn tree(files: &[(&str, &str)], programs: &[&str]) -> tempfile::TempDir {
    let root = tempfile::tempdir().expect("a folder");
    let make = |path: &str| {
        let path = root.path().join(path);
        fs::create_dir_all(path.parent().expect("a parent")).expect("a folder");
        path
    };
    for (path, text) in files {
        fs::write(make(path), text).expect("a file");
    }
    for program in programs {
        let own = std::env::current_exe().expect("a program");
        std::os::unix::fs::symlink(own, make(program)).expect("a link");
    }
    root
}

const MCF: &str = "benchspec/CPU/505.mcf_r";

fn reason<'a>(found: &'a Found, what: &str) -> &'a str {
    let missing = found.missing.iter().find(|missing| missing.what == what);
    missing.map_or("", |missing| missing.reason.as_str())
}

#[test]
fn a_built_benchmark_is_found_with_the_inputs_it_has() {
    let root = tree(
        &[
            ("version.txt", "1.1.9\n"),
            (&format!("{MCF}/data/test/input/inp.in"), "1 2 3\n"),
            (&format!("{MCF}/data/test/output/inp.out"), "6\n"),
            (&format!("{MCF}/data/refrate/input/inp.in"), "4 5 6\n"),
            (&format!("{MCF}/Spec/object.pm"), "$reltol = 0.01;\n"),
        ],
        &[&format!("{MCF}/exe/mcf_r_peak.a"), &format!("{MCF}/exe/mcf_r_base.b"), &format!("{MCF}/exe/mcf_r_base.c")],
    );
    let found = spec2017::scan(root.path()).expect("a tree");
    assert_eq!(found.version, "1.1.9");
    let [mcf] = found.benchmarks.as_slice() else { panic!("{:?}", found.benchmarks) };
    assert_eq!(mcf.programs, [("mcf_r".to_owned(), root.path().join(MCF).join("exe/mcf_r_base.b"))]);
    let inputs: Vec<_> = mcf.inputs.iter().map(|input| (input.name.as_str(), input.expected.is_some())).collect();
    assert_eq!(inputs, [("test", true), ("refrate", false)]);
    assert_eq!(mcf.inputs[0].tolerance.relative, 0.01);
    assert!(reason(&found, "505.mcf_r/train").starts_with("no input: "), "{:?}", found.missing);
    assert_eq!(reason(&found, "519.lbm_r"), "not in this tree");
}

#[test]
fn what_was_set_up_counts_before_what_is_usual() {
    let line = "-o x.out -e x.err ../run_base_test_a.0000/mcf_r_base.a other.in > x.out 2>> x.err\n";
    let root = tree(
        &[
            (&format!("{MCF}/data/test/input/other.in"), "1\n"),
            (&format!("{MCF}/run/run_base_test_a.0000/speccmds.cmd"), line),
        ],
        &[&format!("{MCF}/exe/mcf_r_base.a")],
    );
    let found = spec2017::scan(root.path()).expect("a tree");
    let commands: Vec<String> = found.benchmarks[0].inputs[0].commands.iter().cloned().map(String::from).collect();
    assert_eq!(commands, ["mcf_r other.in > x.out"]);
}

#[test]
fn a_benchmark_that_was_not_built_or_lacks_its_input_is_left_out_with_the_remedy() {
    let bwaves = "benchspec/CPU/503.bwaves_r";
    let root = tree(
        &[(&format!("{MCF}/data/test/input/inp.in"), "1\n"), (&format!("{bwaves}/data/test/input/bwaves_1.in"), "1\n")],
        &[&format!("{bwaves}/exe/bwaves_r_base.a")],
    );
    let found = spec2017::scan(root.path()).expect("a tree");
    assert!(found.benchmarks.is_empty());
    assert!(reason(&found, "505.mcf_r").contains("run: runcpu --action build"), "{:?}", found.missing);
    assert!(reason(&found, "503.bwaves_r/test").contains("there is no bwaves_2.in"), "{:?}", found.missing);
}

#[test]
fn another_version_is_refused_with_its_name() {
    let complaint = |root: &tempfile::TempDir| spec2017::scan(root.path()).expect_err("not 2017").to_string();
    assert!(complaint(&tree(&[("benchspec/CPU2006/a", "")], &[])).contains("this is SPEC CPU 2006; give the folder"));
    assert!(complaint(&tree(&[], &[])).contains("no folder benchspec/CPU;"));
    let complaint = |root: &tempfile::TempDir| parsec::scan(root.path()).expect_err("not 3").to_string();
    assert!(complaint(&tree(&[("pkgs/a", ""), ("version", "2.1\n")], &[])).contains("this PARSEC is 2.1, not 3"));
    assert!(complaint(&tree(&[("pkgs/a", "")], &[])).contains("does not say its version"));
    assert!(complaint(&tree(&[], &[])).contains("no folder pkgs"));
}

#[test]
fn a_package_of_parsec_takes_its_serial_build_and_the_inputs_it_has() {
    let package = "pkgs/apps/blackscholes";
    let configuration = "#!/bin/bash\nrun_exec=\"bin/blackscholes\"\nrun_args=\"${NTHREADS} in_4K.txt prices.txt\"\n";
    let swaptions = "#!/bin/bash\nrun_exec=\"bin/swaptions\"\nrun_args=\"-ns 16 -sm 10000 -nt ${NTHREADS}\"\n";
    let root = tree(
        &[
            ("version", "3.0-beta-20150206\n"),
            (&format!("{package}/parsec/simsmall.runconf"), configuration),
            (&format!("{package}/parsec/simlarge.runconf"), configuration),
            (&format!("{package}/inputs/input_simsmall.tar"), ""),
            ("pkgs/apps/swaptions/parsec/simsmall.runconf", swaptions),
            ("pkgs/kernels/dedup/parsec/simsmall.runconf", configuration),
        ],
        &[
            &format!("{package}/inst/amd64-linux.gcc/bin/blackscholes"),
            &format!("{package}/inst/amd64-linux.gcc-serial/bin/blackscholes"),
            "pkgs/apps/swaptions/inst/amd64-linux.gcc/bin/swaptions",
        ],
    );
    let found = parsec::scan(root.path()).expect("a tree");
    let names: Vec<&str> = found.benchmarks.iter().map(|benchmark| benchmark.name.as_str()).collect();
    assert_eq!(names, ["blackscholes", "swaptions"]);
    assert!(found.benchmarks[0].programs[0].1.ends_with("inst/amd64-linux.gcc-serial/bin/blackscholes"));
    let inputs = |at: usize| found.benchmarks[at].inputs.iter().map(|input| input.name.as_str()).collect::<Vec<_>>();
    assert_eq!((inputs(0), inputs(1)), (vec!["simsmall"], vec!["simsmall"]));
    assert!(reason(&found, "blackscholes/simlarge").contains("input_simlarge.tar is not there"));
    assert!(reason(&found, "dedup").contains("parsecmgmt -a build -p dedup"));
}

#[test]
fn a_tree_without_anything_to_run_is_refused_with_the_first_reasons() {
    let folder = tempfile::tempdir().expect("a folder");
    let cache = Cache::open(folder.path()).expect("a cache");
    let mut silent = |_: &str| {};
    let mut refusal = |root: &Path| {
        let outcome = add(&cache, Suite::Spec2017, root, &Interrupt::default(), &mut silent);
        outcome.expect_err("nothing can be added").to_string()
    };
    let root = tree(&[(&format!("{MCF}/data/test/input/inp.in"), "1\n")], &[]);
    let message = refusal(root.path());
    assert!(message.contains("nothing in this tree can be run (500.perlbench_r: not in this tree; "), "{message}");
    assert!(message.ends_with("build the suite and install its inputs, then try again"), "{message}");
    assert!(refusal(&root.path().join("nowhere")).contains("no such folder"));
    let scripts = tree(
        &[(&format!("{MCF}/data/test/input/inp.in"), "1\n"), (&format!("{MCF}/exe/mcf_r_base.a"), "#!/bin/sh\n")],
        &[],
    );
    assert!(refusal(scripts.path()).contains("nothing in this tree"), "a script is no program for guests");
}

#[test]
fn without_suites_the_catalogue_is_the_built_in_one() {
    let folder = tempfile::tempdir().expect("a folder");
    assert_eq!(catalogue(Some(folder.path())), Ok(Catalogue::builtin()));
}
