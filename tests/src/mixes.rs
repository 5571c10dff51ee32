//! Mixes as a person writes them.

/// Two guests that run bzip2, in one LLC domain each.
pub const TWO_BZIP2S: &str = r#"
machine = "small-2x2"
quantum_cycles = 10_000_000
seed = 1
[[guest]]
name = "alpha"
program = "bzip2"
[[guest]]
name = "beta"
program = "bzip2"
domain = 1
"#;
