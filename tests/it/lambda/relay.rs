//! `stream-relay` as a Lambda. The rule: the answer to an event names the first record that is not in the log, and Lambda
//! comes again with it; nothing is passed over.

use analytics_shared::CounterState;
use analytics_tests::lambda::{Lambda, STREAM_RELAY};
use analytics_tests::nats::{HUB, NatsServer};
use analytics_tests::wait;
use anyhow::{Context, Result, ensure};
use lambda_trigger::changelog::Changelog;
use serde_json::{Value, json};

const PREFIX: &str = "lambda-relay";

/// A record as Lambda hands it over.
fn record(sequence: &str, content: &str, version: u64) -> Value {
    let number = |number: u64| json!({"N": number.to_string()});
    let image = json!({
        "pk": {"S": format!("1:o/{content}")}, "sk": {"S": ":"}, "views": number(version), "version": number(version),
        "committed_at": number(1_000),
    });
    json!({"eventName": "MODIFY", "dynamodb": {"SequenceNumber": sequence, "NewImage": image}})
}

/// Which record the function asks for again; `None` if all are done.
async fn relay(lambda: &Lambda, records: &[Value]) -> Result<Option<String>> {
    let (status, answer) = lambda.invoke(STREAM_RELAY, &json!({ "Records": records })).await?;
    let failures = answer["batchItemFailures"].as_array().filter(|_| status == 200);
    let failures = failures.with_context(|| format!("{status}: {answer}"))?;
    ensure!(failures.len() <= 1, "{answer}");
    Ok(failures.first().and_then(|failure| failure["itemIdentifier"].as_str()).map(str::to_owned))
}

/// Comes again with what is left of a batch, as Lambda does, until nothing is.
async fn relay_all(lambda: &Lambda, records: &[Value]) -> Result<()> {
    let mut left = records;
    wait::until("the batch to be done", async || {
        let again = match relay(lambda, left).await {
            Ok(again) => again,
            Err(error) => return Some(Err(error)),
        };
        let Some(again) = again else { return Some(Ok(())) };
        let first = left.iter().position(|record| record["dynamodb"]["SequenceNumber"] == again.as_str());
        left = &left[first.unwrap_or_default()..];
        None
    })
    .await?
}

/// The states in the log, oldest first.
async fn logged(server: &NatsServer) -> Result<Vec<(String, u64)>> {
    let log = Changelog::of_tables(PREFIX);
    let options = NatsServer::options(server.address);
    let stream = options.jetstream(options.connect().await?).get_stream(&log.stream).await?;
    let bounds = stream.get_info().await?.state;
    let mut states = Vec::new();
    for sequence in bounds.first_sequence.max(1)..=bounds.last_sequence {
        let message = stream.get_raw_message(sequence).await?;
        let state = log.state(&message.subject, &message.payload);
        let CounterState { counter, versioned } = state.context("a message is none of ours")?;
        states.push((counter.content().as_str().to_owned(), versioned.version));
    }
    Ok(states)
}

/// Promise: events reach the log, the newest state of each counter; while NATS is down, at the function's start and
/// later, the first record is asked for again, and afterwards nothing is missing.
#[tokio::test]
async fn an_event_reaches_the_log_or_comes_again() -> Result<()> {
    let mut server = NatsServer::hub().await?;
    let env = [
        ("ANALYTICS_TABLE_PREFIX", PREFIX.to_owned()),
        ("ANALYTICS_NATS_URL", format!("nats://{}", server.address)),
        ("ANALYTICS_NATS_DOMAIN", HUB.to_owned()),
    ];
    server.kill();
    let lambda = Lambda::start(env, 1).await?;
    let first = [record("10", "a", 1), record("11", "b", 1), record("12", "a", 2)];
    // A shard's later records show nothing without the first: it is the one that must come again.
    ensure!(relay(&lambda, &first).await? == Some("10".to_owned()), "{}", lambda.log());
    server.start_again().await?;
    relay_all(&lambda, &first).await?;

    server.kill();
    let second = [record("20", "b", 2), record("21", "c", 1)];
    ensure!(relay(&lambda, &second).await? == Some("20".to_owned()), "{}", lambda.log());
    server.start_again().await?;
    relay_all(&lambda, &second).await?;

    // What was published although nobody heard of it, and published again, is there once.
    let states = logged(&server).await?;
    let newest: Vec<(&str, u64)> = vec![("b", 1), ("a", 2), ("b", 2), ("c", 1)];
    for (content, version) in &newest {
        let count = states.iter().filter(|(c, v)| (c.as_str(), *v) == (*content, *version)).count();
        ensure!(count == 1, "{content} at {version} is there {count} times: {states:?}");
    }
    ensure!(states.len() == newest.len(), "{states:?}");

    let wiped = [record("30", "d", 1)];
    server.kill();
    server.wipe()?;
    server.start_again().await?;
    relay_all(&lambda, &wiped).await?;
    ensure!(logged(&server).await? == [("d".to_owned(), 1)]);
    Ok(())
}
