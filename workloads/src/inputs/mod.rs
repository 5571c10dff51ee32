//! Inputs of the real programs, made from a seed: no file is downloaded and none is committed.
//!
//! Each generator makes something its program works on much as on the real thing: repetitive but varied, with parts
//! that differ, so that phases show. Same generator, seed and size: the same bytes.

use serde::Deserialize;

/// The version of all generators together; it is part of an image's digest. Raise it when any output changes.
pub const GENERATORS_VERSION: u32 = 1;

/// What makes a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Generator {
    /// Text, logs, tables and binary records in turn, for compressors.
    Corpus,
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
        match self.generator {
            Generator::Corpus => Vec::new(),
        }
    }
}
