//! Any text as the kernel's files of cache monitoring.

#![no_main]

use harness::resctrl::{Value, tasks};

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let text = String::from_utf8_lossy(bytes);
    let _ = (Value::of(&text), tasks(&text));
});
