//! The way of an access that the L1 does not serve: the L2 and the prefetcher beside it, then [`crate::uncore`]. What the
//! recorder hears of accesses, it hears here.

use super::{AccessSite, Vcpu, WIDEST_SAFE};
use crate::cache::{Direction, Line, Outcome};
use crate::pipeline::Service;
use crate::spec::LINE_BYTES;
use crate::stream::Server;

impl Vcpu {
    /// Serves an access for which [`Vcpu::hits_first_level`] just said no. `bytes` is asked only near a line's end;
    /// `translate` gives the physical address behind a virtual one, `None` where there is no memory; `llc` are the tags
    /// of the domain's LLC. An access across two lines counts one miss at most.
    pub fn access(
        &mut self,
        address: u64,
        direction: Direction,
        site: &AccessSite,
        bytes: impl FnOnce() -> u64,
        mut translate: impl FnMut(u64) -> Option<u64>,
        llc: &mut [u64],
    ) {
        let line = Line::of(address);
        let mut missed = false;
        // Away from the line's end `hits_first_level` has already looked.
        if address % LINE_BYTES <= WIDEST_SAFE || !self.l1.hit(line, direction) {
            missed = self.fill(line, address, direction, site, &mut translate, llc);
        }
        if address % LINE_BYTES > WIDEST_SAFE {
            let last = address.wrapping_add(bytes() - 1);
            if Line::of(last) != line && !self.l1.hit(Line::of(last), direction) {
                missed |= self.fill(Line::of(last), last, direction, site, &mut translate, llc);
            }
        }
        self.l1_misses += u64::from(missed);
    }

    /// Another address space from here on: virtually tagged lines are void, dirty ones go a level down.
    pub fn switch_address_space(&mut self, llc: &mut [u64]) {
        let mut dirty = Vec::new();
        self.l1.flush(|line| dirty.push(line));
        for line in dirty {
            self.written_out_of_l1(line, llc);
        }
    }

    /// Brings a line into the L1 that is not there; `false` if it is no memory.
    fn fill(
        &mut self,
        line: Line,
        address: u64,
        direction: Direction,
        site: &AccessSite,
        mut translate: impl FnMut(u64) -> Option<u64>,
        llc: &mut [u64],
    ) -> bool {
        // What is no memory is a device's: not cached, not timed.
        let Some(physical) = translate(address).map(Line::of) else { return false };
        let position = self.position + u64::from(site.instruction);
        if let Some(recorder) = &mut self.recorder
            && self.l1.renew(line, direction)
        {
            recorder.touch(position, direction, site, physical);
            self.next_event = 0;
            return false;
        }
        if let Some(victim) = self.l1.fill(line, physical, direction) {
            self.written_out_of_l1(victim, llc);
        }
        let (service, server) = self.fetch(physical, llc);
        let flight = match direction {
            Direction::Read => self.pipeline.load(position, site.load_slot, site.address, service),
            Direction::Write => self.pipeline.store(position, site.address, service),
        };
        if service.from_memory {
            self.uncore.overlap(flight);
        }
        if let Some(recorder) = &mut self.recorder {
            recorder.access(position, direction, site, physical, server);
        }
        if self.streamer.is_some() {
            self.fetch_ahead(physical, flight.issue_ticks, llc);
        }
        // Somebody may wait for this, or time may have passed: the next block's start will see.
        self.next_event = 0;
        true
    }

    /// Finds a line past the L1, for a load or a store.
    fn fetch(&mut self, line: Line, llc: &mut [u64]) -> (Service, Server) {
        if let Some(l2) = &mut self.l2 {
            match l2.access(line, Direction::Read) {
                Outcome::Hit => {
                    let arrives_ticks = self.uncore.arrival(line);
                    let server = Server::Private { prefetched: arrives_ticks.is_some() };
                    let arrives_ticks = arrives_ticks.unwrap_or_default();
                    return (Service { arrives_ticks, ..Service::by_cache(self.l2_ticks) }, server);
                }
                Outcome::Miss { dirty_victim: Some(victim) } => self.written_out_of_l2(victim, llc),
                Outcome::Miss { dirty_victim: None } => {}
            }
        }
        (self.uncore.reference(line, llc), Server::Shared)
    }

    /// Lets the prefetcher know of an access past the L1, which left the core at `now_ticks`, and brings what it wants
    /// into the L2. That takes no miss register.
    fn fetch_ahead(&mut self, line: Line, now_ticks: u64, llc: &mut [u64]) {
        let (Some(streamer), Some(l2)) = (&mut self.streamer, &mut self.l2) else { return };
        for ahead in streamer.observe(line) {
            if l2.contains(ahead) {
                continue;
            }
            if let Outcome::Miss { dirty_victim: Some(victim) } = l2.access(ahead, Direction::Read) {
                if let Some(recorder) = &mut self.recorder {
                    recorder.written_out(self.position, victim);
                }
                self.uncore.written_out(victim, llc);
            }
            if let Some(recorder) = &mut self.recorder {
                recorder.prefetch(self.position, ahead);
            }
            self.uncore.prefetch(ahead, now_ticks, llc);
        }
    }

    fn written_out_of_l1(&mut self, line: Line, llc: &mut [u64]) {
        match &mut self.l2 {
            None => self.written_out_of_l2(line, llc),
            Some(l2) => {
                if let Outcome::Miss { dirty_victim: Some(victim) } = l2.access(line, Direction::Write) {
                    self.written_out_of_l2(victim, llc);
                }
            }
        }
    }

    fn written_out_of_l2(&mut self, line: Line, llc: &mut [u64]) {
        if let Some(recorder) = &mut self.recorder {
            recorder.written_out(self.position, line);
        }
        self.uncore.written_out(line, llc);
    }
}
