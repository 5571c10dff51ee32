//! What watching guests costs, against the number of their vCPU threads.

use super::canvas::{Anchor, DrawError, LABEL, SOFT, TICK, TITLE, draw as on_sheet};
use super::palette;
use super::scale::{RatioAxis, round_axis, short, tick_text};
use crate::report::ReportError;

const WIDTH: i32 = 760;
const HEIGHT: i32 = 460;
const LEFT: i32 = 80;
const RIGHT: i32 = WIDTH - 30;
const TOP: i32 = 90;
const BOTTOM: i32 = HEIGHT - 70;

/// What watching so many threads took.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct WatchingCost {
    /// vCPU threads that were read in each quantum.
    pub threads: u32,
    /// CPU time of the one who watched, as a share of one core.
    pub share_of_core: f64,
}

/// The figure as SVG: a share of one core for each number of threads, with a line at `bound`.
pub fn watching(costs: &[WatchingCost], bound: f64, caption: &str) -> Result<String, ReportError> {
    draw(costs, bound, caption).map_err(ReportError::drawing("watching"))
}

fn draw(costs: &[WatchingCost], bound: f64, caption: &str) -> Result<String, DrawError> {
    let most = costs.iter().map(|cost| cost.share_of_core).fold(bound, f64::max);
    let across = RatioAxis::around(costs.iter().map(|cost| f64::from(cost.threads)), (LEFT, RIGHT));
    let up = round_axis(0.0, 100.0 * most, 5, (BOTTOM, TOP));
    on_sheet((WIDTH as u32, HEIGHT as u32), |canvas| {
        canvas.text("CPU time of watching vCPUs", (20, 26), Anchor::Left, TITLE)?;
        canvas.text(caption, (20, 52), Anchor::Left, SOFT)?;
        let ticks = up.ticks(5);
        let step = ticks.windows(2).map(|pair| pair[1] - pair[0]).next().unwrap_or(1.0);
        for tick in &ticks {
            let y = up.pixel(*tick);
            canvas.line(vec![(LEFT, y), (RIGHT, y)], palette::GRID, 1)?;
            canvas.text(&tick_text(*tick, step), (LEFT - 8, y), Anchor::Right, TICK)?;
        }
        let y = up.pixel(100.0 * bound);
        canvas.line(vec![(LEFT, y), (RIGHT, y)], palette::FAINT, 2)?;
        let place = |cost: &WatchingCost| (across.pixel(f64::from(cost.threads)), up.pixel(100.0 * cost.share_of_core));
        canvas.line(costs.iter().map(place).collect(), palette::policy(2), 2)?;
        for cost in costs {
            let (x, _) = place(cost);
            canvas.dot(place(cost), 4, palette::policy(2))?;
            canvas.text(&short(f64::from(cost.threads)), (x, BOTTOM + 14), Anchor::Middle, TICK)?;
        }
        canvas.text("vCPU threads", ((LEFT + RIGHT) / 2, BOTTOM + 44), Anchor::Middle, LABEL)?;
        canvas.text_up("% of one core", (30, (TOP + BOTTOM) / 2), LABEL)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_number_of_threads_is_a_dot_and_the_bound_is_inside() {
        let cost = |threads, share_of_core| WatchingCost { threads, share_of_core };
        let svg = watching(&[cost(1, 0.001), cost(64, 0.004), cost(256, 0.008)], 0.01, "a machine").expect("drawn");
        assert_eq!(svg.matches("<circle").count() % 3, 0);
        for text in ["a machine", "% of one core", "64", "256"] {
            assert!(svg.contains(text), "{text}");
        }
    }
}
