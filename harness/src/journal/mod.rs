//! What was seen, decided and done.

pub mod run;
