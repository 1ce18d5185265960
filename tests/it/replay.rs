//! Promise: after a replay of real input every count is right, and everybody who watched knows it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use analytics_tests::edge::Edge;
use analytics_tests::input::{File, Increment};
use analytics_tests::memory::{Counter, FIELDS};
use analytics_tests::replay::{self, Plan, Progress, Summary};
use analytics_tests::socket::Socket;
use analytics_tests::wait;
use anyhow::{Context, Result, ensure};
use serde_json::json;

use crate::totals::{self, Totals};

/// Subscribers of public contents and of one channel's videos each.
const PUBLIC_SUBSCRIBERS: usize = 25;
const CHANNEL_SUBSCRIBERS: usize = 25;

/// Public contents per subscriber: slices that overlap, so that most contents have several subscribers.
const IDS_PER_SUBSCRIBER: usize = 200;

/// A plan with the 64 posters.
pub(crate) fn plan(edge: &Edge, run_id: &str, batch: usize, give_up_after: Duration) -> Result<Plan> {
    let urls = vec![format!("http://{}", edge.authority()?)];
    Ok(Plan { urls, posters: 64, batch, run_id: run_id.to_owned(), token: None, give_up_after })
}

/// Both files' increments in order.
pub(crate) fn both_files() -> Result<Vec<Increment>> {
    Ok([File::Pageviews.increments()?, File::VideoCounts.increments()?].concat())
}

async fn run(edge: &Edge, batch: usize) -> Result<Summary> {
    let plan = plan(edge, "replay-test", batch, wait::LIMIT)?;
    replay::run(plan, both_files()?, Arc::new(Progress::default())).await
}

/// Promise: with 64 posters and 50 subscribers every count equals an independent sum, every subscriber's last values
/// equal the store's, and on no connection a version went back.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_count_is_right_and_every_subscriber_knows_it() -> Result<()> {
    let expected = totals::of_both_files()?;
    let edge = Edge::start(&[]).await?;
    let subscribers = subscribe(&edge, &expected).await?;

    let summary = run(&edge, 1).await?;
    ensure!(summary.refused == 0 && summary.posted == summary.rows, "{summary}");

    let stored = totals::in_the_store(&edge.authority()?, &expected).await?;
    totals::same(&expected, &stored)?;
    for (socket, counters) in &subscribers {
        for counter in counters {
            let counts = stored.get(counter).context("the counter is stored")?;
            for (field, value) in FIELDS.iter().zip(counts) {
                socket.shows(counter, field, *value).await?;
            }
        }
        ensure!(socket.seen().end.is_none(), "a subscriber was cut: {:?}", socket.seen().end);
    }
    Ok(())
}

/// Promise: a replay in batches counts the same, and one that is repeated under its id counts nothing.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_replay_in_batches_counts_the_same_and_its_repeat_nothing() -> Result<()> {
    let expected = totals::of_both_files()?;
    let edge = Edge::start(&[]).await?;
    let first = run(&edge, 100).await?;
    ensure!(first.posted == first.rows, "{first}");
    let second = run(&edge, 100).await?;
    ensure!(second.replayed == second.rows, "{second}");
    totals::same(&expected, &totals::in_the_store(&edge.authority()?, &expected).await?)
}

/// The subscribers, each with the counters that it will be shown.
async fn subscribe(edge: &Edge, expected: &Totals) -> Result<Vec<(Socket, Vec<Counter>)>> {
    let public: Vec<&Counter> = expected.keys().filter(|counter| counter.organization.is_none()).collect();
    let mut channels: BTreeMap<&str, Vec<&Counter>> = BTreeMap::new();
    for counter in expected.keys() {
        if let Some(channel) = &counter.organization {
            channels.entry(channel).or_default().push(counter);
        }
    }
    let mut channels: Vec<(&str, Vec<&Counter>)> = channels.into_iter().collect();
    channels.sort_by_key(|(_, videos)| std::cmp::Reverse(videos.len()));

    let mut subscribers = Vec::new();
    for index in 0..PUBLIC_SUBSCRIBERS {
        let first = index * public.len() / PUBLIC_SUBSCRIBERS;
        let counters: Vec<&Counter> = public.iter().cycle().skip(first).take(IDS_PER_SUBSCRIBER).copied().collect();
        subscribers.push((subscriber(edge, None, &counters).await?, counters.into_iter().cloned().collect()));
    }
    for (channel, videos) in channels.into_iter().take(CHANNEL_SUBSCRIBERS) {
        // A scope shows the public counters too.
        let counters: Vec<&Counter> = videos.into_iter().chain(public.iter().copied().take(20)).collect();
        subscribers.push((subscriber(edge, Some(channel), &counters).await?, counters.into_iter().cloned().collect()));
    }
    Ok(subscribers)
}

async fn subscriber(edge: &Edge, organization: Option<&str>, counters: &[&Counter]) -> Result<Socket> {
    let ids: Vec<&str> = counters.iter().map(|counter| counter.content.as_str()).collect();
    let mut socket = Socket::open(edge).await?;
    let subscribe = json!({"type": "subscribe", "contentIds": ids, "organizationId": organization});
    let subscribed = socket.ask(&subscribe, "subscribed").await?;
    ensure!(subscribed["contentIds"] == json!(ids), "the reply names other ids: {subscribed}");
    ensure!(subscribed["organizationId"] == json!(organization), "the reply names another scope: {subscribed}");
    Ok(socket)
}
