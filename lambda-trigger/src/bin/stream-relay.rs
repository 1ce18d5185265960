//! `stream-relay`: the DynamoDB Stream of the counters into the log of changes. The rule: where it runs decides how it
//! gets records (as a Lambda they are brought, as a process it fetches them), and nothing else.

use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use anyhow::Context;
use aws_config::BehaviorVersion;
use clap::Parser;
use lambda_runtime::{LambdaEvent, service_fn};
use lambda_trigger::changelog::{Bounds, Changelog, MAX_BYTES};
use lambda_trigger::nats::{InvalidServers, NatsOptions, Servers};
use lambda_trigger::relay::event::{self, Answer, Event};
use lambda_trigger::relay::{Publisher, Relay, RelayOptions};
use lambda_trigger::streams::DynamoDbStreams;
use tokio::signal::unix::{SignalKind, signal};
use tracing_subscriber::EnvFilter;

/// What of a Lambda's time is left to answer in.
const TIME_TO_ANSWER: Duration = Duration::from_millis(500);

/// Carries every change of the counters from the DynamoDB Stream to NATS JetStream.
///
/// Every flag can also be given by the environment variable named beside it. The log goes to standard error; RUST_LOG
/// sets what it says. AWS's own variables (AWS_REGION, AWS_ENDPOINT_URL_DYNAMODB_STREAMS, …) count as always.
#[derive(Parser)]
#[command(name = "stream-relay", version, max_term_width = 120)]
struct Settings {
    /// What the names of the tables begin with; the stream is named after it.
    #[arg(long, env = "ANALYTICS_TABLE_PREFIX", value_name = "PREFIX", default_value = "analytics")]
    table_prefix: String,
    /// Where NATS is: a comma-separated list of nats://[user:password@]host[:port] or tls://….
    #[arg(long, env = "ANALYTICS_NATS_URL", value_name = "URLS", hide_env_values = true)]
    nats_url: String,
    /// A NATS credentials file.
    #[arg(long, env = "ANALYTICS_NATS_CREDENTIALS", value_name = "FILE")]
    nats_credentials: Option<std::path::PathBuf>,
    /// The JetStream domain of the hub. Default: that of the server connected to.
    #[arg(long, env = "ANALYTICS_NATS_DOMAIN", value_name = "NAME")]
    nats_domain: Option<String>,
    /// Bytes that the stream may hold, when it is created.
    #[arg(long, env = "ANALYTICS_NATS_MAX_BYTES", value_name = "N", default_value_t = MAX_BYTES,
          value_parser = clap::value_parser!(i64).range(1 << 20..))]
    nats_max_bytes: i64,
    /// Servers that keep the stream and the buckets, when they are created: 1 to 5.
    #[arg(long, env = "ANALYTICS_NATS_REPLICAS", value_name = "N", default_value_t = 1,
          value_parser = clap::value_parser!(u8).range(1..=5))]
    nats_replicas: u8,
}

fn main() -> ExitCode {
    let settings = Settings::parse();
    // Not by clap's own parser, which repeats a bad value: this one may hold a password.
    let Ok(servers) = settings.nats_url.parse() else {
        eprintln!("stream-relay: ANALYTICS_NATS_URL is {InvalidServers}");
        return ExitCode::from(2);
    };
    let options = settings.options(servers);
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info"));
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).json().init();
    let run = || -> anyhow::Result<()> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let is_lambda = std::env::var_os("AWS_LAMBDA_RUNTIME_API").is_some();
        runtime.block_on(async {
            if is_lambda { serve(options).await } else { poll(&settings.table_prefix, options).await }
        })
    };
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!("{error:#}");
            ExitCode::FAILURE
        }
    }
}

/// As a Lambda.
async fn serve(options: RelayOptions) -> anyhow::Result<()> {
    let RelayOptions { nats, log, bounds, .. } = options;
    let client = nats.connect().await?;
    let publisher = Publisher::new(nats.jetstream(client), log, bounds);
    let handle = service_fn(async |LambdaEvent { payload, context }: LambdaEvent<Event>| {
        let left = context.deadline().duration_since(SystemTime::now()).unwrap_or_default();
        let answer = event::relay(&payload, &publisher, left.saturating_sub(TIME_TO_ANSWER)).await;
        Ok::<Answer, lambda_runtime::Error>(answer)
    });
    lambda_runtime::run(handle).await.map_err(anyhow::Error::from_boxed)
}

/// As a process.
async fn poll(table_prefix: &str, options: RelayOptions) -> anyhow::Result<()> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let aws = aws_config::load_defaults(BehaviorVersion::latest()).await;
    let table = format!("{table_prefix}-counters");
    let source = DynamoDbStreams::new(&aws, table);
    let relay = Relay::new(options, Arc::new(source)).await.context("the relay cannot start")?;
    relay
        .run_until(async {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
            }
        })
        .await;
    tracing::info!("stopped");
    Ok(())
}

impl Settings {
    fn options(&self, servers: Servers) -> RelayOptions {
        let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
        // Containers may share both the name and the number.
        let owner = format!("{}/{}/{:08x}", host.trim(), std::process::id(), fastrand::u32(..));
        RelayOptions {
            nats: NatsOptions {
                servers,
                credentials: self.nats_credentials.clone(),
                domain: self.nats_domain.clone(),
                name: format!("stream-relay {owner}"),
            },
            log: Changelog::of_tables(&self.table_prefix),
            bounds: Bounds { max_bytes: self.nats_max_bytes, replicas: self.nats_replicas.into() },
            owner,
        }
    }
}
