//! Which lines are in a played vCPU's private caches again after these went cold.
//!
//! A stream is of a vCPU that was never moved. With LRU, caches that were emptied hold a part of what they would hold
//! otherwise, and a line that they lack is one that was not accessed since. So an access which the stream knows as a
//! private hit misses if, and only if, it is the line's first since the caches went cold; the stream tells first
//! accesses after each of its checkpoints. What is remembered here are the lines accessed since.

use crate::cache::Line;

/// The lines that were fetched since the caches went cold.
#[derive(Debug, Clone)]
pub(super) struct Cold {
    /// Open addressing, at most half full; a line's number plus one, 0 for none.
    table: Vec<u64>,
    count: usize,
    most: usize,
    active: bool,
}

impl Cold {
    /// Warm caches, of so many lines.
    pub(super) fn new(private_lines: usize) -> Self {
        let most = 4 * private_lines;
        Self { table: vec![0; (2 * most).next_power_of_two()], count: 0, most, active: false }
    }

    /// The caches go cold.
    pub(super) fn begin(&mut self) {
        self.table.fill(0);
        (self.count, self.active) = (0, true);
    }

    /// Whether the caches went cold and were not all filled again.
    #[inline(always)]
    pub(super) const fn is_active(&self) -> bool {
        self.active
    }

    pub(super) fn has(&self, line: Line) -> bool {
        self.table[self.place(line)] != 0
    }

    /// A line is there from now on; `true` if it was not.
    pub(super) fn fetch(&mut self, line: Line) -> bool {
        let place = self.place(line);
        let new = self.table[place] == 0;
        if new {
            self.table[place] = line.0 + 1;
            self.count += 1;
            // What was there before has been pushed out by so many others.
            self.active = self.count < self.most;
        }
        new
    }

    fn place(&self, line: Line) -> usize {
        let mask = self.table.len() - 1;
        let mut place = (line.0.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32) as usize & mask;
        while self.table[place] != 0 && self.table[place] != line.0 + 1 {
            place = (place + 1) & mask;
        }
        place
    }
}
