//! The QEMU plugin: turns what one guest executes into blocks and accesses of the emulated machine, and holds the
//! guest back while it is not its turn. How the machine behaves is the `machine` crate's business; this one knows QEMU
//! ([`callbacks`], [`translation`]) and x86 ([`dataflow`]).
//!
//! Plugin API version 1, as in QEMU 7.2. Two ways to load it:
//!
//! - full-system: `-plugin file=libphasecast_plugin.so,segment-fd=N,slot=K`. Nothing is counted until the guest
//!   executes the begin mark; from then on virtual time passes as the harness grants it.
//! - linux-user: `-plugin libphasecast_plugin.so,machine=FILE.toml,report=FILE.json`. One program alone on the first
//!   CPU of the machine, counted from its first instruction, LLC sets chosen by virtual address; the report is written
//!   when it ends.
//!
//! A guest with several vCPUs is refused: two vCPUs of one process cannot both wait for their turns.

// SPDX-License-Identifier: GPL-2.0-or-later

mod arguments;

mod dataflow;

mod translation;

mod tlb;

mod callbacks;

mod install;

mod report;
