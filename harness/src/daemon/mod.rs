//! The daemon: the control loop on a live host for as long as the machine runs, such that an operator can trust, explain and
//! undo every move.

pub mod trial;

pub mod config;
