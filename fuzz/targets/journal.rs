//! Any bytes as a journal: it is refused by line, or read.

#![no_main]

use harness::journal::Journal;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let _ = Journal::parse(bytes);
});
