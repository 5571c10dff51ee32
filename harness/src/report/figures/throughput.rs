//! The policies side by side: system throughput, and each guest's slowdown.

use super::canvas::{Anchor, Canvas, DrawError, Drawn, Lettering, SOFT, TICK, TITLE, draw as on_sheet, width_of};
use super::palette;
use super::scale::{Axis, round_axis, tick_text};
use crate::report::collected::Collected;
use crate::report::metrics::{Spread, scores, slowdowns};

/// What the figure shows.
pub(super) const CAPTION: &str =
    "System throughput and slowdown by policy; bars and large dots are means, whiskers and small dots single runs.";

const WIDTH: i32 = 1280;
const TOP: i32 = 84;
const ROW: i32 = 56;
const FOOT: i32 = 64;

const HEADING: Lettering = Lettering::bold(14, palette::INK);
const VALUE: Lettering = Lettering::bold(13, palette::INK);
const LABEL: Lettering = Lettering::plain(13, palette::INK);

/// Draws the comparison.
pub(super) fn draw(collected: &Collected) -> Result<String, DrawError> {
    let rows = collected.policies().len().max(collected.guests.len()) as i32;
    let bottom = TOP + rows * ROW;
    on_sheet((WIDTH as u32, (bottom + FOOT) as u32), |canvas| {
        let title = format!("{} on the {} host: policies compared", collected.experiment, collected.host);
        canvas.text(&title, (24, 24), Anchor::Left, TITLE)?;
        throughput(canvas, collected, (130, 560), bottom)?;
        slowdown_by_guest(canvas, collected, (780, WIDTH - 40), bottom)
    })
}

fn throughput(canvas: &Canvas<'_>, collected: &Collected, pixels: (i32, i32), bottom: i32) -> Drawn {
    let guests = collected.guests.len() as f64;
    let axis = Axis::new((0.0, guests), pixels);
    canvas.text("System throughput (STP)", (pixels.0, TOP - 24), Anchor::Left, HEADING)?;
    grid(canvas, axis, 4, bottom)?;
    let policies = collected.policies();
    let height = (bottom - TOP) / policies.len().max(1) as i32;
    for (place, policy) in policies.iter().enumerate() {
        let middle = TOP + height * place as i32 + height / 2;
        canvas.text(policy, (pixels.0 - 10, middle), Anchor::Right, LABEL)?;
        let runs: Vec<_> = collected.runs_of(policy).filter_map(|run| Some(scores(collected, run)?.stp)).collect();
        let Some(spread) = Spread::of(&runs) else {
            canvas.text("not known", (pixels.0 + 8, middle), Anchor::Left, SOFT)?;
            continue;
        };
        let half = (height / 4).min(16);
        let end = axis.pixel(spread.mean);
        canvas.fill((pixels.0, middle - half), (end, middle + half), palette::policy(place))?;
        whisker(canvas, (axis.pixel(spread.least), axis.pixel(spread.most)), middle)?;
        let value = format!("{:.3}", spread.mean);
        canvas.text(&value, (axis.pixel(spread.most) + 8, middle - 8), Anchor::Left, VALUE)?;
        let runs = if spread.runs == 1 {
            "1 run".to_owned()
        } else {
            format!("{} runs, spread {:.3}", spread.runs, spread.width())
        };
        canvas.text(&runs, (axis.pixel(spread.most) + 8, middle + 8), Anchor::Left, TICK)?;
    }
    let label = format!("guests' worth of undisturbed work at once; {guests} = nobody is slowed down");
    canvas.text(&label, (pixels.0, bottom + 40), Anchor::Left, SOFT)
}

fn whisker(canvas: &Canvas<'_>, (left, right): (i32, i32), middle: i32) -> Drawn {
    canvas.line(vec![(left, middle), (right, middle)], palette::INK, 2)?;
    [left, right].into_iter().try_for_each(|x| canvas.line(vec![(x, middle - 6), (x, middle + 6)], palette::INK, 2))
}

fn slowdown_by_guest(canvas: &Canvas<'_>, collected: &Collected, pixels: (i32, i32), bottom: i32) -> Drawn {
    let policies = collected.policies();
    let of = |policy: &str, guest: usize| -> Vec<f64> {
        collected.runs_of(policy).filter_map(|run| slowdowns(collected, run)[guest]).collect()
    };
    let all = policies.iter().flat_map(|policy| (0..collected.guests.len()).flat_map(|guest| of(policy, guest)));
    let (least, most) = all.fold((1.0, 1.0), |(least, most): (f64, f64), value| (least.min(value), most.max(value)));
    let axis = round_axis(least, most.max(least + 0.05), 5, pixels);
    canvas.text("Slowdown of each guest", (pixels.0, TOP - 24), Anchor::Left, HEADING)?;
    policy_legend(canvas, &policies, pixels.0 + 200)?;
    grid(canvas, axis, 6, bottom)?;
    let height = (bottom - TOP) / collected.guests.len().max(1) as i32;
    for (place, guest) in collected.guests.iter().enumerate() {
        let top = TOP + height * place as i32;
        let middle = top + height / 2;
        canvas.text(&guest.name, (pixels.0 - 12, middle - 8), Anchor::Right, LABEL)?;
        canvas.text(&guest.program, (pixels.0 - 12, middle + 8), Anchor::Right, TICK)?;
        let gap = height / (policies.len() as i32 + 1);
        for (row, policy) in policies.iter().enumerate() {
            let y = top + gap * (row as i32 + 1);
            let runs = of(policy, place);
            let Some(spread) = Spread::of(&runs) else { continue };
            canvas.line(vec![(pixels.0, y), (axis.pixel(spread.mean), y)], palette::GRID, 1)?;
            for run in &runs {
                canvas.dot((axis.pixel(*run), y), 2, palette::policy(row))?;
            }
            canvas.dot((axis.pixel(spread.mean), y), 5, palette::policy(row))?;
        }
    }
    canvas.text(
        "time taken / time alone for the same work; 1 = undisturbed",
        (pixels.0, bottom + 40),
        Anchor::Left,
        SOFT,
    )
}

fn policy_legend(canvas: &Canvas<'_>, policies: &[&str], left: i32) -> Drawn {
    let mut x = left;
    for (place, policy) in policies.iter().enumerate() {
        canvas.dot((x, TOP - 24), 5, palette::policy(place))?;
        canvas.text(policy, (x + 10, TOP - 24), Anchor::Left, SOFT)?;
        x += 10 + width_of(policy, SOFT) + 18;
    }
    Ok(())
}

fn grid(canvas: &Canvas<'_>, axis: Axis, steps: usize, bottom: i32) -> Drawn {
    let ticks = axis.ticks(steps);
    let step = ticks.windows(2).next().map_or(1.0, |pair| pair[1] - pair[0]);
    for tick in ticks {
        let x = axis.pixel(tick);
        canvas.line(vec![(x, TOP - 6), (x, bottom + 4)], palette::GRID, 1)?;
        canvas.text(&tick_text(tick, step), (x, bottom + 16), Anchor::Middle, TICK)?;
    }
    Ok(())
}
