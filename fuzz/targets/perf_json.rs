//! Any bytes behind an object of `perf stat -j`.

#![no_main]

use std::path::Path;

use harness::import::{Strictness, parse, to_trace};

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let text = [b"{\"counter-value\" : \"1\", \"event\" : \"cycles\"}\n", bytes].concat();
    let _ = parse(&text, None, Strictness::Strict);
    if let Ok(import) = parse(&text, None, Strictness::Lenient) {
        let _ = to_trace::samples(Path::new("a.json"), &import, 0);
    }
});
