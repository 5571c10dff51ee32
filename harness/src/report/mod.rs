//! Summary and figures of a finished experiment: pure functions from what was collected to text and SVG.
//!
//! [`collected`] is all that is needed, so that a report can be made again from the file beside it and compared.
//! Running the experiment and writing files is [`crate::experiment`]'s business.

pub mod collected;
pub mod estimate;
pub mod figures;
pub mod metrics;
pub mod summary;
pub(crate) mod text;

use collected::Collected;
use figures::canvas::DrawError;

/// A figure with the name of its file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Figure {
    /// The file's name, as `timeline-predictive.svg`.
    pub file: String,
    /// What it shows, in one sentence.
    pub caption: String,
    /// The figure as SVG.
    pub svg: String,
}

/// A finished experiment for people.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// The summary as Markdown.
    pub summary: String,
    /// The figures that the summary names.
    pub figures: Vec<Figure>,
}

/// Makes the report of what was collected. The same input gives the same bytes.
pub fn render(collected: &Collected) -> Result<Report, ReportError> {
    let figures = figures::all(collected)?;
    let summary = summary::write(collected, &figures)?;
    Ok(Report { summary, figures })
}

/// A report that could not be made.
#[derive(Debug, thiserror::Error)]
pub enum ReportError {
    /// What was collected is not complete.
    #[error("failed to report on {what}: {problem}")]
    Incomplete {
        /// Which part.
        what: String,
        /// What is missing.
        problem: String,
    },
    /// A figure could not be drawn.
    #[error("failed to draw figure {figure}: {reason}")]
    Figure {
        /// Which one.
        figure: String,
        /// Why not.
        reason: String,
    },
    /// The summary could not be written.
    #[error("failed to write the summary: {0}")]
    Summary(#[from] minijinja::Error),
}

impl ReportError {
    /// What to make of the figure called `name` that could not be drawn.
    pub(crate) fn drawing(name: &str) -> impl FnOnce(DrawError) -> Self + use<'_> {
        move |error| Self::Figure { figure: name.to_owned(), reason: error.to_string() }
    }
}
