//! Claims about reading a machine's tree, on trees made here. Real machines' trees are in the tests of the whole.

use super::*;

/// What a machine with these files says.
fn told(files: &[(&str, &str)]) -> Found {
    let sys = tempfile::tempdir().expect("a folder");
    for (file, text) in files {
        let path = sys.path().join("devices/system").join(file);
        fs::create_dir_all(path.parent().expect("it has one")).expect("a folder");
        fs::write(path, text).expect("a file");
    }
    read(sys.path()).expect("a machine")
}

fn sets(sets: &[CpuSet]) -> Vec<String> {
    sets.iter().map(ToString::to_string).collect()
}

const CACHE: [(&str, &str); 6] = [
    ("cpu/cpu0/cache/index0/level", "1"),
    ("cpu/cpu0/cache/index0/type", "Data"),
    ("cpu/cpu0/cache/index0/shared_cpu_list", "0"),
    ("cpu/cpu0/cache/index2/level", "2\n\0"),
    ("cpu/cpu0/cache/index2/type", "Unified\n"),
    ("cpu/cpu0/cache/index2/shared_cpu_map", "3"),
];

#[test]
fn the_highest_level_of_any_online_cpu_is_the_last() {
    let files = [("cpu/online", "0-1"), ("cpu/cpu0/cache/index2/size", "512K")];
    let found = told(&[&files[..], &CACHE].concat());
    assert_eq!(found.llc_level, 2);
    let expected = LastLevelCache { cpus: CpuSet::from_iter([0, 1]), size_bytes: Some(512 << 10) };
    assert_eq!(found.llc_domains, [expected]);
    assert!(found.cpus_without_llc.is_empty() && found.remarks.is_empty(), "{:?}", found.remarks);
    let topology = found.topology().expect("one domain");
    assert_eq!((topology.domains().len(), topology.capacity(DomainId(0))), (1, 2));
}

#[test]
fn without_a_list_of_online_cpus_each_is_asked() {
    let files = [("cpu/cpu0/topology/core_id", "0"), ("cpu/cpu1/online", "0"), ("cpu/cpu2/online", "1")];
    let found = told(&files);
    assert_eq!(found.cpus_online.to_string(), "0,2");
    assert_eq!((found.llc_level, found.llc_domains.len()), (0, 0));
    assert_eq!(found.cpus_without_llc.to_string(), "0,2");
    assert_eq!(found.topology(), Err(TopologyError::NoDomain));
}

#[test]
fn sets_are_cut_down_to_online_cpus_and_told_apart_by_their_cpus_not_their_ids() {
    let found = told(&[
        ("cpu/online", "0,2-3"),
        ("cpu/cpu0/topology/package_cpus_list", "0-1"),
        ("cpu/cpu2/topology/core_siblings", "c"),
        ("cpu/cpu3/topology/core_siblings", "c"),
        ("cpu/cpu3/topology/physical_package_id", "-1"),
        ("cpu/cpu3/topology/thread_siblings_list", "2-3"),
        ("node/node4/cpulist", "0-3"),
        ("node/node7/meminfo", ""),
    ]);
    assert_eq!(sets(&found.packages), ["0", "2-3"]);
    assert_eq!(sets(&found.cores), ["2-3"]);
    let nodes: Vec<(u32, String)> = found.nodes.iter().map(|(node, cpus)| (*node, cpus.to_string())).collect();
    assert_eq!(nodes, [(4, "0,2-3".to_owned()), (7, String::new())]);
}

#[test]
fn a_list_is_believed_before_a_map_and_an_empty_map_says_no_more_than_the_core() {
    let mut files = CACHE.to_vec();
    files.extend([("cpu/online", "0-3"), ("cpu/cpu0/cache/index2/shared_cpu_list", "0,2")]);
    let found = told(&files);
    assert_eq!(found.llc_domains[0].cpus.to_string(), "0,2");
    let files = CACHE[..5].to_vec();
    let more = [
        ("cpu/online", "0-3"),
        ("cpu/cpu0/cache/index2/shared_cpu_map", "00000000"),
        ("cpu/cpu0/topology/thread_siblings", "9"),
    ];
    let of_the_core = told(&[&files[..], &more].concat());
    assert_eq!(of_the_core.llc_domains[0].cpus.to_string(), "0,3");
}

#[test]
fn garbage_is_passed_over_and_told() {
    let files = [
        ("cpu/online", "0-1"),
        ("cpu/cpu0/topology/core_cpus_list", "zero"),
        ("cpu/cpu0/topology/core_cpus", "1"),
        ("cpu/cpu0/cache/index0/level", "first"),
        ("cpu/cpu0/cache/index0/type", "Data"),
        ("cpu/cpux/online", "1"),
        ("node/node99999999999/cpulist", "0"),
    ];
    let found = told(&files);
    assert_eq!(sets(&found.cores), ["0"]);
    assert_eq!(found.llc_level, 0);
    assert_eq!(found.remarks, [r#"cpu/cpu0/topology/core_cpus_list: "zero" is no set of CPUs"#]);
}

#[test]
fn what_is_no_machine_is_refused_by_name() {
    let empty = tempfile::tempdir().expect("a folder");
    let refusal = read(empty.path()).expect_err("nothing is there").to_string();
    assert!(refusal.contains(&empty.path().display().to_string()) && refusal.contains("no CPU is online"), "{refusal}");
}

#[test]
fn sizes_are_read_in_all_units_and_nonsense_is_absent() {
    let sizes = ["1024", "19712K\n", "32M", "1G", "", "K", "-1K", "0K", "99999999999999999999G"].map(size_bytes);
    let (kib, mib) = (1 << 10, 1 << 20);
    assert_eq!(sizes[..4], [Some(1024), Some(19712 * kib), Some(32 * mib), Some(1 << 30)]);
    assert!(sizes[4..].iter().all(Option::is_none), "{sizes:?}");
}
