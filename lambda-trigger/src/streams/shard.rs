//! One shard, from its place to its end. The rule: the next page is asked for only after the sink has taken this one,
//! and a place is kept only after that.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::Arc;
use std::time::Duration;

use analytics_shared::{Counter, CounterState};
use tokio::sync::Semaphore;
use tokio::time::sleep;

use super::source::{Cursor, Page};
use super::{Backoff, CaughtUp, Checkpoints, Gauges, Place, ShardKey, ShardSource, Sink, SourceError};

/// Between two looks at a shard that had nothing.
const POLL: Duration = Duration::from_millis(250);

/// Reads one shard.
pub(super) struct ShardReader {
    pub(super) key: ShardKey,
    pub(super) place: Place,
    pub(super) source: Arc<dyn ShardSource>,
    pub(super) checkpoints: Arc<dyn Checkpoints>,
    pub(super) sink: Arc<dyn Sink>,
    pub(super) gauges: Arc<Gauges>,
    /// Shared by all shards: who holds a permit has a page in hand.
    pub(super) pages: Arc<Semaphore>,
    /// Dropped after the first page.
    pub(super) caught_up: Option<Arc<CaughtUp>>,
    /// Whether the place is kept; false only after a failure.
    pub(super) kept: bool,
}

/// What a page left behind.
enum Step {
    /// Nothing was there yet.
    Idle,
    /// There may be more at once.
    More,
    /// It was the last one.
    End,
}

impl ShardReader {
    /// Reads to the shard's end, and answers which shard that was.
    pub(super) async fn run(mut self) -> ShardKey {
        let mut cursor = None;
        let mut backoff = Backoff::default();
        loop {
            match self.step(&mut cursor).await {
                Ok(step) => {
                    backoff = Backoff::default();
                    match step {
                        Step::Idle => sleep(POLL).await,
                        Step::More => {}
                        Step::End => break,
                    }
                    continue;
                }
                Err(SourceError::Expired) => {
                    // From its last place the shard goes on as if nothing had been. Without one, it goes on later.
                    if self.place == Place::Newest {
                        self.gap("a shard was left alone for too long");
                    }
                    cursor = None;
                }
                Err(SourceError::Trimmed) => {
                    // Whoever begins with the oldest record there is means whatever is left.
                    if self.place != Place::Oldest {
                        self.gap("records were gone before they were read");
                    }
                    self.place = Place::Oldest;
                    cursor = None;
                }
                Err(SourceError::Gone) => {
                    self.gap("a shard was gone before it was read to its end");
                    break;
                }
                Err(error @ SourceError::Throttled) => {
                    tracing::debug!(shard = %self.key.shard, %error, "trying again");
                }
                Err(error @ SourceError::Failed(_)) => {
                    tracing::warn!(shard = %self.key.shard, %error, "a shard cannot be read; trying again");
                }
            }
            backoff.pause().await;
        }
        self.place = Place::Finished;
        self.keep().await;
        self.key
    }

    /// One page: read, handed over, its place kept.
    async fn step(&mut self, cursor: &mut Option<Cursor>) -> Result<Step, SourceError> {
        // The semaphore is never closed.
        let _in_hand = self.pages.clone().acquire_owned().await;
        let from = match cursor.take() {
            Some(cursor) => cursor,
            None => self.source.cursor(&self.key, &self.place).await?,
        };
        let page = match self.source.read(&from).await {
            Ok(page) => page,
            Err(error) => {
                *cursor = Some(from);
                return Err(error);
            }
        };
        let Page { changes, next } = page;
        let last = changes.last().map(|change| change.sequence.clone());
        let unreadable = changes.iter().filter(|change| change.unreadable).count();
        let states = newest(changes.iter().filter_map(|change| change.state.clone()));
        let since = states.iter().map(|state| state.versioned.committed_at).min();
        self.gauges.page(&self.key, changes.len(), unreadable, since);
        if !states.is_empty() {
            self.hand_over(&states).await;
        }
        self.caught_up = None;
        if let Some(sequence) = &last {
            self.place = Place::After(sequence.clone());
        }
        if last.is_some() || !self.kept {
            self.keep().await;
        }
        *cursor = next;
        Ok(match (&*cursor, last) {
            (None, _) => Step::End,
            (Some(_), None) => Step::Idle,
            (Some(_), Some(_)) => Step::More,
        })
    }

    /// Returns once the sink has taken the states, however long that takes: a record is never passed over.
    async fn hand_over(&self, states: &[CounterState]) {
        let mut backoff = Backoff::default();
        while let Err(error) = self.sink.take(states).await {
            self.gauges.not_taken();
            tracing::warn!(shard = %self.key.shard, %error, "changes cannot be handed over; the shard waits");
            backoff.pause().await;
        }
        self.gauges.taken(states.len());
    }

    async fn keep(&mut self) {
        let result = self.checkpoints.keep(&self.key, &self.place).await;
        if let (Err(error), true) = (&result, self.kept) {
            tracing::warn!(shard = %self.key.shard, %error, "a place cannot be kept; after a restart records repeat");
        }
        self.kept = result.is_ok();
    }

    fn gap(&self, what: &str) {
        tracing::error!(shard = %self.key.shard, place = ?self.place, "{what}; only the store knows their counts");
        self.gauges.gap();
        self.sink.gap();
    }
}

/// The newest state of each counter, in the order of their first appearance.
pub(crate) fn newest(states: impl Iterator<Item = CounterState>) -> Vec<CounterState> {
    let mut places: HashMap<Counter, usize> = HashMap::new();
    let mut newest: Vec<CounterState> = Vec::new();
    for state in states {
        match places.entry(state.counter.clone()) {
            Entry::Occupied(place) => {
                newest[*place.get()].versioned.merge(&state.versioned);
            }
            Entry::Vacant(place) => {
                place.insert(newest.len());
                newest.push(state);
            }
        }
    }
    newest
}
