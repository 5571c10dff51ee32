//! Look-ups in a B+ tree, as in a database's index.
//!
//! It presses **cache capacity with graded reuse**: the root and the level below it stay in the private caches, the inner
//! nodes belong in the LLC, and of the leaves those with frequent keys. Each level's address comes from the level above, while
//! the next look-up's key is known at once, so that misses of two look-ups overlap a little. What a neighbour takes costs
//! in proportion: the opposite of the chase's and streamcluster's cliff. Every fourth look-up changes its record.

use super::Kernel;
use crate::hash::Fnv1a;
use crate::random::SplitMix64;

/// Counted with cachegrind over some 40 M instructions of the release build, 768 KiB.
pub const INSTRUCTIONS_PER_OPERATION: f64 = 294.0;

/// Keys in a node.
const FAN_OUT: usize = 31;

/// 256 bytes, four lines. Keys are ascending; child n has keys from `keys[n]` on. In a leaf the children are records.
#[derive(Debug, Clone, Copy)]
struct Node {
    count: u32,
    keys: [u32; FAN_OUT],
    children: [u32; FAN_OUT],
    level: u32,
}

/// A tree and the look-ups' generator. An operation is one look-up.
#[derive(Debug)]
pub struct Btree {
    nodes: Vec<Node>,
    root: u32,
    keys: u64,
    random: SplitMix64,
    sum: u64,
}

impl Btree {
    /// A tree of about `working_set_bytes` / 256 nodes, seven tenths full, that lie anywhere.
    #[must_use]
    pub fn new(working_set_bytes: usize, seed: u64) -> Self {
        let mut random = SplitMix64::new(seed);
        // A leaf's share of the nodes above it adds a twentieth.
        let leaves = (working_set_bytes / (size_of::<Node>() * 21 / 20)).max(1);
        let mut nodes = Vec::new();
        let mut keys = 0_u32;
        let mut level: Vec<(u32, u32)> = (0..leaves)
            .map(|_| {
                let count = 18 + random.below(8) as u32;
                let first = keys;
                keys += count;
                let mut leaf = empty(0);
                leaf.count = count;
                for (place, key) in (first..keys).enumerate() {
                    (leaf.keys[place], leaf.children[place]) = (key * 2, random.next_u64() as u32);
                }
                nodes.push(leaf);
                (first * 2, nodes.len() as u32 - 1)
            })
            .collect();
        while level.len() > 1 {
            level = above(&level, &mut nodes);
        }
        let root = scatter(&mut nodes, level[0].1, &mut random);
        Self { nodes, root, keys: u64::from(keys), random, sum: 0 }
    }

    /// The record of `key`, if there is one: its leaf and place.
    fn find(&self, key: u32) -> Option<(u32, usize)> {
        let mut at = self.root;
        loop {
            let node = &self.nodes[at as usize];
            let keys = &node.keys[..node.count as usize];
            let place = keys.partition_point(|&known| known <= key).checked_sub(1)?;
            if node.level == 0 {
                return (keys[place] == key).then_some((at, place));
            }
            at = node.children[place];
        }
    }
}

fn empty(level: u32) -> Node {
    Node { count: 0, keys: [0; FAN_OUT], children: [0; FAN_OUT], level }
}

/// Builds the level above nodes, of which first key and number are given.
fn above(below: &[(u32, u32)], nodes: &mut Vec<Node>) -> Vec<(u32, u32)> {
    let height = nodes[below[0].1 as usize].level + 1;
    let group = |group: &[(u32, u32)]| {
        let mut node = empty(height);
        node.count = group.len() as u32;
        for (place, &(key, child)) in group.iter().enumerate() {
            (node.keys[place], node.children[place]) = (key, child);
        }
        nodes.push(node);
        (group[0].0, nodes.len() as u32 - 1)
    };
    below.chunks(22).map(group).collect()
}

/// Puts the nodes in random places; answers the root's.
fn scatter(nodes: &mut Vec<Node>, root: u32, random: &mut SplitMix64) -> u32 {
    let mut places: Vec<u32> = (0..nodes.len() as u32).collect();
    for last in (1..places.len()).rev() {
        places.swap(last, random.below(last + 1));
    }
    let mut scattered = nodes.clone();
    for (node, &place) in nodes.iter().zip(&places) {
        let mut moved = *node;
        if node.level > 0 {
            for child in &mut moved.children[..node.count as usize] {
                *child = places[*child as usize];
            }
        }
        scattered[place as usize] = moved;
    }
    *nodes = scattered;
    places[root as usize]
}

impl Kernel for Btree {
    fn run(&mut self, operations: u64) {
        for _ in 0..operations {
            let draw = self.random.next_u64();
            // The product of two random numbers: small keys are looked up more often. One key in eight is not there.
            let product = (draw >> 32) * (draw & 0xffff_ffff);
            let key =
                ((u128::from(product) * u128::from(self.keys)) >> 64) as u32 * 2 + u32::from(draw.is_multiple_of(8));
            if let Some((leaf, place)) = self.find(key) {
                let record = &mut self.nodes[leaf as usize].children[place];
                self.sum = self.sum.wrapping_add(u64::from(*record));
                if draw & 0x300 == 0 {
                    *record = record.wrapping_add(1);
                }
            }
        }
    }

    fn checksum(&self) -> u64 {
        let mut hash = Fnv1a::default();
        hash.update_u64(self.sum);
        hash.update_u64(self.random.clone().next_u64());
        hash.digest()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_key_is_found_and_nothing_else() {
        for bytes in [256, 8 * 1024, 512 * 1024] {
            let tree = Btree::new(bytes, 1);
            assert!(tree.nodes.len() * 256 <= bytes + bytes / 10 + 512, "{} of {bytes}", tree.nodes.len() * 256);
            let mut leaves = std::collections::BTreeSet::new();
            for key in 0..tree.keys as u32 {
                let (leaf, place) = tree.find(key * 2).expect("it was put in");
                assert_eq!(tree.nodes[leaf as usize].keys[place], key * 2);
                leaves.insert(leaf);
                assert_eq!(tree.find(key * 2 + 1), None);
            }
            assert_eq!(leaves.len(), tree.nodes.iter().filter(|node| node.level == 0).count());
        }
    }
}
