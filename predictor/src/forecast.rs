//! Which phase comes next: a distribution over phases at a horizon.
