//! In which address space each vCPU of a guest is, asked of its QEMU after each quantum.
//!
//! Owns whom to ask and whom not ([`Introspection`]): QEMU's monitor serves one client, so it is asked for a moment and left;
//! that of a guest which libvirt runs is libvirt's; one that did not answer is left alone until guests are looked for again.
//! The exchange itself is [`crate::discovery::qmp`]'s. Asking costs the guest: QEMU stops a vCPU to read its registers. Off by
//! default; `docs/introspection.md` has the cost.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use predictor::counters::{AddressSpace, Sample};

use super::notice::{Notice, NoticeKind, Notices};
use super::roster::Roster;
use crate::discovery::{FoundGuest, Vmm, qmp};
use crate::procfs::{Pid, Proc};

/// How long one guest may take to answer for all its vCPUs. QEMU needs a fraction of a millisecond for each.
const PATIENCE: Duration = Duration::from_millis(20);

/// Who is asked.
#[derive(Debug, Default)]
pub(super) struct Introspection {
    /// The monitor of each guest; `None` of one that is not asked for now.
    monitors: BTreeMap<Pid, Option<PathBuf>>,
}

impl Introspection {
    /// Guests were looked for, and these found: others are forgotten, and those that did not answer get another chance.
    pub(super) fn meet(&mut self, proc: &Proc, guests: &[FoundGuest], notices: &mut Notices) {
        self.monitors.clear();
        for guest in guests {
            let arguments = proc.command_line(guest.pid).unwrap_or_default();
            match monitor(guest.vmm, &arguments) {
                Ok(socket) => {
                    self.monitors.insert(guest.pid, Some(socket));
                }
                Err(why) => notices.tell(Notice::of_guest(NoticeKind::NoIntrospection, &guest.name, why.to_owned())),
            }
        }
    }

    /// Adds the address space to the samples of guests that can be asked.
    pub(super) fn add_to(&mut self, samples: &mut [Sample], roster: &Roster, notices: &mut Notices) {
        for samples in samples.chunk_by_mut(|one, other| one.vcpu.guest == other.vcpu.guest) {
            let Some(first) = samples.first().map(|sample| sample.vcpu) else { continue };
            let Some(pid) = roster.get(first).map(|watched| watched.thread.pid) else { continue };
            let Some(monitor) = self.monitors.get_mut(&pid) else { continue };
            let Some(socket) = monitor.as_deref() else { continue };
            let numbers: Vec<u32> = samples.iter().map(|sample| sample.vcpu.index).collect();
            match qmp::address_spaces(socket, &numbers, PATIENCE) {
                Ok(spaces) => set(samples, spaces),
                Err(error) => {
                    let what = format!("its address spaces are not known for now: failed to {error}");
                    notices.tell(Notice::of_guest(NoticeKind::NoIntrospection, &roster.name(first), what));
                    *monitor = None;
                }
            }
        }
    }
}

fn set(samples: &mut [Sample], spaces: Vec<Option<AddressSpace>>) {
    for (sample, space) in samples.iter_mut().zip(spaces) {
        sample.address_space = space;
    }
}

/// Where libvirt keeps the sockets of its guests' monitors.
const OF_LIBVIRT: [&str; 3] = ["/var/lib/libvirt", "/var/run/libvirt", "/run/libvirt"];

/// The monitor of a guest with these arguments that may be asked; else why there is none, and what would help.
fn monitor(vmm: Vmm, arguments: &[String]) -> Result<PathBuf, &'static str> {
    const LIBVIRTS: &str = "its address space is not known: its monitor belongs to libvirt, which answers virsh \
                            qemu-monitor-command GUEST --hmp \"info registers\"; a second monitor, by -qmp \
                            unix:PATH,server=on,wait=off in its <qemu:commandline>, is asked";
    const NO_SOCKET: &str = "its address space is not known: it has no QMP socket with a name; add one by -qmp \
                             unix:PATH,server=on,wait=off";
    if vmm != Vmm::Qemu {
        return Err("its address space is not known: its VMM has no command that reads registers; QEMU has");
    }
    let is_libvirts = |socket: &Path| OF_LIBVIRT.iter().any(|folder| socket.starts_with(folder));
    match qmp::socket_in(arguments) {
        Some(socket) if is_libvirts(&socket) => Err(LIBVIRTS),
        Some(socket) => Ok(socket),
        None if arguments.iter().any(|argument| argument.contains("id=charmonitor")) => Err(LIBVIRTS),
        None => Err(NO_SOCKET),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(line: &str) -> Result<PathBuf, &'static str> {
        let arguments: Vec<String> = line.split(' ').map(str::to_owned).collect();
        monitor(Vmm::Qemu, &arguments)
    }

    #[test]
    fn a_monitor_of_its_own_is_asked() {
        assert_eq!(of("qemu -qmp unix:/run/a,server=on,wait=off"), Ok(PathBuf::from("/run/a")));
    }

    #[test]
    fn a_monitor_that_libvirt_owns_is_left_to_it_and_the_remedy_named() {
        for line in [
            "qemu -chardev socket,id=charmonitor,fd=23,server=on -mon chardev=charmonitor,mode=control",
            "qemu -qmp unix:/var/lib/libvirt/qemu/domain-1-a/monitor.sock,server=on",
        ] {
            let why = of(line).expect_err("it is libvirt's");
            assert!(why.contains("virsh qemu-monitor-command") && why.contains("<qemu:commandline>"), "{why}");
        }
    }

    #[test]
    fn a_guest_without_a_monitor_is_told_how_to_get_one() {
        assert!(of("qemu -qmp stdio").expect_err("no socket").contains("-qmp unix:PATH"));
        let why = monitor(Vmm::Firecracker, &[]).expect_err("no such command");
        assert!(why.contains("VMM"), "{why}");
    }
}
