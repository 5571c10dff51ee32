//! Streaming over a quantum register, as in libquantum's controlled-not: read each node in order, change some of them.
//!
//! It presses **memory bandwidth**: every line of a working set beyond the LLC is fetched once a sweep and, as about
//! half of the nodes are written, goes back dirty. It reuses nothing before a whole sweep is over, so it gains
//! nothing from the cache it fills: the neighbour from hell for a chase that just fits.

use super::Kernel;
use crate::hash::Fnv1a;
use crate::random::SplitMix64;

/// Counted with cachegrind over some 40 M instructions of the release build.
pub const INSTRUCTIONS_PER_OPERATION: f64 = 8.0;

/// A basis state and its amplitude, 16 bytes.
#[derive(Debug, Clone, Copy)]
struct Node {
    amplitude: u64,
    state: u64,
}

/// A register of nodes. An operation is one node.
#[derive(Debug)]
pub struct Stream {
    nodes: Vec<Node>,
    at: usize,
    /// Which gate the current sweep applies: counts sweeps.
    gate: u32,
}

impl Stream {
    /// A register of `working_set_bytes` / 16 nodes.
    #[must_use]
    pub fn new(working_set_bytes: usize, seed: u64) -> Self {
        let mut random = SplitMix64::new(seed);
        let nodes = (0..(working_set_bytes / 16).max(1))
            .map(|_| Node { amplitude: random.next_u64(), state: random.next_u64() })
            .collect();
        Self { nodes, at: 0, gate: 0 }
    }

    /// Toggles the gate's target bit in every node of the range that has its control bit.
    fn toggle(&mut self, until: usize) {
        let control = 1_u64 << (self.gate % 64);
        let target = 1_u64 << ((self.gate + 7) % 64);
        for node in &mut self.nodes[self.at..until] {
            if node.state & control != 0 {
                node.state ^= target;
                node.amplitude = node.amplitude.rotate_left(1);
            }
        }
    }
}

impl Kernel for Stream {
    fn run(&mut self, operations: u64) {
        let mut left = operations;
        while left > 0 {
            let room = (self.nodes.len() - self.at) as u64;
            let now = left.min(room);
            let until = self.at + now as usize;
            self.toggle(until);
            left -= now;
            self.at = until;
            if until == self.nodes.len() {
                self.at = 0;
                self.gate = self.gate.wrapping_add(1);
            }
        }
    }

    fn checksum(&self) -> u64 {
        let mut hash = Fnv1a::default();
        hash.update_u64(self.at as u64);
        // A sample of the register: hashing all of it would be a phase of its own.
        for node in self.nodes.iter().step_by((self.nodes.len() / 4096).max(1)) {
            hash.update_u64(node.amplitude);
            hash.update_u64(node.state);
        }
        hash.digest()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_gate_twice_restores_the_states() {
        let mut stream = Stream::new(16 * 500, 9);
        let before: Vec<u64> = stream.nodes.iter().map(|node| node.state).collect();
        stream.run(500);
        assert_ne!(before, stream.nodes.iter().map(|node| node.state).collect::<Vec<_>>());
        stream.gate = 0;
        stream.run(500);
        assert_eq!(before, stream.nodes.iter().map(|node| node.state).collect::<Vec<_>>());
    }
}
