//! Kinds of phases from somewhere else than a person's head: from the pressures that training finds in recorded runs, from
//! tables of programs alone ([`crate::profiles`]), or drawn at random.

use predictor::contention::curve::{ShareCurve, shares};
use predictor::contention::{Pressure, Profile};
use rand::Rng;
use rand_chacha::ChaCha8Rng;

use super::script::{LINE_BYTES, PhaseKind};
use crate::profiles::{Alone, Profiles};

/// Loads and stores of phases whose source does not tell them.
const UNTOLD: (f64, f64) = (280.0, 100.0);

/// First-level misses for each LLC reference, where the source does not tell them.
const L1_MISSES_PER_REFERENCE: f64 = 1.5;

/// More misses per instruction than this, with the fewest ways, tell what a miss costs.
const TELLING_MISSES: f64 = 2e-4;

/// Least and most of a figure.
type Range = (f64, f64);

/// Families of drawn kinds: cycles per instruction, stall share, LLC references, LLC miss ratio, footprint.
const FAMILIES: [(&str, [Range; 5]); 4] = [
    ("computes", [(0.5, 0.9), (0.02, 0.1), (0.05, 1.0), (0.1, 0.3), (0.01, 0.05)]),
    ("lives-in-llc", [(1.2, 3.0), (0.5, 0.8), (15.0, 60.0), (0.02, 0.15), (0.5, 1.0)]),
    ("streams", [(0.8, 2.0), (0.4, 0.7), (20.0, 50.0), (0.7, 0.95), (0.1, 0.3)]),
    ("mixed", [(0.8, 1.5), (0.2, 0.5), (3.0, 15.0), (0.2, 0.5), (0.3, 0.6)]),
];

impl PhaseKind {
    /// What a phase of a trained model does alone: of one that was recorded on any host, or found in imported counters.
    #[must_use]
    pub fn of_pressure(name: &str, pressure: &Pressure) -> Self {
        let references = pressure.llc_references_per_kilo_instruction;
        let misses = pressure.llc_misses_per_kilo_instruction;
        let ratio = if references > 0.0 { (misses / references).min(1.0) } else { 0.0 };
        Self {
            cycles_per_instruction: pressure.cycles_per_instruction,
            stall_share: pressure.stall_share,
            // What hits is in the cache, and what streams through is not worth fetching again.
            footprint_share: (1.0 - ratio) * (references / (references + 1.0)),
            llc_miss_ratio: ratio,
            profile: pressure.profile,
            ..Self::plain(name, references)
        }
    }

    /// Every program of a table of programs alone, as one kind each, with all the ways of the cache that it was run with. Kinds
    /// are in the order of names; programs whose table does not tell LLC references are left out.
    #[must_use]
    pub fn of_table(profiles: &Profiles) -> Vec<Self> {
        let kind = |app: &str| {
            let rows = profiles.alone(app);
            let (_, whole) = rows.last()?;
            let (references, misses) = (whole.references?, whole.misses?);
            let pressure = Pressure {
                llc_references_per_kilo_instruction: references,
                llc_misses_per_kilo_instruction: misses.min(references),
                memory_bytes_per_kilo_instruction: LINE_BYTES * misses,
                cycles_per_instruction: 1.0 / whole.ipc,
                stall_share: whole.stalls.min(1.0),
                profile: profile(&rows),
            };
            Some(Self::of_pressure(app, &pressure))
        };
        profiles.programs().filter_map(kind).collect()
    }

    /// A kind drawn at random, of one of four families: it computes in its private caches, it lives in the LLC, it streams
    /// through memory, or a little of all. The ranges are chosen, after what programs of the catalogue do on the emulated
    /// machine.
    #[must_use]
    pub fn drawn(name: &str, rng: &mut ChaCha8Rng) -> Self {
        let family = rng.gen_range(0..FAMILIES.len());
        Self::of_family(name, family, rng)
    }

    /// One of each family, drawn.
    #[must_use]
    pub fn one_of_each(rng: &mut ChaCha8Rng) -> Vec<Self> {
        FAMILIES.iter().enumerate().map(|(family, (name, _))| Self::of_family(name, family, rng)).collect()
    }

    fn of_family(name: &str, family: usize, rng: &mut ChaCha8Rng) -> Self {
        let [cost, stall, references, ratio, footprint] = FAMILIES[family].1;
        let mut within = |(least, most): (f64, f64)| rng.gen_range(least..most);
        Self {
            cycles_per_instruction: within(cost),
            stall_share: within(stall),
            llc_miss_ratio: within(ratio),
            footprint_share: within(footprint),
            loads: within((200.0, 400.0)),
            stores: within((30.0, 130.0)),
            ..Self::plain(name, within(references))
        }
    }

    fn plain(name: &str, llc_references: f64) -> Self {
        Self {
            name: name.to_owned(),
            cycles_per_instruction: 1.0,
            stall_share: 0.0,
            footprint_share: 0.0,
            idle_share: 0.0,
            kernel_share: 0.0,
            loads: UNTOLD.0,
            stores: UNTOLD.1,
            l1_misses: L1_MISSES_PER_REFERENCE * llc_references,
            llc_references,
            llc_miss_ratio: 0.0,
            profile: None,
        }
    }
}

/// What a program does with fewer ways than the most; `None` if its references are not told for each.
fn profile(rows: &[(u32, Alone)]) -> Option<Profile> {
    let (most, whole) = rows.last()?;
    let ratios: Vec<(f64, f64)> = rows
        .iter()
        .map(|(ways, row)| {
            Some((f64::from(*ways) / f64::from(*most), (row.misses? / row.references?.max(1e-9)).min(1.0)))
        })
        .collect::<Option<_>>()?;
    let mut least = 1.0f32;
    let curve = shares().map(|share| {
        // Measured curves rise here and there; a cache that is larger is not worse.
        least = least.min(at(&ratios, share) as f32);
        least
    });
    let (_, fewest) = rows.first()?;
    let extra_misses = (fewest.misses? - whole.misses?) / 1000.0;
    let extra_cycles = 1.0 / fewest.ipc - 1.0 / whole.ipc;
    let telling = extra_misses > TELLING_MISSES && extra_cycles > 0.0;
    Some(Profile {
        miss_ratios: ShareCurve::new(curve).ok()?,
        dispersion: 1.0,
        cycles_per_extra_miss: telling.then(|| extra_cycles / extra_misses),
    })
}

/// The ratio at a share of the cache, between those that were measured; as at the nearest beyond them.
fn at(ratios: &[(f64, f64)], share: f64) -> f64 {
    let next = ratios.partition_point(|(known, _)| *known < share);
    match (next.checked_sub(1).map(|before| ratios[before]), ratios.get(next)) {
        (Some((left, low)), Some((right, high))) => low + (high - low) * (share - left) / (right - left),
        (Some((_, last)), None) => last,
        (None, Some((_, first))) => *first,
        (None, None) => 1.0,
    }
}

#[cfg(test)]
mod tests {
    use rand_chacha::rand_core::SeedableRng;

    use super::*;

    #[test]
    fn a_kind_of_a_pressure_has_that_pressure() {
        let pressure = Pressure {
            llc_references_per_kilo_instruction: 40.0,
            llc_misses_per_kilo_instruction: 10.0,
            memory_bytes_per_kilo_instruction: 640.0 * (1.0 + UNTOLD.1 / (UNTOLD.0 + UNTOLD.1)),
            cycles_per_instruction: 1.5,
            stall_share: 0.4,
            profile: None,
        };
        assert_eq!(PhaseKind::of_pressure("a", &pressure).pressure(), pressure);
    }

    #[test]
    fn a_row_of_a_table_is_a_kind_with_its_curve() {
        let table = "app,ways,ipc,memory_bandwidth_mib_s,stalls_total,stalls_l3_miss,stalls_store_buffer,\
                     llc_references_per_kilo_instruction,llc_misses_per_kilo_instruction
mcf,1,0.5,100,0.8,0.5,0.1,20,16
mcf,2,0.8,50,0.4,0.25,0.0,20,8
mcf,4,1.0,50,0.4,0.25,0.0,20,4
";
        let mut file = tempfile::NamedTempFile::new().expect("a file");
        std::io::Write::write_all(&mut file, table.as_bytes()).expect("written");
        let kinds = PhaseKind::of_table(&Profiles::read(file.path()).expect("a table"));
        assert_eq!((kinds.len(), kinds[0].llc_miss_ratio, kinds[0].cycles_per_instruction), (1, 0.2, 1.0));
        let profile = kinds[0].profile.expect("references are told");
        assert_eq!(profile.miss_ratios.ratios()[32], 0.2, "the whole");
        assert_eq!(profile.miss_ratios.ratios()[24], 0.4, "half of it");
        assert!((profile.cycles_per_extra_miss.expect("telling") - 1000.0 / 12.0).abs() < 1e-9);
    }

    #[test]
    fn the_same_generator_draws_the_same_kinds() {
        let draw = || {
            let mut rng = ChaCha8Rng::seed_from_u64(3);
            [0; 5].map(|_| PhaseKind::drawn("a", &mut rng))
        };
        assert_eq!(draw(), draw());
        assert!(draw().iter().all(|kind| kind.pressure().stall_share < 1.0));
    }
}
