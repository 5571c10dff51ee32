//! The live host without guests: topologies of the operator's CPUs, and notices.

use super::*;

fn found(domains: &[&str], nodes: &[&str]) -> sysfs::Found {
    let set = |list: &&str| CpuSet::from_list(list).expect("a list");
    let all = CpuSet::from_list(&[domains, nodes].concat().join(",")).expect("a list");
    sysfs::Found {
        cpus_online: all,
        packages: Vec::new(),
        cores: Vec::new(),
        nodes: (0..).zip(nodes.iter().map(set)).collect(),
        llc_level: 3,
        llc_domains: domains.iter().map(|list| sysfs::LastLevelCache { cpus: set(list), size_bytes: None }).collect(),
        cpus_without_llc: CpuSet::default(),
        remarks: Vec::new(),
    }
}

fn domains(topology: &Topology) -> Vec<(u32, Vec<u32>)> {
    let cpus = |domain: &LlcDomain| domain.cpus.iter().map(|cpu| cpu.0).collect();
    topology.domains().iter().map(|domain| (domain.node.0, cpus(domain))).collect()
}

#[test]
fn domains_are_cut_down_to_the_operators_cpus() {
    let machine = found(&["0-3", "4-7", "8-11"], &["0-7", "8-11"]);
    let operator = CpuSet::from_list("2-5").expect("a list");
    let topology = topology_of(&machine, Some(&operator)).expect("CPUs are left");
    assert_eq!(domains(&topology), [(0, vec![2, 3]), (0, vec![4, 5])]);
    let nobodys = CpuSet::from_list("99").expect("a list");
    let refused = topology_of(&machine, Some(&nobodys)).expect_err("none is left");
    assert!(refused.reason.contains("of the CPUs given (99) none is online (0-11)"), "{refused}");
}

#[test]
fn a_machine_that_tells_of_no_cache_has_its_nodes_as_domains() {
    assert_eq!(
        domains(&topology_of(&found(&[], &["0-1", "2-3"]), None).expect("nodes")),
        [(0, vec![0, 1]), (1, vec![2, 3])]
    );
}

#[test]
fn a_notice_is_told_once() {
    let mut notices = Notices::default();
    let notice = || Notice::of_guest(NoticeKind::NoCounters, "web", "denied".to_owned());
    notices.tell(notice());
    notices.tell(notice());
    assert_eq!(notices.take().iter().map(ToString::to_string).collect::<Vec<_>>(), ["guest \"web\": denied"]);
    notices.tell(notice());
    assert_eq!(notices.take(), []);
}

#[test]
fn a_dry_run_writes_nothing_and_refuses_every_move() {
    let settings = LiveSettings { within: Some(BTreeSet::new()), ..LiveSettings::default() };
    let mut host = LiveHost::new(settings).expect("this machine has CPUs");
    let seen = host.advance(Duration::from_millis(1)).expect("time passes");
    assert_eq!(seen, Observation::default());
    let vcpu = VcpuId { guest: predictor::counters::GuestId(0), index: 0 };
    let outcomes = host.apply(&[Move { vcpu, from: DomainId(0), to: DomainId(0) }]).expect("answered");
    assert_eq!(outcomes[0].refusal.as_deref(), Some("dry run: nobody is moved"));
    assert!(host.events().contains(&Event::RunningNanoseconds));
}
