//! How the feed is. The rule: what `/ready` calls degraded is read off the metrics as well, from the same words.

use std::sync::atomic::Ordering;

use analytics_shared::CounterState;

use super::{Feed, lock};
use crate::metrics::Health;

impl Feed {
    /// How it is now.
    pub(crate) fn health(&self) -> Health {
        let shards = self.shards.get().map_or_else(Default::default, |gauges| (gauges.shards(), gauges.lag()));
        Health {
            unreadable: self.unreadable.load(Ordering::Relaxed),
            cut: self.cut.load(Ordering::Relaxed),
            waiting: lock(&self.routing).coverage.waiting(),
            shards,
        }
    }

    /// The stream is there, for the first time or again; answers whether it was cut.
    pub(super) fn stream_is_there(&self) -> bool {
        self.metrics.stream_starts.inc();
        self.cut.swap(false, Ordering::Relaxed)
    }

    /// Notes when the newest of these changes was committed.
    pub(super) fn note_lag(&self, states: &[CounterState]) {
        let newest = states.iter().map(|state| state.versioned.committed_at).max();
        if let Some(newest) = newest {
            self.metrics.announced(newest);
        }
    }
}
