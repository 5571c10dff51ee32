//! The emulated caches against another simulator's: the table of `tests/conformance/run.sh`, asserted.

use std::path::Path;
use std::process::Command;

/// The script's exit code for a program or plugin that is not there.
const MISSING: i32 = 3;

#[test]
fn data_misses_agree_with_cachegrind() {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("conformance/run.sh");
    let run = Command::new(&script).output().expect("bash runs the script");
    let table = String::from_utf8_lossy(&run.stdout);
    let complaint = String::from_utf8_lossy(&run.stderr);
    if run.status.code() == Some(MISSING) && std::env::var_os("REQUIRE_TOOLS").is_none() {
        eprintln!("SKIPPED, not compared with cachegrind: {complaint}");
        return;
    }
    println!("{table}");
    assert!(run.status.success(), "misses differ beyond the bounds, or the comparison failed:\n{table}{complaint}");
    let rows = table.lines().skip(1).count();
    assert_eq!(rows, 6, "three programs, two levels each:\n{table}");
}
