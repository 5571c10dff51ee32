//! A C source of another character than [`super::c_source`]: few functions, each a long switch over states as a parser
//! generator writes it, tables of structures, and arithmetic in straight lines without loops.

use std::fmt::Write;

use crate::random::SplitMix64;

/// About `bytes` of one translation unit.
pub(super) fn generate(seed: u64, bytes: usize) -> Vec<u8> {
    let mut random = SplitMix64::new(seed);
    let mut text = String::with_capacity(bytes + 8192);
    text.push_str(
        "typedef struct { unsigned char kind; unsigned short next[4]; int value; } rule;\n\
         typedef struct { const unsigned char *at, *end; int stack[256]; int depth; unsigned sum; double weight; } reader;\n",
    );
    let mut functions = 0;
    while text.len() < bytes {
        rules(&mut random, &mut text, functions);
        switch(&mut random, &mut text, functions);
        straight(&mut random, &mut text, functions);
        functions += 1;
    }
    text.push_str("unsigned read_all(reader *r) {\n  unsigned sum = 0;\n");
    for number in 0..functions {
        let _ = writeln!(text, "  sum = sum * 31 + read_{number}(r) + (unsigned)fold_{number}(r->weight, sum & 7);");
    }
    text.push_str("  return sum;\n}\n");
    text.into_bytes()
}

fn rules(random: &mut SplitMix64, text: &mut String, number: usize) {
    let _ = writeln!(text, "static const rule rules_{number}[40] = {{");
    for _ in 0..40 {
        let next: Vec<String> = (0..4).map(|_| random.below(40).to_string()).collect();
        let _ = writeln!(text, "  {{ {}, {{ {} }}, {} }},", random.below(9), next.join(", "), random.below(5000));
    }
    text.push_str("};\n");
}

fn switch(random: &mut SplitMix64, text: &mut String, number: usize) {
    let _ = writeln!(
        text,
        "static unsigned read_{number}(reader *r) {{\n  int state = 0; unsigned c;\n  while (r->at < r->end) {{\n    c = *r->at++;\n    switch (state) {{"
    );
    let states = 50 + random.below(50);
    for state in 0..states {
        let (next, other, limit) = (random.below(states), random.below(states), 32 + random.below(90));
        let action = match random.below(6) {
            0 => "if (r->depth < 255) r->stack[r->depth++] = state;".to_owned(),
            1 => "if (r->depth > 0) state = r->stack[--r->depth]; else return r->sum;".to_owned(),
            2 => format!("r->sum = (r->sum << {}) ^ c;", 1 + random.below(7)),
            3 => format!("r->sum += rules_{number}[c % 40].value; r->weight *= 0.{};", 1 + random.below(99)),
            4 => format!("if ((c | 32) == '{}') goto again;", char::from(b'a' + random.below(26) as u8)),
            _ => format!("r->weight += (double)rules_{number}[r->sum % 40].kind / (c + {});", 1 + random.below(9)),
        };
        let _ = writeln!(text, "      case {state}: {action} state = c < {limit} ? {next} : {other}; break;");
    }
    let _ = writeln!(
        text,
        "      default: again: state = rules_{number}[c % 40].next[c & 3] % {states};\n    }}\n  }}\n  return r->sum;\n}}"
    );
}

fn straight(random: &mut SplitMix64, text: &mut String, number: usize) {
    let _ = writeln!(text, "static double fold_{number}(double x, int n) {{\n  double v0 = x, v1 = n + 1;");
    for at in 2..40 {
        let (a, b) = (random.below(at), at - 1 - random.below(at.min(4)));
        let operator = ["+", "-", "*", "+"][random.below(4)];
        let scale = 1 + random.below(97);
        let _ = writeln!(
            text,
            "  double v{at} = v{a} {operator} v{b} * 0.{scale:02} + (n > {} ? v{b} : {scale}.0);",
            random.below(8)
        );
    }
    text.push_str("  return v39 + v38 / (v37 * v37 + 1.0);\n}\n");
}
