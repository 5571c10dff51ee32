//! Any bytes as the head of a request to the status page: there is always an answer, and none but GET and HEAD gets a page.

#![no_main]

use harness::daemon::status::Snapshot;
use harness::daemon::status::request::answer;

const SNAPSHOT: &str = include_str!("../seeds/snapshot.json");

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let snapshot: Snapshot = serde_json::from_str(SNAPSHOT).expect("a snapshot");
    let answer = answer(bytes, &snapshot);
    assert!(answer.status != 200 || bytes.starts_with(b"GET /") || bytes.starts_with(b"HEAD /"));
    assert!(answer.bytes().starts_with(b"HTTP/1.1 "));
});
