//! An experiment: described in TOML, run into a results folder.
