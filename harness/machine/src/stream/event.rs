//! What a stream consists of, and how one event becomes a few bytes and an event again.
//!
//! ```text
//! byte 0      bits 0-2 kind | bits 3-4 number of ancestors | bits 5-6 bytes of the line, less 1 | bit 7 wide position
//! position    instructions since the event before: 1 byte, or 3 if wide
//! line        of kinds that have one: its distance from the last line of that kind, zigzag, 1 to 4 bytes
//! ancestors   each the number of timed events back: 1 byte below 255, else 255 and 2 bytes
//! rest        of touches one byte of flags; of notes a byte that says which, and its numbers
//! ```
//!
//! All numbers are little-endian. Positions count from the block's first and lines from 0 in each block, so that a block
//! reads alone.

use super::Ancestors;
use crate::cache::{Direction, Line};

/// Bytes that may be read behind a block's last event.
pub(crate) const PADDING: usize = 16;

const LINE_KINDS: usize = 8;
const LOAD: u8 = 0;
const STORE: u8 = 1;
const PRIVATE_LOAD: u8 = 2;
const PRIVATE_STORE: u8 = 3;
const TOUCH: u8 = 4;
const WRITTEN_OUT: u8 = 5;
const PREFETCH: u8 = 6;
const NOTE: u8 = 7;

const NOTE_SUMS: u8 = 0;
const NOTE_CHECKPOINT: u8 = 1;
const NOTE_PHASE: u8 = 2;
const NOTE_END_OF_TRUTH: u8 = 3;
const NOTE_HALT: u8 = 4;

const WIDE: u8 = 0x80;
const TOUCH_STORES: u8 = 1;
const TOUCH_FIRST: u8 = 2;
const TOUCH_TIMED: u8 = 4;
const TOUCH_PREFETCHED: u8 = 8;

/// Running sums that references do not tell.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Sums {
    pub(crate) kernel_instructions: u64,
    pub(crate) loads: u64,
    pub(crate) stores: u64,
    pub(crate) l1_misses: u64,
}

impl Sums {
    pub(crate) fn minus(self, earlier: Self) -> Self {
        Self {
            kernel_instructions: self.kernel_instructions - earlier.kernel_instructions,
            loads: self.loads - earlier.loads,
            stores: self.stores - earlier.stores,
            l1_misses: self.l1_misses - earlier.l1_misses,
        }
    }

    /// `part` of `whole` of these.
    pub(crate) fn share(self, part: u64, whole: u64) -> Self {
        let share = |sum| (u128::from(part) * u128::from(sum) / u128::from(whole)) as u64;
        Self {
            kernel_instructions: share(self.kernel_instructions),
            loads: share(self.loads),
            stores: share(self.stores),
            l1_misses: share(self.l1_misses),
        }
    }

    pub(crate) fn plus(self, later: Self) -> Self {
        Self {
            kernel_instructions: self.kernel_instructions + later.kernel_instructions,
            loads: self.loads + later.loads,
            stores: self.stores + later.stores,
            l1_misses: self.l1_misses + later.l1_misses,
        }
    }
}

/// What happened at one place of the instruction stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum What {
    /// A demand access that missed the private caches.
    Reference(Direction, Line),
    /// A demand access that a private cache served too late to be free.
    Private(Direction),
    /// As [`What::Private`], with more to say.
    Touch(Direction, Line, Touch),
    /// A dirty line left the private caches.
    WrittenOut(Line),
    Prefetch(Line),
    /// What was counted since the last ones.
    Sums(Sums),
    /// From here on first touches are told again; so many lines are dirty in the private caches.
    Checkpoint {
        dirty_lines: u64,
    },
    Phase(u8),
    EndOfTruth,
    Halt,
}

/// An access to a line that a private cache has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Touch {
    /// The first one since the last checkpoint: a reference if the caches went cold meanwhile.
    pub(crate) first: bool,
    /// Too late to be free.
    pub(crate) timed: bool,
    /// The first one to a line that was prefetched, and may be under way.
    pub(crate) prefetched: bool,
}

/// One event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Event {
    /// Instructions before it.
    pub(crate) position: u64,
    pub(crate) what: What,
    /// The timed events that its address waits for, each by the number of timed events from it to this one; 0 for none.
    pub(crate) ancestors: [u16; Ancestors::MOST],
}

/// What an event is encoded against.
#[derive(Debug, Clone, Copy, Default)]
struct Context {
    position: u64,
    lines: [u64; LINE_KINDS],
}

/// Why an event does not fit the format.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct TooFar;

/// Appends events to a block.
#[derive(Debug)]
pub(crate) struct Encoder {
    context: Context,
}

impl Encoder {
    /// For a block that begins at `position`.
    pub(crate) fn new(position: u64) -> Self {
        Self { context: Context { position, ..Context::default() } }
    }

    /// Appends one event. `TooFar` if its line is more than 128 GiB from the one before or 2^24 instructions passed.
    pub(crate) fn append(&mut self, event: &Event, block: &mut Vec<u8>) -> Result<(), TooFar> {
        let (kind, line) = match event.what {
            What::Reference(Direction::Read, line) => (LOAD, Some(line)),
            What::Reference(Direction::Write, line) => (STORE, Some(line)),
            What::Private(Direction::Read) => (PRIVATE_LOAD, None),
            What::Private(Direction::Write) => (PRIVATE_STORE, None),
            What::Touch(_, line, _) => (TOUCH, Some(line)),
            What::WrittenOut(line) => (WRITTEN_OUT, Some(line)),
            What::Prefetch(line) => (PREFETCH, Some(line)),
            _ => (NOTE, None),
        };
        let ancestors = event.ancestors.iter().take_while(|&&back| back > 0).count();
        let delta = event.position - self.context.position;
        let mut head = kind | (ancestors as u8) << 3;
        let line = line.map(|line| self.line_delta(kind, line)).transpose()?;
        let line_bytes = line.map_or(0, |delta| (4 - delta.leading_zeros() / 8).max(1) as usize);
        head |= (line_bytes.saturating_sub(1) as u8) << 5;
        let position_bytes = if delta > 0xff { 3 } else { 1 };
        if delta > 0xff_ffff {
            return Err(TooFar);
        }
        head |= if position_bytes == 3 { WIDE } else { 0 };
        self.context.position = event.position;
        block.push(head);
        block.extend_from_slice(&delta.to_le_bytes()[..position_bytes]);
        block.extend_from_slice(&line.unwrap_or_default().to_le_bytes()[..line_bytes]);
        for &back in &event.ancestors[..ancestors] {
            match u8::try_from(back) {
                Ok(back) if back < 255 => block.push(back),
                _ => {
                    block.push(255);
                    block.extend_from_slice(&back.to_le_bytes());
                }
            }
        }
        append_rest(event.what, block);
        Ok(())
    }

    fn line_delta(&mut self, kind: u8, line: Line) -> Result<u32, TooFar> {
        let base = &mut self.context.lines[usize::from(kind)];
        let delta = i32::try_from(line.0 as i64 - *base as i64).map_err(|_| TooFar)?;
        *base = line.0;
        Ok((delta << 1 ^ delta >> 31) as u32)
    }
}

fn append_rest(what: What, block: &mut Vec<u8>) {
    match what {
        What::Touch(direction, _, Touch { first, timed, prefetched }) => {
            let flag = |is_set, flag| if is_set { flag } else { 0 };
            block.push(
                flag(direction == Direction::Write, TOUCH_STORES)
                    | flag(first, TOUCH_FIRST)
                    | flag(timed, TOUCH_TIMED)
                    | flag(prefetched, TOUCH_PREFETCHED),
            );
        }
        What::Sums(sums) => {
            block.push(NOTE_SUMS);
            for number in [sums.kernel_instructions, sums.loads, sums.stores, sums.l1_misses] {
                append_number(number, block);
            }
        }
        What::Checkpoint { dirty_lines } => {
            block.push(NOTE_CHECKPOINT);
            append_number(dirty_lines, block);
        }
        What::Phase(phase) => block.extend([NOTE_PHASE, phase]),
        What::EndOfTruth => block.push(NOTE_END_OF_TRUTH),
        What::Halt => block.push(NOTE_HALT),
        What::Reference(..) | What::Private(_) | What::WrittenOut(_) | What::Prefetch(_) => {}
    }
}

/// Seven bits a byte, the lowest first; the top bit says that more follow.
fn append_number(mut number: u64, block: &mut Vec<u8>) {
    while number > 0x7f {
        block.push(number as u8 | 0x80);
        number >>= 7;
    }
    block.push(number as u8);
}

/// Reads the events of one block.
#[derive(Debug, Clone)]
pub(crate) struct Decoder {
    context: Context,
    at: usize,
}

impl Decoder {
    /// For a block that begins at `position`.
    pub(crate) fn new(position: u64) -> Self {
        Self { context: Context { position, ..Context::default() }, at: 0 }
    }

    /// The next event of `block`, of which the last [`PADDING`] bytes are no events; `None` at its end. The block's
    /// checksum was verified, so what is in it was written by [`Encoder::append`].
    #[inline(always)]
    pub(crate) fn next(&mut self, block: &[u8]) -> Option<Event> {
        if self.at + PADDING >= block.len() {
            return None;
        }
        let head = block[self.at];
        let mut at = self.at + 1;
        let kind = head & 7;
        if head & WIDE == 0 {
            self.context.position += u64::from(block[at]);
            at += 1;
        } else {
            self.context.position += u64::from(word(block, at) & 0xff_ffff);
            at += 3;
        }
        let position = self.context.position;
        let mut line = Line(0);
        if !matches!(kind, PRIVATE_LOAD | PRIVATE_STORE | NOTE) {
            let bytes = usize::from(head >> 5 & 3) + 1;
            let zigzag = word(block, at) & (u32::MAX >> (32 - 8 * bytes));
            at += bytes;
            let base = &mut self.context.lines[usize::from(kind)];
            let delta = (zigzag >> 1) as i32 ^ -((zigzag & 1) as i32);
            *base = base.wrapping_add_signed(delta.into());
            line = Line(*base);
        }
        let mut ancestors = [0; Ancestors::MOST];
        for back in &mut ancestors[..usize::from(head >> 3 & 3)] {
            *back = block[at].into();
            at += 1;
            if *back == 255 {
                *back = word(block, at) as u16;
                at += 2;
            }
        }
        self.at = at;
        let what = match kind {
            LOAD => What::Reference(Direction::Read, line),
            STORE => What::Reference(Direction::Write, line),
            PRIVATE_LOAD => What::Private(Direction::Read),
            PRIVATE_STORE => What::Private(Direction::Write),
            WRITTEN_OUT => What::WrittenOut(line),
            PREFETCH => What::Prefetch(line),
            TOUCH => self.touch(line, block),
            _ => self.note(block),
        };
        Some(Event { position, what, ancestors })
    }

    fn touch(&mut self, line: Line, block: &[u8]) -> What {
        let flags = self.byte(block);
        let direction = if flags & TOUCH_STORES == 0 { Direction::Read } else { Direction::Write };
        let [first, timed, prefetched] = [TOUCH_FIRST, TOUCH_TIMED, TOUCH_PREFETCHED].map(|flag| flags & flag != 0);
        What::Touch(direction, line, Touch { first, timed, prefetched })
    }

    #[inline(never)]
    fn note(&mut self, block: &[u8]) -> What {
        match self.byte(block) {
            NOTE_SUMS => {
                let [kernel_instructions, loads, stores, l1_misses] = std::array::from_fn(|_| self.number(block));
                What::Sums(Sums { kernel_instructions, loads, stores, l1_misses })
            }
            NOTE_CHECKPOINT => What::Checkpoint { dirty_lines: self.number(block) },
            NOTE_PHASE => What::Phase(self.byte(block)),
            NOTE_END_OF_TRUTH => What::EndOfTruth,
            _ => What::Halt,
        }
    }

    fn byte(&mut self, block: &[u8]) -> u8 {
        self.at += 1;
        block[self.at - 1]
    }

    fn number(&mut self, block: &[u8]) -> u64 {
        let (mut number, mut shift) = (0, 0);
        loop {
            let byte = self.byte(block);
            number |= u64::from(byte & 0x7f) << shift;
            shift += 7;
            if byte < 0x80 || shift > 56 {
                return number;
            }
        }
    }
}

/// The four bytes at `at`.
#[inline(always)]
fn word(block: &[u8], at: usize) -> u32 {
    let bytes: [u8; 4] = block[at..at + 4].try_into().expect("four bytes");
    u32::from_le_bytes(bytes)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn directions() -> impl Strategy<Value = Direction> {
        prop_oneof![Just(Direction::Read), Just(Direction::Write)]
    }

    fn events() -> impl Strategy<Value = (u64, What, Vec<u16>)> {
        let line = || prop_oneof![0u64..1000, 0u64..1 << 30].prop_map(Line);
        let number = || prop_oneof![0u64..300, 0u64..1 << 40];
        let what = prop_oneof![
            (directions(), line()).prop_map(|(direction, line)| What::Reference(direction, line)),
            directions().prop_map(What::Private),
            (directions(), line(), any::<[bool; 3]>()).prop_map(|(direction, line, [first, timed, prefetched])| {
                What::Touch(direction, line, Touch { first, timed, prefetched })
            }),
            line().prop_map(What::WrittenOut),
            line().prop_map(What::Prefetch),
            (number(), number(), number(), number()).prop_map(|(kernel_instructions, loads, stores, l1_misses)| {
                What::Sums(Sums { kernel_instructions, loads, stores, l1_misses })
            }),
            number().prop_map(|dirty_lines| What::Checkpoint { dirty_lines }),
            (0u8..64).prop_map(What::Phase),
            Just(What::EndOfTruth),
            Just(What::Halt),
        ];
        let delta = prop_oneof![0u64..300, 0u64..1 << 24];
        (delta, what, prop::collection::vec(1u16..1024, 0..=Ancestors::MOST))
    }

    proptest! {
        #[test]
        fn what_was_written_is_read(recipe in prop::collection::vec(events(), 0..200)) {
            let mut position = 0;
            let written: Vec<Event> = recipe
                .into_iter()
                .map(|(delta, what, back)| {
                    position += delta;
                    let mut ancestors = [0; Ancestors::MOST];
                    ancestors[..back.len()].copy_from_slice(&back);
                    Event { position, what, ancestors }
                })
                .collect();
            let (mut encoder, mut block) = (Encoder::new(0), Vec::new());
            for event in &written {
                prop_assert_eq!(encoder.append(event, &mut block), Ok(()));
            }
            block.extend([0; PADDING]);
            let mut decoder = Decoder::new(0);
            let read: Vec<Event> = std::iter::from_fn(|| decoder.next(&block)).collect();
            prop_assert_eq!(read, written);
        }
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        let (mut encoder, mut block) = (Encoder::new(0), Vec::new());
        let event =
            |position, line| Event { position, what: What::Prefetch(Line(line)), ancestors: [0; Ancestors::MOST] };
        assert_eq!(encoder.append(&event(0, 1 << 40), &mut block), Err(TooFar));
        assert_eq!(encoder.append(&event(1 << 24, 1), &mut block), Err(TooFar));
        assert_eq!(encoder.append(&event(5, 1), &mut block), Ok(()));
        assert_eq!(block.len(), 3, "a near event takes three bytes");
    }
}
