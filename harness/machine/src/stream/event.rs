//! What a stream consists of, and how one event becomes a few bytes and an event again.
//!
//! ```text
//! byte 0      bits 0-2 kind | bits 3-4 number of ancestors | bits 5-6 bytes of the line, less 1 | bit 7 wide position
//! position    instructions since the event before: 1 byte, or 3 if wide
//! line        of kinds that have one: its distance from the last line of that kind, zigzag, 1 to 4 bytes
//! ancestors   each the number of timed events back: 1 byte below 255, else 255 and 2 bytes
//! rest        of touches a byte of flags; of kinds from 8 on (7 in byte 0) a byte with the kind, and its numbers
//! ```
//!
//! All numbers are little-endian. Positions count from the block's first and lines from 0 in each block, so that a block
//! reads alone.

#[cfg(test)]
use super::Ancestors;
use crate::cache::Line;

/// Bytes that may be read behind a block's last event.
pub(crate) const PADDING: usize = 16;

/// In the first byte of an event: what is told by a byte of its own.
const NOTE: u8 = 7;
const WIDE: u8 = 0x80;
const LINE_KINDS: usize = 7;

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

    const fn to_array(self) -> [u64; 4] {
        [self.kernel_instructions, self.loads, self.stores, self.l1_misses]
    }

    const fn from_array([kernel_instructions, loads, stores, l1_misses]: [u64; 4]) -> Self {
        Self { kernel_instructions, loads, stores, l1_misses }
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
#[repr(u8)]
pub(crate) enum Kind {
    /// A load that missed the private caches.
    Load = 0,
    /// A store that missed the private caches.
    Store = 1,
    /// A load that a private cache served, too late to be free.
    PrivateLoad = 2,
    /// A store that a private cache served, too late to be free.
    PrivateStore = 3,
    /// As the two before, with [`Touch`] to say more.
    Touch = 4,
    /// A dirty line left the private caches.
    WrittenOut = 5,
    /// The prefetcher asked, when the last timed event left the core.
    Prefetch = 6,
    /// What was counted since the last ones: [`Sums`].
    Sums = 8,
    /// From here on first touches are told again; `number` lines are dirty in the private caches.
    Checkpoint = 9,
    /// Phase `number` begins.
    Phase = 10,
    /// From here on no phase is marked.
    EndOfTruth = 11,
    /// The vCPU halts.
    Halt = 12,
    /// There are no more events.
    End = 13,
}

impl Kind {
    /// Those below have a line, or are private accesses.
    const FIRST_NOTE: u8 = 8;

    #[inline(always)]
    const fn of(code: u8) -> Self {
        match code {
            0 => Self::Load,
            1 => Self::Store,
            2 => Self::PrivateLoad,
            3 => Self::PrivateStore,
            4 => Self::Touch,
            5 => Self::WrittenOut,
            6 => Self::Prefetch,
            8 => Self::Sums,
            9 => Self::Checkpoint,
            10 => Self::Phase,
            11 => Self::EndOfTruth,
            12 => Self::Halt,
            _ => Self::End,
        }
    }

    const fn has_line(self) -> bool {
        matches!(self, Self::Load | Self::Store | Self::Touch | Self::WrittenOut | Self::Prefetch)
    }
}

/// An access to a line that a private cache has; bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Touch(u8);

impl Touch {
    /// It stores.
    pub(crate) const STORES: Self = Self(1);
    /// The first one since the last checkpoint: a reference if the caches went cold meanwhile.
    pub(crate) const FIRST: Self = Self(2);
    /// Too late to be free.
    pub(crate) const TIMED: Self = Self(4);
    /// The first one to a line that was prefetched, and may be under way.
    pub(crate) const PREFETCHED: Self = Self(8);

    #[inline(always)]
    pub(crate) const fn is(self, flag: Self) -> bool {
        self.0 & flag.0 != 0
    }

    /// This and `flag` as well if `condition` holds.
    pub(crate) const fn with(self, flag: Self, condition: bool) -> Self {
        if condition { Self(self.0 | flag.0) } else { self }
    }
}

/// One event. Plain words, since tens of millions a second are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Event {
    /// Instructions before it.
    pub(crate) position: u64,
    /// The line of kinds that have one, or the number of notes that have one.
    pub(crate) number: u64,
    /// The timed events that its address waits for, each by the number of timed events from it to this one; 16 bits
    /// each, from the lowest, 0 after the last.
    pub(crate) ancestors: u64,
    pub(crate) kind: Kind,
    pub(crate) touch: Touch,
}

impl Event {
    /// Without line, number and ancestors.
    pub(crate) const fn note(position: u64, kind: Kind) -> Self {
        Self { position, number: 0, ancestors: 0, kind, touch: Touch(0) }
    }

    pub(crate) const fn line(&self) -> Line {
        Line(self.number)
    }
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

    /// Appends one event; `sums` only if it is [`Kind::Sums`]. `TooFar` if its line is more than 128 GiB from the one
    /// before or 2^24 instructions passed.
    pub(crate) fn append(&mut self, event: &Event, sums: Sums, block: &mut Vec<u8>) -> Result<(), TooFar> {
        let kind = event.kind as u8;
        let delta = event.position - self.context.position;
        if delta > 0xff_ffff {
            return Err(TooFar);
        }
        let line = if event.kind.has_line() { Some(self.line_delta(kind, event.line())?) } else { None };
        let line_bytes = line.map_or(0, |delta| (4 - delta.leading_zeros() / 8).max(1) as usize);
        let ancestors = || (0..4).map(|at| (event.ancestors >> (16 * at)) as u16).take_while(|&back| back > 0);
        let (position_bytes, wide) = if delta > 0xff { (3, WIDE) } else { (1, 0) };
        self.context.position = event.position;
        let low = if kind < Kind::FIRST_NOTE { kind } else { NOTE };
        block.push(low | (ancestors().count() as u8) << 3 | (line_bytes.saturating_sub(1) as u8) << 5 | wide);
        block.extend_from_slice(&delta.to_le_bytes()[..position_bytes]);
        block.extend_from_slice(&line.unwrap_or_default().to_le_bytes()[..line_bytes]);
        for back in ancestors() {
            if back < 255 {
                block.push(back as u8);
            } else {
                block.push(255);
                block.extend_from_slice(&back.to_le_bytes());
            }
        }
        if event.kind == Kind::Touch {
            block.push(event.touch.0);
        }
        if kind >= Kind::FIRST_NOTE {
            block.push(kind);
        }
        match event.kind {
            Kind::Sums => sums.to_array().into_iter().for_each(|sum| append_number(sum, block)),
            Kind::Checkpoint | Kind::Phase => append_number(event.number, block),
            _ => {}
        }
        Ok(())
    }

    fn line_delta(&mut self, kind: u8, line: Line) -> Result<u32, TooFar> {
        let base = &mut self.context.lines[usize::from(kind)];
        let delta = i32::try_from(line.0 as i64 - *base as i64).map_err(|_| TooFar)?;
        *base = line.0;
        Ok((delta << 1 ^ delta >> 31) as u32)
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
    sums: Sums,
}

impl Decoder {
    /// For a block that begins at `position`.
    pub(crate) fn new(position: u64) -> Self {
        Self { context: Context { position, ..Context::default() }, at: 0, sums: Sums::default() }
    }

    /// What the last event of [`Kind::Sums`] said.
    pub(crate) const fn sums(&self) -> Sums {
        self.sums
    }

    /// Reads the next event of `block`, of which the last [`PADDING`] bytes are no events; at its end one of [`Kind::End`].
    /// The block's checksum was verified, so what is in it was written by [`Encoder::append`].
    // Answers by value and takes no part of it by address, so that an event stays in registers: written to memory and
    // read again it would cost more than all the rest.
    #[inline(always)]
    pub(crate) fn next(&mut self, block: &[u8]) -> Event {
        let at = self.at;
        let Some(bytes) = block.get(at..at + PADDING + 1) else {
            return Event::note(self.context.position, Kind::End);
        };
        let word = |at: usize| u64::from_le_bytes(bytes[at..at + 8].try_into().expect("eight bytes"));
        let head = bytes[0];
        let code = head & 7;
        let low = word(1);
        let position_bytes = if head & WIDE == 0 { 1 } else { 3 };
        self.context.position += low & ((1 << (8 * position_bytes)) - 1);
        let position = self.context.position;
        let mut used = 1 + position_bytes;
        let mut number = 0;
        if !matches!(code, 2 | 3 | NOTE) {
            let line_bytes = usize::from(head >> 5 & 3) + 1;
            let zigzag = (low >> (8 * position_bytes)) as u32 & (u32::MAX >> (32 - 8 * line_bytes));
            used += line_bytes;
            let base = &mut self.context.lines[usize::from(code)];
            let delta = (zigzag >> 1) as i32 ^ -((zigzag & 1) as i32);
            *base = base.wrapping_add_signed(delta.into());
            number = *base;
        }
        let mut at = at + used;
        let mut ancestors = 0;
        for nth in 0..u32::from(head >> 3 & 3) {
            let mut back = u64::from(block[at]);
            at += 1;
            if back == 255 {
                back = u64::from(self::word(block, at) & 0xffff);
                at += 2;
            }
            ancestors |= back << (16 * nth);
        }
        let (mut kind, mut touch) = (Kind::of(code), Touch::default());
        if code == 4 {
            touch = Touch(block[at]);
            at += 1;
        }
        self.at = at;
        if code == NOTE {
            (kind, number) = self.note(block);
        }
        Event { position, number, ancestors, kind, touch }
    }

    #[cold]
    #[inline(never)]
    fn note(&mut self, block: &[u8]) -> (Kind, u64) {
        let kind = Kind::of(self.byte(block));
        let mut number = 0;
        match kind {
            Kind::Sums => self.sums = Sums::from_array(std::array::from_fn(|_| self.number(block))),
            Kind::Checkpoint | Kind::Phase => number = self.number(block),
            _ => {}
        }
        (kind, number)
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

    fn events() -> impl Strategy<Value = (u64, Event, Sums)> {
        let number = || prop_oneof![0u64..300, 0u64..1 << 30];
        let delta = prop_oneof![0u64..300, 0u64..1 << 24];
        let ancestors = prop::collection::vec(1u64..1024, 0..=Ancestors::MOST);
        (delta, 0u8..13, number(), ancestors, 0u8..16, [number(), number(), number(), number()]).prop_map(
            |(delta, kind, number, back, touch, sums)| {
                let kind = Kind::of(kind);
                let numbered = kind.has_line() || matches!(kind, Kind::Checkpoint | Kind::Phase);
                let number = if numbered { number } else { 0 };
                let ancestors = back.iter().rev().fold(0, |packed, back| packed << 16 | back);
                let touch = Touch(if kind == Kind::Touch { touch } else { 0 });
                let sums = if kind == Kind::Sums { Sums::from_array(sums) } else { Sums::default() };
                (delta, Event { position: 0, number, ancestors, kind, touch }, sums)
            },
        )
    }

    proptest! {
        #[test]
        fn what_was_written_is_read(recipe in prop::collection::vec(events(), 0..200)) {
            let recipe = recipe.into_iter().filter(|(_, event, _)| event.kind != Kind::End);
            let (mut encoder, mut block) = (Encoder::new(0), Vec::new());
            let mut written = Vec::new();
            let mut position = 0;
            for (delta, event, sums) in recipe {
                position += delta;
                let event = Event { position, ..event };
                prop_assert_eq!(encoder.append(&event, sums, &mut block), Ok(()));
                written.push((event, sums));
            }
            block.extend([0; PADDING]);
            let mut decoder = Decoder::new(0);
            for (written, sums) in written {
                let read = decoder.next(&block);
                prop_assert_eq!(read, written);
                prop_assert!(read.kind != Kind::Sums || decoder.sums() == sums);
            }
            prop_assert_eq!(decoder.next(&block).kind, Kind::End);
        }
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        let (mut encoder, mut block) = (Encoder::new(0), Vec::new());
        let event = |position, line| Event { number: line, ..Event::note(position, Kind::Prefetch) };
        let mut append = |event| encoder.append(&event, Sums::default(), &mut block);
        assert_eq!(append(event(0, 1 << 40)), Err(TooFar));
        assert_eq!(append(event(1 << 24, 1)), Err(TooFar));
        assert_eq!(append(event(5, 1)), Ok(()));
        assert_eq!(block.len(), 3, "a near event takes three bytes");
    }
}
