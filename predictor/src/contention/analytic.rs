//! Slowdowns from how a cache with least-recently-used replacement is shared and how a memory channel queues.
//!
//! # Problem
//!
//! Each vCPU of an LLC domain was measured alone: how often it references the LLC, how often it misses for each size, what one more
//! miss costs it. How slow does each get when all run together?
//!
//! # Idea
//!
//! Compose footprints (Xiang, Ding, Luo, Bao, "HOTL: A Higher Order Theory of Locality", ASPLOS 2013). Between two references of a vCPU
//! to the same line, time passes; in that time the vCPU itself touches so many other lines, and each neighbour as many as its own
//! footprint says. The line is still there if all of that fits. It is the argument of Che's approximation (Che, Tung, Wang, IEEE JSAC
//! 20(7), 2002) with the time since the last reference in the place of one characteristic time. Real caches have sets: the other
//! lines fall into sets by chance, and a reference misses if `ways` of them fell into its own (Smith, IEEE TSE 4(2), 1978).
//!
//! Misses cost a share of the memory's latency, latency follows from the demand of all (a queue), and a vCPU that is slowed
//! asks less of both: a fixed point.
//!
//! # Terms
//!
//! Per cycle of running alone: `r` references, `m` misses, `l` lines moved. `d` a reuse distance in lines; `p(d)` the share of
//! references at that distance, from the steps of the miss-ratio curve; `w(d)` the references in which a vCPU touches `d` lines, the
//! integral of dx / miss ratio(x) from 0 to d; `fp` the inverse of `w`; `c` cycles that one more miss costs; `g` how much of a cycle
//! each miss feels of one cycle more of latency; `x` the memory's latency; `s` the slowdown.
//!
//! ```text
//! t(d)    = w_i(d) s_i / r_i                                           cycles between two references at distance d
//! F(d)    = d + sum over neighbours j of fp_j(t(d) r_j / s_j)          lines touched meanwhile by all
//! M_i     = sum over d of p_i(d) P(lines in one set of F(d) >= ways) + p_i(never again)
//! m_i     = alone + r_i (M_i - M_i with nobody there)                  never below alone
//! x       = the channel's equilibrium for the demand sum of l_i(m_i) / s_i
//! s_i     = 1 + c_i (m_i - alone) + g_i m_i (x - x alone)
//! ```
//!
//! Lines in a set are normal around `F / sets` with the variance of a binomial times a *dispersion* of each vCPU: pages
//! of a contiguous working set spread more evenly than by chance, and then a set holds no line more than its share. The
//! dispersion is the one that gives the misses counted alone.
//!
//! # Company
//!
//! In company of several a third can help a first by slowing the second. That is real, but a placement that hopes for it is fragile. So
//! nobody is told less than the most that one of its neighbours alone does to it: each pair is solved as well. Paces of neighbours fixed at what they
//! have beside the vCPU in question alone would make more company never better, and were tried: in mixes of four that was almost twice as wrong.
//!
//! # Properties
//!
//! Each with a test: alone is exactly 1; a neighbour never helps who was alone, nor does company help against the worst of it; one
//! without demand changes nothing; a working set that just fits is lost to a stream; two streams get no more than the channel carries.
//!
//! # What it leaves out
//!
//! Transients after a phase change, bursts shorter than what a curve was measured over, and luck: where two working sets fit one at a time, the
//! winner keeps the cache, and who wins is history.

use serde::{Deserialize, Serialize};

use super::curve::{POINTS, ShareCurve, shares};
use super::{CurveSource, Demand, LINE_BYTES, Pressure, Profile};

/// Rounds of each fixed point; it starts from alone, so that fewer rounds say too little rather than nonsense.
const ROUNDS: usize = 24;

/// A round that changes less than this was the last.
const SETTLED: f64 = 1e-4;

/// How far slowdowns follow each round's answer.
const DAMPING: f64 = 0.5;

/// The fullest that a channel gets; refresh and turn-around take the rest.
const FULLEST: f64 = 0.95;

/// Halvings in the search for the channel's latency.
const HALVINGS: usize = 30;

/// No latency is looked for beyond so many idle ones.
const MOST_LATENCIES: f64 = 64.0;

/// Miss ratios below this count as this: a working set that is never left is left in a very long time.
const LEAST_RATIO: f64 = 1e-6;

/// Steps of a curve below this share of references are no place where anything happens.
const LEAST_SHARE: f64 = 1e-4;

/// The machine as this model knows it.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SharedLlc {
    /// Lines of one LLC.
    pub lines: f64,
    /// Ways of each set.
    pub ways: f64,
    /// Cycles of an LLC hit.
    pub hit_cycles: f64,
    /// Cycles of an LLC miss that finds the memory idle.
    pub miss_cycles: f64,
    /// Cycles of a wait that a core hides by going on with what does not depend on it.
    pub hidden_cycles: f64,
}

impl SharedLlc {
    /// `demand` with what this rule needs of a phase of `pressure` that makes so many thousand instructions a cycle.
    ///
    /// Where nobody measured what one more miss costs, the stalls alone tell. A wait is either in the way of all that follows, and then costs
    /// its whole latency, or overlaps with others, and then a miss costs half of what the core cannot hide (two misses under way, which is
    /// what the programs have on which this was looked at) and a hit nothing. The share of the first kind is the one that
    /// gives the stalls counted.
    pub(super) fn demand(&self, demand: Demand, pressure: &Pressure, memory_bytes_per_cycle: Option<f64>) -> Demand {
        let (references, misses) = (demand.references_per_cycle, demand.misses_per_cycle);
        let hits = (references - misses).max(0.0);
        let unhidden = (self.miss_cycles - self.hidden_cycles).max(1.0);
        let overlapped =
            if misses > 0.0 { (pressure.stall_share / misses).min(unhidden / 2.0) } else { unhidden / 2.0 };
        let waits = hits * self.hit_cycles + misses * self.miss_cycles;
        let serial = if waits > 0.0 { (pressure.stall_share - misses * overlapped) / waits } else { 0.0 };
        let serial = serial.clamp(0.0, 1.0);
        let estimated = serial * (self.miss_cycles - self.hit_cycles) + (1.0 - serial) * overlapped;
        let measured = pressure.profile.and_then(|profile| profile.cycles_per_extra_miss);
        let alone = latency_alone(demand.bytes_per_cycle / LINE_BYTES, self, memory_bytes_per_cycle);
        let exposure = match measured {
            Some(cycles) if misses < MOSTLY_HITS * references => cycles / unhidden,
            _ => (serial * self.miss_cycles + (1.0 - serial) * overlapped) / (alone - self.hidden_cycles).max(1.0),
        };
        let guess = ShareCurve::estimated(if references > 0.0 { misses / references } else { 1.0 });
        let (curve, dispersion, curve_source) = match pressure.profile {
            Some(Profile { miss_ratios, dispersion, .. }) => (miss_ratios, dispersion, CurveSource::Measured),
            None => (guess, 1.0, CurveSource::Estimated),
        };
        let cycles = measured.unwrap_or(estimated).clamp(0.0, self.miss_cycles);
        Demand {
            cycles_per_extra_miss: cycles,
            latency_exposure: exposure.clamp(0.0, 1.0),
            curve,
            curve_source,
            dispersion,
            ..demand
        }
    }
}

/// Above this share of misses there are too few more for their cost to tell what a miss costs.
const MOSTLY_HITS: f64 = 0.9;

/// A vCPU as the fixed points need it.
#[derive(Debug, Clone)]
struct Member {
    demand: Demand,
    /// Lines by [`shares`], after a first size of nothing.
    sizes: [f64; POINTS + 1],
    /// References in which it touches so many lines.
    windows: [f64; POINTS + 1],
    /// Distance in lines, share of references, references between.
    reuses: Vec<Reuse>,
    /// Share of references that no size serves.
    never_again: f64,
    /// Miss ratio with nobody there, as this model has it.
    alone_ratio: f64,
    /// Latency with nobody there.
    alone_latency: f64,
    lines_per_cycle: f64,
    lines_per_miss: f64,
    cycles_per_extra_miss: f64,
}

#[derive(Debug, Clone, Copy)]
struct Reuse {
    lines: f64,
    share: f64,
    window: f64,
}

impl Member {
    fn new(demand: &Demand, llc: &SharedLlc, memory_bytes_per_cycle: Option<f64>) -> Self {
        let ratios = demand.curve.ratios().map(f64::from);
        let (mut sizes, mut windows) = ([0.0; POINTS + 1], [0.0; POINTS + 1]);
        let mut reuses = Vec::with_capacity(POINTS);
        let mut before = 1.0;
        for (place, (share, ratio)) in shares().iter().zip(&ratios).enumerate() {
            let size = share * llc.lines;
            let half = (size - sizes[place]) / 2.0;
            // The step between two sizes is taken to be half-way.
            let at_step = windows[place] + half / f64::max(before, LEAST_RATIO);
            if before - ratio > LEAST_SHARE {
                reuses.push(Reuse { lines: sizes[place] + half, share: before - ratio, window: at_step });
            }
            sizes[place + 1] = size;
            windows[place + 1] = at_step + half / ratio.max(LEAST_RATIO);
            before = *ratio;
        }
        let lines_per_cycle = demand.bytes_per_cycle / LINE_BYTES;
        let lines_per_miss = if demand.misses_per_cycle > 0.0 {
            (lines_per_cycle / demand.misses_per_cycle).clamp(1.0, 2.0)
        } else {
            1.0
        };
        let mut member = Self {
            demand: *demand,
            sizes,
            windows,
            reuses,
            never_again: before,
            alone_ratio: 0.0,
            alone_latency: latency_alone(lines_per_cycle, llc, memory_bytes_per_cycle),
            lines_per_cycle,
            lines_per_miss,
            cycles_per_extra_miss: demand.cycles_per_extra_miss,
        };
        member.alone_ratio = member.miss_ratio(llc, 1.0, &[]);
        member
    }

    /// Lines that it touches in so many references.
    fn footprint(&self, references: f64) -> f64 {
        let place = self.windows.partition_point(|window| *window < references);
        match (place.checked_sub(1), self.windows.get(place)) {
            (Some(left), Some(right)) => {
                let share = (references - self.windows[left]) / (right - self.windows[left]);
                self.sizes[left] + share * (self.sizes[place] - self.sizes[left])
            }
            (None, _) => 0.0,
            (Some(_), None) => self.sizes[POINTS],
        }
    }

    /// Its miss ratio when it is slowed so much beside neighbours that make so many references a cycle.
    fn miss_ratio(&self, llc: &SharedLlc, slowdown: f64, beside: &[(&Member, f64)]) -> f64 {
        let rate = self.demand.references_per_cycle;
        if rate <= 0.0 {
            return 0.0;
        }
        let sets = llc.lines / llc.ways;
        let own = self.demand.dispersion;
        let missed = |reuse: &Reuse| {
            let cycles = reuse.window * slowdown / rate;
            // The line itself is one of those that are spread evenly.
            let mut lines = (reuse.lines - (1.0 - own).max(0.0) * sets).max(0.0);
            let mut variance = own * reuse.lines / sets;
            for (neighbour, rate) in beside {
                let touched = neighbour.footprint(cycles * rate);
                lines += touched;
                variance += neighbour.demand.dispersion * touched / sets;
            }
            reuse.share * overflow(lines / sets, variance, llc.ways)
        };
        self.never_again + self.reuses.iter().map(missed).sum::<f64>()
    }

    /// Its misses for each cycle alone, at this miss ratio.
    fn misses(&self, ratio: f64) -> f64 {
        let more = self.demand.references_per_cycle * (ratio - self.alone_ratio).max(0.0);
        (self.demand.misses_per_cycle + more).min(self.demand.references_per_cycle.max(self.demand.misses_per_cycle))
    }

    fn slowdown(&self, misses: f64, latency: f64) -> f64 {
        let more = misses - self.demand.misses_per_cycle;
        let longer = (latency - self.alone_latency).max(0.0);
        1.0 + self.cycles_per_extra_miss * more + self.demand.latency_exposure * misses * longer
    }

    /// Lines that it moves in each cycle together.
    fn traffic(&self, misses: f64, latency: f64) -> f64 {
        let more = misses - self.demand.misses_per_cycle;
        let lines = self.lines_per_cycle + self.lines_per_miss * more;
        // More misses must not move fewer lines, whatever was counted.
        let cost = self.cycles_per_extra_miss.min(self.lines_per_miss / self.lines_per_cycle.max(1e-9));
        let longer = (latency - self.alone_latency).max(0.0);
        lines / (1.0 + cost * more + self.demand.latency_exposure * lines / self.lines_per_miss * longer)
    }
}

/// The dispersion with which the model has the misses that were counted alone.
#[must_use]
pub fn dispersion(demand: &Demand, llc: &SharedLlc) -> f64 {
    const CANDIDATES: [f64; 10] = [0.02, 0.05, 0.1, 0.2, 0.3, 0.5, 0.7, 1.0, 1.5, 2.0];
    if demand.references_per_cycle <= 0.0 {
        return 1.0;
    }
    let counted = demand.misses_per_cycle / demand.references_per_cycle;
    let off = |dispersion: f64| {
        let member = Member::new(&Demand { dispersion, ..*demand }, llc, None);
        (member.alone_ratio - counted).abs()
    };
    // Of those that do not differ to speak of, the smallest.
    let nearer = |best: (f64, f64), one: (f64, f64)| if one.0 < best.0 - 1e-4 { one } else { best };
    let candidates = CANDIDATES.map(|dispersion| (off(dispersion), dispersion));
    candidates.into_iter().reduce(nearer).map_or(1.0, |(_, dispersion)| dispersion)
}

/// The slowdown of each member of one domain.
pub(super) fn slowdowns(members: &[Demand], llc: &SharedLlc, memory_bytes_per_cycle: Option<f64>) -> Vec<f64> {
    let asks = |demand: &Demand| demand.references_per_cycle > 0.0 || demand.bytes_per_cycle > 0.0;
    let places: Vec<usize> = (0..members.len()).filter(|place| asks(&members[*place])).collect();
    let mut answer = vec![1.0; members.len()];
    if places.len() < 2 {
        return answer;
    }
    let domain = Domain {
        members: places.iter().map(|place| Member::new(&members[*place], llc, memory_bytes_per_cycle)).collect(),
        llc,
        memory_bytes_per_cycle,
    };
    for (place, slowdown) in places.into_iter().zip(domain.together()) {
        // What was learned of it corrects what it suffers, not what it does.
        answer[place] = 1.0 + members[place].sensitivity * (slowdown - 1.0);
    }
    answer
}

struct Domain<'a> {
    members: Vec<Member>,
    llc: &'a SharedLlc,
    memory_bytes_per_cycle: Option<f64>,
}

impl Domain<'_> {
    fn together(&self) -> Vec<f64> {
        let members: Vec<&Member> = self.members.iter().collect();
        let mut slowdowns = self.fixed_point(&members);
        if members.len() > 2 {
            for left in 0..members.len() {
                for right in left + 1..members.len() {
                    let pair = self.fixed_point(&[members[left], members[right]]);
                    slowdowns[left] = slowdowns[left].max(pair[0]);
                    slowdowns[right] = slowdowns[right].max(pair[1]);
                }
            }
        }
        slowdowns
    }

    /// The slowdowns of these with nobody else there.
    fn fixed_point(&self, members: &[&Member]) -> Vec<f64> {
        let mut slowdowns = vec![1.0; members.len()];
        for _ in 0..ROUNDS {
            let rate = |place: usize| members[place].demand.references_per_cycle / slowdowns[place];
            let misses: Vec<f64> = (0..members.len())
                .map(|place| {
                    let others = (0..members.len()).filter(|other| *other != place);
                    let beside: Vec<(&Member, f64)> = others.map(|other| (members[other], rate(other))).collect();
                    members[place].misses(members[place].miss_ratio(self.llc, slowdowns[place], &beside))
                })
                .collect();
            let latency = self.latency(members, &misses);
            let mut change = 0.0;
            for ((slowdown, member), misses) in slowdowns.iter_mut().zip(members).zip(&misses) {
                let step = DAMPING * (member.slowdown(*misses, latency) - *slowdown);
                *slowdown += step;
                change = f64::max(change, step.abs());
            }
            if change < SETTLED {
                break;
            }
        }
        slowdowns
    }

    /// The memory's latency when each member has so many misses a cycle alone.
    fn latency(&self, members: &[&Member], misses: &[f64]) -> f64 {
        let idle = self.llc.miss_cycles;
        let Some(bytes_per_cycle) = self.memory_bytes_per_cycle else { return idle };
        let service = LINE_BYTES / bytes_per_cycle;
        let rises = |latency: f64| {
            let traffic: f64 =
                members.iter().zip(misses).map(|(member, misses)| member.traffic(*misses, latency)).sum();
            equilibrium(traffic * service * latency, idle, service) > latency
        };
        let (mut low, mut high) = (idle, MOST_LATENCIES * idle);
        for _ in 0..HALVINGS {
            let middle = f64::midpoint(low, high);
            if rises(middle) { low = middle } else { high = middle }
        }
        low
    }
}

/// What a channel's latency goes to where `demand` is utilisation times latency: the mean wait of an M/D/1 queue.
fn equilibrium(demand: f64, idle: f64, service: f64) -> f64 {
    let queueing = f64::midpoint(idle + demand, ((idle - demand).powi(2) + 2.0 * service * demand).sqrt());
    queueing.max(demand / FULLEST)
}

/// The latency that a vCPU alone must have had, by the lines that it moved.
fn latency_alone(lines_per_cycle: f64, llc: &SharedLlc, memory_bytes_per_cycle: Option<f64>) -> f64 {
    let Some(bytes_per_cycle) = memory_bytes_per_cycle else { return llc.miss_cycles };
    let service = LINE_BYTES / bytes_per_cycle;
    let full = (lines_per_cycle * service).min(FULLEST);
    llc.miss_cycles + service * full / (2.0 * (1.0 - full))
}

/// The chance that a set with so many other lines on average, and this variance, has at least `ways`.
fn overflow(mean: f64, variance: f64, ways: f64) -> f64 {
    // Half a line, since lines are whole; the floor keeps an edge an edge but not a cliff of rounding.
    let deviations = (mean - (ways - 0.5)) / (variance + 0.05).sqrt();
    normal(deviations)
}

/// The normal distribution's share below so many deviations, to 8e-8: Abramowitz and Stegun 26.2.17.
fn normal(deviations: f64) -> f64 {
    let size = deviations.abs();
    if size > 6.0 {
        return if deviations > 0.0 { 1.0 } else { 0.0 };
    }
    let t = 1.0 / (1.0 + 0.231_641_9 * size);
    let series =
        t * (0.319_381_530 + t * (-0.356_563_782 + t * (1.781_477_937 + t * (-1.821_255_978 + t * 1.330_274_429))));
    let beyond = (-size * size / 2.0).exp() / (2.0 * std::f64::consts::PI).sqrt() * series;
    if deviations > 0.0 { 1.0 - beyond } else { beyond }
}
