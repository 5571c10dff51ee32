//! Two figures: what each policy gains on each mix, and throughput against moves.

use plotters::style::RGBColor;

use super::Mixes;
use super::outcome::{Contestant, STATIC, YARDSTICK};
use super::report::{Field, OURS, moves_per_vcpu_second, names, tried};
use crate::report::figures::canvas::{
    Anchor, Canvas, DrawError, Drawn, LABEL, SOFT, TICK, TITLE, draw as on_sheet, width_of,
};
use crate::report::figures::palette;
use crate::report::figures::scale::{Axis, round_axis, tick_text};

const ROW: i32 = 22;

fn grid(canvas: &Canvas<'_>, axis: Axis, (top, bottom): (i32, i32)) -> Drawn {
    let ticks = axis.ticks(8);
    let step = ticks.windows(2).map(|pair| pair[1] - pair[0]).next().unwrap_or(1.0);
    for tick in ticks {
        let x = axis.pixel(tick);
        let colour = if tick.abs() < step / 2.0 { palette::FAINT } else { palette::GRID };
        canvas.line(vec![(x, top), (x, bottom)], colour, 1)?;
        canvas.text(&tick_text(tick, step), (x, bottom + 14), Anchor::Middle, TICK)?;
    }
    Ok(())
}

fn legend(canvas: &Canvas<'_>, entries: &[(&str, RGBColor)], y: i32) -> Drawn {
    let mut x = 24;
    for (name, colour) in entries {
        canvas.dot((x + 6, y), 5, *colour)?;
        canvas.text(name, (x + 18, y), Anchor::Left, SOFT)?;
        x += 18 + width_of(name, SOFT) + 26;
    }
    Ok(())
}

/// Each mix a row, the one with most to gain first; each dot a policy's throughput over that of staying put.
pub(super) fn gains(mixes: &Mixes) -> Result<String, DrawError> {
    const LEFT: i32 = 400;
    const TOP: i32 = 96;
    let Ok(field) = Field::of(mixes) else { return on_sheet((400, 80), nothing) };
    let mut shown: Vec<(&str, RGBColor, &Contestant)> =
        vec![("oracle", palette::INK, &field.oracle), ("best static", palette::FAINT, &field.best_static)];
    let policies = [(YARDSTICK, palette::policy(1)), (OURS, palette::policy(2))];
    shown.extend(policies.into_iter().filter_map(|(name, colour)| Some((name, colour, field.named(name)?))));
    let percents = |contestant: &Contestant| -> Vec<f64> {
        contestant.gains_over(&field.put).iter().map(|gain| 100.0 * gain).collect()
    };
    let oracle = percents(&field.oracle);
    let mut rows: Vec<usize> = (0..mixes.mixes.len()).collect();
    rows.sort_by(|one, other| oracle[*other].total_cmp(&oracle[*one]));
    let all = shown.iter().flat_map(|(_, _, contestant)| percents(contestant));
    let (least, most) = all.fold((0.0f64, 1.0f64), |(least, most), gain| (least.min(gain), most.max(gain)));
    let bottom = TOP + ROW * rows.len() as i32;
    on_sheet((1100, (bottom + 60) as u32), |canvas| {
        canvas.text("Throughput over that of staying put, by mix", (24, 26), Anchor::Left, TITLE)?;
        let entries: Vec<(&str, RGBColor)> = shown.iter().map(|(name, colour, _)| (*name, *colour)).collect();
        legend(canvas, &entries, 56)?;
        let axis = round_axis(least, most, 8, (LEFT, 1060));
        grid(canvas, axis, (TOP, bottom))?;
        for (row, mix) in (0..).zip(&rows) {
            let y = TOP + ROW * row + ROW / 2;
            let finding = &mixes.mixes[*mix];
            let guests: Vec<&str> = finding.guests.iter().map(|guest| guest.program.as_str()).collect();
            canvas.text(&clipped(&guests.join(", "), 62), (LEFT - 10, y), Anchor::Right, TICK)?;
            for (name, colour, contestant) in &shown {
                let radius = if *name == "oracle" { 5 } else { 4 };
                canvas.dot((axis.pixel(percents(contestant)[*mix]), y), radius, *colour)?;
            }
        }
        canvas.text("percent above staying put (the mean over starts)", (LEFT, bottom + 40), Anchor::Left, SOFT)
    })
}

fn nothing(canvas: &Canvas<'_>) -> Drawn {
    canvas.text("nothing to compare", (24, 26), Anchor::Left, TITLE)
}

fn clipped(text: &str, most: usize) -> String {
    if text.chars().count() <= most {
        return text.to_owned();
    }
    text.chars().take(most - 1).chain(['…']).collect()
}

/// Each policy with each of its settings on the mixes for tuning: moves to the right, throughput upwards.
pub(super) fn moves(mixes: &Mixes) -> Result<String, DrawError> {
    let policies: Vec<&str> = names(&mixes.tuning).into_iter().filter(|name| *name != STATIC).collect();
    let points = |policy: &str| -> Vec<(f64, f64)> {
        let all = (0..mixes.settings.len()).filter_map(|setting| tried(mixes, policy, setting));
        all.filter_map(|(gain, moves)| Some((moves_per_vcpu_second(mixes, moves)?, 100.0 * gain))).collect()
    };
    let all: Vec<(f64, f64)> = policies.iter().flat_map(|policy| points(policy)).collect();
    let most_moves = all.iter().map(|(moves, _)| *moves).fold(1.0, f64::max);
    let (least, most) =
        all.iter().fold((0.0f64, 1.0f64), |(least, most), (_, gain)| (least.min(*gain), most.max(*gain)));
    on_sheet((900, 560), |canvas| {
        canvas.text("Throughput against moves, on the mixes for tuning", (24, 26), Anchor::Left, TITLE)?;
        let across = round_axis(0.0, most_moves, 8, (90, 860));
        let up = round_axis(least, most, 6, (480, 110));
        grid(canvas, across, (110, 480))?;
        let ticks = up.ticks(6);
        let step = ticks.windows(2).map(|pair| pair[1] - pair[0]).next().unwrap_or(1.0);
        for tick in ticks {
            canvas.line(vec![(90, up.pixel(tick)), (860, up.pixel(tick))], palette::GRID, 1)?;
            canvas.text(&tick_text(tick, step), (82, up.pixel(tick)), Anchor::Right, TICK)?;
        }
        let coloured: Vec<(&str, RGBColor)> =
            (0..).zip(&policies).map(|(place, policy)| (*policy, colour_of(policy, place))).collect();
        legend(canvas, &coloured, 60)?;
        for (policy, colour) in &coloured {
            for (moves, gain) in points(policy) {
                canvas.dot((across.pixel(moves), up.pixel(gain)), 5, *colour)?;
            }
        }
        canvas.text("% above staying put", (24, 90), Anchor::Left, LABEL)?;
        let label = "vCPUs moved per vCPU and second of virtual time; a dot for each setting";
        canvas.text(label, (90, 528), Anchor::Left, SOFT)
    })
}

fn colour_of(policy: &str, place: u32) -> RGBColor {
    match policy {
        YARDSTICK => palette::policy(1),
        OURS => palette::policy(2),
        _ => palette::phase(place + 7),
    }
}
