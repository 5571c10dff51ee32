//! Claims about mixes: what is accepted, and the one line that answers each mistake.

use super::*;

const HEAD: &str = "machine = \"small-2x2\"\nquantum_cycles = 10_000_000\nseed = 1\n";

fn parse(text: &str) -> Result<Mix, String> {
    Mix::parse(Path::new("mix.toml"), text, &Catalogue::builtin()).map_err(|mistake| mistake.to_string())
}

fn guest(name: &str, more: &str) -> String {
    format!("[[guest]]\nname = \"{name}\"\nprogram = \"bzip2\"\n{more}\n")
}

fn complaint(guests: &[String]) -> String {
    parse(&format!("{HEAD}{}", guests.concat())).expect_err("wrong on purpose")
}

#[test]
fn a_mix_says_what_runs_where() {
    let text = format!("{HEAD}{}{}{}", guest("a", ""), guest("b", "domain = 0"), guest("c", "memory_mib = 512"));
    let mix = parse(&text).expect("sound");
    assert_eq!((mix.name.as_str(), mix.quantum()), ("mix", Duration::from_millis(5)));
    let domains: Vec<u32> = mix.guests.iter().map(|guest| guest.domain.0).collect();
    assert_eq!(domains, [0, 0, 1], "who does not say fills up the domains in order");
    assert_eq!(mix.guests.iter().map(|guest| guest.memory_mib).collect::<Vec<_>>(), [256, 256, 512]);
    assert_eq!(mix.guests[0].input, "ref");
    assert_eq!(mix.topology().capacity(DomainId(1)), 2);
    let alone = mix.alone(2).expect("there is a third");
    assert_eq!((alone.guests.len(), alone.guests[0].name.as_str(), alone.guests[0].domain), (1, "c", DomainId(0)));
}

#[test]
fn an_unknown_program_is_answered_with_those_there_are() {
    let complaint = complaint(&[guest("a", ""), guest("b", "").replace("bzip2", "bzip3")]);
    assert!(
        complaint.starts_with("mix.toml: guest[1].program: no program is called \"bzip3\"; choose one of: bzip2"),
        "{complaint}"
    );
}

#[test]
fn an_unknown_input_is_answered_with_those_there_are() {
    let complaint = complaint(&[guest("a", "input = \"huge\"")]);
    assert!(
        complaint.starts_with("mix.toml: guest[0].input: bzip2 has no input called \"huge\"; choose one of: ref"),
        "{complaint}"
    );
}

#[test]
fn a_wrong_key_is_answered_with_the_right_one() {
    assert_eq!(
        complaint(&[guest("a", "memory_mb = 3")]),
        "mix.toml: guest[0].memory_mb: no key is called \"memory_mb\" here (line 7); did you mean \"memory_mib\"?"
    );
}

#[test]
fn guests_share_no_name() {
    assert_eq!(
        complaint(&[guest("a", ""), guest("a", "")]),
        "mix.toml: guest[1].name: two guests are called \"a\"; give each guest its own name"
    );
}

#[test]
fn a_guests_name_is_plain() {
    assert_eq!(
        complaint(&[guest("a,b", "")]),
        "mix.toml: guest[0].name: \"a,b\" cannot be a guest's name; give 1 to 32 letters, digits, '-', '_' and '.'"
    );
}

#[test]
fn more_guests_than_cpus_are_refused() {
    let five: Vec<String> = ["a", "b", "c", "d", "e"].map(|name| guest(name, "")).into();
    assert_eq!(
        complaint(&five),
        "mix.toml: guest: 5 vCPUs in all, and the machine has 4 CPUs; leave guests out, or choose a larger machine"
    );
}

#[test]
fn a_domain_must_exist_and_have_room() {
    assert_eq!(
        complaint(&[guest("a", "domain = 2")]),
        "mix.toml: guest[0].domain: the machine has no LLC domain 2; give a number from 0 to 1"
    );
    let three: Vec<String> = ["a", "b", "c"].map(|name| guest(name, "domain = 1")).into();
    assert_eq!(
        complaint(&three),
        "mix.toml: guest[2].domain: LLC domain 1 has not enough CPUs for the guests that start in it; \
         start one of them in another domain"
    );
}

#[test]
fn a_guest_can_name_its_cpu_and_the_others_get_what_is_left() {
    let text = format!("{HEAD}{}{}{}", guest("a", ""), guest("b", "cpu = 0"), guest("c", "domain = 0"));
    let places: Vec<_> = parse(&text).expect("sound").guests.iter().map(|guest| (guest.domain.0, guest.cpu)).collect();
    assert_eq!(places, [(1, None), (0, Some(CpuId(0))), (0, None)]);
    assert_eq!(
        complaint(&[guest("a", "cpu = 4")]),
        "mix.toml: guest[0].cpu: the machine has no CPU 4; give a number from 0 to 3"
    );
    assert_eq!(
        complaint(&[guest("a", "cpu = 1\ndomain = 1")]),
        "mix.toml: guest[0].cpu: CPU 1 is in LLC domain 0, and domain = 1 is given; remove one of the two"
    );
}

#[test]
fn guests_share_a_cpu_only_on_a_machine_with_time_slices() {
    let both = [guest("a", "cpu = 1"), guest("b", "cpu = 1")];
    assert_eq!(
        complaint(&both),
        "mix.toml: guest[1].cpu: \"a\" is on CPU 1 already, and machine \"small-2x2\" has no time slices; choose another \
         CPU, or a machine with core.timeslice_cycles"
    );
    let folder = tempfile::tempdir().expect("a folder");
    let small = Machine::preset("small-2x2").expect("it comes with the program");
    let sliced = small.text().replace("[core]", "[core]\ntimeslice_cycles = 2_000_000");
    std::fs::write(folder.path().join("sliced.toml"), sliced).expect("written");
    let text = format!("{}{}", HEAD.replace("small-2x2", "sliced.toml"), both.concat());
    let mix = Mix::parse(&folder.path().join("mix.toml"), &text, &Catalogue::builtin()).expect("sound");
    assert_eq!(mix.guests.iter().map(|guest| guest.cpu).collect::<Vec<_>>(), [Some(CpuId(1)); 2]);
    let refusal = mix.refuse_shared_cpus("it cannot").expect_err("shared").to_string();
    assert_eq!(
        refusal,
        "guest[1].cpu: it cannot, and \"b\" shares its CPU with another guest; give each guest a CPU of its own"
    );
    assert_eq!(mix.alone(1).map(|alone| alone.refuse_shared_cpus("alone")), Some(Ok(())));
}

#[test]
fn a_quantum_is_whole_epochs_and_whole_nanoseconds() {
    let with = |cycles: &str| parse(&format!("{}{}", HEAD.replace("10_000_000", cycles), guest("a", "")));
    assert_eq!(
        with("30_001").expect_err("no multiple"),
        "mix.toml: quantum_cycles: 30001 is not a multiple of the machine's epoch of 20000 cycles; \
         give for example 20000"
    );
    assert!(with("20_000").is_ok());
}

#[test]
fn an_unknown_machine_is_answered_with_those_there_are() {
    let with = |machine: &str| parse(&format!("{}{}", HEAD.replace("small-2x2", machine), guest("a", "")));
    assert_eq!(
        with("small-2x3").expect_err("unknown"),
        "mix.toml: machine: no machine is called \"small-2x3\"; did you mean \"small-2x2\"? or give the path of a TOML \
         file"
    );
    assert_eq!(
        with("nowhere.toml").expect_err("not there"),
        "mix.toml: machine: nowhere.toml: no such file; give the path of a readable file"
    );
}

#[test]
fn a_mix_without_guests_is_refused() {
    assert_eq!(
        parse(HEAD).expect_err("empty"),
        "mix.toml: guest: a mix without guests; add a [[guest]] with name and program"
    );
}
