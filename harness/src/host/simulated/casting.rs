//! A simulated script for a mix: which kinds of phases stand for which programs.
