//! What runs inside a guest: benchmark kernels, scripts of kernels with marked phases, generated inputs, and the
//! catalogue that names all programs a mix may run.
//!
//! Building an image of them and launching guests belongs to the harness. Everything here is a function of its
//! parameters and a seed, so that a checksum says whether a run computed what it should.

pub mod hash;

pub mod random;

pub mod marks;

pub mod kernels;

pub mod script;

pub mod inputs;

pub mod suite;

pub mod launch;

pub mod catalogue;
