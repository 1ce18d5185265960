//! A stream whose shards and records a test writes down. The rule: it answers as DynamoDB Streams does, and remembers
//! from where it was read.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use analytics_shared::counts::Versioned;
use analytics_shared::{Counter, CounterState, Counts};
use async_trait::async_trait;
use lambda_trigger::streams::source::{Change, Cursor, Page};
use lambda_trigger::streams::{Place, Shard, ShardKey, ShardSource, SourceError};

/// Records per page.
const PAGE: usize = 10;

/// The whole stream.
#[derive(Debug, Default)]
pub(crate) struct Script(Mutex<Shards>);

#[derive(Debug, Default)]
struct Shards {
    shards: Vec<Written>,
    sequence: u64,
}

#[derive(Debug)]
struct Written {
    shard: Shard,
    changes: Vec<Change>,
    last_place: Option<Place>,
}

/// A state that is told apart by its version.
pub(crate) fn state(of: &Counter, version: u64) -> CounterState {
    let counts = Counts::from_array([version, 0, 0, version]);
    CounterState { counter: of.clone(), versioned: Versioned { version, committed_at: 1_000 + version, counts } }
}

impl Script {
    pub(crate) fn new() -> Arc<Script> {
        Arc::default()
    }

    /// Adds an open shard.
    pub(crate) fn shard(&self, name: &str, parent: Option<&str>) {
        let shard = Shard { key: key(name), parent: parent.map(key), open: true };
        self.lock().shards.push(Written { shard, changes: Vec::new(), last_place: None });
    }

    /// Adds a record to a shard; sequence numbers count from 1 over all shards.
    pub(crate) fn add(&self, shard: &str, state: CounterState) {
        self.push(shard, Some(state));
    }

    /// Adds the record of an item that was removed.
    pub(crate) fn add_removal(&self, shard: &str) {
        self.push(shard, None);
    }

    /// The shard gets no more records.
    pub(crate) fn close(&self, shard: &str) {
        self.lock().of(&key(shard)).expect("the shard exists").shard.open = false;
    }

    /// From where the shard was begun to be read last.
    pub(crate) fn last_place(&self, shard: &str) -> Option<Place> {
        self.lock().of(&key(shard)).and_then(|written| written.last_place.clone())
    }

    /// The newest state of every counter, over all shards.
    pub(crate) fn newest(&self) -> HashMap<Counter, Versioned> {
        let mut newest: HashMap<Counter, Versioned> = HashMap::new();
        let shards = self.lock();
        for state in shards.shards.iter().flat_map(|written| &written.changes).filter_map(|change| change.state.clone())
        {
            newest.entry(state.counter).or_insert(state.versioned).merge(&state.versioned);
        }
        newest
    }

    fn push(&self, shard: &str, state: Option<CounterState>) {
        let mut shards = self.lock();
        shards.sequence += 1;
        let change = Change { sequence: shards.sequence.to_string(), state, unreadable: false };
        shards.of(&key(shard)).expect("the shard exists").changes.push(change);
    }

    fn lock(&self) -> MutexGuard<'_, Shards> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Shards {
    fn of(&mut self, key: &ShardKey) -> Option<&mut Written> {
        self.shards.iter_mut().find(|written| written.shard.key == *key)
    }
}

#[async_trait]
impl ShardSource for Script {
    async fn shards(&self) -> Result<Vec<Shard>, SourceError> {
        Ok(self.lock().shards.iter().map(|written| written.shard.clone()).collect())
    }

    async fn cursor(&self, shard: &ShardKey, place: &Place) -> Result<Cursor, SourceError> {
        let mut shards = self.lock();
        let written = shards.of(shard).ok_or(SourceError::Gone)?;
        written.last_place = Some(place.clone());
        let index = match place {
            Place::Oldest => 0,
            Place::Newest => written.changes.len(),
            Place::After(sequence) => {
                let at = written.changes.iter().position(|change| change.sequence == *sequence);
                at.ok_or(SourceError::Trimmed)? + 1
            }
            Place::Finished => return Err(SourceError::Gone),
        };
        Ok(Cursor(format!("{}/{index}", shard.shard)))
    }

    async fn read(&self, cursor: &Cursor) -> Result<Page, SourceError> {
        let (shard, index) = cursor.0.split_once('/').ok_or(SourceError::Expired)?;
        let index: usize = index.parse().map_err(|_| SourceError::Expired)?;
        let mut shards = self.lock();
        let written = shards.of(&key(shard)).ok_or(SourceError::Gone)?;
        let changes: Vec<Change> = written.changes.iter().skip(index).take(PAGE).cloned().collect();
        let next = index + changes.len();
        let is_end = !written.shard.open && next == written.changes.len();
        Ok(Page { changes, next: (!is_end).then(|| Cursor(format!("{shard}/{next}"))) })
    }
}

fn key(name: &str) -> ShardKey {
    ShardKey { stream: "stream".into(), shard: name.to_owned() }
}
