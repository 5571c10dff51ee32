//! Any bytes as a trace in Parquet.

#![no_main]

use std::path::Path;

use harness::trace::Trace;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let _ = Trace::read_bytes(Path::new("a.parquet"), bytes);
});
