//! Phases found online: spheres around leaders that follow their members.
//!
//! # Problem
//!
//! A host runs programs that no training saw. Their phases have to be named from the first sample on, in bounded memory,
//! and names must stay what they were.
//!
//! # Method
//!
//! Leader clustering (Hartigan, "Clustering Algorithms", 1975), the way working-set signatures were compared online by
//! Dhodapkar and Smith (ISCA 2002), with leaders that drift:
//!
//! ```text
//! name(x):
//!     L = nearest leader
//!     if there is none, or |x - L| > radius and a place is free:  a new leader at x, its number the next
//!     else:                                                       L += (x - L) / min(n, memory)   # n: its members
//!     two leaders nearer than radius / 2 become one, under the number of the one with more members
//! ```
//!
//! A leader that was merged away keeps its number as another name's, so that numbers are never used twice: the place is
//! not freed. With all places taken, whatever is far from all leaders goes to the nearest, and draws it along.
//!
//! # Properties
//!
//! - At most `most` phases and that many leaders in memory, however long it runs.
//! - A sample within the radius of a leader never makes a phase.
//! - A phase that drifts by less than the radius in `memory` samples keeps its name.

use super::{NamePhase, PhaseId, finite, squared_distance};

/// How online phases are formed.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct LeaderSettings {
    /// A sample farther than this from every leader is a new phase; in the unit of the coordinates.
    pub radius: f64,
    /// Most phases.
    pub most: usize,
    /// A leader moves to the mean of about as many of its last members.
    pub memory: u32,
}

/// Settings that make no phases.
#[derive(Debug, Clone, Copy, PartialEq, thiserror::Error)]
#[error("online phases need a radius above 0 (it is {}), at least one phase and one sample of memory", .0.radius)]
pub struct LeaderError(LeaderSettings);

/// Phases of one vCPU, found as it runs.
#[derive(Debug, Clone, PartialEq)]
pub struct Leaders {
    settings: LeaderSettings,
    /// By number; those merged away are `None`.
    leaders: Vec<Option<Leader>>,
}

#[derive(Debug, Clone, PartialEq)]
struct Leader {
    place: Vec<f64>,
    members: u64,
}

impl Leaders {
    /// No phase yet.
    pub fn new(settings: LeaderSettings) -> Result<Self, LeaderError> {
        let sound = settings.radius > 0.0 && settings.radius.is_finite() && settings.most > 0 && settings.memory > 0;
        if sound { Ok(Self { settings, leaders: Vec::new() }) } else { Err(LeaderError(settings)) }
    }

    /// The nearest leader's number and squared distance; of several as near, the lowest.
    fn nearest(&self, point: &[f64]) -> Option<(usize, f64)> {
        let there = self.leaders.iter().enumerate().filter_map(|(number, leader)| Some((number, leader.as_ref()?)));
        there
            .map(|(number, leader)| (number, squared_distance(point, &leader.place)))
            .min_by(|a, b| a.1.total_cmp(&b.1))
    }

    /// Lets the leader of `number` follow one more member; the number it then goes by.
    fn follow(&mut self, number: usize, point: &[f64]) -> usize {
        let Some(leader) = self.leaders[number].as_mut() else { return number };
        leader.members += 1;
        let share = 1.0 / leader.members.min(u64::from(self.settings.memory)) as f64;
        for (place, value) in leader.place.iter_mut().zip(point) {
            *place += (value - *place) * share;
        }
        let moved = leader.place.clone();
        let close = |(other, leader): (usize, &Option<Leader>)| {
            let squared = squared_distance(&moved, &leader.as_ref()?.place);
            (other != number && squared < (self.settings.radius / 2.0).powi(2)).then_some((other, squared))
        };
        let neighbours = self.leaders.iter().enumerate().filter_map(close);
        match neighbours.min_by(|a, b| a.1.total_cmp(&b.1)) {
            Some((other, _)) => self.merge(number, other),
            None => number,
        }
    }

    /// Two become one at their common mean, under the number with more members; of as many, the lower.
    fn merge(&mut self, one: usize, other: usize) -> usize {
        let (Some(a), Some(b)) = (self.leaders[one].take(), self.leaders[other].take()) else { return one };
        let kept = if (a.members, other) > (b.members, one) { one } else { other };
        let members = a.members + b.members;
        let share = b.members as f64 / members as f64;
        let place = a.place.iter().zip(&b.place).map(|(a, b)| a + (b - a) * share).collect();
        self.leaders[kept] = Some(Leader { place, members });
        kept
    }
}

impl NamePhase for Leaders {
    fn name(&mut self, coordinates: &[f64]) -> Option<PhaseId> {
        let point = finite(coordinates)?;
        let nearest = self.nearest(point);
        let far = nearest.is_none_or(|(_, squared)| squared > self.settings.radius.powi(2));
        let number = match nearest {
            Some((number, _)) if !far || self.leaders.len() == self.settings.most => self.follow(number, point),
            _ => {
                self.leaders.push(Some(Leader { place: point.to_vec(), members: 1 }));
                self.leaders.len() - 1
            }
        };
        Some(PhaseId::at(number))
    }

    fn phases(&self) -> usize {
        self.settings.most
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn leaders(radius: f64, most: usize, memory: u32) -> Leaders {
        Leaders::new(LeaderSettings { radius, most, memory }).expect("sound")
    }

    fn names(leaders: &mut Leaders, numbers: &[f64]) -> Vec<u32> {
        numbers.iter().map(|number| leaders.name(&[*number]).expect("finite").0).collect()
    }

    #[test]
    fn a_sample_far_from_all_is_a_new_phase_and_a_near_one_never() {
        assert_eq!(names(&mut leaders(1.0, 8, 4), &[0.0, 5.0, 0.5, 5.9, -20.0, 0.1]), [0, 1, 0, 1, 2, 0]);
    }

    #[test]
    fn a_phase_that_drifts_slowly_keeps_its_name() {
        let drift: Vec<f64> = (0..1000).map(|sample| f64::from(sample) * 0.05).collect();
        assert!(names(&mut leaders(1.0, 8, 8), &drift).iter().all(|name| *name == 0));
    }

    #[test]
    fn phases_that_grow_together_become_one_under_the_name_with_more_members() {
        let mut leaders = leaders(1.0, 8, 2);
        names(&mut leaders, &[0.0; 10]);
        // The second follows its members halfway, from 1.5 to 0.44, which is nearer than half a radius to the first.
        assert_eq!(names(&mut leaders, &[1.5, 0.9, 0.76, 0.6, 0.5, 0.4, 0.35]), [1, 1, 1, 1, 1, 1, 0]);
        assert_eq!(names(&mut leaders, &[0.8, 1.5]), [0, 2], "1 is never used again");
    }

    #[test]
    fn with_all_places_taken_the_nearest_is_named_and_memory_stays() {
        let mut leaders = leaders(1.0, 2, 4);
        assert_eq!(names(&mut leaders, &[0.0, 10.0, 100.0, 1000.0, -50.0]), [0, 1, 1, 1, 0]);
        assert_eq!(leaders.leaders.len(), 2);
    }

    #[test]
    fn settings_that_make_no_phases_are_refused() {
        for radius in [0.0, -1.0, f64::NAN, f64::INFINITY] {
            assert!(Leaders::new(LeaderSettings { radius, most: 1, memory: 1 }).is_err());
        }
    }
}
