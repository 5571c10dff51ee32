//! Tables as Markdown, as CSV and for a terminal, and numbers as text: what reports are written with.

use super::estimate::Estimate;

/// What an unknown number looks like.
pub(crate) const UNKNOWN: &str = "n/a";

/// How a column of a table is set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Align {
    Left,
    Right,
}

/// A table in the making.
#[derive(Debug, Clone)]
pub(crate) struct Table {
    heads: Vec<(String, Align)>,
    rows: Vec<Vec<String>>,
}

impl Table {
    /// A table with these columns and no row.
    pub(crate) fn new<'a>(heads: impl IntoIterator<Item = (&'a str, Align)>) -> Self {
        Self { heads: heads.into_iter().map(|(head, align)| (head.to_owned(), align)).collect(), rows: Vec::new() }
    }

    /// Adds a row with a cell for each column.
    pub(crate) fn row(&mut self, cells: impl IntoIterator<Item = String>) {
        let cells: Vec<String> = cells.into_iter().collect();
        debug_assert_eq!(cells.len(), self.heads.len(), "a cell for each column");
        self.rows.push(cells);
    }

    /// As Markdown, with a line's end.
    pub(crate) fn markdown(&self) -> String {
        let line = |cells: &mut dyn Iterator<Item = &str>| format!("| {} |\n", cells.collect::<Vec<_>>().join(" | "));
        let rules: String =
            self.heads.iter().map(|(_, align)| if *align == Align::Right { "--:|" } else { "---|" }).collect();
        let mut text = line(&mut self.heads.iter().map(|(head, _)| head.as_str()));
        text += &format!("|{rules}\n");
        for row in &self.rows {
            text += &line(&mut row.iter().map(String::as_str));
        }
        text
    }
}

impl Table {
    /// For a terminal: columns under each other.
    pub(crate) fn aligned(&self) -> String {
        let heads = || self.heads.iter().map(|(head, _)| head);
        let width = |column: usize| {
            let cells = self.rows.iter().map(|row| &row[column]).chain(heads().nth(column));
            cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
        };
        let widths: Vec<usize> = (0..self.heads.len()).map(width).collect();
        let line = |cells: &[&String]| -> String {
            let set = cells.iter().zip(&widths).zip(&self.heads).map(|((cell, width), (_, align))| match align {
                Align::Left => format!("{cell:<width$}"),
                Align::Right => format!("{cell:>width$}"),
            });
            format!("{}\n", set.collect::<Vec<_>>().join("  ").trim_end())
        };
        let mut text = line(&heads().collect::<Vec<_>>());
        for row in &self.rows {
            text += &line(&row.iter().collect::<Vec<_>>());
        }
        text
    }
}

/// Lines of comma-separated values, the first with the columns' names. A cell with a comma, a quote or a line's end is quoted
/// as RFC 4180 says.
pub(crate) fn csv(heads: &[&str], rows: impl IntoIterator<Item = Vec<String>>) -> String {
    let quoted = |cell: &str| {
        if cell.contains([',', '"', '\n', '\r']) {
            format!("\"{}\"", cell.replace('"', "\"\""))
        } else {
            cell.to_owned()
        }
    };
    let line = |cells: Vec<String>| cells.join(",") + "\n";
    let mut text = line(heads.iter().map(|head| quoted(head)).collect());
    for row in rows {
        text += &line(row.iter().map(|cell| quoted(cell)).collect());
    }
    text
}

/// A number with so many digits behind the point, or [`UNKNOWN`].
pub(crate) fn number(value: Option<f64>, digits: usize) -> String {
    value.filter(|value| value.is_finite()).map_or(UNKNOWN.to_owned(), |value| format!("{value:.digits$}"))
}

/// A share in percent with so many digits behind the point, or [`UNKNOWN`].
pub(crate) fn percent(share: Option<f64>, digits: usize) -> String {
    share.filter(|share| share.is_finite()).map_or(UNKNOWN.to_owned(), |share| format!("{:.digits$} %", 100.0 * share))
}

/// A share with its interval, in percent.
pub(crate) fn percent_within(estimate: Option<Estimate>, digits: usize) -> String {
    let Some(Estimate { mean, low, high, .. }) = estimate else { return percent(None, digits) };
    format!("{} ({:.digits$} to {:.digits$})", percent(Some(mean), digits), 100.0 * low, 100.0 * high)
}

/// A number for a machine to read: all digits that matter, empty where it is unknown.
pub(crate) fn cell(value: Option<f64>) -> String {
    value.filter(|value| value.is_finite()).map(|value| value.to_string()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cell_that_would_break_its_line_is_quoted() {
        let text = csv(&["name", "what"], [vec!["a".to_owned(), "one, \"two\"".to_owned()]]);
        assert_eq!(text, "name,what\na,\"one, \"\"two\"\"\"\n");
    }

    #[test]
    fn an_unknown_number_is_not_zero() {
        assert_eq!([number(None, 2), number(Some(f64::NAN), 2), percent(None, 1)], [UNKNOWN; 3]);
        assert_eq!([number(Some(1.255), 1), percent(Some(0.5), 0), cell(None)], ["1.3", "50 %", ""]);
    }

    #[test]
    fn tables_are_markdown() {
        let mut table = Table::new([("name", Align::Left), ("n", Align::Right)]);
        table.row(["a".to_owned(), "1".to_owned()]);
        assert_eq!(table.markdown(), "| name | n |\n|---|--:|\n| a | 1 |\n");
    }
}
