//! Simulated annealing of a netlist, as in PARSEC's canneal: two elements of a chip swap places if that shortens wires.
//!
//! It presses **cache capacity with reads and scattered writes**: a proposal picks an element at random, reads the
//! records of the six elements it is wired to and of the six its partner is wired to, and writes two places if the swap
//! is taken. A record's neighbours stand in the record, so their twelve misses overlap once it is there; the next
//! proposal does not depend on this one's outcome for its addresses. So it sits between chase and gather, and dirties what it
//! touches.
//!
//! The temperature stays as it is, so that the kernel presses evenly; PARSEC's falls.

use super::Kernel;
use crate::hash::Fnv1a;
use crate::random::SplitMix64;

/// Counted with cachegrind over some 40 M instructions of the release build, 768 KiB.
pub const INSTRUCTIONS_PER_OPERATION: f64 = 391.0;

/// Wires of an element.
const WIRES: usize = 6;

/// One element of the netlist: where it lies and what it is wired to; 32 bytes, half a line.
#[derive(Debug, Clone, Copy)]
struct Element {
    x: i32,
    y: i32,
    wired: [u32; WIRES],
}

/// A netlist on a square grid. An operation is one proposed swap.
#[derive(Debug)]
pub struct Canneal {
    elements: Vec<Element>,
    /// The partner of the last proposal, which is the first element of the next one.
    last: usize,
    random: SplitMix64,
    /// Added wire length that a swap is taken in spite of, times a geometric draw.
    temperature: i64,
    swaps: u64,
}

impl Canneal {
    /// A netlist of `working_set_bytes` / 32 elements, wired and placed at random.
    #[must_use]
    pub fn new(working_set_bytes: usize, seed: u64) -> Self {
        let count = (working_set_bytes / size_of::<Element>()).max(2);
        let side = (1_usize..).find(|side| side * side >= count).unwrap_or(count);
        let mut random = SplitMix64::new(seed);
        let place = |at: usize| ((at % side) as i32, (at / side) as i32);
        let elements = (0..count)
            .map(|at| {
                let (x, y) = place(at);
                Element { x, y, wired: std::array::from_fn(|_| random.below(count) as u32) }
            })
            .collect();
        Self { elements, last: 0, random, temperature: side as i64, swaps: 0 }
    }

    /// By how much the wires of `element` get longer if it moves to the place of `other`.
    fn added_length(&self, element: &Element, other: &Element) -> i64 {
        let added = |&wired: &u32| {
            let wired = &self.elements[wired as usize];
            distance(wired, other) - distance(wired, element)
        };
        element.wired.iter().map(added).sum()
    }

    fn propose(&mut self) {
        let draw = self.random.next_u64();
        let partner = ((u128::from(draw) * self.elements.len() as u128) >> 64) as usize;
        let (first, second) = (self.elements[self.last], self.elements[partner]);
        // Metropolis' rule without a logarithm: the zeros at the end of a random number are a geometric draw.
        let allowed = self.temperature * i64::from(draw.trailing_zeros());
        if self.added_length(&first, &second) + self.added_length(&second, &first) <= allowed {
            for (at, place) in [(self.last, second), (partner, first)] {
                let element = &mut self.elements[at];
                (element.x, element.y) = (place.x, place.y);
            }
            self.swaps += 1;
        }
        self.last = partner;
    }
}

/// By rows and columns.
fn distance(a: &Element, b: &Element) -> i64 {
    i64::from((a.x - b.x).abs() + (a.y - b.y).abs())
}

impl Kernel for Canneal {
    fn run(&mut self, operations: u64) {
        for _ in 0..operations {
            self.propose();
        }
    }

    fn checksum(&self) -> u64 {
        let mut hash = Fnv1a::default();
        hash.update_u64(self.swaps);
        hash.update_u64(self.last as u64);
        for element in self.elements.iter().step_by((self.elements.len() / 2048).max(1)) {
            hash.update_u64((u64::from(element.x as u32) << 32) | u64::from(element.y as u32));
        }
        hash.digest()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn swaps_move_elements_but_never_lose_a_place() {
        let mut canneal = Canneal::new(32 * 1000, 1);
        let places = |canneal: &Canneal| {
            let mut places: Vec<_> = canneal.elements.iter().map(|element| (element.x, element.y)).collect();
            places.sort_unstable();
            places
        };
        let before = places(&canneal);
        canneal.run(5000);
        assert!(canneal.swaps > 500);
        assert_eq!(places(&canneal), before);
    }

    #[test]
    fn without_heat_wires_get_shorter() {
        let mut canneal = Canneal::new(32 * 1000, 1);
        canneal.temperature = 0;
        let length = |canneal: &Canneal| -> i64 {
            let of =
                |element: &Element| element.wired.map(|other| distance(element, &canneal.elements[other as usize]));
            canneal.elements.iter().flat_map(of).sum()
        };
        let before = length(&canneal);
        canneal.run(50_000);
        assert!(length(&canneal) * 10 < before * 9, "{before} to {}", length(&canneal));
    }
}
