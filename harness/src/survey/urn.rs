//! Programs drawn at random so that few draws show many of them: each is gone through before one comes again.

use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;
use workloads::catalogue::Program;

/// Programs to draw from; full again when it is empty.
pub(super) struct Urn<'a> {
    all: Vec<&'a Program>,
    left: Vec<&'a Program>,
}

impl<'a> Urn<'a> {
    pub(super) fn new(programs: impl IntoIterator<Item = &'a Program>) -> Self {
        Self { all: programs.into_iter().collect(), left: Vec::new() }
    }

    /// One that is not among `taken`; `None` if there is no other.
    pub(super) fn draw(&mut self, taken: &[&Program], rng: &mut ChaCha8Rng) -> Option<&'a Program> {
        for _ in 0..2 {
            let fits = |program: &&Program| taken.iter().all(|other| other.name != program.name);
            if let Some(place) = self.left.iter().rposition(fits) {
                return Some(self.left.remove(place));
            }
            self.left.clone_from(&self.all);
            self.left.shuffle(rng);
        }
        None
    }
}
