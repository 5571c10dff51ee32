//! Reading processes: on trees with holes, and on this machine.

use std::os::unix::fs::symlink;

use super::*;

fn stat_line(tid: u32, comm: &str, start: u64) -> String {
    format!(
        "{tid} ({comm}) S 1 1 1 0 -1 0 0 0 0 0 5 6 0 0 20 0 1 0 {start} 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 17 3 0 0 0 4 0"
    )
}

fn fake() -> tempfile::TempDir {
    let root = tempfile::tempdir().expect("a folder");
    let write = |file: &str, text: &str| {
        let file = root.path().join("proc").join(file);
        std::fs::create_dir_all(file.parent().expect("a folder")).expect("created");
        std::fs::write(file, text).expect("written");
    };
    write("7/stat", &stat_line(7, "qemu (x)", 100));
    write("7/cmdline", "qemu\0-name\0guest=a b\0\0");
    write("7/task/7/stat", &stat_line(7, "qemu (x)", 100));
    write("7/task/9/stat", &stat_line(9, "CPU 0/KVM", 105));
    write("7/task/9/schedstat", "12 34 5\n");
    write("7/task/11/stat", "garbage");
    write("7/task/12/comm", "nothing else");
    write("7/task/13/stat", &stat_line(13, "ended", 9).replacen(") S", ") Z", 1));
    write("uptime", "1 1");
    write("self/status", "CapEff:\t0\n");
    std::fs::create_dir_all(root.path().join("proc/7/fd")).expect("created");
    for (number, target) in [("0", "/dev/null"), ("4", "anon_inode:kvm-vm"), ("5", "anon_inode:kvm-vcpu:0")] {
        symlink(target, root.path().join("proc/7/fd").join(number)).expect("a link");
    }
    root
}

#[test]
fn a_tree_with_holes_says_which() {
    let root = fake();
    let proc = Proc::open(root.path()).expect("a proc");
    assert_eq!(proc.processes().expect("readable"), [Pid(7)]);
    assert_eq!(proc.threads(Pid(7)).expect("readable"), [7, 9, 11, 12, 13].map(Tid));
    let stat = proc.stat(Pid(7), Tid(9)).expect("sound");
    assert_eq!((stat.comm.as_bytes(), stat.start_ticks, stat.last_cpu), (b"CPU 0/KVM".as_slice(), 105, Some(3)));
    assert_eq!(proc.run_time(Pid(7), Tid(9)).expect("sound").running_ns, 12);
    let garbled = proc.stat(Pid(7), Tid(11)).expect_err("garbage");
    assert!(garbled.to_string().contains("7/task/11/stat is not what the kernel writes"), "{garbled}");
    assert!(proc.stat(Pid(7), Tid(12)).expect_err("no such file").is_gone());
    assert!(proc.threads(Pid(8)).expect_err("no such process").is_gone());
    assert!(proc.identity(Pid(7), Tid(13)).expect_err("a zombie").is_gone());
    let identity = proc.identity(Pid(7), Tid(9)).expect("sound");
    assert_eq!((identity.process_start_ticks, identity.thread_start_ticks), (100, 105));
    assert_eq!(proc.boot_id(), None);
    assert_eq!(proc.cpuset(Pid(7)), None);
    assert!(Proc::open(&root.path().join("nowhere")).is_err());
}

#[test]
fn descriptors_and_arguments_are_read_as_they_are() {
    let root = fake();
    let proc = Proc::open(root.path()).expect("a proc");
    let mut seen = Vec::new();
    proc.descriptors(Pid(7), &mut |target| seen.push(String::from_utf8_lossy(target).into_owned())).expect("readable");
    assert_eq!(seen, ["/dev/null", "anon_inode:kvm-vm", "anon_inode:kvm-vcpu:0"]);
    assert_eq!(proc.command_line(Pid(7)).expect("readable"), ["qemu", "-name", "guest=a b", ""]);
}

#[test]
fn this_machine_says_who_we_are() {
    let proc = Proc::open(Path::new("/")).expect("a proc");
    let pid = Pid(std::process::id());
    let tid = Tid(u32::try_from(rustix::thread::gettid().as_raw_nonzero().get()).expect("positive"));
    assert!(proc.processes().expect("readable").contains(&pid));
    assert!(proc.threads(pid).expect("readable").contains(&tid));
    let stat = proc.stat(pid, tid).expect("sound");
    assert!(stat.start_ticks > 0 && stat.state == b'R' && stat.last_cpu.is_some(), "{stat:?}");
    let identity = proc.identity(pid, tid).expect("sound");
    assert!(identity.process_start_ticks <= identity.thread_start_ticks);
    let status = proc.status(pid, tid).expect("sound");
    assert!(status.cpus_allowed.is_some_and(|cpus| !cpus.is_empty()));
    assert!(proc.boot_id().is_some_and(|id| id.len() == 36));
}

#[test]
fn a_thread_that_ended_is_gone_and_its_successor_is_another() {
    let proc = Proc::open(Path::new("/")).expect("a proc");
    let pid = Pid(std::process::id());
    let own_tid = || Tid(u32::try_from(rustix::thread::gettid().as_raw_nonzero().get()).expect("positive"));
    let ended = std::thread::spawn(own_tid).join().expect("it ran");
    // The kernel takes the entry away a moment after the thread was joined.
    let gone = (0..200).any(|_| {
        std::thread::sleep(std::time::Duration::from_millis(5));
        proc.identity(pid, ended).is_err_and(|error| error.is_gone())
    });
    assert!(gone, "thread {} still shows", ended.0);
}
