//! A line of separated values as fields, and the numbers in them.
//!
//! Numbers are read strictly: digits with at most one decimal mark. What a locale might have grouped or marked otherwise is
//! no number here, so that it is refused and never misread.

use std::borrow::Cow;

use super::{Amount, Fault};

/// What stands between fields, and what may stand for the decimal point between them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Separator(pub(super) char);

impl Separator {
    /// Those that `perf stat -x` is usually given; the comma last, since event names hold commas.
    pub(super) const ALL: [Separator; 4] = [Separator(';'), Separator('\t'), Separator('|'), Separator(',')];

    /// Whether a comma can be a decimal mark: where it separates fields it is none.
    const fn allows_decimal_comma(self) -> bool {
        self.0 != ','
    }
}

/// One field: its text without blanks around it, and where it begins.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Field<'a> {
    pub(super) text: Cow<'a, str>,
    /// Byte of the line at which the text begins.
    pub(super) at: usize,
    /// Whether it stood in quotes, so that separators in it are its own.
    pub(super) quoted: bool,
}

/// The fields of `line`. Quotes are those of RFC 4180.
pub(super) fn split(line: &str, separator: Separator) -> Result<Vec<Field<'_>>, Fault> {
    let mut fields = Vec::with_capacity(12);
    let mut start = 0;
    loop {
        let rest = &line[start..];
        let blanks = rest.len() - rest.trim_start_matches(' ').len();
        let (field, end) = if rest[blanks..].starts_with('"') {
            quoted(line, start + blanks, separator)?
        } else {
            let end = rest.find(separator.0).map_or(line.len(), |length| start + length);
            let text = Cow::Borrowed(line[start..end].trim());
            (Field { text, at: (start + blanks).min(end), quoted: false }, end)
        };
        fields.push(field);
        if end == line.len() {
            return Ok(fields);
        }
        start = end + separator.0.len_utf8();
    }
}

/// The field whose opening quote stands at `open`, and where it ends.
fn quoted(line: &str, open: usize, separator: Separator) -> Result<(Field<'_>, usize), Fault> {
    let mut text = String::new();
    let mut from = open + 1;
    loop {
        let close =
            line[from..].find('"').ok_or_else(|| Fault::new(open, "a quote is opened and never closed"))? + from;
        text += &line[from..close];
        let after = &line[close + 1..];
        if after.starts_with('"') {
            text.push('"');
            from = close + 2;
            continue;
        }
        let blanks = after.len() - after.trim_start_matches(' ').len();
        let end = close + 1 + blanks;
        if end < line.len() && !line[end..].starts_with(separator.0) {
            return Err(Fault::new(end, "text follows the closing quote"));
        }
        return Ok((Field { text: Cow::Owned(text), at: open, quoted: true }, end));
    }
}

/// The number that `text` is, written as `123` or `123.45`; with a decimal comma where the separator leaves no doubt.
pub(super) fn amount(text: &str, separator: Separator) -> Option<Amount> {
    if separator.allows_decimal_comma() && text.contains(',') && !text.contains('.') {
        return number(&text.replacen(',', ".", 1));
    }
    number(text)
}

/// The number that `text` is, written as `123` or `123.45`.
pub(super) fn number(text: &str) -> Option<Amount> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, "0"));
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    if !digits(whole) || !digits(fraction) {
        return None;
    }
    if fraction.bytes().all(|byte| byte == b'0') {
        return whole.parse().ok().map(Amount::Whole);
    }
    text.parse().ok().map(Amount::Real)
}

/// The share that a percentage is. Shifting the point in the text rounds once.
pub(super) fn share_of_percent(text: &str) -> Option<f64> {
    number(text)?;
    let share: f64 = format!("{text}e-2").parse().ok()?;
    (0.0..=1.0).contains(&share).then_some(share)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(line: &str) -> Vec<String> {
        split(line, Separator(',')).expect("well formed").into_iter().map(|field| field.text.into_owned()).collect()
    }

    #[test]
    fn a_quoted_field_keeps_its_separators_and_quotes() {
        assert_eq!(texts("  1, \"a,\"\"b\"\"\" ,,c "), ["1", "a,\"b\"", "", "c"]);
        assert_eq!(texts(""), [""]);
    }

    #[test]
    fn a_quote_that_is_not_closed_is_placed() {
        assert_eq!(split("1,\"abc", Separator(',')).map_err(|fault| fault.at), Err(2));
        assert_eq!(split("\"a\"b,1", Separator(',')).map_err(|fault| fault.at), Err(3));
    }

    #[test]
    fn only_plain_numbers_are_numbers() {
        assert_eq!(number("85715898.000000"), Some(Amount::Whole(85_715_898)));
        assert_eq!(number("18446744073709551615"), Some(Amount::Whole(u64::MAX)));
        assert_eq!(number("225851.20"), Some(Amount::Real(225_851.2)));
        for text in ["", "-1", "+1", "1e3", "nan", "1.2.3", "1'000", "1 000", ".5", "5.", "0x1f", "1,5"] {
            assert_eq!(number(text), None, "{text:?}");
        }
        assert_eq!(number("18446744073709551616"), None, "no counter holds that");
        assert_eq!(amount("1,5", Separator(';')), Some(Amount::Real(1.5)));
        assert_eq!(amount("1.234,5", Separator(';')), None);
    }

    #[test]
    fn a_percentage_is_rounded_once() {
        assert_eq!(share_of_percent("68.33"), Some(0.6833));
        assert_eq!(share_of_percent("100.00"), Some(1.0));
        assert_eq!(share_of_percent("100.01"), None);
    }
}
