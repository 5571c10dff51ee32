//! A server's log, for programs that parse and count.

use super::corpus::{self, Vocabulary};
use crate::random::SplitMix64;

/// About `bytes` of whole lines.
pub(super) fn generate(seed: u64, bytes: usize) -> Vec<u8> {
    let mut random = SplitMix64::new(seed);
    let vocabulary = Vocabulary::new(&mut random);
    let mut log = Vec::with_capacity(bytes + 256);
    while log.len() < bytes {
        corpus::log(&vocabulary, &mut random, &mut log);
    }
    log
}
