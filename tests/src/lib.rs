//! Fixtures that several test files share: emulated guests on a real image. The claims themselves stand in `tests/`.

pub mod bench;
