//! Smoothed-particle hydrodynamics, as in PARSEC's fluidanimate: particles in cells of a periodic box.
//!
//! It presses **the core, through short linked lists**: for each particle the lists of 27 cells are walked (a cell's list
//! begins in an array and goes on from record to record), first for densities, then for forces. Neighbouring cells share
//! most of what they read, so a few layers of cells are reused at once and the whole set only once a pass, some 5000
//! instructions later for each cell: it fills an LLC slowly and asks little of it. As the fluid mixes, records that are near
//! in space are no longer near in memory.
//!
//! The fluid is simpler than PARSEC's: pressure and gravity, no viscosity, speeds damped and bounded.

use super::Kernel;
use crate::hash::Fnv1a;
use crate::random::SplitMix64;

/// Counted with cachegrind over some 40 M instructions of the release build, 768 KiB.
pub const INSTRUCTIONS_PER_OPERATION: f64 = 5100.0;

/// Ends a list.
const NOBODY: u32 = u32::MAX;

/// Particles in a cell, on average.
const PARTICLES_PER_CELL: usize = 2;

/// Density of the fluid at rest, in the units of [`Fluidanimate::density_of`].
const REST_DENSITY: f32 = 2.0;

const PRESSURE: f32 = 0.002;
const GRAVITY: f32 = 0.0005;
const DAMPING: f32 = 0.99;

/// Cells a step, at most: a particle moves to a neighbouring cell or stays.
const SPEED_LIMIT: f32 = 0.2;

/// 32 bytes, half a line. Lengths are in cells, times in steps.
#[derive(Debug, Clone, Copy)]
struct Particle {
    position: [f32; 3],
    velocity: [f32; 3],
    density: f32,
    /// The next particle of the same cell.
    next: u32,
}

/// What a pass over the cells computes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Pass {
    Densities,
    Forces,
    Moves,
}

/// A box of particles. An operation is one cell in one of three passes.
#[derive(Debug)]
pub struct Fluidanimate {
    particles: Vec<Particle>,
    /// The first particle of each cell.
    heads: Vec<u32>,
    /// The same after the moves under way.
    next_heads: Vec<u32>,
    /// Cells along each axis.
    cells: [usize; 3],
    pass: Pass,
    at: usize,
    steps: u64,
}

impl Fluidanimate {
    /// `working_set_bytes` / 36 particles, two for each cell, in the order of cells.
    #[must_use]
    pub fn new(working_set_bytes: usize, seed: u64) -> Self {
        let bytes_per_cell = PARTICLES_PER_CELL * size_of::<Particle>() + 8;
        let wanted = (working_set_bytes / bytes_per_cell).max(64);
        let side = (4_usize..).find(|side| (side + 1).pow(3) > wanted).unwrap_or(4);
        let cells = [side, side, (wanted / (side * side)).max(4)];
        let count = cells[0] * cells[1] * cells[2];
        let mut random = SplitMix64::new(seed);
        let particles = (0..count * PARTICLES_PER_CELL)
            .map(|index| {
                let corner = coordinates(index / PARTICLES_PER_CELL, cells);
                let position = corner.map(|cell| cell as f32 + random.unit() as f32 * 0.999);
                Particle { position, velocity: [0.0; 3], density: 0.0, next: NOBODY }
            })
            .collect();
        let heads = vec![NOBODY; count];
        let mut fluid =
            Self { particles, next_heads: heads.clone(), heads, cells, pass: Pass::Densities, at: 0, steps: 0 };
        for index in (0..fluid.particles.len()).rev() {
            fluid.link(index as u32);
        }
        std::mem::swap(&mut fluid.heads, &mut fluid.next_heads);
        fluid
    }

    /// Puts a particle at the head of the list of the cell it lies in.
    fn link(&mut self, index: u32) {
        let particle = &mut self.particles[index as usize];
        let [x, y, z] = std::array::from_fn(|axis| (particle.position[axis] as usize).min(self.cells[axis] - 1));
        let cell = (z * self.cells[1] + y) * self.cells[0] + x;
        particle.next = std::mem::replace(&mut self.next_heads[cell], index);
    }

    /// Calls `visit` with each particle in the 27 cells around a cell, and the vector from it to `from`, if it is nearer than
    /// the side of a cell.
    fn around(&self, cell: usize, from: [f32; 3], mut visit: impl FnMut(&Particle, [f32; 3], f32)) {
        let [x, y, z] = coordinates(cell, self.cells);
        let near = |at: usize, axis: usize| {
            let side = self.cells[axis];
            [if at == 0 { side - 1 } else { at - 1 }, at, if at + 1 == side { 0 } else { at + 1 }]
        };
        let (near_x, near_y, near_z) = (near(x, 0), near(y, 1), near(z, 2));
        for z in near_z {
            for y in near_y {
                for x in near_x {
                    let mut index = self.heads[(z * self.cells[1] + y) * self.cells[0] + x];
                    while index != NOBODY {
                        let other = &self.particles[index as usize];
                        let apart = std::array::from_fn(|axis| {
                            shortest(from[axis] - other.position[axis], self.cells[axis] as f32)
                        });
                        let [dx, dy, dz]: [f32; 3] = apart;
                        let squared = dx * dx + dy * dy + dz * dz;
                        if squared < 1.0 {
                            visit(other, apart, squared);
                        }
                        index = other.next;
                    }
                }
            }
        }
    }

    fn density_of(&self, cell: usize, particle: &Particle) -> f32 {
        let mut density = 0.0;
        self.around(cell, particle.position, |_, _, squared| {
            let kernel = 1.0 - squared;
            density += kernel * kernel * kernel;
        });
        density
    }

    fn velocity_of(&self, cell: usize, particle: &Particle) -> [f32; 3] {
        let mut velocity = particle.velocity;
        // Gravity turns, or all would fall at the same speed for ever.
        velocity[(self.steps / 64 % 3) as usize] -= GRAVITY;
        self.around(cell, particle.position, |other, apart, squared| {
            if squared > 1e-6 {
                let distance = squared.sqrt();
                let excess = (particle.density + other.density - 2.0 * REST_DENSITY).max(0.0);
                let push = PRESSURE * excess * (1.0 - distance) * (1.0 - distance) / distance;
                for axis in 0..3 {
                    velocity[axis] += push * apart[axis];
                }
            }
        });
        velocity.map(|speed| (speed * DAMPING).clamp(-SPEED_LIMIT, SPEED_LIMIT))
    }

    fn visit_cell(&mut self, cell: usize) {
        let mut index = self.heads[cell];
        while index != NOBODY {
            let particle = self.particles[index as usize];
            match self.pass {
                Pass::Densities => self.particles[index as usize].density = self.density_of(cell, &particle),
                Pass::Forces => self.particles[index as usize].velocity = self.velocity_of(cell, &particle),
                Pass::Moves => {
                    let moved = std::array::from_fn(|axis| {
                        let side = self.cells[axis] as f32;
                        let there = particle.position[axis] + particle.velocity[axis];
                        if there < 0.0 {
                            there + side
                        } else if there >= side {
                            there - side
                        } else {
                            there
                        }
                    });
                    self.particles[index as usize].position = moved;
                    self.link(index);
                }
            }
            index = particle.next;
        }
    }

    fn end_pass(&mut self) {
        self.at = 0;
        self.pass = match self.pass {
            Pass::Densities => Pass::Forces,
            Pass::Forces => Pass::Moves,
            Pass::Moves => {
                std::mem::swap(&mut self.heads, &mut self.next_heads);
                self.steps += 1;
                Pass::Densities
            }
        };
    }
}

fn coordinates(cell: usize, cells: [usize; 3]) -> [usize; 3] {
    [cell % cells[0], cell / cells[0] % cells[1], cell / (cells[0] * cells[1])]
}

/// The way to the nearest image in a periodic box.
fn shortest(difference: f32, side: f32) -> f32 {
    if difference > side * 0.5 {
        difference - side
    } else if difference < side * -0.5 {
        difference + side
    } else {
        difference
    }
}

impl Kernel for Fluidanimate {
    fn run(&mut self, operations: u64) {
        for _ in 0..operations {
            self.visit_cell(self.at);
            if self.pass == Pass::Moves {
                self.heads[self.at] = NOBODY;
            }
            self.at += 1;
            if self.at == self.heads.len() {
                self.end_pass();
            }
        }
    }

    fn checksum(&self) -> u64 {
        let mut hash = Fnv1a::default();
        hash.update_u64(self.steps);
        hash.update_u64(self.at as u64);
        for particle in self.particles.iter().step_by((self.particles.len() / 1024).max(1)) {
            for number in [particle.position[0], particle.position[2], particle.velocity[1], particle.density] {
                hash.update_u64(u64::from(number.to_bits()));
            }
        }
        hash.digest()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn particles_move_from_cell_to_cell_and_none_is_lost() {
        let mut fluid = Fluidanimate::new(64 * 1024, 1);
        let cells = fluid.heads.len() as u64;
        let before: Vec<u32> = fluid.heads.clone();
        fluid.run(cells * 3 * 200);
        assert_eq!(fluid.steps, 200);
        assert_ne!(fluid.heads, before);
        let mut found = Vec::new();
        for cell in 0..fluid.heads.len() {
            let mut index = fluid.heads[cell];
            while index != NOBODY {
                let particle = &fluid.particles[index as usize];
                let corner = coordinates(cell, fluid.cells);
                for (position, corner) in particle.position.iter().zip(corner) {
                    assert!(*position >= corner as f32 && *position <= corner as f32 + 1.0, "{position} in {corner}");
                }
                found.push(index);
                index = particle.next;
            }
        }
        found.sort_unstable();
        assert!(found.into_iter().eq(0..fluid.particles.len() as u32));
    }

    #[test]
    fn pressure_evens_the_density_out() {
        let mut fluid = Fluidanimate::new(64 * 1024, 1);
        let cells = fluid.heads.len() as u64;
        let greatest = |fluid: &Fluidanimate| fluid.particles.iter().map(|p| p.density).fold(0.0, f32::max);
        fluid.run(cells);
        let before = greatest(&fluid);
        fluid.run(cells * 3 * 300);
        assert!(greatest(&fluid) < before * 0.8, "{before} to {}", greatest(&fluid));
    }
}
