//! What a program alone on the machine was counted to do, as JSON.

// SPDX-License-Identifier: GPL-2.0-or-later

use machine::vcpu::Vcpu;

/// One object; counters under their names, the mean number of LLC misses under way as `memory_level_parallelism`.
pub(crate) fn json(vcpu: &Vcpu) -> String {
    let c = vcpu.counters();
    format!(
        concat!(
            "{{\"instructions\":{},\"cycles\":{},\"loads\":{},\"stores\":{},\"l1_misses\":{},\"llc_references\":{},",
            "\"llc_misses\":{},\"write_backs\":{},\"memory_read_bytes\":{},\"stall_cycles\":{},",
            "\"memory_level_parallelism\":{:.4}}}\n"
        ),
        c.instructions,
        c.cycles,
        c.loads,
        c.stores,
        c.l1_misses,
        c.llc_references,
        c.llc_misses,
        c.write_backs,
        c.memory_read_bytes,
        c.stall_cycles,
        vcpu.memory_level_parallelism(),
    )
}
