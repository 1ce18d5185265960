//! A single proxy that reads DynamoDB Streams itself: it shows what is counted, and says so while the stream is cut.

use analytics_tests::dynamodb_local;
use analytics_tests::edge::Edge;
use analytics_tests::hop::{Hop, Line};
use analytics_tests::http::Http;
use analytics_tests::memory::Counter;
use analytics_tests::socket::Socket;
use analytics_tests::wait;
use anyhow::{Context, Result, ensure};
use lambda_trigger::dynamodb::create_tables;
use serde_json::json;

/// Promise: a cut of the stream is told by `/ready` and by the metrics and costs nothing but time: calls are counted, and
/// subscribers converge when it ends.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cut_of_the_stream_is_told_and_healed() -> Result<()> {
    let local = dynamodb_local::shared().await?;
    let tables = dynamodb_local::fresh_tables();
    create_tables(&local.client(), &tables).await?;
    let hop = Hop::start(([127, 0, 0, 1], local.port()).into()).await?;
    let env = dynamodb_local::environment_over(&tables, local.port(), hop.address.port());
    let own = [("ANALYTICS_STORE", "dynamodb"), ("ANALYTICS_FEED", "dynamodb-streams")];
    let env: Vec<(&str, &str)> = env.iter().map(|(name, value)| (*name, value.as_str())).chain(own).collect();
    let edge = Edge::start(&env).await?;
    let mut api = edge.api()?;
    let mut admin = Http::new(edge.listening()?.admin.to_string());
    let mut ready = edge.api()?.http;
    let mut is = async |status: &str| {
        wait::until(status, async || {
            let body = ready.get("/ready").await.ok()?.json().ok()?;
            (body["status"] == status).then_some(body["reasons"].clone())
        })
        .await
    };
    let mut metric = async |name: &str| {
        let text = admin.get("/metrics").await?.text();
        let line = text.lines().find_map(|line| line.strip_prefix(&format!("analytics_{name} ")));
        line.and_then(|value| value.trim().parse::<f64>().ok()).with_context(|| format!("no {name} in {text}"))
    };
    is("ok").await?;
    let counter = Counter::public("x");
    let mut socket = Socket::open(&edge).await?;
    socket.ask(&json!({"type": "subscribe", "contentIds": ["x"]}), "subscribed").await?;
    let (value, _) = api.count(&counter, "likes", 1).await?;
    socket.shows(&counter, "likes", value).await?;
    ensure!(metric("stream_cut").await? == 0.0 && metric("stream_shards").await? >= 1.0);
    // The value may have come by the read that follows a first watcher, before the stream had it.
    wait::until("a change to be announced", async || {
        metric("newest_update_timestamp_seconds").await.ok().filter(|newest| *newest > 1.7e9)
    })
    .await?;
    ensure!(metric("update_lag_seconds").await? < 3600.0);
    let starts = metric("stream_starts_total").await?;
    hop.set(Line::Broken);
    let reasons = is("degraded").await?;
    ensure!(reasons == json!(["the stream of changes is cut"]), "{reasons}");
    ensure!(metric("stream_cut").await? == 1.0);
    let (value, _) = api.count(&counter, "likes", 1).await?;
    hop.set(Line::Whole);
    socket.shows(&counter, "likes", value).await?;
    is("ok").await?;
    ensure!(metric("stream_cut").await? == 0.0 && metric("stream_starts_total").await? > starts);
    Ok(())
}
