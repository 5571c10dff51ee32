//! Who does the work on the chunks of points: the caller's threads, or this one.

/// Does one piece of work on each of many items. The predictor starts no thread; a caller that has some hands in an
/// executor. With rayon it is `items.par_iter_mut().for_each(work)`.
///
/// The order does not matter to what this module computes, nor on how many threads.
pub trait Executor {
    /// Calls `work` once with each of `items`, and returns when all is done.
    fn for_each<T: Send>(&self, items: &mut [T], work: impl Fn(&mut T) + Sync);
}

/// One after the other, on the thread that asks.
#[derive(Debug, Clone, Copy, Default)]
pub struct Sequential;

impl Executor for Sequential {
    fn for_each<T: Send>(&self, items: &mut [T], work: impl Fn(&mut T) + Sync) {
        items.iter_mut().for_each(work);
    }
}
