//! The figures of an experiment as SVG: one timeline a policy, and the policies side by side; and what watching costs.
//!
//! Drawn in pixels with plotters' SVG backend, which needs no system font. Colours stand in [`palette`], drawing in
//! [`canvas`]; the other files each own a figure.

pub(crate) mod canvas;
pub(crate) mod palette;
pub(crate) mod scale;
mod throughput;
mod timeline;
mod watching;

pub use watching::{WatchingCost, watching};

use super::collected::Collected;
use super::{Figure, ReportError};

/// Every figure, in the order in which the summary shows them.
pub fn all(collected: &Collected) -> Result<Vec<Figure>, ReportError> {
    let mut figures = vec![named("throughput.svg", throughput::CAPTION, throughput::draw(collected))?];
    for policy in collected.policies() {
        let Some(run) = collected.runs_of(policy).next() else { continue };
        let file = format!("timeline-{policy}.svg");
        let caption = format!("Policy {policy}, run {}: phases, placement and cycles per instruction.", run.repeat);
        figures.push(named(&file, &caption, timeline::draw(collected, run))?);
    }
    Ok(figures)
}

fn named(file: &str, caption: &str, drawn: Result<String, canvas::DrawError>) -> Result<Figure, ReportError> {
    let svg = drawn.map_err(ReportError::drawing(file))?;
    Ok(Figure { file: file.to_owned(), caption: caption.to_owned(), svg })
}
