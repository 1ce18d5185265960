//! What the tests of the stream reader start: tables of their own in DynamoDB Local, and a reader between a source
//! whose calls can be made to fail and a sink that remembers.

use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use analytics_shared::counts::Versioned;
use analytics_shared::{Counter, CounterState};
use analytics_tests::{dynamodb_local, wait};
use anyhow::Result;
use async_trait::async_trait;
use lambda_trigger::dynamodb::{DynamoClient, DynamoOptions, DynamoStore, Tables, create_tables};
use lambda_trigger::streams::source::{Cursor, Page};
use lambda_trigger::streams::{
    Checkpoints, DynamoDbStreams, Gauges, KeepError, Place, Shard, ShardKey, ShardSource, Sink, SinkError, SourceError,
    Start, StreamReader,
};
use tokio::task::JoinHandle;

use crate::store_suite::stored;

/// Tables, and every way to them.
pub(crate) struct Fixture {
    pub(crate) tables: Tables,
    pub(crate) client: DynamoClient,
    pub(crate) sdk: aws_sdk_dynamodb::Client,
    pub(crate) store: Arc<DynamoStore>,
    pub(crate) source: Arc<DynamoDbStreams>,
    pub(crate) faults: Arc<Faults>,
}

/// A running reader; it ends when it is dropped.
pub(crate) struct Reader {
    pub(crate) gauges: Arc<Gauges>,
    task: JoinHandle<()>,
}

/// Faults that come before the real calls, one at a time.
#[derive(Debug, Default)]
pub(crate) struct Faults(Mutex<VecDeque<SourceError>>);

/// Remembers the newest state of every counter.
#[derive(Debug, Default)]
pub(crate) struct Collector {
    states: Mutex<HashMap<Counter, Versioned>>,
    refusals: AtomicU64,
    gaps: AtomicU64,
    caught_up: AtomicBool,
}

/// Places in memory.
#[derive(Debug, Default)]
pub(crate) struct Kept(Mutex<HashMap<ShardKey, Place>>);

struct Faulty {
    real: Arc<DynamoDbStreams>,
    faults: Arc<Faults>,
}

impl Fixture {
    pub(crate) async fn start() -> Result<Fixture> {
        let local = dynamodb_local::shared().await?;
        let config = dynamodb_local::config(local.port());
        let (client, tables) = (local.client(), dynamodb_local::fresh_tables());
        create_tables(&client, &tables).await?;
        let store = Arc::new(DynamoStore::new(client.clone(), DynamoOptions::new(tables.clone()))?);
        let source = Arc::new(DynamoDbStreams::new(&config, tables.counters().to_owned()));
        let sdk = aws_sdk_dynamodb::Client::new(&config);
        Ok(Fixture { tables, client, sdk, store, source, faults: Arc::default() })
    }

    /// Starts a reader.
    pub(crate) fn read(&self, into: &Arc<Collector>, kept: &Arc<Kept>, start: Start) -> Reader {
        let source = Arc::new(Faulty { real: self.source.clone(), faults: self.faults.clone() });
        let reader = StreamReader::new(source, kept.clone(), into.clone(), start);
        let gauges = reader.gauges();
        let task = tokio::spawn(async move { match reader.run().await {} });
        Reader { gauges, task }
    }

    /// Waits until the collector has the store's state of each counter.
    pub(crate) async fn arrived(&self, collector: &Collector, counters: &[Counter]) -> Result<()> {
        for counter in counters {
            let wanted = stored(&*self.store, counter).await.map(|state| state.versioned);
            wait::holds("a change to arrive", || collector.states().get(counter).copied() == wanted).await?;
        }
        Ok(())
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Faults {
    /// The next read fails like this, once.
    pub(crate) fn next(&self, fault: SourceError) {
        lock(&self.0).push_back(fault);
    }

    /// How many have not happened yet.
    pub(crate) fn left(&self) -> usize {
        lock(&self.0).len()
    }
}

#[async_trait]
impl ShardSource for Faulty {
    async fn shards(&self) -> Result<Vec<Shard>, SourceError> {
        self.real.shards().await
    }

    async fn cursor(&self, shard: &ShardKey, place: &Place) -> Result<Cursor, SourceError> {
        self.real.cursor(shard, place).await
    }

    async fn read(&self, cursor: &Cursor) -> Result<Page, SourceError> {
        let fault = lock(&self.faults.0).pop_front();
        match fault {
            Some(fault) => Err(fault),
            None => self.real.read(cursor).await,
        }
    }
}

impl Collector {
    pub(crate) fn new() -> Arc<Collector> {
        Arc::default()
    }

    /// Takes nothing the next times it is asked.
    pub(crate) fn refuse(&self, times: u64) {
        self.refusals.store(times, Ordering::SeqCst);
    }

    pub(crate) fn states(&self) -> HashMap<Counter, Versioned> {
        lock(&self.states).clone()
    }

    pub(crate) fn gaps(&self) -> u64 {
        self.gaps.load(Ordering::SeqCst)
    }

    pub(crate) fn is_caught_up(&self) -> bool {
        self.caught_up.load(Ordering::SeqCst)
    }
}

#[async_trait]
impl Sink for Collector {
    async fn take(&self, states: &[CounterState]) -> Result<(), SinkError> {
        let refused = self.refusals.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1));
        if refused.is_ok() {
            return Err(SinkError("not now".to_owned()));
        }
        let mut newest = lock(&self.states);
        for CounterState { counter, versioned } in states {
            newest.entry(counter.clone()).or_insert(*versioned).merge(versioned);
        }
        Ok(())
    }

    fn gap(&self) {
        self.gaps.fetch_add(1, Ordering::SeqCst);
    }

    fn caught_up(&self) {
        self.caught_up.store(true, Ordering::SeqCst);
    }
}

impl Kept {
    pub(crate) fn new() -> Arc<Kept> {
        Arc::default()
    }

    /// Whether at least so many shards have a place behind a record.
    pub(crate) fn has_place_after(&self, shards: usize) -> bool {
        lock(&self.0).values().filter(|place| matches!(place, Place::After(_))).count() >= shards
    }
}

#[async_trait]
impl Checkpoints for Kept {
    async fn load(&self) -> Result<HashMap<ShardKey, Place>, KeepError> {
        Ok(lock(&self.0).clone())
    }

    async fn keep(&self, shard: &ShardKey, place: &Place) -> Result<(), KeepError> {
        lock(&self.0).insert(shard.clone(), place.clone());
        Ok(())
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
