//! Rates per instruction that placement does not change, from counters that may be absent.
