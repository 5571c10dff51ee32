//! One run, guest by guest: what was marked, what was seen, where it ran, and what its work cost.

use plotters::style::RGBColor;

use super::canvas::{Anchor, Canvas, DrawError, Drawn, Lettering, Place, TICK, TITLE, draw as on_sheet, width_of};
use super::palette;
use super::scale::{Axis, RatioAxis, short};
use crate::report::collected::{Collected, Run, Series};
use crate::report::metrics::{Progress, best_mapping, slowdown};

const WIDTH: i32 = 1280;
const LEFT: i32 = 196;
const RIGHT: i32 = 24;
const HEAD: i32 = 108;
const FOOT: i32 = 54;
const STRIP: i32 = 15;
const STRIP_GAP: i32 = 4;
const PLOT: i32 = 92;
const BETWEEN: i32 = 34;
/// A panel with its strips of marks, phases and placement above the plot.
const PANEL: i32 = 3 * (STRIP + STRIP_GAP) + 6 + PLOT + BETWEEN;

const NAME: Lettering = Lettering::bold(14, palette::INK);
const LABEL: Lettering = Lettering::plain(12, palette::SOFT);

/// Draws `run`.
pub(super) fn draw(collected: &Collected, run: &Run) -> Result<String, DrawError> {
    let height = HEAD + PANEL * run.series.len() as i32 - BETWEEN + FOOT;
    let quanta = run.series.iter().map(Series::len).max().unwrap_or(1);
    let time = Axis::new((0.0, quanta as f64), (LEFT, WIDTH - RIGHT));
    on_sheet((WIDTH as u32, height as u32), |canvas| {
        let title = format!("Policy {}: what each guest did, where it ran and what its work cost", run.policy);
        canvas.text(&title, (LEFT, 24), Anchor::Left, TITLE)?;
        legend(canvas, collected, run)?;
        for (place, series) in run.series.iter().enumerate() {
            let top = HEAD + PANEL * place as i32;
            Panel { canvas, collected, series, solo: &collected.solo[place], time, top }.draw(place)?;
        }
        time_axis(canvas, collected, time, height - FOOT)
    })
}

fn legend(canvas: &Canvas<'_>, collected: &Collected, run: &Run) -> Drawn {
    const ROWS: [i32; 2] = [52, 76];
    let mut x = LEFT;
    let mut swatch = |colour: RGBColor, text: &str| -> Drawn {
        canvas.fill((x, ROWS[0] - 7), (x + 14, ROWS[0] + 7), colour)?;
        canvas.text(text, (x + 20, ROWS[0]), Anchor::Left, LABEL)?;
        x += 20 + width_of(text, LABEL) + 18;
        Ok(())
    };
    for phase in 0..collected.model.phases.min(12) as u32 {
        swatch(palette::phase(phase), &format!("phase {phase}"))?;
    }
    for domain in 0..collected.machine.cpus_per_domain.len().min(4) as u32 {
        swatch(palette::domain(domain), &format!("LLC domain {domain}"))?;
    }
    let mut x = LEFT;
    let lines = [
        (palette::INK, "cycles per instruction (CPI) in the mix, ratio scale"),
        (palette::FAINT, "alone, at the same work"),
        (palette::MOVED, "move"),
    ];
    for (colour, text) in lines {
        canvas.line(vec![(x, ROWS[1]), (x + 22, ROWS[1])], colour, 2)?;
        canvas.text(text, (x + 28, ROWS[1]), Anchor::Left, LABEL)?;
        x += 28 + width_of(text, LABEL) + 18;
    }
    if run.series.iter().any(|series| series.forecast.iter().any(Option::is_some)) {
        triangle(canvas, (x + 6, ROWS[1] - 4))?;
        canvas.text("change of phase forecast in time", (x + 16, ROWS[1]), Anchor::Left, LABEL)?;
    }
    Ok(())
}

fn triangle(canvas: &Canvas<'_>, tip: Place) -> Drawn {
    let (x, y) = tip;
    canvas.shape(vec![(x, y), (x - 4, y + 7), (x + 4, y + 7)], palette::INK)
}

fn time_axis(canvas: &Canvas<'_>, collected: &Collected, time: Axis, bottom: i32) -> Drawn {
    let ticks = time.ticks(12);
    for tick in &ticks {
        let x = time.pixel(*tick);
        canvas.line(vec![(x, bottom), (x, bottom + 4)], palette::SOFT, 1)?;
        canvas.text(&format!("{tick:.0}"), (x, bottom + 14), Anchor::Middle, TICK)?;
    }
    let cycles = collected.quantum_cycles as f64 / 1e6;
    let length = collected
        .machine
        .frequency_mhz
        .map(|mhz| format!(", {} ms of the machine's time each", cycles * 1000.0 / mhz as f64))
        .unwrap_or_default();
    let label = format!("time in quanta of {cycles} M cycles{length}");
    canvas.text(&label, ((LEFT + WIDTH - RIGHT) / 2, bottom + 36), Anchor::Middle, LABEL)
}

/// One guest's part of the figure.
struct Panel<'a, 'b> {
    canvas: &'a Canvas<'b>,
    collected: &'a Collected,
    series: &'a Series,
    solo: &'a Series,
    time: Axis,
    top: i32,
}

impl Panel<'_, '_> {
    fn draw(&self, guest: usize) -> Drawn {
        let facts = &self.collected.guests[guest];
        self.canvas.text(&facts.name, (12, self.top + 8), Anchor::Left, NAME)?;
        self.program(&facts.program)?;
        if let Some(slowdown) = slowdown(self.solo, self.series) {
            let text = format!("slowdown {slowdown:.3}");
            self.canvas.text(&text, (12, self.top + 48), Anchor::Left, LABEL)?;
        }
        let mapping = best_mapping(self.series).unwrap_or_default();
        let phase_of_mark = |mark: u32| mapping.iter().find(|(_, named)| **named == mark).map(|(phase, _)| *phase);
        let strip = |row: i32| self.top + row * (STRIP + STRIP_GAP);
        self.strip(strip(0), "marked", &self.series.truth, |mark| {
            (phase_of_mark(mark).map_or(palette::NOTHING, palette::phase), format!("mark {mark}"))
        })?;
        self.strip(strip(1), "seen", &self.series.phase, |phase| (palette::phase(phase), phase.to_string()))?;
        let domains: Vec<_> = self.series.domain.iter().copied().map(Some).collect();
        self.strip(strip(2), "LLC domain", &domains, |domain| (palette::domain(domain), domain.to_string()))?;
        self.called_changes(strip(1) + STRIP - 6)?;
        self.cost(strip(3) + 6)
    }

    /// The program's name, cut where the strips' labels begin.
    fn program(&self, program: &str) -> Drawn {
        let cut = program.chars().count() > 22;
        let text: String = program.chars().take(if cut { 21 } else { 22 }).chain(cut.then_some('…')).collect();
        self.canvas.text(&text, (12, self.top + 28), Anchor::Left, TICK)
    }

    /// Stretches of equal values as coloured bands, each with its name where there is room.
    fn strip(&self, top: i32, label: &str, values: &[Option<u32>], look: impl Fn(u32) -> (RGBColor, String)) -> Drawn {
        self.canvas.text(label, (LEFT - 8, top + STRIP / 2), Anchor::Right, TICK)?;
        let bottom = top + STRIP;
        let all = (self.time.pixel(0.0), self.time.pixel(values.len() as f64));
        if values.iter().all(Option::is_none) {
            self.canvas.fill((all.0, top), (all.1, bottom), palette::NOTHING)?;
            return self.canvas.text("nothing marked", (all.0 + 6, top + STRIP / 2), Anchor::Left, TICK);
        }
        let mut begin = 0;
        while begin < values.len() {
            let length = values[begin..].iter().take_while(|value| **value == values[begin]).count();
            let (left, right) = (self.time.pixel(begin as f64), self.time.pixel((begin + length) as f64));
            let (colour, name) = values[begin].map_or((palette::NOTHING, String::new()), &look);
            self.canvas.fill((left, top), (right, bottom), colour)?;
            let lettering = Lettering::plain(11, palette::ink_on(colour));
            if width_of(&name, lettering) + 8 < right - left {
                self.canvas.text(&name, ((left + right) / 2, top + STRIP / 2), Anchor::Middle, lettering)?;
            }
            begin += length;
        }
        Ok(())
    }

    /// A small triangle at each change of phase that was forecast for its quantum.
    fn called_changes(&self, tip: i32) -> Drawn {
        let phases = self.series.phase.windows(2).zip(self.series.forecast.iter().skip(1));
        for (quantum, (pair, forecast)) in (1u32..).zip(phases) {
            if pair[0].is_some() && pair[1].is_some() && pair[0] != pair[1] && *forecast == pair[1] {
                triangle(self.canvas, (self.time.pixel(f64::from(quantum)), tip))?;
            }
        }
        Ok(())
    }

    /// Cycles per instruction in the mix, over what the same work cost alone; both on a scale of ratios; a vertical line at each move.
    fn cost(&self, top: i32) -> Drawn {
        let bottom = top + PLOT;
        let mix: Vec<_> = self.series.cycles_per_instruction().collect();
        let alone = self.cost_alone();
        let cost = RatioAxis::around(mix.iter().chain(&alone).flatten().copied(), (bottom, top));
        let (left, right) = (self.time.pixel(0.0), self.time.pixel(f64::MAX));
        for tick in cost.ticks(5) {
            let y = cost.pixel(tick);
            self.canvas.line(vec![(left, y), (right, y)], palette::GRID, 1)?;
            self.canvas.text(&short(tick), (LEFT - 8, y), Anchor::Right, TICK)?;
        }
        self.canvas.text("CPI", (LEFT - 44, (top + bottom) / 2), Anchor::Right, TICK)?;
        for (quantum, pair) in (1u32..).zip(self.series.domain.windows(2)) {
            if pair[0] != pair[1] {
                let x = self.time.pixel(f64::from(quantum));
                self.canvas.line(vec![(x, top), (x, bottom)], palette::MOVED, 1)?;
            }
        }
        self.curve(&alone, cost, palette::FAINT, 2)?;
        self.curve(&mix, cost, palette::INK, 1)?;
        self.canvas.line(vec![(left, bottom), (right, bottom)], palette::SOFT, 1)
    }

    /// What the work of each quantum cost when the guest was alone, where it got that far.
    fn cost_alone(&self) -> Vec<Option<f64>> {
        let alone: Vec<_> = self.solo.cycles_per_instruction().collect();
        let progress = Progress::of(self.solo);
        let mut costs: Vec<_> = Progress::of(self.series)
            .spans()
            .map(|(begin, end)| *alone.get(progress.quantum_at((begin + end) / 2.0)?)?)
            .collect();
        costs.resize(self.series.len(), None);
        costs
    }

    /// A step for each quantum, broken where there is no value.
    fn curve(&self, values: &[Option<f64>], cost: RatioAxis, colour: RGBColor, pixels: u32) -> Drawn {
        let mut places: Vec<Place> = Vec::new();
        for (quantum, value) in values.iter().enumerate() {
            match value {
                Some(value) => {
                    let y = cost.pixel(*value);
                    places.push((self.time.pixel(quantum as f64), y));
                    places.push((self.time.pixel((quantum + 1) as f64), y));
                }
                None => self.stroke(std::mem::take(&mut places), colour, pixels)?,
            }
        }
        self.stroke(places, colour, pixels)
    }

    fn stroke(&self, places: Vec<Place>, colour: RGBColor, pixels: u32) -> Drawn {
        if places.is_empty() { Ok(()) } else { self.canvas.line(places, colour, pixels) }
    }
}
