//! The production shape, all of it real: two proxies over DynamoDB Local, `stream-relay`, nats-server as hub and leaf,
//! and the function under Lambda's emulator where a test asks for it (it takes seconds to start).
//! The rule: every part can be killed and comes back at its place, with its files or without them, and every line
//! between proxies and the log can be cut.
//!
//! ```text
//! posters ─▶ proxies[0] ◀─ lines[0] ─────────────▶ server (hub) ◀── relays ◀── stream of the database
//!            proxies[1] ◀─ lines[1] ─▶ leaf ◀ trunk ─▶ ┘
//!            proxies[2], if asked for, reads the stream itself
//! ```
//!
//! | file | subject |
//! |---|---|
//! | [`database`] | DynamoDB Local: the shared one, or one of its own with files |
//! | [`relay`] | `stream-relay` as a process |

pub mod database;
pub mod relay;

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU32, Ordering};

use anyhow::{Context, Result};
use lambda_trigger::changelog::Changelog;
use lambda_trigger::dynamodb::{Tables, create_tables};

use crate::edge::Edge;
use crate::hop::Hop;
use crate::lambda::{Lambda, TRIGGER_UPDATE};
use crate::nats::{HUB, NatsServer};
use crate::{dynamodb_local, port, wait};

pub use database::Database;
pub use relay::Relay;

/// Containers of a function: calls that it handles at once.
const CONTAINERS: u32 = 4;

/// How often a port is tried for a proxy: one that was free may be taken before it binds it.
const PORTS: usize = 5;

/// What a stack is made of.
#[derive(Debug)]
pub struct Parts {
    /// Where the counters are.
    pub database: Database,
    /// The port by which proxies reach it: its own, or that of a hop before it.
    pub store: u16,
    /// The port by which relays reach its streams.
    pub streams: u16,
    /// How many relays there are.
    pub relays: usize,
    /// The port by which a third proxy reads the streams itself, if there is to be one.
    pub direct: Option<u16>,
    /// Whether proxies pass calls on to the function, instead of handling them in process.
    pub function: bool,
}

/// The whole shape; everything ends when it is dropped.
#[derive(Debug)]
pub struct Stack {
    /// Two or three proxies, on ports that they keep.
    pub proxies: Vec<Edge>,
    /// Between proxies and NATS: the first one is connected to the hub, the second one to the leaf.
    pub lines: [Hop; 2],
    /// What carries changes from the stream to the log.
    pub relays: Vec<Relay>,
    /// The leaf node.
    pub leaf: NatsServer,
    /// Between leaf and hub.
    pub trunk: Hop,
    /// The hub, which has the log.
    pub server: NatsServer,
    /// What handles calls, if it is not the proxies themselves.
    pub function: Option<Lambda>,
    /// Where the counters are.
    pub database: Database,
    /// Their tables.
    pub tables: Tables,
    /// Their log in NATS.
    pub log: Changelog,
}

impl Parts {
    /// The usual ones, over this database.
    pub fn over(database: Database) -> Parts {
        let port = database.port();
        Parts { database, store: port, streams: port, relays: 1, direct: None, function: false }
    }
}

impl Stack {
    /// Starts everything with tables of its own; returns once both proxies are ready.
    pub async fn start(parts: Parts) -> Result<Stack> {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let Parts { database, store, streams, relays, direct, function } = parts;
        let prefix = format!("stack{}", NEXT.fetch_add(1, Ordering::Relaxed));
        let tables = Tables::new(&prefix).context("the tables' prefix")?;
        // A server that has just started may be slower than the patience that serves an operator.
        let client = database.client();
        wait::until("the tables to be made", async || create_tables(&client, &tables).await.ok()).await?;
        let log = Changelog::of_tables(&prefix);
        let server = NatsServer::hub().await?;
        let trunk = Hop::start(server.leaves.context("a hub has leaves")?).await?;
        let leaf = NatsServer::leaf(trunk.address).await?;
        let lines = [Hop::start(server.address).await?, Hop::start(leaf.address).await?];
        let environment = |nats: SocketAddr, streams: u16| {
            let own = [
                // Takes the place of the one before.
                ("AWS_ENDPOINT_URL_DYNAMODB_STREAMS", format!("http://127.0.0.1:{streams}")),
                ("ANALYTICS_TABLE_PREFIX", prefix.clone()),
                ("ANALYTICS_NATS_URL", format!("nats://{nats}")),
                ("ANALYTICS_NATS_DOMAIN", HUB.to_owned()),
            ];
            dynamodb_local::environment(store).into_iter().chain(own).collect::<Vec<_>>()
        };
        let relays = (0..relays).map(|_| Relay::start(environment(server.address, streams)));
        let relays = relays.collect::<Result<Vec<Relay>>>()?;
        let function = match function {
            true => Some(start_function(environment(server.address, streams)).await?),
            false => None,
        };
        let target = function.as_ref().map(|function| ("ANALYTICS_TRIGGER_URL", function.url(TRIGGER_UPDATE)));
        let mut proxies = Vec::new();
        for line in &lines {
            let environment = environment(line.address, streams).into_iter().chain(target.clone());
            proxies.push(proxy("nats", &environment.collect::<Vec<_>>()).await?);
        }
        if let Some(streams) = direct {
            let environment = environment(server.address, streams).into_iter().chain(target);
            proxies.push(proxy("dynamodb-streams", &environment.collect::<Vec<_>>()).await?);
        }
        let stack = Stack { proxies, function, lines, relays, leaf, trunk, server, database, tables, log };
        for proxy in &stack.proxies {
            ready(proxy).await?;
        }
        Ok(stack)
    }

    /// Sets a variable of every proxy from its next start on.
    pub fn set(&mut self, name: &str, value: &str) {
        for proxy in &mut self.proxies {
            proxy.set(name, value);
        }
    }

    /// Has the log refuse every change, as one without room does, or take them again.
    pub async fn refuse_changes(&self, refuse: bool) -> Result<()> {
        let options = NatsServer::options(self.server.address);
        let jetstream = options.jetstream(options.connect().await?);
        let stream = jetstream.get_stream(&self.log.stream).await.context("look at the log")?;
        let mut config = stream.cached_info().config.clone();
        config.max_message_size = if refuse { 1 } else { -1 };
        jetstream.update_stream(config).await.context("change the log")?;
        Ok(())
    }

    /// `http://host:port` of each proxy.
    pub fn urls(&self) -> Result<Vec<String>> {
        self.proxies.iter().map(|proxy| Ok(format!("http://{}", proxy.authority()?))).collect()
    }
}

/// The function, warm.
async fn start_function(environment: Vec<(&'static str, String)>) -> Result<Lambda> {
    let mode = ("ANALYTICS_MODE", "development".to_owned());
    let function = Lambda::start(environment.into_iter().chain([mode]), CONTAINERS).await?;
    function.warm().await?;
    Ok(function)
}

/// Returns once a proxy takes connections.
pub async fn ready(proxy: &Edge) -> Result<()> {
    let mut api = proxy.api()?;
    wait::until("the proxy to be ready", async || {
        api.http.get("/ready").await.ok().filter(|reply| reply.status.is_success()).map(drop)
    })
    .await
}

/// A proxy on a port that it takes again after a restart.
async fn proxy(feed: &str, environment: &[(&str, String)]) -> Result<Edge> {
    let mut last = None;
    for _ in 0..PORTS {
        let port = port::free()?.port().to_string();
        let own = [("ANALYTICS_STORE", "dynamodb"), ("ANALYTICS_FEED", feed), ("ANALYTICS_WS_PORT", &port)];
        let shared = environment.iter().map(|(name, value)| (*name, value.as_str()));
        match Edge::start(&shared.chain(own).collect::<Vec<_>>()).await {
            Ok(edge) => return Ok(edge),
            Err(error) => last = Some(error),
        }
    }
    Err(last.context("no port was tried")?)
}
