//! Promise: a connection that comes to a topic again and again is never shown an older version than it was shown
//! there before, although the edge forgets the topic each time that its only watcher leaves.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use analytics_tests::api::{Api, update};
use analytics_tests::edge::Edge;
use analytics_tests::memory::Counter;
use analytics_tests::socket::Socket;
use anyhow::{Context, Result, ensure};
use futures::future::try_join_all;
use serde_json::{Value, json};

/// Promise: the only watcher of a content leaves and returns in the middle of heavy updates, through every message
/// that does so; versions never go down (the socket checks each), and it ends at the right value.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_only_watcher_who_returns_sees_nothing_older() -> Result<()> {
    const RETURNS: usize = 600;
    let edge = Edge::start(&[("ANALYTICS_MESSAGES_PER_SECOND", "100000")]).await?;
    let counters = ["a", "b"].map(Counter::public);
    let stop = Arc::new(AtomicBool::new(false));
    let posters: Vec<_> = (0..4)
        .map(|_| {
            let (authority, stop, counters) = (edge.authority(), stop.clone(), counters.clone());
            tokio::spawn(async move {
                let mut api = Api::new(authority?);
                let updates: Vec<Value> = counters.iter().map(|counter| update(counter, "views", 1)).collect();
                let body = json!({"updates": updates});
                let mut posted = 0u64;
                while !stop.load(Ordering::Relaxed) {
                    let reply = api.trigger(&body, None).await?;
                    ensure!(reply.status == 200, "{}", reply.text());
                    posted += 1;
                }
                anyhow::Ok(posted)
            })
        })
        .collect();
    let mut socket = Socket::open(&edge).await?;
    for turn in 0..RETURNS {
        match turn % 3 {
            0 => socket.send(&json!({"type": "unsubscribe"})).await?,
            1 => socket.send(&json!({"type": "unsubscribe", "contentIds": ["a"]})).await?,
            _ => drop(socket.ask(&json!({"type": "subscribe", "contentIds": ["b"]}), "subscribed").await?),
        }
        socket.ask(&json!({"type": "subscribe", "contentIds": ["a", "b"]}), "subscribed").await?;
        if turn % 4 == 0 {
            let before = socket.seen().updates;
            analytics_tests::wait::holds("an update after the return", || socket.seen().updates > before).await?;
        }
    }
    stop.store(true, Ordering::Relaxed);
    let mut total = 0;
    for posted in try_join_all(posters).await? {
        total += posted?;
    }
    ensure!(total > 0, "nothing was posted meanwhile");
    for counter in &counters {
        socket.shows(counter, "views", total).await.context("the last value")?;
    }
    Ok(())
}
