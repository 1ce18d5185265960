//! The functions as Lambda runs them: `trigger-update` and `stream-relay` under `cargo lambda watch`, over a real DynamoDB
//! Local and nats-server. The rule: every call goes by the function's URL or by the Invoke API, as it does on AWS.

mod contract;
mod faults;
mod relay;

use analytics_tests::dynamodb_local;
use analytics_tests::edge::PRODUCTION;
use analytics_tests::lambda::Lambda;
use anyhow::Result;
use lambda_trigger::dynamodb::{DynamoClient, DynamoOptions, Tables, create_tables};
use tokio::sync::OnceCell;

/// The prefix of the shared function's tables.
const PREFIX: &str = "lambda";

/// A function in production, with nothing set that need not be, for all tests that do not break it.
async fn production() -> Result<&'static Lambda> {
    static SHARED: OnceCell<Lambda> = OnceCell::const_new();
    SHARED
        .get_or_try_init(|| async {
            let local = dynamodb_local::shared().await?;
            create_tables(&local.client(), &Tables::new(PREFIX)?).await?;
            let function = start(local.port(), PREFIX, &PRODUCTION).await?;
            function.warm().await?;
            Ok(function)
        })
        .await
}

/// Both functions over whatever listens on a port, cold.
async fn start(dynamodb: u16, prefix: &str, env: &[(&str, &str)]) -> Result<Lambda> {
    let tables = [("ANALYTICS_TABLE_PREFIX", prefix), ("ANALYTICS_NATS_URL", "nats://127.0.0.1:9")];
    let own = tables.iter().chain(env).map(|(name, value)| (*name, (*value).to_owned()));
    Lambda::start(own.chain(dynamodb_local::environment(dynamodb)), 1).await
}

/// What lies in the shared function's tables, seen past it.
async fn beside() -> Result<(DynamoClient, DynamoOptions)> {
    let client = dynamodb_local::shared().await?.client();
    Ok((client, DynamoOptions::new(Tables::new(PREFIX)?)))
}
