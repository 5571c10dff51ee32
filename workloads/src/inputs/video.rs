//! Uncompressed video (YUV4MPEG2, 4:2:0), for encoders: short scenes with hard cuts that ask for different work.

use super::picture::Noise;
use crate::random::SplitMix64;

const WIDTH: usize = 352;
const HEIGHT: usize = 288;
const FRAME_BYTES: usize = WIDTH * HEIGHT * 3 / 2;

/// What is to be seen in a scene.
#[derive(Clone, Copy)]
enum Scene {
    /// A still background and one thing that moves before it.
    Speaker,
    /// The camera moves over a landscape: every block moves alike.
    Pan,
    /// Many things move in different directions.
    Crowd,
    /// A picture under film grain, growing darker: nothing predicts well.
    Grain,
    /// Nothing moves at all.
    Still,
}

/// About `bytes` of quiet scenes: a speaker, a pan, a still, in turn.
pub(super) fn quiet(seed: u64, bytes: usize) -> Vec<u8> {
    film(seed, bytes, &[(Scene::Speaker, 10), (Scene::Pan, 8), (Scene::Still, 8), (Scene::Pan, 6)])
}

/// About `bytes` of restless scenes: crowds, grain and pans, in turn and shorter.
pub(super) fn restless(seed: u64, bytes: usize) -> Vec<u8> {
    film(seed, bytes, &[(Scene::Crowd, 7), (Scene::Grain, 5), (Scene::Speaker, 9), (Scene::Pan, 4), (Scene::Grain, 8)])
}

fn film(seed: u64, bytes: usize, scenes: &[(Scene, usize)]) -> Vec<u8> {
    let mut random = SplitMix64::new(seed);
    let frames = bytes.div_ceil(FRAME_BYTES);
    let mut film = format!("YUV4MPEG2 W{WIDTH} H{HEIGHT} F25:1 Ip A1:1 C420jpeg\n").into_bytes();
    let mut written = 0;
    for &(scene, length) in scenes.iter().cycle() {
        let stage = Stage::new(&mut random);
        for frame in 0..length {
            if written == frames {
                return film;
            }
            film.extend_from_slice(b"FRAME\n");
            stage.draw(scene, frame, &mut random, &mut film);
            written += 1;
        }
    }
    film
}

/// Where a scene plays.
struct Stage {
    background: Noise,
    /// Things that move: place, speed, size and brightness.
    things: Vec<[i64; 6]>,
}

impl Stage {
    fn new(random: &mut SplitMix64) -> Self {
        let background = Noise::new(random.next_u64());
        let mut within = |low: i64, high: i64| low + random.below((high - low) as usize) as i64;
        let things = (0..24).map(|_| {
            let place = [within(0, WIDTH as i64), within(0, HEIGHT as i64)];
            [place[0], place[1], within(-9, 10), within(-6, 7), within(12, 40), within(30, 226)]
        });
        Self { things: things.collect(), background }
    }

    fn draw(&self, scene: Scene, frame: usize, random: &mut SplitMix64, out: &mut Vec<u8>) {
        let (pan_x, pan_y) = if matches!(scene, Scene::Pan) { (5 * frame, 2 * frame) } else { (0, 0) };
        let things = match scene {
            Scene::Speaker => &self.things[..1],
            Scene::Crowd => &self.things[..],
            _ => &[],
        };
        let places: Vec<[i64; 4]> = things.iter().map(|thing| place(thing, frame as i64)).collect();
        for y in 0..HEIGHT {
            for x in 0..WIDTH {
                let covering = places.iter().find(|&&[left, top, size, _]| {
                    let (dx, dy) = (x as i64 - left, y as i64 - top);
                    dx * dx + dy * dy < size * size
                });
                let mut light = match covering {
                    Some(&[left, top, _, light]) => light + ((x as i64 - left) ^ (y as i64 - top)).rem_euclid(23),
                    None => 40 + self.background.at(x + pan_x, y + pan_y, 24) * 2 / 3,
                };
                if matches!(scene, Scene::Grain) {
                    light = light * (24 - frame as i64) / 24 + random.below(33) as i64 - 16;
                }
                out.push(light.clamp(16, 235) as u8);
            }
        }
        for plane in 0..2 {
            for y in 0..HEIGHT / 2 {
                for x in 0..WIDTH / 2 {
                    let colour = self.background.at(x + pan_x / 2 + 500 * plane, y + pan_y / 2, 48) / 3;
                    out.push((85 + colour) as u8);
                }
            }
        }
    }
}

/// Where a thing is in a frame, and its size and brightness.
fn place(&[x, y, right, down, size, light]: &[i64; 6], frame: i64) -> [i64; 4] {
    [(x + right * frame).rem_euclid(WIDTH as i64), (y + down * frame).rem_euclid(HEIGHT as i64), size, light]
}
