//! Placement problems as a person writes them: JSON, parsed once into a checked problem and the names in it.
//!
//! Owns the format, which `docs/placement.md` describes. Solving is [`predictor::placement`]'s business.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use predictor::contention::{Calibration, Contention, Demand, Pressure};
use predictor::counters::{GuestId, VcpuId};
use predictor::placement::whatif::{Constraint, Setup, Vcpu, WhatIf};
use predictor::topology::{CpuId, DomainId, LlcDomain, NodeId, Topology};
use serde::Deserialize;

use crate::input::{InputError, parse_json, read_text, suggest};

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Raw {
    domains: Vec<RawDomain>,
    vcpus: Vec<RawVcpu>,
    contention: RawContention,
    #[serde(default)]
    objective: RawObjective,
    #[serde(default)]
    migration: Option<RawMigration>,
    #[serde(default)]
    constraints: RawConstraints,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawDomain {
    name: String,
    cpus: Vec<u32>,
    #[serde(default)]
    node: u32,
    memory_bytes_per_cycle: Option<f64>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawVcpu {
    name: String,
    guest: Option<String>,
    domain: Option<String>,
    weight: Option<f64>,
    pressure: Option<Pressure>,
    demand: Option<RawDemand>,
    cpus: Option<Vec<u32>>,
    domains: Option<Vec<String>>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawDemand {
    references_per_cycle: f64,
    bytes_per_cycle: f64,
    cache_sensitivity: f64,
    bandwidth_sensitivity: f64,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawContention {
    miss_per_hit_time: f64,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawObjective {
    #[serde(default)]
    worst_share: f64,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawMigration {
    lost_ms_per_move: f64,
    horizon_ms: f64,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawConstraints {
    overcommit: Option<f64>,
    max_moves: Option<usize>,
    #[serde(default)]
    within_a_node: Vec<String>,
}

/// A checked problem with the names that a person gave.
#[derive(Debug, Clone)]
pub struct Named {
    /// The problem.
    pub problem: WhatIf,
    /// The vCPUs in the order of the file.
    pub order: Vec<VcpuId>,
    names: BTreeMap<VcpuId, (String, String)>,
    domains: Vec<String>,
}

impl Named {
    /// Reads and checks a problem.
    pub fn read(file: &Path) -> Result<Self, InputError> {
        let raw = parse_json(file, &read_text(file)?)?;
        Self::of(raw).map_err(|error| error.in_file(file))
    }

    /// What a vCPU is called.
    #[must_use]
    pub fn name(&self, vcpu: VcpuId) -> &str {
        self.names.get(&vcpu).map_or("?", |(name, _)| name)
    }

    /// What its guest is called.
    #[must_use]
    pub fn guest(&self, vcpu: VcpuId) -> &str {
        self.names.get(&vcpu).map_or("?", |(_, guest)| guest)
    }

    /// What a domain is called.
    #[must_use]
    pub fn domain(&self, domain: DomainId) -> &str {
        self.domains.get(domain.0 as usize).map_or("?", String::as_str)
    }

    /// Where a vCPU runs now, if it does.
    #[must_use]
    pub fn present(&self, vcpu: VcpuId) -> Option<DomainId> {
        self.problem.setup().vcpus.iter().find(|other| other.id == vcpu)?.present
    }

    fn of(raw: Raw) -> Result<Self, InputError> {
        let domains: Vec<String> = raw.domains.iter().map(|domain| domain.name.clone()).collect();
        refuse_twice("domains", &domains)?;
        refuse_twice("vcpus", &raw.vcpus.iter().map(|vcpu| vcpu.name.clone()).collect::<Vec<_>>())?;
        let domain = |(id, raw): (u32, &RawDomain)| LlcDomain {
            id: DomainId(id),
            node: NodeId(raw.node),
            cpus: raw.cpus.iter().copied().map(CpuId).collect::<BTreeSet<_>>().into_iter().collect(),
            llc_bytes: None,
        };
        let topology = Topology::new((0..).zip(&raw.domains).map(domain).collect())
            .map_err(|error| InputError::new(error.to_string(), "correct the domains").at("domains"))?;
        let mut guests: Vec<String> = Vec::new();
        let (mut vcpus, mut names, mut order) = (Vec::new(), BTreeMap::new(), Vec::new());
        for (place, vcpu) in raw.vcpus.iter().enumerate() {
            let guest = vcpu.guest.clone().unwrap_or_else(|| vcpu.name.clone());
            let number = guests.iter().position(|known| *known == guest).unwrap_or(guests.len());
            if number == guests.len() {
                guests.push(guest.clone());
            }
            let of_guest = |id: &&VcpuId| id.guest.0 as usize == number;
            let index = u32::try_from(order.iter().filter(of_guest).count()).unwrap_or(u32::MAX);
            let id = VcpuId { guest: GuestId(u32::try_from(number).unwrap_or(u32::MAX)), index };
            let at = |error: InputError, key: &str| error.at(format!("vcpus[{place}].{key}"));
            vcpus.push(Vcpu {
                id,
                demand: demand(&raw.contention, vcpu).map_err(|(error, key)| at(error, key))?,
                weight: vcpu.weight.unwrap_or(1.0),
                present: vcpu
                    .domain
                    .as_ref()
                    .map(|name| known(name, &domains))
                    .transpose()
                    .map_err(|error| at(error, "domain"))?,
                allowed: allowed(vcpu, &domains, &topology).map_err(|error| at(error, "domains"))?,
            });
            names.insert(id, (vcpu.name.clone(), guest));
            order.push(id);
        }
        let within = |name: &String| {
            known(name, &guests)
                .map(|DomainId(guest)| GuestId(guest))
                .map_err(|error| error.at("constraints.within_a_node"))
        };
        let setup = Setup {
            memory_bytes_per_cycle: raw.domains.iter().map(|domain| domain.memory_bytes_per_cycle).collect(),
            topology,
            miss_per_hit_time: raw.contention.miss_per_hit_time,
            vcpus,
            worst_share: raw.objective.worst_share,
            lost_share_per_move: raw.migration.as_ref().map_or(Ok(0.0), lost_share)?,
            overcommit: raw.constraints.overcommit.unwrap_or(1.0),
            within_a_node: raw.constraints.within_a_node.iter().map(within).collect::<Result<_, _>>()?,
            max_moves: raw.constraints.max_moves,
        };
        let problem = WhatIf::new(setup).map_err(|error| InputError::new(error.problem, error.remedy).at(error.key))?;
        Ok(Self { problem, order, names, domains })
    }
}

/// What a person calls a constraint.
#[must_use]
pub fn constraint(constraint: Constraint) -> &'static str {
    match constraint {
        Constraint::Capacity => "capacity (constraints.overcommit)",
        Constraint::AllowedCpus => "the CPUs that vCPUs may use (vcpus.cpus, vcpus.domains)",
        Constraint::WithinANode => "guests within a node (constraints.within_a_node)",
        Constraint::Moves => "the number of moves (constraints.max_moves)",
    }
}

fn refuse_twice(list: &str, names: &[String]) -> Result<(), InputError> {
    for (place, name) in names.iter().enumerate() {
        if names[..place].contains(name) {
            let problem = format!("{name:?} stands there twice");
            return Err(InputError::new(problem, "give each its own name").at(format!("{list}[{place}].name")));
        }
    }
    Ok(())
}

/// The position of `name` among `names`.
fn known(name: &str, names: &[String]) -> Result<DomainId, InputError> {
    let place = names.iter().position(|known| known == name).and_then(|place| u32::try_from(place).ok());
    place.map(DomainId).ok_or_else(|| {
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        InputError::new(format!("nothing here is called {name:?}"), suggest(name, &names))
    })
}

fn lost_share(migration: &RawMigration) -> Result<f64, InputError> {
    if !(migration.horizon_ms.is_finite() && migration.horizon_ms > 0.0) {
        let problem = format!("is {}", migration.horizon_ms);
        return Err(InputError::new(problem, "give more than 0").at("migration.horizon_ms"));
    }
    Ok(migration.lost_ms_per_move / migration.horizon_ms)
}

fn demand(contention: &RawContention, vcpu: &RawVcpu) -> Result<Demand, (InputError, &'static str)> {
    match (&vcpu.demand, &vcpu.pressure) {
        (Some(raw), None) => Ok(Demand {
            references_per_cycle: raw.references_per_cycle,
            bytes_per_cycle: raw.bytes_per_cycle,
            cache_sensitivity: raw.cache_sensitivity,
            bandwidth_sensitivity: raw.bandwidth_sensitivity,
            ..Demand::default()
        }),
        (None, Some(pressure)) => {
            let Pressure { cycles_per_instruction, stall_share, .. } = *pressure;
            let rates = [
                pressure.llc_references_per_kilo_instruction,
                pressure.llc_misses_per_kilo_instruction,
                pressure.memory_bytes_per_kilo_instruction,
            ];
            if rates.iter().any(|rate| *rate < 0.0)
                || cycles_per_instruction <= 0.0
                || !(0.0..=1.0).contains(&stall_share)
            {
                let problem = "has a negative rate, no cycles per instruction, or a stall_share outside 0 to 1";
                return Err((InputError::new(problem, "give rates of the vCPU alone"), "pressure"));
            }
            let contention = Contention::additive(contention.miss_per_hit_time, None);
            Ok(contention.demand(pressure, &Calibration::default()))
        }
        _ => Err((
            InputError::new("needs one of pressure and demand", "say what the vCPU asks for, in one way"),
            "demand",
        )),
    }
}

/// The CPUs that `cpus` and `domains` both allow; absent if neither is said.
fn allowed(vcpu: &RawVcpu, domains: &[String], topology: &Topology) -> Result<Option<BTreeSet<CpuId>>, InputError> {
    let mut allowed: Option<BTreeSet<CpuId>> = vcpu.cpus.as_ref().map(|cpus| cpus.iter().copied().map(CpuId).collect());
    if let Some(names) = &vcpu.domains {
        let mut within = BTreeSet::new();
        for name in names {
            within.extend(topology.domain(known(name, domains)?).into_iter().flat_map(|domain| &domain.cpus));
        }
        allowed = Some(allowed.map_or(within.clone(), |cpus| cpus.intersection(&within).copied().collect()));
    }
    Ok(allowed)
}
