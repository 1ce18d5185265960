//! Promise: a crash loses nothing that was acknowledged and doubles nothing; a store that was wiped wins over what
//! clients remember.

use std::sync::Arc;
use std::time::Duration;

use analytics_tests::edge::Edge;
use analytics_tests::memory::Counter;
use analytics_tests::replay::{self, Progress};
use analytics_tests::socket::{Dial, Socket};
use analytics_tests::{token, wait};
use anyhow::{Result, ensure};
use serde_json::json;

use crate::replay::{both_files, plan};
use crate::totals;

/// Promise: killed twice in the middle of a replay and resumed with the same keys, the totals are those of a replay
/// without a crash.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_in_the_middle_of_a_replay_nothing_is_lost_and_nothing_counts_twice() -> Result<()> {
    let expected = totals::of_both_files()?;
    let increments = both_files()?;
    let mut edge = Edge::start(&[]).await?;
    let mut answered = 0;
    for third in 1..=2 {
        let progress = Arc::new(Progress::default());
        let plan = plan(&edge, "crash-test", 1, Duration::ZERO)?;
        let replay = tokio::spawn(replay::run(plan, increments.clone(), progress.clone()));
        let enough = increments.len() as u64 * third / 3;
        wait::holds("a part of the replay", || progress.answered() >= enough || replay.is_finished()).await?;
        edge.kill()?;
        ensure!(replay.await?.is_err(), "the replay was over before the crash");
        answered = progress.answered();
        edge.start_again().await?;
    }
    let plan = plan(&edge, "crash-test", 1, wait::LIMIT)?;
    let summary = replay::run(plan, increments, Arc::new(Progress::default())).await?;
    ensure!(summary.refused == 0, "{summary}");
    ensure!(summary.replayed >= answered, "{answered} were answered before the last crash: {summary}");
    totals::same(&expected, &totals::in_the_store(&edge.authority()?, &expected).await?)
}

/// Promise: after a wiped data directory, a client that stayed is told a higher base and converges to the new values,
/// lower as they are.
#[tokio::test]
async fn a_client_that_stayed_converges_to_a_wiped_store() -> Result<()> {
    let counter = Counter::public("front page");
    let other = Counter::public("a page that is never counted again");
    let subscribe = json!({"type": "subscribe", "contentIds": [counter.content, other.content]});
    let mut edge = Edge::start(&[]).await?;
    let created = token::now();
    let mut socket = Socket::open(&edge).await?;
    let first_base = socket.seen().base;
    socket.ask(&subscribe, "subscribed").await?;
    let mut api = edge.api()?;
    for _ in 0..20 {
        api.count(&counter, "likes", 1).await?;
    }
    api.count(&other, "likes", 7).await?;
    socket.shows(&counter, "likes", 20).await?;
    socket.shows(&other, "likes", 7).await?;

    edge.kill()?;
    socket.ended().await?;
    edge.wipe()?;
    // An epoch is a second: a store created within the same one could not be told apart.
    wait::holds("the next second", || token::now() > created).await?;
    edge.start_again().await?;
    edge.api()?.count(&counter, "likes", 1).await?;

    let mut socket = Dial { memory: socket.into_memory(), ..Dial::default() }.open(&edge).await?;
    ensure!(socket.seen().base > first_base, "base {} after {first_base}", socket.seen().base);
    ensure!(socket.value(&counter, "likes").is_none(), "what lies below the new base is forgotten");
    socket.ask(&subscribe, "subscribed").await?;
    socket.shows(&counter, "likes", 1).await?;
    edge.api()?.count(&counter, "likes", 1).await?;
    socket.shows(&counter, "likes", 2).await?;
    ensure!(socket.value(&other, "likes").is_none(), "a counter of the old store came back");
    Ok(())
}

/// Promise: a client that comes back to an edge that crashed (same store) is told the same base, and keeps what it
/// remembers.
#[tokio::test]
async fn a_crash_keeps_the_base_and_what_clients_remember() -> Result<()> {
    let counter = Counter::public("front page");
    let mut edge = Edge::start(&[]).await?;
    let (value, version) = edge.api()?.count(&counter, "views", 3).await?;
    let mut socket = Socket::open(&edge).await?;
    let base = socket.seen().base;
    socket.ask(&json!({"type": "subscribe", "contentIds": [counter.content]}), "subscribed").await?;
    socket.shows(&counter, "views", value).await?;
    edge.kill()?;
    edge.start_again().await?;
    socket.ended().await?;
    let socket = Dial { memory: socket.into_memory(), ..Dial::default() }.open(&edge).await?;
    ensure!(socket.seen().base == base, "base {} after {base}", socket.seen().base);
    ensure!(socket.value(&counter, "views") == Some(3), "the memory was lost");
    let (value, next) = edge.api()?.count(&counter, "views", 1).await?;
    ensure!(value == 4 && next == version + 1, "{value} at version {next} after 3 at {version}");
    Ok(())
}
