//! Any bytes as what a monitor says: an answer or an error, within its time.

#![no_main]

use std::io::Write;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use harness::discovery::qmp::ask_over;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let (ours, mut theirs) = UnixStream::pair().expect("a pair of sockets");
    // More than the socket holds would wait for a reader.
    let said = &bytes[..bytes.len().min(32 << 10)];
    theirs.write_all(said).and_then(|()| theirs.shutdown(std::net::Shutdown::Write)).expect("our own");
    let _ = ask_over(ours, Path::new("fuzz"), Duration::from_secs(1));
});
