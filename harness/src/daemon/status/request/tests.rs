//! Claims about requests and what is answered, without a socket.

use std::collections::BTreeMap;

use predictor::counters::{GuestId, VcpuId};
use predictor::topology::{CpuId, DomainId, LlcDomain, NodeId, Topology};
use proptest::prelude::*;

use super::*;
use crate::daemon::status::{Decided, Happened, Totals, VcpuStatus};
use crate::daemon::trial::{Arm, Gain, Standing};
use crate::journal::note::{Mode, UnixMillis};
use crate::procfs::Pid;
use crate::resctrl::{CacheUse, GuestUse, Value};

/// A daemon with one guest whose name is an attack.
fn snapshot() -> Snapshot {
    let domain = |id| LlcDomain { id: DomainId(id), node: NodeId(0), cpus: vec![CpuId(id)], llc_bytes: Some(8 << 20) };
    let vcpu = VcpuId { guest: GuestId(3), index: 0 };
    let guest = "a\"b\\<script>\n".to_owned();
    let gain = Gain { mean: 0.021, low: -0.003, high: 0.046, pairs: 12 };
    Snapshot {
        version: "0.1.0".to_owned(),
        started: UnixMillis(1_800_000_000_000),
        at: UnixMillis(1_800_000_125_000),
        mode: Mode::DryRun,
        policy: "predictive".to_owned(),
        model: Some("/m".to_owned()),
        quantum_milliseconds: 100,
        quanta: 1250,
        topology: Topology::new(vec![domain(0), domain(1)]).expect("sound"),
        vcpus: vec![VcpuStatus {
            vcpu,
            guest: guest.clone(),
            domain: 1,
            state: "phase 2".to_owned(),
            phase: Some(2),
            next_phase: Some(0),
            next_probability: Some(0.91),
            slowdown: Some(1.25),
            running_share: None,
            verdict: "stays: the gain is too small".to_owned(),
        }],
        cache_use: vec![GuestUse {
            pid: Pid(4121),
            name: "a\"b\\<script>\n".to_owned(),
            caches: vec![CacheUse {
                cache: 1,
                occupancy: Value::Bytes(3 << 20),
                local_bytes: Value::Unavailable,
                total_bytes: Value::Bytes(77),
            }],
        }],
        totals: Totals { withheld: 7, predicted_gain: -0.5, ..Totals::default() },
        slowdowns: vec![1.0, 1.25],
        decisions: vec![Decided {
            at: UnixMillis(1_800_000_120_000),
            quantum: 1200,
            vcpu,
            guest,
            from: 0,
            to: 1,
            refusal: Some("dry run: nobody is moved".to_owned()),
            why: "because".to_owned(),
        }],
        trial: Some(Standing {
            arm: Arm::Holding,
            is_testing: true,
            quanta_left: 9,
            pairs: 12,
            void_pairs: 0,
            gain: Some(gain),
            vcpus: 1,
            measure: None,
            found: None,
        }),
        happened: vec![Happened { at: UnixMillis(0), kind: "notice".to_owned(), text: "<b>no PMU</b>".to_owned() }],
    }
}

fn asked(head: &str) -> Answer {
    answer(head.as_bytes(), &snapshot())
}

fn status(head: &str) -> u16 {
    asked(head).status
}

#[test]
fn there_are_three_paths_to_read_and_no_verb_that_writes() {
    for path in ["/", "/metrics", "/status.json", "/status.json?x=1"] {
        assert_eq!(status(&format!("GET {path} HTTP/1.1\r\nHost: 127.0.0.1:9917")), 200, "{path}");
    }
    assert_eq!(status("GET /../etc/passwd HTTP/1.1\r\nHost: localhost"), 404);
    for verb in ["POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "CONNECT", "QUERY"] {
        let answer = asked(&format!("{verb} / HTTP/1.1\r\nHost: localhost"));
        assert_eq!(answer.status, 405, "{verb}");
        assert!(String::from_utf8(answer.bytes()).expect("text").contains("\r\nAllow: GET, HEAD\r\n"));
    }
}

#[test]
fn head_is_get_without_the_body() {
    let get = String::from_utf8(asked("GET / HTTP/1.1\r\nHost: [::1]:80").bytes()).expect("text");
    let head = String::from_utf8(asked("HEAD / HTTP/1.1\r\nHost: [::1]:80").bytes()).expect("text");
    assert!(head.ends_with("\r\n\r\n") && get.starts_with(&head) && get.len() > head.len() + 1000);
    assert!(head.contains("Content-Security-Policy: default-src 'none'"), "{head}");
}

#[test]
fn a_host_that_is_not_loopback_is_refused() {
    for host in
        ["evil.example", "10.0.0.1", "localhost.evil.example", "127.0.0.1.evil:80", "[::2]:1", "", "localhost:x"]
    {
        assert_eq!(status(&format!("GET / HTTP/1.1\r\nHost: {host}")), 403, "{host}");
    }
    assert_eq!(status("GET / HTTP/1.1"), 400, "none");
    assert_eq!(status("GET / HTTP/1.1\r\nHost: localhost\r\nhost: localhost"), 400, "two");
}

#[test]
fn garbage_is_refused_by_the_code_that_fits() {
    for head in ["", "GET", "GET /", "get / HTTP/1.1", "GET  / HTTP/1.1", "GET http://x/ HTTP/1.1", "\0\0 / HTTP/1.1"] {
        assert_eq!(status(&format!("{head}\r\nHost: localhost")), 400, "{head:?}");
    }
    assert_eq!(status("GET / HTTP/2\r\nHost: localhost"), 505);
    assert_eq!(answer(b"GET /\xff HTTP/1.1\r\nHost: localhost", &snapshot()).status, 400);
}

#[test]
fn what_guests_are_called_cannot_break_out_of_the_page() {
    let page = page::render(&snapshot()).expect("a page");
    assert!(!page.contains("<script") && !page.contains("<b>no PMU"), "{page}");
    for shown in [
        "Dry run",
        "&lt;script&gt;",
        "phase 0, 91 %",
        "1.25x",
        "+2.1 % (-0.3 % to +4.6 %, 12 pairs)",
        "&lt;b&gt;no PMU",
    ] {
        assert!(page.contains(shown), "{shown}\n{page}");
    }
    assert!(!page.contains("http://") && !page.contains("https://"), "nothing is fetched from elsewhere");
}

#[test]
fn metrics_are_in_the_format_that_prometheus_reads() {
    let text = metrics::render(&snapshot());
    let mut kinds: BTreeMap<&str, &str> = BTreeMap::new();
    for line in text.lines() {
        if let Some(rest) = line.strip_prefix("# TYPE ") {
            let (name, kind) = rest.split_once(' ').expect("a kind");
            assert!(kinds.insert(name, kind).is_none(), "{name} twice");
            assert_eq!(kind == "counter", name.ends_with("_total"), "{name}");
        } else if !line.starts_with("# HELP ") {
            let name = line.split(['{', ' ']).next().expect("a name");
            assert!(kinds.contains_key(name), "{name} has no type");
            let value = line.rsplit(' ').next().expect("a value");
            assert!(value.parse::<f64>().is_ok(), "{line}");
        }
    }
    let guest = r#"{guest="3",name="a\"b\\<script>\n",vcpu="0"}"#;
    assert!(text.contains(&format!("phasecast_vcpu_slowdown_ratio{guest} 1.25\n")), "{text}");
    assert!(text.contains("phasecast_mode{mode=\"dry run\"} 1\n"));
    let cache = r#"{pid="4121",name="a\"b\\<script>\n",cache="1"}"#;
    assert!(text.contains(&format!("phasecast_guest_llc_bytes{cache} 3145728\n")), "{text}");
    assert!(!text.contains("phasecast_guest_local_memory_bytes_total{"), "unavailable is not zero");
    assert!(!text.contains("phasecast_vcpu_running_ratio{"), "what is not known is left out");
}

#[test]
fn the_json_is_what_top_reads() {
    let text = String::from_utf8(asked("GET /status.json HTTP/1.1\r\nHost: localhost").bytes()).expect("text");
    let body = text.split_once("\r\n\r\n").expect("a body").1;
    assert_eq!(serde_json::from_str::<Snapshot>(body).expect("a snapshot"), snapshot());
}

proptest! {
    #[test]
    fn any_bytes_get_an_answer(head in prop::collection::vec(any::<u8>(), 0..300)) {
        prop_assert!(answer(&head, &snapshot()).status >= 400);
    }
}

/// Fuzz targets are built by hand only, so that one would not notice.
#[test]
fn the_snapshot_that_the_fuzz_target_answers_from_is_readable() {
    let text = include_str!("../../../../../fuzz/seeds/snapshot.json");
    let snapshot: Snapshot = serde_json::from_str(text).unwrap_or_else(|error| panic!("fuzz/seeds: {error}"));
    assert_eq!(answer(b"GET /status.json HTTP/1.1\r\nHost: localhost\r\n\r\n", &snapshot).status, 200);
}
