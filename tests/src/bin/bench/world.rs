//! What stands behind an edge in production, on this machine: DynamoDB Local, nats-server and the relay. The rule: it
//! shares the load generator's core, so that the edge's own is the edge's alone.

use std::process::Stdio;
use std::sync::atomic::{AtomicU32, Ordering};

use analytics_tests::dynamodb_local::DynamoLocal;
use analytics_tests::nats::{HUB, NatsServer};
use analytics_tests::program::Program;
use anyhow::{Context, Result};
use lambda_trigger::dynamodb::{Tables, create_tables};
use tokio::runtime::Runtime;

/// How changes reach the edge.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Feed {
    /// By the log in NATS, which a relay fills.
    Nats,
    /// By the tables' own stream.
    Streams,
}

/// DynamoDB Local and nats-server, for all measurements of a row.
pub(crate) struct World {
    local: DynamoLocal,
    server: NatsServer,
    runtime: Runtime,
}

/// Fresh tables, and what an edge over them is told.
pub(crate) struct Shape {
    pub(crate) env: Vec<(&'static str, String)>,
    pub(crate) tables: Tables,
    /// Ends with the shape.
    _relay: Option<Program>,
}

impl World {
    pub(crate) fn start() -> Result<World> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let (local, server) =
            runtime.block_on(async { anyhow::Ok((DynamoLocal::start(None).await?, NatsServer::hub().await?)) })?;
        Ok(World { local, server, runtime })
    }

    /// Where DynamoDB listens.
    pub(crate) fn dynamodb(&self) -> u16 {
        self.local.port()
    }

    /// Runs a future with the world's runtime.
    pub(crate) fn block_on<T>(&self, future: impl Future<Output = T>) -> T {
        self.runtime.block_on(future)
    }

    /// Fresh tables whose changes travel by a feed. The edge reaches DynamoDB at `port`.
    pub(crate) fn shape(&self, feed: Feed, port: u16) -> Result<Shape> {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let prefix = format!("bench{}", NEXT.fetch_add(1, Ordering::Relaxed));
        let tables = Tables::new(&prefix)?;
        self.block_on(create_tables(&self.local.client(), &tables)).context("making the tables")?;
        let endpoint = |port| format!("http://127.0.0.1:{port}");
        let mut env = vec![
            ("ANALYTICS_TABLE_PREFIX", prefix),
            ("ANALYTICS_NATS_URL", format!("nats://{}", self.server.address)),
            ("ANALYTICS_NATS_DOMAIN", HUB.to_owned()),
            ("AWS_ENDPOINT_URL_DYNAMODB", endpoint(port)),
            ("AWS_ENDPOINT_URL_DYNAMODB_STREAMS", endpoint(self.local.port())),
            ("AWS_REGION", "us-east-1".to_owned()),
            ("AWS_ACCESS_KEY_ID", "local".to_owned()),
            ("AWS_SECRET_ACCESS_KEY", "local".to_owned()),
            ("RUST_LOG", "warn".to_owned()),
        ];
        let relay = match feed {
            Feed::Nats => Some(Program::start("stream-relay", &[], &env, Stdio::null())?),
            Feed::Streams => None,
        };
        let feed = match feed {
            Feed::Nats => "nats",
            Feed::Streams => "dynamodb-streams",
        };
        // The start is known by the line `listening`, which is at info.
        env.retain(|(name, _)| *name != "RUST_LOG");
        env.extend([("ANALYTICS_STORE", "dynamodb".to_owned()), ("ANALYTICS_FEED", feed.to_owned())]);
        if feed != "nats" {
            env.retain(|(name, _)| !name.starts_with("ANALYTICS_NATS"));
        }
        Ok(Shape { env, tables, _relay: relay })
    }
}
