//! The last values of one signal, newest first and side by side in memory.

/// A bounded history. Values are kept as `f32`: seven digits are more than any counter's noise leaves, and half the
/// memory is half the time to compare it.
#[derive(Debug, Clone)]
pub(super) struct History {
    /// Twice the capacity: the live part slides down and is copied up when it arrives, so that it never wraps.
    buffer: Vec<f32>,
    capacity: usize,
    start: usize,
    length: usize,
}

impl History {
    pub(super) fn new(capacity: usize) -> Self {
        Self { buffer: vec![f32::NAN; 2 * capacity], capacity, start: 2 * capacity, length: 0 }
    }

    /// Takes in the newest value; one that was not read is not a number.
    pub(super) fn push(&mut self, value: Option<f64>) {
        if self.start == 0 {
            let kept = self.length.min(self.capacity - 1);
            self.buffer.copy_within(0..kept, 2 * self.capacity - kept);
            self.start = 2 * self.capacity - kept;
            self.length = kept;
        }
        self.start -= 1;
        self.length = (self.length + 1).min(self.capacity);
        self.buffer[self.start] = value.map_or(f32::NAN, |value| value as f32);
    }

    /// The values, newest first, at most the capacity.
    pub(super) fn newest_first(&self) -> &[f32] {
        &self.buffer[self.start..self.start + self.length]
    }

    pub(super) fn memory_bytes(&self) -> usize {
        self.buffer.capacity() * size_of::<f32>()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_values_are_kept_in_order_and_no_more_than_the_capacity() {
        let mut history = History::new(5);
        for count in 0..57u32 {
            history.push(Some(f64::from(count)));
            let expected: Vec<f32> = (0..=count).rev().take(5).map(|value| value as f32).collect();
            assert_eq!(history.newest_first(), expected);
        }
    }
}
