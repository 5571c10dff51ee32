//! The emulated machine: what it consists of ([`spec`]), how its caches, prefetchers, memory channels and cores behave
//! ([`cache`], [`prefetch`], [`bandwidth`], [`pipeline`], [`uncore`], [`vcpu`]), and the memory through which guests and
//! harness share it ([`segment`] for the harness, [`seat`] for the guest's side). A vCPU's references to the LLC can be
//! recorded ([`stream`]) and played on a machine in one process ([`replay`]).
//!
//! Nothing here knows QEMU: the plugin feeds instructions and addresses in, the harness reads counters out.

pub mod spec;

pub mod marks;

pub mod counters;

pub mod cache;

pub mod prefetch;

pub mod bandwidth;

pub mod pipeline;

pub mod uncore;

pub mod segment;

pub mod seat;

pub mod stream;

pub mod vcpu;

pub mod idle;

pub mod replay;

mod layout;

mod turns;
