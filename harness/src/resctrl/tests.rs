//! Monitoring groups on made-up trees, and reading trees of real layouts.
//!
//! In a made-up tree files stay where the kernel's would vanish with their folder, so tests take them away first.

use super::*;

fn tree() -> (tempfile::TempDir, PathBuf) {
    let root = tempfile::tempdir().expect("a folder");
    let groups = root.path().join("sys/fs/resctrl/mon_groups");
    fs::create_dir_all(&groups).expect("created");
    (root, groups)
}

fn others(groups: &Path, name: &str, text: &str) {
    fs::create_dir_all(groups.join(name)).expect("created");
    fs::write(groups.join(name).join("tasks"), text).expect("written");
}

#[test]
fn a_guest_has_a_group_of_its_threads_until_it_leaves() {
    let (root, groups) = tree();
    let mut resctrl = Resctrl::open(root.path()).expect("there are mon_groups");
    let own = groups.join("phasecast-7");
    resctrl.watch(Pid(7), "web", [71, 72].map(Tid).into_iter()).expect("room");
    resctrl.watch(Pid(7), "web", [71, 72, 73].map(Tid).into_iter()).expect("room");
    assert_eq!(fs::read_to_string(own.join("tasks")).expect("there"), "71\n72\n73\n");
    fs::create_dir_all(own.join("mon_data/mon_L3_01")).expect("created");
    fs::write(own.join("mon_data/mon_L3_01/llc_occupancy"), "4096\n").expect("written");
    fs::write(own.join("mon_data/mon_L3_01/mbm_total_bytes"), "Unavailable\n").expect("written");
    let caches = vec![CacheUse {
        cache: 1,
        occupancy: Value::Bytes(4096),
        local_bytes: Value::Absent,
        total_bytes: Value::Unavailable,
    }];
    assert_eq!(resctrl.read(), [GuestUse { pid: Pid(7), name: "web".to_owned(), caches }]);
    fs::remove_dir_all(own.join("mon_data")).and_then(|()| fs::remove_file(own.join("tasks"))).expect("as the kernel");
    drop(resctrl);
    assert!(!own.exists(), "removed on the way out");
}

#[test]
fn groups_of_others_are_not_touched_and_their_threads_not_taken() {
    let (root, groups) = tree();
    others(&groups, "theirs", "71\n");
    others(&groups, "phasecast-notes", "");
    others(&root.path().join("sys/fs/resctrl/gold/mon_groups"), "x", "81\n");
    fs::create_dir(groups.join("phasecast-99")).expect("left by a predecessor");
    let mut resctrl = Resctrl::open(root.path()).expect("there are mon_groups");
    assert!(!groups.join("phasecast-99").exists() && groups.join("phasecast-notes").exists());
    for (pid, tid) in [(7, 71), (8, 81)] {
        let refused = resctrl.watch(Pid(pid), "web", [Tid(tid)].into_iter());
        assert!(matches!(refused, Err(ResctrlError::Taken)));
        assert!(!groups.join(format!("phasecast-{pid}")).exists());
    }
    drop(resctrl);
    assert_eq!(fs::read_to_string(groups.join("theirs/tasks")).expect("there"), "71\n");
}

/// A file system with so many inodes, which says ENOSPC as resctrl does that has no monitoring id left.
struct Scarce(tempfile::TempDir);

impl Scarce {
    /// `None`, loudly, where nothing may be mounted.
    fn mount(inodes: u32) -> Option<Self> {
        let folder = tempfile::tempdir().expect("a folder");
        let options = format!("nr_inodes={inodes}");
        let mut mount = std::process::Command::new("mount");
        let mounted = mount.args(["-t", "tmpfs", "-o", &options, "tmpfs"]).arg(folder.path()).output();
        if mounted.is_ok_and(|mounted| mounted.status.success()) {
            return Some(Self(folder));
        }
        eprintln!("NOT TESTED: this process may not mount a tmpfs");
        None
    }
}

impl Drop for Scarce {
    fn drop(&mut self) {
        let _ = std::process::Command::new("umount").arg(self.0.path()).status();
    }
}

#[test]
fn who_comes_when_no_id_is_left_goes_without_until_somebody_leaves() {
    // Five folders down to `mon_groups`, and a group with its file.
    let Some(scarce) = Scarce::mount(7) else { return };
    let groups = scarce.0.path().join("sys/fs/resctrl/mon_groups");
    fs::create_dir_all(&groups).expect("created");
    let mut resctrl = Resctrl::open(scarce.0.path()).expect("there are mon_groups");
    let watch = |resctrl: &mut Resctrl, pid: u32| resctrl.watch(Pid(pid), "web", [Tid(10 * pid)].into_iter());
    watch(&mut resctrl, 7).expect("an id");
    assert!(matches!(watch(&mut resctrl, 8), Err(ResctrlError::NoIdLeft)));
    assert!(watch(&mut resctrl, 8).is_ok(), "told once, and not tried again for nothing");
    assert_eq!(resctrl.read().iter().map(|guest| guest.pid).collect::<Vec<_>>(), [Pid(7)]);
    fs::remove_file(groups.join("phasecast-7/tasks")).expect("as the kernel");
    resctrl.forget(Pid(7));
    watch(&mut resctrl, 8).expect("the id of the one that left");
    assert_eq!(resctrl.read().iter().map(|guest| guest.pid).collect::<Vec<_>>(), [Pid(8)]);
}

#[test]
fn without_resctrl_the_remedy_is_told() {
    let root = tempfile::tempdir().expect("a folder");
    let refused = Resctrl::open(root.path()).map(drop).expect_err("nothing is there").to_string();
    assert!(refused.contains("mount -t resctrl"), "{refused}");
}

#[test]
fn values_are_bytes_or_say_what_they_are_not() {
    let read = ["4096\n", "Unavailable\n", "Error\n", "", "-1", "12 kB", "99999999999999999999999"].map(Value::of);
    assert_eq!(read[..3], [Value::Bytes(4096), Value::Unavailable, Value::Error]);
    assert!(read[3..].iter().all(|value| *value == Value::Absent), "{read:?}");
    assert_eq!(Value::Bytes(5).bytes(), Some(5));
    assert_eq!([Value::Unavailable, Value::Error, Value::Absent].map(Value::bytes), [None; 3], "not known is not zero");
}

/// Groups of an expected file: those of the tree's root or of a control group.
fn check(group: &Path, expected: &serde_json::Value) -> usize {
    let mut compared = 0;
    let caches = read_group(group);
    let data = expected["mon_data"].as_object().cloned().unwrap_or_default();
    assert_eq!(caches.len(), data.len(), "{}", group.display());
    for found in caches {
        let values = &data[&format!("mon_L3_{:02}", found.cache)];
        let of = |file: &str| Value::of(values[file].as_str().unwrap_or_default());
        let told = (of("llc_occupancy"), of("mbm_local_bytes"), of("mbm_total_bytes"));
        assert_eq!((found.occupancy, found.local_bytes, found.total_bytes), told, "{}", group.display());
        compared += 1;
    }
    let listed: Vec<u64> = tasks(&text(&group.join("tasks"))).into_iter().map(|tid| tid.0.into()).collect();
    let told: Vec<u64> =
        expected["tasks"].as_array().into_iter().flatten().filter_map(serde_json::Value::as_u64).collect();
    assert_eq!(listed, told, "{}", group.display());
    for (name, inner) in expected["mon_groups"].as_object().into_iter().flatten() {
        compared += check(&group.join("mon_groups").join(name), inner);
    }
    compared
}

#[test]
fn trees_of_real_layouts_are_read_as_their_expected_files_say() {
    let samples = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/data/perf-text/resctrl");
    let Ok(entries) = fs::read_dir(&samples) else {
        eprintln!("NOT TESTED: {} is not there", samples.display());
        return;
    };
    let mut compared = 0;
    for archive in entries.flatten().map(|entry| entry.path()) {
        let name = archive.file_name().and_then(|name| name.to_str()).expect("a name").to_owned();
        let Some(stem) = name.strip_suffix(".tar.gz") else { continue };
        let root = tempfile::tempdir().expect("a folder");
        let unpacked = std::process::Command::new("tar").arg("xzf").arg(&archive).arg("-C").arg(root.path()).status();
        assert!(unpacked.is_ok_and(|status| status.success()), "{stem}");
        let expected = fs::read(samples.join(format!("{stem}.expected.json"))).expect("beside it");
        let expected: serde_json::Value = serde_json::from_slice(&expected).expect("JSON");
        let folder = root.path().join(stem);
        compared += check(&folder, &expected["root"]);
        for (name, group) in expected["groups"].as_object().into_iter().flatten() {
            compared += check(&folder.join(name), group);
        }
    }
    assert!(compared > 20, "{compared} caches were compared");
}
