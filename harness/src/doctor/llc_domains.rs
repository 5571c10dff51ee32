//! Whether this machine has several LLC domains to move vCPUs between. Reading them is [`crate::sysfs`]'s business.

use std::path::Path;

use predictor::topology::TopologyError;

use super::{Check, State};
use crate::sysfs::{self, LastLevelCache};

/// The name of the check of LLC domains.
pub const NAME: &str = "LLC domains";

/// Says how many LLC domains there are to place vCPUs on.
#[must_use]
pub fn check(sys: &Path) -> Check {
    let meaning = "a live host moves vCPUs between these; the emulated host brings its own";
    let found = match sysfs::read(sys) {
        Err(error) => return Check::new(NAME, State::Missing, error.to_string(), meaning),
        Ok(found) => found,
    };
    match found.topology() {
        Err(TopologyError::NoDomain) => {
            return Check::new(NAME, State::Missing, "no CPU tells of a cache; the hypervisor hides it", meaning);
        }
        Err(error) => {
            return Check::new(NAME, State::Missing, format!("the kernel contradicts itself: {error}"), meaning);
        }
        Ok(_) => {}
    }
    let domains: Vec<String> = (0..).zip(&found.llc_domains).map(describe).collect();
    match domains.len() {
        1 => {
            let meaning =
                "with a single LLC domain there is nowhere to move a vCPU to; the emulated host brings its own";
            Check::new(NAME, State::Limited, domains.concat(), meaning)
        }
        2..=8 => Check::new(NAME, State::Ok, domains.join("; "), meaning),
        count => Check::new(NAME, State::Ok, format!("{count} of them, the first {}", domains[0]), meaning),
    }
}

fn describe((id, domain): (u32, &LastLevelCache)) -> String {
    let size = domain.size_bytes.map_or("of unknown size".into(), |bytes| format!("{} KiB", bytes / 1024));
    format!("domain {id}: {size} for CPUs {}", domain.cpus)
}
