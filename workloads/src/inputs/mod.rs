//! Inputs of the real programs, made from a seed: no file is downloaded and none is committed.
//!
//! Each generator makes something its program works on much as on the real thing: repetitive but varied, with parts
//! that differ, so that phases show. Same generator, seed and size: the same bytes.

mod archive;
mod c_source;
mod chess;
mod corpus;
mod genome;
mod linear;
mod log;
mod picture;
mod proofs;
mod scene;
mod sql;
mod state_machines;
mod video;

use serde::{Deserialize, Serialize};

/// The version of all generators together; it is part of an image's digest. Raise it when any output changes.
pub const GENERATORS_VERSION: u32 = 3;

/// What makes a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Generator {
    /// Prose, logs, tables and binary records in turn, for compressors.
    Corpus,
    /// Pictures, sources, sound and bases in turn, for compressors.
    Archive,
    /// A server's log, for programs that parse and count.
    Log,
    /// A C source that needs no header, for compilers.
    CSource,
    /// A C source of long switches, tables and straight lines.
    StateMachines,
    /// A scene in POV-Ray's language: mirrors, glass, sky.
    Scene,
    /// A scene in POV-Ray's language: blobs and bodies in a closed room.
    Sculpture,
    /// SQL: a shop's orders.
    Orders,
    /// SQL: people who know each other, and their messages.
    Network,
    /// Chess positions with nearly all men.
    Middlegames,
    /// Chess positions with few men.
    Endgames,
    /// Uncompressed video in which little moves.
    QuietVideo,
    /// Uncompressed video with crowds and grain.
    RestlessVideo,
    /// A picture like a photograph.
    Landscape,
    /// A picture with flat areas, hatching and glyphs.
    Drawing,
    /// A genome in FASTA.
    Genome,
    /// Long reads with many errors, of the genome of the same seed and size.
    LongReads,
    /// Short reads with few errors, of the genome of the same seed and size.
    ShortReads,
    /// A linear program: a factory's plan.
    Production,
    /// A linear program: shipping.
    Transport,
    /// Questions about bit vectors in SMT-LIB.
    Circuits,
    /// Timetables in SMT-LIB.
    Timetables,
    /// A program that is always the same: seed and size say nothing.
    #[serde(untagged)]
    Script(Script),
}

/// A program for one of the interpreters; it is the same in every release with the same [`GENERATORS_VERSION`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Script {
    /// Perl that reports on a log.
    ReportScript,
    /// Perl that indexes a text.
    IndexScript,
    /// Perl that runs another program and drops times from its output.
    SteadyScript,
    /// Python on numbers.
    NumbersScript,
    /// Python on objects and strings.
    ObjectsScript,
}

impl Script {
    fn text(self) -> &'static str {
        match self {
            Self::ReportScript => include_str!("report.pl"),
            Self::IndexScript => include_str!("index.pl"),
            Self::SteadyScript => include_str!("steady.pl"),
            Self::NumbersScript => include_str!("numbers.py"),
            Self::ObjectsScript => include_str!("objects.py"),
        }
    }
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
        let generate = match self.generator {
            Generator::Corpus => corpus::generate,
            Generator::Archive => archive::generate,
            Generator::Log => log::generate,
            Generator::CSource => c_source::generate,
            Generator::StateMachines => state_machines::generate,
            Generator::Scene => scene::generate,
            Generator::Sculpture => scene::sculpture,
            Generator::Orders => sql::orders,
            Generator::Network => sql::network,
            Generator::Middlegames => chess::middlegames,
            Generator::Endgames => chess::endgames,
            Generator::QuietVideo => video::quiet,
            Generator::RestlessVideo => video::restless,
            Generator::Landscape => picture::landscape,
            Generator::Drawing => picture::drawing,
            Generator::Genome => genome::reference,
            Generator::LongReads => genome::long_reads,
            Generator::ShortReads => genome::short_reads,
            Generator::Production => linear::production,
            Generator::Transport => linear::transport,
            Generator::Circuits => proofs::circuits,
            Generator::Timetables => proofs::timetables,
            Generator::Script(script) => return script.text().as_bytes().to_vec(),
        };
        generate(self.seed, bytes)
    }
}

#[cfg(test)]
mod tests;
