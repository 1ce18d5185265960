//! The NATS servers as they are deployed, with their own users, permissions and TLS. The rule: whatever a proxy or a leaf
//! node tries, the log of changes and what others read of it stay as they are.

use std::process::Stdio;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use analytics_shared::CounterState;
use analytics_shared::counts::Versioned;
use analytics_tests::dynamodb_local;
use analytics_tests::edge::Edge;
use analytics_tests::memory::Counter;
use analytics_tests::nats::deployed::Site;
use analytics_tests::nats::{HUB, NatsServer};
use analytics_tests::program::Program;
use analytics_tests::socket::Socket;
use analytics_tests::wait;
use anyhow::{Context, Result, ensure};
use async_nats::jetstream::consumer::{AckPolicy, push};
use async_nats::jetstream::context::ContextBuilder;
use async_nats::{Client, ConnectOptions, Event, RequestErrorKind};
use futures::{StreamExt, TryStreamExt};
use lambda_trigger::changelog::{Bounds, Changelog};
use lambda_trigger::dynamodb::{Tables, create_tables};
use lambda_trigger::relay::Publisher;
use serde_json::json;

use crate::store_suite::counter;

/// What the permissions in `infra/nats` are made for.
const PREFIX: &str = "analytics";

/// What no proxy may ask of JetStream.
const FORBIDDEN: [&str; 12] = [
    "STREAM.DELETE.analytics-changes",
    "STREAM.PURGE.analytics-changes",
    "STREAM.UPDATE.analytics-changes",
    "STREAM.MSG.DELETE.analytics-changes",
    "STREAM.SNAPSHOT.analytics-changes",
    "STREAM.CREATE.another",
    "STREAM.INFO.KV_analytics-places",
    "STREAM.DELETE.KV_analytics-lease",
    "CONSUMER.DELETE.analytics-changes.another",
    "CONSUMER.PAUSE.analytics-changes.another",
    "CONSUMER.DURABLE.CREATE.analytics-changes.durable",
    "CONSUMER.CREATE.analytics-changes.named.analytics.>",
];

/// A client and what the server refused it.
struct Guest {
    client: Client,
    refused: Arc<Mutex<Vec<String>>>,
}

impl Guest {
    async fn connect(site: &Site, program: &str, server: &NatsServer) -> Result<Guest> {
        let url = site.url(program, server)?;
        let (scheme, rest) = url.split_once("://").context("no scheme")?;
        let (user, address) = rest.split_once('@').context("no user")?;
        let (name, password) = user.split_once(':').context("no password")?;
        let refused = Arc::new(Mutex::new(Vec::new()));
        let heard = refused.clone();
        let client = ConnectOptions::with_user_and_password(name.to_owned(), password.to_owned())
            .add_root_certificates(site.certificate())
            .event_callback(move |event| {
                if let Event::ServerError(error) = event {
                    heard.lock().unwrap_or_else(PoisonError::into_inner).push(error.to_string());
                }
                async {}
            })
            .connect(format!("{scheme}://{address}"))
            .await?;
        Ok(Guest { client, refused })
    }

    /// Publishes, and waits until the server refuses it, naming the subject with its domain or without.
    async fn cannot_publish(&self, subject: &str) -> Result<()> {
        self.refused().clear();
        self.client.publish(subject.to_owned(), "{}".into()).await?;
        let named = subject.strip_prefix(&format!("$JS.{HUB}.API.")).unwrap_or(subject);
        self.is_refused("Publish", named).await
    }

    /// Subscribes, and waits until the server refuses it.
    async fn cannot_subscribe(&self, subject: &str) -> Result<()> {
        self.refused().clear();
        let _subscriber = self.client.subscribe(subject.to_owned()).await?;
        self.is_refused("Subscription", subject).await
    }

    async fn is_refused(&self, what: &str, subject: &str) -> Result<()> {
        let said = |text: &String| text.contains(what) && text.contains(&format!("{subject}\""));
        wait::holds(&format!("{what} of {subject} to be refused"), || self.refused().iter().any(said)).await
    }

    fn refused(&self) -> MutexGuard<'_, Vec<String>> {
        self.refused.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A log with some changes in it, written with the relay's own password.
async fn log(site: &Site, hub: &NatsServer) -> Result<(Publisher, async_nats::jetstream::stream::Stream)> {
    let relay = Guest::connect(site, "relay", hub).await?;
    let jetstream = ContextBuilder::new().domain(HUB).build(relay.client);
    let log = Changelog::of_tables(PREFIX);
    let publisher = Publisher::new(jetstream.clone(), log.clone(), Bounds::default());
    publisher.ensure().await?;
    let stream = jetstream.get_stream(&log.stream).await?;
    publish(&publisher, 1).await?;
    Ok((publisher, stream))
}

async fn publish(publisher: &Publisher, version: u64) -> Result<()> {
    let versioned = Versioned { version, ..Versioned::default() };
    let results = publisher.publish(&[CounterState { counter: counter("o", "x", ""), versioned }]).await;
    Ok(results.into_iter().collect::<Result<_, _>>()?)
}

/// Promise: with nothing but its own password each program does its work, through the hub and through a leaf node.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_program_does_its_work_with_its_own_password() -> Result<()> {
    let (local, site) = (dynamodb_local::shared().await?, Site::new()?);
    let hub = site.hub().await?;
    let leaf = site.leaf(&hub).await?;
    create_tables(&local.client(), &Tables::new(PREFIX)?).await?;
    let endpoint = format!("http://127.0.0.1:{}", local.port());
    let env = |program: &str, server: &NatsServer| -> Result<Vec<(&'static str, String)>> {
        Ok(vec![
            ("ANALYTICS_TABLE_PREFIX", PREFIX.to_owned()),
            ("ANALYTICS_NATS_URL", site.url(program, server)?),
            ("ANALYTICS_NATS_DOMAIN", HUB.to_owned()),
            ("SSL_CERT_FILE", site.certificate().display().to_string()),
            ("AWS_ENDPOINT_URL_DYNAMODB", endpoint.clone()),
            ("AWS_ENDPOINT_URL_DYNAMODB_STREAMS", endpoint.clone()),
            ("AWS_REGION", "us-east-1".to_owned()),
            ("AWS_ACCESS_KEY_ID", "local".to_owned()),
            ("AWS_SECRET_ACCESS_KEY", "local".to_owned()),
        ])
    };
    // Twice: the lease is taken over, and the places of the first one are read.
    for round in ["first", "second"] {
        let relay = Program::start("stream-relay", &[], &env("relay", &hub)?, Stdio::null())?;
        for (program, server) in [("proxy", &hub), ("leaf-proxy", &leaf)] {
            let mut env = env(program, server)?;
            env.extend([("ANALYTICS_STORE", "dynamodb".to_owned()), ("ANALYTICS_FEED", "nats".to_owned())]);
            let env: Vec<(&str, &str)> = env.iter().map(|(name, value)| (*name, value.as_str())).collect();
            let edge = Edge::start(&env).await?;
            let mut api = edge.api()?;
            wait::until("the edge to be ready", async || {
                api.http.get("/ready").await.ok().filter(|reply| reply.status.is_success())
            })
            .await?;
            let mut socket = Socket::open(&edge).await?;
            let content = format!("permissions {round} {program}");
            let counter = Counter::new(Some("o"), None, &content);
            let subscribe = json!({"type": "subscribe", "contentIds": [content], "organizationId": "o"});
            socket.ask(&subscribe, "subscribed").await?;
            for turn in 0..3 {
                let value = api.count_surely(&counter, "views", 1, &format!("{round}-{program}-{turn}")).await?;
                socket.shows(&counter, "views", value).await?;
            }
            ensure!(!edge.log().contains("Violation"), "{:?}", edge.log().matching("Violation"));
        }
        ensure!(relay.terminate().await?.success(), "the relay ends in order");
    }
    Ok(())
}

/// Promise: a proxy gets a long log to its end, so it may answer the server's flow control.
#[tokio::test]
async fn a_proxy_may_answer_flow_control() -> Result<()> {
    // The server waits for an answer after a megabyte.
    const MESSAGES: usize = 150;
    let site = Site::new()?;
    let hub = site.hub().await?;
    let leaf = site.leaf(&hub).await?;
    let _log = log(&site, &hub).await?;
    let relay = Guest::connect(&site, "relay", &hub).await?;
    for _ in 1..MESSAGES {
        relay.client.request("analytics.o.x._", vec![b' '; 60_000].into()).await?;
    }
    for (program, server) in [("proxy", &hub), ("leaf-proxy", &leaf)] {
        let guest = Guest::connect(&site, program, server).await?;
        let jetstream = ContextBuilder::new().domain(HUB).build(guest.client.clone());
        let config = push::Config {
            deliver_subject: guest.client.new_inbox(),
            ack_policy: AckPolicy::None,
            flow_control: true,
            idle_heartbeat: Duration::from_secs(1),
            ..push::Config::default()
        };
        let stream = Changelog::of_tables(PREFIX).stream;
        let consumer = wait::until("the server to make a consumer", async || {
            jetstream.create_consumer_on_stream(config.clone(), &stream).await.ok()
        })
        .await?;
        let messages = consumer.messages().await?.take(MESSAGES).try_collect::<Vec<_>>();
        wait::within("all messages", messages).await??;
        ensure!(guest.refused().is_empty(), "{:?}", guest.refused());
    }
    Ok(())
}

/// Promise: with a proxy's password nothing can be changed, at the hub or at a leaf node.
#[tokio::test]
async fn a_proxy_changes_nothing() -> Result<()> {
    let site = Site::new()?;
    let hub = site.hub().await?;
    let leaf = site.leaf(&hub).await?;
    let (publisher, mut stream) = log(&site, &hub).await?;
    let before = stream.info().await?.state.clone();
    for (program, server) in [("proxy", &hub), ("leaf-proxy", &leaf)] {
        let guest = Guest::connect(&site, program, server).await?;
        let apis = FORBIDDEN.map(|api| format!("$JS.{HUB}.API.{api}"));
        let plain = FORBIDDEN.map(|api| format!("$JS.API.{api}"));
        let others =
            ["analytics.o.x._", "$KV.analytics-lease.reader", "$JS.hub.API.$KV.analytics-lease.reader", "$SYS.x"];
        for subject in apis.into_iter().chain(plain).chain(others.map(str::to_owned)) {
            guest.cannot_publish(&subject).await?;
        }
        // Nor is anything heard but what was asked for: no other account, no traffic of others.
        for subject in [">", "analytics.>", "$SYS.>", "$KV.>", "$JS.>"] {
            guest.cannot_subscribe(subject).await?;
        }
    }
    publish(&publisher, 2).await?;
    let after = stream.info().await?.state.clone();
    ensure!(after.messages == before.messages + 1, "from {before:?} to {after:?}");
    Ok(())
}

/// Promise: the hub bounds what comes through a leaf node, whatever that lets its own clients do.
#[tokio::test]
async fn a_leaf_node_changes_nothing_either() -> Result<()> {
    let site = Site::new()?;
    let hub = site.hub().await?;
    let leaf = site.lax_leaf(&hub).await?;
    let (publisher, mut stream) = log(&site, &hub).await?;
    let before = stream.info().await?.state.clone();
    let guest = Guest::connect(&site, "leaf-proxy", &leaf).await?;
    let info = format!("$JS.{HUB}.API.STREAM.INFO.analytics-changes");
    wait::until("the leaf node to reach the hub", async || guest.client.request(info.clone(), "".into()).await.ok())
        .await?;
    let apis = FORBIDDEN.map(|api| format!("$JS.{HUB}.API.{api}"));
    for subject in apis.into_iter().chain(["analytics.o.x._".to_owned()]) {
        let answer = guest.client.request(subject.clone(), "{}".into()).await;
        let kind = answer.map_err(|error| error.kind());
        ensure!(matches!(kind, Err(RequestErrorKind::NoResponders)), "{subject}: {kind:?}");
    }
    publish(&publisher, 2).await?;
    let after = stream.info().await?.state.clone();
    ensure!(after.messages == before.messages + 1, "from {before:?} to {after:?}");
    Ok(())
}

/// Promise: nobody connects without a password, and none opens the other kind of connection.
#[tokio::test]
async fn nobody_connects_without_a_password() -> Result<()> {
    let site = Site::new()?;
    let hub = site.hub().await?;
    let leaf = site.leaf(&hub).await?;
    for (server, scheme) in [(&hub, "tls"), (&leaf, "nats")] {
        for options in [ConnectOptions::new(), ConnectOptions::with_user_and_password("proxy".into(), "proxy".into())] {
            let options = options.add_root_certificates(site.certificate());
            let error =
                options.connect(format!("{scheme}://{}", server.address)).await.err().context("it is refused")?;
            ensure!(error.to_string().contains("authorization"), "{error}");
        }
    }
    // The hub's ports speak TLS only.
    let plain = ConnectOptions::new().connect(format!("nats://{}", hub.address)).await;
    ensure!(plain.is_err(), "a connection without TLS is refused");
    Ok(())
}
