//! Whether guests can run on hardware KVM: the accelerator's probe, told as one check.

use std::path::Path;

use super::{Check, State};
use crate::qemu::accelerator::{self, Accelerator, AcceleratorReport};

/// The name of the check that says whether hardware KVM works.
pub const NAME: &str = "hardware KVM";

/// Probes hardware virtualisation; the proof is a boot of `kernel`.
#[must_use]
pub fn check(kernel: Option<&Path>) -> Check {
    tell(&accelerator::probe(kernel))
}

fn tell(report: &AcceleratorReport) -> Check {
    let steps: Vec<_> = report
        .checks
        .iter()
        .map(|check| format!("{} {}: {}", check.name, if check.ok { "ok" } else { "failed" }, check.detail))
        .collect();
    let found = steps.join("; ");
    if report.usable == Accelerator::Kvm {
        return Check::new(
            NAME,
            State::Ok,
            found,
            "works; the emulated host uses QEMU's translator (TCG) all the same",
        );
    }
    let failed = report.checks.iter().find(|check| !check.ok).map(|check| check.name);
    let check = Check::new(NAME, State::Missing, found, "guests run under QEMU's translator (TCG), which is slower");
    match failed {
        Some("processor flags") => check.remedy(
            "turn on virtualisation in the firmware, or nested virtualisation in the \
             hypervisor; /dev/kvm alone proves nothing",
        ),
        Some("/dev/kvm") => check.remedy("load kvm_intel or kvm_amd, and join the group that owns /dev/kvm"),
        _ => check,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::qemu::accelerator::Check as Step;

    #[test]
    fn the_step_that_failed_is_told_with_its_remedy() {
        let step = |name, ok| Step { name, ok, detail: "as found".into() };
        let report = AcceleratorReport {
            usable: Accelerator::Tcg,
            checks: vec![step("processor flags", true), step("/dev/kvm", false)],
        };
        let check = tell(&report);
        assert_eq!(check.state, State::Missing);
        assert_eq!(check.found, "processor flags ok: as found; /dev/kvm failed: as found");
        assert!(check.remedy.is_some_and(|remedy| remedy.contains("kvm_amd")));
    }
}
