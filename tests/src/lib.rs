//! Fixtures that several test files share: emulated guests on a real image, simulated ones, processes
//! that KVM knows as guests, and mixes as text. The claims
//! themselves stand in `tests/`.

pub mod bench;

pub mod live;

pub mod mixes;

pub mod simulated;
