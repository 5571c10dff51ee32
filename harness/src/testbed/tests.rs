//! Claims about test beds.

use std::time::Duration;

use predictor::counters::PhaseMark;
use workloads::catalogue::Catalogue;

use super::*;

const CATALOGUE: &str = r#"
[[program]]
name = "two-phases"
family = "phased"
stresses = "the LLC, then nothing"
truth = true
command = ["/usr/bin/kernels", "phased"]
[[program.input]]
name = "ref"
arguments = ["chase:768KiB:2M blackscholes:64KiB:10M"]

[[program]]
name = "real"
family = "real"
stresses = "whatever is drawn"
truth = false
command = ["/usr/bin/real"]
[[program.input]]
name = "ref"
arguments = []
"#;

fn mix(guests: &str) -> Mix {
    let head = "machine = \"small-2x2\"\nquantum_cycles = 10_000_000\nseed = 1\n";
    let catalogue = Catalogue::parse(CATALOGUE).expect("a catalogue");
    Mix::parse(Path::new("mix.toml"), &format!("{head}{guests}"), &catalogue).expect("sound")
}

fn guest(name: &str, program: &str, more: &str) -> String {
    format!("[[guest]]\nname = \"{name}\"\nprogram = \"{program}\"\n{more}\n")
}

fn launch(mix: &Mix) -> Box<dyn Host> {
    let silent = |_: &str| {};
    let bed = TestBed::prepare(BedKind::Simulated, None, &Interrupt::default(), &silent).expect("nothing to prepare");
    bed.launch(mix, 1000, None, &Interrupt::default(), &silent).expect("nothing to launch")
}

#[test]
fn a_simulated_program_marks_the_phases_that_the_real_one_marks() {
    let mut host = launch(&mix(&guest("a", "two-phases", "")));
    let mut truths: Vec<Option<PhaseMark>> = Vec::new();
    for _ in 0..12 {
        let seen = host.advance(Duration::from_millis(5)).expect("no fault");
        truths.push(seen.samples[0].truth);
    }
    truths.dedup();
    assert_eq!(truths[..3], [0, 1, 0].map(|mark| Some(PhaseMark(mark))));
}

#[test]
fn every_guest_of_a_mix_arrives_where_the_mix_says() {
    let both = guest("a", "real", "domain = 1") + &guest("b", "real", "");
    let seen = launch(&mix(&both)).advance(Duration::from_millis(5)).expect("no fault");
    let arrivals: Vec<(&str, u32)> = seen.arrivals.iter().map(|a| (a.name.as_str(), a.domain.0)).collect();
    assert_eq!(arrivals, [("a", 1), ("b", 0)]);
}

#[test]
fn emulated_guests_get_a_cpu_of_their_domain_each() {
    let four: String = [("a", 1), ("b", 1), ("c", 0), ("d", 0)]
        .map(|(name, domain)| guest(name, "real", &format!("domain = {domain}")))
        .concat();
    let cpus: Vec<u32> = plans(&mix(&four)).into_iter().map(|plan| plan.cpu.0).collect();
    assert_eq!(cpus, [2, 3, 0, 1]);
}

#[test]
fn several_vcpus_are_refused_on_the_emulated_host_at_their_key() {
    let mix = mix(&guest("a", "real", "vcpus = 2"));
    let complaint = BedKind::Emulated.check(&mix).expect_err("two vCPUs").to_string();
    assert!(complaint.starts_with("mix.toml: guest[0].vcpus: 2 vCPUs"), "{complaint}");
    assert_eq!(BedKind::Simulated.check(&mix), Ok(()));
}
