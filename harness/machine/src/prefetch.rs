//! A prefetcher of streams, as it stands beside the L2 of a processor.
//!
//! **Problem.** A program that walks through memory line by line tells by its first misses which lines it will want.
//! Processors fetch them early; without that, a stream is held back by its miss registers. **Idea.** Remember for each of
//! the last pages where it was accessed and in which direction. Once the direction is clear, fetch ahead of the
//! accesses, into the L2, a few lines at a time, never past the page's end: the next page is another physical one.
//!
//! This is Intel's *L2 streamer* as its optimisation manual describes it (order number 248966, "Data Prefetching": it is
//! told of the L1's misses, keeps 32 streams, of each 4 KiB page one ascending and one descending, answers an access
//! with at most two lines, and runs at most 20 lines ahead), a descendant of Jouppi's stream buffers (ISCA 1990) and of
//! the sequential part of Chen and Baer's prefetcher (IEEE Trans. Computers 44(5), 1995). Decided
//! here: a page has one stream at a time, it is clear after two steps in one direction, and a step of more than four lines
//! begins anew.
//!
//! ```text
//! observe(line):                                        positions are lines within the page, 0 to 63
//!     page unknown        -> remember it in the place of the page that was longest unused; nothing
//!     other direction,
//!     or step too long    -> begin anew at this line; nothing
//!     fewer than 2 steps  -> nothing
//!     else  from = the farther of this line and the last one fetched
//!           fetch the next `degree` lines after `from`, at most `distance` after this line, within the page
//! ```
//!
//! Properties, each with a test: no line outside the accessed page is ever fetched, none twice in one run of a stream,
//! and none farther than `distance`; accesses that keep no direction fetch nothing; both directions are alike. What is
//! fetched depends on the sequence of misses of the L1 alone, never on time: so a recorded stream of references holds
//! whatever the neighbours do. For that reason it is not throttled when memory is busy, as Intel's is.
//!
//! A fetched line takes its time to arrive. [`UnderWay`] knows when; whoever wants it earlier waits for the rest. That
//! also bounds what is under way: a stream cannot run ahead of its prefetcher by more than `distance`.
//!
//! ```
//! use machine::cache::Line;
//! use machine::prefetch::Streamer;
//! use machine::spec::PrefetcherSpec;
//!
//! let mut streamer = Streamer::new(PrefetcherSpec { streams: 32, degree: 2, distance: 20 });
//! let mut ahead = |line: u64| streamer.observe(Line(line)).map(|line| line.0).collect::<Vec<_>>();
//! assert_eq!(ahead(100), []); // a page that it has not seen
//! assert_eq!(ahead(101), []); // upwards, once
//! assert_eq!(ahead(102), [103, 104]); // upwards, twice: a stream
//! assert_eq!(ahead(103), [105, 106]);
//! assert_eq!(ahead(90), []); // down, and far
//! ```

use crate::cache::Line;
use crate::spec::PrefetcherSpec;

/// Steps in one direction after which a stream is clear.
const CLEAR_STEPS: i32 = 2;

/// The longest step that a stream makes, in lines.
const LONGEST_STEP: i32 = 4;

const LINES_PER_PAGE_BITS: u32 = 6;
const LAST_IN_PAGE: i32 = (1 << LINES_PER_PAGE_BITS) - 1;

/// A page and the stream in it. Positions are lines within the page.
#[derive(Debug, Clone, Copy)]
struct Tracked {
    page: u64,
    last: i32,
    /// Steps in the present direction, negative for descending; no more than [`CLEAR_STEPS`].
    steps: i32,
    /// The farthest line that was fetched.
    front: i32,
}

/// Detects streams and says what to fetch.
#[derive(Debug, Clone)]
pub struct Streamer {
    degree: i32,
    distance: i32,
    streams: usize,
    /// Most recently accessed first.
    tracked: Vec<Tracked>,
}

impl Streamer {
    /// One that has seen nothing.
    #[must_use]
    pub fn new(spec: PrefetcherSpec) -> Self {
        // Both are at most a page, which the specification checks.
        let [degree, distance] = [spec.degree, spec.distance].map(|lines| lines as i32);
        let streams = spec.streams as usize;
        Self { degree, distance, streams, tracked: Vec::with_capacity(streams) }
    }

    /// An access to a physical line has missed the L1; answers the lines to fetch, nearest first.
    #[inline]
    pub fn observe(&mut self, line: Line) -> impl Iterator<Item = Line> + use<> {
        let page = line.0 >> LINES_PER_PAGE_BITS;
        let here = (line.0 & LAST_IN_PAGE as u64) as i32;
        let (direction, from, count) = self.advance(page, here);
        (1..=count).map(move |nth| Line(page << LINES_PER_PAGE_BITS | (from + nth * direction) as u64))
    }

    /// Forgets all streams.
    pub fn clear(&mut self) {
        self.tracked.clear();
    }

    /// The direction to fetch in, the line to begin after, and how many.
    fn advance(&mut self, page: u64, here: i32) -> (i32, i32, i32) {
        const NOTHING: (i32, i32, i32) = (0, 0, 0);
        let Some(place) = self.tracked.iter().position(|tracked| tracked.page == page) else {
            self.tracked.truncate(self.streams - 1);
            self.tracked.insert(0, Tracked { page, last: here, steps: 0, front: here });
            return NOTHING;
        };
        self.tracked[..=place].rotate_right(1);
        let tracked = &mut self.tracked[0];
        let step = here - tracked.last;
        if step == 0 {
            return NOTHING;
        }
        tracked.last = here;
        let direction = step.signum();
        let in_reach = step.abs() <= LONGEST_STEP;
        if !in_reach || tracked.steps.signum() == -direction {
            (tracked.steps, tracked.front) = (if in_reach { direction } else { 0 }, here);
            return NOTHING;
        }
        tracked.steps = (tracked.steps + direction).clamp(-CLEAR_STEPS, CLEAR_STEPS);
        if tracked.steps.abs() < CLEAR_STEPS {
            return NOTHING;
        }
        // How far ahead, in the direction: of the last line fetched, and how far it may be and is to be.
        let fetched = ((tracked.front - here) * direction).max(0);
        let to_the_end = if direction > 0 { LAST_IN_PAGE - here } else { here };
        let wanted = (fetched + self.degree).min(self.distance).min(to_the_end).max(fetched);
        tracked.front = here + wanted * direction;
        (direction, here + fetched * direction, wanted - fetched)
    }
}

/// Prefetched lines that may still be on their way, and when each arrives.
///
/// A table of fixed size, each line in the one place that its number gives it: a line that finds its place taken
/// displaces the other, which then counts as arrived. With 256 places and some tens of lines under way that is rare.
#[derive(Debug, Clone)]
pub struct UnderWay {
    places: Box<[(Line, u64); PLACES]>,
}

const PLACES: usize = 256;
/// No physical line has this number.
const NO_LINE: Line = Line(u64::MAX);

impl UnderWay {
    /// Nothing is under way.
    #[must_use]
    pub fn new() -> Self {
        Self { places: Box::new([(NO_LINE, 0); PLACES]) }
    }

    /// A line that will be there at `arrives_ticks`.
    #[inline]
    pub fn put(&mut self, line: Line, arrives_ticks: u64) {
        self.places[Self::place(line)] = (line, arrives_ticks);
    }

    /// When a line arrives, or arrived, that was put and is now asked for the first time. Whether it answers `None`
    /// does not depend on time.
    #[inline]
    pub fn take(&mut self, line: Line) -> Option<u64> {
        let (put, arrives_ticks) = &mut self.places[Self::place(line)];
        if *put != line {
            return None;
        }
        *put = NO_LINE;
        Some(*arrives_ticks)
    }

    /// Nothing is under way any more.
    pub fn clear(&mut self) {
        self.places.fill((NO_LINE, 0));
    }

    /// Consecutive lines have places of their own, and the same lines of different pages usually do.
    const fn place(line: Line) -> usize {
        (line.0 ^ (line.0 >> LINES_PER_PAGE_BITS).wrapping_mul(0x25)) as usize % PLACES
    }
}

impl Default for UnderWay {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    const SPEC: PrefetcherSpec = PrefetcherSpec { streams: 4, degree: 2, distance: 20 };

    fn fetched(streamer: &mut Streamer, accesses: impl IntoIterator<Item = u64>) -> Vec<u64> {
        accesses.into_iter().flat_map(|line| streamer.observe(Line(line))).map(|line| line.0).collect()
    }

    #[test]
    fn a_walk_through_a_page_fetches_all_of_it_but_what_it_took_to_see_the_direction() {
        assert_eq!(fetched(&mut Streamer::new(SPEC), 64..128), (67..128).collect::<Vec<_>>());
    }

    #[test]
    fn a_descending_stream_is_the_mirror_image_of_an_ascending_one() {
        let accesses = [0, 1, 3, 4, 7, 8, 30, 31, 32, 33, 20, 63];
        let up = fetched(&mut Streamer::new(SPEC), accesses);
        let down = fetched(&mut Streamer::new(SPEC), accesses.map(|line| 63 - line));
        assert!(!up.is_empty());
        assert_eq!(down.into_iter().map(|line| 63 - line).collect::<Vec<_>>(), up);
    }

    #[test]
    fn accesses_without_a_direction_fetch_nothing() {
        let there_and_back = (0..100u64).map(|step| 32 + step % 2);
        assert_eq!(fetched(&mut Streamer::new(SPEC), there_and_back), []);
        let far_steps = (0..12u64).map(|step| 5 * step);
        assert_eq!(fetched(&mut Streamer::new(SPEC), far_steps), []);
    }

    #[test]
    fn as_many_streams_are_kept_apart_as_there_is_room_for_and_no_more() {
        let interleaved = |pages: u64| (0..64u64).flat_map(move |line| (0..pages).map(move |page| page * 64 + line));
        assert_eq!(fetched(&mut Streamer::new(SPEC), interleaved(4)).len(), 4 * 61);
        assert_eq!(
            fetched(&mut Streamer::new(SPEC), interleaved(5)),
            [],
            "each page is forgotten before it is seen again"
        );
    }

    #[test]
    fn a_line_under_way_is_waited_for_once() {
        let mut under_way = UnderWay::new();
        under_way.put(Line(7), 500);
        assert_eq!(under_way.take(Line(8)), None);
        assert_eq!(under_way.take(Line(7)), Some(500));
        assert_eq!(under_way.take(Line(7)), None);
    }

    #[test]
    fn lines_of_one_page_never_displace_each_other() {
        for page in [0, 1, 77, 1 << 30] {
            let places: BTreeSet<usize> = (0..64).map(|line| UnderWay::place(Line(page * 64 + line))).collect();
            assert_eq!(places.len(), 64, "page {page}");
        }
    }

    proptest! {
        #[test]
        fn no_line_is_fetched_outside_its_page_or_beyond_the_distance(
            accesses in prop::collection::vec(0u64..256, 0..400),
            degree in 1u32..6,
            distance in 1u32..64,
        ) {
            let mut streamer = Streamer::new(PrefetcherSpec { streams: 3, degree, distance });
            for access in accesses {
                let ahead: Vec<u64> = streamer.observe(Line(access)).map(|line| line.0).collect();
                prop_assert!(ahead.len() <= degree as usize);
                for line in ahead {
                    prop_assert_eq!(line / 64, access / 64);
                    prop_assert!(line != access && line.abs_diff(access) <= u64::from(distance));
                }
            }
        }

        /// While a stream keeps its direction, whatever its steps.
        #[test]
        fn no_line_is_fetched_twice_in_one_run_of_a_stream(
            steps in prop::collection::vec(0u64..=4, 0..64),
            degree in 1u32..6,
            distance in 1u32..64,
        ) {
            let mut streamer = Streamer::new(PrefetcherSpec { streams: 1, degree, distance });
            let mut here = 0;
            let walk = steps.into_iter().map(|step| { here += step; here }).take_while(|here| *here < 64);
            let lines: Vec<u64> = fetched(&mut streamer, walk);
            prop_assert!(lines.windows(2).all(|pair| pair[0] < pair[1]), "{lines:?}");
        }
    }
}
