//! One HTTP request as bytes, and the answer to it; a pure function.
//!
//! Only what is needed of HTTP/1.1: GET and HEAD of three paths. Whatever else comes is refused by the code that fits, and the
//! connection is closed after every answer. A `Host` that does not name loopback is refused, or a page somewhere else could
//! read this one through a name that leads here (DNS rebinding).

use std::net::IpAddr;

use super::{Snapshot, metrics, page};

/// A request's head may be so long.
pub const HEAD_MOST: usize = 8192;

/// An answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// Its code.
    pub status: u16,
    content_type: &'static str,
    body: String,
    is_head: bool,
}

impl Answer {
    fn text(status: u16, body: impl Into<String>) -> Self {
        Self { status, content_type: "text/plain; charset=utf-8", body: body.into() + "\n", is_head: false }
    }

    fn of(content_type: &'static str, body: String) -> Self {
        Self { status: 200, content_type, body, is_head: false }
    }

    /// As it goes over the line.
    #[must_use]
    pub fn bytes(&self) -> Vec<u8> {
        let reason = match self.status {
            200 => "OK",
            403 => "Forbidden",
            404 => "Not Found",
            405 => "Method Not Allowed",
            408 => "Request Timeout",
            431 => "Request Header Fields Too Large",
            503 => "Service Unavailable",
            505 => "HTTP Version Not Supported",
            _ => "Bad Request",
        };
        let allow = if self.status == 405 { "Allow: GET, HEAD\r\n" } else { "" };
        let head = format!(
            "HTTP/1.1 {} {reason}\r\nContent-Type: {}\r\nContent-Length: {}\r\n{allow}Cache-Control: no-store\r\n\
             Content-Security-Policy: default-src 'none'; style-src 'self'; frame-ancestors 'none'\r\n\
             X-Content-Type-Options: nosniff\r\nConnection: close\r\n\r\n",
            self.status,
            self.content_type,
            self.body.len()
        );
        let body = if self.is_head { "" } else { self.body.as_str() };
        (head + body).into_bytes()
    }
}

/// What to answer when the head did not come in time.
#[must_use]
pub fn too_slow() -> Answer {
    Answer::text(408, "the request did not come in time")
}

/// What to answer when the head does not end.
#[must_use]
pub fn too_long() -> Answer {
    Answer::text(431, "the request's head is too long")
}

/// What to answer when there are too many connections.
#[must_use]
pub fn too_many() -> Answer {
    Answer::text(503, "too many connections")
}

/// Answers the request whose head is `head`, up to its empty line.
#[must_use]
pub fn answer(head: &[u8], snapshot: &Snapshot) -> Answer {
    let Ok(head) = std::str::from_utf8(head) else { return Answer::text(400, "the request is no text") };
    let mut lines = head.split("\r\n");
    let words: Vec<&str> = lines.next().unwrap_or_default().split(' ').collect();
    let [method, target, version] = words.as_slice() else {
        return Answer::text(400, "the request has no method, path and version");
    };
    if method.is_empty() || !method.bytes().all(|letter| letter.is_ascii_uppercase()) || !target.starts_with('/') {
        return Answer::text(400, "the request has no method and path");
    }
    if !matches!(*version, "HTTP/1.0" | "HTTP/1.1") {
        return Answer::text(505, "HTTP/1.1 is spoken here");
    }
    let hosts: Vec<&str> = lines
        .filter_map(|line| line.split_once(':'))
        .filter(|(name, _)| name.eq_ignore_ascii_case("host"))
        .map(|(_, value)| value.trim())
        .collect();
    let [host] = hosts.as_slice() else { return Answer::text(400, "the request names no host, or several") };
    if !is_loopback(host) {
        return Answer::text(403, "this page is for loopback; ask for 127.0.0.1 or localhost by name");
    }
    let is_head = match *method {
        "GET" => false,
        "HEAD" => true,
        _ => return Answer::text(405, "this page is for reading"),
    };
    let path = target.split('?').next().unwrap_or_default();
    Answer { is_head, ..resource(path, snapshot) }
}

fn resource(path: &str, snapshot: &Snapshot) -> Answer {
    match path {
        "/" => match page::render(snapshot) {
            Ok(page) => Answer::of("text/html; charset=utf-8", page),
            Err(error) => Answer::text(503, format!("the page cannot be made: {error:#}")),
        },
        "/style.css" => Answer::of("text/css; charset=utf-8", page::STYLE.to_owned()),
        "/metrics" => Answer::of("text/plain; version=0.0.4; charset=utf-8", metrics::render(snapshot)),
        "/status.json" => match serde_json::to_string(snapshot) {
            Ok(json) => Answer::of("application/json", json + "\n"),
            Err(error) => Answer::text(503, format!("the snapshot cannot be written: {error}")),
        },
        _ => Answer::text(404, "there are /, /status.json and /metrics"),
    }
}

/// Whether a `Host` names this machine by loopback.
fn is_loopback(host: &str) -> bool {
    let name = match host.strip_prefix('[') {
        Some(rest) => rest.split_once(']').map(|(name, port)| (name, port.strip_prefix(':').unwrap_or(port))),
        None => Some(host.split_once(':').unwrap_or((host, ""))),
    };
    let Some((name, port)) = name else { return false };
    let is_port = port.is_empty() || port.parse::<u16>().is_ok();
    let is_named = name.eq_ignore_ascii_case("localhost") || name.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback());
    is_port && is_named
}

#[cfg(test)]
mod tests;
