//! Fixtures of the live host: processes that KVM knows as guests, and a topology of two LLC domains that this machine need
//! not have.

pub mod kvm;

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader, Read, Write};
use std::num::NonZeroU32;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use harness::host::live::{Acting, LiveSettings};
use harness::procfs::Pid;

/// A process with a virtual machine and threads for its vCPUs. It ends with this.
pub struct KvmGuest {
    child: Child,
    orders: ChildStdin,
    answers: BufReader<ChildStdout>,
}

impl KvmGuest {
    /// Starts one, as the test file's own test `kvm_guest`; `None`, loudly, where there is no KVM to create vCPUs with,
    /// which is a failure if `REQUIRE_HOSTS` names `live`.
    ///
    /// # Panics
    /// If the program cannot be started, or if the host is required and absent.
    #[must_use]
    pub fn start(vmm: &str, work: &str, vcpus: u32, name: &str) -> Option<Self> {
        let mut command = Command::new(std::env::current_exe().expect("this test"));
        command.args(["--exact", "kvm_guest", "--nocapture"]).env(kvm::ROLE, format!("{vmm} {work} {vcpus}"));
        // For its command line, where a guest's name stands.
        command.args(["--", "-name", &format!("guest={name},debug-threads=on")]);
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("it was built");
        let orders = child.stdin.take().expect("piped");
        let answers = BufReader::new(child.stdout.take().expect("piped"));
        let mut guest = Self { child, orders, answers };
        if guest.answer() == "ready" {
            return Some(guest);
        }
        let required = std::env::var("REQUIRE_HOSTS").is_ok_and(|hosts| hosts.split(',').any(|host| host == "live"));
        assert!(!required, "REQUIRE_HOSTS names live: /dev/kvm cannot create vCPUs");
        eprintln!("NOT TESTED: /dev/kvm is absent or cannot create vCPUs");
        None
    }

    /// Its process.
    #[must_use]
    pub fn pid(&self) -> Pid {
        Pid(self.child.id())
    }

    /// Gives an order, `plug` or `unplug`, and waits until it is done.
    ///
    /// # Panics
    /// If the guest has ended.
    pub fn order(&mut self, order: &str) {
        writeln!(self.orders, "{order}").expect("it listens");
        assert_eq!(self.answer(), "done");
    }

    /// Ends it by SIGKILL.
    ///
    /// # Panics
    /// If it cannot be ended.
    pub fn kill(mut self) {
        self.child.kill().expect("our child");
        self.child.wait().expect("our child");
    }

    /// The next line that is an answer; the test runner's own lines are passed over.
    fn answer(&mut self) -> String {
        let mut lines = self.answers.by_ref().lines().map_while(Result::ok);
        let is_answer = |line: &String| matches!(line.as_str(), "ready" | "absent" | "done");
        lines.find(is_answer).expect("the guest lives")
    }
}

impl Drop for KvmGuest {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Writes a sysfs of four CPUs in two LLC domains, 0 and 2, 1 and 3, of these nodes, to `folder`. The kernel passes over
/// CPUs that a machine lacks, so that with two real CPUs each domain has one of them and room for two vCPUs.
///
/// # Panics
/// If it cannot be written.
#[must_use]
pub fn two_domains(folder: &Path, nodes: [u32; 2]) -> PathBuf {
    let sys = folder.join("sys");
    let write = |file: String, text: &str| {
        let file = sys.join("devices/system").join(file);
        std::fs::create_dir_all(file.parent().expect("a folder")).expect("created");
        std::fs::write(file, text).expect("written");
    };
    write("cpu/online".to_owned(), "0-3");
    for cpu in 0..4 {
        let cache = format!("cpu/cpu{cpu}/cache/index3");
        write(format!("{cache}/level"), "3");
        write(format!("{cache}/type"), "Unified");
        write(format!("{cache}/size"), "8192K");
        write(format!("{cache}/shared_cpu_list"), if cpu % 2 == 0 { "0,2" } else { "1,3" });
    }
    for (node, cpus) in nodes.into_iter().zip(["0,2", "1,3"]) {
        write(format!("node/node{node}/cpulist"), if nodes[0] == nodes[1] { "0-3" } else { cpus });
    }
    sys
}

/// A live host that may act on these guests alone, with two domains and all its files in `folder`.
///
/// # Panics
/// If the topology cannot be written.
#[must_use]
pub fn settings(folder: &Path, guests: &[&KvmGuest]) -> LiveSettings {
    LiveSettings {
        sysfs_root: Some(two_domains(folder, [0, 0])),
        ledger: folder.join("custody.jsonl"),
        within: Some(guests.iter().map(|guest| guest.pid()).collect::<BTreeSet<_>>()),
        acting: Acting::Act,
        rescan_quanta: NonZeroU32::MIN,
        ..LiveSettings::default()
    }
}

/// Whether this machine has CPUs 0 and 1 for this process: the domains are made of them. Says so if not.
#[must_use]
pub fn has_two_cpus() -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let list = status.lines().find_map(|line| line.strip_prefix("Cpus_allowed_list:")).unwrap_or_default();
    let has = harness::sysfs::CpuSet::from_list(list).is_ok_and(|cpus| cpus.contains(0) && cpus.contains(1));
    if !has {
        eprintln!("NOT TESTED: CPUs 0 and 1 are not both open to this process");
    }
    has
}
