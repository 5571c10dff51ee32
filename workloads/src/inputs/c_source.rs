//! A C source that needs no header, for a compiler: structures, tables, and functions with loops, branches, calls,
//! floating point and pointers, all different.

use std::fmt::Write;

use crate::random::SplitMix64;

/// About `bytes` of one translation unit that compiles without warnings worth the name.
pub(super) fn generate(seed: u64, bytes: usize) -> Vec<u8> {
    let mut unit = Unit { random: SplitMix64::new(seed), text: String::with_capacity(bytes + 4096), functions: 0 };
    unit.declarations();
    while unit.text.len() < bytes {
        unit.table();
        for _ in 0..4 {
            unit.integer_function();
            unit.list_function();
            unit.matrix_function();
            unit.automaton();
        }
    }
    unit.entry();
    unit.text.into_bytes()
}

struct Unit {
    random: SplitMix64,
    text: String,
    /// Functions of type `long(long, long)` written so far: what later ones may call.
    functions: usize,
}

impl Unit {
    fn line(&mut self, line: std::fmt::Arguments<'_>) {
        // Writing to a String does not fail.
        let _ = self.text.write_fmt(line);
        self.text.push('\n');
    }

    fn declarations(&mut self) {
        self.text.push_str(
            "struct item { long key; double weight; struct item *next; unsigned char tag[16]; };\n\
             struct matrix { int rows, columns; double cells[24][24]; };\n\
             static struct item pool[512];\n\
             static unsigned long state = 88172645463325252UL;\n\
             static unsigned long draw(void) { state ^= state << 13; state ^= state >> 7; state ^= state << 17; return state; }\n",
        );
    }

    fn table(&mut self) {
        let name = self.functions;
        let numbers: Vec<String> = (0..64).map(|_| self.random.below(100_000).to_string()).collect();
        self.line(format_args!("static const long table_{name}[64] = {{ {} }};", numbers.join(", ")));
    }

    /// A call of an earlier function, or an expression where there is none.
    fn value(&mut self) -> String {
        match self.random.below(6) {
            0 if self.functions > 0 => {
                let callee = self.random.below(self.functions);
                format!("function_{callee}(a ^ {}, n / 2)", self.random.below(97))
            }
            1 => format!("(a * {} + (b >> {}))", 3 + self.random.below(90), 1 + self.random.below(7)),
            2 => format!("(a / ({} + (n & 7)))", 1 + self.random.below(40)),
            3 => format!("(long)pool[(a + {}) & 511].tag[b & 15]", self.random.below(512)),
            4 => format!(
                "(b % {} == {} ? a - b : b + {})",
                2 + self.random.below(20),
                self.random.below(2),
                self.random.below(50)
            ),
            _ => format!("(a & {}) * (b | {})", self.random.below(4096), self.random.below(64)),
        }
    }

    fn integer_function(&mut self) {
        let name = self.functions;
        self.line(format_args!("static long function_{name}(long a, long n) {{\n  long b = a + {name}, total = 0;"));
        self.line(format_args!("  if (n <= 0) return a;"));
        for variable in 0..2 + self.random.below(3) {
            let (first, second) = (self.value(), self.value());
            let condition = ["a < b", "(a ^ b) & 1", "total > a", "b != n"][self.random.below(4)];
            self.line(format_args!("  for (long i{variable} = 0; i{variable} < (n & 63); i{variable}++) {{"));
            self.line(format_args!(
                "    if ({condition}) total += {first};\n    else {{ a -= i{variable}; b = {second}; }}"
            ));
            self.line(format_args!("    if (total > 1000000000L) break;\n  }}"));
        }
        let last = self.value();
        self.line(format_args!("  return total ^ {last};\n}}"));
        self.functions += 1;
    }

    fn list_function(&mut self) {
        let name = self.functions;
        let stride = 1 + 2 * self.random.below(100);
        let weight = self.random.below(1000);
        self.line(format_args!(
            "static long function_{name}(long a, long n) {{\n  struct item *head = 0, *at; long b = n, found = 0;"
        ));
        self.line(format_args!("  for (int i = 0; i < 256; i++) {{ at = &pool[(i * {stride}) & 511]; at->key = a ^ (long)draw(); at->weight = at->key * {weight}e-3; at->next = head; head = at; }}"));
        let update = self.value();
        self.line(format_args!("  for (at = head; at; at = at->next) {{\n    if (at->weight > {weight}.5) found += at->key;\n    else if (at->key < n) {{ at->tag[at->key & 15]++; b += {update}; }}\n  }}"));
        self.line(format_args!("  return found + b;\n}}"));
        self.functions += 1;
    }

    fn matrix_function(&mut self) {
        let name = self.functions;
        let size = 4 + self.random.below(20);
        let scale = 1 + self.random.below(9);
        self.line(format_args!(
            "static long function_{name}(long a, long n) {{\n  static struct matrix x, y, z; double trace = 0.{scale};"
        ));
        self.line(format_args!("  for (int i = 0; i < {size}; i++) for (int j = 0; j < {size}; j++) {{ x.cells[i][j] = (a + i * j) * 0.{scale}; y.cells[i][j] = i - j + trace; z.cells[i][j] = 0; }}"));
        self.line(format_args!("  for (int i = 0; i < {size}; i++) for (int j = 0; j < {size}; j++) {{\n    double sum = 0;\n    for (int k = 0; k < {size}; k++) sum += x.cells[i][k] * y.cells[k][j];\n    z.cells[i][j] = sum > {scale}00 ? sum / {scale}.5 : -sum;\n  }}"));
        self.line(format_args!(
            "  for (int i = 0; i < {size}; i++) trace += z.cells[i][i];\n  return (long)trace + n;\n}}"
        ));
        self.functions += 1;
    }

    fn automaton(&mut self) {
        let name = self.functions;
        self.line(format_args!("static long function_{name}(long a, long n) {{\n  int where = 0; long b = a;"));
        self.line(format_args!("  for (long i = 0; i < n; i++) switch (where) {{"));
        let cases = 6 + self.random.below(12);
        for case in 0..cases {
            let (next, other) = (self.random.below(cases), self.random.below(cases));
            let (action, mask) = (self.value(), 1 << self.random.below(6));
            self.line(format_args!(
                "    case {case}: b += {action}; where = (b & {}) ? {next} : {other}; break;",
                mask
            ));
        }
        self.line(format_args!("    default: return b;\n  }}\n  return b - a;\n}}"));
        self.functions += 1;
    }

    /// Calls everything, so that nothing is thrown away unseen.
    fn entry(&mut self) {
        self.line(format_args!("long (*const all[])(long, long) = {{"));
        for name in 0..self.functions {
            self.line(format_args!("  function_{name},"));
        }
        self.line(format_args!("}};\nlong run(long a, long n) {{ long sum = 0; for (unsigned long i = 0; i < sizeof all / sizeof *all; i++) sum += all[i](a, n); return sum + table_0[n & 63]; }}"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn brackets_are_balanced_and_every_function_is_in_the_table() {
        let text = String::from_utf8(generate(4, 60_000)).expect("ASCII");
        for (open, close) in [('{', '}'), ('(', ')'), ('[', ']')] {
            assert_eq!(text.matches(open).count(), text.matches(close).count(), "{open}");
        }
        let functions = text.matches("static long function_").count();
        assert!(functions > 20);
        assert_eq!(text.lines().filter(|line| line.starts_with("  function_")).count(), functions);
    }
}
