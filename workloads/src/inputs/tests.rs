//! Claims about every generator: its bytes are known, and seed and size decide them.

use super::*;
use crate::hash::fnv1a;

const SEEDED: [Generator; 22] = [
    Generator::Corpus,
    Generator::Archive,
    Generator::Log,
    Generator::CSource,
    Generator::StateMachines,
    Generator::Scene,
    Generator::Sculpture,
    Generator::Orders,
    Generator::Network,
    Generator::Middlegames,
    Generator::Endgames,
    Generator::QuietVideo,
    Generator::RestlessVideo,
    Generator::Landscape,
    Generator::Drawing,
    Generator::Genome,
    Generator::LongReads,
    Generator::ShortReads,
    Generator::Production,
    Generator::Transport,
    Generator::Circuits,
    Generator::Timetables,
];

fn made(generator: Generator, seed: u64, size_kib: u32) -> Vec<u8> {
    InputFile { path: "/data/x".to_owned(), generator, seed, size_kib }.generate()
}

/// Raise [`GENERATORS_VERSION`] with these, or caches keep images with the old inputs.
#[test]
fn each_generator_makes_its_known_bytes() {
    let known = SEEDED.map(|one| format!("{one:?} {:016x}", fnv1a(&made(one, 7, 100))));
    expect_test::expect![[r#"
        Corpus 08f90f7d582ce5b1
        Archive 9ffe6f46fbc7d6b3
        Log 67820ef18f96b48b
        CSource 7ecc8d1c98666c9a
        StateMachines ff26001212203b50
        Scene df39a9f142508f55
        Sculpture 76c30b8f8a6326bb
        Orders 9b33b2a55cc53c01
        Network 21410da5a149c938
        Middlegames cb9532a050df12fd
        Endgames 238da49f8581c93b
        QuietVideo 13b27d22f0dc990c
        RestlessVideo f47307665aea9bf7
        Landscape 8e3f2435b99e1bea
        Drawing 4d7f625a36e141ae
        Genome 7d7a5f868148269a
        LongReads 0d9a5fb459a490e4
        ShortReads 41d0858bcaff754c
        Production 3277e4a8ecf48c5b
        Transport 010d0a2c67bd69d2
        Circuits 83f4b1e8adb3a518
        Timetables a00a241c29aa4850"#]]
    .assert_eq(&known.join("\n"));
}

#[test]
fn another_seed_makes_another_file_of_about_the_size_asked_for() {
    for generator in SEEDED {
        let file = |seed| made(generator, seed, 256);
        assert_ne!(file(1), file(2), "{generator:?}");
        assert_eq!(file(1), file(1), "{generator:?}");
        let bytes = file(1).len();
        assert!((150 * 1024..420 * 1024).contains(&bytes), "{generator:?}: {bytes}");
    }
}

#[test]
fn a_script_is_the_same_from_any_seed() {
    let script = Generator::Script(Script::NumbersScript);
    assert_eq!(made(script, 1, 0), made(script, 2, 64));
}
