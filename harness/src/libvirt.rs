//! Guests of libvirt: which of its domains a process is, and binding vCPUs through its API.
//!
//! libvirt keeps a record of where vCPUs may run, and puts each into a cgroup of its own. Whoever sets the affinity behind its
//! back is overruled at its next change, and `virsh vcpupin` tells something else than what is. So guests of libvirt are bound by asking
//! libvirt, where the operator says so.
//!
//! # Telling its guests
//!
//! libvirt starts QEMU with `-uuid` and with a key in a folder `.../qemu/domain-ID-NAME/`; both are asked for, and before each change the domain
//! of that UUID has to have that running number.
//!
//! # Patience
//!
//! libvirt's calls wait for its daemon for as long as it takes. A controller may not hang, so each request runs on a thread of its own and is
//! given up after [`PATIENCE`]; what it still does then is what was asked of it.
//!
//! The calls need libvirt's client library and the feature `libvirt`. Without it guests are told all the same, so that a
//! ledger another build has left can be read, and says what to do.

use serde::{Deserialize, Serialize};

use crate::procfs::{Pid, Proc};
use crate::sysfs::CpuSet;

/// How long libvirt may take over one request.
#[cfg(feature = "libvirt")]
const PATIENCE: std::time::Duration = std::time::Duration::from_secs(3);

/// Whether this build can speak to libvirt.
pub const IS_BUILT_IN: bool = cfg!(feature = "libvirt");

/// A vCPU of a guest of libvirt.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LibvirtVcpu {
    /// Where libvirt is reached, as `qemu:///system`.
    pub uri: String,
    /// The domain's identity, which stays.
    pub uuid: String,
    /// The domain's number, new at each start.
    pub domain: u32,
    /// The vCPU's number.
    pub vcpu: u32,
}

/// libvirt did not bind a vCPU.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("bind vCPU {} of domain {} by libvirt at {}: {problem}", .of.vcpu, .of.uuid, .of.uri)]
pub struct LibvirtError {
    of: LibvirtVcpu,
    problem: String,
    /// Whether it gave no answer, so that it may do yet what it was asked for.
    is_silent: bool,
}

impl LibvirtError {
    pub(crate) const fn is_silent(&self) -> bool {
        self.is_silent
    }
}

/// What libvirt answered: done, or why not.
type Answer = Result<(), String>;

impl LibvirtVcpu {
    /// The vCPU with this number of the guest that QEMU with these arguments runs; `None` if libvirt did not start it.
    #[must_use]
    pub fn of(arguments: &[String], uri: &str, vcpu: u32) -> Option<Self> {
        let uuid = arguments.windows(2).find(|pair| pair[0] == "-uuid")?[1].clone();
        let is_uuid = uuid.len() == 36 && uuid.bytes().all(|byte| byte == b'-' || byte.is_ascii_hexdigit());
        let domain = arguments.iter().filter(|argument| argument.contains("masterKey0")).find_map(|argument| {
            let (_, folder) = argument.split_once("/qemu/domain-")?;
            folder.split_once('-')?.0.parse().ok()
        })?;
        is_uuid.then(|| Self { uri: uri.to_owned(), uuid, domain, vcpu })
    }

    /// The same of a process; `None` also where libvirt shall not be asked.
    pub(crate) fn of_process(proc: &Proc, pid: Pid, uri: Option<&str>, vcpu: u32) -> Option<Self> {
        Self::of(&proc.command_line(pid).ok()?, uri?, vcpu)
    }

    /// Lets the vCPU run on `cpus`, all of which the machine has.
    pub(crate) fn pin(&self, cpus: &CpuSet) -> Result<(), LibvirtError> {
        let failed = |problem, is_silent| Err(LibvirtError { of: self.clone(), problem, is_silent });
        match self.request(bitmap(cpus)) {
            Some(Ok(())) => Ok(()),
            Some(Err(problem)) => failed(problem, false),
            None => failed("it does not answer; is it well?".to_owned(), true),
        }
    }

    #[cfg(feature = "libvirt")]
    fn request(&self, bitmap: Vec<u8>) -> Option<Answer> {
        let (answer, asked) = std::sync::mpsc::channel();
        let of = self.clone();
        // A receiver that has given up needs no answer.
        std::thread::spawn(move || drop(answer.send(of.ask(&bitmap))));
        asked.recv_timeout(PATIENCE).ok()
    }

    #[cfg(feature = "libvirt")]
    fn ask(&self, bitmap: &[u8]) -> Answer {
        let said = |error: virt::error::Error| error.message().to_owned();
        let mut connection = virt::connect::Connect::open(Some(&self.uri)).map_err(said)?;
        let pinned =
            virt::domain::Domain::lookup_by_uuid_string(&connection, &self.uuid).map_err(said).and_then(|domain| {
                match domain.get_id() {
                    Some(id) if id == self.domain => {}
                    _ => return Err("the domain was started anew".to_owned()),
                }
                domain.pin_vcpu_flags(self.vcpu, bitmap, virt::sys::VIR_DOMAIN_AFFECT_LIVE).map(drop).map_err(said)
            });
        // The answer counts; a connection that does not close well is closed all the same.
        let _ = connection.close();
        pinned
    }

    #[cfg(not(feature = "libvirt"))]
    #[expect(clippy::unused_self, reason = "the same signature as with libvirt")]
    fn request(&self, _: Vec<u8>) -> Option<Answer> {
        Some(Err(
            "this phasecast was built without libvirt; use one built with --features libvirt, or virsh vcpupin --live"
                .to_owned(),
        ))
    }
}

/// One bit for each CPU, the first in the lowest place of the first byte.
fn bitmap(cpus: &CpuSet) -> Vec<u8> {
    let mut bytes = Vec::new();
    for cpu in cpus.iter() {
        let place = (cpu / 8) as usize;
        if bytes.len() <= place {
            bytes.resize(place + 1, 0u8);
        }
        bytes[place] |= 1 << (cpu % 8);
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    fn arguments(text: &str) -> Vec<String> {
        text.split(' ').map(ToOwned::to_owned).collect()
    }

    #[test]
    fn a_guest_of_libvirt_is_told_by_uuid_and_running_number() {
        let uuid = "0e7ee0c6-5f6c-4b5a-9b8d-0b1f1b1c1d1e";
        let key =
            r#"{"qom-type":"secret","id":"masterKey0","file":"/var/lib/libvirt/qemu/domain-12-a-b/master-key.aes"}"#;
        let text = format!("qemu-system-x86_64 -name guest=a-b,debug-threads=on -object {key} -uuid {uuid} -smp 2");
        let found = LibvirtVcpu::of(&arguments(&text), "qemu:///system", 1).expect("its guest");
        let LibvirtVcpu { uri, uuid: told, domain, vcpu } = found;
        assert_eq!((uri.as_str(), told.as_str(), domain, vcpu), ("qemu:///system", uuid, 12, 1));
        let others = [
            text.replace("masterKey0", "key"),
            text.replace("domain-12-", "domain-x-"),
            text.replace("-uuid ", "-id "),
            text.replace(uuid, "../../../../../../../../../../../../../../etc"),
            format!("qemu-system-x86_64 {key} -uuid"),
        ];
        for other in others {
            assert_eq!(LibvirtVcpu::of(&arguments(&other), "qemu:///system", 1), None, "{other}");
        }
    }

    #[test]
    fn masks_become_bits_of_bytes() {
        assert_eq!(bitmap(&CpuSet::from_iter([0, 3, 8])), [0b1001, 1]);
        assert_eq!(bitmap(&CpuSet::default()), [0u8; 0]);
    }

    #[test]
    #[cfg(not(feature = "libvirt"))]
    fn a_build_without_libvirt_says_what_to_do() {
        let vcpu = LibvirtVcpu { uri: "qemu:///system".to_owned(), uuid: "u".to_owned(), domain: 1, vcpu: 0 };
        let said = vcpu.pin(&CpuSet::default()).expect_err("it cannot").to_string();
        assert!(said.contains("--features libvirt") && said.contains("virsh vcpupin"), "{said}");
    }
}
