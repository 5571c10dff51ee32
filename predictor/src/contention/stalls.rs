//! Slowdowns of programs that share a memory and have parts of a partitioned cache, from their stalls.
//!
//! # Problem
//!
//! Each program was profiled alone with every number of ways of the last-level cache. Given the ways that each is assigned,
//! and the memory's bandwidth, how much slower is each than alone with the best number of ways?
//!
//! # Method
//!
//! Two factors. Fewer ways cost what the profile says: `IPC at its best / IPC at the assigned ways`. Sharing the memory costs
//! what Morad's model of a shared server says, with the stalls that wait for memory stretched (Morad, Shomron, Erez, Kolodny
//! and Weiser, "Optimizing Read-Once Data Flow in Big-Data Applications", IEEE CAL 2016, gives the bandwidth sharing).
//!
//! ```text
//! b_i = bandwidth of i alone / bandwidth of the memory            below 1
//! u_i = share of the memory's time that i gets; the root with 0 < U < 1 of
//!       u_i^2 c_i + u_i (1 - U) c_i + (1 - U) = 0,   c_i = 1 - 1 / b_i,   U = sum of u_i
//! f_i = b_i / u_i                                                  how much longer a request takes
//! f'_i = (s_i + m_i (f_i - 1)) / s_i                               of which stalls alone are stretched
//! ```
//!
//! with `s` all stalls and `m = min(stalls with an LLC miss pending + stalls on the store buffer, s)`, as shares of cycles.
//! The slowdown is the product of the two factors.
//!
//! With `x = 1 - U` and `r_i = b_i / (1 - b_i)` the equation's root is `u_i = (sqrt(x^2 + 4 x r_i) - x) / 2`, which grows with
//! `x`. So the sum of the shares less U falls from above 0 at U = 0 to -1 at U = 1, and the root is unique: it is found by
//! halving.
//!
//! # Properties
//!
//! A program alone has all the bandwidth it asks for: its second factor is exactly 1. So is that of one that asks for none.
//! A neighbour never helps, and less bandwidth never does.
//!
//! ```
//! use predictor::contention::stalls::{Assigned, slowdowns};
//!
//! let app = Assigned { ipc: 1.0, best_ipc: 1.2, bandwidth: 3.0, stalls: 0.5, memory_stalls: 0.4 };
//! let alone = slowdowns(&[app], 10.0).expect("the memory gives more than it asks for");
//! assert_eq!((alone[0].cache_only, alone[0].total), (1.2, 1.2));
//! let both = slowdowns(&[app, app], 10.0).expect("each asks for less than the memory gives");
//! assert!(both[0].total > 1.2 && both[0] == both[1]);
//! ```

/// Halvings of an interval of length 1: beyond what a double tells apart.
const HALVINGS: u32 = 200;

/// One program with the ways that it is assigned.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Assigned {
    /// Instructions per cycle with these ways; above 0.
    pub ipc: f64,
    /// The most instructions per cycle with any number of ways; at least `ipc`.
    pub best_ipc: f64,
    /// Memory bandwidth with these ways, in the unit of the memory's; not negative.
    pub bandwidth: f64,
    /// All stalls, as a share of cycles.
    pub stalls: f64,
    /// Stalls that wait for memory, as a share of cycles; what exceeds `stalls` does not count.
    pub memory_stalls: f64,
}

/// By how much a program is slowed: 1 = as fast as alone with its best number of ways.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Slowed {
    /// By having fewer ways.
    pub cache_only: f64,
    /// By that and by sharing the memory.
    pub total: f64,
}

/// The memory gives no more than one program takes alone: the model says nothing there.
#[derive(Debug, Clone, Copy, PartialEq, thiserror::Error)]
#[error("the memory's bandwidth of {memory} is not above what one program takes alone, {alone}")]
pub struct Saturated {
    /// Which of the programs, by its place.
    pub place: usize,
    /// Its bandwidth.
    pub alone: f64,
    /// The memory's.
    pub memory: f64,
}

/// The slowdown of each program when all run together.
pub fn slowdowns(programs: &[Assigned], memory_bandwidth: f64) -> Result<Vec<Slowed>, Saturated> {
    if let Some(place) = programs.iter().position(|program| program.bandwidth >= memory_bandwidth) {
        return Err(Saturated { place, alone: programs[place].bandwidth, memory: memory_bandwidth });
    }
    let asked: Vec<f64> = programs.iter().map(|program| program.bandwidth / memory_bandwidth).collect();
    let left = share_left(&asked);
    // Nobody waits for a neighbour that asks for nothing; the equation says so but for rounding.
    let is_shared = asked.iter().filter(|asked| **asked > 0.0).count() > 1;
    let slowed = |(program, asked): (&Assigned, &f64)| {
        let cache_only = program.best_ipc / program.ipc;
        let longer = if is_shared && *asked > 0.0 { asked / share(*asked, left) } else { 1.0 };
        Slowed { cache_only, total: cache_only * stretched(program, longer) }
    };
    Ok(programs.iter().zip(&asked).map(slowed).collect())
}

/// How much longer a program takes whose requests take `longer` times as long.
fn stretched(program: &Assigned, longer: f64) -> f64 {
    if program.stalls <= 0.0 {
        return 1.0;
    }
    let waiting = program.memory_stalls.min(program.stalls);
    (program.stalls + waiting * (longer - 1.0)) / program.stalls
}

/// The share of the memory's time that a program gets which asks for `asked` of its bandwidth, where `left` of the time is
/// left over.
fn share(asked: f64, left: f64) -> f64 {
    let ratio = asked / (1.0 - asked);
    ((left * left + 4.0 * left * ratio).sqrt() - left) / 2.0
}

/// 1 - U.
fn share_left(asked: &[f64]) -> f64 {
    let (mut low, mut high) = (0.0, 1.0);
    for _ in 0..HALVINGS {
        let middle = low / 2.0 + high / 2.0;
        let taken: f64 = asked.iter().map(|asked| share(*asked, middle)).sum();
        // With more left over, shares are larger, and together they would leave less.
        if taken > 1.0 - middle { high = middle } else { low = middle }
    }
    low / 2.0 + high / 2.0
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn program(bandwidth: f64) -> Assigned {
        Assigned { ipc: 1.0, best_ipc: 1.5, bandwidth, stalls: 0.5, memory_stalls: 0.4 }
    }

    /// Two that each ask for half of the memory: c = -1, so u^2 + u (1 - 2u) - (1 - 2u) = 0, whence u^2 - 3u + 1 = 0 and
    /// u = (3 - sqrt 5) / 2 = 0.381966; f = 0.5 / u = 1.309017; stalls become 0.5 + 0.4 x 0.309017 of 0.5, that is
    /// 1.247214; times 1.5.
    #[test]
    fn two_that_ask_for_half_are_slowed_as_worked_by_hand() {
        let slowed = slowdowns(&[program(5.0), program(5.0)], 10.0).expect("each asks for less");
        for slowed in slowed {
            assert_eq!(slowed.cache_only, 1.5);
            assert!((slowed.total - 1.5 * 1.247_213_595_5).abs() < 1e-9, "{slowed:?}");
        }
    }

    #[test]
    fn a_program_that_takes_all_the_memory_is_named() {
        let refusal = slowdowns(&[program(5.0), program(10.0)], 10.0).expect_err("it takes all");
        assert_eq!((refusal.place, refusal.alone), (1, 10.0));
    }

    #[test]
    fn more_stalls_on_memory_than_stalls_count_as_all_of_them_and_no_stalls_cost_nothing() {
        let all = Assigned { memory_stalls: 0.9, ..program(5.0) };
        let none = Assigned { stalls: 0.0, memory_stalls: 0.0, ..program(5.0) };
        let slowed = slowdowns(&[all, none], 10.0).expect("each asks for less");
        assert!((slowed[0].total - 1.5 * 1.309_016_994_4).abs() < 1e-9);
        assert_eq!(slowed[1].total, 1.5);
    }

    fn some() -> impl Strategy<Value = Assigned> {
        (0.1f64..4.0, 1.0f64..3.0, 0.0f64..9.9, 0.0f64..1.0, 0.0f64..1.0).prop_map(
            |(ipc, faster, bandwidth, stalls, memory_stalls)| Assigned {
                ipc,
                best_ipc: ipc * faster,
                bandwidth,
                stalls,
                memory_stalls,
            },
        )
    }

    proptest! {
        #[test]
        fn alone_the_memory_costs_exactly_nothing(program in some()) {
            let slowed = slowdowns(&[program], 10.0).expect("it asks for less");
            prop_assert_eq!(slowed[0].total, slowed[0].cache_only);
        }

        #[test]
        fn a_neighbour_never_helps(programs in prop::collection::vec(some(), 1..8), another in some()) {
            let before = slowdowns(&programs, 10.0).expect("each asks for less");
            let with: Vec<Assigned> = programs.iter().copied().chain([another]).collect();
            let after = slowdowns(&with, 10.0).expect("each asks for less");
            for (before, after) in before.iter().zip(&after) {
                prop_assert!(after.total >= before.total - 1e-9, "{before:?} {after:?}");
            }
        }

        #[test]
        fn the_shares_solve_the_equation(programs in prop::collection::vec(some(), 2..10)) {
            let asked: Vec<f64> = programs.iter().map(|program| program.bandwidth / 10.0).collect();
            let left = share_left(&asked);
            prop_assert!(left > 0.0 && left <= 1.0);
            for asked in asked.iter().filter(|asked| **asked > 1e-6) {
                let (u, c) = (share(*asked, left), 1.0 - 1.0 / asked);
                prop_assert!((u * u * c + u * left * c + left).abs() < 1e-6 * c.abs(), "b {asked} u {u}");
            }
        }
    }
}
