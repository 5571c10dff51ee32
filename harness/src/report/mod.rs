//! Summary and figures of a finished experiment.
