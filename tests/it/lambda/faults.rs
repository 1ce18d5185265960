//! What breaks around the functions. The rule: every call gets an answer of the contract that is true.

use std::sync::Arc;
use std::time::Duration;

use analytics_shared::Field;
use analytics_tests::api::update;
use analytics_tests::dynamodb_local;
use analytics_tests::edge::PRODUCTION;
use analytics_tests::fault_hop::{Fault, FaultHop};
use analytics_tests::memory::Counter;
use analytics_tests::program::Program;
use analytics_tests::token::{SECRET, Token};
use analytics_tests::wait;
use anyhow::{Result, ensure};
use lambda_trigger::dynamodb::{DynamoOptions, DynamoStore, Tables, create_tables};
use lambda_trigger::store::Refusal;
use lambda_trigger::{CounterStore, deadline};
use tokio::time::Instant;

use super::start;
use crate::store_suite::{apply, counter, write};

/// Promise: while DynamoDB is out of reach or silent, every call is answered, and says what is known; afterwards the
/// same container goes on, and a kill of the emulator in between costs nothing that was acknowledged.
#[tokio::test]
async fn dynamodb_out_of_reach_is_told_as_such() -> Result<()> {
    let local = dynamodb_local::shared().await?;
    let mut hop = FaultHop::start(local.port()).await?;
    let prefix = "lambda-faults";
    create_tables(&local.client(), &Tables::new(prefix)?).await?;
    let mut function = start(hop.port(), prefix, &PRODUCTION).await?;
    let mut api = function.api().with_token(Token::of(Some("acme"), None, true).mint()?);
    let counter = Counter::new(Some("acme"), None, "a");
    let body = update(&counter, "views", 1);
    ensure!(api.count(&counter, "views", 1).await? == (1, 1));

    hop.refuse().await;
    for key in [None, Some("refused")] {
        let reply = api.trigger(&body, key).await?;
        ensure!(reply.outcome() == (503, "unavailable".to_owned()), "{key:?}: {}", reply.text());
        ensure!(reply.header("retry-after").is_some(), "{:?}", reply.headers);
    }
    for reply in [api.read(&["a"], None, None).await?, api.http.get(analytics_tests::api::TRIGGER).await?] {
        ensure!(reply.outcome() == (503, "unavailable".to_owned()), "{}", reply.text());
    }
    hop.accept().await?;

    hop.inject("UpdateItem", Fault::Silence);
    let reply = api.trigger(&body, None).await?;
    ensure!(reply.outcome() == (503, "outcome_unknown".to_owned()), "{}", reply.text());
    hop.inject("TransactWriteItems", Fault::Silence);
    let reply = api.trigger(&body, Some("silent")).await?;
    ensure!(reply.status == 200 && reply.json()?["value"] == 3, "{}: {}", reply.status, reply.text());

    function.kill()?;
    ensure!(api.trigger(&body, Some("silent")).await.is_err(), "a killed emulator answers");
    function.start_again().await?;
    function.warm().await?;
    let reply = api.trigger(&body, Some("silent")).await?;
    ensure!(reply.header("idempotency-replayed") == Some("true"), "{}: {}", reply.status, reply.text());
    ensure!(api.value(&counter, "views").await? == 3);
    Ok(())
}

/// Promise: a call of the store ends by its caller's deadline, however patient the store is by itself.
#[tokio::test]
async fn a_call_ends_by_its_callers_deadline() -> Result<()> {
    let local = dynamodb_local::shared().await?;
    let hop = FaultHop::start(local.port()).await?;
    let tables = dynamodb_local::fresh_tables();
    create_tables(&local.client(), &tables).await?;
    let patient = Duration::from_secs(24 * 60 * 60);
    let options = DynamoOptions { deadline: patient, attempt: patient, ..DynamoOptions::new(tables) };
    let store: Arc<dyn CounterStore> = Arc::new(DynamoStore::new(dynamodb_local::client(hop.port()), options)?);
    for operation in ["UpdateItem", "BatchGetItem"] {
        hop.always(operation, Fault::Silence);
    }
    let counter = counter("o", "a", "");
    let soon = || Instant::now() + Duration::from_millis(500);
    let writing = deadline::within(soon(), apply(&*store, write(&counter, Field::Views, 1)));
    let outcome = wait::within("a write to end", writing).await?;
    ensure!(matches!(outcome, Err(Refusal::OutcomeUnknown(_))), "{outcome:?}");
    let topics = [crate::store_suite::topic(&counter)];
    let reading = wait::within("a read to end", deadline::within(soon(), store.read(&topics))).await?;
    ensure!(reading.is_err(), "{reading:?}");
    // Over before it began: nothing is sent.
    let seen = hop.seen("UpdateItem");
    let outcome = deadline::within(Instant::now(), apply(&*store, write(&counter, Field::Views, 1))).await;
    ensure!(matches!(outcome, Err(Refusal::Unavailable { .. })) && hop.seen("UpdateItem") == seen, "{outcome:?}");
    Ok(())
}

/// Promise: a function whose configuration is wrong ends before its first call, names the variable, and shows no secret.
#[tokio::test]
async fn a_wrong_configuration_ends_the_start_and_names_the_variable() -> Result<()> {
    let api = ("AWS_LAMBDA_RUNTIME_API", "127.0.0.1:9");
    let good = ("ANALYTICS_JWT_SECRET", SECRET);
    let weak = "short and secret";
    for (program, env, named) in [
        ("trigger-update", &[api][..], "ANALYTICS_JWT_SECRET"),
        ("trigger-update", &[api, ("ANALYTICS_JWT_SECRET", weak)][..], "ANALYTICS_JWT_SECRET"),
        ("trigger-update", &[api, good, ("ANALYTICS_MODE", "Production")][..], "ANALYTICS_MODE"),
        ("trigger-update", &[api, good, ("ANALYTICS_JWT_AUDIANCE", "x")][..], "ANALYTICS_JWT_AUDIANCE"),
        ("trigger-update", &[api, good, ("ANALYTICS_JWT_ALGORITHMS", "none")][..], "ANALYTICS_JWT_ALGORITHMS"),
        ("trigger-update", &[api, good, ("ANALYTICS_TABLE_PREFIX", "a/b")][..], "ANALYTICS_TABLE_PREFIX"),
        ("trigger-update", &[api, good, ("ANALYTICS_STORE_EPOCH", "-1")][..], "ANALYTICS_STORE_EPOCH"),
        ("trigger-update", &[api, good, ("ANALYTICS_ALLOWED_ORIGINS", "example.com")][..], "ANALYTICS_ALLOWED_ORIGINS"),
        ("trigger-update", &[api, good, ("ANALYTICS_MAX_BODY_BYTES", "1")][..], "ANALYTICS_MAX_BODY_BYTES"),
        ("trigger-update", &[api, good, ("ANALYTICS_PERFORMANCE_CONFIG", "/none")][..], "ANALYTICS_PERFORMANCE_CONFIG"),
        ("trigger-update", &[good][..], "cargo lambda watch"),
        ("stream-relay", &[api, ("ANALYTICS_NATS_URL", "http://me:short and secret@a")][..], "ANALYTICS_NATS_URL"),
        (
            "stream-relay",
            &[api, ("ANALYTICS_NATS_URL", "nats://a"), ("ANALYTICS_TABLE_PREFIX", "a/b")][..],
            "ANALYTICS_TABLE_PREFIX",
        ),
    ] {
        let (status, said) = Program::run(program, env).await?;
        ensure!(!status.success() && said.contains(named), "{env:?}: {status}, {said}");
        ensure!(!said.contains(weak) && !said.contains(SECRET), "{env:?}: a secret is shown: {said}");
    }
    Ok(())
}
