//! `trigger-update`: the Lambda function behind the counts. The rule: everything is checked and made before the first
//! call, once per container.

use std::process::ExitCode;

use aws_config::BehaviorVersion;
use clap::{CommandFactory, Parser};
use lambda_http::{Request, service_fn};
use lambda_trigger::auth::Mode;
use lambda_trigger::dynamodb::{DynamoClient, DynamoOptions, Tables};
use lambda_trigger::function::Function;
use lambda_trigger::logging;
use lambda_trigger::settings::beside::OF_THE_RELAY;
use lambda_trigger::settings::{CallSettings, Calls, InvalidSetting, TableSettings, unknown_variables};

/// The other variables of `stream-relay`, which one emulator starts with the same environment.
const OF_NATS: [&str; 3] = ["ANALYTICS_NATS_URL", "ANALYTICS_NATS_CREDENTIALS", "ANALYTICS_NATS_DOMAIN"];

/// Counts increments in DynamoDB, as an AWS Lambda function with a URL; locally under `cargo lambda watch`.
///
/// Every flag can also be given by the environment variable named beside it; an empty variable counts as unset. The log
/// goes to standard error; RUST_LOG sets what it says. AWS's own variables (AWS_REGION, AWS_ENDPOINT_URL_DYNAMODB, …)
/// count as always.
#[derive(Parser)]
#[command(name = "trigger-update", version, max_term_width = 120)]
struct Settings {
    #[command(flatten)]
    calls: CallSettings,
    #[command(flatten)]
    tables: TableSettings,
}

fn main() -> ExitCode {
    let settings = Settings::parse();
    let names = std::env::vars_os().filter_map(|(name, _)| name.into_string().ok());
    let unknown = unknown_variables(&Settings::command(), &[&OF_NATS[..], &OF_THE_RELAY].concat(), names);
    for setting in &unknown {
        eprintln!("trigger-update: {setting}");
    }
    let (calls, tables, epoch) = match settings.resolve() {
        Ok(resolved) if unknown.is_empty() => resolved,
        Ok(_) => return ExitCode::from(2),
        Err(invalid) => {
            eprintln!("trigger-update: {invalid}");
            return ExitCode::from(2);
        }
    };
    if std::env::var_os("AWS_LAMBDA_RUNTIME_API").is_none() {
        eprintln!("trigger-update: this is a Lambda function; start it with: cargo lambda watch");
        return ExitCode::from(2);
    }
    logging::start();
    match run(calls, tables, epoch) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!("{error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(calls: Calls, tables: Tables, epoch: u64) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let aws = aws_config::load_defaults(BehaviorVersion::latest()).await;
        let options = DynamoOptions { epoch, ..DynamoOptions::new(tables) };
        let function = Function::new(DynamoClient::new(&aws), options, calls)?;
        let function = &function;
        let answer =
            service_fn(async |request: Request| Ok::<_, std::convert::Infallible>(function.call(request).await));
        lambda_http::run(answer).await.map_err(anyhow::Error::from_boxed)
    })
}

impl Settings {
    fn resolve(&self) -> Result<(Calls, Tables, u64), InvalidSetting> {
        let (_, tables) = self.tables.tables()?;
        Ok((self.calls.resolve(Mode::Production)?, tables, self.tables.epoch()?))
    }
}
