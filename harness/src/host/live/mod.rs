//! The live host: KVM guests of any VMM that run on this machine, watched by counters and moved by affinity.
//!
//! Owns how the pieces work together: guests come from [`crate::discovery`], counts from [`crate::perf`], moves go
//! through [`crate::custody`], which alone binds threads. Here are ids, domains, time, and notices of whatever cannot be
//! seen or done. Launching guests is nobody's business here.
//!
//! # One quantum
//!
//! ```text
//! sleep until a quantum after the last one began
//! each vCPU: one read of its counters; its domain; a thread that ended departs
//! each so many quanta: look for guests; look whether somebody else has bound a thread of ours
//! ```
//!
//! # Domains
//!
//! A vCPU is in the domain that its affinity mask lies in. A thread that may run in several is where it ran last; the
//! kernel may take it elsewhere at any time, and samples say so within four quanta. Moving binds it to all CPUs of a domain, not to
//! one: which of them is the kernel's business. A move to where a vCPU is already holds it there. Capacity counts vCPUs
//! against CPUs of the domain.
//!
//! CPUs that the operator did not give are in no domain. A vCPU on one of them is not reported until it comes to one of
//! ours: there is no domain to report it in.
//!
//! # Time
//!
//! Quanta are of the wall clock, and begin at fixed distances. A machine that was busy makes one longer; samples say what
//! really passed. After a pause of more than a quantum the distances begin anew.

mod introspection;
mod notice;
mod roster;
mod settings;
mod whereabouts;

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use predictor::counters::{Event, Reading, Readings, Sample, VcpuId};
use predictor::placement::{Move, Placement};
use predictor::topology::{CpuId, DomainId, LlcDomain, NodeId, Topology};

use super::admission::admit;
use super::{Arrival, Host, HostError, MoveOutcome, Observation};
use crate::affinity;
use crate::custody::{BindRefusal, Binding, Custody, Report};
use crate::discovery::{Discovery, Scope};
use crate::libvirt::LibvirtVcpu;
use crate::perf::plan::Processor;
use crate::perf::{self, Counters, Modes, NotCounted, nanoseconds};
use crate::procfs::{Capability, Proc};
use crate::resctrl::Resctrl;
use crate::sysfs::{self, CpuSet};

pub use notice::{Notice, NoticeKind};
pub use roster::{GuestView, VcpuView};
pub use settings::{Acting, CrossNode, LiveSettings};

use introspection::Introspection;
use notice::Notices;
use roster::{Roster, Watched};
use whereabouts::{current_domain, domain_of_cpu};

/// Guests of this machine.
#[derive(Debug)]
pub struct LiveHost {
    settings: LiveSettings,
    topology: Topology,
    events: BTreeSet<Event>,
    discovery: Discovery,
    roster: Roster,
    counters: Counters,
    custody: Option<Custody>,
    resctrl: Option<Resctrl>,
    introspection: Option<Introspection>,
    notices: Notices,
    /// Given back from a predecessor's ledger, at the start.
    inherited: Report,
    quanta: u64,
    next: Option<Instant>,
    /// Descriptors that counters may use.
    descriptors: usize,
}

/// Descriptors that counters leave free: for `/proc`, the ledger, and whoever else is in this process.
const RESERVED_DESCRIPTORS: u64 = 64;

/// A vCPU that nobody bound is asked where it ran last in each so many quanta.
const TURNS: u64 = 4;

impl LiveHost {
    /// The guests of this machine, as `settings` say. Takes the ledger if it may act, and gives back what a predecessor
    /// left; binds nobody.
    pub fn new(settings: LiveSettings) -> Result<Self, HostError> {
        let failed = |action: &str, reason: &dyn std::fmt::Display| HostError {
            action: action.to_owned(),
            reason: reason.to_string(),
        };
        let sys = settings.sysfs_root.clone().unwrap_or_else(|| settings.root.join("sys"));
        let found = sysfs::read(&sys).map_err(|error| failed("read the topology of the live host", &error))?;
        let topology = topology_of(&found, settings.operator_cpus.as_ref())?;
        let proc = Proc::open(&settings.root).map_err(|error| failed("look at processes", &error))?;
        let mut notices = Notices::default();
        notices.of_rights(&proc, settings.acting);
        let (custody, inherited) = match settings.acting {
            Acting::DryRun => (None, Report::default()),
            Acting::Act => {
                let opened = Custody::open(&settings.ledger, &settings.root);
                let (custody, report) = opened.map_err(|error| failed("take the ledger of affinities", &error))?;
                (Some(custody), report)
            }
        };
        let resctrl = settings.resctrl.then(|| Resctrl::open(&settings.root)).and_then(|opened| {
            opened.map_err(|error| notices.tell(Notice::of_host(NoticeKind::NoCacheMonitoring, error.to_string()))).ok()
        });
        let descriptors = perf::raise_descriptor_limit().unwrap_or(u64::MAX).saturating_sub(RESERVED_DESCRIPTORS);
        let cpuinfo = std::fs::read_to_string(settings.root.join("proc/cpuinfo")).unwrap_or_default();
        let mut host = Self {
            topology,
            events: BTreeSet::from([Event::RunningNanoseconds]),
            discovery: Discovery::new(proc, Scope { include_tcg: settings.include_tcg, ask_qmp: settings.ask_qmp }),
            roster: Roster::default(),
            counters: Counters::new(Processor::of(&cpuinfo).events()),
            custody,
            resctrl,
            notices,
            inherited,
            quanta: 0,
            next: None,
            descriptors: usize::try_from(descriptors).unwrap_or(usize::MAX),
            introspection: settings.introspection.then(Introspection::default),
            settings,
        };
        host.find_out_events();
        Ok(host)
    }

    /// The settings it was made with.
    #[must_use]
    pub fn settings(&self) -> &LiveSettings {
        &self.settings
    }

    /// What could not be seen or done since this was last asked, each thing once until it changes.
    pub fn take_notices(&mut self) -> Vec<Notice> {
        self.notices.take()
    }

    /// The guests that are watched now.
    #[must_use]
    pub fn guests(&self) -> Vec<GuestView> {
        self.roster.views(|thread| self.custody.as_ref()?.mask_of(thread).cloned())
    }

    /// What was given back at the start, because a predecessor had ended without.
    #[must_use]
    pub fn inherited(&self) -> &Report {
        &self.inherited
    }

    /// LLC occupancy and bandwidth of each guest by process, where resctrl tells; an empty list without.
    #[must_use]
    pub fn cache_use(&self) -> Vec<crate::resctrl::GuestUse> {
        self.resctrl.as_ref().map(Resctrl::read).unwrap_or_default()
    }

    /// Gives every thread the mask it was found with. Moving may go on afterwards; ending does it as well.
    pub fn give_back_all(&mut self) -> Report {
        let report = self.custody.as_mut().map(Custody::give_back_all).unwrap_or_default();
        self.roster.unbind();
        report
    }

    /// Opens the counters of this very thread for a moment: the events of a host are known before its first guest.
    fn find_out_events(&mut self) {
        let own = u32::try_from(rustix::thread::gettid().as_raw_nonzero().get()).unwrap_or(0);
        match self.counters.open(crate::procfs::Tid(own)) {
            Ok(_) => {
                self.events.extend(self.counters.events());
                if self.counters.events().is_empty() {
                    self.notices.tell(Notice::of_host(NoticeKind::NoPmu, self.refusals()));
                }
            }
            Err(error) => self.notices.tell(Notice::of_host(NoticeKind::NoCounters, error.to_string())),
        }
        if self.counters.modes() == Some(Modes::WholeThread) {
            let why = "exclude_host was refused; the VMM and the kernel's work for guests are counted with them";
            self.notices.tell(Notice::of_host(NoticeKind::NotGuestOnly, why.to_owned()));
        }
    }

    fn refusals(&self) -> String {
        let mut events: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
        self.counters.refused().for_each(|(event, why)| events.entry(why).or_default().push(event));
        let all: Vec<String> = events.iter().map(|(why, events)| format!("{}: {why}", events.join(", "))).collect();
        format!("vCPUs are known by their time on a CPU alone ({})", all.join("; "))
    }

    /// Looks for guests, and at masks that others may have set. Adds who came and who went.
    fn rescan(&mut self, seen: &mut Observation) -> Result<(), HostError> {
        let scan = self
            .discovery
            .scan()
            .map_err(|error| HostError { action: "look for guests".to_owned(), reason: error.to_string() })?;
        self.notices.of_hidden(&scan.hidden);
        let guests = scan
            .guests
            .into_iter()
            .filter(|guest| self.settings.within.as_ref().is_none_or(|within| within.contains(&guest.pid)));
        let guests: Vec<_> = guests.collect();
        for gone in self.roster.leavers(&guests) {
            self.depart(gone, seen);
        }
        for guest in &guests {
            if let Some(resctrl) = &mut self.resctrl {
                let threads = guest.vcpus.iter().map(|vcpu| vcpu.thread.tid);
                if let Err(error) = resctrl.watch(guest.pid, &guest.name, threads) {
                    self.notices.tell(Notice::of_guest(NoticeKind::NoCacheMonitoring, &guest.name, error.to_string()));
                }
            }
            for vcpu in &guest.vcpus {
                self.greet(guest, vcpu, seen);
            }
        }
        if let Some(introspection) = &mut self.introspection {
            introspection.meet(self.discovery.proc(), &guests, &mut self.notices);
        }
        for takeover in self.custody.iter_mut().flat_map(Custody::takeovers) {
            let name = self.roster.release(&takeover.thread);
            let what = format!("somebody else bound {} ({}) to CPUs {}", takeover.comm, takeover.thread, takeover.mask);
            self.notices.tell(Notice::of_guest(NoticeKind::TakenOver, &name, what));
        }
        seen.arrivals.sort_by_key(|arrival| arrival.vcpu);
        Ok(())
    }

    /// Begins to watch a vCPU that is not watched yet.
    fn greet(
        &mut self,
        guest: &crate::discovery::FoundGuest,
        vcpu: &crate::discovery::VcpuThread,
        seen: &mut Observation,
    ) {
        let id = self.roster.id_of(guest, vcpu);
        if self.roster.has(id) || seen.departures.contains(&id) {
            return;
        }
        let proc = self.discovery.proc();
        let Ok(domain) = current_domain(proc, &self.topology, &vcpu.thread) else { return };
        let Some(domain) = domain else {
            let what = format!("{} runs on none of the CPUs that phasecast was given", vcpu.comm);
            self.notices.tell(Notice::of_guest(NoticeKind::Outside, &guest.name, what));
            return;
        };
        let needed = self.counters.events().len().max(1);
        let opened = match (self.roster.groups() + 1).saturating_mul(needed) <= self.descriptors {
            true => self.counters.open(vcpu.thread.tid),
            false => Err(NotCounted::NoDescriptor),
        };
        let group = match opened {
            Ok(group) => Some(group),
            Err(NotCounted::Gone(_)) => return,
            Err(error) => {
                self.notices.tell(Notice::of_guest(NoticeKind::NoCounters, &guest.name, error.to_string()));
                None
            }
        };
        let ran_ns = proc.run_time(vcpu.thread.pid, vcpu.thread.tid).map(|time| time.running_ns).ok();
        let watched = Watched {
            thread: vcpu.thread,
            comm: vcpu.comm.clone(),
            through: LibvirtVcpu::of_process(proc, vcpu.thread.pid, self.settings.libvirt.as_deref(), vcpu.number),
            domain,
            bound: None,
            group,
            ran_ns,
            read_at: Instant::now(),
        };
        self.roster.admit(id, watched);
        seen.arrivals.push(Arrival { vcpu: id, name: guest.name.clone(), domain });
    }

    fn depart(&mut self, vcpu: VcpuId, seen: &mut Observation) {
        if let Some((watched, last_of)) = self.roster.remove(vcpu) {
            self.custody.iter_mut().for_each(|custody| custody.forget(&watched.thread));
            if let (Some(resctrl), Some(pid)) = (&mut self.resctrl, last_of) {
                resctrl.forget(pid);
            }
            seen.departures.push(vcpu);
        }
    }

    /// Reads every vCPU.
    fn sample(&mut self, seen: &mut Observation) {
        let mut ended = Vec::new();
        let mut is_in_doubt = false;
        let mut turn = self.quanta;
        for (id, watched) in self.roster.vcpus_mut() {
            let now = Instant::now();
            let elapsed = now - watched.read_at;
            let proc = self.discovery.proc();
            let read = watched.group.as_mut().and_then(|group| group.read().ok());
            let running_ns = match &read {
                Some(read) => Some(read.running_ns),
                None => watched.ran_since(proc),
            };
            // Who ran is alive.
            if running_ns.is_none_or(|running| running == 0) && !affinity::exists(watched.thread.tid) {
                ended.push(id);
                continue;
            }
            // Who is bound is where it was put; where others ran last costs a file each, so they take turns.
            turn += 1;
            if watched.bound.is_none() && turn.is_multiple_of(TURNS) {
                match proc.stat(watched.thread.pid, watched.thread.tid) {
                    Ok(stat) if stat.has_ended() || stat.start_ticks != watched.thread.thread_start_ticks => {
                        ended.push(id);
                        continue;
                    }
                    Ok(stat) => {
                        let last = stat.last_cpu.and_then(|cpu| domain_of_cpu(&self.topology, cpu));
                        watched.domain = last.unwrap_or(watched.domain);
                    }
                    Err(error) if error.is_gone() => {
                        ended.push(id);
                        continue;
                    }
                    Err(_) => {}
                }
            }
            watched.read_at = now;
            let running = running_ns.map_or(Reading::Absent, |ns| Reading::Exact(ns.min(nanoseconds(elapsed))));
            let counted = read.iter().flat_map(perf::GroupReading::iter);
            let readings = Readings::new(counted.chain([(Event::RunningNanoseconds, running)]));
            seen.samples.push(Sample {
                vcpu: id,
                domain: watched.domain,
                elapsed,
                readings,
                address_space: None,
                truth: None,
            });
            is_in_doubt |= read.as_ref().is_some_and(|read| self.counters.doubt(read));
        }
        for id in ended {
            self.depart(id, seen);
        }
        if let Some(introspection) = &mut self.introspection {
            introspection.add_to(&mut seen.samples, &self.roster, &mut self.notices);
        }
        if is_in_doubt {
            self.count_whole_threads();
        }
    }

    /// Guest-only counting counted nothing: opens everything anew.
    fn count_whole_threads(&mut self) {
        let why =
            "guest-only counters counted nothing, although guests ran: the VMM and the kernel are counted with them";
        self.notices.tell(Notice::of_host(NoticeKind::NotGuestOnly, why.to_owned()));
        for (_, watched) in self.roster.vcpus_mut() {
            watched.group = self.counters.open(watched.thread.tid).ok();
        }
    }

    /// Sleeps until the quantum ends.
    fn wait(&mut self, quantum: Duration) {
        let now = Instant::now();
        let due = self.next.filter(|due| *due >= now).unwrap_or(now + quantum);
        std::thread::sleep(due.saturating_duration_since(Instant::now()));
        self.next = Some(due + quantum);
    }

    fn crosses_nodes(&self, request: &Move) -> bool {
        let node = |domain| self.topology.domain(domain).map(|domain| domain.node);
        node(request.from) != node(request.to)
    }

    /// Asks custody for the moves that were admitted.
    fn bind(&mut self, outcomes: &mut [MoveOutcome]) {
        let Some(custody) = &mut self.custody else { return };
        let mut places = Vec::new();
        let mut bindings = Vec::new();
        for (place, outcome) in outcomes.iter().enumerate() {
            let Move { vcpu, from, to } = outcome.requested;
            let domain = self.topology.domain(to);
            if let (None, Some(domain), Some(watched)) = (&outcome.refusal, domain, self.roster.get(vcpu))
                && (from != to || watched.bound.is_none())
            {
                let cpus: CpuSet = domain.cpus.iter().map(|cpu| cpu.0).collect();
                let (comm, through) = (watched.comm.clone(), watched.through.clone());
                bindings.push(Binding { thread: watched.thread, comm, cpus, through });
                places.push(place);
            }
        }
        let answers = custody.bind(&bindings);
        for ((place, binding), answer) in places.into_iter().zip(&bindings).zip(answers) {
            let Move { vcpu, to, .. } = outcomes[place].requested;
            match answer {
                Ok(_) => self.roster.bound(vcpu, to),
                Err(refusal) => {
                    if let Some(kind) = NoticeKind::of_refusal(&refusal) {
                        let name = self.roster.name(vcpu);
                        self.notices.tell(Notice::of_guest(kind, &name, format!("{}: {refusal}", binding.comm)));
                    }
                    if matches!(refusal, BindRefusal::TakenOver { .. } | BindRefusal::LeftAlone { .. }) {
                        self.roster.release(&binding.thread);
                    }
                    outcomes[place].refusal = Some(refusal.to_string());
                }
            }
        }
    }
}

impl Host for LiveHost {
    fn topology(&self) -> &Topology {
        &self.topology
    }

    fn events(&self) -> &BTreeSet<Event> {
        &self.events
    }

    fn advance(&mut self, quantum: Duration) -> Result<Observation, HostError> {
        let mut seen = Observation::default();
        if self.quanta == 0 {
            self.rescan(&mut seen)?;
        }
        self.wait(quantum);
        self.sample(&mut seen);
        // A guest that came and went within the first quantum was never there.
        let departures = std::mem::take(&mut seen.departures);
        let came: BTreeSet<VcpuId> = seen.arrivals.iter().map(|arrival| arrival.vcpu).collect();
        seen.arrivals.retain(|arrival| !departures.contains(&arrival.vcpu));
        seen.departures = departures.into_iter().filter(|vcpu| !came.contains(vcpu)).collect();
        self.quanta += 1;
        if self.quanta.is_multiple_of(u64::from(self.settings.rescan_quanta.get())) {
            self.rescan(&mut seen)?;
        }
        seen.departures.sort_unstable();
        // Who was read and found gone a moment later was not there for the whole quantum.
        let Observation { samples, departures, .. } = &mut seen;
        samples.retain(|sample| departures.binary_search(&sample.vcpu).is_err());
        Ok(seen)
    }

    fn apply(&mut self, moves: &[Move]) -> Result<Vec<MoveOutcome>, HostError> {
        let refuse = |request: &Move, why: &str| MoveOutcome { requested: *request, refusal: Some(why.to_owned()) };
        if self.custody.is_none() {
            return Ok(moves.iter().map(|request| refuse(request, "dry run: nobody is moved")).collect());
        }
        let mut placement = Placement(self.roster.placement());
        let is_near = |request: &Move| self.settings.cross_node == CrossNode::Allowed || !self.crosses_nodes(request);
        let (near, is_near): (Vec<Move>, Vec<bool>) =
            (moves.iter().filter(|request| is_near(request)).copied().collect(), moves.iter().map(is_near).collect());
        let mut admitted = admit(&self.topology, &mut placement, &near);
        self.bind(&mut admitted);
        let mut admitted = admitted.into_iter();
        let answer = |(request, near): (&Move, bool)| match near {
            true => admitted.next().unwrap_or_else(|| refuse(request, "it was not answered")),
            false => refuse(request, "another NUMA node: its memory would stay behind; cross_node allows it"),
        };
        Ok(moves.iter().zip(is_near).map(answer).collect())
    }
}

/// The LLC domains, of the operator's CPUs alone. CPUs that tell of no cache are one domain of their node.
fn topology_of(found: &sysfs::Found, operator: Option<&CpuSet>) -> Result<Topology, HostError> {
    let node_of = |cpu: u32| found.nodes.iter().find(|(_, cpus)| cpus.contains(cpu)).map_or(0, |(node, _)| *node);
    let given = |cpus: &CpuSet| operator.map_or_else(|| cpus.clone(), |operator| cpus.intersection(operator));
    let mut sets: Vec<(CpuSet, Option<u64>)> =
        found.llc_domains.iter().map(|domain| (given(&domain.cpus), domain.size_bytes)).collect();
    if found.llc_domains.is_empty() {
        let whole = |cpus: &CpuSet| (given(cpus), None);
        sets = match found.nodes.values().any(|cpus| !cpus.is_empty()) {
            true => found.nodes.values().map(whole).collect(),
            false => vec![whole(&found.cpus_online)],
        };
    }
    let domains = (0..).zip(sets.into_iter().filter(|(cpus, _)| !cpus.is_empty())).map(|(id, (cpus, llc_bytes))| {
        let node = NodeId(cpus.iter().next().map_or(0, node_of));
        LlcDomain { id: DomainId(id), node, cpus: cpus.iter().map(CpuId).collect(), llc_bytes }
    });
    Topology::new(domains.collect()).map_err(|error| HostError {
        action: "place guests of the live host".to_owned(),
        reason: match operator {
            Some(cpus) => format!("{error}; of the CPUs given ({cpus}) none is online ({})", found.cpus_online),
            None => error.to_string(),
        },
    })
}

/// Rights that the live host asks for.
const RIGHTS: [Capability; 3] = [Capability::Perfmon, Capability::SysNice, Capability::SysPtrace];
