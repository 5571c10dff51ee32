//! Pictures in PPM, for programs that edit them, and the noise that pictures and videos are made of. Everything is
//! integer arithmetic: the last bit of a pixel depends on no library.

use crate::random::SplitMix64;

/// About `bytes` of one picture like a photograph: sky, ridges one behind another, water with waves, grain.
pub(super) fn landscape(seed: u64, bytes: usize) -> Vec<u8> {
    let noise = Noise::new(seed);
    let mut grain = SplitMix64::new(seed ^ 0x6772_6169);
    let side = side(bytes);
    let ridge: Vec<[i64; 3]> = (0..side)
        .map(|x| {
            [0, 1, 2].map(|depth| {
                side as i64 * (30 + 12 * depth) / 100 + (noise.at(x, 977 * depth as usize, 64) - 128) / (1 + depth)
            })
        })
        .collect();
    ppm(side, |x, y| {
        let (at, height) = (y as i64, side as i64);
        let speckle = grain.below(9) as i64 - 4;
        let [red, green, blue] = if at > height * 3 / 4 {
            let wave = noise.at(x / 2, y * 6, 16) / 3;
            [20 + wave / 2, 60 + wave, 90 + wave]
        } else if at < ridge[x][0] {
            let cloud = (noise.at(x, y * 3, 96) - 120).max(0);
            [110 + cloud, 150 + cloud * 2 / 3, 235 - at * 40 / height + cloud / 8]
        } else {
            let depth = (1..3).filter(|&depth| at > ridge[x][depth]).count() as i64;
            let leaf = noise.at(x, y, 8) / 4;
            [90 - 30 * depth + leaf, 100 - 10 * depth + leaf, 110 - 45 * depth + leaf / 2]
        };
        [red + speckle, green + speckle, blue + speckle]
    })
}

/// About `bytes` of one picture like a drawing: flat areas with sharp edges, hatching, lines of small glyphs.
pub(super) fn drawing(seed: u64, bytes: usize) -> Vec<u8> {
    let mut random = SplitMix64::new(seed);
    let side = side(bytes);
    let shapes: Vec<[i64; 8]> = (0..60)
        .map(|_| {
            let mut below = |bound: usize| random.below(bound) as i64;
            [below(side), below(side), 4 + below(side / 6), below(3), below(256), below(256), below(256), 2 + below(9)]
        })
        .collect();
    let glyphs = SplitMix64::new(seed ^ 0x676c_7970).next_u64();
    ppm(side, |x, y| {
        let (x, y) = (x as i64, y as i64);
        // A page of text on the left, shapes over everything else.
        let (column, row) = (x / 8, y / 12);
        if column * 8 < side as i64 / 3 {
            let letter = (glyphs ^ (column * 31 + row * 17) as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15);
            let ink = x % 8 < 6 && y % 12 < 9 && (letter >> (x % 8 / 2 + 4 * (y % 12 / 2))) & 1 == 1;
            return if ink { [15, 15, 40] } else { [250, 248, 235] };
        }
        let inside = |shape: &&[i64; 8]| {
            let [centre_x, centre_y, size, kind, ..] = **shape;
            let (dx, dy) = ((x - centre_x).abs(), (y - centre_y).abs());
            match kind {
                0 => dx * dx + dy * dy < size * size,
                1 => dx < size && dy < size / 2,
                _ => dx + dy < size,
            }
        };
        match shapes.iter().rev().find(inside) {
            Some(&[.., red, green, blue, hatch]) if (x + y) % (2 * hatch) < hatch => [red, green, blue],
            Some(&[.., red, green, blue, _]) => [red / 2, green / 2, blue / 2],
            None => [255, 255, 255],
        }
    })
}

/// The side of a square picture of about `bytes`.
fn side(bytes: usize) -> usize {
    (bytes / 3).isqrt().max(16) + 1
}

fn ppm(side: usize, mut pixel: impl FnMut(usize, usize) -> [i64; 3]) -> Vec<u8> {
    let mut picture = format!("P6\n{side} {side}\n255\n").into_bytes();
    for y in 0..side {
        for x in 0..side {
            picture.extend(pixel(x, y).map(|value| value.clamp(0, 255) as u8));
        }
    }
    picture
}

/// Smooth noise: random numbers on a lattice, bilinear between them, in two octaves.
pub(super) struct Noise {
    lattice: Vec<u8>,
}

/// Points of the lattice on each side; it repeats beyond.
const LATTICE: usize = 256;

impl Noise {
    pub(super) fn new(seed: u64) -> Self {
        let mut random = SplitMix64::new(seed);
        Self { lattice: (0..LATTICE * LATTICE).map(|_| random.below(256) as u8).collect() }
    }

    /// A number in `0..256` that changes over about `scale` pixels (at least 4).
    pub(super) fn at(&self, x: usize, y: usize, scale: usize) -> i64 {
        (2 * self.octave(x, y, scale) + self.octave(x + 7919, y + 104_729, scale / 4)) / 3
    }

    fn octave(&self, x: usize, y: usize, scale: usize) -> i64 {
        let (column, row) = (x / scale, y / scale);
        let (right, down) = ((x % scale) as i64, (y % scale) as i64);
        let scale = scale as i64;
        let corner =
            |dx: usize, dy: usize| i64::from(self.lattice[(row + dy) % LATTICE * LATTICE + (column + dx) % LATTICE]);
        let upper = corner(0, 0) * (scale - right) + corner(1, 0) * right;
        let lower = corner(0, 1) * (scale - right) + corner(1, 1) * right;
        (upper * (scale - down) + lower * down) / (scale * scale)
    }
}
