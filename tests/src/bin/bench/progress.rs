//! How far a run is. The rule: what is left is what was expected of the rest, stretched by how the run has gone so far.

use std::cell::Cell;
use std::time::{Duration, Instant};

/// Before this much was expected to be done, the run says little about its own speed.
const TELLING: Duration = Duration::from_secs(30);

/// Tells the terminal.
pub(crate) struct Progress {
    started: Instant,
    /// Expected in all, before the row under way, and of it.
    all: Duration,
    before: Cell<Duration>,
    row: Cell<Duration>,
    /// Which part of the row, of how many.
    part: Cell<(usize, usize)>,
}

impl Progress {
    /// Of a run that should take this long.
    pub(crate) fn new(all: Duration) -> Progress {
        Progress {
            started: Instant::now(),
            all,
            before: Cell::new(Duration::ZERO),
            row: Cell::new(Duration::ZERO),
            part: Cell::new((0, 1)),
        }
    }

    /// The next row begins, which should take this long.
    pub(crate) fn begin(&self, row: Duration) {
        self.before.set(self.before.get() + self.row.get());
        self.row.set(row);
        self.part.set((0, 1));
    }

    /// A part of the row begins: part `number`, from 0, of `parts`. A row that does not say has one.
    pub(crate) fn part(&self, number: usize, parts: usize) {
        self.part.set((number, parts));
    }

    /// A step of the part begins: step `number`, from 0, of `steps`.
    pub(crate) fn step(&self, what: &str, number: usize, steps: usize) {
        let (part, parts) = self.part.get();
        let share = (part as f64 + number as f64 / steps.max(1) as f64) / parts.max(1) as f64;
        let done = self.before.get() + self.row.get().mul_f64(share);
        let left = left(self.all, done, self.started.elapsed());
        let so_far = self.started.elapsed().as_secs();
        eprintln!("{:2}:{:02} {what}; about {} min left", so_far / 60, so_far % 60, left.as_secs().div_ceil(60));
    }
}

fn left(all: Duration, done: Duration, elapsed: Duration) -> Duration {
    let stretch = if done < TELLING { 1.0 } else { elapsed.as_secs_f64() / done.as_secs_f64() };
    all.saturating_sub(done).mul_f64(stretch)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_that_is_late_stays_late() {
        let minutes = |minutes: u64| Duration::from_secs(60 * minutes);
        assert_eq!(left(minutes(60), minutes(20), minutes(30)), minutes(60));
        assert_eq!(left(minutes(60), Duration::ZERO, minutes(1)), minutes(60), "too early to tell");
        assert_eq!(left(minutes(60), minutes(70), minutes(60)), Duration::ZERO);
    }
}
