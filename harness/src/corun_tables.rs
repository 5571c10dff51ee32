//! Tables of workloads alone and in pairs on real machines, as other people measured them.
//!
//! Owns reading and checking two tables: `machine,placement,subject,corunner,relative_ipc` for pairs, and `machine,workload,cycles` with
//! perf's event names for workloads alone. What can be told of pairs from them is [`predictor::contention::corun`]'s.

use std::collections::BTreeMap;
use std::path::Path;

use predictor::contention::corun::{Alone, CoRun};

use crate::input::{InputError, read_text};

/// Pairs of one machine and placement, with what its workloads do alone.
#[derive(Debug, Clone, PartialEq)]
pub struct Placed {
    /// The machine.
    pub machine: String,
    /// Where the two ran, as siblings or on other cores.
    pub placement: String,
    /// The workloads; their places are what co-runs name.
    pub workloads: Vec<String>,
    /// What each does alone.
    pub alone: Vec<Alone>,
    /// The pairs.
    pub runs: Vec<CoRun>,
}

/// Events that stand for what a workload asks of caches. Misses are the first of the two that was counted: some
/// machines have no event for reads that miss the last level, on others the general one counts instruction fetches.
const PRIVATE: [&str; 2] = ["L1-dcache-load-misses", "L1-icache-load-misses"];
const SHARED: [&str; 2] = ["LLC-stores", "LLC-loads"];
const MISSES: [&str; 2] = ["LLC-load-misses", "cache-misses"];

/// A table as text: its columns' names and its lines.
struct Table<'a> {
    names: Vec<&'a str>,
    lines: Vec<(usize, Vec<&'a str>)>,
}

impl<'a> Table<'a> {
    fn parse(text: &'a str, needed: &[&str]) -> Result<Self, InputError> {
        let mut lines = (1..).zip(text.lines()).filter(|(_, line)| !line.trim().is_empty());
        let split = |line: &'a str| line.split(',').map(str::trim).collect::<Vec<_>>();
        let names = lines.next().map(|(_, line)| split(line)).unwrap_or_default();
        if let Some(lacking) = needed.iter().find(|name| !names.contains(name)) {
            let problem = format!("the table has no column {lacking}");
            return Err(InputError::new(problem, format!("it needs {}", needed.join(", "))).at("line 1"));
        }
        let lines: Vec<(usize, Vec<&str>)> = lines.map(|(number, line)| (number, split(line))).collect();
        match lines.iter().find(|(_, fields)| fields.len() != names.len()) {
            Some((number, fields)) => {
                let problem = format!("{} fields, but the table has {} columns", fields.len(), names.len());
                Err(InputError::new(problem, "give each row a field for each column").at(format!("line {number}")))
            }
            None => Ok(Self { names, lines }),
        }
    }

    fn text(&self, fields: &[&'a str], name: &str) -> &'a str {
        self.names.iter().position(|known| *known == name).map_or("", |column| fields[column])
    }

    /// A number above 0 or equal to it; absent where the field is empty or the column is missing.
    fn number(&self, (line, fields): &(usize, Vec<&'a str>), name: &str) -> Result<Option<f64>, InputError> {
        let text = self.text(fields, name);
        if text.is_empty() {
            return Ok(None);
        }
        let number = text.parse::<f64>().ok().filter(|number| number.is_finite() && *number >= 0.0);
        let wrong = || {
            InputError::new(format!("{name} is {text:?}"), "give a number that is not negative")
                .at(format!("line {line}"))
        };
        number.map(Some).ok_or_else(wrong)
    }
}

/// Reads both tables; a group for each machine and placement, in their order in the table of pairs.
pub fn read(pairs: &Path, solo: &Path) -> Result<Vec<Placed>, InputError> {
    let (pairs_text, solo_text) = (read_text(pairs)?, read_text(solo)?);
    let alone = alone(&solo_text).map_err(|error| error.in_file(solo))?;
    groups(&pairs_text, &alone).map_err(|error| error.in_file(pairs))
}

type AloneByName = BTreeMap<(String, String), Alone>;

fn alone(text: &str) -> Result<AloneByName, InputError> {
    let table = Table::parse(text, &["machine", "workload", "cycles"])?;
    let mut answer = AloneByName::new();
    for row in &table.lines {
        let (line, fields) = row;
        let lacking = |name: &str| {
            InputError::new(format!("{name} was not counted"), "leave the workload out, or count it")
                .at(format!("line {line}"))
        };
        let cycles = table.number(row, "cycles")?.filter(|cycles| *cycles > 0.0).ok_or_else(|| lacking("cycles"))?;
        let rate = |name: &str| -> Result<f64, InputError> {
            Ok(1000.0 * table.number(row, name)?.ok_or_else(|| lacking(name))? / cycles)
        };
        let rates = |names: [&str; 2]| -> Result<[f64; 2], InputError> { Ok([rate(names[0])?, rate(names[1])?]) };
        let misses = if table.number(row, MISSES[0])?.is_some() { MISSES[0] } else { MISSES[1] };
        let alone = Alone { private: rates(PRIVATE)?, shared: rates(SHARED)?, misses: rate(misses)? };
        answer.insert((table.text(fields, "machine").to_owned(), table.text(fields, "workload").to_owned()), alone);
    }
    Ok(answer)
}

fn groups(text: &str, alone: &AloneByName) -> Result<Vec<Placed>, InputError> {
    let table = Table::parse(text, &["machine", "placement", "subject", "corunner", "relative_ipc"])?;
    let mut groups: Vec<Placed> = Vec::new();
    for row in &table.lines {
        let (line, fields) = row;
        let name = |column: &str| table.text(fields, column).to_owned();
        let (machine, placement) = (name("machine"), name("placement"));
        let known = groups.iter().position(|group| (&group.machine, &group.placement) == (&machine, &placement));
        let place = known.unwrap_or_else(|| {
            let of_machine = || alone.iter().filter(|((of, _), _)| *of == machine);
            groups.push(Placed {
                machine: machine.clone(),
                placement,
                workloads: of_machine().map(|((_, workload), _)| workload.clone()).collect(),
                alone: of_machine().map(|(_, alone)| *alone).collect(),
                runs: Vec::new(),
            });
            groups.len() - 1
        });
        let group = &mut groups[place];
        let who = |column: &str| {
            group.workloads.iter().position(|known| *known == name(column)).ok_or_else(|| {
                let problem =
                    format!("{column} is {:?}, of which there are no counters alone on {machine}", name(column));
                InputError::new(problem, "give counters of every workload").at(format!("line {line}"))
            })
        };
        let (subject, corunner) = (who("subject")?, who("corunner")?);
        let relative_ipc = table.number(row, "relative_ipc")?.filter(|ratio| *ratio > 0.0).ok_or_else(|| {
            InputError::new("relative_ipc is missing or 0", "leave the pair out").at(format!("line {line}"))
        })?;
        group.runs.push(CoRun { subject, corunner, relative_ipc });
    }
    Ok(groups)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SOLO: &str = "machine,workload,cycles,L1-dcache-load-misses,L1-icache-load-misses,LLC-stores,LLC-loads,LLC-load-misses,cache-misses
m,a,1000,1,2,3,4,5,9
m,b,2000,1,2,3,4,,9
";

    const PAIRS: &str = "machine,placement,subject,corunner,relative_ipc
m,far,a,b,0.9
m,near,b,a,0.8
";

    #[test]
    fn counters_become_rates_and_an_absent_one_is_not_zero() {
        let alone = alone(SOLO).expect("sound");
        let rates: Vec<f64> = alone.values().map(|alone| alone.misses).collect();
        assert_eq!(rates, [5.0, 4.5]);
        let without = SOLO.replace("m,b,2000,1,", "m,b,2000,,");
        let error = super::alone(&without).expect_err("it was not counted").to_string();
        assert!(error.contains("line 3") && error.contains("L1-dcache-load-misses was not counted"), "{error}");
    }

    #[test]
    fn each_machine_and_placement_is_a_group_of_its_own() {
        let groups = groups(PAIRS, &alone(SOLO).expect("sound")).expect("sound");
        assert_eq!(groups.len(), 2);
        assert_eq!(groups[1].runs, [CoRun { subject: 1, corunner: 0, relative_ipc: 0.8 }]);
        let unknown = super::groups(&PAIRS.replace(",a,b,", ",a,c,"), &alone(SOLO).expect("sound"));
        assert!(unknown.expect_err("who is c?").to_string().contains("corunner is \"c\""));
    }
}
