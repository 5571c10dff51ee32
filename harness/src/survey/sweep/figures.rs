//! Gain over staying put against what is varied: a line for each policy, its interval at each value.

use super::report::{contenders, gain};
use super::{Over, Sweeps};
use crate::report::figures::canvas::{Anchor, Canvas, DrawError, Drawn, SOFT, TICK, TITLE, draw as on_sheet, width_of};
use crate::report::figures::palette;
use crate::report::figures::scale::Axis;

const SIZE: (u32, u32) = (900, 480);
const LEFT: i32 = 80;
const RIGHT: i32 = 860;
const TOP: i32 = 90;
const BOTTOM: i32 = 400;

/// How far policies stand apart at one value, so that their intervals can be told apart.
const APART: i32 = 6;

pub(super) fn curve(found: &Sweeps, over: Over) -> Result<String, DrawError> {
    let names = contenders(found, over);
    let all = || over.values().iter().flat_map(|value| names.iter().filter_map(|name| gain(found, over, *value, name)));
    let least = all().map(|mean| mean.low).fold(0.0, f64::min);
    let most = all().map(|mean| mean.high).fold(0.01, f64::max);
    let room = 0.05 * (most - least);
    let axis = Axis::new((100.0 * (least - room), 100.0 * (most + room)), (BOTTOM, TOP));
    on_sheet(SIZE, |canvas| {
        canvas.text(&format!("Throughput over staying put, by {}", over.name()), (24, 26), Anchor::Left, TITLE)?;
        legend(canvas, &names)?;
        for tick in axis.ticks(8) {
            let y = axis.pixel(tick);
            let colour = if tick == 0.0 { palette::FAINT } else { palette::GRID };
            canvas.line(vec![(LEFT, y), (RIGHT, y)], colour, 1)?;
            canvas.text(&format!("{tick:+.1} %"), (LEFT - 8, y), Anchor::Right, TICK)?;
        }
        for (place, value) in over.values().iter().enumerate() {
            canvas.text(&value.to_string(), (x_of(over, place), BOTTOM + 18), Anchor::Middle, TICK)?;
        }
        for (number, name) in names.iter().enumerate() {
            one(canvas, found, over, (number, name), &axis)?;
        }
        let label = format!("{}; values equally far apart; bars: 95 % intervals over mixes", over.label());
        canvas.text(&label, ((LEFT + RIGHT) / 2, BOTTOM + 48), Anchor::Middle, SOFT)?;
        canvas.text("simulated: arithmetic, not a measurement", (24, 464), Anchor::Left, SOFT)
    })
}

fn x_of(over: Over, place: usize) -> i32 {
    let room = (RIGHT - LEFT) as f64 / over.values().len() as f64;
    LEFT + ((place as f64 + 0.5) * room).round() as i32
}

fn one(canvas: &Canvas<'_>, found: &Sweeps, over: Over, (number, name): (usize, &str), axis: &Axis) -> Drawn {
    let colour = palette::policy(number + 1);
    let mut line = Vec::new();
    for (place, value) in over.values().iter().enumerate() {
        let Some(mean) = gain(found, over, *value, name) else { continue };
        let x = x_of(over, place) + APART * (number as i32 - 1);
        canvas.line(vec![(x, axis.pixel(100.0 * mean.low)), (x, axis.pixel(100.0 * mean.high))], colour, 2)?;
        line.push((x, axis.pixel(100.0 * mean.mean)));
    }
    for place in &line {
        canvas.dot(*place, 4, colour)?;
    }
    canvas.line(line, colour, 2)
}

fn legend(canvas: &Canvas<'_>, names: &[String]) -> Drawn {
    let mut x = LEFT;
    for (number, name) in names.iter().enumerate() {
        canvas.dot((x + 6, 58), 5, palette::policy(number + 1))?;
        canvas.text(name, (x + 16, 58), Anchor::Left, SOFT)?;
        x += 16 + width_of(name, SOFT) + 30;
    }
    Ok(())
}
