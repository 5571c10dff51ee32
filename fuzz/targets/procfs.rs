//! Any bytes as what the kernel says of threads: read or refused.

#![no_main]

use harness::procfs::{parse_schedstat, parse_stat, parse_status};

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let _ = (parse_stat(bytes), parse_schedstat(bytes), parse_status(bytes));
    // Behind a name, so that fields are reached.
    let _ = parse_stat(&[b"1 (x) ", bytes].concat());
    let _ = harness::sysfs::CpuSet::from_list(&String::from_utf8_lossy(bytes));
});
