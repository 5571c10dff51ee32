//! The scatter: slowdown told against slowdown seen, a dot for each guest.

use super::{Contended, Together};
use crate::report::figures::canvas::{
    Anchor, Canvas, DrawError, Drawn, LABEL, SOFT, TICK, TITLE, draw as on_sheet, width_of,
};
use crate::report::figures::palette;
use crate::report::figures::scale::{RatioAxis, short};

const WIDTH: i32 = 1280;
const HEIGHT: i32 = 700;
const TOP: i32 = 90;
const BOTTOM: i32 = HEIGHT - 70;

/// The rules that are drawn.
const DRAWN: [(&str, usize); 2] = [("additive", 0), ("analytic", 2)];

pub(super) fn scatter(found: &Contended) -> Result<String, DrawError> {
    on_sheet((WIDTH as u32, HEIGHT as u32), |canvas| {
        canvas.text(
            "Slowdown told from guests alone, against slowdown seen together",
            (20, 26),
            Anchor::Left,
            TITLE,
        )?;
        let mut x = 20;
        for (name, colour) in DRAWN {
            canvas.dot((x + 5, 52), 5, palette::policy(colour))?;
            canvas.text(name, (x + 15, 52), Anchor::Left, SOFT)?;
            x += 40 + width_of(name, SOFT);
        }
        canvas.text("a dot for each guest; on the line is right", (x, 52), Anchor::Left, SOFT)?;
        plot(canvas, "pairs", &found.pairs, (80, 620))?;
        plot(canvas, "mixes of four behind one LLC", &found.mixes, (720, 1260))
    })
}

fn plot(canvas: &Canvas<'_>, title: &str, of: &[Together], (left, right): (i32, i32)) -> Drawn {
    let guests = || of.iter().flat_map(|together| &together.guests);
    let told = guests().flat_map(|guest| DRAWN.iter().filter_map(|(name, _)| guest.predicted.get(*name).copied()));
    let values = || guests().map(|guest| guest.slowdown).chain(told.clone()).chain([1.0]);
    let (across, up) = (RatioAxis::around(values(), (left, right)), RatioAxis::around(values(), (BOTTOM, TOP)));
    canvas.text(title, (left, TOP - 14), Anchor::Left, LABEL)?;
    let ticks = across.ticks(8);
    for tick in &ticks {
        let (x, y) = (across.pixel(*tick), up.pixel(*tick));
        canvas.line(vec![(x, TOP), (x, BOTTOM)], palette::GRID, 1)?;
        canvas.line(vec![(left, y), (right, y)], palette::GRID, 1)?;
        canvas.text(&short(*tick), (x, BOTTOM + 14), Anchor::Middle, TICK)?;
        canvas.text(&short(*tick), (left - 8, y), Anchor::Right, TICK)?;
    }
    let corner = |value: f64| (across.pixel(value), up.pixel(value));
    canvas.line(vec![corner(1.0), corner(values().fold(1.0, f64::max))], palette::FAINT, 2)?;
    for (name, colour) in DRAWN {
        for guest in guests() {
            if let Some(told) = guest.predicted.get(name) {
                canvas.dot((across.pixel(guest.slowdown), up.pixel(*told)), 3, palette::policy(colour))?;
            }
        }
    }
    canvas.text("slowdown seen", ((left + right) / 2, BOTTOM + 40), Anchor::Middle, SOFT)?;
    canvas.text_up("told", (left - 50, (TOP + BOTTOM) / 2), SOFT)
}
