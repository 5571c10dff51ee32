//! The figures of the replay survey: each guest's errors between the limits, and CPU time against references.

use super::Replay;
use super::report::{CYCLES_WITHIN, MISSES_WITHIN, errors};
use super::speed::{Speed, Timing};
use crate::report::figures::canvas::{
    Anchor, Canvas, DrawError, Drawn, LABEL, SOFT, TICK, TITLE, draw as on_sheet, width_of,
};
use crate::report::figures::palette;
use crate::report::figures::scale::{Axis, round_axis, tick_text};

const WIDTH: i32 = 1280;
const ROW: i32 = 18;

/// A row for each guest of each run: how far cycles and LLC misses are off, on a scale that ends beyond the limits.
pub(super) fn agreement(replay: &Replay) -> Result<String, DrawError> {
    const TOP: i32 = 84;
    const PLOTS: [(i32, i32); 2] = [(330, 770), (820, 1250)];
    let rows: i32 = replay.agreements.iter().map(|agreement| agreement.guests.len() as i32).sum();
    let (bottom, height) = (TOP + ROW * rows, TOP + ROW * rows + 56);
    on_sheet((WIDTH as u32, height as u32), |canvas| {
        canvas.text("Errors of the replay at equal work", (20, 26), Anchor::Left, TITLE)?;
        let kinds = [("cycles", CYCLES_WITHIN), ("LLC misses", MISSES_WITHIN)];
        let axes = [0, 1].map(|plot| {
            let beyond = 1.5 * kinds[plot].1;
            Axis::new((-beyond, beyond), PLOTS[plot])
        });
        for (axis, (kind, limit)) in axes.iter().zip(kinds) {
            canvas.fill((axis.pixel(-limit), TOP), (axis.pixel(limit), bottom), palette::NOTHING)?;
            let head = format!("{kind}: shaded within {:.0} %; what is farther off stands at the edge", 100.0 * limit);
            canvas.text(&head, (axis.pixel(0.0), TOP - 16), Anchor::Middle, SOFT)?;
            for tick in axis.ticks(6) {
                let x = axis.pixel(tick);
                canvas.line(vec![(x, TOP), (x, bottom)], palette::GRID, 1)?;
                canvas.text(&format!("{:.0} %", 100.0 * tick), (x, bottom + 14), Anchor::Middle, TICK)?;
            }
        }
        let mut y = TOP + ROW / 2;
        for agreement in &replay.agreements {
            let colour = palette::policy(if agreement.policy == "stay-put" { 0 } else { 2 });
            for guest in &agreement.guests {
                let name = format!("{} {} {}", agreement.mix, agreement.policy, guest.program);
                canvas.text(&name, (315, y), Anchor::Right, LABEL)?;
                let errors = errors(guest);
                for (axis, error) in axes.iter().zip([errors.cycles, errors.llc_misses]) {
                    canvas.dot((axis.pixel(error), y), 4, colour)?;
                }
                y += ROW;
            }
        }
        Ok(())
    })
}

/// References a second of CPU time over all replays.
pub(super) fn references_per_second(timings: &[Timing]) -> f64 {
    let references: u64 = timings.iter().map(|timing| timing.references).sum();
    references as f64 / timings.iter().map(|timing| timing.cpu_seconds).sum::<f64>()
}

/// CPU time against references, a line for each number of guests.
pub(super) fn speed(speed: &Speed) -> Result<String, DrawError> {
    const HEIGHT: i32 = 640;
    const PLOT: (i32, i32, i32, i32) = (90, WIDTH - 60, 90, HEIGHT - 70);
    let (left, right, top, bottom) = PLOT;
    let most = |of: fn(&Timing) -> f64| speed.timings.iter().map(of).fold(f64::MIN_POSITIVE, f64::max);
    let millions = |timing: &Timing| timing.references as f64 / 1e6;
    let across = round_axis(0.0, most(millions), 8, (left, right));
    let up = round_axis(0.0, most(|timing| timing.cpu_seconds), 6, (bottom, top));
    on_sheet((WIDTH as u32, HEIGHT as u32), |canvas| {
        canvas.text("What a replay costs on one core", (left, 26), Anchor::Left, TITLE)?;
        grid(canvas, across, up, PLOT)?;
        let all = references_per_second(&speed.timings) / 1e6;
        // From the origin to where it leaves the plot.
        let end = most(millions).min(most(|timing| timing.cpu_seconds) * all);
        canvas.line(vec![(left, bottom), (across.pixel(end), up.pixel(end / all))], palette::FAINT, 2)?;
        let mut guests: Vec<usize> = speed.timings.iter().map(|timing| timing.guests).collect();
        guests.dedup();
        let mut x = left;
        for (place, number) in (0..).zip(guests) {
            let colour = palette::phase(place);
            let of: Vec<&Timing> = speed.timings.iter().filter(|timing| timing.guests == number).collect();
            let at = |timing: &&Timing| (across.pixel(millions(timing)), up.pixel(timing.cpu_seconds));
            canvas.line(of.iter().map(at).collect(), colour, 1)?;
            of.iter().try_for_each(|timing| canvas.dot(at(timing), 5, colour))?;
            let name = if number == 1 { "1 guest".to_owned() } else { format!("{number} guests") };
            canvas.dot((x + 5, 56), 5, colour)?;
            canvas.text(&name, (x + 15, 56), Anchor::Left, SOFT)?;
            x += 40 + width_of(&name, SOFT);
        }
        let mean = format!(
            "grey: {all:.1} M references a second, the mean of all; dots of a colour: equal guests for 1, 2 and 4 times as long"
        );
        canvas.text(&mean, (x + 10, 56), Anchor::Left, SOFT)?;
        canvas.text("M references to the LLC", ((left + right) / 2, HEIGHT - 26), Anchor::Middle, SOFT)?;
        canvas.text("CPU seconds", (left, 76), Anchor::Left, SOFT)
    })
}

fn grid(canvas: &Canvas<'_>, across: Axis, up: Axis, plot: (i32, i32, i32, i32)) -> Drawn {
    let (left, right, top, bottom) = plot;
    let step = |ticks: &[f64]| if ticks.len() > 1 { ticks[1] - ticks[0] } else { 1.0 };
    let ticks = across.ticks(10);
    for tick in &ticks {
        let x = across.pixel(*tick);
        canvas.line(vec![(x, top), (x, bottom)], palette::GRID, 1)?;
        canvas.text(&tick_text(*tick, step(&ticks)), (x, bottom + 14), Anchor::Middle, TICK)?;
    }
    let ticks = up.ticks(8);
    for tick in &ticks {
        let y = up.pixel(*tick);
        canvas.line(vec![(left, y), (right, y)], palette::GRID, 1)?;
        canvas.text(&tick_text(*tick, step(&ticks)), (left - 8, y), Anchor::Right, TICK)?;
    }
    Ok(())
}
