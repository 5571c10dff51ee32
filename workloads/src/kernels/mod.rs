//! Benchmark kernels: small programs that press one resource each, and keep pressing it evenly.
//!
//! | kernel | after | presses | overlap of its misses |
//! |---|---|---|---|
//! | [`chase`] | mcf | cache capacity, memory latency | none: each address is the previous load's value |
//! | [`gather`] | random table look-ups | cache capacity, memory parallelism | as much as the core has |
//! | [`stream`] | libquantum | memory bandwidth, reads and write-backs | prefetchable, all |
//! | [`stencil`] | lbm | bandwidth and arithmetic | all |
//! | [`blackscholes`] | PARSEC's blackscholes | arithmetic; hardly any memory | - |
//! | [`canneal`] | PARSEC's canneal | cache capacity, scattered writes | twelve at a time, behind one |
//! | [`swaptions`] | PARSEC's swaptions | arithmetic on a small state | - |
//! | [`streamcluster`] | PARSEC's streamcluster | bandwidth, reuse a whole sweep later | prefetchable, all |
//! | [`fluidanimate`] | PARSEC's fluidanimate | arithmetic along short lists; little memory | few: from record to record |
//! | [`dedup`] | PARSEC's dedup | two streams, a hash table, arithmetic | the streams' |
//! | [`viterbi`] | hmmer | first- and second-level cache, integer arithmetic | prefetchable, all |
//! | [`eventqueue`] | omnetpp | cache capacity, graded reuse, writes | few: a heap's path, then two |
//! | [`stringwalk`] | xalancbmk | memory latency, byte handling | few: one node after the other |
//! | [`spmv`] | sparse solvers | bandwidth and cache capacity at once | all |
//! | [`btree`] | a database's index | cache capacity, graded reuse | those of two look-ups |
//!
//! A kernel is built once (that allocates its working set and touches every page) and then run for any number of
//! operations, going on where it stopped; its checksum covers all that was computed so far. How many instructions an
//! operation takes was counted once, with the release build, and stands beside each kernel: it makes scripts
//! readable, nothing depends on it being exact.

pub mod blackscholes;
pub mod btree;
pub mod canneal;
pub mod chase;
pub mod dedup;
pub(crate) mod elementary;
pub mod eventqueue;
pub mod fluidanimate;
pub mod gather;
pub mod spmv;
pub mod stencil;
pub mod stream;
pub mod streamcluster;
pub mod stringwalk;
pub mod swaptions;
pub mod viterbi;

use std::str::FromStr;

/// A benchmark kernel with its working set.
pub trait Kernel {
    /// Runs this many operations, from where the last call stopped.
    fn run(&mut self, operations: u64);

    /// A hash of what was computed so far; a function of kind, working set, seed and operations alone.
    fn checksum(&self) -> u64;
}

/// The kernels there are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// Dependent loads at random.
    Chase,
    /// Independent loads at random.
    Gather,
    /// Read and write in order.
    Stream,
    /// Seven-point relaxation of a grid.
    Stencil,
    /// Option pricing.
    Blackscholes,
    /// Swaps in a netlist.
    Canneal,
    /// Monte Carlo pricing.
    Swaptions,
    /// Distances of all points to a candidate.
    Streamcluster,
    /// Smoothed-particle hydrodynamics.
    Fluidanimate,
    /// Content-defined chunks, hashed and written once.
    Dedup,
    /// Dynamic programming over a profile.
    Viterbi,
    /// Discrete event simulation.
    EventQueue,
    /// A document tree whose names are looked up.
    Stringwalk,
    /// A sparse matrix times a vector.
    Spmv,
    /// Look-ups in a B+ tree.
    Btree,
}

impl Kind {
    /// Every kind, in the order of the table above.
    pub const ALL: [Kind; 15] = [
        Kind::Chase,
        Kind::Gather,
        Kind::Stream,
        Kind::Stencil,
        Kind::Blackscholes,
        Kind::Canneal,
        Kind::Swaptions,
        Kind::Streamcluster,
        Kind::Fluidanimate,
        Kind::Dedup,
        Kind::Viterbi,
        Kind::EventQueue,
        Kind::Stringwalk,
        Kind::Spmv,
        Kind::Btree,
    ];

    /// The name on the command line and in scripts.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Kind::Chase => "chase",
            Kind::Gather => "gather",
            Kind::Stream => "stream",
            Kind::Stencil => "stencil",
            Kind::Blackscholes => "blackscholes",
            Kind::Canneal => "canneal",
            Kind::Swaptions => "swaptions",
            Kind::Streamcluster => "streamcluster",
            Kind::Fluidanimate => "fluidanimate",
            Kind::Dedup => "dedup",
            Kind::Viterbi => "viterbi",
            Kind::EventQueue => "eventqueue",
            Kind::Stringwalk => "stringwalk",
            Kind::Spmv => "spmv",
            Kind::Btree => "btree",
        }
    }

    /// The smallest working set that makes sense, in bytes.
    #[must_use]
    pub fn least_bytes(self) -> usize {
        4096
    }

    /// Instructions of one operation, counted over a long run of the release build.
    #[must_use]
    pub fn instructions_per_operation(self) -> f64 {
        match self {
            Kind::Chase => chase::INSTRUCTIONS_PER_OPERATION,
            Kind::Gather => gather::INSTRUCTIONS_PER_OPERATION,
            Kind::Stream => stream::INSTRUCTIONS_PER_OPERATION,
            Kind::Stencil => stencil::INSTRUCTIONS_PER_OPERATION,
            Kind::Blackscholes => blackscholes::INSTRUCTIONS_PER_OPERATION,
            Kind::Canneal => canneal::INSTRUCTIONS_PER_OPERATION,
            Kind::Swaptions => swaptions::INSTRUCTIONS_PER_OPERATION,
            Kind::Streamcluster => streamcluster::INSTRUCTIONS_PER_OPERATION,
            Kind::Fluidanimate => fluidanimate::INSTRUCTIONS_PER_OPERATION,
            Kind::Dedup => dedup::INSTRUCTIONS_PER_OPERATION,
            Kind::Viterbi => viterbi::INSTRUCTIONS_PER_OPERATION,
            Kind::EventQueue => eventqueue::INSTRUCTIONS_PER_OPERATION,
            Kind::Stringwalk => stringwalk::INSTRUCTIONS_PER_OPERATION,
            Kind::Spmv => spmv::INSTRUCTIONS_PER_OPERATION,
            Kind::Btree => btree::INSTRUCTIONS_PER_OPERATION,
        }
    }

    /// About how many operations take this many instructions; at least one.
    #[must_use]
    pub fn operations_for(self, instructions: u64) -> u64 {
        ((instructions as f64 / self.instructions_per_operation()).round() as u64).max(1)
    }

    /// Builds the kernel: allocates `working_set_bytes`, fills it from `seed` and so touches every page.
    #[must_use]
    pub fn build(self, working_set_bytes: usize, seed: u64) -> Box<dyn Kernel> {
        match self {
            Kind::Chase => Box::new(chase::Chase::new(working_set_bytes, seed)),
            Kind::Gather => Box::new(gather::Gather::new(working_set_bytes, seed)),
            Kind::Stream => Box::new(stream::Stream::new(working_set_bytes, seed)),
            Kind::Stencil => Box::new(stencil::Stencil::new(working_set_bytes, seed)),
            Kind::Blackscholes => Box::new(blackscholes::Blackscholes::new(working_set_bytes, seed)),
            Kind::Canneal => Box::new(canneal::Canneal::new(working_set_bytes, seed)),
            Kind::Swaptions => Box::new(swaptions::Swaptions::new(working_set_bytes, seed)),
            Kind::Streamcluster => Box::new(streamcluster::Streamcluster::new(working_set_bytes, seed)),
            Kind::Fluidanimate => Box::new(fluidanimate::Fluidanimate::new(working_set_bytes, seed)),
            Kind::Dedup => Box::new(dedup::Dedup::new(working_set_bytes, seed)),
            Kind::Viterbi => Box::new(viterbi::Viterbi::new(working_set_bytes, seed)),
            Kind::EventQueue => Box::new(eventqueue::EventQueue::new(working_set_bytes, seed)),
            Kind::Stringwalk => Box::new(stringwalk::Stringwalk::new(working_set_bytes, seed)),
            Kind::Spmv => Box::new(spmv::Spmv::new(working_set_bytes, seed)),
            Kind::Btree => Box::new(btree::Btree::new(working_set_bytes, seed)),
        }
    }
}

impl std::fmt::Display for Kind {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str(self.name())
    }
}

impl FromStr for Kind {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        Kind::ALL.into_iter().find(|kind| kind.name() == name).ok_or_else(|| {
            let known: Vec<_> = Kind::ALL.iter().map(|kind| kind.name()).collect();
            format!("no kernel called \"{name}\"; choose one of: {}", known.join(", "))
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// What each kernel computes for 40 KiB, seed 1, 100,000 operations: an answer that changes is a kernel that changed.
    #[test]
    fn each_kernel_computes_its_known_answer() {
        let answers = Kind::ALL.map(|kind| {
            let mut kernel = kind.build(40 * 1024, 1);
            kernel.run(100_000);
            format!("{kind} {:016x}", kernel.checksum())
        });
        assert_eq!(answers, KNOWN);
    }

    const KNOWN: [&str; 15] = [
        "chase 9b1f2417d16b4e39",
        "gather ec7fc3ed22e29dfc",
        "stream 93cf4ab927c919f3",
        "stencil 2bc8b73cd4f61406",
        "blackscholes 820247158e6735a5",
        "canneal ce853a16ee579468",
        "swaptions f96c34d603dc83e4",
        "streamcluster 1e4c69a496fbb197",
        "fluidanimate 1db4bf085da55207",
        "dedup 322ad028b00c98b2",
        "viterbi 117b354ddb50bfa6",
        "eventqueue 177ef38cfa20c8c5",
        "stringwalk 4db170da04693994",
        "spmv 2644432cbd2a5c19",
        "btree 8207c8a72566f555",
    ];

    #[test]
    fn a_kernel_is_known_by_its_name() {
        for kind in Kind::ALL {
            assert_eq!(kind.name().parse(), Ok(kind));
        }
        assert!("chess".parse::<Kind>().is_err_and(|message| message.contains("chase, gather")));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(24))]

        #[test]
        fn stopping_and_going_on_computes_the_same(
            kind in prop::sample::select(&Kind::ALL[..]), seed: u64, bytes in 4096_usize..65_536,
            first in 0_u64..5_000, second in 0_u64..5_000,
        ) {
            let mut whole = kind.build(bytes, seed);
            whole.run(first + second);
            let mut parts = kind.build(bytes, seed);
            parts.run(first);
            parts.run(second);
            prop_assert_eq!(whole.checksum(), parts.checksum());
        }
    }
}
