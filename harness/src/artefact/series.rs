//! From traces to what training wants: for each guest the run of each vCPU alone, and the one machine they ran on.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use predictor::counters::VcpuId;
use predictor::model::Machine;
use predictor::train::Series;

use crate::input::InputError;
use crate::trace::{Row, Trace, TraceError};

/// Training data of one machine.
#[derive(Debug, Clone, PartialEq)]
pub struct TrainingData {
    /// One series for each vCPU of each trace.
    pub series: Vec<Series>,
    /// What all of them ran on.
    pub machine: Machine,
}

/// Reads traces for training. Refuses traces of different machines, and vCPUs that shared an LLC domain: their cost
/// would be their neighbours' as much as their own.
pub fn read(files: &[PathBuf]) -> Result<TrainingData, InputError> {
    let mut data: Option<(TrainingData, &Path)> = None;
    for file in files {
        let trace = Trace::read(file).map_err(TraceError::into_input)?;
        check_alone(&trace).map_err(|mistake| mistake.in_file(file))?;
        let machine = trace.run.model_machine();
        let (data, first) = data.get_or_insert_with(|| (TrainingData { series: Vec::new(), machine }, file));
        if data.machine != machine {
            let problem = format!("it is of another machine or quantum than {}", first.display());
            return Err(InputError::new(problem, "train on traces of one machine and one quantum").in_file(file));
        }
        data.series.extend(series(trace));
    }
    let nothing = || InputError::new("no trace is given", "give at least one file that `phasecast record` wrote");
    data.map(|(data, _)| data).ok_or_else(nothing)
}

fn check_alone(trace: &Trace) -> Result<(), InputError> {
    let mut here: BTreeMap<(u64, u32), &Row> = BTreeMap::new();
    for row in &trace.rows {
        let place = (row.quantum, row.sample.domain.0);
        if let Some(other) = here.insert(place, row) {
            let (one, two) = (&other.guest_name, &row.guest_name);
            let problem = format!("guests {one:?} and {two:?} share LLC domain {} in quantum {}", place.1, place.0);
            let remedy = "train on guests alone: record each with `phasecast record --alone GUEST`";
            return Err(InputError::new(problem, remedy));
        }
    }
    Ok(())
}

fn series(trace: Trace) -> Vec<Series> {
    let mut by_vcpu: BTreeMap<VcpuId, Series> = BTreeMap::new();
    for row in trace.rows {
        let vcpu = row.sample.vcpu;
        let name = || match (row.program.as_str(), vcpu.index) {
            ("", index) => format!("{} vCPU {index}", row.guest_name),
            (program, _) => format!("{program} ({})", row.input),
        };
        let series = by_vcpu.entry(vcpu).or_insert_with(|| Series { name: name(), samples: Vec::new() });
        series.samples.push(row.sample);
    }
    by_vcpu.into_values().collect()
}
