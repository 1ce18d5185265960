//! `stream-relay`: the DynamoDB Stream of the counters into the log of changes. The rule: where it runs decides how it
//! gets records (as a Lambda they are brought, as a process it fetches them), and nothing else.

use std::process::ExitCode;
use std::sync::Arc;

use anyhow::Context;
use aws_config::BehaviorVersion;
use clap::{CommandFactory, Parser};
use lambda_runtime::{LambdaEvent, service_fn};
use lambda_trigger::changelog::{Bounds, Changelog, MAX_BYTES};
use lambda_trigger::dynamodb::Tables;
use lambda_trigger::relay::event::{self, Answer, Event};
use lambda_trigger::relay::{Publisher, Relay, RelayOptions};
use lambda_trigger::settings::beside::{OF_THE_PROXY, OF_THE_SHELL};
use lambda_trigger::settings::{InvalidSetting, NatsSettings, number, tables, unknown_variables};
use lambda_trigger::streams::DynamoDbStreams;
use lambda_trigger::{invocation, logging};
use tokio::signal::unix::{SignalKind, signal};

/// Carries every change of the counters from the DynamoDB Stream to NATS JetStream.
///
/// Every flag can also be given by the environment variable named beside it; an empty variable counts as unset. The log
/// goes to standard error; RUST_LOG sets what it says. AWS's own variables (AWS_REGION,
/// AWS_ENDPOINT_URL_DYNAMODB_STREAMS, …) count as always.
#[derive(Parser)]
#[command(name = "stream-relay", version, max_term_width = 120)]
struct Settings {
    /// What the names of the tables begin with; the stream is named after it. Default analytics.
    #[arg(long, env = "ANALYTICS_TABLE_PREFIX", value_name = "PREFIX")]
    table_prefix: Option<String>,
    #[command(flatten)]
    nats: NatsSettings,
    /// Bytes that the stream may hold, when it is created. Default 1073741824.
    #[arg(long, env = "ANALYTICS_NATS_MAX_BYTES", value_name = "N")]
    nats_max_bytes: Option<String>,
    /// Servers that keep the stream and the buckets, when they are created: 1 to 5. Default 1.
    #[arg(long, env = "ANALYTICS_NATS_REPLICAS", value_name = "N")]
    nats_replicas: Option<String>,
}

fn main() -> ExitCode {
    let settings = Settings::parse();
    let names = std::env::vars_os().filter_map(|(name, _)| name.into_string().ok());
    let unknown = unknown_variables(&Settings::command(), &[&OF_THE_PROXY[..], &OF_THE_SHELL].concat(), names);
    for setting in &unknown {
        eprintln!("stream-relay: {setting}");
    }
    let (tables, options) = match settings.resolve() {
        Ok(resolved) if unknown.is_empty() => resolved,
        Ok(_) => return ExitCode::from(2),
        Err(invalid) => {
            eprintln!("stream-relay: {invalid}");
            return ExitCode::from(2);
        }
    };
    logging::start();
    tracing::info!(stream = options.log.stream, subjects = options.log.everything(), "the log of changes");
    let run = || -> anyhow::Result<()> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let is_lambda = std::env::var_os("AWS_LAMBDA_RUNTIME_API").is_some();
        runtime.block_on(async { if is_lambda { serve(options).await } else { poll(&tables, options).await } })
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
        let answer = event::relay(&payload, &publisher, invocation::time_to_work(Some(&context))).await;
        Ok::<Answer, lambda_runtime::Error>(answer)
    });
    lambda_runtime::run(handle).await.map_err(anyhow::Error::from_boxed)
}

/// As a process.
async fn poll(tables: &Tables, options: RelayOptions) -> anyhow::Result<()> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let aws = aws_config::load_defaults(BehaviorVersion::latest()).await;
    let source = DynamoDbStreams::new(&aws, tables.counters().to_owned());
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
    fn resolve(&self) -> Result<(Tables, RelayOptions), InvalidSetting> {
        let (prefix, tables) = tables(&self.table_prefix)?;
        let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
        // Containers may share both the name and the number.
        let owner = format!("{}/{}/{:08x}", host.trim(), std::process::id(), fastrand::u32(..));
        let max_bytes = number("ANALYTICS_NATS_MAX_BYTES", &self.nats_max_bytes, 1 << 20, i64::MAX as usize)?;
        let replicas = number("ANALYTICS_NATS_REPLICAS", &self.nats_replicas, 1, 5)?;
        let options = RelayOptions {
            nats: self.nats.options("for the relay", format!("stream-relay {owner}"))?,
            log: Changelog::of_tables(prefix),
            bounds: Bounds {
                max_bytes: max_bytes.map_or(MAX_BYTES, |bytes| bytes as i64),
                replicas: replicas.unwrap_or(1),
            },
            owner,
        };
        Ok((tables, options))
    }
}
