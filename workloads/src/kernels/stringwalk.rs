//! A walk through a document tree that looks up every name, as xalancbmk does for style sheets.
//!
//! It presses **memory latency and the core's byte handling together**: in document order, each node's address stands in
//! the node before; its name is read byte by byte from a text of its own, hashed, looked up in a chained table and
//! compared byte by byte. So a dependent miss for each node, two or three for its name and the table, and some 150
//! instructions in which they can partly hide. Names repeat as in real documents: few of them make up most nodes.

use super::Kernel;
use crate::hash::Fnv1a;
use crate::random::SplitMix64;

/// Counted with cachegrind over some 40 M instructions of the release build, 768 KiB.
pub const INSTRUCTIONS_PER_OPERATION: f64 = 293.0;

/// No node, or no entry.
const NONE: u32 = u32::MAX;

/// Nodes for each distinct name.
const NODES_PER_NAME: usize = 8;

/// Shortest and longest name.
const NAME_BYTES: std::ops::Range<usize> = 6..24;

/// An element of the document: 20 bytes.
#[derive(Debug, Clone, Copy)]
struct Node {
    parent: u32,
    first_child: u32,
    next_sibling: u32,
    /// Where its name stands in the text.
    name_at: u32,
    name_bytes: u32,
}

/// A name of the table: 24 bytes.
#[derive(Debug, Clone, Copy)]
struct Entry {
    hash: u32,
    name_at: u32,
    name_bytes: u32,
    /// The next entry with the same place in the table.
    next: u32,
    uses: u64,
}

/// A document and a table of names. An operation is one node.
#[derive(Debug)]
pub struct Stringwalk {
    nodes: Vec<Node>,
    /// The text of the document, then that of the table.
    text: Vec<u8>,
    buckets: Vec<u32>,
    entries: Vec<Entry>,
    root: u32,
    at: u32,
    rounds: u64,
}

impl Stringwalk {
    /// A document of `working_set_bytes` / 41 nodes.
    #[must_use]
    pub fn new(working_set_bytes: usize, seed: u64) -> Self {
        let mut random = SplitMix64::new(seed);
        let count = (working_set_bytes / 41).max(2);
        let names: Vec<Vec<u8>> = (0..count.div_ceil(NODES_PER_NAME)).map(|at| name(at, &mut random)).collect();
        let (mut text, mut nodes) = (Vec::new(), Vec::with_capacity(count));
        for _ in 0..count {
            // The product of two random numbers is small more often than not: the first names are the most frequent.
            let chosen = &names[random.below(random.clone().below(names.len()) + 1)];
            nodes.push(Node {
                parent: NONE,
                first_child: NONE,
                next_sibling: NONE,
                name_at: text.len() as u32,
                name_bytes: chosen.len() as u32,
            });
            text.extend_from_slice(chosen);
        }
        let root = grow(&mut nodes, &mut random);
        let mut walk =
            Self { nodes, text, buckets: vec![NONE; names.len()], entries: Vec::new(), root, at: root, rounds: 0 };
        for name in &names {
            walk.enter(name);
        }
        walk
    }

    /// Adds a name to the table.
    fn enter(&mut self, name: &[u8]) {
        let hash = hash_of(name);
        let bucket = hash as usize % self.buckets.len();
        let next = std::mem::replace(&mut self.buckets[bucket], self.entries.len() as u32);
        self.entries.push(Entry {
            hash,
            name_at: self.text.len() as u32,
            name_bytes: name.len() as u32,
            next,
            uses: 0,
        });
        self.text.extend_from_slice(name);
    }

    /// Counts the name of this node.
    fn look_up(&mut self, node: &Node) {
        let name = bytes(&self.text, node.name_at, node.name_bytes);
        let hash = hash_of(name);
        let mut at = self.buckets[hash as usize % self.buckets.len()];
        while at != NONE {
            let entry = self.entries[at as usize];
            if entry.hash == hash && bytes(&self.text, entry.name_at, entry.name_bytes).iter().eq(name) {
                self.entries[at as usize].uses += 1;
                return;
            }
            at = entry.next;
        }
    }

    /// The node after this one in document order; the root after the last.
    fn after(&mut self, at: u32, node: &Node) -> u32 {
        if node.first_child != NONE {
            return node.first_child;
        }
        let mut climbed = at;
        while climbed != NONE {
            let node = &self.nodes[climbed as usize];
            if node.next_sibling != NONE {
                return node.next_sibling;
            }
            climbed = node.parent;
        }
        self.rounds += 1;
        self.root
    }
}

fn bytes(text: &[u8], at: u32, count: u32) -> &[u8] {
    &text[at as usize..][..count as usize]
}

/// Bernstein's hash, a byte at a time, as XML libraries use for names.
fn hash_of(name: &[u8]) -> u32 {
    name.iter().fold(5381, |hash: u32, &byte| hash.wrapping_mul(33) ^ u32::from(byte))
}

/// A name that no other number gives.
fn name(number: usize, random: &mut SplitMix64) -> Vec<u8> {
    let mut name = format!("{number:x}:").into_bytes();
    let length = NAME_BYTES.start + random.below(NAME_BYTES.len());
    while name.len() < length {
        name.push(b'a' + random.below(26) as u8);
    }
    name
}

/// Makes a tree of the nodes, whose order in the document has nothing to do with that in memory; answers its root.
fn grow(nodes: &mut [Node], random: &mut SplitMix64) -> u32 {
    let mut order: Vec<u32> = (0..nodes.len() as u32).collect();
    for last in (1..order.len()).rev() {
        order.swap(last, random.below(last + 1));
    }
    for place in 1..order.len() {
        // A child of one of the 64 nodes before it: deep and narrow, like a document.
        let parent = order[place - 1 - random.below(place.min(64))];
        let next_sibling = std::mem::replace(&mut nodes[parent as usize].first_child, order[place]);
        let node = &mut nodes[order[place] as usize];
        (node.parent, node.next_sibling) = (parent, next_sibling);
    }
    order[0]
}

impl Kernel for Stringwalk {
    fn run(&mut self, operations: u64) {
        for _ in 0..operations {
            let node = self.nodes[self.at as usize];
            self.look_up(&node);
            self.at = self.after(self.at, &node);
        }
    }

    fn checksum(&self) -> u64 {
        let mut hash = Fnv1a::default();
        hash.update_u64(u64::from(self.at));
        hash.update_u64(self.rounds);
        for entry in self.entries.iter().step_by((self.entries.len() / 2048).max(1)) {
            hash.update_u64(u64::from(entry.hash));
            hash.update_u64(entry.uses);
        }
        hash.digest()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_round_visits_every_node_and_finds_every_name() {
        let mut walk = Stringwalk::new(41 * 3000, 5);
        let count = walk.nodes.len() as u64;
        walk.run(count);
        assert_eq!((walk.at, walk.rounds), (walk.root, 1));
        assert_eq!(walk.entries.iter().map(|entry| entry.uses).sum::<u64>(), count);
        let mut expected = std::collections::BTreeMap::new();
        for node in &walk.nodes {
            *expected.entry(bytes(&walk.text, node.name_at, node.name_bytes)).or_insert(0) += 1;
        }
        for entry in &walk.entries {
            let name = bytes(&walk.text, entry.name_at, entry.name_bytes);
            assert_eq!(entry.uses, expected.get(name).copied().unwrap_or_default());
        }
    }
}
