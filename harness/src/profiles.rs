//! Profiles of programs alone at several sizes of the last-level cache, as tables of other people's measurements.
//!
//! Owns reading and checking them. What a profile says of a mix is [`predictor::contention`]'s business.

use std::collections::BTreeMap;
use std::path::Path;

use predictor::contention::stalls::Assigned;

use crate::input::{InputError, read_text};

/// Columns that a table must have, beside `app` and `ways`.
const NUMBERS: [&str; 5] = ["ipc", "memory_bandwidth_mib_s", "stalls_total", "stalls_l3_miss", "stalls_store_buffer"];

/// Columns that a table may have: LLC references and misses per thousand instructions.
const REFERENCES: &str = "llc_references_per_kilo_instruction";
const MISSES: &str = "llc_misses_per_kilo_instruction";

/// A program alone with so many ways of the cache.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Alone {
    /// Instructions per cycle.
    pub ipc: f64,
    /// Memory traffic.
    pub bandwidth_mib_s: f64,
    /// All stalls, as a share of cycles.
    pub stalls: f64,
    /// Stalls that wait for memory, as a share of cycles.
    pub memory_stalls: f64,
    /// LLC references per thousand instructions, where the table has them.
    pub references: Option<f64>,
    /// LLC misses per thousand instructions, where the table has them.
    pub misses: Option<f64>,
}

/// Programs alone, each with several numbers of ways.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Profiles(BTreeMap<String, BTreeMap<u32, Alone>>);

impl Profiles {
    /// Reads a table: a line of column names, then a line for each program and number of ways. Columns that are not
    /// needed are left alone.
    pub fn read(file: &Path) -> Result<Self, InputError> {
        Self::parse(&read_text(file)?).map_err(|error| error.in_file(file))
    }

    fn parse(text: &str) -> Result<Self, InputError> {
        let mut lines = (1..).zip(text.lines()).filter(|(_, line)| !line.trim().is_empty());
        let (_, header) = lines.next().ok_or_else(|| InputError::new("is empty", "give a table of profiles"))?;
        let names: Vec<&str> = header.split(',').map(str::trim).collect();
        let column = |name: &str| {
            names.iter().position(|known| *known == name).ok_or_else(|| {
                let problem = format!("the table has no column {name}");
                InputError::new(problem, format!("it needs app, ways, {}", NUMBERS.join(", "))).at("line 1")
            })
        };
        let (app, ways) = (column("app")?, column("ways")?);
        let optional = |name: &str| names.iter().position(|known| *known == name);
        let (references, misses) = (optional(REFERENCES), optional(MISSES));
        let numbers = NUMBERS.iter().map(|name| column(name)).collect::<Result<Vec<_>, _>>()?;
        let mut profiles = Self::default();
        for (line, row) in lines {
            let place = format!("line {line}");
            let fields: Vec<&str> = row.split(',').map(str::trim).collect();
            if fields.len() != names.len() {
                let problem = format!("{} fields, but the table has {} columns", fields.len(), names.len());
                return Err(InputError::new(problem, "give each row a field for each column").at(place));
            }
            let wrong = |name: &str, value: &str, remedy: &str| {
                InputError::new(format!("{name} is {value:?}"), remedy).at(place.clone())
            };
            let ways: u32 = match fields[ways].parse() {
                Ok(ways @ 1..) => ways,
                _ => return Err(wrong("ways", fields[ways], "give a whole number of at least 1")),
            };
            let mut values = [0.0; NUMBERS.len()];
            for ((value, name), column) in values.iter_mut().zip(NUMBERS).zip(&numbers) {
                let read = fields[*column].parse::<f64>().ok().filter(|number| number.is_finite() && *number >= 0.0);
                *value = read.ok_or_else(|| wrong(name, fields[*column], "give a number that is not negative"))?;
            }
            let [ipc, bandwidth_mib_s, stalls, l3_miss, store_buffer] = values;
            if ipc == 0.0 {
                return Err(wrong("ipc", "0", "a program that runs has some"));
            }
            let rate = |column: Option<usize>| {
                let read = fields[column?].parse::<f64>().ok();
                read.filter(|number| number.is_finite() && *number >= 0.0)
            };
            let alone = Alone {
                ipc,
                bandwidth_mib_s,
                stalls,
                memory_stalls: l3_miss + store_buffer,
                references: rate(references),
                misses: rate(misses),
            };
            if profiles.0.entry(fields[app].to_owned()).or_default().insert(ways, alone).is_some() {
                let problem = format!("{} with {ways} ways stands there twice", fields[app]);
                return Err(InputError::new(problem, "leave one of the rows out").at(place));
            }
        }
        Ok(profiles)
    }

    /// The programs' names, in order.
    pub fn programs(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(String::as_str)
    }

    /// What `app` does with each number of ways that it was profiled with, ascending; nothing of an unknown one.
    #[must_use]
    pub fn alone(&self, app: &str) -> Vec<(u32, Alone)> {
        self.0.get(app).into_iter().flatten().map(|(ways, alone)| (*ways, *alone)).collect()
    }

    /// What `app` does with `ways` ways; bandwidth in MiB/s.
    pub fn assigned(&self, app: &str, ways: u32) -> Result<Assigned, InputError> {
        let rows = self.0.get(app).ok_or_else(|| {
            let known: Vec<&str> = self.0.keys().map(String::as_str).collect();
            InputError::new(format!("there is no profile of {app:?}"), format!("give one of {}", known.join(", ")))
        })?;
        let here = rows.get(&ways).ok_or_else(|| {
            let known: Vec<String> = rows.keys().map(ToString::to_string).collect();
            let problem = format!("{app} was not profiled with {ways} ways");
            InputError::new(problem, format!("give one of {}", known.join(", ")))
        })?;
        // Not the one with most ways: IPC does not always grow with them.
        let best_ipc = rows.values().map(|row| row.ipc).fold(here.ipc, f64::max);
        Ok(Assigned {
            ipc: here.ipc,
            best_ipc,
            bandwidth: here.bandwidth_mib_s,
            stalls: here.stalls,
            memory_stalls: here.memory_stalls,
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const TABLE: &str = "app,ways,ipc,memory_bandwidth_mib_s,stalls_total,stalls_l3_miss,stalls_store_buffer,more
mcf,1,0.5,100,0.8,0.5,0.1,x
mcf,2,1.0,50,0.4,0.25,0.0,y
mcf,3,0.75,50,0.5,0.25,0.0,y
";

    #[test]
    fn the_best_ipc_is_not_always_that_of_most_ways() {
        let profiles = Profiles::parse(TABLE).expect("a table");
        let expected = Assigned { ipc: 0.75, best_ipc: 1.0, bandwidth: 50.0, stalls: 0.5, memory_stalls: 0.25 };
        assert_eq!(profiles.assigned("mcf", 3), Ok(expected));
        assert_eq!(profiles.assigned("mcf", 1).expect("a row").memory_stalls, 0.6);
    }

    #[test]
    fn a_wrong_row_is_named_by_its_line() {
        for (row, word) in [
            ("lbm,0,1,1,1,1,1,x", "ways"),
            ("lbm,1,fast,1,1,1,1,x", "ipc"),
            ("lbm,1,0,1,1,1,1,x", "ipc"),
            ("lbm,1,1,-1,1,1,1,x", "memory_bandwidth_mib_s"),
            ("lbm,1,1,,1,1,1,x", "memory_bandwidth_mib_s"),
            ("lbm,1,1", "3 fields"),
            ("mcf,1,1,1,1,1,1,x", "twice"),
        ] {
            let refusal = Profiles::parse(&format!("{TABLE}{row}\n")).expect_err(row).to_string();
            assert!(refusal.contains("line 5") && refusal.contains(word), "{refusal}");
        }
        assert!(Profiles::parse("app,ways\n").expect_err("too few").to_string().contains("no column ipc"));
        assert!(Profiles::parse("").is_err());
    }

    #[test]
    fn what_was_not_profiled_is_answered_with_what_was() {
        let profiles = Profiles::parse(TABLE).expect("a table");
        assert!(profiles.assigned("lbm", 1).expect_err("unknown").to_string().contains("one of mcf"));
        assert!(profiles.assigned("mcf", 9).expect_err("unknown").to_string().contains("one of 1, 2, 3"));
    }

    proptest! {
        #[test]
        fn no_text_makes_reading_panic(text in "(app|ways|ipc|[0-9.,\n-]){0,80}|.{0,60}") {
            let _ = Profiles::parse(&text);
        }
    }
}
