//! What the service manager is told: ready, alive, reloading, stopping, and one line on how it goes.
//!
//! The protocol of sd_notify(3) is one datagram of `KEY=VALUE` lines to the socket that `NOTIFY_SOCKET` names, a path or, with
//! `@`, an abstract name. So it is written here rather than taken from a library. Without the variable nobody is told and
//! nothing fails; neither does it where the manager does not listen.

use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};

/// A line to the service manager, if there is one.
#[derive(Debug, Default)]
pub struct Notifier(Option<(UnixDatagram, SocketAddr)>);

impl Notifier {
    /// To whom the environment says.
    #[must_use]
    pub fn of_environment() -> Self {
        std::env::var("NOTIFY_SOCKET").map_or_else(|_| Self::default(), |name| Self::to(&name))
    }

    /// To the socket of this name.
    #[must_use]
    pub fn to(name: &str) -> Self {
        let address = match name.strip_prefix('@') {
            Some(name) => SocketAddr::from_abstract_name(name),
            None => SocketAddr::from_pathname(name),
        };
        let socket = UnixDatagram::unbound().and_then(|socket| socket.set_nonblocking(true).map(|()| socket));
        Self(socket.ok().zip(address.ok()))
    }

    /// The first quantum is over.
    pub fn ready(&self) {
        self.send("READY=1");
    }

    /// A quantum went well; `status` is a line for people.
    pub fn alive(&self, status: &str) {
        let status: String = status.chars().filter(|letter| !letter.is_control()).collect();
        self.send(&format!("WATCHDOG=1\nSTATUS={status}"));
    }

    /// The configuration is read again; [`Notifier::ready`] says that it was.
    pub fn reloading(&self) {
        let now = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
        let microseconds = now.tv_sec as i128 * 1_000_000 + i128::from(now.tv_nsec) / 1000;
        self.send(&format!("RELOADING=1\nMONOTONIC_USEC={microseconds}"));
    }

    /// The end has begun.
    pub fn stopping(&self) {
        self.send("STOPPING=1");
    }

    fn send(&self, text: &str) {
        if let Some((socket, address)) = &self.0 {
            // A manager that does not read must not hold up the loop.
            let _ = socket.send_to_addr(text.as_bytes(), address);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_word_is_one_datagram_and_a_deaf_manager_does_no_harm() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("notify");
        let manager = UnixDatagram::bind(&path).expect("a socket");
        let notifier = Notifier::to(path.to_str().expect("text"));
        let heard = || {
            let mut text = [0; 200];
            let length = manager.recv(&mut text).expect("a datagram");
            String::from_utf8_lossy(&text[..length]).into_owned()
        };
        notifier.ready();
        assert_eq!(heard(), "READY=1");
        notifier.alive("2 guests\nREADY=0");
        assert_eq!(heard(), "WATCHDOG=1\nSTATUS=2 guestsREADY=0");
        notifier.reloading();
        assert!(heard().starts_with("RELOADING=1\nMONOTONIC_USEC="));
        drop(manager);
        notifier.stopping();
        Notifier::to("/nowhere/at/all").ready();
        Notifier::default().ready();
    }
}
