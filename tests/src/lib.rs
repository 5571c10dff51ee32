//! Fixtures that several test files share: emulated guests on a real image, and simulated ones. The claims themselves
//! stand in `tests/`.

pub mod bench;

pub mod simulated;
