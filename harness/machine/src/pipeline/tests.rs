//! Claims about the core's timing.

use super::*;

const CORE: CoreSpec = CoreSpec { cycles_per_instruction: 0.5, reorder_window: 192, miss_registers: 10 };
const LATENCY: u64 = 200 * TICKS_PER_CYCLE;
const MEMORY: Service = Service::by_memory(LATENCY);

/// Runs `blocks` blocks of `length` instructions whose first loads into slot 0 and misses; answers cycles a block.
fn cycles_per_block(
    core: CoreSpec,
    blocks: u64,
    length: u64,
    address: Dependences,
    outputs: &[(u8, Dependences)],
) -> f64 {
    let outputs = Outputs::new(outputs.to_vec());
    let mut core = Pipeline::new(core);
    for block in 0..blocks {
        core.load(block * length, Some(0), address, MEMORY);
        core.end_block((block + 1) * length, &outputs);
    }
    core.clock(blocks * length) as f64 / (blocks * TICKS_PER_CYCLE) as f64
}

const LOADS_RAX: [(u8, Dependences); 1] = [(0, Dependences { registers: 1, loads: 1 })];

fn loads_rax() -> Outputs {
    Outputs::new(LOADS_RAX.to_vec())
}

#[test]
fn a_chase_never_has_two_misses_under_way() {
    let cycles = cycles_per_block(CORE, 1000, 4, Dependences::register(0), &LOADS_RAX);
    assert!((cycles - 200.0).abs() < 10.0, "each load of a chase takes its latency: {cycles}");
}

#[test]
fn independent_loads_reach_the_miss_registers() {
    // 10 instructions apart: 19 fit in the window, 10 have registers.
    let cycles = cycles_per_block(CORE, 1000, 10, Dependences::default(), &LOADS_RAX);
    assert!((200.0 / cycles - 10.0).abs() < 0.3, "{cycles}");
}

#[test]
fn independent_loads_far_apart_overlap_as_far_as_the_window_reaches() {
    // 48 instructions apart: 4 in a window of 192, and the window's first ends it.
    let cycles = cycles_per_block(CORE, 1000, 48, Dependences::default(), &LOADS_RAX);
    let overlap = 200.0 / cycles;
    assert!((3.9..5.1).contains(&overlap), "{overlap}");
}

#[test]
fn a_load_that_returns_before_the_window_fills_costs_nothing() {
    let core = CoreSpec { reorder_window: 400, ..CORE };
    let cycles = cycles_per_block(core, 1000, 1000, Dependences::default(), &[]);
    assert!((cycles - 500.0).abs() < 1e-9, "{cycles}");
}

#[test]
fn a_register_that_was_overwritten_is_not_waited_for() {
    let overwritten = [(0, Dependences::default())];
    let cycles = cycles_per_block(CORE, 1000, 10, Dependences::register(0), &overwritten);
    assert!(cycles < 25.0, "{cycles}");
}

#[test]
fn a_chase_through_a_line_that_is_there_still_waits_for_the_miss_before() {
    let mut core = Pipeline::new(CORE);
    // Block 1: rax <- [rax], a miss. Block 2: rax <- [rax + 8], a hit. Block 3: a miss that depends on rax.
    core.load(0, Some(0), Dependences::register(0), MEMORY);
    core.end_block(1, &loads_rax());
    core.end_block(2, &loads_rax());
    let last = core.load(2, Some(0), Dependences::register(0), MEMORY);
    assert_eq!(last.issue_ticks, LATENCY);
}

#[test]
fn a_chase_leaves_the_other_miss_registers_to_independent_loads() {
    let mut core = Pipeline::new(CoreSpec { miss_registers: 2, ..CORE });
    for position in 0..4 {
        core.load(position, Some(0), Dependences::register(0), MEMORY);
        core.end_block(position + 1, &loads_rax());
    }
    let independent = core.load(4, Some(0), Dependences::default(), MEMORY);
    assert_eq!(independent.issue_ticks, core.clock(4), "one register is the chase's, one was never used");
}

#[test]
fn stores_stall_only_when_no_miss_register_is_free() {
    let mut core = Pipeline::new(CORE);
    for position in 0..10 {
        core.store(position, Dependences::default(), MEMORY);
    }
    assert_eq!(core.stall_ticks(), 0);
    core.store(10, Dependences::default(), MEMORY);
    assert_eq!(core.clock(10), LATENCY, "the eleventh waits for the first");
}

#[test]
fn a_load_of_a_line_on_its_way_waits_for_the_rest_of_it() {
    let near = 12 * TICKS_PER_CYCLE;
    let complete = |arrives_ticks| {
        let service = Service { arrives_ticks, ..Service::by_cache(near) };
        Pipeline::new(CORE).load(0, Some(0), Dependences::default(), service).complete_ticks
    };
    assert_eq!([0, near / 2, LATENCY].map(complete), [near, near, LATENCY]);
}

#[test]
fn time_is_told_before_the_deadline_and_at_once_while_a_register_waits() {
    let mut core = Pipeline::new(CORE);
    assert_eq!(core.next_event(1000 * TICKS_PER_CYCLE), 2000);
    core.load(0, Some(0), Dependences::default(), MEMORY);
    assert_eq!(core.next_event(1000 * TICKS_PER_CYCLE), 0);
    core.end_block(10, &Outputs::NONE);
    assert_eq!(core.next_event(1000 * TICKS_PER_CYCLE), 192, "nothing waits but the window");
}
