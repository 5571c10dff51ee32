//! The journal: what was seen and decided, as it happened.
