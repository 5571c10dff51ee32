//! The file around the events: a header, frames with a checksum each, and a trailer without which the file is refused.
//!
//! ```text
//! header    "PCSTREAM", version (4 bytes), length (4), checksum (8), then the header's text (TOML)
//! frame     "BLCK" or "DONE", length (4), first position (8), checksum (8), then the payload
//! trailer   a "DONE" frame: instructions, references, frames before it (8 bytes each); nothing follows
//! ```
//!
//! A checksum covers a frame's number, tag, length, position and payload, so that frames cannot change places. It takes
//! words of 8 bytes: `sum <- rotate((sum xor word) x odd constant)`. Each step is a bijection of the sum for a given
//! word and of the word for a given sum, so a change of one word always changes the sum; others go unseen once in 2^64.

use std::fs::File;
use std::io::Write;
use std::os::unix::fs::FileExt;
use std::path::Path;

use super::event::PADDING;
use super::{Header, StreamError};

/// Payload at which a block is full.
pub(super) const BLOCK_BYTES: usize = 1 << 16;

/// The version that is written and read. 1: the first.
const VERSION: u32 = 1;

const MAGIC: [u8; 8] = *b"PCSTREAM";
const FILE_HEAD_BYTES: usize = 24;
const FRAME_HEAD_BYTES: usize = 24;
const BLOCK: [u8; 4] = *b"BLCK";
const DONE: [u8; 4] = *b"DONE";
/// No header's text and no block is longer: a length beyond it is damage.
const LONGEST_BYTES: usize = 1 << 20;

/// The sum over everything, last bytes filled up with zeros; `seed` tells frames apart.
fn checksum(seed: u64, parts: &[&[u8]]) -> u64 {
    let mut sum = seed ^ 0x51_7c_c1_b7_27_22_0a_95;
    for part in parts {
        for bytes in part.chunks(8) {
            let mut word = [0; 8];
            word[..bytes.len()].copy_from_slice(bytes);
            sum = ((sum ^ u64::from_le_bytes(word)).wrapping_mul(0x9e37_79b9_7f4a_7c15)).rotate_left(29);
        }
        sum ^= part.len() as u64;
    }
    sum
}

/// Writes the file's beginning.
pub(super) fn write_header(file: &mut impl Write, header: &Header) -> Result<(), StreamError> {
    let failed = |reason: String| StreamError::new("write a stream's header", reason);
    let text = toml::to_string(header).map_err(|error| failed(error.to_string()))?;
    let mut bytes = Vec::from(MAGIC);
    bytes.extend(VERSION.to_le_bytes());
    bytes.extend((text.len() as u32).to_le_bytes());
    bytes.extend(checksum(0, &[&bytes, text.as_bytes()]).to_le_bytes());
    bytes.extend(text.as_bytes());
    file.write_all(&bytes).map_err(|error| failed(error.to_string()))
}

/// What the trailer says of all frames.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Totals {
    pub(super) instructions: u64,
    pub(super) references: u64,
}

/// Appends frames to a file that has its header.
#[derive(Debug)]
pub(super) struct FrameWriter {
    file: File,
    frames: u64,
}

impl FrameWriter {
    pub(super) const fn new(file: File) -> Self {
        Self { file, frames: 0 }
    }

    pub(super) fn block(&mut self, first_position: u64, payload: &[u8]) -> std::io::Result<()> {
        self.frame(BLOCK, first_position, payload)
    }

    pub(super) fn trailer(mut self, totals: Totals) -> std::io::Result<()> {
        let numbers = [totals.instructions, totals.references, self.frames];
        let payload: Vec<u8> = numbers.into_iter().flat_map(u64::to_le_bytes).collect();
        self.frame(DONE, totals.instructions, &payload)
    }

    fn frame(&mut self, tag: [u8; 4], first_position: u64, payload: &[u8]) -> std::io::Result<()> {
        let mut bytes = Vec::with_capacity(FRAME_HEAD_BYTES + payload.len());
        bytes.extend(tag);
        bytes.extend((payload.len() as u32).to_le_bytes());
        bytes.extend(first_position.to_le_bytes());
        bytes.extend(checksum(self.frames + 1, &[&bytes, payload]).to_le_bytes());
        bytes.extend(payload);
        self.frames += 1;
        self.file.write_all(&bytes)
    }
}

/// Where a block lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct BlockPlace {
    offset: u64,
    bytes: usize,
    pub(super) first_position: u64,
}

/// A complete file, every byte of which was verified.
#[derive(Debug)]
pub(super) struct Frames {
    file: File,
    pub(super) header: Header,
    pub(super) totals: Totals,
    pub(super) blocks: Vec<BlockPlace>,
}

impl Frames {
    pub(super) fn open(path: &Path) -> Result<Self, StreamError> {
        let failed = |reason: String| StreamError::new(format!("open the stream {}", path.display()), reason);
        let file = File::open(path).map_err(|error| failed(error.to_string()))?;
        let mut scan = Scan { file: &file, offset: 0, bytes: Vec::new() };
        let header = scan.header().map_err(failed)?;
        let mut blocks = Vec::new();
        loop {
            let (tag, place) = scan.frame(blocks.len() as u64 + 1).map_err(failed)?;
            if tag == BLOCK {
                blocks.push(place);
                continue;
            }
            let number =
                |at: usize| scan.bytes.get(8 * at..8 * at + 8).map(|word| word.try_into().map(u64::from_le_bytes));
            let (Some(Ok(instructions)), Some(Ok(references)), Some(Ok(frames))) = (number(0), number(1), number(2))
            else {
                return Err(failed(damaged("its trailer is short")));
            };
            if frames != blocks.len() as u64 {
                return Err(failed(damaged("its trailer counts other blocks")));
            }
            let totals = Totals { instructions, references };
            return Ok(Self { file, header, totals, blocks });
        }
    }

    /// Reads a block's events, with padding behind them, into `bytes`.
    pub(super) fn read(&self, place: BlockPlace, bytes: &mut Vec<u8>) -> std::io::Result<()> {
        bytes.resize(place.bytes + PADDING, 0);
        let (payload, padding) = bytes.split_at_mut(place.bytes);
        padding.fill(0);
        self.file.read_exact_at(payload, place.offset)
    }
}

fn damaged(what: &str) -> String {
    format!("it is damaged ({what}); delete it and record it again")
}

/// Walks over a file from its beginning.
struct Scan<'a> {
    file: &'a File,
    offset: u64,
    bytes: Vec<u8>,
}

impl Scan<'_> {
    /// Reads so many bytes into `self.bytes`.
    fn take(&mut self, bytes: usize) -> Result<(), String> {
        self.bytes.resize(bytes, 0);
        self.file.read_exact_at(&mut self.bytes, self.offset).map_err(|error| match error.kind() {
            std::io::ErrorKind::UnexpectedEof => {
                "it ends without a trailer, so its recording was cut short; delete it and record it again".to_owned()
            }
            _ => error.to_string(),
        })?;
        self.offset += bytes as u64;
        Ok(())
    }

    fn number(&self, at: usize) -> u32 {
        u32::from_le_bytes(self.bytes[at..at + 4].try_into().expect("four bytes"))
    }

    fn long_number(&self, at: usize) -> u64 {
        u64::from_le_bytes(self.bytes[at..at + 8].try_into().expect("eight bytes"))
    }

    fn header(&mut self) -> Result<Header, String> {
        self.take(FILE_HEAD_BYTES)?;
        if self.bytes[..8] != MAGIC {
            return Err("it is no stream of LLC references; name a file that `phasecast record --stream` wrote".into());
        }
        let version = self.number(8);
        if version != VERSION {
            return Err(format!("it has format version {version}, and this release reads {VERSION}; record it again"));
        }
        let (length, sum) = (self.number(12) as usize, self.long_number(16));
        let head = self.bytes[..16].to_vec();
        if length > LONGEST_BYTES {
            return Err(damaged("its header's length"));
        }
        self.take(length)?;
        if checksum(0, &[&head, &self.bytes]) != sum {
            return Err(damaged("its header's checksum"));
        }
        let text = std::str::from_utf8(&self.bytes).map_err(|error| damaged(&error.to_string()))?;
        toml::from_str(text).map_err(|error| damaged(error.message()))
    }

    /// Reads and verifies the next frame; its payload stays in `self.bytes`.
    fn frame(&mut self, number: u64) -> Result<([u8; 4], BlockPlace), String> {
        self.take(FRAME_HEAD_BYTES)?;
        let head = self.bytes[..16].to_vec();
        let tag: [u8; 4] = head[..4].try_into().expect("four bytes");
        let (bytes, first_position, sum) = (self.number(4) as usize, self.long_number(8), self.long_number(16));
        if bytes > LONGEST_BYTES || (tag != BLOCK && tag != DONE) {
            return Err(damaged(&format!("the head of block {number}")));
        }
        let place = BlockPlace { offset: self.offset, bytes, first_position };
        self.take(bytes)?;
        if checksum(number, &[&head, &self.bytes]) != sum {
            return Err(damaged(&format!("the checksum of block {number}")));
        }
        Ok((tag, place))
    }
}
