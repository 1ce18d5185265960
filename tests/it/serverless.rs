//! The production shape with its real programs: two proxies over DynamoDB, `stream-relay` as a process, nats-server. The
//! rule: what is posted at one proxy is checked at both.

use std::process::Stdio;

use analytics_tests::dynamodb_local::{self, DynamoLocal};
use analytics_tests::edge::Edge;
use analytics_tests::memory::Counter;
use analytics_tests::nats::{HUB, NatsServer};
use analytics_tests::program::Program;
use analytics_tests::socket::Socket;
use analytics_tests::stack::{Database, Parts};
use anyhow::{Result, ensure};
use lambda_trigger::dynamodb::{Tables, create_tables};
use serde_json::json;

use crate::faults::scene::Scene;

/// The variables that every program shares.
fn environment(local: &DynamoLocal, server: &NatsServer, prefix: &str) -> Vec<(&'static str, String)> {
    let own = [
        ("ANALYTICS_TABLE_PREFIX", prefix.to_owned()),
        ("ANALYTICS_NATS_URL", format!("nats://{}", server.address)),
        ("ANALYTICS_NATS_DOMAIN", HUB.to_owned()),
    ];
    own.into_iter().chain(dynamodb_local::environment(local.port())).collect()
}

async fn edge(shared: &[(&'static str, String)]) -> Result<Edge> {
    let own = [("ANALYTICS_STORE", "dynamodb"), ("ANALYTICS_FEED", "nats")];
    let env: Vec<(&str, &str)> = shared.iter().map(|(name, value)| (*name, value.as_str())).chain(own).collect();
    Edge::start(&env).await
}

async fn subscriber(edge: &Edge) -> Result<Socket> {
    let mut api = edge.api()?;
    analytics_tests::wait::until("the edge to be ready", async || {
        api.http.get("/ready").await.ok().filter(|reply| reply.status.is_success())
    })
    .await?;
    let mut socket = Socket::open(edge).await?;
    let subscribe = json!({"type": "subscribe", "contentIds": ["x"], "organizationId": "o"});
    socket.ask(&subscribe, "subscribed").await?;
    Ok(socket)
}

/// Promise: a post at one proxy is seen by the subscribers of both, also after the relay was killed in the middle and
/// another one has taken over.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_post_at_one_proxy_is_seen_at_both() -> Result<()> {
    let (local, server) = (dynamodb_local::shared().await?, NatsServer::hub().await?);
    let prefix = "serverless";
    create_tables(&local.client(), &Tables::new(prefix)?).await?;
    let env = environment(local, &server, prefix);
    let relay = || Program::start("stream-relay", &[], &env, Stdio::null());
    let (first, second) = (relay()?, relay()?);
    let (one, other) = (edge(&env).await?, edge(&env).await?);
    let (here, there) = (subscriber(&one).await?, subscriber(&other).await?);
    let counter = Counter::new(Some("o"), None, "x");
    let mut api = one.api()?;
    let mut relays = vec![first, second];
    for round in 1..=30 {
        let (value, _) = api.count(&counter, "likes", 1).await?;
        ensure!(value == round, "the value is {value} in round {round}");
        if round == 10 {
            // Killed, whichever of them reads: the other one goes on, at once or when the lease runs out.
            relays.remove(0);
        }
        here.shows(&counter, "likes", value).await?;
        there.shows(&counter, "likes", value).await?;
    }
    let status = relays.remove(0).terminate().await?;
    ensure!(status.success(), "stream-relay ended with {status}");
    Ok(())
}

/// Promise: after a replay of both files the totals are exact at both proxies, and whoever watched at either knows them.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_replay_of_both_files_is_exact_at_both_proxies() -> Result<()> {
    Scene::whole(Parts::over(Database::start().await?)).await?.ends_well(&[0, 1]).await
}
