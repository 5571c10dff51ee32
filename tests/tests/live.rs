//! The live host on real KVM descriptors: guests of every VMM are found, counted, moved, lost and given back.
//!
//! Guests are processes that hold a virtual machine; LLC domains are made up where the machine has one.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use harness::custody::{Mode, Outcome, restore};
use harness::discovery::{Discovery, Scope, Vmm};
use harness::host::faulty::{AdvanceFault, ApplyFault, FaultPlan, FaultyHost};
use harness::host::live::{CrossNode, LiveHost, LiveSettings, NoticeKind};
use harness::host::{Host, Observation};
use harness::procfs::{Pid, Proc, Tid};
use harness::sysfs::CpuSet;
use predictor::counters::{Event, VcpuId};
use predictor::placement::Move;
use predictor::topology::DomainId;
use tests::live::{KvmGuest, has_two_cpus, settings, two_domains};

const QUANTUM: Duration = Duration::from_millis(20);

fn start(vmm: &str, work: &str, vcpus: u32, name: &str) -> Option<KvmGuest> {
    KvmGuest::start(vmm, work, vcpus, name)
}

/// No test: what the guests here run. See [`tests::live::kvm`].
#[test]
fn kvm_guest() {
    tests::live::kvm::play();
}

/// Where a thread may run, as the kernel says.
fn mask(thread: (Pid, Tid)) -> CpuSet {
    let status = Proc::open(Path::new("/")).expect("a proc").status(thread.0, thread.1).expect("it lives");
    status.cpus_allowed.expect("every thread has one")
}

/// The threads of all vCPUs that are watched, by id.
fn threads(host: &LiveHost) -> Vec<(VcpuId, (Pid, Tid))> {
    let of = |vcpu: harness::host::live::VcpuView| (vcpu.id, (vcpu.thread.pid, vcpu.thread.tid));
    host.guests().into_iter().flat_map(|guest| guest.vcpus).map(of).collect()
}

fn advance(host: &mut dyn Host) -> Observation {
    host.advance(QUANTUM).unwrap_or_else(|error| panic!("{error}"))
}

/// Takes quanta until something was seen, for at most five seconds.
fn until(host: &mut LiveHost, mut seen: impl FnMut(&Observation) -> bool) -> bool {
    let began = Instant::now();
    while began.elapsed() < Duration::from_secs(5) {
        if seen(&advance(host)) {
            return true;
        }
    }
    false
}

/// Moves of all vCPUs to `to`.
fn all_to(host: &LiveHost, to: u32) -> Vec<Move> {
    let vcpus = host.guests().into_iter().flat_map(|guest| guest.vcpus);
    vcpus.map(|vcpu| Move { vcpu: vcpu.id, from: vcpu.domain, to: DomainId(to) }).collect()
}

#[test]
fn guests_of_every_vmm_are_found_on_real_descriptors() {
    let mut guests = Vec::new();
    for vmm in ["qemu", "cloud-hypervisor", "firecracker", "crosvm"] {
        let Some(guest) = start(vmm, "sleep", 2, "web") else { return };
        guests.push(guest);
    }
    let mut discovery = Discovery::new(Proc::open(Path::new("/")).expect("a proc"), Scope::default());
    let scan = discovery.scan().expect("a proc");
    for (guest, vmm) in guests.iter().zip([Vmm::Qemu, Vmm::CloudHypervisor, Vmm::Firecracker, Vmm::Crosvm]) {
        let found = scan.guests.iter().find(|found| found.pid == guest.pid()).expect("it is found");
        let numbers: Vec<u32> = found.vcpus.iter().map(|vcpu| vcpu.number).collect();
        assert_eq!((found.vmm, found.name.as_str(), numbers), (vmm, "web", vec![0, 1]));
    }
}

#[test]
fn the_command_lists_guests_for_people_and_programs() {
    let Some(guest) = start("qemu", "sleep", 1, "of the list") else { return };
    let phasecast = |arguments: &[&str]| {
        let output =
            assert_cmd::Command::cargo_bin("phasecast").expect("built").args(arguments).output().expect("runs");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).expect("text")
    };
    let listed = phasecast(&["guests"]);
    assert!(listed.contains(&format!("of the list (process {}, Qemu, KVM)", guest.pid().0)), "{listed}");
    let listed: serde_json::Value = serde_json::from_str(&phasecast(&["guests", "--json"])).expect("JSON");
    let pids = listed["guests"].as_array().expect("a list").iter().map(|guest| guest["pid"].as_u64());
    assert!(pids.into_iter().any(|pid| pid == Some(guest.pid().0.into())), "{listed}");
}

#[test]
fn a_vcpu_at_work_is_told_from_an_idle_one_and_both_from_an_absent_counter() {
    let (Some(busy), Some(idle)) = (start("qemu", "spin", 1, "busy"), start("firecracker", "sleep", 1, "idle")) else {
        return;
    };
    let folder = tempfile::tempdir().expect("a folder");
    let mut host = LiveHost::new(settings(folder.path(), &[&busy, &idle])).expect("a live host");
    let names: Vec<String> = advance(&mut host).arrivals.into_iter().map(|arrival| arrival.name).collect();
    let mut running = [0, 0];
    for _ in 0..20 {
        for sample in advance(&mut host).samples {
            assert_eq!(sample.count(Event::Instructions).is_some(), host.events().contains(&Event::Instructions));
            let ran = sample.count(Event::RunningNanoseconds).expect("known on every host");
            running[usize::from(names[sample.vcpu.guest.0 as usize] == "idle")] += ran;
        }
    }
    assert!(running[0] > 4 * running[1], "busy {} ns, idle {} ns", running[0], running[1]);
}

#[test]
fn moves_are_what_the_kernel_says_and_everything_is_given_back() {
    let Some(guest) = start("qemu", "spin", 2, "moved") else { return };
    if !has_two_cpus() {
        return;
    }
    let folder = tempfile::tempdir().expect("a folder");
    let mut host = LiveHost::new(settings(folder.path(), &[&guest])).expect("a live host");
    advance(&mut host);
    let threads = threads(&host);
    let before: Vec<CpuSet> = threads.iter().map(|(_, thread)| mask(*thread)).collect();
    for to in [0, 1, 0] {
        let moves = all_to(&host, to);
        let outcomes = host.apply(&moves).expect("answered");
        assert!(outcomes.iter().all(|outcome| outcome.refusal.is_none()), "{outcomes:?}");
        let seen = advance(&mut host);
        assert!(seen.samples.iter().all(|sample| sample.domain == DomainId(to)));
        assert!(threads.iter().all(|(_, thread)| mask(*thread) == CpuSet::from_iter([to])));
    }
    drop(host);
    assert_eq!(threads.iter().map(|(_, thread)| mask(*thread)).collect::<Vec<_>>(), before);
    assert!(!folder.path().join("custody.jsonl").exists(), "nothing is owed");
}

#[test]
fn guests_come_and_go_and_one_killed_while_it_is_read_departs() {
    let (Some(stays), Some(dies)) = (start("crosvm", "spin", 1, "stays"), start("qemu", "spin", 3, "dies")) else {
        return;
    };
    let folder = tempfile::tempdir().expect("a folder");
    let settings = LiveSettings { within: None, ..settings(folder.path(), &[]) };
    let mut host = LiveHost::new(settings).expect("a live host");
    let dying = dies.pid();
    let of_dying =
        |host: &LiveHost| threads(host).into_iter().filter(|(_, thread)| thread.0 == dying).map(|(id, _)| id);
    advance(&mut host);
    let vcpus: Vec<VcpuId> = of_dying(&host).collect();
    assert_eq!(vcpus.len(), 3);
    dies.kill();
    let mut departed = Vec::new();
    assert!(until(&mut host, |seen| {
        let present = seen.samples.iter().map(|sample| sample.vcpu);
        let present: Vec<VcpuId> = present.filter(|vcpu| vcpus.contains(vcpu)).collect();
        departed.extend(seen.departures.iter().copied().filter(|vcpu| vcpus.contains(vcpu)));
        assert!(present.iter().all(|vcpu| !departed.contains(vcpu)), "who left has no samples");
        departed.len() == 3
    }));
    let Some(mut late) = start("cloud-hypervisor", "half", 1, "late") else { return };
    let mut arrived = None;
    assert!(until(&mut host, |seen| {
        arrived = arrived.or(seen.arrivals.iter().find(|arrival| arrival.name == "late").map(|arrival| arrival.vcpu));
        arrived.is_some()
    }));
    let first = arrived.expect("it came");
    assert!(vcpus.iter().all(|vcpu| vcpu.guest != first.guest), "ids are not given twice");
    late.order("plug");
    let second = VcpuId { index: 1, ..first };
    assert!(until(&mut host, |seen| seen.arrivals.iter().any(|arrival| arrival.vcpu == second)));
    late.order("unplug");
    assert!(until(&mut host, |seen| seen.departures.contains(&second)));
    assert!(host.guests().iter().any(|guest| guest.pid == stays.pid()));
}

#[test]
fn guests_that_go_take_their_descriptors_and_their_debts_with_them() {
    let folder = tempfile::tempdir().expect("a folder");
    let settings = LiveSettings { within: None, ..settings(folder.path(), &[]) };
    let mut host = LiveHost::new(settings).expect("a live host");
    let descriptors = || std::fs::read_dir("/proc/self/fd").expect("our own").count();
    let mut counts = Vec::new();
    for _ in 0..8 {
        let Some(guest) = start("crosvm", "half", 2, "passing") else { return };
        let pid = guest.pid();
        let is_watched = |host: &LiveHost| host.guests().iter().any(|guest| guest.pid == pid);
        let vcpus = |host: &LiveHost| threads(host).into_iter().filter(|(_, thread)| thread.0 == pid).map(|(id, _)| id);
        assert!((0..50).any(|_| {
            advance(&mut host);
            is_watched(&host)
        }));
        let ours: Vec<VcpuId> = vcpus(&host).collect();
        let moves = all_to(&host, 0).into_iter().filter(|request| ours.contains(&request.vcpu));
        host.apply(&moves.collect::<Vec<_>>()).expect("answered");
        guest.kill();
        assert!((0..50).any(|_| {
            advance(&mut host);
            !is_watched(&host)
        }));
        // Guests of other tests pass by; each of their vCPUs has a descriptor for each event, one at least.
        let each = host.events().len().saturating_sub(1).max(1);
        let others: usize = host.guests().iter().map(|guest| guest.vcpus.len()).sum();
        counts.push(descriptors() - others * each);
    }
    assert!(counts.iter().max() <= counts.iter().min().map(|least| least + 2).as_ref(), "{counts:?}");
    let ledger = std::fs::read_to_string(folder.path().join("custody.jsonl")).expect("it is held");
    let count = |what: &str| ledger.lines().filter(|line| line.contains(what)).count();
    assert_eq!(count("\"bound\""), count("\"released\""), "nobody is owed anything: {ledger}");
}

#[test]
fn somebody_elses_binding_is_told_and_left() {
    let Some(guest) = start("firecracker", "spin", 1, "pulled") else { return };
    if !has_two_cpus() {
        return;
    }
    let folder = tempfile::tempdir().expect("a folder");
    let mut host = LiveHost::new(settings(folder.path(), &[&guest])).expect("a live host");
    advance(&mut host);
    let (vcpu, thread) = threads(&host)[0];
    let here = host.guests()[0].vcpus[0].domain;
    let there = DomainId(1 - here.0);
    assert_eq!(host.apply(&[Move { vcpu, from: here, to: there }]).expect("answered")[0].refusal, None);
    let tid = thread.1.0.to_string();
    let taskset = Command::new("taskset").args(["-pc", &here.0.to_string(), &tid]).stdout(Stdio::null()).status();
    if !taskset.is_ok_and(|status| status.success()) {
        eprintln!("NOT TESTED: there is no taskset");
        return;
    }
    host.take_notices();
    assert!(until(&mut host, |seen| seen.samples.iter().any(|sample| sample.domain == here)));
    let notices = host.take_notices();
    assert!(notices.iter().any(|notice| notice.kind == NoticeKind::TakenOver), "{notices:?}");
    let refused = host.apply(&[Move { vcpu, from: here, to: there }]).expect("answered");
    assert!(refused[0].refusal.as_ref().is_some_and(|why| why.contains("found bound to")), "{refused:?}");
    drop(host);
    assert_eq!(mask(thread), CpuSet::from_iter([here.0]), "theirs stands");
}

#[test]
fn moves_between_nodes_are_refused_unless_allowed() {
    let Some(guest) = start("qemu", "spin", 1, "far") else { return };
    if !has_two_cpus() {
        return;
    }
    let folder = tempfile::tempdir().expect("a folder");
    for (cross_node, is_refused) in [(CrossNode::Refused, true), (CrossNode::Allowed, false)] {
        let sysfs_root = Some(two_domains(&folder.path().join(format!("{cross_node:?}")), [0, 1]));
        let near = settings(folder.path(), &[&guest]);
        let mut host = LiveHost::new(LiveSettings { cross_node, sysfs_root, ..near }).expect("a live host");
        advance(&mut host);
        let vcpu = host.guests()[0].vcpus[0].clone();
        let request = Move { vcpu: vcpu.id, from: vcpu.domain, to: DomainId(1 - vcpu.domain.0) };
        let outcome = host.apply(&[request]).expect("answered").remove(0);
        assert_eq!(outcome.refusal.is_some_and(|why| why.contains("NUMA node")), is_refused);
    }
}

#[test]
fn each_call_failing_at_each_step_leaves_nobody_bound() {
    let Some(guest) = start("qemu", "spin", 2, "unlucky") else { return };
    if !has_two_cpus() {
        return;
    }
    const STEPS: u64 = 4;
    let advance_faults =
        [AdvanceFault::Fail, AdvanceFault::LoseSamples, AdvanceFault::LoseReadings, AdvanceFault::Delay];
    let apply_faults = [ApplyFault::Fail, ApplyFault::Refuse];
    let mut plans = Vec::new();
    for step in 1..=STEPS {
        let of_advance =
            advance_faults.map(|fault| FaultPlan { advance: [(step, fault)].into(), ..Default::default() });
        let of_apply = apply_faults.map(|fault| FaultPlan { apply: [(step, fault)].into(), ..Default::default() });
        plans.extend(of_advance.into_iter().chain(of_apply));
    }
    let proc = Proc::open(Path::new("/")).expect("a proc");
    let tids = proc.threads(guest.pid()).expect("it lives");
    let masks = || tids.iter().map(|tid| mask((guest.pid(), *tid))).collect::<Vec<_>>();
    let before = masks();
    for plan in plans {
        let folder = tempfile::tempdir().expect("a folder");
        let live = LiveHost::new(settings(folder.path(), &[&guest])).expect("a live host");
        let mut host = FaultyHost::new(live, plan);
        for step in 0..STEPS {
            let Ok(seen) = host.advance(Duration::from_millis(2)) else { break };
            let to = DomainId(u32::try_from(step % 2).expect("0 or 1"));
            let moves: Vec<Move> =
                seen.samples.iter().map(|sample| Move { vcpu: sample.vcpu, from: sample.domain, to }).collect();
            if host.apply(&moves).is_err() {
                break;
            }
        }
        drop(host);
        assert_eq!(masks(), before);
    }
}

/// Where the controller that is to be killed finds what it needs; without it that test does nothing.
const DOOMED: &str = "PHASECAST_DOOMED_CONTROLLER";

#[test]
fn doomed_controller() {
    let Some(order) = std::env::var(DOOMED).ok() else {
        eprintln!("only of use to after_kill_9_of_the_controller_the_ledger_gives_back");
        return;
    };
    let (folder, pid) = order.rsplit_once(' ').expect("folder and process");
    let base = settings(Path::new(folder), &[]);
    let within = Some([Pid(pid.parse().expect("a number"))].into());
    let mut host = LiveHost::new(LiveSettings { within, ..base }).expect("a live host");
    advance(&mut host);
    for to in [0, 1] {
        let moves = all_to(&host, to);
        assert!(host.apply(&moves).expect("answered").iter().all(|outcome| outcome.refusal.is_none()));
        advance(&mut host);
    }
    println!("\nbound");
    loop {
        std::thread::sleep(Duration::from_secs(1));
    }
}

#[test]
fn after_kill_9_of_the_controller_the_ledger_gives_back() {
    let Some(guest) = start("qemu", "spin", 2, "orphaned") else { return };
    if !has_two_cpus() {
        return;
    }
    let proc = Proc::open(Path::new("/")).expect("a proc");
    let tids = proc.threads(guest.pid()).expect("it lives");
    let masks = || tids.iter().map(|tid| mask((guest.pid(), *tid))).collect::<Vec<_>>();
    let before = masks();
    let folder = tempfile::tempdir().expect("a folder");
    let ledger = folder.path().join("custody.jsonl");
    let mut controller = Command::new(std::env::current_exe().expect("this test"))
        .args(["--exact", "doomed_controller", "--nocapture"])
        .env(DOOMED, format!("{} {}", folder.path().display(), guest.pid().0))
        .stdout(Stdio::piped())
        .spawn()
        .expect("it starts");
    let said = BufReader::new(controller.stdout.take().expect("piped"));
    assert!(said.lines().map_while(Result::ok).any(|line| line == "bound"), "it binds");
    let running = restore(&ledger, Path::new("/"), Mode::Act, Duration::ZERO);
    assert!(running.is_err_and(|error| error.to_string().contains("held by a running phasecast")));
    controller.kill().and_then(|()| controller.wait()).expect("our child");
    assert_ne!(masks(), before, "kill -9 gives nothing back by itself");

    let restore = || {
        let mut command = assert_cmd::Command::cargo_bin("phasecast").expect("built");
        let output = command.args(["restore", "--json", "--ledger"]).arg(&ledger).output().expect("runs");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        serde_json::from_slice::<serde_json::Value>(&output.stdout).expect("JSON")
    };
    let report = restore();
    assert_eq!(masks(), before);
    assert!(report["threads"].as_array().is_some_and(|threads| !threads.is_empty()), "{report}");
    assert_eq!(restore()["threads"], serde_json::json!([]), "nothing is owed any more");
}

#[test]
fn a_successor_gives_back_what_it_inherits() {
    let Some(guest) = start("crosvm", "sleep", 1, "inherited") else { return };
    if !has_two_cpus() {
        return;
    }
    let folder = tempfile::tempdir().expect("a folder");
    let mut host = LiveHost::new(settings(folder.path(), &[&guest])).expect("a live host");
    advance(&mut host);
    let (_, thread) = threads(&host)[0];
    let before = mask(thread);
    let to = 1 - host.guests()[0].vcpus[0].domain.0;
    assert_eq!(host.apply(&all_to(&host, to)).expect("answered")[0].refusal, None);
    let orphan = folder.path().join("orphan.jsonl");
    std::fs::copy(folder.path().join("custody.jsonl"), &orphan).expect("as a crash leaves it");
    let successor = LiveHost::new(LiveSettings { ledger: orphan, ..settings(folder.path(), &[&guest]) });
    let successor = successor.expect("nobody holds the copy");
    let outcomes: Vec<&Outcome> = successor.inherited().threads.iter().map(|thread| &thread.outcome).collect();
    assert_eq!(outcomes, [&Outcome::GivenBack { mask: before.clone() }]);
    assert_eq!(mask(thread), before);
}
