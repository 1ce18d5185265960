//! Crowds: a thousand clients that come back at once do not become a thousand reads of the store, whether they watch the
//! same or each something else, and whether the store is quick or slow.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use analytics_proxy::FeedSource;
use analytics_proxy::store::{EmbeddedOptions, EmbeddedStore};
use analytics_shared::{CounterState, Field, Topic};
use analytics_tests::hosted::Hosted;
use analytics_tests::memory::Counter;
use analytics_tests::socket::Socket;
use analytics_tests::wait;
use anyhow::{Context, Result, ensure};
use async_trait::async_trait;
use futures::future::try_join_all;
use lambda_trigger::store::{Announce, CounterStore, Outcome, Unreadable, Write};
use serde_json::json;
use tokio::sync::watch;

use crate::store_suite::{applied, counter, write};

const CLIENTS: usize = 1000;
/// Topics that one read may ask for.
const BATCH: usize = 128;
/// Hubs of the edge under test: each has a table of its own.
const HUBS: usize = 2;

/// A content that cannot be read.
const UNREADABLE: &str = "damaged";

/// A store whose reads are counted, and can be held up.
struct Counting {
    inner: EmbeddedStore,
    reads: AtomicUsize,
    topics: Mutex<HashMap<Topic, usize>>,
    open: watch::Sender<bool>,
    _home: tempfile::TempDir,
}

impl Counting {
    fn start() -> Result<Arc<Counting>> {
        let home = tempfile::tempdir().context("create a data directory")?;
        let inner = EmbeddedStore::open(EmbeddedOptions::new(home.path())).context("open the store")?;
        let (reads, topics, open) = (AtomicUsize::new(0), Mutex::default(), watch::Sender::new(true));
        Ok(Arc::new(Counting { inner, reads, topics, open, _home: home }))
    }

    fn reads(&self) -> usize {
        self.reads.load(Ordering::SeqCst)
    }

    /// The most reads of one topic.
    fn most(&self) -> usize {
        self.topics.lock().unwrap_or_else(PoisonError::into_inner).values().copied().max().unwrap_or_default()
    }
}

#[async_trait]
impl CounterStore for Counting {
    fn base(&self) -> u64 {
        self.inner.base()
    }

    async fn apply(&self, writes: Vec<Write>) -> Vec<Outcome> {
        self.inner.apply(writes).await
    }

    async fn read(&self, topics: &[Topic]) -> Result<Vec<CounterState>, Unreadable> {
        self.reads.fetch_add(1, Ordering::SeqCst);
        for topic in topics {
            *self.topics.lock().unwrap_or_else(PoisonError::into_inner).entry(topic.clone()).or_default() += 1;
        }
        // The sender lives as long as this.
        let _ = self.open.subscribe().wait_for(|open| *open).await;
        if topics.iter().any(|topic| topic.content.as_str() == UNREADABLE) {
            return Err(Unreadable("a record is damaged".to_owned()));
        }
        self.inner.read(topics).await
    }

    fn announce_to(&self, listener: Arc<dyn Announce>) -> bool {
        self.inner.announce_to(listener)
    }
}

async fn connected(edge: &Hosted, count: usize) -> Result<Vec<Socket>> {
    edge.ready().await?;
    let mut sockets = Vec::with_capacity(count);
    while sockets.len() < count {
        sockets.extend(try_join_all((0..50).map(|_| edge.socket())).await?);
    }
    Ok(sockets)
}

/// Everybody subscribes at once.
async fn subscribe(sockets: &mut [Socket], ids: impl Fn(usize) -> Vec<String>) -> Result<()> {
    let asked = sockets.iter_mut().enumerate().map(|(index, socket)| {
        let message = json!({"type": "subscribe", "contentIds": ids(index)});
        async move { socket.ask(&message, "subscribed").await }
    });
    try_join_all(asked).await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_crowd_that_watches_the_same_is_a_few_reads_each_time_it_comes_back() -> Result<()> {
    let store = Counting::start()?;
    let edge = Hosted::start(store.clone(), FeedSource::Embedded, |_| {})?;
    let ids: Vec<String> = (0..20).map(|index| format!("content {index}")).collect();
    for id in &ids {
        applied(&*store, write(&counter("", id, ""), Field::Likes, 3)).await;
    }
    for visit in 1..=2 {
        let mut sockets = connected(&edge, CLIENTS).await?;
        subscribe(&mut sockets, |_| ids.clone()).await?;
        for socket in &sockets {
            socket.shows(&Counter::public(&ids[19]), "likes", 3).await?;
        }
        ensure!(store.most() <= visit * HUBS, "a topic was read {} times after visit {visit}", store.most());
        drop(sockets);
        wait::holds("all to be gone", || edge.handle.status().connections == 0).await?;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_crowd_that_watches_different_things_is_gathered() -> Result<()> {
    let store = Counting::start()?;
    let edge = Hosted::start(store.clone(), FeedSource::Embedded, |_| {})?;
    let mut sockets = connected(&edge, CLIENTS).await?;
    let began = Instant::now();
    subscribe(&mut sockets, |index| vec![format!("content {index}")]).await?;
    wait::holds("all to be read", || store.topics.lock().is_ok_and(|topics| topics.len() == CLIENTS)).await?;
    // However long it took: a read each 10 ms, and those of whole batches.
    let most = began.elapsed().as_millis() as usize / 10 + CLIENTS / BATCH + 2;
    println!("{} reads, at most {most}", store.reads());
    ensure!(store.reads() <= most && store.most() == 1, "{} reads, at most {most}", store.reads());
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_crowd_before_a_slow_store_waits_together() -> Result<()> {
    let store = Counting::start()?;
    let edge = Hosted::start(store.clone(), FeedSource::Embedded, |_| {})?;
    for index in 0..CLIENTS {
        applied(&*store, write(&counter("", &format!("content {index}"), ""), Field::Likes, 3)).await;
    }
    let mut sockets = connected(&edge, CLIENTS).await?;
    store.open.send_replace(false);
    subscribe(&mut sockets, |index| vec![format!("content {index}")]).await?;
    store.open.send_replace(true);
    for (index, socket) in sockets.iter().enumerate() {
        socket.shows(&Counter::public(&format!("content {index}")), "likes", 3).await?;
    }
    // The one that was held up, and whole batches of the rest.
    let most = 1 + CLIENTS.div_ceil(BATCH);
    ensure!(store.reads() <= most && store.most() == 1, "{} reads, at most {most}", store.reads());
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_leaves_and_comes_back_meanwhile_adds_no_read() -> Result<()> {
    let store = Counting::start()?;
    let edge = Hosted::start(store.clone(), FeedSource::Embedded, |_| {})?;
    let shown = Counter::public("x");
    applied(&*store, write(&counter("", "x", ""), Field::Likes, 3)).await;
    let mut sockets = connected(&edge, 100).await?;
    store.open.send_replace(false);
    for _ in 0..10 {
        subscribe(&mut sockets, |_| vec!["x".to_owned()]).await?;
        subscribe(&mut sockets, |_| vec!["y".to_owned()]).await?;
    }
    applied(&*store, write(&counter("", "x", ""), Field::Likes, 1)).await;
    subscribe(&mut sockets, |_| vec!["x".to_owned()]).await?;
    store.open.send_replace(true);
    for socket in &sockets {
        socket.shows(&shown, "likes", 4).await?;
    }
    // Of each topic one was under way at most, and one waited.
    ensure!(store.most() <= 2, "a topic was read {} times", store.most());
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_cannot_be_read_keeps_nothing_else_waiting() -> Result<()> {
    let store = Counting::start()?;
    let edge = Hosted::start(store.clone(), FeedSource::Embedded, |_| {})?;
    let ids: Vec<String> = (0..300).map(|index| format!("content {index}")).collect();
    for id in &ids {
        applied(&*store, write(&counter("", id, ""), Field::Likes, 3)).await;
    }
    applied(&*store, write(&counter("", "later", ""), Field::Views, 1)).await;
    let mut sockets = connected(&edge, 1).await?;
    let all: Vec<String> = [UNREADABLE.to_owned()].into_iter().chain(ids.clone()).collect();
    subscribe(&mut sockets, |_| all.clone()).await?;
    for id in &ids {
        sockets[0].shows(&Counter::public(id), "likes", 3).await?;
    }
    let told = || edge.handle.status().degraded == ["the store cannot be read"];
    wait::holds("the failure to be told", told).await?;
    // Nor does what comes later wait for it.
    subscribe(&mut sockets, |_| vec![UNREADABLE.to_owned(), "later".to_owned()]).await?;
    sockets[0].shows(&Counter::public("later"), "likes", 0).await
}
