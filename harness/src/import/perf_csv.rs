//! Rows of `perf stat -x`, of all versions since 3.x.
//!
//! # Problem
//!
//! No row says what its fields are, and their number differs by version and option. An event's name may hold the
//! separator. A locale may put a comma into a number, which then looks like two fields.
//!
//! # Grammar
//!
//! ```text
//! row    = [time] [group [cpus]] value [unit] event [cgroup] [spread "%"] [run-time running-percentage [metric ...]]
//! group  = S0 | S0-D0-C1 | N0 | CPU0 | command-thread
//! value  = number | "<not counted>" | "<not supported>"
//! ```
//!
//! A row whose value is empty carries a metric and no count; one that begins with `summary` sums up all intervals (`--summary`).
//! Neither is a reading. Where a reading of the row is not forced, the row is refused:
//!
//! - A time is a number with nine decimals, or one that a value follows.
//! - `cpus` stands only behind sockets, dies, cores and nodes.
//! - An event's name goes on over separators until its slashes are paired.
//! - Units and events are no numbers, and a running percentage has its two decimals. So a decimal comma, which makes two
//!   fields of one, is always found out.

use super::fields::{Field, Separator, amount, share_of_percent, split};
use super::{Amount, Fault, RawReading};

const LOCALE: &str = "is ',' the decimal mark? Run perf with LC_ALL=C, or with -x';'";

/// The reading in `line`; `None` for a row that carries a metric only.
pub(super) fn row(line: &str, separator: Separator) -> Result<Option<RawReading>, Fault> {
    let fields = split(line, separator)?;
    if fields.len() > 1 && fields[0].text == "summary" {
        return Ok(None);
    }
    let row = Row { separator };
    let mut rest = &fields[..];
    let time_seconds = row.take_time(&mut rest);
    let mut group = row.take_group(&mut rest)?;
    let Some((value, after)) = rest.split_first() else {
        return Err(Fault::new(line.len(), "the row ends before its count"));
    };
    if value.text.is_empty() {
        return row.metric(after, line.len()).map(|()| None);
    }
    let value = row.value(value)?;
    let named = row.unit_and_event(after, line.len())?;
    let tail = row.tail(named.tail)?;
    if let Some(cgroup) = tail.cgroup {
        group = Some(group.map_or_else(|| cgroup.to_owned(), |group| format!("{group} {cgroup}")));
    }
    let (unit, running_ratio) = (named.unit, tail.running_ratio);
    Ok(Some(RawReading { time_seconds, group, value, unit, event: named.event, running_ratio }))
}

/// Whether a separator other than the comma splits `line` into a reading.
pub(super) fn separator_of(line: &str) -> Separator {
    let fits = |separator: &Separator| line.contains(separator.0) && row(line, *separator).is_ok();
    Separator::ALL.into_iter().find(fits).unwrap_or(Separator(','))
}

/// Whether `text` stands where a count would.
pub(super) fn is_value(text: &str, separator: Separator) -> bool {
    text.starts_with("<not ") || amount(text, separator).is_some()
}

/// Fields of rows with this separator.
struct Row {
    separator: Separator,
}

/// What a count is of, and the fields behind it.
struct Named<'a> {
    unit: String,
    event: String,
    tail: &'a [Field<'a>],
}

/// What stands behind the event.
#[derive(Default)]
struct Tail<'a> {
    cgroup: Option<&'a str>,
    running_ratio: Option<f64>,
}

impl Row {
    fn is_number(&self, field: &Field<'_>) -> bool {
        amount(&field.text, self.separator).is_some()
    }

    fn is_whole(&self, field: &Field<'_>) -> bool {
        !field.text.is_empty() && field.text.bytes().all(|byte| byte.is_ascii_digit())
    }

    fn is_percentage(&self, field: &Field<'_>) -> bool {
        field.text.strip_suffix('%').is_some_and(|number| amount(number, self.separator).is_some())
    }

    fn take_time(&self, rest: &mut &[Field<'_>]) -> Option<f64> {
        let [first, second, ..] = rest else { return None };
        let decimals = first.text.split_once('.')?.1.len();
        if decimals != 9 && !is_value(&second.text, self.separator) {
            return None;
        }
        let time = super::fields::number(&first.text)?.as_f64();
        *rest = &rest[1..];
        Some(time)
    }

    fn take_group(&self, rest: &mut &[Field<'_>]) -> Result<Option<String>, Fault> {
        let [first, second, others @ ..] = *rest else { return Ok(None) };
        if first.text.is_empty() || is_value(&first.text, self.separator) {
            return Ok(None);
        }
        let is_followed = second.text.is_empty() || is_value(&second.text, self.separator);
        if !is_followed || !is_group(&first.text) {
            let problem = format!("{:?} is neither a count nor what one could be of", first.text);
            return Err(Fault::new(first.at, problem));
        }
        let counted = match others {
            // `S0,2,1234,...`, and `S0,2,,...` of a metric, but not `S0,1234,,cycles`.
            [third, ..] if is_value(&third.text, self.separator) => true,
            [third, fourth, ..] if third.text.is_empty() => fourth.text.is_empty() || self.is_number(fourth),
            _ => false,
        };
        let cpus = counted && self.is_whole(second) && names_hardware(&first.text);
        *rest = &rest[if cpus { 2 } else { 1 }..];
        Ok(Some(first.text.to_string()))
    }

    fn value(&self, field: &Field<'_>) -> Result<Option<Amount>, Fault> {
        if ["<not counted>", "<not supported>"].contains(&&*field.text) {
            return Ok(None);
        }
        let problem = || Fault::new(field.at, format!("{:?} is no count", field.text));
        amount(&field.text, self.separator).map(Some).ok_or_else(problem)
    }

    fn unit_and_event<'a>(&self, after: &'a [Field<'a>], end: usize) -> Result<Named<'a>, Fault> {
        let without_unit = match after {
            [] => return Err(Fault::new(end, "the row ends before the name of its event")),
            [_] => true,
            // 3.x before units: the name is followed by figures, or goes on behind the separator.
            [first, second, ..] => {
                !first.text.is_empty()
                    && (is_open(first) || (self.is_number(second) || self.is_percentage(second)))
                    && !self.is_number(first)
            }
        };
        let (unit, names) =
            if without_unit { (String::new(), after) } else { (after[0].text.to_string(), &after[1..]) };
        if !without_unit && self.is_number(&after[0]) {
            let problem = format!("the number {unit:?} stands where a unit should; {LOCALE}");
            return Err(Fault::new(after[0].at, problem));
        }
        let first = &names[0];
        // Columns for people stand apart by blanks: `1,234      cycles` is no count of 1.
        let wide = |field: &&Field<'_>| !field.quoted && field.text.contains(char::is_whitespace);
        if let Some(wide) = [&after[0], first].into_iter().find(wide) {
            let problem =
                format!("blanks in {:?}, where a unit or an event has none; record with perf stat -x,", wide.text);
            return Err(Fault::new(wide.at, problem));
        }
        if first.text.is_empty() || self.is_number(first) || self.is_percentage(first) {
            let problem = format!("{:?} stands where the name of an event should; {LOCALE}", first.text);
            return Err(Fault::new(first.at, problem));
        }
        let mut event = first.text.to_string();
        let mut used = 1;
        while !first.quoted && event.matches('/').count() % 2 == 1 {
            let Some(next) = names.get(used) else {
                return Err(Fault::new(first.at, format!("the event {event:?} has no closing slash")));
            };
            event.push(self.separator.0);
            event += &next.text;
            used += 1;
        }
        Ok(Named { unit, event, tail: &names[used..] })
    }

    fn tail<'a>(&self, mut rest: &'a [Field<'a>]) -> Result<Tail<'a>, Fault> {
        let mut tail = Tail::default();
        if let [first, others @ ..] = rest
            && !first.text.is_empty()
            && !self.is_number(first)
            && !self.is_percentage(first)
        {
            tail.cgroup = Some(&first.text);
            rest = others;
        }
        if let [first, others @ ..] = rest
            && self.is_percentage(first)
        {
            rest = others;
        }
        match rest {
            [] => Ok(tail),
            all if all.iter().all(|field| field.text.is_empty()) => Ok(tail),
            [run, percentage, ..] if self.is_whole(run) => {
                tail.running_ratio = Some(self.running(percentage)?);
                Ok(tail)
            }
            [first, ..] => Err(Fault::new(first.at, format!("{:?} stands where a running time should", first.text))),
        }
    }

    fn running(&self, field: &Field<'_>) -> Result<f64, Fault> {
        let text = if self.separator.0 == ',' { field.text.to_string() } else { field.text.replacen(',', ".", 1) };
        let decimals = text.split_once('.').map(|(_, decimals)| decimals.len());
        let problem = || {
            let problem = format!("{:?} stands where a running percentage as 100.00 should; {LOCALE}", field.text);
            Fault::new(field.at, problem)
        };
        if decimals == Some(2) { share_of_percent(&text).ok_or_else(problem) } else { Err(problem()) }
    }

    /// Checks that a row without a value is one of a metric: `,,,,,70.1,%  name`, or `,run,percentage,,,,name`.
    fn metric(&self, rest: &[Field<'_>], end: usize) -> Result<(), Fault> {
        let said = rest.iter().rposition(|field| !field.text.is_empty());
        let Some(name) = said.filter(|name| *name >= 4 && !self.is_number(&rest[*name])) else {
            return Err(Fault::new(end, "the row has neither a count nor a metric"));
        };
        let is_figure = |field: &&Field<'_>| field.text.is_empty() || self.is_number(field) || field.text == "nan";
        match rest[..name].iter().find(|field| !is_figure(field)) {
            Some(field) => {
                Err(Fault::new(field.at, format!("{:?} stands where a row without a count has none", field.text)))
            }
            None => Ok(()),
        }
    }
}

/// Whether a field's slashes are not paired, so that it goes on behind the separator.
fn is_open(field: &Field<'_>) -> bool {
    !field.quoted && field.text.matches('/').count() % 2 == 1
}

/// Whether `text` can say what a count is of: hardware, a CPU, or a thread as `command-4711`.
fn is_group(text: &str) -> bool {
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let thread = text.rsplit_once('-').is_some_and(|(command, number)| !command.is_empty() && digits(number));
    names_hardware(text) || text.strip_prefix("CPU").is_some_and(digits) || thread
}

/// Whether a group is a socket, die, core, cluster, cache or node, whose number of CPUs perf prints.
fn names_hardware(group: &str) -> bool {
    let mut letters = group.chars();
    let kind = letters.next().is_some_and(|letter| matches!(letter, 'S' | 'D' | 'N'));
    kind && letters.next().is_some_and(|letter| letter.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(line: &str) -> RawReading {
        row(line, separator_of(line)).expect("well formed").expect("a reading")
    }

    fn complaint(line: &str) -> String {
        row(line, separator_of(line)).expect_err("not to be read").problem
    }

    #[test]
    fn rows_of_threads_cpus_cores_and_cgroups_name_their_group() {
        for (line, group) in [
            ("bash-4711,1234,,cycles,500,100.00,,", Some("bash-4711")),
            ("     1.000123456,CPU3,1234,,cycles,500,100.00,,", Some("CPU3")),
            ("S0-D0-C1,2,1234,,cycles,500,100.00,,", Some("S0-D0-C1")),
            ("S0-D0-C1,1234,,cycles,500,100.00,,", Some("S0-D0-C1")),
            ("N1,8,1234,,cycles", Some("N1")),
            ("1234,,cycles,/system.slice,500,100.00,,", Some("/system.slice")),
            ("CPU0,1234,,cycles,user,500,100.00,,", Some("CPU0 user")),
            ("1234,,cycles,500,100.00,,", None),
        ] {
            let reading = read(line);
            assert_eq!((reading.group.as_deref(), reading.value), (group, Some(Amount::Whole(1234))), "{line}");
            assert_eq!(reading.event, "cycles", "{line}");
        }
    }

    #[test]
    fn versions_without_a_unit_are_read() {
        for line in ["1234,cycles", "1.000123456,1234,cycles", "1234,cycles,500,100.00", "1234,cycles,0.02%,500,100.00"]
        {
            let reading = read(line);
            assert_eq!((reading.event.as_str(), reading.unit.as_str()), ("cycles", ""), "{line}");
            assert_eq!(reading.value, Some(Amount::Whole(1234)), "{line}");
        }
    }

    #[test]
    fn what_was_not_counted_is_absent_and_says_how_long_it_ran() {
        let reading = read("<not counted>,,LLC-loads,0,0.00,,");
        assert_eq!((reading.value, reading.running_ratio), (None, Some(0.0)));
        assert_eq!(read("1.000000000,S0,2,<not supported>,,LLC-loads,0,100.00,,").value, None);
    }

    #[test]
    fn a_decimal_comma_is_found_out_wherever_it_stands() {
        for line in [
            "225851,20,msec,cpu-clock,225850700108,100.00,,",
            "1.000123456,225851,20,msec,cpu-clock,225850700108,100,00,,",
            "CPU0,225851,20,msec,cpu-clock,225850700108,100.00,,",
            "S0-D0-C0,225851,20,msec,cpu-clock,225850700108,100,00,,",
            "976,,context-switches,225850504803,100,00,4,321,/sec",
            "123,456,789",
        ] {
            assert!(complaint(line).contains("LC_ALL=C"), "{line}: {}", complaint(line));
        }
    }

    #[test]
    fn a_decimal_comma_beside_another_separator_is_read() {
        let reading = read("225851,20;msec;cpu-clock;225850700108;99,50;224,431;CPUs utilized");
        assert_eq!((reading.value, reading.unit.as_str()), (Some(Amount::Real(225_851.2)), "msec"));
        assert_eq!(reading.running_ratio, Some(0.995));
    }

    #[test]
    fn names_with_separators_are_whole_quoted_or_not() {
        for line in ["7,,a/x=1,y=2/,5,100.00,,", "7,,\"a/x=1,y=2/\",5,100.00,,", "7,a/x=1,y=2/"] {
            assert_eq!(read(line).event, "a/x=1,y=2/", "{line}");
        }
        assert!(complaint("7,,a/x=1,y=2,5,100.00,,").contains("no closing slash"));
    }

    #[test]
    fn rows_that_carry_a_metric_only_are_no_readings() {
        for line in [
            ",225849327050,100.00,,,,TopdownL1",
            ",,,,,70.1,%  tma_backend_bound",
            "S0,2,,,,,70.1,%  x",
            "1.000000000,,,,,,1,%  x",
            "         summary,1234,,cycles,500,100.00,,",
        ] {
            assert_eq!(row(line, Separator(',')), Ok(None), "{line}");
        }
        assert!(row(",,,", Separator(',')).is_err());
    }

    #[test]
    fn a_row_cut_short_is_refused() {
        for line in [
            "1.000000000",
            "12,",
            "12,,",
            "12,,cycles,500",
            "abc",
            "abc,def,ghi",
            "<not,,cycles",
            "12x4,,cycles,5,100.00,,",
            "     1,234      cycles",
            "     1,234      cycles    #    3,308 GHz",
        ] {
            assert!(row(line, Separator(',')).is_err(), "{line}");
        }
    }
}
