//! Which CPUs the cgroup of a process lets it use.
//!
//! `/proc/PID/cgroup` has a line for each hierarchy: `0::/a/b` is the unified one, `3:cpuset:/a` an old one of that
//! controller. Under the unified one only groups whose parent hands the controller on have the file; the nearest one
//! upwards counts.

use std::fs::File;
use std::io::Read;
use std::path::{Component, Path, PathBuf};

use crate::sysfs::CpuSet;

/// The cpuset of the process whose `/proc/PID/cgroup` is `cgroup`, of the machine at `root`.
pub(super) fn cpuset(root: &Path, cgroup: &str) -> Option<CpuSet> {
    let mounted = root.join("sys/fs/cgroup");
    let mut unified = None;
    for line in cgroup.lines() {
        let mut parts = line.splitn(3, ':');
        let (Some(number), Some(controllers), Some(group)) = (parts.next(), parts.next(), parts.next()) else {
            continue;
        };
        if controllers.split(',').any(|name| name == "cpuset") {
            let files = ["cpuset.effective_cpus", "cpuset.cpus"];
            return nearest(&mounted.join("cpuset"), group, &files);
        }
        if number == "0" && controllers.is_empty() {
            unified = Some(group);
        }
    }
    // Beside old hierarchies the unified one is mounted a level below.
    let group = unified?;
    let file = ["cpuset.cpus.effective"];
    nearest(&mounted, group, &file).or_else(|| nearest(&mounted.join("unified"), group, &file))
}

/// What the first of `files` says in `group` or the nearest group above it that has one.
fn nearest(mounted: &Path, group: &str, files: &[&str]) -> Option<CpuSet> {
    let mut relative = PathBuf::new();
    for part in Path::new(group).components() {
        match part {
            Component::RootDir | Component::CurDir => {}
            Component::Normal(name) => relative.push(name),
            // A group outside this cgroup namespace.
            Component::ParentDir | Component::Prefix(_) => return None,
        }
    }
    relative.ancestors().find_map(|group| files.iter().find_map(|file| read(&mounted.join(group).join(file))))
}

fn read(file: &Path) -> Option<CpuSet> {
    if !std::fs::metadata(file).ok()?.is_file() {
        return None;
    }
    let mut text = String::new();
    File::open(file).ok()?.take(64 << 10).read_to_string(&mut text).ok()?;
    CpuSet::from_list(&text).ok().filter(|cpus| !cpus.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tree(files: &[(&str, &str)]) -> tempfile::TempDir {
        let root = tempfile::tempdir().expect("a folder");
        for (file, text) in files {
            let file = root.path().join("sys/fs/cgroup").join(file);
            std::fs::create_dir_all(file.parent().expect("a folder")).expect("created");
            std::fs::write(file, text).expect("written");
        }
        root
    }

    fn of(root: &tempfile::TempDir, cgroup: &str) -> Option<String> {
        cpuset(root.path(), cgroup).map(|cpus| cpus.to_string())
    }

    #[test]
    fn the_nearest_group_of_the_unified_hierarchy_counts() {
        let root = tree(&[
            ("cpuset.cpus.effective", "0-7\n"),
            ("machine.slice/cpuset.cpus.effective", "2-5\n"),
            ("machine.slice/vm.scope/cgroup.procs", ""),
            ("machine.slice/broken/cpuset.cpus.effective", "no list"),
        ]);
        assert_eq!(of(&root, "0::/machine.slice/vm.scope\n").as_deref(), Some("2-5"));
        assert_eq!(of(&root, "0::/machine.slice/broken\n").as_deref(), Some("2-5"));
        assert_eq!(of(&root, "0::/elsewhere\n").as_deref(), Some("0-7"));
        assert_eq!(of(&root, "0::/../outside\n"), None);
    }

    #[test]
    fn the_old_hierarchy_counts_where_it_has_the_controller() {
        let root = tree(&[("cpuset/vm/cpuset.cpus", "1"), ("cpuset.cpus.effective", "0-7")]);
        assert_eq!(of(&root, "3:cpuset,cpu:/vm\n0::/\n").as_deref(), Some("1"));
        let root = tree(&[("cpuset/vm/cpuset.cpus", "0-1"), ("cpuset/vm/cpuset.effective_cpus", "1")]);
        assert_eq!(of(&root, "3:cpuset:/vm\n").as_deref(), Some("1"));
        assert_eq!(of(&root, "garbage\n::\n"), None);
    }
}
