//! Names with `*` for anything and `?` for one letter.

/// A pattern for names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pattern(Vec<char>);

impl Pattern {
    /// Any text is a pattern.
    #[must_use]
    pub fn new(text: &str) -> Self {
        Self(text.chars().collect())
    }

    /// Whether `name` as a whole is one of those meant. Takes time in proportion to the product of both lengths at most.
    #[must_use]
    pub fn fits(&self, name: &str) -> bool {
        let name: Vec<char> = name.chars().collect();
        let (mut at, mut letter) = (0, 0);
        // Where the last star stood, and up to where it reaches.
        let mut star: Option<(usize, usize)> = None;
        while letter < name.len() {
            match self.0.get(at) {
                Some('*') => {
                    star = Some((at, letter));
                    at += 1;
                }
                Some(wanted) if *wanted == '?' || *wanted == name[letter] => {
                    at += 1;
                    letter += 1;
                }
                _ => match &mut star {
                    Some((place, reach)) => {
                        *reach += 1;
                        (at, letter) = (*place + 1, *reach);
                    }
                    None => return false,
                },
            }
        }
        self.0[at..].iter().all(|rest| *rest == '*')
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stars_stand_for_anything_and_question_marks_for_one_letter() {
        let fits = |pattern: &str, name: &str| Pattern::new(pattern).fits(name);
        for (pattern, name) in [("db", "db"), ("*", ""), ("db-*", "db-"), ("*-?b-*", "a-db-1"), ("a*b*c", "axxbyybc")] {
            assert!(fits(pattern, name), "{pattern} {name}");
        }
        for (pattern, name) in [("db", "db1"), ("?", ""), ("db-*", "db"), ("a*b", "abc"), ("", "x")] {
            assert!(!fits(pattern, name), "{pattern} {name}");
        }
    }

    #[test]
    fn many_stars_do_not_take_for_ever() {
        assert!(!Pattern::new(&"*a".repeat(50)).fits(&"a".repeat(49)));
    }
}
