//! The relay against a real nats-server, with a stream whose records are made by hand: what is acknowledged is in the
//! log, what is not comes again, and of several processes one reads.

mod script;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use analytics_shared::CounterState;
use analytics_tests::nats::{HUB, NatsServer};
use analytics_tests::wait;
use anyhow::{Context, Error, Result};
use async_nats::jetstream::context::ContextBuilder;
use async_nats::jetstream::stream::Config;
use async_nats::jetstream::{self, kv};
use futures::StreamExt;
use lambda_trigger::changelog::{Bounds, Changelog, ChangelogError};
use lambda_trigger::relay::event::{self, Event};
use lambda_trigger::relay::lease::Lease;
use lambda_trigger::relay::places::Places;
use lambda_trigger::relay::{Publisher, Relay, RelayOptions};
use lambda_trigger::streams::{Checkpoints, Place};
use serde_json::{Value, json};
use tokio::task::JoinHandle;

use crate::store_suite::counter;
use script::{Script, state};

fn log() -> Changelog {
    Changelog::of_tables("test")
}

async fn jetstream(server: &NatsServer) -> Result<jetstream::Context> {
    let options = NatsServer::options(server.address);
    Ok(options.jetstream(options.connect().await?))
}

async fn relay(server: &NatsServer, owner: &str, script: &Arc<Script>) -> Result<Relay> {
    let nats = NatsServer::options(server.address);
    let options = RelayOptions { nats, log: log(), bounds: Bounds::default(), owner: owner.to_owned() };
    Ok(Relay::new(options, script.clone()).await?)
}

/// Runs a relay that ends as a crash does when the handle is aborted.
fn run(relay: &Relay) -> JoinHandle<()> {
    let relay = relay.clone();
    tokio::spawn(async move { relay.run_until(std::future::pending()).await })
}

/// The states in the log, oldest first; nothing if there is none.
async fn logged(jetstream: &jetstream::Context) -> Result<Vec<CounterState>> {
    let log = log();
    let Ok(stream) = jetstream.get_stream(&log.stream).await else { return Ok(Vec::new()) };
    let bounds = stream.get_info().await?.state;
    let mut states = Vec::new();
    for sequence in bounds.first_sequence.max(1)..=bounds.last_sequence {
        let message = stream.get_raw_message(sequence).await?;
        states.push(log.state(&message.subject, &message.payload).context("a message is none of ours")?);
    }
    Ok(states)
}

/// The values of the places' bucket, in no order.
async fn kept(jetstream: &jetstream::Context) -> String {
    let Ok(bucket) = jetstream.get_key_value("test-places").await else { return String::new() };
    let mut values = String::new();
    if let Ok(keys) = bucket.keys().await {
        let keys: Vec<String> = keys.filter_map(async |key| key.ok()).collect().await;
        for key in keys {
            let value = bucket.get(key).await.ok().flatten().unwrap_or_default();
            values.push_str(&String::from_utf8_lossy(&value));
        }
    }
    values
}

/// A record as Lambda hands it over.
fn record(sequence: &str, content: &str, version: u64) -> Value {
    json!({"eventName": "MODIFY", "dynamodb": {"SequenceNumber": sequence, "NewImage": {
        "pk": {"S": format!("0:/{content}")}, "sk": {"S": ":"},
        "version": {"N": version.to_string()}, "views": {"N": "2"}}}})
}

/// Waits until the newest state of each counter in the log is the one of the script, and answers the whole log.
async fn complete(jetstream: &jetstream::Context, script: &Script) -> Result<Vec<CounterState>> {
    let wanted = script.newest();
    wait::until("the log to have every counter's newest state", async || {
        let logged = logged(jetstream).await.ok()?;
        let mut newest = HashMap::new();
        for CounterState { counter, versioned } in &logged {
            newest.entry(counter.clone()).or_insert(*versioned).merge(versioned);
        }
        (newest == wanted).then_some(logged)
    })
    .await
}

#[tokio::test]
async fn the_newest_states_reach_the_log_parents_before_children() -> Result<()> {
    let server = NatsServer::hub().await?;
    let jetstream = jetstream(&server).await?;
    let script = Script::new();
    let (a, b) = (counter("", "a", ""), counter("o", "b.*>", "c"));
    script.shard("parent", None);
    script.shard("child", Some("parent"));
    script.add("child", state(&a, 5));
    script.add("parent", state(&a, 3));
    script.add("parent", state(&b, 1));
    script.add("parent", state(&a, 4));
    // Redelivered, and older than what was there already.
    script.add("parent", state(&a, 2));
    script.add_removal("parent");
    let relay = relay(&server, "one", &script).await?;
    let running = run(&relay);
    wait::until("the parent to be in the log", async || (logged(&jetstream).await.ok()?.len() == 2).then_some(()))
        .await?;
    let parents: Vec<CounterState> = logged(&jetstream).await?;
    assert_eq!(parents, [state(&a, 4), state(&b, 1)], "the child waits for the parent's end");
    script.close("parent");
    complete(&jetstream, &script).await?;
    running.abort();
    Ok(())
}

#[tokio::test]
async fn a_state_that_is_published_again_is_in_the_log_once() -> Result<()> {
    let server = NatsServer::hub().await?;
    let jetstream = jetstream(&server).await?;
    let publisher = Publisher::new(jetstream.clone(), log(), Bounds::default());
    let states: Vec<CounterState> = (0..600).map(|index| state(&counter("o", &index.to_string(), ""), 1)).collect();
    for _ in 0..2 {
        // The first time there is no stream yet: it is made, and the states come again.
        wait::until("the states to be published", async || {
            publisher.publish(&states).await.iter().all(Result::is_ok).then_some(())
        })
        .await?;
    }
    assert_eq!(logged(&jetstream).await?, states);
    Ok(())
}

#[tokio::test]
async fn a_shard_waits_for_nats_and_then_goes_on_where_it_was() -> Result<()> {
    let mut server = NatsServer::hub().await?;
    let script = Script::new();
    let a = counter("", "a", "");
    script.shard("s", None);
    let relay_one = relay(&server, "one", &script).await?;
    let running = run(&relay_one);
    let client = jetstream(&server).await?;
    script.add("s", state(&a, 1));
    complete(&client, &script).await?;
    server.kill();
    for version in 2..=30 {
        script.add("s", state(&a, version));
    }
    server.start_again().await?;
    complete(&client, &script).await?;
    // Killed without its files: what this process has published, it does not publish again.
    server.kill();
    server.wipe()?;
    script.add("s", state(&a, 31));
    server.start_again().await?;
    let log = complete(&client, &script).await?;
    assert_eq!(log, [state(&a, 31)]);
    wait::until("the place to be kept", async || kept(&client).await.contains("31").then_some(())).await?;
    running.abort();
    // Another process goes on after the last record.
    script.add("s", state(&a, 32));
    let relay_two = relay(&server, "two", &script).await?;
    let running = run(&relay_two);
    complete(&client, &script).await?;
    assert_eq!(script.last_place("s"), Some(Place::After("31".into())));
    running.abort();
    Ok(())
}

#[tokio::test]
async fn of_two_processes_one_reads_and_the_other_takes_over() -> Result<()> {
    let server = NatsServer::hub().await?;
    let client = jetstream(&server).await?;
    let script = Script::new();
    script.shard("s", None);
    let relays = [relay(&server, "one", &script).await?, relay(&server, "two", &script).await?];
    let tasks = [run(&relays[0]), run(&relays[1])];
    let reading = || -> Vec<usize> { (0..2).filter(|&index| relays[index].gauges().is_some()).collect() };
    wait::holds("one to read", || !reading().is_empty()).await?;
    let a = counter("", "a", "");
    for version in 1..=3 {
        script.add("s", state(&a, version));
        complete(&client, &script).await?;
        assert_eq!(reading().len(), 1);
    }
    let first = reading()[0];
    tasks[first].abort();
    script.add("s", state(&a, 4));
    complete(&client, &script).await?;
    tasks[1 - first].abort();
    Ok(())
}

#[tokio::test]
async fn a_renewal_whose_answer_was_lost_is_no_lost_lease() -> Result<()> {
    let server = NatsServer::hub().await?;
    let client = jetstream(&server).await?;
    let mut lease = Lease::take(&client, &log(), 1, "one").await.map_err(Error::msg)?;
    let bucket = client.get_key_value("test-lease").await?;
    // As the server has it when it took a renewal and could not say so.
    let unheard = bucket.put("reader", "one".into()).await?;
    let renewed = wait::until("another renewal", async || {
        bucket.entry("reader").await.ok()?.filter(|entry| entry.revision > unheard).map(drop)
    });
    tokio::select! {
        reason = lease.hold() => panic!("the lease is lost: {reason}"),
        renewed = renewed => renewed?,
    }
    bucket.put("reader", "two".into()).await?;
    assert!(wait::within("the loss to be noticed", lease.hold()).await?.contains("another process"));
    Ok(())
}

#[tokio::test]
async fn a_holder_that_cannot_find_out_whose_the_lease_is_stops_in_its_own_time() -> Result<()> {
    let server = NatsServer::hub().await?;
    let client = jetstream(&server).await?;
    // A client that waits for ever, so that nothing but the lease's own clock can end the wait.
    let patient = async_nats::ConnectOptions::new().request_timeout(None).connect(server.address.to_string()).await?;
    let patient = ContextBuilder::new().domain(HUB).build(patient);
    let mut lease = Lease::take(&patient, &log(), 1, "one").await.map_err(Error::msg)?;
    // From now on reads of the entry reach a subscriber that says nothing.
    let mut config = client.get_stream("KV_test-lease").await?.cached_info().config.clone();
    config.allow_direct = false;
    client.update_stream(config).await?;
    let silent = NatsServer::options(server.address).connect().await?;
    let mut asked = silent.subscribe("$JS.API.DIRECT.GET.KV_test-lease.>").await?;
    silent.flush().await?;
    let bucket = client.get_key_value("test-lease").await?;
    bucket.put("reader", "two".into()).await?;
    let reason = wait::within("the loss to be noticed", lease.hold()).await?;
    assert!(reason.contains("in time"), "{reason}");
    wait::within("the question to be seen", asked.next()).await?.context("the subscription ended")?;
    Ok(())
}

#[tokio::test]
async fn a_bucket_whose_entries_live_for_another_time_is_refused() -> Result<()> {
    let server = NatsServer::hub().await?;
    let client = jetstream(&server).await?;
    for (bucket, must_be) in [("test-lease", "10s"), ("test-places", "172800s")] {
        let max_age = Duration::from_secs(60);
        let config = kv::Config { bucket: bucket.to_owned(), history: 1, max_age, ..kv::Config::default() };
        client.create_key_value(config).await?;
        let refusal = match bucket {
            "test-lease" => Lease::take(&client, &log(), 1, "one").await.map(drop),
            _ => Places::new(client.clone(), &log(), 1).load().await.map(drop).map_err(|error| error.to_string()),
        };
        let refusal = refusal.err().context("the bucket was taken")?;
        assert!(refusal.contains(bucket) && refusal.contains("60s") && refusal.contains(must_be), "{refusal}");
    }
    Ok(())
}

#[tokio::test]
async fn who_ends_in_order_lets_the_next_one_go_on_at_once() -> Result<()> {
    let server = NatsServer::hub().await?;
    let client = jetstream(&server).await?;
    let script = Script::new();
    script.shard("s", None);
    let a = counter("", "a", "");
    for version in 1..=3 {
        let relay = relay(&server, &format!("process {version}"), &script).await?;
        script.add("s", state(&a, version));
        let stop = async { drop(complete(&client, &script).await) };
        wait::within("the relay to end", relay.run_until(stop)).await?;
        assert!(relay.gauges().is_none());
    }
    assert_eq!(logged(&client).await?, [state(&a, 1), state(&a, 2), state(&a, 3)]);
    Ok(())
}

#[tokio::test]
async fn a_lambda_names_the_first_record_that_is_not_in_the_log() -> Result<()> {
    let mut server = NatsServer::hub().await?;
    let client = jetstream(&server).await?;
    let publisher = Publisher::new(client.clone(), log(), Bounds::default());
    publisher.ensure().await?;
    let event: Event = serde_json::from_value(json!({"Records": [
        {"eventName": "REMOVE", "dynamodb": {"SequenceNumber": "1"}},
        record("2", "a", 1), record("3", "b", 1), record("4", "a", 2),
    ]}))?;
    assert!(event::relay(&event, &publisher, wait::LIMIT).await.is_done());
    let versions: Vec<u64> = logged(&client).await?.iter().map(|state| state.versioned.version).collect();
    assert_eq!(versions, [2, 1]);
    server.kill();
    let answer = event::relay(&event, &publisher, Duration::from_millis(200)).await;
    assert_eq!(serde_json::to_value(answer)?, json!({"batchItemFailures": [{"itemIdentifier": "2"}]}));
    Ok(())
}

#[tokio::test]
async fn a_lambda_publishes_nothing_into_a_stream_that_is_unfit() -> Result<()> {
    let server = NatsServer::hub().await?;
    let client = jetstream(&server).await?;
    let publisher = Publisher::new(client.clone(), log(), Bounds::default());
    let event: Event = serde_json::from_value(json!({"Records": [record("1", "a", 1), record("2", "b", 1)]}))?;
    let unfit = Config {
        name: log().stream,
        subjects: vec![log().everything()],
        max_age: Duration::from_secs(60),
        max_messages_per_subject: 1,
        ..Config::default()
    };
    client.create_stream(unfit).await?;
    for _ in 0..2 {
        let answer = event::relay(&event, &publisher, wait::LIMIT).await;
        assert_eq!(serde_json::to_value(answer)?, json!({"batchItemFailures": [{"itemIdentifier": "1"}]}));
        assert_eq!(logged(&client).await?, []);
    }
    client.delete_stream(&log().stream).await?;
    // It is made, and the records are taken at once.
    assert!(event::relay(&event, &publisher, wait::LIMIT).await.is_done());
    assert_eq!(logged(&client).await?.len(), 2);
    Ok(())
}

#[tokio::test]
async fn a_stream_that_would_lose_or_reorder_changes_is_refused() -> Result<()> {
    let server = NatsServer::hub().await?;
    let client = jetstream(&server).await?;
    let publisher = Publisher::new(client.clone(), log(), Bounds::default());
    let fit = Config {
        name: log().stream,
        subjects: vec![log().everything()],
        max_age: Duration::from_secs(60),
        ..Config::default()
    };
    for (unfit, named) in [
        (Config { max_messages_per_subject: 1, ..fit.clone() }, "max_msgs_per_subject"),
        (Config { subjects: vec!["test.*.*.x".to_owned()], ..fit.clone() }, "subjects"),
        (Config { max_age: Duration::ZERO, ..fit.clone() }, "bound"),
        (Config { no_ack: true, ..fit.clone() }, "no_ack"),
        (Config { max_consumers: 1, ..fit.clone() }, "max_consumers"),
    ] {
        client.create_stream(unfit).await?;
        match publisher.ensure().await {
            Err(error @ ChangelogError::Unfit { .. }) => assert!(error.to_string().contains(named), "{error}"),
            other => panic!("{named}: {other:?}"),
        }
        client.delete_stream(&log().stream).await?;
    }
    client.create_stream(fit).await?;
    Ok(publisher.ensure().await?)
}
