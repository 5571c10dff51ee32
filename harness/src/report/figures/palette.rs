//! Colours that people with any colour vision can tell apart: Okabe and Ito's set ("Color Universal Design", 2008),
//! in an order that keeps the first few far apart in lightness too; then four dark ones of Paul Tol's muted scheme.

use plotters::style::RGBColor;

/// Text and lines that carry data.
pub(crate) const INK: RGBColor = RGBColor(0x22, 0x22, 0x22);
/// Text that explains.
pub(crate) const SOFT: RGBColor = RGBColor(0x66, 0x66, 0x66);
/// What data is compared with.
pub(crate) const FAINT: RGBColor = RGBColor(0xA8, 0xA8, 0xA8);
/// Grid lines.
pub(crate) const GRID: RGBColor = RGBColor(0xE6, 0xE6, 0xE6);
/// Where a guest moved.
pub(crate) const MOVED: RGBColor = RGBColor(0xC4, 0xC4, 0xC4);
/// The ground of plots.
pub(crate) const PAPER: RGBColor = RGBColor(0xFF, 0xFF, 0xFF);
/// Where there is nothing to show.
pub(crate) const NOTHING: RGBColor = RGBColor(0xF4, 0xF4, 0xF4);

const PHASES: [RGBColor; 16] = [
    RGBColor(0x56, 0xB4, 0xE9),
    RGBColor(0xD5, 0x5E, 0x00),
    RGBColor(0x00, 0x9E, 0x73),
    RGBColor(0xF0, 0xE4, 0x42),
    RGBColor(0x00, 0x72, 0xB2),
    RGBColor(0xCC, 0x79, 0xA7),
    RGBColor(0xE6, 0x9F, 0x00),
    RGBColor(0x88, 0x88, 0x88),
    RGBColor(0x88, 0x22, 0x55),
    RGBColor(0x33, 0x22, 0x88),
    RGBColor(0x99, 0x99, 0x33),
    RGBColor(0x11, 0x77, 0x33),
    RGBColor(0x00, 0x00, 0x00),
    RGBColor(0xAA, 0x44, 0x99),
    RGBColor(0x66, 0x11, 0x00),
    RGBColor(0xDD, 0xCC, 0x77),
];

const POLICIES: [RGBColor; 4] =
    [RGBColor(0x99, 0x99, 0x99), RGBColor(0xE6, 0x9F, 0x00), RGBColor(0x00, 0x72, 0xB2), RGBColor(0x00, 0x9E, 0x73)];

const DOMAINS: [RGBColor; 4] =
    [RGBColor(0xD9, 0xD9, 0xD9), RGBColor(0x4A, 0x4A, 0x4A), RGBColor(0x9A, 0x9A, 0x9A), RGBColor(0xBF, 0xA8, 0x8A)];

/// The colour of a phase; colours repeat after twelve, which the number written beside tells apart.
pub(crate) fn phase(number: u32) -> RGBColor {
    PHASES[number as usize % PHASES.len()]
}

/// The colour of the policy at this place in the comparison.
pub(crate) fn policy(place: usize) -> RGBColor {
    POLICIES[place % POLICIES.len()]
}

/// The shade of an LLC domain.
pub(crate) fn domain(number: u32) -> RGBColor {
    DOMAINS[number as usize % DOMAINS.len()]
}

/// Black or white, whichever is easier to read on `ground`.
pub(crate) fn ink_on(ground: RGBColor) -> RGBColor {
    let lightness = 0.299 * f64::from(ground.0) + 0.587 * f64::from(ground.1) + 0.114 * f64::from(ground.2);
    if lightness > 140.0 { INK } else { PAPER }
}
