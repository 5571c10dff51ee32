//! Figures of the first horizon: accuracy by series, confidence against what came of it, and accuracy against coverage.

use super::measures::ConfidenceBin;
use super::{COVERAGES, Findings, Scored};
use crate::report::figures::canvas::{Anchor, Canvas, Drawn, Lettering, Place, SOFT, TICK, draw as on_sheet, width_of};
use crate::report::figures::palette;
use crate::report::figures::scale::{Axis, round_axis, short};
use crate::report::{Figure, ReportError};

const WIDTH: i32 = 900;
const LEFT: i32 = 230;
const RIGHT: i32 = WIDTH - 40;
const ROW: i32 = 20;
const SQUARE: i32 = 420;

const TITLE: Lettering = Lettering::bold(16, palette::INK);

/// All figures.
pub fn all(findings: &Findings) -> Result<Vec<Figure>, ReportError> {
    let figure = |file: &str, caption: &str, svg| Figure { file: file.to_owned(), caption: caption.to_owned(), svg };
    Ok(vec![
        figure("accuracy.svg", "Accuracy of each forecaster on each series.", accuracy(findings)?),
        figure(
            "calibration.svg",
            "How often forecasts of a confidence came true, all series together; on the diagonal confidence is honest.",
            calibration(findings)?,
        ),
        figure(
            "coverage.svg",
            "Accuracy where only the most confident share of intervals is forecast, in the mean over series.",
            coverage(findings)?,
        ),
    ])
}

fn colour(place: usize) -> plotters::style::RGBColor {
    palette::phase(u32::try_from(place).unwrap_or(0))
}

/// A legend from `at` on, in as many rows as it takes; answers the row below it.
fn legend(
    canvas: &Canvas<'_>,
    findings: &Findings,
    at: Place,
) -> Result<i32, crate::report::figures::canvas::DrawError> {
    let (mut x, mut y) = at;
    for (place, kind) in findings.request.forecasters.iter().enumerate() {
        let name = kind.name();
        let width = 34 + width_of(&name, TICK);
        if x + width > RIGHT {
            (x, y) = (at.0, y + 18);
        }
        canvas.dot((x + 5, y), 4, colour(place))?;
        canvas.text(&name, (x + 14, y), Anchor::Left, TICK)?;
        x += width;
    }
    Ok(y + 18)
}

/// Rows that a legend of all forecasters takes at most.
fn legend_rows(findings: &Findings) -> i32 {
    let width: i32 = findings.request.forecasters.iter().map(|kind| 34 + width_of(&kind.name(), TICK)).sum();
    1 + width / (RIGHT - LEFT - 150)
}

fn accuracy(findings: &Findings) -> Result<String, ReportError> {
    let rows = i32::try_from(findings.series.len()).unwrap_or(i32::MAX / ROW);
    let top = 50 + 18 * legend_rows(findings);
    let height = top + ROW * rows + 50;
    let known = || {
        let scored = findings.series.iter().flat_map(|series| series.scored.first().into_iter().flatten());
        scored.filter_map(|scored| scored.scores.accuracy)
    };
    let least = known().fold(1.0, f64::min);
    let drawn = on_sheet((WIDTH as u32, height as u32), |canvas| {
        canvas.text("Accuracy by series", (20, 20), Anchor::Left, TITLE)?;
        legend(canvas, findings, (20, 46))?;
        let across = round_axis(least.min(0.95), 1.0, 8, (LEFT, RIGHT));
        let bottom = top + ROW * rows;
        for tick in across.ticks(10) {
            canvas.line(vec![(across.pixel(tick), top), (across.pixel(tick), bottom)], palette::GRID, 1)?;
            canvas.text(&short(tick), (across.pixel(tick), bottom + 14), Anchor::Middle, TICK)?;
        }
        for (place, series) in (0..).zip(&findings.series) {
            let y = top + ROW * place + ROW / 2;
            canvas.text(&series.name, (LEFT - 10, y), Anchor::Right, TICK)?;
            canvas.line(vec![(LEFT, y), (RIGHT, y)], palette::GRID, 1)?;
            for (forecaster, scored) in series.scored.first().into_iter().flatten().enumerate() {
                let Some(accuracy) = scored.scores.accuracy else { continue };
                canvas.dot((across.pixel(accuracy), y), 4, colour(forecaster))?;
            }
        }
        canvas.text("share of forecasts that came true", ((LEFT + RIGHT) / 2, bottom + 34), Anchor::Middle, SOFT)
    });
    drawn.map_err(ReportError::drawing("accuracy.svg"))
}

/// A square plot between 0 or `least` and 1, its axes called so; `plot` draws into it.
fn square(
    findings: &Findings,
    file: &str,
    title: &str,
    (horizontal, vertical): (&str, &str),
    least: (f64, f64),
    plot: impl FnOnce(&Canvas<'_>, &Axis, &Axis) -> Drawn,
) -> Result<String, ReportError> {
    let top = 50 + 18 * legend_rows(findings);
    let (left, right, bottom) = (70, 70 + SQUARE, top + SQUARE);
    let drawn = on_sheet((WIDTH as u32, (bottom + 60) as u32), |canvas| {
        canvas.text(title, (20, 20), Anchor::Left, TITLE)?;
        legend(canvas, findings, (20, 46))?;
        let across = round_axis(least.0, 1.0, 5, (left, right));
        let up = round_axis(least.1, 1.0, 5, (bottom, top));
        for tick in across.ticks(6) {
            canvas.line(vec![(across.pixel(tick), top), (across.pixel(tick), bottom)], palette::GRID, 1)?;
            canvas.text(&short(tick), (across.pixel(tick), bottom + 14), Anchor::Middle, TICK)?;
        }
        for tick in up.ticks(6) {
            canvas.line(vec![(left, up.pixel(tick)), (right, up.pixel(tick))], palette::GRID, 1)?;
            canvas.text(&short(tick), (left - 8, up.pixel(tick)), Anchor::Right, TICK)?;
        }
        canvas.text(horizontal, ((left + right) / 2, bottom + 36), Anchor::Middle, SOFT)?;
        canvas.text_up(vertical, (20, bottom - 60), SOFT)?;
        plot(canvas, &across, &up)
    });
    drawn.map_err(ReportError::drawing(file))
}

/// What the forecaster at `place` did on each series that counts, at the first horizon.
fn of_forecaster(findings: &Findings, place: usize) -> impl Iterator<Item = &Scored> {
    let counting = findings.series.iter().filter(|series| series.counts());
    counting.filter_map(move |series| series.scored.first()?.get(place))
}

/// Of fewer forecasts a share says nothing, and its dot would stand where chance put it.
const LEAST_FORECASTS: usize = 30;

fn calibration(findings: &Findings) -> Result<String, ReportError> {
    let axes = ("confidence", "share that came true");
    square(findings, "calibration.svg", "Confidence and what came of it", axes, (0.0, 0.0), |canvas, across, up| {
        let corner = |value: f64| (across.pixel(value), up.pixel(value));
        canvas.line(vec![corner(0.0), corner(1.0)], palette::FAINT, 1)?;
        for place in 0..findings.request.forecasters.len() {
            let mut bins: Vec<ConfidenceBin> = Vec::new();
            for scored in of_forecaster(findings, place) {
                bins.resize(scored.reliability.len(), ConfidenceBin::default());
                for (sum, bin) in bins.iter_mut().zip(&scored.reliability) {
                    sum.forecasts += bin.forecasts;
                    sum.confidence += bin.confidence;
                    sum.hits += bin.hits;
                }
            }
            let mean = |bin: &ConfidenceBin| {
                let count = bin.forecasts as f64;
                (across.pixel(bin.confidence / count), up.pixel(bin.hits as f64 / count))
            };
            let points: Vec<Place> = bins.iter().filter(|bin| bin.forecasts >= LEAST_FORECASTS).map(mean).collect();
            canvas.line(points.clone(), colour(place), 2)?;
            points.into_iter().try_for_each(|point| canvas.dot(point, 3, colour(place)))?;
        }
        Ok(())
    })
}

fn coverage(findings: &Findings) -> Result<String, ReportError> {
    let curve = |place: usize| -> Vec<(f64, f64)> {
        let at = |step: usize| {
            let values: Vec<f64> = of_forecaster(findings, place)
                .filter_map(|scored| scored.coverage.get(step).copied().flatten())
                .collect();
            (!values.is_empty()).then(|| (COVERAGES[step], values.iter().sum::<f64>() / values.len() as f64))
        };
        (0..COVERAGES.len()).filter_map(at).collect()
    };
    let curves: Vec<Vec<(f64, f64)>> = (0..findings.request.forecasters.len()).map(curve).collect();
    let least = curves.iter().flatten().map(|(_, accuracy)| *accuracy).fold(0.95, f64::min);
    let axes = ("coverage: the most confident share", "accuracy");
    square(findings, "coverage.svg", "Accuracy against coverage", axes, (0.0, least), |canvas, across, up| {
        for (place, curve) in curves.iter().enumerate() {
            let points = curve.iter().map(|(coverage, accuracy)| (across.pixel(*coverage), up.pixel(*accuracy)));
            canvas.line(points.collect(), colour(place), 2)?;
        }
        Ok(())
    })
}
