//! A sheet to draw on in pixels: rectangles, lines, dots and text, through plotters' SVG backend.

use plotters::backend::SVGBackend;
use plotters::coord::Shift;
use plotters::drawing::{DrawingArea, DrawingAreaErrorKind, IntoDrawingArea};
use plotters::element::{Circle, PathElement, Polygon, Rectangle, Text};
use plotters::style::text_anchor::{HPos, Pos, VPos};
use plotters::style::{Color, FontStyle, FontTransform, IntoFont, RGBColor, ShapeStyle, TextStyle};

use super::palette;

/// Why a figure could not be drawn.
pub(crate) type DrawError = DrawingAreaErrorKind<std::io::Error>;

/// Nothing, or why it could not be drawn.
pub(crate) type Drawn = Result<(), DrawError>;

/// A place on the sheet: pixels from the left and from the top.
pub(crate) type Place = (i32, i32);

/// Which part of a text stands at its place; vertically it is always the middle.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Anchor {
    Left,
    Middle,
    Right,
}

/// How a text looks.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Lettering {
    pub(crate) pixels: u32,
    pub(crate) colour: RGBColor,
    pub(crate) bold: bool,
}

impl Lettering {
    pub(crate) const fn plain(pixels: u32, colour: RGBColor) -> Self {
        Self { pixels, colour, bold: false }
    }

    pub(crate) const fn bold(pixels: u32, colour: RGBColor) -> Self {
        Self { pixels, colour, bold: true }
    }
}

/// A figure's title.
pub(crate) const TITLE: Lettering = Lettering::bold(18, palette::INK);
/// What names data and axes.
pub(crate) const LABEL: Lettering = Lettering::plain(12, palette::INK);
/// What explains.
pub(crate) const SOFT: Lettering = Lettering::plain(12, palette::SOFT);
/// Numbers beside an axis.
pub(crate) const TICK: Lettering = Lettering::plain(11, palette::SOFT);

/// A sheet.
pub(crate) struct Canvas<'a>(DrawingArea<SVGBackend<'a>, Shift>);

/// Lets `paint` draw on a white sheet of this size and returns the SVG.
pub(crate) fn draw(size: (u32, u32), paint: impl FnOnce(&Canvas<'_>) -> Drawn) -> Result<String, DrawError> {
    let mut svg = String::new();
    {
        let area = SVGBackend::with_string(&mut svg, size).into_drawing_area();
        area.fill(&palette::PAPER)?;
        let canvas = Canvas(area);
        paint(&canvas)?;
        canvas.0.present()?;
    }
    Ok(svg)
}

impl Canvas<'_> {
    /// A filled rectangle between two corners.
    pub(crate) fn fill(&self, from: Place, to: Place, colour: RGBColor) -> Drawn {
        self.0.draw(&Rectangle::new([from, to], colour.filled()))
    }

    /// A line through `places`.
    pub(crate) fn line(&self, places: Vec<Place>, colour: RGBColor, pixels: u32) -> Drawn {
        let style: ShapeStyle = colour.stroke_width(pixels);
        self.0.draw(&PathElement::new(places, style))
    }

    /// A dot with a white rim.
    pub(crate) fn dot(&self, centre: Place, radius: u32, colour: RGBColor) -> Drawn {
        self.0.draw(&Circle::new(centre, radius + 1, palette::PAPER.filled()))?;
        self.0.draw(&Circle::new(centre, radius, colour.filled()))
    }

    /// A filled shape.
    pub(crate) fn shape(&self, corners: Vec<Place>, colour: RGBColor) -> Drawn {
        self.0.draw(&Polygon::new(corners, colour.filled()))
    }

    /// A line of text.
    pub(crate) fn text(&self, text: &str, at: Place, anchor: Anchor, lettering: Lettering) -> Drawn {
        let horizontal = match anchor {
            Anchor::Left => HPos::Left,
            Anchor::Middle => HPos::Center,
            Anchor::Right => HPos::Right,
        };
        let style = if lettering.bold { FontStyle::Bold } else { FontStyle::Normal };
        let font = ("sans-serif", lettering.pixels).into_font().style(style);
        let style = TextStyle::from(font).color(&lettering.colour).pos(Pos::new(horizontal, VPos::Center));
        self.0.draw(&Text::new(text.to_owned(), at, style))
    }
}

impl Canvas<'_> {
    /// A line of text that runs upwards from its place.
    pub(crate) fn text_up(&self, text: &str, at: Place, lettering: Lettering) -> Drawn {
        let style = if lettering.bold { FontStyle::Bold } else { FontStyle::Normal };
        let font = ("sans-serif", lettering.pixels).into_font().style(style).transform(FontTransform::Rotate270);
        let style = TextStyle::from(font).color(&lettering.colour).pos(Pos::new(HPos::Left, VPos::Center));
        self.0.draw(&Text::new(text.to_owned(), at, style))
    }
}

/// About how wide `text` is in a sans-serif face: the backend measures nothing, and legends only need a fair guess.
pub(crate) fn width_of(text: &str, lettering: Lettering) -> i32 {
    let share = if lettering.bold { 0.50 } else { 0.45 };
    (text.chars().count() as f64 * f64::from(lettering.pixels) * share).ceil() as i32
}
