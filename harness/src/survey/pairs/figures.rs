//! The heat map of slowdowns: a row for each program that is slowed, a column for each that slows it.

use plotters::style::RGBColor;

use super::Pairs;
use super::report::{roles, slowdown_of};
use crate::report::figures::canvas::{
    Anchor, Canvas, DrawError, Drawn, LABEL, Lettering, SOFT, TITLE, draw as on_sheet, width_of,
};
use crate::report::figures::palette;
use crate::report::text::number;

const CELL: i32 = 26;
const LEFT: i32 = 200;
const TOP: i32 = 250;

/// From which slowdown on each shade stands; below the first nobody would notice. Lightness falls evenly from class to class.
const SHADES: [(f64, RGBColor); 8] = [
    (0.0, RGBColor(0xF7, 0xF7, 0xF2)),
    (1.02, RGBColor(0xFE, 0xF0, 0xC8)),
    (1.05, RGBColor(0xFD, 0xDC, 0x9A)),
    (1.1, RGBColor(0xFB, 0xBE, 0x6E)),
    (1.2, RGBColor(0xF0, 0x8C, 0x4B)),
    (1.5, RGBColor(0xD6, 0x57, 0x4A)),
    (2.0, RGBColor(0x9E, 0x2F, 0x5A)),
    (3.0, RGBColor(0x54, 0x18, 0x4F)),
];

fn shade(slowdown: f64) -> RGBColor {
    SHADES.iter().rev().find(|(from, _)| slowdown >= *from).map_or(SHADES[0].1, |(_, colour)| *colour)
}

/// Programs stand in the order of their pressure, the one that slows others most first, in rows and columns alike.
pub(super) fn heat_map(pairs: &Pairs) -> Result<String, DrawError> {
    let programs: Vec<String> = roles(pairs).into_iter().map(|role| role.program).collect();
    let side = CELL * programs.len() as i32;
    let width = (LEFT + side + 40).max(900);
    on_sheet((width as u32, (TOP + side + 70) as u32), |canvas| {
        let title =
            format!("Slowdown beside each other in one LLC domain of {}, {} host", pairs.machine.name, pairs.host);
        canvas.text(&title, (24, 26), Anchor::Left, TITLE)?;
        canvas.text(
            "rows: who is slowed down; columns: beside whom; both by how much they slow others",
            (24, 50),
            Anchor::Left,
            SOFT,
        )?;
        legend(canvas)?;
        for (place, program) in (0..).zip(&programs) {
            let middle = CELL * place + CELL / 2;
            canvas.text(program, (LEFT - 8, TOP + middle), Anchor::Right, LABEL)?;
            canvas.text_up(program, (LEFT + middle, TOP - 8), LABEL)?;
        }
        for (row, sufferer) in (0..).zip(&programs) {
            for (column, presser) in (0..).zip(&programs) {
                let corner = (LEFT + CELL * column, TOP + CELL * row);
                draw_cell(canvas, corner, slowdown_of(pairs, sufferer, presser))?;
            }
        }
        canvas.text(
            "numbers: time beside the neighbour over time alone, same instructions",
            (LEFT, TOP + side + 24),
            Anchor::Left,
            SOFT,
        )
    })
}

fn draw_cell(canvas: &Canvas<'_>, (x, y): (i32, i32), slowdown: Option<f64>) -> Drawn {
    let Some(slowdown) = slowdown else {
        return canvas.fill((x + 1, y + 1), (x + CELL - 1, y + CELL - 1), palette::NOTHING);
    };
    let ground = shade(slowdown);
    canvas.fill((x, y), (x + CELL, y + CELL), ground)?;
    let digits = if slowdown < 10.0 { 2 } else { 1 };
    let lettering = Lettering::plain(10, palette::ink_on(ground));
    canvas.text(&number(Some(slowdown), digits), (x + CELL / 2, y + CELL / 2), Anchor::Middle, lettering)
}

fn legend(canvas: &Canvas<'_>) -> Drawn {
    let mut x = 24;
    for (place, (from, colour)) in SHADES.iter().enumerate() {
        let text = match (place, SHADES.get(place + 1)) {
            (0, Some((to, _))) => format!("below {to}"),
            (_, Some((to, _))) => format!("{from} to {to}"),
            (_, None) => format!("{from} and more"),
        };
        canvas.fill((x, 66), (x + 16, 82), *colour)?;
        canvas.text(&text, (x + 22, 74), Anchor::Left, SOFT)?;
        x += 22 + width_of(&text, SOFT) + 16;
    }
    Ok(())
}
