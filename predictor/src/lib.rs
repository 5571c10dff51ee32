//! Learns execution phases of virtual CPUs from counters, forecasts them, and places vCPUs on LLC domains.
//!
//! Data flows one way, and the modules stand in its order: a stage names only itself and stages above it.
//! Nothing here reads a clock, a file or the environment, and every random generator is handed in, so that each
//! decision can be repeated exactly from the samples that led to it.

pub mod simd;

pub mod topology;

pub mod counters;

pub mod features;

pub mod phases;

pub mod forecast;

pub mod numeric;

pub mod miss_ratio;

pub mod contention;

pub mod model;

pub mod train;

pub mod placement;

pub mod policy;

#[cfg(test)]
mod scenes;
