//! What VMMs call the threads of their vCPUs, and what people called the guest.
//!
//! | VMM | threads | where it is decided |
//! |---|---|---|
//! | QEMU | `CPU n/KVM`, emulated `CPU n/TCG` | `accel/kvm/kvm-accel-ops.c`, with `-name ...,debug-threads=on` |
//! | cloud-hypervisor | `vcpuN` | `vmm/src/cpu.rs` |
//! | Firecracker | `fc_vcpu N` | `src/vmm/src/vstate/vcpu.rs` |
//! | crosvm | `crosvm_vcpuN` | `src/crosvm/sys/linux/vcpu.rs` |

use serde::Serialize;

/// A program that runs guests.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Vmm {
    /// QEMU.
    Qemu,
    /// cloud-hypervisor, and others that name threads as it does.
    CloudHypervisor,
    /// Firecracker.
    Firecracker,
    /// crosvm.
    Crosvm,
}

/// What executes a guest's instructions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Accelerator {
    /// The processor, by the kernel's virtual machine.
    Kvm,
    /// QEMU itself.
    Tcg,
}

/// What a thread's name says of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct VcpuName {
    /// Whose way of naming it is.
    pub vmm: Vmm,
    /// With what the vCPU runs.
    pub accelerator: Accelerator,
    /// The vCPU's number.
    pub number: u32,
}

/// What a thread called `comm` would be; `None` for names that no vCPU has.
#[must_use]
pub fn vcpu(comm: &[u8]) -> Option<VcpuName> {
    let named = |vmm, accelerator, digits: &[u8]| Some(VcpuName { vmm, accelerator, number: number(digits)? });
    if let Some(rest) = comm.strip_prefix(b"CPU ") {
        let kvm = rest.strip_suffix(b"/KVM").and_then(|digits| named(Vmm::Qemu, Accelerator::Kvm, digits));
        return kvm.or_else(|| named(Vmm::Qemu, Accelerator::Tcg, rest.strip_suffix(b"/TCG")?));
    }
    let others: [(&[u8], Vmm); 3] =
        [(b"fc_vcpu ", Vmm::Firecracker), (b"crosvm_vcpu", Vmm::Crosvm), (b"vcpu", Vmm::CloudHypervisor)];
    others.into_iter().find_map(|(prefix, vmm)| named(vmm, Accelerator::Kvm, comm.strip_prefix(prefix)?))
}

/// A number in decimal digits alone, without zeros before it.
#[must_use]
pub fn number(digits: &[u8]) -> Option<u32> {
    let sound = match digits {
        [b'0'] => true,
        [b'1'..=b'9', rest @ ..] => rest.iter().all(u8::is_ascii_digit),
        _ => false,
    };
    std::str::from_utf8(digits).ok().filter(|_| sound)?.parse().ok()
}

/// Whether a process is called like a program that runs guests.
#[must_use]
pub fn is_called_like_a_vmm(comm: &[u8]) -> bool {
    let programs: [&[u8]; 5] = [b"qemu-", b"kvm", b"cloud-hyperviso", b"firecracker", b"crosvm"];
    programs.iter().any(|program| comm.starts_with(program))
}

/// The name in QEMU's `-name guest=NAME,...` or `-name NAME`; a comma in it is written twice.
#[must_use]
pub fn guest(arguments: &[String]) -> Option<String> {
    let place = arguments.iter().position(|argument| matches!(argument.as_str(), "-name" | "--name"))?;
    let options = options(arguments.get(place + 1)?);
    let named = options.iter().find_map(|option| option.strip_prefix("guest="));
    let name = named.or_else(|| options.first().filter(|first| !first.contains('=')).map(String::as_str))?;
    (!name.is_empty()).then(|| printable(name))
}

/// The parts of one of QEMU's arguments.
pub(super) fn options(argument: &str) -> Vec<String> {
    let mut parts = vec![String::new()];
    let mut letters = argument.chars().peekable();
    while let Some(letter) = letters.next() {
        if letter != ',' || letters.next_if_eq(&',').is_some() {
            parts.last_mut().expect("one at least").push(letter);
        } else {
            parts.push(String::new());
        }
    }
    parts
}

/// What may be shown in a terminal, and not too much of it: whoever starts a guest chooses its name.
pub(super) fn printable(name: &str) -> String {
    name.chars().take(100).map(|letter| if letter.is_control() { '?' } else { letter }).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn each_vmms_threads_are_known_by_name() {
        let known = [
            ("CPU 0/KVM", Vmm::Qemu, Accelerator::Kvm, 0),
            ("CPU 127/KVM", Vmm::Qemu, Accelerator::Kvm, 127),
            ("CPU 3/TCG", Vmm::Qemu, Accelerator::Tcg, 3),
            ("vcpu12", Vmm::CloudHypervisor, Accelerator::Kvm, 12),
            ("fc_vcpu 1", Vmm::Firecracker, Accelerator::Kvm, 1),
            ("crosvm_vcpu2", Vmm::Crosvm, Accelerator::Kvm, 2),
        ];
        for (comm, vmm, accelerator, number) in known {
            assert_eq!(vcpu(comm.as_bytes()), Some(VcpuName { vmm, accelerator, number }), "{comm}");
        }
    }

    #[test]
    fn other_names_are_no_vcpus() {
        let others = [
            "CPU 0/HVF",
            "CPU /KVM",
            "CPU 00/KVM",
            "CPU -1/KVM",
            "CPU 0/KVM ",
            "ALL CPUs/TCG",
            "vcpu",
            "vcpu0x",
            "fc_vcpu",
            "fc_vcpu1",
            "fc_api",
            "kvm-nx-lpage-re",
            "worker",
            "qemu-system-x86",
            "CPU 99999999999/KVM",
            "vcpu 1",
            "",
        ];
        for comm in others {
            assert_eq!(vcpu(comm.as_bytes()), None, "{comm}");
        }
    }

    #[test]
    fn a_guest_is_called_what_its_vmm_was_told() {
        let called = |text: &[&str]| guest(&text.iter().map(ToString::to_string).collect::<Vec<_>>());
        assert_eq!(called(&["qemu", "-name", "guest=web,,1,debug-threads=on"]).as_deref(), Some("web,1"));
        assert_eq!(called(&["qemu", "-name", "debug-threads=on,guest=a b"]).as_deref(), Some("a b"));
        assert_eq!(called(&["qemu", "-name", "plain,process=x"]).as_deref(), Some("plain"));
        assert_eq!(called(&["qemu", "-name", "debug-threads=on"]), None);
        assert_eq!(called(&["qemu", "-name"]), None);
        assert_eq!(called(&["qemu", "-name", "guest=\u{1b}[2Jx"]).as_deref(), Some("?[2Jx"));
    }

    proptest! {
        #[test]
        fn no_name_makes_reading_panic(comm in prop::collection::vec(any::<u8>(), 0..64), argument in ".{0,60}") {
            let _ = (vcpu(&comm), number(&comm), guest(&["-name".to_owned(), argument]));
        }
    }
}
