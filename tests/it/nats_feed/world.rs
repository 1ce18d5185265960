//! What the tests of the NATS feed start: a store whose changes travel by a real nats-server. The rule: between the
//! commit and the log there is only an outbox that keeps the newest state of each counter, as the relay does.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use analytics_proxy::store::{EmbeddedOptions, EmbeddedStore};
use analytics_proxy::{EdgeConfig, FeedSource};
use analytics_shared::counts::Versioned;
use analytics_shared::{Counter, CounterState, Counts, Field, Topic};
use analytics_tests::hosted::Hosted;
use analytics_tests::nats::NatsServer;
use anyhow::{Context, Result};
use async_nats::jetstream;
use async_trait::async_trait;
use lambda_trigger::changelog::{Bounds, Changelog};
use lambda_trigger::relay::Publisher;
use lambda_trigger::store::{Announce, CounterStore, Outcome, Unreadable, Write};
use lambda_trigger::streams::Sink;
use tokio::sync::Notify;
use tokio::task::JoinHandle;

use crate::store_suite::{applied, counter, write};

/// A hub, its log, and a store whose commits go into it.
pub(crate) struct World {
    pub(crate) server: NatsServer,
    pub(crate) log: Changelog,
    pub(crate) store: Arc<Store>,
    pub(crate) jetstream: jetstream::Context,
    outbox: Arc<Outbox>,
    carrier: JoinHandle<()>,
}

/// An embedded store that announces to the outbox alone, and counts the topics that were read.
pub(crate) struct Store {
    inner: EmbeddedStore,
    reads: Mutex<HashMap<Topic, usize>>,
    _home: tempfile::TempDir,
}

#[derive(Default)]
struct Outbox {
    states: Mutex<Held>,
    filled: Notify,
}

#[derive(Default)]
struct Held {
    states: HashMap<Counter, CounterState>,
    closed: bool,
    under_way: bool,
}

impl World {
    pub(crate) async fn start() -> Result<World> {
        let server = NatsServer::hub().await?;
        let log = Changelog::of_tables("test");
        let options = NatsServer::options(server.address);
        let jetstream = options.jetstream(options.connect().await?);
        let publisher = Publisher::new(jetstream.clone(), log.clone(), Bounds::default());
        publisher.ensure().await?;
        let home = tempfile::tempdir().context("create a data directory")?;
        let inner = EmbeddedStore::open(EmbeddedOptions::new(home.path())).context("open the store")?;
        let outbox = Arc::new(Outbox::default());
        assert!(inner.announce_to(outbox.clone()), "the embedded store announces");
        let carrier = tokio::spawn(outbox.clone().carry(publisher));
        let store = Arc::new(Store { inner, reads: Mutex::default(), _home: home });
        Ok(World { server, log, store, jetstream, outbox, carrier })
    }

    /// An edge over this store that reaches NATS at an address.
    pub(crate) fn edge(&self, nats: SocketAddr, adjust: impl FnOnce(&mut EdgeConfig)) -> Result<Hosted> {
        let source = FeedSource::Nats { nats: NatsServer::options(nats), log: self.log.clone() };
        Hosted::start(self.store.clone(), source, |config| {
            // Nothing here may owe its convergence to the sweep unless it says so.
            config.sweep = Duration::from_secs(24 * 60 * 60);
            adjust(config);
        })
    }

    /// Counts, and answers the counter's value then.
    pub(crate) async fn add(&self, of: &Counter, field: Field, increment: i64) -> u64 {
        applied(&*self.store, write(of, field, increment)).await.state.versioned.counts.get(field)
    }

    /// Puts a state into the log that is not the store's.
    pub(crate) async fn say(&self, of: &Counter, version: u64, likes: u64) -> Result<()> {
        let versioned = Versioned { version, committed_at: 1, counts: Counts::from_array([0, likes, 0, 0]) };
        let state = CounterState { counter: of.clone(), versioned };
        let publisher = Publisher::new(self.jetstream.clone(), self.log.clone(), Bounds::default());
        publisher.take(&[state]).await.context("publish a state")
    }

    /// Keeps commits from the log from now on: they are lost to it for good, except for what is under way.
    pub(crate) fn lose_changes(&self, lose: bool) {
        self.outbox.lock().closed = lose;
    }

    /// Returns once the log has acknowledged every commit.
    pub(crate) async fn published(&self) -> Result<()> {
        let empty = || {
            let held = self.outbox.lock();
            held.states.is_empty() && !held.under_way
        };
        analytics_tests::wait::holds("the log to have every commit", empty).await
    }

    /// How often a topic was read from the store.
    pub(crate) fn reads(&self, topic: &Topic) -> usize {
        lock(&self.store.reads).get(topic).copied().unwrap_or_default()
    }
}

impl Drop for World {
    fn drop(&mut self) {
        self.carrier.abort();
    }
}

impl Outbox {
    async fn carry(self: Arc<Self>, publisher: Publisher) {
        loop {
            self.filled.notified().await;
            let states: Vec<CounterState> = {
                let mut held = self.lock();
                held.under_way = true;
                held.states.drain().map(|(_, state)| state).collect()
            };
            while !states.is_empty() && publisher.take(&states).await.is_err() {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
            self.lock().under_way = false;
        }
    }

    fn lock(&self) -> MutexGuard<'_, Held> {
        lock(&self.states)
    }
}

impl Announce for Outbox {
    fn announce(&self, states: &[CounterState]) {
        let mut held = self.lock();
        if held.closed {
            return;
        }
        held.states.extend(states.iter().map(|state| (state.counter.clone(), state.clone())));
        self.filled.notify_one();
    }
}

#[async_trait]
impl CounterStore for Store {
    fn base(&self) -> u64 {
        self.inner.base()
    }

    async fn apply(&self, writes: Vec<Write>) -> Vec<Outcome> {
        self.inner.apply(writes).await
    }

    async fn read(&self, topics: &[Topic]) -> Result<Vec<CounterState>, Unreadable> {
        for topic in topics {
            *lock(&self.reads).entry(topic.clone()).or_default() += 1;
        }
        self.inner.read(topics).await
    }
}

/// A counter of the tests, and the same as the client's memory names it.
pub(crate) fn both(organization: &str, content: &str) -> (Counter, analytics_tests::memory::Counter) {
    let named = (!organization.is_empty()).then_some(organization);
    (counter(organization, content, ""), analytics_tests::memory::Counter::new(named, None, content))
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
