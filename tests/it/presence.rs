//! Several proxies over the same tables: each tells how many sockets it has open, and whoever asks for the status gets the
//! sum; whatever that costs, counting and showing counts do not wait for it.

use analytics_tests::dynamodb_local::{self, DynamoLocal, config, fresh_tables};
use analytics_tests::edge::Edge;
use analytics_tests::fault_hop::{Fault, FaultHop};
use analytics_tests::http::Http;
use analytics_tests::memory::Counter;
use analytics_tests::socket::Socket;
use analytics_tests::wait;
use anyhow::{Context, Result, ensure};
use lambda_trigger::Presence;
use lambda_trigger::dynamodb::{DynamoClient, DynamoOptions, DynamoPresence, Tables, create_tables};
use serde_json::json;

/// Tables of a test's own.
async fn made_tables(local: &DynamoLocal) -> Result<Tables> {
    let tables = fresh_tables();
    create_tables(&local.client(), &tables).await?;
    Ok(tables)
}

/// A proxy over these tables that reaches DynamoDB at a port, and is ready.
async fn proxy(local: &DynamoLocal, port: u16, tables: &Tables) -> Result<Edge> {
    let env = dynamodb_local::environment_over(tables, port, local.port());
    let own =
        [("ANALYTICS_STORE", "dynamodb"), ("ANALYTICS_FEED", "dynamodb-streams"), ("ANALYTICS_DRAIN_SECONDS", "0")];
    let env: Vec<(&str, &str)> = env.iter().map(|(name, value)| (*name, value.as_str())).chain(own).collect();
    let edge = Edge::start(&env).await?;
    let mut http = edge.api()?.http;
    wait::until("the proxy to be ready", async || http.get("/ready").await.ok().filter(|reply| reply.status == 200))
        .await?;
    Ok(edge)
}

async fn sum_becomes(edge: &Edge, sum: u64) -> Result<()> {
    let mut api = edge.api()?;
    let what = format!("the sum to be {sum}");
    wait::until(&what, async || api.connected_clients().await.ok().filter(|clients| *clients == sum)).await?;
    Ok(())
}

/// Promise: every proxy's status has the sockets of all of them, and a proxy that ends takes its own away.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_status_sums_the_sockets_of_all_proxies() -> Result<()> {
    let local = dynamodb_local::shared().await?;
    let tables = made_tables(local).await?;
    let (mut one, other) = (proxy(local, local.port(), &tables).await?, proxy(local, local.port(), &tables).await?);
    let mut sockets = Vec::new();
    for edge in [&one, &one, &one, &other, &other] {
        sockets.push(Socket::open(edge).await?);
    }
    sum_becomes(&one, 5).await?;
    sum_becomes(&other, 5).await?;
    sockets.pop().context("five sockets")?.close().await?;
    sum_becomes(&one, 4).await?;
    one.terminate()?;
    ensure!(one.ended().await?.success());
    // It said so before it ended; a proxy that says nothing counts for another 30 s.
    let presence = DynamoPresence::new(DynamoClient::new(&config(local.port())), &DynamoOptions::new(tables));
    ensure!(presence.connected().await == Ok(1), "{:?}", presence.connected().await);
    sum_becomes(&other, 1).await
}

/// Promise: a table of proxies out of reach costs the sum alone, and a line in the log.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_table_out_of_reach_costs_the_sum_alone() -> Result<()> {
    let local = dynamodb_local::shared().await?;
    let tables = made_tables(local).await?;
    let hop = FaultHop::start(local.port()).await?;
    hop.always("PutItem", Fault::refusal("AccessDeniedException"));
    let edge = proxy(local, hop.port(), &tables).await?;
    let told = "the other proxies are not told";
    wait::holds("the failure to be told", || edge.log().contains(told)).await?;
    let mut socket = Socket::open(&edge).await?;
    socket.ask(&json!({"type": "subscribe", "contentIds": ["x"]}), "subscribed").await?;
    let mut api = edge.api()?;
    ensure!(api.count(&Counter::public("x"), "views", 1).await?.0 == 1);
    socket.shows(&Counter::public("x"), "views", 1).await?;
    ensure!(api.http.get("/ready").await?.json()?["status"] == "ok");
    ensure!(api.connected_clients().await? == 0, "nothing was told");
    let seen = hop.seen("PutItem");
    wait::holds("another beat", || hop.seen("PutItem") > seen).await?;
    hop.heal();
    sum_becomes(&edge, 1).await?;
    let lines = edge.log().tail(usize::MAX).iter().filter(|line| line.contains(told)).count();
    ensure!(lines == 1, "{lines} lines about one outage");
    let metrics = Http::new(edge.listening()?.admin.to_string()).get("/metrics").await?.text();
    ensure!(
        metrics.lines().any(|line| line.starts_with("analytics_presence_failures_total ") && !line.ends_with(" 0"))
    );
    Ok(())
}
