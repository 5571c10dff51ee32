//! The mixes of the survey: drawn, so that nobody chose them by how well they replay.
//!
//! The rule: for each mix one program of each family (kernel, phased, real) and a fourth of any, none twice in a mix, each
//! on its first input; then the four are shuffled, and the first two start in the first LLC domain, the others in the second.
//! Programs that are drawn in one mix are put back, but a family is gone through before one of its programs comes
//! again, so that few mixes show many programs. Programs that sleep are left out: an idle guest proves nothing.

use predictor::topology::DomainId;
use rand::SeedableRng;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;
use workloads::catalogue::{Catalogue, Family, Program};

use super::Request;
use crate::input::InputError;
use crate::mix::Mix;
use crate::survey::play::{Work, mix_of};
use crate::survey::urn::Urn;

/// Guests of each mix.
pub(super) const GUESTS: usize = 4;

/// The only program of the catalogue without work.
const SLEEPER: &str = "idle";

/// The mixes of the request, in the order in which they are drawn.
pub(super) fn draw(catalogue: &Catalogue, request: &Request) -> Result<Vec<Mix>, InputError> {
    let domains = request.machine.domains();
    if domains.len() < 2 || domains.iter().take(2).any(|(_, cpus)| cpus.len() < GUESTS / 2) {
        let problem = format!("machine \"{}\" has not two LLC domains of two CPUs", request.machine.name());
        return Err(InputError::new(problem, "choose one that has").at("--machine"));
    }
    let mut rng = ChaCha8Rng::seed_from_u64(request.seed);
    let awake = |family: Option<Family>| {
        let fits = move |program: &&Program| family.is_none_or(|family| program.family == family);
        Urn::new(catalogue.programs().iter().filter(fits).filter(|program| program.name != SLEEPER))
    };
    let mut urns = [Some(Family::Kernel), Some(Family::Phased), Some(Family::Real), None].map(awake);
    (1..=request.mixes)
        .map(|number| {
            let mut drawn: Vec<&Program> = Vec::new();
            for urn in &mut urns {
                let program = urn.draw(&drawn, &mut rng);
                drawn.push(program.ok_or_else(|| {
                    InputError::new("the catalogue has too few programs for a mix", "add some of each family")
                })?);
            }
            drawn.shuffle(&mut rng);
            let works: Vec<Work<'_>> = drawn.into_iter().map(Work::first).collect();
            let mut mix = mix_of(&works, &request.machine, request.quantum_cycles, request.seed)?;
            for (place, guest) in mix.guests.iter_mut().enumerate() {
                guest.domain = DomainId(u32::from(place >= GUESTS / 2));
            }
            mix.name = format!("mix-{number}");
            Ok(mix)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use machine::spec::Machine;
    use predictor::policy::PolicyKind;

    use super::*;

    fn drawn(seed: u64) -> Vec<Mix> {
        let machine = Machine::preset("small-2x2").expect("it comes with the program");
        let (quantum_cycles, policy) = (10_000_000, PolicyKind::Reactive);
        let request = Request { machine, quantum_cycles, quanta: 10, seed, mixes: 5, policy, timed_quanta: 0 };
        draw(&Catalogue::builtin(), &request).expect("the catalogue is large enough")
    }

    fn names(mix: &Mix) -> Vec<&str> {
        mix.guests.iter().map(|guest| guest.program.as_str()).collect()
    }

    #[test]
    fn every_mix_has_a_program_of_each_family_and_none_twice() {
        for mix in drawn(1) {
            let families: BTreeSet<_> = mix.guests.iter().map(|guest| guest.family).collect();
            assert_eq!(families.len(), 3, "{:?}", names(&mix));
            assert_eq!(names(&mix).into_iter().collect::<BTreeSet<_>>().len(), GUESTS);
            assert_eq!(mix.guests.iter().filter(|guest| guest.domain.0 == 0).count(), 2);
        }
    }

    #[test]
    fn the_seed_alone_decides_who_is_drawn() {
        let all = |seed| drawn(seed).iter().map(|mix| names(mix).join("+")).collect::<Vec<_>>();
        assert_eq!(all(1), all(1));
        assert_ne!(all(1), all(2));
    }
}
