//! Phases as intervals of one number.
//!
//! # Problem
//!
//! Published forecasters are compared on phases that need no training: Isci, Contreras and Martonosi (MICRO 2006) cut
//! memory references that miss the last-level cache, per instruction, into six classes; others cut instructions per
//! cycle into steps of one width.
//!
//! # Method
//!
//! ```text
//! by edges e0 < e1 < ...:  phase = how many edges are <= x     (an edge belongs to the bin above it)
//! by a width w:            phase = floor(x / w), at most the last
//! ```
//!
//! # Properties
//!
//! Phases rise with the number. A number that sits on an edge changes its phase at random: no forecast can follow that,
//! see the page on forecasting.
//!
//! # Example
//!
//! ```
//! use predictor::phases::{NamePhase, PhaseId, bins::Bins};
//! let mut isci = Bins::isci();
//! let names = [0.001, 0.005, 0.012, 0.5].map(|misses_per_instruction| isci.name(&[misses_per_instruction]));
//! assert_eq!(names, [0, 1, 2, 5].map(|phase| Some(PhaseId(phase))));
//! ```

use super::{NamePhase, PhaseId, finite};

/// Edges of the six classes of Isci, Contreras and Martonosi, in LLC misses per instruction.
pub const ISCI_EDGES: [f64; 5] = [0.005, 0.01, 0.015, 0.02, 0.03];

/// No core retires more instructions per cycle; what does all the same is in the last bin.
pub const IPC_MOST: f64 = 8.0;

/// Intervals of one number, which is the first coordinate of what is named.
#[derive(Debug, Clone, PartialEq)]
pub struct Bins(Cut);

#[derive(Debug, Clone, PartialEq)]
enum Cut {
    Edges(Vec<f64>),
    Width { width: f64, bins: usize },
}

/// Bins that cannot be made.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum BinsError {
    /// An edge that is no number, or not above the one before it.
    #[error("edges of bins must be finite and rise; edge {0} does not")]
    EdgesDisordered(usize),
    /// A width that cuts nothing, or too fine to be phases.
    #[error("a bin is {0} wide; give a width from 0.001 to {IPC_MOST}")]
    WidthOutOfRange(f64),
}

impl Bins {
    /// The six classes of Isci and others; name them by LLC misses per instruction.
    #[must_use]
    pub fn isci() -> Self {
        Self(Cut::Edges(ISCI_EDGES.into()))
    }

    /// Bins of instructions per cycle, each `width` wide.
    pub fn ipc(width: f64) -> Result<Self, BinsError> {
        if !(0.001..=IPC_MOST).contains(&width) {
            return Err(BinsError::WidthOutOfRange(width));
        }
        Ok(Self(Cut::Width { width, bins: (IPC_MOST / width).ceil() as usize }))
    }

    /// Bins between `edges`, one more than there are edges.
    pub fn of_edges(edges: Vec<f64>) -> Result<Self, BinsError> {
        let rises = |place: usize| edges[place].is_finite() && (place == 0 || edges[place - 1] < edges[place]);
        match (0..edges.len()).find(|place| !rises(*place)) {
            Some(place) => Err(BinsError::EdgesDisordered(place)),
            None => Ok(Self(Cut::Edges(edges))),
        }
    }
}

impl NamePhase for Bins {
    fn name(&mut self, coordinates: &[f64]) -> Option<PhaseId> {
        let number = *finite(coordinates)?.first()?;
        Some(PhaseId::at(match &self.0 {
            Cut::Edges(edges) => edges.partition_point(|edge| *edge <= number),
            // A conversion to an integer takes what is below 0 as 0.
            Cut::Width { width, bins } => ((number / width).floor() as usize).min(bins - 1),
        }))
    }

    fn phases(&self) -> usize {
        match &self.0 {
            Cut::Edges(edges) => edges.len() + 1,
            Cut::Width { bins, .. } => *bins,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_edge_belongs_to_the_bin_above_it() {
        let mut bins = Bins::isci();
        for (place, edge) in ISCI_EDGES.into_iter().enumerate() {
            assert_eq!(bins.name(&[edge]), Some(PhaseId::at(place + 1)));
            assert_eq!(bins.name(&[edge - 1e-9]), Some(PhaseId::at(place)));
        }
    }

    #[test]
    fn ipc_bins_are_whole_widths_and_the_last_takes_the_rest() {
        let mut bins = Bins::ipc(0.25).expect("a width");
        let names = [0.0, 0.249, 0.25, 1.6, 7.99, 100.0].map(|ipc| bins.name(&[ipc]).map(|phase| phase.0));
        assert_eq!(names, [0, 0, 1, 6, 31, 31].map(Some));
        assert_eq!(bins.phases(), 32);
    }

    #[test]
    fn widths_and_edges_that_make_no_bins_are_refused() {
        for width in [0.0, -1.0, f64::NAN, f64::INFINITY] {
            assert!(Bins::ipc(width).is_err(), "{width}");
        }
        assert_eq!(Bins::of_edges(vec![1.0, 1.0]), Err(BinsError::EdgesDisordered(1)));
        assert_eq!(Bins::of_edges(vec![f64::NAN]), Err(BinsError::EdgesDisordered(0)));
    }
}
