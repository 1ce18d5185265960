//! How a stream reader is doing. The rule: numbers only; whoever shows them names them.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::ShardKey;

/// Counters and lags of one reader.
#[derive(Debug, Default)]
pub struct Gauges {
    records: AtomicU64,
    delivered: AtomicU64,
    refused: AtomicU64,
    unreadable: AtomicU64,
    gaps: AtomicU64,
    /// Of each shard, when the oldest change was committed that is not yet handed over, in milliseconds since the Unix
    /// epoch.
    waiting_since: Mutex<HashMap<ShardKey, Option<u64>>>,
}

impl Gauges {
    /// Records that came, repeats included.
    pub fn records(&self) -> u64 {
        self.records.load(Ordering::Relaxed)
    }

    /// States that the sink took: fewer than records, for only the newest of a page is handed over.
    pub fn delivered(&self) -> u64 {
        self.delivered.load(Ordering::Relaxed)
    }

    /// Times that the sink could not take a page.
    pub fn refused(&self) -> u64 {
        self.refused.load(Ordering::Relaxed)
    }

    /// Records whose image is no counter: somebody else wrote into the table.
    pub fn unreadable(&self) -> u64 {
        self.unreadable.load(Ordering::Relaxed)
    }

    /// Times that records were gone before they were read.
    pub fn gaps(&self) -> u64 {
        self.gaps.load(Ordering::Relaxed)
    }

    /// Shards that are being read.
    pub fn shards(&self) -> usize {
        self.waiting().len()
    }

    /// How long ago the oldest change was committed that is known and not yet handed over; zero when there is none.
    pub fn lag(&self) -> Duration {
        let oldest = self.waiting().values().copied().flatten().min();
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        oldest.map_or(Duration::ZERO, |since| now.saturating_sub(Duration::from_millis(since)))
    }

    /// A page came, its oldest change committed at `since`; `None` if it was empty, that is, nothing waits.
    pub(super) fn page(&self, shard: &ShardKey, records: usize, unreadable: usize, since: Option<u64>) {
        self.records.fetch_add(records as u64, Ordering::Relaxed);
        self.unreadable.fetch_add(unreadable as u64, Ordering::Relaxed);
        self.waiting().insert(shard.clone(), since);
    }

    pub(super) fn taken(&self, states: usize) {
        self.delivered.fetch_add(states as u64, Ordering::Relaxed);
    }

    pub(super) fn not_taken(&self) {
        self.refused.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn gap(&self) {
        self.gaps.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn retain(&self, read: impl Fn(&ShardKey) -> bool) {
        self.waiting().retain(|key, _| read(key));
    }

    fn waiting(&self) -> MutexGuard<'_, HashMap<ShardKey, Option<u64>>> {
        self.waiting_since.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
