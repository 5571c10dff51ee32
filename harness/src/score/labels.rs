//! The phases that forecasts are scored on: how `--phases` is written, and the label of every interval.
//!
//! Learned phases come from counters that placement does not change, on principal components of these where `+pca:` says so,
//! k-means phases as `phasecast train` learns them, but never
//! from what is scored: for each family from the series of all others. Where there is one family only, the first fifth of each
//! series is learned from and not scored. What goes on learning as it names starts anew in each series.

use std::path::PathBuf;
use std::str::FromStr;

use predictor::counters::Event;
use predictor::features::{FeatureSet, FeatureVector, Keep, Observed, Projection, Scale};
use predictor::model::Model;
use predictor::phases::bins::{Bins, IPC_MOST};
use predictor::phases::centres::Centres;
use predictor::phases::leader::{LeaderSettings, Leaders};
use predictor::phases::mixture::Mixture;
use predictor::phases::two_level::{Settling, TwoLevel};
use predictor::phases::{Backend, NamePhase, PhaseId, PhaseModel, PhaseSettings};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;

use super::series::{Interval, Series};
use crate::artefact;
use crate::input::InputError;

/// Starts of each clustering.
const RESTARTS: usize = 8;

/// The part of a series that is learned from where there is no other to learn from.
const PREFIX_DIVISOR: usize = 5;

/// Most intervals of one series that a clustering learns from, evenly spread over it: a long series is no better a teacher.
const LEARNED_MOST: usize = 1000;

/// Most phases of a clustering.
const CLUSTERS_MOST: usize = 64;

/// Intervals after which a cluster is a phase of its own, where there are two levels.
const SETTLED: Settling = Settling::Samples(8);

/// Leaders of one series.
const LEADERS_MOST: usize = 16;

/// Members to whose mean a leader moves.
const LEADER_MEMORY: u32 = 64;

/// Radius of a leader where none is given, in spreads of what was learned from.
const LEADER_RADIUS: f64 = 1.0;

/// Radii that may be given.
const RADII: std::ops::RangeInclusive<f64> = 0.01..=100.0;

/// How phases are learned.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Learning {
    /// So many clusters.
    KMeans(usize),
    /// So many normal distributions.
    Mixture(usize),
    /// So many clusters, and one phase for all that were seen too seldom.
    TwoLevel(usize),
    /// Spheres of this radius around leaders, found as the series goes on.
    Leader(f64),
}

/// What a phase is.
#[derive(Debug, Clone, PartialEq)]
pub enum PhaseDefinition {
    /// Instructions per cycle in bins of one width.
    IpcBins(f64),
    /// Six classes of LLC misses per instruction.
    Isci,
    /// Learned from other series; where components are given, from points projected on these.
    Learned(Learning, Option<Keep>),
    /// The phases of a trained model: its folder, or its file.
    Model(PathBuf),
}

/// What stands before a number of components, after how phases are learned.
const COMPONENTS: &str = "+pca:";

impl FromStr for PhaseDefinition {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let forms = "give ipc-bins:WIDTH, isci, kmeans:K, mixture:K, two-level:K, leader, leader:RADIUS or model:DIR";
        let (kind, setting) = text.split_once(':').unwrap_or((text, ""));
        match kind {
            "ipc-bins" => match setting.parse() {
                Ok(width) if (0.001..=IPC_MOST).contains(&width) => Ok(Self::IpcBins(width)),
                _ => Err(format!("{setting:?} is no width of bins from 0.001 to {IPC_MOST}; as ipc-bins:0.25")),
            },
            "isci" if setting.is_empty() => Ok(Self::Isci),
            "model" if !setting.is_empty() => Ok(Self::Model(PathBuf::from(setting))),
            _ => {
                let (learning, components) = match text.split_once(COMPONENTS) {
                    Some((learning, components)) => (learning, Some(components.parse()?)),
                    None => (text, None),
                };
                match self::learning(learning)? {
                    Some(learning) => Ok(Self::Learned(learning, components)),
                    None => Err(format!("{text:?} defines no phases; {forms}")),
                }
            }
        }
    }
}

/// What `text` says of how phases are learned; `None` where it begins like none of the ways.
fn learning(text: &str) -> Result<Option<Learning>, String> {
    let (kind, setting) = text.split_once(':').unwrap_or((text, ""));
    let clusters = || match setting.parse() {
        Ok(count @ 1..=CLUSTERS_MOST) => Ok(count),
        _ => Err(format!("{setting:?} is no number of clusters from 1 to {CLUSTERS_MOST}; as {kind}:8")),
    };
    Ok(Some(match kind {
        "kmeans" => Learning::KMeans(clusters()?),
        "mixture" => Learning::Mixture(clusters()?),
        "two-level" => Learning::TwoLevel(clusters()?),
        "leader" if text == kind => Learning::Leader(LEADER_RADIUS),
        "leader" => match setting.parse() {
            Ok(radius) if RADII.contains(&radius) => Learning::Leader(radius),
            _ => {
                let (least, most) = (RADII.start(), RADII.end());
                return Err(format!("{setting:?} is no radius from {least} to {most}; as leader:1"));
            }
        },
        _ => return Ok(None),
    }))
}

impl std::fmt::Display for PhaseDefinition {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::IpcBins(width) => write!(out, "ipc-bins:{width}"),
            Self::Isci => out.write_str("isci"),
            Self::Learned(learning, components) => {
                match learning {
                    Learning::KMeans(count) => write!(out, "kmeans:{count}")?,
                    Learning::Mixture(count) => write!(out, "mixture:{count}")?,
                    Learning::TwoLevel(count) => write!(out, "two-level:{count}")?,
                    Learning::Leader(radius) => write!(out, "leader:{radius}")?,
                }
                components.map_or(Ok(()), |components| write!(out, "{COMPONENTS}{components}"))
            }
            Self::Model(folder) => write!(out, "model:{}", folder.display()),
        }
    }
}

/// Phases of all series.
#[derive(Debug, Clone, PartialEq)]
pub struct Labels {
    /// How many phases there can be.
    pub phases: usize,
    /// The model whose phases they are, if there is one.
    pub model: Option<Model>,
    /// For each series the phase of each interval; `None` where its counters were not read.
    pub labels: Vec<Vec<Option<PhaseId>>>,
}

/// Names the phase of every interval of `series`.
pub fn label(series: &[Series], definition: &PhaseDefinition, seed: u64) -> Result<Labels, InputError> {
    let labels = match definition {
        PhaseDefinition::IpcBins(width) => {
            let bins =
                Bins::ipc(*width).map_err(|error| InputError::new(error.to_string(), "correct it").at("--phases"))?;
            by_bins(series, bins, Interval::instructions_per_cycle)
        }
        PhaseDefinition::Isci => by_bins(series, Bins::isci(), Interval::llc_misses_per_instruction),
        PhaseDefinition::Learned(learning, components) => by_learning(series, *learning, *components, seed)?,
        PhaseDefinition::Model(folder) => {
            let model = artefact::load(folder)?;
            let phases = &model.parts().phases;
            let of = |series: &Series| series.intervals.iter().map(|interval| classify(phases, interval)).collect();
            let labels = series.iter().map(of).collect();
            Labels { phases: phases.len(), labels, model: Some(model) }
        }
    };
    match labels.labels.iter().position(|labels| labels.iter().all(Option::is_none)) {
        Some(place) => Err(unlabelled(&series[place], definition, labels.model.as_ref())),
        None => Ok(labels),
    }
}

fn by_bins(series: &[Series], mut bins: Bins, number: impl Fn(&Interval) -> Option<f64>) -> Labels {
    let phases = bins.phases();
    let mut bin = |interval: &Interval| number(interval).and_then(|number| bins.name(&[number]));
    let labels = series.iter().map(|series| series.intervals.iter().map(&mut bin).collect()).collect();
    Labels { phases, model: None, labels }
}

fn unlabelled(series: &Series, definition: &PhaseDefinition, model: Option<&Model>) -> InputError {
    let lacking = match (definition, model) {
        (PhaseDefinition::IpcBins(_), _) => "cycles".to_owned(),
        (PhaseDefinition::Isci, _) => "llc_misses".to_owned(),
        (_, Some(model)) => {
            let events = model.parts().phases.features.events();
            events.into_iter().map(Event::name).collect::<Vec<_>>().join(", ")
        }
        (_, None) => "llc_references".to_owned(),
    };
    let problem = format!("{} has no interval with the counters that {definition} needs: {lacking}", series.name);
    InputError::new(problem, "leave it out, or choose other phases: ipc-bins needs instructions and cycles only")
        .at("--phases")
}

fn classify(phases: &PhaseModel, interval: &Interval) -> Option<PhaseId> {
    match phases.features.observe(&interval.sample) {
        Observed::Active(vector) => Some(phases.classify(&vector).phase),
        Observed::Idle | Observed::Missing(_) => None,
    }
}

/// How vectors become points that phases are learned from.
#[derive(Clone)]
struct Axes(Scale, Option<Projection>);

impl Axes {
    fn fit(vectors: &[FeatureVector], components: Option<Keep>) -> Self {
        let scale = Scale::fit(vectors);
        let scaled = || -> Vec<Vec<f64>> { vectors.iter().map(|vector| scale.point(vector)).collect() };
        let projection = components.and_then(|components| Projection::fit(&scaled(), components));
        Self(scale, projection)
    }

    fn point(&self, vector: &FeatureVector) -> Vec<f64> {
        let Self(scale, projection) = self;
        let point = scale.point(vector);
        projection.as_ref().map_or_else(|| point.clone(), |projection| projection.project(&point))
    }
}

/// Phases learned from other series.
#[derive(Clone)]
enum Learned {
    KMeans(PhaseModel),
    Mixture(Axes, Mixture),
    TwoLevel(Axes, TwoLevel<Centres>),
    Leader(Axes, Leaders),
}

impl Learned {
    /// Learns from `vectors`; what is wrong with them or the settings as a sentence.
    fn fit(
        features: &FeatureSet,
        vectors: &[FeatureVector],
        learning: Learning,
        components: Option<Keep>,
        seed: u64,
    ) -> Result<Self, String> {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let axes = Axes::fit(vectors, components);
        let points = || -> Vec<Vec<f64>> { vectors.iter().map(|vector| axes.point(vector)).collect() };
        Ok(match learning {
            Learning::KMeans(count) => {
                let settings =
                    PhaseSettings { backend: Backend::Own, counts: count..=count, restarts: RESTARTS, components };
                Self::KMeans(PhaseModel::fit(features.clone(), vectors, &settings, &rng))
            }
            Learning::Mixture(count) => {
                let mixture = Mixture::fit(&points(), count, RESTARTS, &mut rng).map_err(|error| error.to_string())?;
                Self::Mixture(axes, mixture)
            }
            Learning::TwoLevel(count) => {
                let centres = Centres::fit(&points(), count, RESTARTS, &mut rng).map_err(|error| error.to_string())?;
                Self::TwoLevel(axes, TwoLevel::new(centres, SETTLED))
            }
            Learning::Leader(radius) => {
                let settings = LeaderSettings { radius, most: LEADERS_MOST, memory: LEADER_MEMORY };
                Self::Leader(axes, Leaders::new(settings).map_err(|error| error.to_string())?)
            }
        })
    }

    fn name(&mut self, vector: &FeatureVector) -> Option<PhaseId> {
        match self {
            Self::KMeans(model) => Some(model.classify(vector).phase),
            Self::Mixture(axes, mixture) => mixture.name(&axes.point(vector)),
            Self::TwoLevel(axes, levels) => levels.name(&axes.point(vector)),
            Self::Leader(axes, leaders) => leaders.name(&axes.point(vector)),
        }
    }
}

impl Learning {
    /// How many phases there can be.
    const fn phases(self) -> usize {
        match self {
            Self::KMeans(count) | Self::Mixture(count) => count,
            Self::TwoLevel(count) => count + 1,
            Self::Leader(_) => LEADERS_MOST,
        }
    }
}

fn by_learning(
    series: &[Series],
    learning: Learning,
    components: Option<Keep>,
    seed: u64,
) -> Result<Labels, InputError> {
    let events = |series: &Series| {
        let present = |event: &Event| series.intervals.iter().any(|interval| interval.sample.count(*event).is_some());
        Event::ALL.into_iter().filter(present).collect()
    };
    let shared = series.iter().map(events).reduce(|one: std::collections::BTreeSet<Event>, other| &one & &other);
    let features = shared.and_then(|events| FeatureSet::of_events(&events)).ok_or_else(|| {
        let lacking = series.iter().find(|series| FeatureSet::of_events(&events(series)).is_none());
        let name = lacking.map_or("a series", |series| series.name.as_str());
        let problem = format!("{name} does not count llc_references, by which clusters tell phases apart");
        InputError::new(problem, "leave it out, or use ipc-bins, which needs instructions and cycles only")
            .at("--phases")
    })?;
    let several = series.iter().any(|other| other.family != series[0].family);
    let vector = |interval: &Interval| match features.observe(&interval.sample) {
        Observed::Active(vector) => Some(vector),
        Observed::Idle | Observed::Missing(_) => None,
    };
    let vectors = |series: &Series, intervals: usize| -> Vec<FeatureVector> {
        let stride = series.intervals.len().min(intervals).div_ceil(LEARNED_MOST);
        series.intervals.iter().take(intervals).step_by(stride.max(1)).filter_map(vector).collect()
    };
    let prefix = |series: &Series| series.intervals.len().div_ceil(PREFIX_DIVISOR);
    let fit = |family: &str| {
        let others = series.iter().filter(|series| !several || series.family != family);
        let learned: Vec<FeatureVector> =
            others.flat_map(|series| vectors(series, if several { usize::MAX } else { prefix(series) })).collect();
        Learned::fit(&features, &learned, learning, components, seed)
            .map_err(|problem| InputError::new(problem, "choose other phases, or score more series").at("--phases"))
    };
    let mut by_family: std::collections::BTreeMap<&str, Learned> = std::collections::BTreeMap::new();
    let mut labels = Vec::new();
    for one in series {
        let fitted = match by_family.get(one.family.as_str()) {
            Some(fitted) => fitted,
            None => by_family.entry(&one.family).or_insert(fit(&one.family)?),
        };
        // What learns as it names starts anew.
        let mut learned = fitted.clone();
        let unscored = if several { 0 } else { prefix(one) };
        let label = |(place, interval): (usize, &Interval)| {
            if place < unscored { None } else { learned.name(&vector(interval)?) }
        };
        labels.push(one.intervals.iter().enumerate().map(label).collect());
    }
    Ok(Labels { phases: learning.phases(), model: None, labels })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn definitions_are_read_and_written_alike() {
        for text in [
            "ipc-bins:0.25",
            "isci",
            "kmeans:8",
            "mixture:4",
            "two-level:6",
            "leader:0.5",
            "leader:1",
            "kmeans:6+pca:2",
            "mixture:4+pca:0.95",
            "leader:1+pca:1.0",
            "model:models/mine",
            "model:models/mine+pca:2",
        ] {
            assert_eq!(text.parse::<PhaseDefinition>().map(|phases| phases.to_string()), Ok(text.to_owned()));
        }
        assert_eq!("leader".parse(), Ok(PhaseDefinition::Learned(Learning::Leader(LEADER_RADIUS), None)));
        let wrong_bins = ["ipc-bins", "ipc-bins:0", "ipc-bins:x", "isci:3"];
        let wrong_others = [
            "kmeans:0",
            "kmeans:65",
            "mixture",
            "two-level:x",
            "leader:0",
            "leader:",
            "leader:nan",
            "model:",
            "markov",
            "kmeans:6+pca:0",
            "kmeans:6+pca:1.5",
            "kmeans:6+pca",
            "kmeans+pca:2",
            "isci+pca:2",
            "ipc-bins:0.25+pca:2",
        ];
        for text in wrong_bins.into_iter().chain(wrong_others) {
            assert!(text.parse::<PhaseDefinition>().is_err(), "{text}");
        }
    }
}
