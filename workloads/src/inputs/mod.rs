//! Inputs of the real programs, made from a seed: no file is downloaded and none is committed.
//!
//! Each generator makes something its program works on much as on the real thing: repetitive but varied, with parts
//! that differ, so that phases show. Same generator, seed and size: the same bytes.

mod c_source;
mod corpus;
mod log;
mod scene;

use serde::Deserialize;

/// The version of all generators together; it is part of an image's digest. Raise it when any output changes.
pub const GENERATORS_VERSION: u32 = 1;

/// What makes a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Generator {
    /// Prose, logs, tables and binary records in turn, for compressors.
    Corpus,
    /// A server's log, for programs that parse and count.
    Log,
    /// A C source that needs no header, for compilers.
    CSource,
    /// A scene in POV-Ray's language.
    Scene,
    /// The Perl program that reports on a log. It is always the same: seed and size say nothing.
    ReportScript,
}

/// A file that the image generates.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct InputFile {
    /// Where it stands in the guest.
    pub path: String,
    /// What makes it.
    pub generator: Generator,
    /// From which seed.
    pub seed: u64,
    /// How large, about.
    pub size_kib: u32,
}

impl InputFile {
    /// The file's content.
    #[must_use]
    pub fn generate(&self) -> Vec<u8> {
        let bytes = self.size_kib as usize * 1024;
        match self.generator {
            Generator::Corpus => corpus::generate(self.seed, bytes),
            Generator::Log => log::generate(self.seed, bytes),
            Generator::CSource => c_source::generate(self.seed, bytes),
            Generator::Scene => scene::generate(self.seed, bytes),
            Generator::ReportScript => include_bytes!("report.pl").to_vec(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hash::fnv1a;

    /// Raise [`GENERATORS_VERSION`] with these, or caches keep images with the old inputs.
    #[test]
    fn each_generator_makes_its_known_bytes() {
        let known = |generator, seed| {
            let file = InputFile { path: "/data/x".to_owned(), generator, seed, size_kib: 100 };
            format!("{generator:?} {:016x}", fnv1a(&file.generate()))
        };
        let made = [Generator::Corpus, Generator::Log, Generator::CSource, Generator::Scene].map(|one| known(one, 7));
        assert_eq!(
            made,
            ["Corpus 08f90f7d582ce5b1", "Log 67820ef18f96b48b", "CSource 7ecc8d1c98666c9a", "Scene df39a9f142508f55"]
        );
    }

    #[test]
    fn another_seed_makes_another_file_of_about_the_size_asked_for() {
        for generator in [Generator::Corpus, Generator::Log, Generator::CSource, Generator::Scene] {
            let file = |seed| InputFile { path: "/data/x".to_owned(), generator, seed, size_kib: 64 }.generate();
            assert_ne!(file(1), file(2), "{generator:?}");
            assert_eq!(file(1), file(1), "{generator:?}");
            assert!((64 * 1024..80 * 1024).contains(&file(1).len()), "{generator:?}: {}", file(1).len());
        }
    }
}
