//! Which programs meet: drawn by the seed from all that end, so that nobody chose mixes by what a policy makes of them.
//!
//! The rule: programs are sorted into thirds by how often they ask the LLC alone (references per thousand cycles). Each mix
//! has one of each third and a fourth of any, none twice, each on its first input; then the four are shuffled. A third is
//! gone through before one of its programs comes again. Mixes on which settings are chosen are drawn the same way, by
//! another stream of the same generator, and are not among those that are compared.

use rand::SeedableRng;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;
use workloads::catalogue::Program;

use crate::input::InputError;
use crate::survey::urn::Urn;

/// Guests of each mix.
pub(super) const GUESTS: usize = 4;

/// A program and how often it asks the LLC.
#[derive(Debug, Clone, Copy)]
pub(super) struct Candidate<'a> {
    pub(super) program: &'a Program,
    /// LLC references per thousand cycles, alone.
    pub(super) pressure: f64,
}

/// What a mix is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Purpose {
    /// To choose settings on.
    Tuning,
    /// To compare policies on.
    Comparison,
}

/// So many mixes of four programs.
pub(super) fn draw<'a>(
    candidates: &[Candidate<'a>],
    purpose: Purpose,
    mixes: usize,
    seed: u64,
) -> Result<Vec<Vec<&'a Program>>, InputError> {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    rng.set_stream(u64::from(purpose == Purpose::Tuning));
    let mut sorted = candidates.to_vec();
    // Equal pressures stand in the order of the catalogue: the sort is stable.
    sorted.sort_by(|one, other| one.pressure.total_cmp(&other.pressure));
    let third = |number: usize| {
        let (from, to) = (number * sorted.len() / 3, (number + 1) * sorted.len() / 3);
        Urn::new(sorted[from..to].iter().map(|candidate| candidate.program))
    };
    let mut urns = vec![third(0), third(1), third(2)];
    urns.push(Urn::new(sorted.iter().map(|candidate| candidate.program)));
    let one = |_| {
        let mut drawn: Vec<&Program> = Vec::new();
        for urn in &mut urns {
            drawn.push(urn.draw(&drawn, &mut rng).ok_or_else(|| {
                let problem = format!("{} programs are too few for mixes of {GUESTS}", candidates.len());
                InputError::new(problem, "give at least two for each third of pressures, six in all").at("--program")
            })?);
        }
        drawn.shuffle(&mut rng);
        Ok(drawn)
    };
    (0..mixes).map(one).collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use workloads::catalogue::Catalogue;

    use super::*;

    fn drawn(purpose: Purpose, seed: u64) -> Vec<Vec<String>> {
        let catalogue = Catalogue::builtin();
        let candidates: Vec<Candidate<'_>> = catalogue
            .programs()
            .iter()
            .zip(0..)
            .map(|(program, place)| Candidate { program, pressure: f64::from(place) })
            .collect();
        let mixes = draw(&candidates, purpose, 30, seed).expect("enough programs");
        mixes.iter().map(|mix| mix.iter().map(|program| program.name.clone()).collect()).collect()
    }

    #[test]
    fn every_mix_has_a_program_of_each_third_and_none_twice() {
        let catalogue = Catalogue::builtin();
        let all = catalogue.programs().len();
        for mix in drawn(Purpose::Comparison, 1) {
            let third = |name: &String| {
                let place = catalogue.programs().iter().position(|program| program.name == *name).expect("known");
                (0..3).find(|third| place < (third + 1) * all / 3)
            };
            assert_eq!(mix.iter().map(third).collect::<BTreeSet<_>>().len(), 3, "{mix:?}");
            assert_eq!(mix.iter().collect::<BTreeSet<_>>().len(), GUESTS, "{mix:?}");
        }
    }

    #[test]
    fn many_mixes_show_every_program() {
        let shown: BTreeSet<String> = drawn(Purpose::Comparison, 1).into_iter().flatten().collect();
        assert_eq!(shown.len(), Catalogue::builtin().programs().len());
    }

    #[test]
    fn the_seed_decides_and_settings_are_chosen_on_other_mixes() {
        assert_eq!(drawn(Purpose::Comparison, 1), drawn(Purpose::Comparison, 1));
        assert_ne!(drawn(Purpose::Comparison, 1), drawn(Purpose::Comparison, 2));
        let of = |purpose| drawn(purpose, 1).into_iter().map(BTreeSet::from_iter).collect::<BTreeSet<BTreeSet<_>>>();
        assert!(of(Purpose::Comparison).is_disjoint(&of(Purpose::Tuning)));
    }

    #[test]
    fn too_few_programs_are_refused() {
        let catalogue = Catalogue::builtin();
        let few: Vec<Candidate<'_>> =
            catalogue.programs()[..3].iter().map(|program| Candidate { program, pressure: 1.0 }).collect();
        assert!(draw(&few, Purpose::Comparison, 1, 1).is_err());
    }
}
