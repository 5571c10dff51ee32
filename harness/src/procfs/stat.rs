//! `stat` and `schedstat` of a thread, parsed from bytes by hand: `/proc` is read for every thread in every quantum.
//!
//! `stat` is one line: number, name in parentheses, state, and numbers. The name may hold blanks and parentheses itself,
//! so what follows is counted from the *last* closing one. Fields by their place in `man 5 proc`: 3 state, 14 user time,
//! 15 system time, 22 start, 39 the CPU last run on, 43 guest time. Times are in clock ticks.

use std::fmt;

/// A thread's name: at most 15 bytes for ordinary threads, 63 for the kernel's.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Comm {
    bytes: [u8; 64],
    length: u8,
}

impl Comm {
    /// The bytes of the name; what is longer than 64 is cut.
    #[must_use]
    pub fn new(name: &[u8]) -> Self {
        let length = name.len().min(64);
        let mut bytes = [0; 64];
        bytes[..length].copy_from_slice(&name[..length]);
        Self { bytes, length: u8::try_from(length).expect("at most 64") }
    }

    /// As the kernel keeps it.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes[..usize::from(self.length)]
    }
}

/// For people: bytes that are no text are replaced.
impl fmt::Display for Comm {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&String::from_utf8_lossy(self.as_bytes()))
    }
}

impl fmt::Debug for Comm {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{:?}", String::from_utf8_lossy(self.as_bytes()))
    }
}

/// What `stat` says of a thread.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ThreadStat {
    /// Its name.
    pub comm: Comm,
    /// `R` running, `S` sleeping, `T` stopped, `Z` ended; and others.
    pub state: u8,
    /// When it began, in clock ticks since boot.
    pub start_ticks: u64,
    /// Time in user mode, that of its guest included.
    pub user_ticks: u64,
    /// Time in the kernel.
    pub system_ticks: u64,
    /// Time in guest mode, where the kernel says.
    pub guest_ticks: Option<u64>,
    /// The CPU it ran on last; absent where the line ends before.
    pub last_cpu: Option<u32>,
}

impl ThreadStat {
    /// Whether nothing but the entry is left of it.
    #[must_use]
    pub const fn has_ended(&self) -> bool {
        matches!(self.state, b'Z' | b'X' | b'x')
    }
}

/// How long a thread has run and waited since it began.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RunTime {
    /// On a CPU.
    pub running_ns: u64,
    /// Runnable, and not on a CPU.
    pub waiting_ns: u64,
}

/// A line that is not what the kernel writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum StatError {
    /// No name in parentheses.
    #[error("there is no name in parentheses")]
    NoName,
    /// The line ends before this field.
    #[error("the line ends before field {0}")]
    Short(usize),
    /// This field is no number.
    #[error("field {0} is no number")]
    NoNumber(usize),
}

/// Reads the line of `stat`.
pub fn parse_stat(line: &[u8]) -> Result<ThreadStat, StatError> {
    let open = line.iter().position(|byte| *byte == b'(').ok_or(StatError::NoName)?;
    let close = line.iter().rposition(|byte| *byte == b')').filter(|close| *close > open).ok_or(StatError::NoName)?;
    let mut fields = Fields { rest: &line[close + 1..], place: 2 };
    let state = *fields.next().and_then(|field| field.first()).ok_or(StatError::Short(3))?;
    let user_ticks = fields.number_at(14)?;
    let system_ticks = fields.number_at(15)?;
    let start_ticks = fields.number_at(22)?;
    let last_cpu = fields.number_at(39).ok().and_then(|cpu| u32::try_from(cpu).ok());
    let guest_ticks = fields.number_at(43).ok();
    let comm = Comm::new(&line[open + 1..close]);
    Ok(ThreadStat { comm, state, start_ticks, user_ticks, system_ticks, guest_ticks, last_cpu })
}

/// Reads the line of `schedstat`: time run and time waited in nanoseconds, and the number of turns.
pub fn parse_schedstat(line: &[u8]) -> Result<RunTime, StatError> {
    let mut fields = Fields { rest: line, place: 0 };
    Ok(RunTime { running_ns: fields.number_at(1)?, waiting_ns: fields.number_at(2)? })
}

struct Fields<'a> {
    rest: &'a [u8],
    /// Of the field read last, from 1.
    place: usize,
}

impl<'a> Iterator for Fields<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        let start = self.rest.iter().position(|byte| !byte.is_ascii_whitespace())?;
        let rest = &self.rest[start..];
        let end = rest.iter().position(u8::is_ascii_whitespace).unwrap_or(rest.len());
        self.rest = &rest[end..];
        self.place += 1;
        Some(&rest[..end])
    }
}

impl Fields<'_> {
    /// The number at `place`, which lies ahead.
    fn number_at(&mut self, place: usize) -> Result<u64, StatError> {
        let ahead = place - self.place - 1;
        let field = self.nth(ahead).ok_or(StatError::Short(place))?;
        number(field).ok_or(StatError::NoNumber(place))
    }
}

fn number(digits: &[u8]) -> Option<u64> {
    if digits.is_empty() {
        return None;
    }
    digits.iter().try_fold(0u64, |value, digit| {
        let digit = digit.is_ascii_digit().then(|| u64::from(digit - b'0'))?;
        value.checked_mul(10)?.checked_add(digit)
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const TAIL: &str = "S 1 2 3 0 -1 4194304 100 0 0 0 11 12 0 0 20 0 1 0 2726822 3133440 384 18446744073709551615 1 2 \
                        3 0 0 0 0 0 0 0 0 0 17 5 0 0 0 77 0 0 0 0 0 0 0 0 0\n";

    #[test]
    fn a_name_may_hold_blanks_and_parentheses() {
        for name in ["cat", "CPU 0/KVM", ") R 1 1", "((sd-pam))", "a b)", "(", ""] {
            let stat = parse_stat(format!("17 ({name}) {TAIL}").as_bytes()).expect(name);
            assert_eq!(stat.comm.as_bytes(), name.as_bytes());
            assert_eq!((stat.state, stat.start_ticks), (b'S', 2_726_822), "{name}");
            assert_eq!((stat.user_ticks, stat.system_ticks), (11, 12));
            assert_eq!((stat.last_cpu, stat.guest_ticks), (Some(5), Some(77)));
        }
    }

    #[test]
    fn what_is_cut_short_is_refused_or_absent_never_zero() {
        let line = format!("17 (x) {TAIL}");
        let fields: Vec<&str> = line.split(' ').collect();
        let cut = |fields_left: usize| parse_stat(fields[..fields_left].join(" ").as_bytes());
        assert_eq!(cut(2), Err(StatError::Short(3)));
        assert_eq!(cut(21), Err(StatError::Short(22)));
        let stat = cut(22).expect("the start is there");
        assert_eq!((stat.last_cpu, stat.guest_ticks), (None, None));
        assert_eq!(parse_stat(b"17 x S 1"), Err(StatError::NoName));
        assert_eq!(parse_stat(b")("), Err(StatError::NoName));
        assert_eq!(parse_stat(line.replace(" 11 12 ", " x 12 ").as_bytes()), Err(StatError::NoNumber(14)));
    }

    #[test]
    fn times_are_in_nanoseconds() {
        assert_eq!(parse_schedstat(b"5 2260302 1\n"), Ok(RunTime { running_ns: 5, waiting_ns: 2_260_302 }));
        assert_eq!(parse_schedstat(b""), Err(StatError::Short(1)));
        assert_eq!(parse_schedstat(b"99999999999999999999 1 1"), Err(StatError::NoNumber(1)));
    }

    proptest! {
        #[test]
        fn no_bytes_make_reading_panic(bytes in prop::collection::vec(any::<u8>(), 0..300), name in "[ -~]{0,30}") {
            let _ = (parse_stat(&bytes), parse_schedstat(&bytes));
            let garbage = String::from_utf8_lossy(&bytes).into_owned();
            let _ = parse_stat(format!("1 ({name}) {garbage}").as_bytes());
        }
    }
}
