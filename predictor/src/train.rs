//! From samples to a model.
