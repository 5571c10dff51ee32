//! Saved states of booted guests, so that every run starts from the same instruction.
