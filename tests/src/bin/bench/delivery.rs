//! What arrived, and how long it took. The rule: a delay counts from when the update was due, not from when the
//! generator got round to it, so a server that makes its callers wait cannot hide that.

use std::time::{Duration, Instant};

use hdrhistogram::Histogram;

use crate::update::Update;

/// The deliveries of one measurement.
pub(crate) struct Delivery {
    /// By topic.
    topics: Vec<Due>,
    frames: u64,
    delays: Delays,
}

#[derive(Clone, Default)]
struct Due {
    /// The value that the topic's first measured update leads to; each further one leads to the next.
    from: u64,
    at: Vec<Instant>,
}

impl Delivery {
    /// Of topics that have these values, 0 beyond the last.
    pub(crate) fn new(values: &[u64]) -> Delivery {
        let topics = values.iter().map(|value| Due { from: value + 1, at: Vec::new() }).collect();
        Delivery { topics, frames: 0, delays: Delays::new() }
    }

    /// The next update of a topic was due at `at`.
    pub(crate) fn sent(&mut self, id: u32, at: Instant) {
        let id = id as usize;
        if self.topics.len() <= id {
            self.topics.resize(id + 1, Due { from: 1, at: Vec::new() });
        }
        self.topics[id].at.push(at);
    }

    /// An update reached one subscriber, to whom it is news.
    pub(crate) fn record(&mut self, update: Update, now: Instant) {
        let Some(topic) = self.topics.get(update.id as usize) else { return };
        let index = update.value.checked_sub(topic.from).and_then(|index| usize::try_from(index).ok());
        if let Some(due) = index.and_then(|index| topic.at.get(index)) {
            self.frames += 1;
            self.delays.add(now.saturating_duration_since(*due));
        }
    }

    /// Update frames received; repeats do not count.
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
        let mut delivery = Delivery::new(&[4]);
        delivery.sent(0, start);
        delivery.sent(2, start);
        let updates = [(0, 4), (0, 5), (0, 6), (1, 1), (2, 1), (3, 1)].map(|(id, value)| Update { id, value });
        updates.into_iter().for_each(|update| delivery.record(update, start + Duration::from_millis(3)));
        assert_eq!(delivery.frames(), 2, "of topic 0 the value 5, of topic 2 the value 1");
        assert!((delivery.delays().milliseconds(0.5) - 3.0).abs() < 0.01);
    }
}
