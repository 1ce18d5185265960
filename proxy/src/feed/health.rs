//! How the feed is. The rule: what `/ready` calls degraded is read off the metrics as well, from the same words.

use std::sync::atomic::Ordering;

use analytics_shared::CounterState;

use super::{Cause, Feed, lock};
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
        self.cut.swap(false, Ordering::SeqCst)
    }

    /// The stream is cut; answers whether it was there. Whoever waits for it is shown what the store says meanwhile.
    pub(super) fn stream_is_cut(&self) -> bool {
        let was_there = !self.cut.swap(true, Ordering::SeqCst);
        if was_there {
            // After the mark was set: a watch that came before it waits already, one that comes after sees it.
            let routing = lock(&self.routing);
            self.queue(Cause::Watch, routing.coverage.held_back());
        }
        was_there
    }

    /// Changes of an earlier epoch came and are left out; says so once, and counts them.
    pub(super) fn note_earlier_epoch(&self, count: usize) {
        if count > 0 && self.metrics.earlier_epoch.get() == 0 {
            tracing::warn!(
                "changes of an earlier epoch come and are left out: after a restore some may be under way; if they do \
                 not end, a program that writes has a lower ANALYTICS_STORE_EPOCH than this one"
            );
        }
        self.metrics.earlier_epoch.inc_by(count as u64);
    }

    /// Notes when the newest of these changes was committed.
    pub(super) fn note_lag(&self, states: &[CounterState]) {
        let newest = states.iter().map(|state| state.versioned.committed_at).max();
        if let Some(newest) = newest {
            self.metrics.announced(newest);
        }
    }
}
