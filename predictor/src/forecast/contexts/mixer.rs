//! Mixes what experts say about the coming phase, and learns whom to believe.
//!
//! # Method
//!
//! Logistic mixing (Mahoney's PAQ; Mattern, "Mixing strategies in data compression", DCC 2012), for any number of
//! phases. Expert `e` gives each phase `j` a score `x[e][j]`, the logarithm of how much it speaks for `j`, 0 where
//! nothing does; and it says by a level, how much its opinion rests on, of which there are [`LEVELS`]. Then
//!
//! ```text
//! w(e)   = shared[e][level] + of_phase[last][e][level]
//! P(j)   = exp(sum over e of w(e) x[e][j]) / (the same, summed over all phases)
//! learn: both parts of w(e) += rate * (x[e][came] - sum over j of P(j) x[e][j])
//! ```
//!
//! which is one step down the gradient of the logarithmic loss. A product of powers is sharper than any of its factors
//! where experts agree for different reasons; a weighted mean never is. Scores are sparse: most experts speak for one
//! phase or two, so cost does not grow with the number of phases.

use super::elementary::exp;

/// How many levels of evidence an expert may tell apart.
pub(super) const LEVELS: usize = 8;

/// What one expert says.
#[derive(Debug, Clone, Copy)]
struct Said {
    expert: usize,
    level: usize,
    /// Where its scores begin.
    start: usize,
}

/// What all experts say about one quantum; those that say nothing are left out.
#[derive(Debug, Clone, Default)]
pub(super) struct Opinions {
    said: Vec<Said>,
    scores: Vec<(usize, f32)>,
}

impl Opinions {
    pub(super) fn clear(&mut self) {
        self.said.clear();
        self.scores.clear();
    }

    /// `expert` speaks, with evidence of `level`, for the phases of `scores`.
    pub(super) fn say(&mut self, expert: usize, level: usize, scores: impl Iterator<Item = (usize, f32)>) {
        self.said.push(Said { expert, level: level.min(LEVELS - 1), start: self.scores.len() });
        self.scores.extend(scores);
    }

    fn iter(&self) -> impl Iterator<Item = (Said, &[(usize, f32)])> {
        let ends = self.said.iter().skip(1).map(|said| said.start).chain([self.scores.len()]);
        self.said.iter().zip(ends).map(|(said, end)| (*said, &self.scores[said.start..end]))
    }

    pub(super) fn memory_bytes(&self) -> usize {
        self.said.capacity() * size_of::<Said>() + self.scores.capacity() * size_of::<(usize, f32)>()
    }
}

/// The weights of experts.
#[derive(Debug, Clone)]
pub(super) struct Mixer {
    experts: usize,
    rate: f32,
    /// The shared weights first, then those of each phase; in each of these the levels of the first expert first.
    weights: Vec<f32>,
}

impl Mixer {
    /// For `phases` phases; `initial` has the weight that each expert starts with.
    pub(super) fn new(phases: usize, initial: &[f32], rate: f32) -> Self {
        let mut weights = vec![0.0; (phases + 1) * initial.len() * LEVELS];
        for (slot, weight) in weights.chunks_mut(LEVELS).zip(initial) {
            slot.fill(*weight);
        }
        Self { experts: initial.len(), rate, weights }
    }

    fn places(&self, said: Said, last: usize) -> (usize, usize) {
        let shared = said.expert * LEVELS + said.level;
        (shared, (last + 1) * self.experts * LEVELS + shared)
    }

    /// The distribution that follows a quantum in phase `last`, into `probabilities`.
    /// Opinions count `factor` times: 1, or more where some who would agree are not asked.
    pub(super) fn mix(&self, opinions: &Opinions, last: usize, factor: f32, probabilities: &mut [f32]) {
        probabilities.fill(0.0);
        for (said, scores) in opinions.iter() {
            let (shared, own) = self.places(said, last);
            let weight = factor * (self.weights[shared] + self.weights[own]);
            scores.iter().for_each(|(phase, score)| probabilities[*phase] += weight * score);
        }
        let most = probabilities.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        probabilities.iter_mut().for_each(|score| *score = exp(*score - most));
        let total: f32 = probabilities.iter().sum();
        probabilities.iter_mut().for_each(|share| *share /= total);
    }

    /// Takes in that `came` came, when `opinions` after phase `last` had given `probabilities`.
    pub(super) fn learn(&mut self, opinions: &Opinions, last: usize, probabilities: &[f32], came: usize) {
        for (said, scores) in opinions.iter() {
            let error =
                |(phase, score): &(usize, f32)| score * (f32::from(u8::from(*phase == came)) - probabilities[*phase]);
            let step = self.rate * scores.iter().map(error).sum::<f32>();
            let (shared, own) = self.places(said, last);
            self.weights[shared] += step;
            self.weights[own] += step;
        }
    }

    pub(super) fn memory_bytes(&self) -> usize {
        size_of_val(self.weights.as_slice())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn opinions(said: &[(usize, usize, f32)]) -> Opinions {
        let mut opinions = Opinions::default();
        said.iter().for_each(|(expert, phase, score)| opinions.say(*expert, 0, [(*phase, *score)].into_iter()));
        opinions
    }

    #[test]
    fn without_opinions_every_phase_is_as_likely() {
        let mut shares = [0.0; 4];
        Mixer::new(4, &[1.0], 0.1).mix(&Opinions::default(), 0, 1.0, &mut shares);
        assert_eq!(shares, [0.25; 4]);
    }

    #[test]
    fn who_is_right_is_believed_in_the_end() {
        let mut mixer = Mixer::new(2, &[0.1, 0.1], 0.02);
        let mut shares = [0.0; 2];
        for quantum in 0..2000 {
            let came = quantum % 2;
            let said = opinions(&[(0, came, 3.0), (1, 1 - came, 3.0)]);
            mixer.mix(&said, 0, 1.0, &mut shares);
            mixer.learn(&said, 0, &shares, came);
        }
        mixer.mix(&opinions(&[(0, 1, 3.0), (1, 0, 3.0)]), 0, 1.0, &mut shares);
        assert!(shares[1] > 0.95, "{shares:?}");
    }

    #[test]
    fn two_who_agree_are_surer_than_one() {
        let mixer = Mixer::new(3, &[0.5, 0.5], 0.02);
        let (mut one, mut two) = ([0.0; 3], [0.0; 3]);
        mixer.mix(&opinions(&[(0, 1, 2.0)]), 0, 1.0, &mut one);
        mixer.mix(&opinions(&[(0, 1, 2.0), (1, 1, 2.0)]), 0, 1.0, &mut two);
        assert!(two[1] > one[1]);
    }

    #[test]
    fn a_step_lowers_the_loss_of_what_came() {
        let mut mixer = Mixer::new(3, &[0.2, 0.3], 0.05);
        let said = opinions(&[(0, 1, 2.0), (1, 2, 1.5)]);
        let mut shares = [0.0; 3];
        mixer.mix(&said, 2, 1.0, &mut shares);
        let before = shares[1];
        mixer.learn(&said, 2, &shares, 1);
        mixer.mix(&said, 2, 1.0, &mut shares);
        assert!(shares[1] > before);
    }
}
