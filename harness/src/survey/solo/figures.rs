//! The figures of the solo survey: where each program stands in the hierarchy, and its phases over time.

use super::report::main_runs;
use super::statistics::Figures;
use super::{Finding, Solo};
use crate::report::figures::canvas::{
    Anchor, Canvas, DrawError, Drawn, LABEL, Place, SOFT, TICK, TITLE, draw as on_sheet, width_of,
};
use crate::report::figures::palette;
use crate::report::figures::scale::{Axis, RatioAxis, short};

const WIDTH: i32 = 1280;
const LEFT: i32 = 250;
const RIGHT: i32 = 24;
const ROW: i32 = 17;

/// What is drawn as this little where it is less, per thousand instructions: a ratio scale has no zero.
const LEAST: f64 = 0.01;

/// LLC references against LLC misses of every program's first input, per thousand instructions, on scales of ratios.
pub(super) fn hierarchy(solo: &Solo) -> Result<String, DrawError> {
    const HEIGHT: i32 = 760;
    const PLOT: (i32, i32, i32, i32) = (90, WIDTH - 40, 70, HEIGHT - 70);
    let places: Vec<(f64, f64, &Finding)> = first_inputs(solo).filter_map(|finding| place(finding, solo)).collect();
    let (left, right, top, bottom) = PLOT;
    let across = RatioAxis::around(places.iter().map(|(references, _, _)| *references), (left, right));
    let up = RatioAxis::around(places.iter().map(|(_, misses, _)| *misses), (bottom, top));
    on_sheet((WIDTH as u32, HEIGHT as u32), |canvas| {
        let title = format!(
            "What each program, on its first input, asks of the LLC of {}, and what of it misses",
            solo.machine.name
        );
        canvas.text(&title, (left, 26), Anchor::Left, TITLE)?;
        legend(canvas)?;
        for tick in across.ticks(12) {
            let x = across.pixel(tick);
            canvas.line(vec![(x, top), (x, bottom)], palette::GRID, 1)?;
            canvas.text(&short(tick), (x, bottom + 14), Anchor::Middle, TICK)?;
        }
        for tick in up.ticks(12) {
            let y = up.pixel(tick);
            canvas.line(vec![(left, y), (right, y)], palette::GRID, 1)?;
            canvas.text(&short(tick), (left - 8, y), Anchor::Right, TICK)?;
        }
        for (references, misses, finding) in &places {
            canvas.dot((across.pixel(*references), up.pixel(*misses)), 4, family_colour(&finding.family))?;
        }
        let dots: Vec<Place> =
            places.iter().map(|(across_at, up_at, _)| (across.pixel(*across_at), up.pixel(*up_at))).collect();
        let names: Vec<&str> = places.iter().map(|(_, _, finding)| finding.program.as_str()).collect();
        name_dots(canvas, &dots, &names, right)?;
        let label = format!("LLC references (L2 misses) per thousand instructions; less than {LEAST} drawn as {LEAST}");
        canvas.text(&label, ((left + right) / 2, HEIGHT - 26), Anchor::Middle, SOFT)?;
        canvas.text("LLC misses per thousand instructions", (left, 54), Anchor::Left, SOFT)
    })
}

/// Writes a name beside each dot, a few lines higher or lower where it would cover another name or dot, and then joined to
/// its dot by a faint line; to the left of a dot that is too near to `right`.
fn name_dots(canvas: &Canvas<'_>, dots: &[Place], names: &[&str], right: i32) -> Drawn {
    const LINE: i32 = 12;
    const SHIFTS: [i32; 13] = [0, 1, -1, 2, -2, 3, -3, 4, -4, 5, -5, 6, -6];
    let mut taken: Vec<(i32, i32, i32)> = dots.iter().map(|(x, y)| (x - 5, x + 5, *y)).collect();
    for ((x, y), name) in dots.iter().zip(names) {
        let width = width_of(name, TICK);
        let (at, anchor, begin) =
            if x + width + 12 > right { (x - 9, Anchor::Right, x - 9 - width) } else { (x + 9, Anchor::Left, x + 9) };
        let free = |line: i32| {
            taken.iter().all(|(from, to, row)| (line - row).abs() >= LINE - 1 || begin >= *to || begin + width <= *from)
        };
        let line = SHIFTS.iter().map(|shift| y + LINE * shift).find(|line| free(*line)).unwrap_or(*y);
        if line != *y {
            canvas.line(vec![(*x, *y), (at, line)], palette::FAINT, 1)?;
        }
        taken.push((begin, begin + width, line));
        canvas.text(name, (at, line), anchor, TICK)?;
    }
    Ok(())
}

fn legend(canvas: &Canvas<'_>) -> Drawn {
    let mut x = 700;
    for family in ["kernel", "phased", "real"] {
        canvas.dot((x, 54), 5, family_colour(family))?;
        canvas.text(family, (x + 10, 54), Anchor::Left, SOFT)?;
        x += 30 + width_of(family, SOFT);
    }
    Ok(())
}

/// The runs of each program's first input.
fn first_inputs(solo: &Solo) -> impl Iterator<Item = &Finding> {
    let mut before: Option<&str> = None;
    main_runs(solo).filter(move |finding| before.replace(&finding.program) != Some(finding.program.as_str()))
}

fn place<'a>(finding: &'a Finding, solo: &Solo) -> Option<(f64, f64, &'a Finding)> {
    let figures = Figures::of(finding, solo);
    let references = figures.llc_references_per_kilo_instruction?.max(LEAST);
    Some((references, figures.llc_misses_per_kilo_instruction?.max(LEAST), finding))
}

fn family_colour(family: &str) -> plotters::style::RGBColor {
    palette::phase(match family {
        "kernel" => 4,
        "phased" => 2,
        _ => 1,
    })
}

/// The program; with its input where that is not its first.
fn name_of(finding: &Finding) -> String {
    if finding.input == "ref" { finding.program.clone() } else { format!("{} {}", finding.program, finding.input) }
}

/// A strip for each run: its phases over time, each phase in a colour of its own run.
pub(super) fn phases(solo: &Solo) -> Result<String, DrawError> {
    let runs: Vec<&Finding> = main_runs(solo).collect();
    let top = 64;
    let height = top + ROW * runs.len() as i32 + 54;
    let quanta = runs.iter().map(|finding| finding.series.len()).max().unwrap_or(1);
    let time = Axis::new((0.0, quanta as f64), (LEFT, WIDTH - RIGHT));
    on_sheet((WIDTH as u32, height as u32), |canvas| {
        canvas.text("Phases found in each run alone", (LEFT, 24), Anchor::Left, TITLE)?;
        let hint = "colours tell phases of one run apart and mean nothing across runs; idle quanta are blank";
        canvas.text(hint, (LEFT, 46), Anchor::Left, SOFT)?;
        for (row, finding) in (0..).zip(&runs) {
            let y = top + ROW * row;
            canvas.text(&name_of(finding), (LEFT - 10, y + ROW / 2), Anchor::Right, LABEL)?;
            strip(canvas, &finding.series.phase, time, (y + 2, y + ROW - 2))?;
        }
        let bottom = height - 44;
        for tick in time.ticks(12) {
            canvas.text(&format!("{tick:.0}"), (time.pixel(tick), bottom + 8), Anchor::Middle, TICK)?;
        }
        let label = format!("time in quanta of {} M cycles", solo.quantum_cycles as f64 / 1e6);
        canvas.text(&label, ((LEFT + WIDTH - RIGHT) / 2, bottom + 28), Anchor::Middle, SOFT)
    })
}

fn strip(canvas: &Canvas<'_>, phases: &[Option<u32>], time: Axis, (top, bottom): (i32, i32)) -> Drawn {
    let mut begin = 0;
    while begin < phases.len() {
        let length = phases[begin..].iter().take_while(|phase| **phase == phases[begin]).count();
        if let Some(phase) = phases[begin] {
            let (left, right) = (time.pixel(begin as f64), time.pixel((begin + length) as f64));
            canvas.fill((left, top), (right, bottom), palette::phase(phase))?;
        }
        begin += length;
    }
    Ok(())
}
