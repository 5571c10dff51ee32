//! Any bytes as a table: behind a known header, and as a whole with a map of columns.

#![no_main]

use std::path::Path;

use harness::import::table::ColumnMap;
use harness::import::{Strictness, parse, to_trace};

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let text = [b"t_s,cycles,instructions\n", bytes].concat();
    if let Ok(import) = parse(&text, None, Strictness::Lenient) {
        let _ = to_trace::samples(Path::new("a.csv"), &import, 0);
    }
    if let Ok(map) = ColumnMap::parse("time_s=a,group=b,cycles=c") {
        let _ = parse(bytes, Some(&map), Strictness::Lenient);
        let _ = parse(&[b"a,b,c\n", bytes].concat(), Some(&map), Strictness::Lenient);
    }
});
