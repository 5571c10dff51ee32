//! Any bytes as a trace in Parquet.
//!
//! The Parquet layer answers some damage by a panic, which the reader catches. The fuzzer would end at the panic itself; here it
//! ends where one gets out.

#![no_main]

use std::path::Path;
use std::sync::Once;

use harness::trace::Trace;

static QUIET: Once = Once::new();

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    QUIET.call_once(|| std::panic::set_hook(Box::new(|_| {})));
    let _ = Trace::read_bytes(Path::new("a.parquet"), bytes);
});
