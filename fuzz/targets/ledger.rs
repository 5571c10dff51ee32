//! Any bytes as a ledger of affinities: lines are read or counted as damaged.

#![no_main]

use harness::custody::ledger::parse;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let mut text = bytes;
    let _ = parse(&mut text);
});
