//! What a guest's machine consists of, and the QEMU arguments that say so.
//!
//! Only arguments; starting the process is [`super::Qemu`]'s.

use std::os::fd::{BorrowedFd, RawFd};
use std::path::{Path, PathBuf};

use workloads::catalogue::Disk;

use super::Accelerator;

/// The name of the virtio-serial port through which harness and guest speak.
pub const PORT_NAME: &str = "phasecast";

/// One guest's machine: one vCPU, a kernel, a read-only root file system, a port and a console.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Description {
    /// The guest's name, for people and for the process's title.
    pub name: String,
    /// Who executes its instructions.
    pub accelerator: Accelerator,
    /// The guest's memory.
    pub memory_mib: u32,
    /// The kernel to boot.
    pub kernel: PathBuf,
    /// The initramfs with the guest's init, if there is one.
    pub initramfs: Option<PathBuf>,
    /// A file system image, attached read-only as the first virtio disk.
    pub rootfs: Option<PathBuf>,
    /// The disk of a suite, attached read-only as the second virtio disk. Its digest is the disk's serial number, and so
    /// part of what identifies a snapshot.
    pub suite: Option<Disk>,
    /// The kernel's command line.
    pub command_line: String,
}

/// The plugin to load into a guest's QEMU.
#[derive(Debug, Clone, Copy)]
pub struct Plugin<'a> {
    /// The shared object.
    pub file: &'a Path,
    /// The segment it shares with the harness and the other guests.
    pub segment: BorrowedFd<'a>,
    /// The guest's slot in the segment.
    pub slot: u32,
    /// Where the guest's references to the LLC go, if they are recorded: a file that has a stream's header.
    pub stream: Option<BorrowedFd<'a>>,
}

/// A plugin that is loaded and counts nothing: what a run then costs more than without it is the price of calling it.
#[derive(Debug, Clone, Copy)]
pub struct Uncounted<'a> {
    /// The shared object.
    pub file: &'a Path,
    /// What QEMU calls it for: `translation`, `blocks` or `accesses`, each with all before it.
    pub calls: &'a str,
}

/// Descriptors and files that one start of a machine adds to its description.
#[derive(Debug, Clone, Copy)]
pub(super) struct Wiring<'a> {
    pub(super) control: RawFd,
    pub(super) port: RawFd,
    pub(super) console: &'a Path,
    /// The plugin, and the number under which its segment is inherited.
    pub(super) plugin: Option<(Plugin<'a>, RawFd)>,
    /// The number under which the file for its stream is inherited.
    pub(super) stream: Option<RawFd>,
    /// A plugin that counts nothing.
    pub(super) uncounted: Option<Uncounted<'a>>,
    pub(super) incoming: Option<RawFd>,
}

impl Description {
    /// The arguments that decide what the guest sees, without names of files: with the image's digest they identify a
    /// snapshot.
    #[must_use]
    pub fn machine_arguments(&self) -> Vec<String> {
        let mut all = words("-nodefaults -no-user-config -display none -no-reboot -machine q35 -smp 1");
        all.extend(["-m".to_owned(), format!("{}M", self.memory_mib)]);
        all.extend(words(match self.accelerator {
            // One thread and a clock that follows the instructions: repeatable, whatever else the machine does. The CPU
            // model is old on purpose: without AVX a program's address arithmetic is plain, and without RDRAND nothing
            // of the host's chance gets in.
            Accelerator::Tcg => "-accel tcg,thread=single -icount shift=1,sleep=off -cpu Nehalem",
            Accelerator::Kvm => "-accel kvm -cpu host",
        }));
        all.extend(words("-device virtio-serial-pci,ioeventfd=off,bus=pcie.0,addr=0x4"));
        if self.rootfs.is_some() {
            all.extend(words("-device virtio-blk-pci,drive=root,bus=pcie.0,addr=0x5"));
        }
        if let Some(Disk { digest, .. }) = &self.suite {
            // A serial number has room for 20 characters.
            let serial = digest.get(..20).unwrap_or(digest);
            all.extend(words(&format!("-device virtio-blk-pci,drive=suite,serial={serial},bus=pcie.0,addr=0x6")));
        }
        all.extend(["-append".to_owned(), self.command_line.clone()]);
        all
    }

    pub(super) fn arguments(&self, wiring: &Wiring<'_>) -> Vec<String> {
        let mut all = Vec::new();
        let mut add = |option: &str, value: String| all.extend([option.to_owned(), value]);
        let disks = [("root", self.rootfs.as_ref()), ("suite", self.suite.as_ref().map(|disk| &disk.image))];
        for (id, disk) in disks {
            if let Some(disk) = disk {
                add("-drive", format!("if=none,id={id},format=raw,readonly=on,file={}", escaped(disk)));
            }
        }
        add("-name", format!("guest={},debug-threads=on", self.name.replace(',', ",,")));
        add("-kernel", self.kernel.display().to_string());
        if let Some(initramfs) = &self.initramfs {
            add("-initrd", initramfs.display().to_string());
        }
        add("-chardev", format!("socket,id=control,fd={}", wiring.control));
        add("-mon", "chardev=control,mode=control".to_owned());
        add("-chardev", format!("file,id=console,append=on,path={}", escaped(wiring.console)));
        add("-serial", "chardev:console".to_owned());
        add("-chardev", format!("socket,id=port,fd={}", wiring.port));
        if let Some((Plugin { file, slot, .. }, segment)) = wiring.plugin {
            let stream = wiring.stream.map(|stream| format!(",stream-fd={stream}")).unwrap_or_default();
            add("-plugin", format!("file={},segment-fd={segment},slot={slot}{stream}", escaped(file)));
        }
        if let Some(Uncounted { file, calls }) = wiring.uncounted {
            add("-plugin", format!("file={},calls={calls}", escaped(file)));
        }
        if let Some(state) = wiring.incoming {
            add("-incoming", format!("fd:{state}"));
            all.push("-S".to_owned());
        }
        all.extend(self.machine_arguments());
        all.extend(words(&format!("-device virtserialport,chardev=port,name={PORT_NAME}")));
        all
    }
}

fn words(text: &str) -> Vec<String> {
    text.split_whitespace().map(str::to_owned).collect()
}

/// A comma in a value is written twice.
fn escaped(path: &Path) -> String {
    path.display().to_string().replace(',', ",,")
}

#[cfg(test)]
mod tests {
    use std::os::fd::AsFd;

    use super::*;

    fn description() -> Description {
        Description {
            name: "alpha".to_owned(),
            accelerator: Accelerator::Tcg,
            memory_mib: 256,
            kernel: "/cache/vmlinuz".into(),
            initramfs: Some("/cache/initramfs".into()),
            rootfs: Some("/cache/a,b/root.ext4".into()),
            suite: None,
            command_line: "console=ttyS0 quiet".to_owned(),
        }
    }

    #[test]
    fn a_snapshot_does_not_depend_on_names_of_files_or_guests() {
        let mut other = description();
        other.name = "beta".to_owned();
        other.kernel = "/elsewhere/vmlinuz".into();
        other.rootfs = Some("/elsewhere/root.ext4".into());
        assert_eq!(description().machine_arguments(), other.machine_arguments());
        other.command_line.push_str(" phasecast.argv=true");
        assert_ne!(description().machine_arguments(), other.machine_arguments());
    }

    #[test]
    fn a_snapshot_depends_on_what_is_on_a_suites_disk_and_not_on_where_it_is() {
        let with = |image: &str, digest: &str| Description {
            suite: Some(Disk { image: image.into(), digest: digest.repeat(32) }),
            ..description()
        };
        assert_eq!(with("/a", "01").machine_arguments(), with("/b", "01").machine_arguments());
        assert_ne!(with("/a", "01").machine_arguments(), with("/a", "23").machine_arguments());
    }

    #[test]
    fn commas_in_file_names_do_not_end_an_option() {
        let wiring = Wiring {
            control: 3,
            port: 4,
            console: Path::new("/run/c"),
            plugin: None,
            stream: None,
            uncounted: None,
            incoming: None,
        };
        let all = description().arguments(&wiring);
        assert!(all.iter().any(|argument| argument.ends_with("file=/cache/a,,b/root.ext4")), "{all:?}");
    }

    #[test]
    fn a_restored_guest_waits_to_be_continued() {
        let null = std::fs::File::open("/dev/null").expect("it is always there");
        let plugin = Plugin { file: Path::new("/lib/p.so"), segment: null.as_fd(), slot: 2, stream: None };
        let plugin = Some((plugin, 7));
        let wiring = Wiring {
            control: 3,
            port: 4,
            console: Path::new("/c"),
            plugin,
            stream: Some(8),
            uncounted: None,
            incoming: Some(9),
        };
        let all = description().arguments(&wiring);
        assert!(all.contains(&"-S".to_owned()) && all.contains(&"fd:9".to_owned()));
        assert!(all.contains(&"file=/lib/p.so,segment-fd=7,slot=2,stream-fd=8".to_owned()));
    }
}
