//! The sockets: accepts on loopback, reads one request from each connection within a deadline, answers, closes.
//!
//! At most [`CONNECTIONS_MOST`] are served at a time, each by a thread of its own; further ones are told so and closed. Each
//! has [`DEADLINE`] from its first byte to its last, however it dribbles.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use super::Board;
use super::request::{self, HEAD_MOST};

/// Connections that are served at a time.
pub const CONNECTIONS_MOST: usize = 16;
/// For how long a connection may last.
pub const DEADLINE: Duration = Duration::from_secs(2);

/// A server that ends when it is dropped.
#[derive(Debug)]
pub struct Server {
    address: SocketAddr,
    is_over: Arc<AtomicBool>,
    acceptor: Option<JoinHandle<()>>,
}

impl Server {
    /// Listens on `address`, which has to be loopback, and shows what is on the board.
    pub fn start(address: SocketAddr, board: Arc<Board>) -> std::io::Result<Self> {
        if !address.ip().is_loopback() {
            return Err(std::io::Error::other(format!("{address} is no loopback address")));
        }
        let listener = TcpListener::bind(address)?;
        let address = listener.local_addr()?;
        let is_over = Arc::new(AtomicBool::new(false));
        let over = Arc::clone(&is_over);
        let accept = move || accept(&listener, &board, &over);
        let acceptor = std::thread::Builder::new().name("status".to_owned()).spawn(accept)?;
        Ok(Self { address, is_over, acceptor: Some(acceptor) })
    }

    /// Where it listens: with port 0, the one that was given.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.is_over.store(true, Ordering::Relaxed);
        // The acceptor waits for a connection: this is one.
        let woken = TcpStream::connect_timeout(&self.address, DEADLINE);
        if let Some(acceptor) = self.acceptor.take().filter(|_| woken.is_ok()) {
            let _ = acceptor.join();
        }
    }
}

fn accept(listener: &TcpListener, board: &Arc<Board>, is_over: &AtomicBool) {
    let serving = Arc::new(AtomicUsize::new(0));
    for stream in listener.incoming() {
        if is_over.load(Ordering::Relaxed) {
            return;
        }
        let Ok(stream) = stream else {
            // Out of descriptors, say: that does not pass at once.
            std::thread::sleep(Duration::from_millis(50));
            continue;
        };
        if serving.fetch_add(1, Ordering::AcqRel) >= CONNECTIONS_MOST {
            serving.fetch_sub(1, Ordering::AcqRel);
            refuse(stream);
            continue;
        }
        // Dropped with the closure, also where the thread cannot be had or panics.
        let (board, slot) = (Arc::clone(board), Slot(Arc::clone(&serving)));
        let serve = move || {
            let _slot = slot;
            serve(stream, &board);
        };
        drop(std::thread::Builder::new().name("status reader".to_owned()).spawn(serve));
    }
}

/// One of the connections that may be served.
struct Slot(Arc<AtomicUsize>);

impl Drop for Slot {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::AcqRel);
    }
}

/// Says in one go that there are too many, and does not wait for anything.
fn refuse(mut stream: TcpStream) {
    let _ = stream.set_nonblocking(true);
    let _ = stream.write_all(&request::too_many().bytes());
}

fn serve(mut stream: TcpStream, board: &Board) {
    let end = Instant::now() + DEADLINE;
    let answer = match head(&mut stream, end) {
        Head::Whole(head) => request::answer(&head, &board.latest()),
        Head::TooLong => request::too_long(),
        Head::TooSlow => request::too_slow(),
        Head::Gone => return,
    };
    let bytes = answer.bytes();
    let mut left = bytes.as_slice();
    while !left.is_empty() {
        let Some(rest) = remaining(end) else { return };
        let _ = stream.set_write_timeout(Some(rest));
        match stream.write(left) {
            Ok(0) | Err(_) => return,
            Ok(count) => left = &left[count..],
        }
    }
    // A close with unread bytes in the way would take the answer back.
    let _ = stream.shutdown(std::net::Shutdown::Write);
    let _ = stream.set_read_timeout(Some(Duration::from_millis(100)));
    let _ = stream.read(&mut [0; 4096]);
}

enum Head {
    Whole(Vec<u8>),
    TooLong,
    TooSlow,
    Gone,
}

fn remaining(end: Instant) -> Option<Duration> {
    end.checked_duration_since(Instant::now()).filter(|rest| !rest.is_zero())
}

/// Reads up to the empty line.
fn head(stream: &mut TcpStream, end: Instant) -> Head {
    let mut read = Vec::new();
    let mut part = [0; 1024];
    loop {
        let Some(rest) = remaining(end) else { return Head::TooSlow };
        if stream.set_read_timeout(Some(rest)).is_err() {
            return Head::Gone;
        }
        match stream.read(&mut part) {
            Ok(0) => return Head::Gone,
            Ok(count) => read.extend_from_slice(&part[..count]),
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Err(error) if matches!(error.kind(), std::io::ErrorKind::WouldBlock | std::io::ErrorKind::TimedOut) => {
                return Head::TooSlow;
            }
            Err(_) => return Head::Gone,
        }
        if let Some(length) = read.windows(4).position(|window| window == b"\r\n\r\n") {
            read.truncate(length);
            return Head::Whole(read);
        }
        if read.len() > HEAD_MOST {
            return Head::TooLong;
        }
    }
}
