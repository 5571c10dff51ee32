//! Telling guests from other processes, on made-up trees.

use std::os::unix::fs::symlink;
use std::path::Path;

use super::*;

/// A made-up `/proc`.
struct Tree(tempfile::TempDir);

impl Tree {
    fn new() -> Self {
        let tree = Self(tempfile::tempdir().expect("a folder"));
        std::fs::create_dir(tree.0.path().join("proc")).expect("created");
        tree
    }

    fn path(&self, file: &str) -> std::path::PathBuf {
        self.0.path().join("proc").join(file)
    }

    fn stat(&self, folder: &str, number: u32, comm: &str, start: u64) {
        let zeros = "0 ".repeat(15);
        let line = format!("{number} ({comm}) S 1 1 1 0 -1 0 0 0 0 0 5 6 0 0 20 0 1 0 {start} {zeros}17 3 0 0 0 4 0");
        std::fs::create_dir_all(self.path(folder)).expect("created");
        std::fs::write(self.path(folder).join("stat"), line).expect("written");
    }

    /// A process with threads of these names, numbered upwards from its own number.
    fn process(&self, pid: u32, comm: &str, threads: &[&str], descriptors: &[&str]) {
        self.stat(&pid.to_string(), pid, comm, 50);
        self.stat(&format!("{pid}/task/{pid}"), pid, comm, 50);
        for (tid, name) in (pid + 1..).zip(threads) {
            self.stat(&format!("{pid}/task/{tid}"), tid, name, 60);
        }
        self.descriptors(pid, descriptors);
    }

    fn descriptors(&self, pid: u32, targets: &[&str]) {
        let folder = self.path(&format!("{pid}/fd"));
        std::fs::remove_dir_all(&folder)
            .or_else(|error| if folder.exists() { Err(error) } else { Ok(()) })
            .expect("removed");
        std::fs::create_dir_all(&folder).expect("created");
        for (number, target) in targets.iter().enumerate() {
            symlink(target, folder.join(number.to_string())).expect("a link");
        }
    }

    fn discovery(&self, scope: Scope) -> Discovery {
        Discovery::new(Proc::open(self.0.path()).expect("a proc"), scope)
    }

    fn scan(&self) -> Scan {
        self.discovery(Scope::default()).scan().expect("a proc")
    }
}

const TWO_VCPUS: [&str; 4] = ["/dev/kvm", "anon_inode:kvm-vm", "anon_inode:kvm-vcpu:0", "anon_inode:kvm-vcpu:1"];

fn numbers(guest: &FoundGuest) -> Vec<(u32, u32)> {
    guest.vcpus.iter().map(|vcpu| (vcpu.number, vcpu.thread.tid.0)).collect()
}

#[test]
fn guests_of_every_vmm_are_found_with_their_vcpus_alone() {
    let tree = Tree::new();
    tree.process(100, "qemu-system-x86", &["CPU 0/KVM", "CPU 1/KVM", "worker", "call_rcu"], &TWO_VCPUS);
    std::fs::write(tree.path("100/cmdline"), "qemu\0-name\0guest=web\0").expect("written");
    tree.process(200, "cloud-hyperviso", &["vmm", "vcpu0", "vcpu1"], &TWO_VCPUS);
    tree.process(300, "firecracker", &["fc_api", "fc_vcpu 0", "fc_vcpu 1"], &TWO_VCPUS);
    tree.process(400, "crosvm", &["crosvm_vcpu1", "crosvm_vcpu0"], &TWO_VCPUS);
    tree.process(500, "bash", &[], &["/dev/tty"]);
    let scan = tree.scan();
    let found: Vec<(&str, Vmm)> = scan.guests.iter().map(|guest| (guest.name.as_str(), guest.vmm)).collect();
    assert_eq!(
        found,
        [
            ("web", Vmm::Qemu),
            ("cloud-hyperviso 200", Vmm::CloudHypervisor),
            ("firecracker 300", Vmm::Firecracker),
            ("crosvm 400", Vmm::Crosvm)
        ]
    );
    assert_eq!(numbers(&scan.guests[0]), [(0, 101), (1, 102)]);
    assert_eq!(numbers(&scan.guests[3]), [(0, 402), (1, 401)]);
    assert_eq!(scan.hidden, []);
}

#[test]
fn a_name_alone_makes_no_vcpu() {
    let tree = Tree::new();
    tree.process(100, "impostor", &["CPU 0/KVM", "vcpu1"], &["/dev/null"]);
    tree.process(200, "qemu-img", &["CPU 0/KVM"], &["anon_inode:kvm-vm"]);
    tree.process(300, "emulated", &["CPU 0/TCG"], &[]);
    assert_eq!(tree.scan(), Scan::default());
}

#[test]
fn what_is_not_clear_is_left_alone_and_told() {
    let tree = Tree::new();
    tree.process(100, "qemu-system-x86", &["CPU 0/KVM", "CPU 0/KVM", "CPU 1/KVM"], &TWO_VCPUS);
    tree.process(200, "qemu-system-x86", &["qemu-system-x86"], &TWO_VCPUS);
    let scan = tree.scan();
    assert_eq!(scan.guests.iter().map(numbers).collect::<Vec<_>>(), [[(1, 103)]]);
    let told: Vec<(u32, &str)> = scan.hidden.iter().map(|hidden| (hidden.pid.0, hidden.remedy.as_str())).collect();
    assert_eq!(told.len(), 2, "{told:?}");
    assert_eq!(told[1], (200, "start QEMU with -name guest=NAME,debug-threads=on"));
}

#[test]
fn vcpus_that_kvm_numbers_with_holes_are_known_by_their_count() {
    let tree = Tree::new();
    let kvm = ["anon_inode:kvm-vm", "anon_inode:kvm-vcpu:0", "anon_inode:kvm-vcpu:1", "anon_inode:kvm-vcpu:4"];
    tree.process(100, "qemu-system-x86", &["CPU 0/KVM", "CPU 1/KVM", "CPU 2/KVM"], &kvm);
    assert_eq!(numbers(&tree.scan().guests[0]), [(0, 101), (1, 102), (2, 103)]);
}

#[test]
fn guests_come_and_go_and_vcpus_are_plugged_in() {
    let tree = Tree::new();
    tree.process(100, "vmm", &["fc_api"], &["/dev/kvm"]);
    let mut discovery = tree.discovery(Scope::default());
    assert_eq!(discovery.scan().expect("a proc"), Scan::default());
    tree.process(100, "vmm", &["fc_api", "fc_vcpu 0"], &["anon_inode:kvm-vm", "anon_inode:kvm-vcpu:0"]);
    let late = (0..3).find_map(|_| discovery.scan().expect("a proc").guests.pop()).expect("it is looked at again");
    assert_eq!(numbers(&late), [(0, 102)]);
    tree.stat("100/task/103", 103, "fc_vcpu 1", 70);
    tree.descriptors(100, &TWO_VCPUS);
    assert_eq!(numbers(&discovery.scan().expect("a proc").guests[0]), [(0, 102), (1, 103)]);
    std::fs::remove_dir_all(tree.path("100/task/102")).expect("unplugged");
    assert_eq!(numbers(&discovery.scan().expect("a proc").guests[0]), [(1, 103)]);
    std::fs::remove_dir_all(tree.path("100")).expect("ended");
    assert_eq!(discovery.scan().expect("a proc"), Scan::default());
}

#[test]
fn an_emulated_guest_is_found_only_when_asked_for() {
    let tree = Tree::new();
    tree.process(100, "qemu-system-x86", &["CPU 0/TCG", "CPU 1/TCG"], &[]);
    assert_eq!(tree.scan().guests, []);
    let asked = tree.discovery(Scope { include_tcg: true, ask_qmp: false }).scan().expect("a proc");
    assert_eq!(asked.guests.iter().map(|guest| guest.accelerator).collect::<Vec<_>>(), [Accelerator::Tcg]);
    assert_eq!(numbers(&asked.guests[0]), [(0, 101), (1, 102)]);
}

#[test]
fn a_tree_with_holes_and_garbage_hides_nobody_else() {
    let tree = Tree::new();
    tree.process(300, "firecracker", &["fc_vcpu 0"], &["anon_inode:kvm-vm", "anon_inode:kvm-vcpu:0"]);
    for file in ["100/stat", "200/task/201/stat", "x/stat"] {
        std::fs::create_dir_all(tree.path(file).parent().expect("a folder")).expect("created");
        std::fs::write(tree.path(file), b"\xff\xfe garbage").expect("written");
    }
    std::fs::write(tree.path("400"), "no folder").expect("written");
    std::fs::create_dir_all(tree.path("300/task/303")).expect("created");
    assert_eq!(tree.scan().guests.len(), 1);
}

#[test]
fn this_machine_can_be_scanned() {
    let mut discovery = Discovery::new(Proc::open(Path::new("/")).expect("a proc"), Scope::default());
    let scan = discovery.scan().expect("a proc");
    for guest in &scan.guests {
        assert!(!guest.vcpus.is_empty(), "{guest:?}");
    }
}

#[test]
fn replies_of_real_monitors_are_read() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/data/perf-text/libvirt");
    let Ok(files) = std::fs::read_dir(&folder) else {
        eprintln!("skipped: {} is not there", folder.display());
        return;
    };
    let mut read = 0;
    for file in files.flatten().map(|entry| entry.path()) {
        let name = file.file_name().and_then(|name| name.to_str()).expect("a name").to_owned();
        let Some(stem) = name.strip_suffix(".expected.json").filter(|stem| stem.starts_with("qmp-")) else { continue };
        let json = |path: &Path| -> serde_json::Value {
            serde_json::from_str(&std::fs::read_to_string(path).expect("readable")).expect("JSON")
        };
        let reply = json(&folder.join(format!("{stem}.json")));
        let told = qmp::parse(&reply["return"]).expect("a real reply");
        let told: Vec<serde_json::Value> =
            told.iter().map(|(vcpu, tid)| serde_json::json!({ "vcpu": vcpu, "thread": tid.0 })).collect();
        assert_eq!(serde_json::Value::Array(told), json(&file), "{stem}");
        read += 1;
    }
    assert!(read > 0, "{} holds no replies", folder.display());
}
