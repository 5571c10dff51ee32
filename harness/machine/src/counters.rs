//! What is counted for each vCPU.

/// Whose memory a vCPU sees: the physical address of its page table, as x86 keeps it in CR3. Each process of a guest has
/// one of its own; threads of the kernel go on with that of whoever ran before.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AddressSpace(pub u64);

/// Running sums of one vCPU since its begin mark.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counters {
    /// Instructions begun, user and kernel. Counted a block at a time: a block that faults half-way counts whole, and
    /// again when it is resumed.
    pub instructions: u64,
    /// The kernel's share of `instructions`, told by the address.
    pub kernel_instructions: u64,
    /// Cycles in which the vCPU ran, stalls included.
    pub cycles: u64,
    /// Cycles in which it was halted.
    pub idle_cycles: u64,
    /// Data loads.
    pub loads: u64,
    /// Data stores.
    pub stores: u64,
    /// Loads and stores that missed the L1.
    pub l1_misses: u64,
    /// Lines that the LLC was asked for: by loads and stores that missed every private cache, and by the prefetcher.
    pub llc_references: u64,
    /// References that missed the LLC.
    pub llc_misses: u64,
    /// Dirty lines sent to memory while this vCPU ran, whoever had written them.
    pub write_backs: u64,
    /// Bytes fetched from memory.
    pub memory_read_bytes: u64,
    /// Cycles in which the core waited for memory.
    pub stall_cycles: u64,
}

impl Counters {
    /// How many counters there are.
    pub const COUNT: usize = 12;

    /// The counters in the order of their declaration.
    #[must_use]
    pub const fn to_array(self) -> [u64; Self::COUNT] {
        [
            self.instructions,
            self.kernel_instructions,
            self.cycles,
            self.idle_cycles,
            self.loads,
            self.stores,
            self.l1_misses,
            self.llc_references,
            self.llc_misses,
            self.write_backs,
            self.memory_read_bytes,
            self.stall_cycles,
        ]
    }

    /// The inverse of [`Counters::to_array`].
    #[must_use]
    pub const fn from_array(counts: [u64; Self::COUNT]) -> Self {
        let [
            instructions,
            kernel_instructions,
            cycles,
            idle_cycles,
            loads,
            stores,
            l1_misses,
            llc_references,
            llc_misses,
            write_backs,
            memory_read_bytes,
            stall_cycles,
        ] = counts;
        Self {
            instructions,
            kernel_instructions,
            cycles,
            idle_cycles,
            loads,
            stores,
            l1_misses,
            llc_references,
            llc_misses,
            write_backs,
            memory_read_bytes,
            stall_cycles,
        }
    }
}
