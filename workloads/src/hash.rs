//! FNV-1a with 64 bits: the checksum of everything a guest computes. It tells a wrong answer from a right one; it
//! does not resist anybody who wants a collision. Artefacts of the image are named by SHA-256 elsewhere.

/// A running FNV-1a hash.
///
/// ```
/// let mut hash = workloads::hash::Fnv1a::default();
/// hash.update(b"a");
/// assert_eq!(hash.digest(), 0xaf63_dc4c_8601_ec8c);
/// ```
#[derive(Debug, Clone)]
pub struct Fnv1a(u64);

impl Default for Fnv1a {
    fn default() -> Self {
        Self(0xcbf2_9ce4_8422_2325)
    }
}

impl Fnv1a {
    /// Takes in more bytes.
    pub fn update(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            self.0 = (self.0 ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3);
        }
    }

    /// Takes in a number, least significant byte first.
    pub fn update_u64(&mut self, number: u64) {
        self.update(&number.to_le_bytes());
    }

    /// The hash of what was taken in so far.
    #[must_use]
    pub fn digest(&self) -> u64 {
        self.0
    }
}

/// The hash of `bytes`.
#[must_use]
pub fn fnv1a(bytes: &[u8]) -> u64 {
    let mut hash = Fnv1a::default();
    hash.update(bytes);
    hash.digest()
}
