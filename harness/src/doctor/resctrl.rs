//! Whether the kernel's resctrl file system can tell (or limit) how much cache and bandwidth a group of threads uses.

use std::path::Path;

use super::{Check, Roots, State};

const NAME: &str = "resctrl";
const MEANING: &str = "cache occupancy and memory bandwidth of each vCPU on a live host; nothing else depends on it";

/// The CPU flags that stand for monitoring of cache occupancy and memory bandwidth.
const FLAGS: [&str; 3] = ["cqm_occup_llc", "cqm_mbm_total", "cqm_mbm_local"];

/// Reads whether resctrl is mounted, else whether it could be.
#[must_use]
pub fn check(roots: &Roots) -> Check {
    let read = |path: &str| std::fs::read_to_string(roots.proc.join(path)).unwrap_or_default();
    let mounted = read("self/mounts").lines().find_map(|line| {
        let mut fields = line.split(' ');
        let (_, place, kind) = (fields.next()?, fields.next()?, fields.next()?);
        (kind == "resctrl").then(|| place.to_owned())
    });
    if let Some(place) = mounted {
        return monitored(&place);
    }
    let flags: Vec<_> = read("cpuinfo")
        .lines()
        .find(|line| line.starts_with("flags"))
        .map(|line| FLAGS.into_iter().filter(|flag| line.split_whitespace().any(|word| word == *flag)).collect())
        .unwrap_or_default();
    let known = read("filesystems").contains("resctrl");
    match (known, flags.is_empty()) {
        (true, _) => Check::new(NAME, State::Limited, "known to the kernel, not mounted", MEANING)
            .remedy("mount -t resctrl resctrl /sys/fs/resctrl"),
        (false, false) => {
            let found = format!("the CPU can ({}), the kernel has no resctrl", flags.join(", "));
            Check::new(NAME, State::Missing, found, MEANING).remedy("boot a kernel with CONFIG_X86_CPU_RESCTRL")
        }
        (false, true) => Check::new(NAME, State::Missing, "neither the CPU nor the kernel offers it", MEANING),
    }
}

fn monitored(place: &str) -> Check {
    let features = std::fs::read_to_string(Path::new(place).join("info/L3_MON/mon_features")).unwrap_or_default();
    let features: Vec<_> = features.split_whitespace().collect();
    if features.is_empty() {
        let found = format!("mounted at {place}, without monitoring");
        Check::new(NAME, State::Limited, found, MEANING)
    } else {
        Check::new(NAME, State::Ok, format!("mounted at {place}: {}", features.join(", ")), MEANING)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn machine(files: &[(&str, &str)]) -> (tempfile::TempDir, Roots) {
        let folder = tempfile::tempdir().expect("a temporary folder");
        for (path, text) in files {
            let path = folder.path().join(path);
            std::fs::create_dir_all(path.parent().expect("in the folder")).expect("made");
            std::fs::write(path, text).expect("written");
        }
        let roots = Roots { proc: folder.path().into(), sys: folder.path().into() };
        (folder, roots)
    }

    #[test]
    fn what_the_kernel_knows_but_nobody_mounted_has_a_remedy() {
        let (_folder, roots) = machine(&[("filesystems", "nodev\tresctrl\n")]);
        let check = check(&roots);
        assert_eq!(check.state, State::Limited);
        assert!(check.remedy.is_some_and(|remedy| remedy.starts_with("mount")));
    }

    #[test]
    fn mounted_with_monitoring_is_fine_and_says_what_it_monitors() {
        let (folder, roots) = machine(&[("resctrl/info/L3_MON/mon_features", "llc_occupancy\nmbm_total_bytes\n")]);
        let place = folder.path().join("resctrl");
        std::fs::create_dir_all(folder.path().join("self")).expect("made");
        let line = format!("resctrl {} resctrl rw,relatime 0 0\n", place.display());
        std::fs::write(folder.path().join("self/mounts"), line).expect("written");
        let check = check(&roots);
        assert_eq!(check.state, State::Ok);
        assert!(check.found.ends_with("llc_occupancy, mbm_total_bytes"), "{}", check.found);
    }

    #[test]
    fn a_machine_without_it_is_told_plainly() {
        let (_folder, roots) = machine(&[("cpuinfo", "flags\t\t: fpu svm\n")]);
        assert_eq!(check(&roots).found, "neither the CPU nor the kernel offers it");
        let (_folder, roots) = machine(&[("cpuinfo", "flags\t\t: fpu cqm_occup_llc\n")]);
        assert!(check(&roots).remedy.is_some_and(|remedy| remedy.contains("CONFIG_X86_CPU_RESCTRL")));
    }
}
