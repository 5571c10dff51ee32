//! Claims about vCPUs that run together on one machine, with synthetic streams of instructions in the place of guests.

mod synthetic;

mod contention;

mod prefetching;

mod nodes;

mod sharing;

mod golden;
