//! An archive of unlike files one after another, as a backup holds them: a picture, sources and an edited copy of them,
//! sequences of bases, sound, numbers as text. Another character than [`super::corpus`]: less text, more repetition at
//! long distances, and stretches that hardly compress.

use super::{c_source, genome, picture};
use crate::random::SplitMix64;

/// How large a member is: between this and three times as much.
const MEMBER_BYTES: usize = 160 * 1024;

/// Bytes of a member's header, as in tar.
const HEADER_BYTES: usize = 512;

/// About `bytes` of members in turn.
pub(super) fn generate(seed: u64, bytes: usize) -> Vec<u8> {
    let mut random = SplitMix64::new(seed);
    let mut archive: Vec<u8> = Vec::with_capacity(bytes + 4 * MEMBER_BYTES);
    let mut sources: Vec<u8> = Vec::new();
    for number in 0.. {
        if archive.len() >= bytes {
            break;
        }
        let length = MEMBER_BYTES + random.below(2 * MEMBER_BYTES);
        let (name, mut member) = match number % 6 {
            0 => ("picture.ppm", picture::landscape(random.next_u64(), length)),
            1 => ("unit.c", c_source::generate(random.next_u64(), length)),
            2 => ("sound.pcm", sound(&mut random, length)),
            3 => ("unit.c.orig", edited(&mut random, &sources)),
            4 => ("bases.fa", genome::reference(random.next_u64(), length)),
            _ => ("numbers.csv", numbers(&mut random, length)),
        };
        member.truncate(length);
        let mut header = format!("{number:04}/{name}\0").into_bytes();
        header.resize(HEADER_BYTES, 0);
        header[124..136].copy_from_slice(format!("{:011o}\0", member.len()).as_bytes());
        archive.extend_from_slice(&header);
        archive.extend_from_slice(&member);
        archive.resize(archive.len().next_multiple_of(HEADER_BYTES), 0);
        if name == "unit.c" {
            sources = member;
        }
    }
    archive.truncate(bytes);
    archive
}

/// The same text with a changed byte now and then.
fn edited(random: &mut SplitMix64, original: &[u8]) -> Vec<u8> {
    let mut copy = original.to_vec();
    for _ in 0..copy.len() / 2000 {
        let at = random.below(copy.len());
        copy[at] = b'a' + random.below(26) as u8;
    }
    copy
}

/// Two channels of 16 bits: three tones that swell and fade, and hiss. The tones are parabolas rather than sines, whose
/// last bits would depend on a library.
fn sound(random: &mut SplitMix64, bytes: usize) -> Vec<u8> {
    let periods = [40 + random.below(60), 111 + random.below(90), 307 + random.below(200)];
    let tone = |at: usize, period: usize| {
        let x = 2 * (at % period) as i64 - period as i64;
        8000 * x * (period as i64 - x.abs()) / (period * period) as i64
    };
    let mut pcm = Vec::with_capacity(bytes + 4);
    for at in 0..bytes / 4 {
        let swell = (at / 64 % 512) as i64;
        let hiss = random.below(129) as i64 - 64;
        let left = (tone(at, periods[0]) * swell / 512 + tone(at, periods[1]) + hiss) as i16;
        let right = (tone(at, periods[2]) * (512 - swell) / 512 + tone(at, periods[1]) + hiss / 2) as i16;
        pcm.extend_from_slice(&left.to_le_bytes());
        pcm.extend_from_slice(&right.to_le_bytes());
    }
    pcm
}

/// Rows of measurements that drift.
fn numbers(random: &mut SplitMix64, bytes: usize) -> Vec<u8> {
    let mut text = String::with_capacity(bytes + 64);
    let mut level = [5000_i64, 20_000, 700];
    while text.len() < bytes {
        for value in &mut level {
            *value += random.below(41) as i64 - 20;
        }
        text.push_str(&format!("{}.{:03};{};{:.2}\n", level[0] / 1000, level[0].abs() % 1000, level[1], level[2]));
    }
    text.into_bytes()
}
