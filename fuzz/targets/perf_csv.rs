//! Any bytes behind a row of `perf stat -x,`: rows are read or refused, and what is read becomes samples.

#![no_main]

use std::path::Path;

use harness::import::{Strictness, parse, to_trace};

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let text = [b"1,cycles\n", bytes].concat();
    let _ = parse(&text, None, Strictness::Strict);
    if let Ok(import) = parse(&text, None, Strictness::Lenient) {
        let _ = to_trace::samples(Path::new("a.csv"), &import, 0);
    }
});
