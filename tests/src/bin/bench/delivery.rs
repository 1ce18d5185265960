//! What arrived, and how long it took. The rule: a delay counts from when the update was due, not from when the
//! generator got round to it, so a server that makes its callers wait cannot hide that.

use std::time::{Duration, Instant};

use hdrhistogram::Histogram;

/// The deliveries of one measurement.
pub(crate) struct Delivery {
    /// The value that the first measured update leads to; each further one leads to the next.
    from: u64,
    due: Vec<Instant>,
    frames: u64,
    delays: Delays,
}

impl Delivery {
    pub(crate) fn new(from: u64) -> Delivery {
        Delivery { from, due: Vec::new(), frames: 0, delays: Delays::new() }
    }

    /// The next update was due at `at`.
    pub(crate) fn sent(&mut self, at: Instant) {
        self.due.push(at);
    }

    /// Updates to these values reached one subscriber.
    pub(crate) fn record(&mut self, values: &[u64], now: Instant) {
        for value in values {
            let index = value.checked_sub(self.from).and_then(|index| usize::try_from(index).ok());
            if let Some(due) = index.and_then(|index| self.due.get(index)) {
                self.frames += 1;
                self.delays.add(now.saturating_duration_since(*due));
            }
        }
    }

    /// Update frames received.
    pub(crate) fn frames(&self) -> u64 {
        self.frames
    }

    /// Their delays.
    pub(crate) fn delays(&self) -> &Delays {
        &self.delays
    }
}

/// A histogram of delays, in microseconds with three digits.
pub(crate) struct Delays(Histogram<u64>);

impl Delays {
    pub(crate) fn new() -> Delays {
        // Bounds that the crate's documentation allows: the only way it can refuse.
        #[expect(clippy::expect_used, reason = "constant arguments")]
        Delays(Histogram::new_with_bounds(1, 60_000_000, 3).expect("valid bounds"))
    }

    pub(crate) fn add(&mut self, delay: Duration) {
        self.0.saturating_record(u64::try_from(delay.as_micros()).unwrap_or(u64::MAX));
    }

    /// The delay, in milliseconds, that this share of all stayed within.
    pub(crate) fn milliseconds(&self, share: f64) -> f64 {
        self.0.value_at_quantile(share) as f64 / 1000.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_updates_of_the_measurement_count() {
        let start = Instant::now();
        let mut delivery = Delivery::new(5);
        delivery.sent(start);
        delivery.record(&[4, 5, 6], start + Duration::from_millis(3));
        assert_eq!(delivery.frames(), 1);
        assert!((delivery.delays().milliseconds(0.5) - 3.0).abs() < 0.01);
    }
}
