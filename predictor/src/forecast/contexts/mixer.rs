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

use super::elementary::{Exponentials, Logarithms};

/// How many levels of evidence an expert may tell apart.
pub(super) const LEVELS: usize = 8;

/// Most experts who speak.
const SPEAKERS_MOST: usize = 32;

/// Most scores of all of them together.
const SCORES_MOST: usize = 128;

/// What one expert says.
#[derive(Debug, Clone, Copy, Default)]
struct Said {
    /// Where the shared weight of the expert at its level stands.
    weight: u32,
    /// Where its scores end, and those of the next begin.
    end: u32,
}

/// What all experts say about one quantum; those that say nothing are left out.
#[derive(Debug, Clone)]
pub(super) struct Opinions {
    said: [Said; SPEAKERS_MOST],
    speakers: usize,
    phases: [u16; SCORES_MOST],
    scores: [f32; SCORES_MOST],
    count: usize,
}

impl Default for Opinions {
    fn default() -> Self {
        Self {
            said: [Said::default(); SPEAKERS_MOST],
            speakers: 0,
            phases: [0; SCORES_MOST],
            scores: [0.0; SCORES_MOST],
            count: 0,
        }
    }
}

impl Opinions {
    pub(super) const fn clear(&mut self) {
        (self.speakers, self.count) = (0, 0);
    }

    /// `expert` speaks, with evidence of `level`, for the phases it names, each by how much, at least 0. One named by
    /// nothing is left out.
    #[inline(always)]
    pub(super) fn say(&mut self, expert: usize, level: usize, evidence: impl Iterator<Item = (u16, f32)>) {
        for (phase, evidence) in evidence {
            self.phases[self.count] = phase;
            self.scores[self.count] = 1.0 + evidence;
            // Without a branch, which would depend on what the program does.
            self.count += usize::from(evidence > 0.0);
        }
        let weight = (expert * LEVELS + level.min(LEVELS - 1)) as u32;
        self.said[self.speakers] = Said { weight, end: self.count as u32 };
        self.speakers += 1;
    }

    /// All have spoken: evidence becomes scores, its logarithm.
    pub(super) fn score(&mut self) {
        Logarithms(&mut self.scores[..self.count]).compute();
    }

    /// Where the weight of each expert stands, with the phases it named and their scores.
    #[inline(always)]
    fn iter(&self) -> impl Iterator<Item = (usize, impl Iterator<Item = (usize, f32)> + '_)> + '_ {
        let mut start = 0;
        self.said[..self.speakers].iter().map(move |said| {
            let own = start..said.end as usize;
            start = said.end as usize;
            let phases = self.phases[own.clone()].iter().map(|phase| usize::from(*phase));
            (said.weight as usize, phases.zip(self.scores[own].iter().copied()))
        })
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

    /// The weights of one phase, after a quantum in which they hold.
    const fn of_phase(&self, last: usize) -> usize {
        (last + 1) * self.experts * LEVELS
    }

    /// The distribution that follows a quantum in phase `last`, into `probabilities`.
    /// Opinions count `factor` times: 1, or more where some who would agree are not asked.
    #[inline(always)]
    pub(super) fn mix(&self, opinions: &Opinions, last: usize, factor: f32, probabilities: &mut [f32]) {
        probabilities.fill(0.0);
        let own = self.of_phase(last);
        for (shared, scores) in opinions.iter() {
            let weight = factor * (self.weights[shared] + self.weights[own + shared]);
            scores.for_each(|(phase, score)| probabilities[phase] += weight * score);
        }
        let most = probabilities.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        probabilities.iter_mut().for_each(|score| *score -= most);
        Exponentials(probabilities).compute();
        let total: f32 = probabilities.iter().sum();
        probabilities.iter_mut().for_each(|share| *share /= total);
    }

    /// Takes in that `came` came, when `opinions` after phase `last` had given `probabilities`.
    #[inline(always)]
    pub(super) fn learn(&mut self, opinions: &Opinions, last: usize, probabilities: &[f32], came: usize) {
        let own = self.of_phase(last);
        for (shared, scores) in opinions.iter() {
            let error =
                |(phase, score): (usize, f32)| score * (f32::from(u8::from(phase == came)) - probabilities[phase]);
            let step = self.rate * scores.map(error).sum::<f32>();
            self.weights[shared] += step;
            self.weights[own + shared] += step;
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
        // What speaks for a phase by `score` after its logarithm is taken.
        let evidence = |score: f32| score.exp() - 1.0;
        said.iter().for_each(|(expert, phase, score)| {
            opinions.say(*expert, 0, [(*phase as u16, evidence(*score))].into_iter());
        });
        opinions.score();
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
