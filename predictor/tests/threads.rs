//! An executor with threads, as a caller would hand one in: the predictor itself starts none.

use predictor::phases::kmeans::{Executor, Points, Sequential, Settings, fit};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

struct Threads(usize);

impl Executor for Threads {
    fn for_each<T: Send>(&self, items: &mut [T], work: impl Fn(&mut T) + Sync) {
        let share = items.len().div_ceil(self.0).max(1);
        let work = &work;
        std::thread::scope(|scope| {
            for items in items.chunks_mut(share) {
                scope.spawn(move || items.iter_mut().for_each(work));
            }
        });
    }
}

#[test]
fn any_number_of_threads_gives_the_same_bits() {
    let mut rng = ChaCha8Rng::seed_from_u64(1);
    let values: Vec<f32> = (0..40_000 * 5).map(|_| rng.r#gen::<f32>()).collect();
    let points = Points::new(&values, 5).expect("finite");
    let rng = || ChaCha8Rng::seed_from_u64(7);
    let alone = fit(&points, 9, 2, &mut rng(), &Settings::default(), &Sequential);
    for threads in [2, 3, 5] {
        assert_eq!(fit(&points, 9, 2, &mut rng(), &Settings::default(), &Threads(threads)), alone, "{threads} threads");
    }
}
