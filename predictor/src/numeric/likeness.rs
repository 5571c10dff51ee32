//! How like the present each moment of the past is: one decayed sum of differences for each lag.
//!
//! A moment `lag` quanta ago is like now if the quanta that led up to it were like those that lead up to now. With
//! `difference(t, lag)` between the quantum at `t` and the one `lag` before it,
//!
//! ```text
//! unlikeness(t, lag) = memory * unlikeness(t - 1, lag) + difference(t, lag)
//! ```
//!
//! so that one multiplication and one addition a lag and quantum compare the whole past with the present, however long
//! the stretch that is compared: about `1 / (1 - memory)` quanta. The same sums find the period of a loop (its lag
//! matches always) and the nearest stretch of a history that does not repeat regularly.

/// Lags of which only the best is a match: neighbouring lags tell the same story.
const BLOCK_LAGS: usize = 16;

/// Most that one signal's difference in one quantum counts, in its usual deviations: a change that came early must not
/// hide for ever that everything else agreed.
pub(super) const DIFFERENCE_MOST: f32 = 8.0;

/// Unlikeness of every lag from 1, in usual deviations, remembered for about `1 / (1 - memory)` quanta.
#[derive(Debug, Clone)]
pub(super) struct Likeness {
    memory: f32,
    /// At place `p` that of lag `p + 1`.
    unlikeness: Vec<f32>,
    /// The least of each block.
    least: Vec<f32>,
}

impl Likeness {
    pub(super) fn new(memory: f32, lags: usize) -> Self {
        let least = Vec::with_capacity(lags.div_ceil(BLOCK_LAGS));
        Self { memory, unlikeness: Vec::with_capacity(lags), least }
    }

    /// Takes in the quantum whose difference to the one `p + 1` before it is `differences[p]`. At most one lag more than
    /// the last time; a new lag is taken to have always differed as it does now.
    pub(super) fn observe(&mut self, differences: &[f32]) {
        let known = self.unlikeness.len();
        self.least.clear();
        let blocks = self.unlikeness.chunks_mut(BLOCK_LAGS).zip(differences.chunks(BLOCK_LAGS));
        for (sums, differences) in blocks {
            self.least.push(remember(self.memory, sums, differences));
        }
        if let (Some(new), true) = (differences.get(known), known < self.unlikeness.capacity()) {
            let new = new / (1.0 - self.memory);
            self.unlikeness.push(new);
            match self.least.get_mut(known / BLOCK_LAGS) {
                Some(least) => *least = smaller(*least, new),
                None => self.least.push(new),
            }
        }
    }

    /// The `COUNT` lags most like now, the best first, at most one of each block; of several as like, the shortest.
    /// Fewer where there are fewer blocks: the rest repeat the best. `None` before there is any lag.
    pub(super) fn best<const COUNT: usize>(&self) -> Option<[usize; COUNT]> {
        let mut best = [(f32::INFINITY, usize::MAX); COUNT];
        for (place, least) in self.least.iter().enumerate() {
            if *least < best[COUNT - 1].0 {
                let mut rank = COUNT - 1;
                while rank > 0 && *least < best[rank - 1].0 {
                    best[rank] = best[rank - 1];
                    rank -= 1;
                }
                best[rank] = (*least, place);
            }
        }
        let lag = |(least, place): (f32, usize)| {
            let block = self.unlikeness.get(place.checked_mul(BLOCK_LAGS)?..)?;
            Some(place * BLOCK_LAGS + block.iter().position(|sum| *sum == least)? + 1)
        };
        let first = lag(best[0])?;
        Some(best.map(|found| lag(found).unwrap_or(first)))
    }

    pub(super) fn memory_bytes(&self) -> usize {
        (self.unlikeness.capacity() + self.least.capacity()) * size_of::<f32>()
    }
}

/// Decays one block of sums and adds to each its difference; gives the least. Four lanes, since a minimum over one would
/// wait for each number in turn.
fn remember(memory: f32, sums: &mut [f32], differences: &[f32]) -> f32 {
    let mut least = [f32::INFINITY; 4];
    let (fours, rest) = sums.as_chunks_mut::<4>();
    let (added, _) = differences.as_chunks::<4>();
    let done = 4 * fours.len();
    for (sums, differences) in fours.iter_mut().zip(added) {
        for lane in 0..4 {
            sums[lane] = memory * sums[lane] + differences[lane];
            least[lane] = smaller(sums[lane], least[lane]);
        }
    }
    for (sum, difference) in rest.iter_mut().zip(&differences[done..]) {
        *sum = memory * *sum + difference;
        least[0] = smaller(*sum, least[0]);
    }
    smaller(smaller(least[0], least[1]), smaller(least[2], least[3]))
}

/// The smaller of two numbers; unlike `f32::min` it need not look for what is not a number.
fn smaller(a: f32, b: f32) -> f32 {
    if a < b { a } else { b }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Shows `values` one by one; differences are plain.
    fn shown(memory: f32, lags: usize, values: &[f32]) -> Likeness {
        let mut likeness = Likeness::new(memory, lags);
        for now in 0..values.len() {
            let differences: Vec<f32> =
                (1..=now.min(lags)).map(|lag| (values[now] - values[now - lag]).abs()).collect();
            likeness.observe(&differences);
        }
        likeness
    }

    #[test]
    fn the_period_of_a_loop_is_its_most_alike_lag() {
        let values: Vec<f32> = (0..300).map(|quantum| ((quantum % 37) as f32 - 11.0).abs()).collect();
        assert_eq!(shown(0.9, 128, &values).best::<1>(), Some([37]));
    }

    #[test]
    fn unlikeness_is_the_decayed_sum_of_differences() {
        let values: Vec<f32> = (0u32..40).map(|quantum| (quantum * quantum % 23) as f32).collect();
        let likeness = shown(0.5, 8, &values);
        for lag in 1..=8 {
            let plain = (lag..40).fold(None, |sum: Option<f32>, now| {
                let difference = (values[now] - values[now - lag]).abs();
                Some(sum.map_or(difference / 0.5, |sum| 0.5 * sum + difference))
            });
            assert_eq!(Some(likeness.unlikeness[lag - 1]), plain);
        }
    }

    #[test]
    fn without_a_past_nothing_is_alike() {
        assert_eq!(Likeness::new(0.5, 8).best::<4>(), None);
        assert_eq!(shown(0.5, 8, &[1.0, 2.0]).best::<4>(), Some([1; 4]));
    }
}
