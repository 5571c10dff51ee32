//! Slowdowns by variant: a row for each side of each pair, a dot for each machine.

use super::Sensitivity;
use super::report::{hosts, variants};
use crate::report::figures::canvas::{
    Anchor, Canvas, DrawError, Drawn, LABEL, SOFT, TICK, TITLE, draw as on_sheet, width_of,
};
use crate::report::figures::palette;
use crate::report::figures::scale::{RatioAxis, short};

const WIDTH: i32 = 1180;
const LEFT: i32 = 330;
const RIGHT: i32 = 40;
const TOP: i32 = 110;
const ROW: i32 = 30;
const BETWEEN: i32 = 14;

/// Dots are of the first host, the bar under each of the second.
pub(super) fn slowdowns(found: &Sensitivity) -> Result<String, DrawError> {
    let height = TOP + found.questions.len() as i32 * (2 * ROW + BETWEEN) + 60;
    let all = found.answers.iter().flat_map(|answers| &answers.pairs).flat_map(|pair| &pair.sides);
    let axis = RatioAxis::around(all.map(|side| side.slowdown()).chain([1.0]), (LEFT, WIDTH - RIGHT));
    on_sheet((WIDTH as u32, height as u32), |canvas| {
        let title = format!("Slowdown beside a neighbour, by what of {} was changed", found.machine.name);
        canvas.text(&title, (24, 26), Anchor::Left, TITLE)?;
        legend(canvas, found)?;
        let bottom = height - 52;
        for tick in axis.ticks(10) {
            let x = axis.pixel(tick);
            canvas.line(vec![(x, TOP - 8), (x, bottom)], palette::GRID, 1)?;
            canvas.text(&short(tick), (x, bottom + 14), Anchor::Middle, TICK)?;
        }
        for place in 0..found.questions.len() {
            for side in 0..2 {
                let y = TOP + place as i32 * (2 * ROW + BETWEEN) + side as i32 * ROW + ROW / 2;
                row(canvas, found, (place, side), axis, y)?;
            }
        }
        let label = "time beside the neighbour over time alone on the same machine, same instructions; ratio scale";
        canvas.text(label, ((LEFT + WIDTH - RIGHT) / 2, height - 18), Anchor::Middle, SOFT)
    })
}

fn row(canvas: &Canvas<'_>, found: &Sensitivity, (place, side): (usize, usize), axis: RatioAxis, y: i32) -> Drawn {
    let programs = &found.questions[place].programs;
    let name = format!("{} beside {}", programs[side], programs[1 - side]);
    canvas.text(&name, (LEFT - 12, y), Anchor::Right, LABEL)?;
    canvas.line(vec![(LEFT, y), (WIDTH - RIGHT, y)], palette::GRID, 1)?;
    let hosts = hosts(found);
    if let Some(second) = hosts.get(1) {
        for (number, answers) in (0..).zip(variants(found, second)) {
            let x = axis.pixel(answers.pairs[place].sides[side].slowdown());
            canvas.line(vec![(x, y - 11), (x, y + 11)], palette::phase(number), 2)?;
        }
    }
    // The machine as it is last, so that it is not covered.
    for (number, answers) in (0..).zip(variants(found, hosts[0])).collect::<Vec<_>>().into_iter().rev() {
        canvas.dot((axis.pixel(answers.pairs[place].sides[side].slowdown()), y), 5, palette::phase(number))?;
    }
    Ok(())
}

fn legend(canvas: &Canvas<'_>, found: &Sensitivity) -> Drawn {
    let hosts = hosts(found);
    let mut x = 24;
    for (number, answers) in (0..).zip(variants(found, hosts[0])) {
        canvas.dot((x + 6, 54), 5, palette::phase(number))?;
        canvas.text(&answers.variant, (x + 16, 54), Anchor::Left, SOFT)?;
        x += 16 + width_of(&answers.variant, SOFT) + 24;
    }
    let which = match hosts.get(1) {
        Some(second) => format!("dots: {} host; bars: {second} host", hosts[0]),
        None => format!("{} host", hosts[0]),
    };
    canvas.text(&which, (24, 78), Anchor::Left, SOFT)
}
