//! The QEMU plugin: turns what one guest executes into blocks and accesses of the emulated machine, and holds the
//! guest back while it is not its turn. How the machine behaves is the `machine` crate's business; this one knows QEMU
//! ([`callbacks`], [`translation`]) and x86 ([`dataflow`]).
//!
//! QEMU loads only what was built for a version of its plugin interface that it knows, and QEMU 7.2 and 10.0 know none
//! in common. So this crate is a library ([`install`]) and two shared objects are built from it, `api1` for 7.2 and
//! `api4` for 10.0, which differ in what [`qemu::Dialect`] holds. Two ways to load either:
//!
//! - full-system: `-plugin file=libphasecast_plugin_api1.so,segment-fd=N,slot=K`, with `stream-fd=M` as well if the
//!   guest's references to the LLC are to be recorded into a file. Nothing is counted until the guest
//!   executes the begin mark; from then on virtual time passes as the harness grants it.
//! - linux-user: `-plugin libphasecast_plugin_api1.so,machine=FILE.toml,report=FILE.json`. One program alone on the first
//!   CPU of the machine, counted from its first instruction, LLC sets chosen by virtual address; the report is written
//!   when it ends.
//!
//! A guest with several vCPUs is refused: two vCPUs of one process cannot both wait for their turns.

// SPDX-License-Identifier: GPL-2.0-or-later

pub mod qemu;

mod arguments;

mod dataflow;

mod translation;

mod tlb;

mod callbacks;

mod install;

mod report;

pub use install::install;
