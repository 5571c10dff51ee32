//! Everything that touches the outside world: guests, hosts, the control loop, experiments and reports.
//!
//! `machine` (a crate of its own, since the plugin inside QEMU needs it too) is the emulated machine; `predictor`
//! decides; this crate does. The modules stand in the order in which data flows through a run.

pub mod input;

pub mod machines;

pub mod interrupt;

pub mod provenance;

pub mod results;

pub mod sysfs;

pub mod procfs;

pub mod affinity;

pub mod libvirt;

pub mod custody;

pub mod discovery;

pub mod perf;

pub mod resctrl;

pub mod corun_tables;
pub mod profiles;

pub mod whatif;

pub mod qemu;

pub mod image;

pub mod host;

pub mod emulators;

pub mod doctor;

pub mod workers;

pub mod streams;

pub mod journal;

pub mod mix;

pub mod testbed;

pub mod trace;

pub mod import;

pub mod artefact;

pub mod control;

pub mod explain;

pub mod report;

pub mod curves;

pub mod oracle;

pub mod experiment;

pub mod survey;

pub mod score;

pub mod daemon;

pub mod lab;

pub mod cli;
