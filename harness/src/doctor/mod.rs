//! What this machine can do, and why not.
//!
//! Each part of the machine is looked at on its own and answers with [`Check`]s: what was found, what that means for
//! a run, and what to do about it. Nothing here changes the machine; a probe boot of a guest is the only thing that
//! takes time. Where the kernel's files stand is a parameter ([`Roots`]), so that the readers can be tested on the
//! files of other machines. Booting the probe guest is [`crate::qemu`]'s business.

pub mod counters;
pub mod llc_domains;
pub mod privileges;
pub mod programs;
pub mod resctrl;
mod text;
pub mod virtualisation;

use std::path::{Path, PathBuf};

use serde::Serialize;

use crate::emulators;

/// How well something works on this machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// It works.
    Ok,
    /// It works in part.
    Limited,
    /// It does not work or is not there.
    Missing,
}

/// The answer about one part of the machine.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Check {
    /// What was looked at.
    pub name: String,
    /// How well it works.
    pub state: State,
    /// What was found.
    pub found: String,
    /// What that means for a run.
    pub meaning: String,
    /// What to do about it; `None` where nothing needs doing or nothing can be done.
    pub remedy: Option<String>,
}

impl Check {
    /// An answer without a remedy.
    pub fn new(name: &str, state: State, found: impl Into<String>, meaning: impl Into<String>) -> Self {
        Self { name: name.into(), state, found: found.into(), meaning: meaning.into(), remedy: None }
    }

    /// The same answer, with what to do about it.
    #[must_use]
    pub fn remedy(mut self, remedy: impl Into<String>) -> Self {
        self.remedy = Some(remedy.into());
        self
    }
}

/// A host behind the seam, and whether this machine can be it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Verdict {
    /// The host's name, as in an experiment.
    pub host: &'static str,
    /// Whether it can be used.
    pub state: State,
    /// Why.
    pub reason: String,
}

/// Everything the doctor found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Report {
    /// Which hosts this machine can be.
    pub verdicts: Vec<Verdict>,
    /// What was looked at, in a fixed order.
    pub checks: Vec<Check>,
}

/// Where the kernel's files stand.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Roots {
    /// Usually `/proc`.
    pub proc: PathBuf,
    /// Usually `/sys`.
    pub sys: PathBuf,
}

impl Default for Roots {
    fn default() -> Self {
        Self { proc: "/proc".into(), sys: "/sys".into() }
    }
}

/// Looks at this machine, and at the QEMUs installed in `cache`. With a `kernel` (of the guest image), hardware KVM is
/// tried out by booting it.
#[must_use]
pub fn examine(roots: &Roots, cache: Option<&Path>, kernel: Option<&Path>) -> Report {
    let mut checks = vec![virtualisation::check(kernel)];
    checks.extend(programs::checks(&emulators::all(cache)));
    checks.extend(counters::checks(&roots.proc));
    checks.push(llc_domains::check(&roots.sys));
    checks.push(resctrl::check(roots));
    checks.extend(privileges::checks(&roots.proc));
    Report { verdicts: verdicts(&checks), checks }
}

/// Draws the conclusion from the checks: one line a host.
fn verdicts(checks: &[Check]) -> Vec<Verdict> {
    let works = |name: &str| checks.iter().any(|check| check.name == name && check.state != State::Missing);
    let judge = |host, needs: &[&str], fine: &str| {
        let lacking: Vec<_> = needs.iter().copied().filter(|name| !works(name)).collect();
        if lacking.is_empty() {
            Verdict { host, state: State::Ok, reason: fine.into() }
        } else {
            Verdict { host, state: State::Missing, reason: format!("needs {}", lacking.join(", ")) }
        }
    };
    vec![
        judge("simulated", &[], "needs nothing of the machine"),
        judge(
            "emulated",
            &[programs::QEMU, programs::IMAGE_TOOLS, privileges::MEMORY],
            "real guests under QEMU TCG with emulated caches; works without a PMU and without KVM",
        ),
        judge(
            "live",
            &[virtualisation::NAME, counters::HARDWARE, llc_domains::NAME],
            "KVM guests on this machine's own caches; this version has no live host yet",
        ),
    ]
}

impl std::fmt::Display for Report {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        text::write(self, out)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_names_everything_it_lacks() {
        let checks = [
            Check::new(programs::QEMU, State::Missing, "", ""),
            Check::new(programs::IMAGE_TOOLS, State::Ok, "", ""),
            Check::new(privileges::MEMORY, State::Limited, "", ""),
        ];
        let verdicts = verdicts(&checks);
        let reason = |host| verdicts.iter().find(|verdict| verdict.host == host).map(|verdict| verdict.reason.clone());
        assert_eq!(reason("emulated"), Some(format!("needs {}", programs::QEMU)));
        assert_eq!(
            reason("live"),
            Some(format!("needs {}, {}, {}", virtualisation::NAME, counters::HARDWARE, llc_domains::NAME))
        );
        assert_eq!(verdicts[0].state, State::Ok, "the simulated host needs nothing");
    }
}
