//! Miss ratio against size: a panel for each guest, a line for each phase, the LLC's own size marked.

use super::{GuestCurves, Source};
use crate::report::ReportError;
use crate::report::figures::canvas::{Anchor, Canvas, Drawn, Lettering, SOFT, TICK, draw as on_sheet, width_of};
use crate::report::figures::palette;
use crate::report::figures::scale::Axis;

const WIDTH: i32 = 1000;
const PANEL: i32 = 300;
const LEFT: i32 = 70;
const RIGHT: i32 = WIDTH - 30;

const TITLE: Lettering = Lettering::bold(16, palette::INK);

/// Draws the guests below each other as one SVG.
pub fn draw(guests: &[GuestCurves], llc_bytes: u64) -> Result<String, ReportError> {
    let drawn = on_sheet((WIDTH as u32, (PANEL * guests.len().max(1) as i32) as u32), |canvas| {
        (0..).zip(guests).try_for_each(|(row, guest)| panel(canvas, guest, llc_bytes, PANEL * row))
    });
    drawn.map_err(ReportError::drawing("curves"))
}

fn panel(canvas: &Canvas<'_>, guest: &GuestCurves, llc_bytes: u64, offset: i32) -> Drawn {
    let (top, bottom) = (offset + 62, offset + PANEL - 46);
    let octave = |bytes: u64| (bytes as f64).log2();
    let sizes = &guest.sizes_bytes;
    let (Some(least), Some(most)) = (sizes.first(), sizes.last()) else { return Ok(()) };
    let across = Axis::new((octave(*least), octave(*most)), (LEFT, RIGHT));
    let up = Axis::new((0.0, 1.0), (bottom, top));
    let of = match guest.source {
        Source::Whole => "all references",
        Source::Marked => "by marked phase",
        Source::Learned => "by learned phase",
    };
    canvas.text(&format!("{}, {of}", guest.name), (LEFT, offset + 20), Anchor::Left, TITLE)?;
    for ratio in [0.0, 0.25, 0.5, 0.75, 1.0] {
        canvas.line(vec![(LEFT, up.pixel(ratio)), (RIGHT, up.pixel(ratio))], palette::GRID, 1)?;
        canvas.text(&format!("{ratio:.2}"), (LEFT - 8, up.pixel(ratio)), Anchor::Right, TICK)?;
    }
    for exponent in octave(*least).ceil() as u32..=octave(*most).floor() as u32 {
        let x = across.pixel(exponent.into());
        let colour = if 1 << exponent == llc_bytes { palette::FAINT } else { palette::GRID };
        canvas.line(vec![(x, top), (x, bottom)], colour, 1)?;
        canvas.text(&size_text(1 << exponent), (x, bottom + 14), Anchor::Middle, TICK)?;
    }
    canvas.text(
        "miss ratio of an LLC of this size; darker: the machine's own",
        ((LEFT + RIGHT) / 2, bottom + 32),
        Anchor::Middle,
        SOFT,
    )?;
    let mut x = LEFT;
    for (place, phase) in (0..).zip(&guest.phases) {
        let colour = palette::phase(place);
        let at = |(bytes, ratio): (&u64, &f64)| (across.pixel(octave(*bytes)), up.pixel(*ratio));
        canvas.line(sizes.iter().zip(&phase.curve.miss_ratios).map(at).collect(), colour, 2)?;
        let name = match (phase.phase, guest.source) {
            (Some(number), _) => format!("phase {number}"),
            (None, Source::Whole) => "all".to_owned(),
            (None, _) => "no phase".to_owned(),
        };
        let name = format!("{name} ({:.2} M references)", phase.curve.references as f64 / 1e6);
        canvas.dot((x + 5, offset + 44), 4, colour)?;
        canvas.text(&name, (x + 14, offset + 44), Anchor::Left, TICK)?;
        x += 34 + width_of(&name, TICK);
    }
    Ok(())
}

fn size_text(bytes: u64) -> String {
    if bytes >= 1 << 20 { format!("{} MiB", bytes >> 20) } else { format!("{} KiB", bytes >> 10) }
}
