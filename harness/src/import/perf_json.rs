//! Lines of `perf stat -j`: objects, one or several a line.
//!
//! `counter-value` is text in every version so far; a number is read as well. An object without it carries a metric. A key
//! that matters and stands twice in an object is refused: which one holds is not ours to guess.

use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::Value;

use super::fields::{number, share_of_percent};
use super::{Amount, Fault, RawReading};

/// Keys that name what was counted together; of cores and the like perf gives the name, of a CPU its number.
const GROUPS: [&str; 9] = ["socket", "die", "cluster", "cache", "core", "node", "cpu", "thread", "cgroup"];

/// An object's keys and values as they stand, duplicates included.
struct Object(Vec<(String, Value)>);

impl<'de> Deserialize<'de> for Object {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Pairs;
        impl<'de> Visitor<'de> for Pairs {
            type Value = Object;

            fn expecting(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                out.write_str("an object of perf stat -j")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Object, A::Error> {
                let mut pairs = Vec::new();
                while let Some(pair) = map.next_entry()? {
                    pairs.push(pair);
                }
                Ok(Object(pairs))
            }
        }
        deserializer.deserialize_map(Pairs)
    }
}

/// The readings in `line`.
pub(super) fn row(line: &str) -> Result<Vec<RawReading>, Fault> {
    let mut objects = serde_json::Deserializer::from_str(line).into_iter::<Object>();
    let mut readings = Vec::new();
    loop {
        let start = objects.byte_offset();
        let start = start + (line[start..].len() - line[start..].trim_start().len());
        match objects.next() {
            None => return Ok(readings),
            Some(Ok(object)) => {
                readings.extend(object.reading().map_err(|problem| Fault::new(start, problem))?);
            }
            Some(Err(error)) => {
                let decimal_comma = "; if a number has a decimal comma, run perf with LC_ALL=C";
                let text = error.to_string();
                let plain = text.rsplit_once(" at line").map_or(text.as_str(), |(plain, _)| plain);
                // The parser counts bytes from 1 and stands behind what it could not use.
                let at = error.column().saturating_sub(1).min(line.len());
                return Err(Fault::new(at, format!("no JSON that perf stat -j writes: {plain}{decimal_comma}")));
            }
        }
    }
}

impl Object {
    fn get(&self, key: &str) -> Result<Option<&Value>, String> {
        let mut found = self.0.iter().filter(|(name, _)| name == key).map(|(_, value)| value);
        let first = found.next();
        if found.next().is_some() { Err(format!("the key {key:?} stands twice")) } else { Ok(first) }
    }

    fn text(&self, key: &str) -> Result<Option<&str>, String> {
        match self.get(key)? {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text)),
            Some(other) => Err(format!("{key:?} is {other} and should be text")),
        }
    }

    /// A number, or text that is one.
    fn number(&self, key: &str) -> Result<Option<String>, String> {
        match self.get(key)? {
            None => Ok(None),
            // Whole numbers keep their digits; others are written out, since JSON may have an exponent.
            Some(Value::Number(number)) if number.is_u64() => Ok(Some(number.to_string())),
            Some(Value::Number(number)) => Ok(number.as_f64().map(|number| number.to_string())),
            Some(Value::String(text)) => Ok(Some(text.trim().to_owned())),
            Some(other) => Err(format!("{key:?} is {other} and should be a number")),
        }
    }

    fn reading(&self) -> Result<Option<RawReading>, String> {
        let Some(count) = self.number("counter-value")? else { return Ok(None) };
        let value = match count.as_str() {
            "<not counted>" | "<not supported>" => None,
            text => Some(number(text).ok_or_else(|| no_number("counter-value", text))?),
        };
        let event = self.text("event")?.filter(|event| !event.is_empty());
        let event = event.ok_or("it has a counter-value and names no event")?.to_owned();
        let time = self.number("interval")?;
        let time = time.map(|text| number(&text).ok_or_else(|| no_number("interval", &text))).transpose()?;
        let running = self.number("pcnt-running")?;
        let running =
            running.map(|text| share_of_percent(&text).ok_or_else(|| no_number("pcnt-running", &text))).transpose()?;
        Ok(Some(RawReading {
            time_seconds: time.map(Amount::as_f64),
            group: self.group()?,
            value,
            unit: self.text("unit")?.unwrap_or_default().to_owned(),
            event,
            running_ratio: running,
        }))
    }

    fn group(&self) -> Result<Option<String>, String> {
        let mut names: Vec<String> = Vec::new();
        for key in GROUPS {
            let Some(name) = self.number(key)? else { continue };
            let numbered = key == "cpu" && !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_digit());
            names.push(if numbered { format!("CPU{name}") } else { name });
        }
        Ok((!names.is_empty()).then(|| names.join(" ")))
    }
}

fn no_number(key: &str, text: &str) -> String {
    format!("{key:?} is {text:?} and should be a number as 123.45; if it has a decimal comma, run perf with LC_ALL=C")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_of_cpus_and_threads_name_their_group() {
        let of = |head: &str| {
            let line = format!("{{{head}, \"counter-value\" : \"7.000000\", \"event\" : \"cycles\"}}");
            row(&line).expect("well formed").remove(0).group
        };
        assert_eq!(of("\"cpu\" : \"3\"").as_deref(), Some("CPU3"));
        assert_eq!(of("\"thread\" : \"bash-4711\"").as_deref(), Some("bash-4711"));
        assert_eq!(of("\"node\" : \"N0\", \"aggregate-number\" : 4").as_deref(), Some("N0"));
    }

    #[test]
    fn what_was_not_counted_is_absent() {
        let line = r#"{"counter-value" : "<not counted>", "unit" : "", "event" : "LLC-loads", "event-runtime" : 0, "pcnt-running" : 0.00}"#;
        let reading = row(line).expect("well formed").remove(0);
        assert_eq!((reading.value, reading.running_ratio), (None, Some(0.0)));
    }

    #[test]
    fn a_decimal_comma_is_refused_in_text_and_number() {
        for line in [
            r#"{"counter-value" : "1234,500000", "event" : "task-clock"}"#,
            r#"{"counter-value" : "7", "event" : "cycles", "pcnt-running" : 54,00}"#,
            r#"{"interval" : 1,000123, "counter-value" : "7", "event" : "cycles"}"#,
        ] {
            let fault = row(line).expect_err("not to be read");
            assert!(fault.problem.contains("LC_ALL=C"), "{fault:?}");
        }
    }

    #[test]
    fn a_key_that_stands_twice_is_refused_where_it_matters() {
        assert!(row(r#"{"counter-value" : "7", "counter-value" : "8", "event" : "cycles"}"#).is_err());
        let metrics = r#"{"counter-value" : "7", "event" : "cycles", "metric-value" : 1, "metric-value" : 2}"#;
        assert_eq!(row(metrics).map(|readings| readings.len()), Ok(1));
    }

    #[test]
    fn a_fault_in_the_second_object_is_placed_there() {
        let line = r#"{"metric-value" : "1"} {"counter-value" : "x", "event" : "cycles"}"#;
        assert_eq!(row(line).map_err(|fault| fault.at), Err(23));
    }
}
