//! Promise: whatever lies between the programs and DynamoDB (records of the stream twice, late and in any order,
//! conflicts, throttling, answers that never come), in the end every count is right and everybody knows it.

use analytics_tests::api::update;
use analytics_tests::fault_hop::{Fault, FaultHop};
use analytics_tests::memory::Counter;
use analytics_tests::stack::{Database, Parts, Stack};
use analytics_tests::viewer::Viewer;
use analytics_tests::wait;
use anyhow::{Result, ensure};

use super::scene::Scene;

/// The relay and a proxy that reads the stream itself are told every record out of place.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn records_that_come_twice_late_and_in_any_order_change_nothing() -> Result<()> {
    let database = Database::start().await?;
    let hops = [FaultHop::start(database.port()).await?, FaultHop::start(database.port()).await?];
    for (seed, hop) in hops.iter().enumerate() {
        hop.disturb_records(seed as u64);
        hop.storm(
            "GetRecords",
            [
                None,
                Some(Fault::refusal("ProvisionedThroughputExceededException")),
                None,
                Some(Fault::Cut),
                None,
                Some(Fault::refusal("ExpiredIteratorException")),
                None,
                Some(Fault::internal()),
            ],
        );
    }
    let parts = Parts { streams: hops[0].port(), direct: Some(hops[1].port()), ..Parts::over(database) };
    Scene::of(parts).await?.ends_well(&[0, 1, 2]).await?;
    for hop in &hops {
        let done = hop.disturbed();
        ensure!(done.duplicated > 100 && done.delayed > 100 && done.reordered > 5, "{done:?}");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn conflicts_throttling_and_lost_answers_change_nothing() -> Result<()> {
    let database = Database::start().await?;
    let hop = FaultHop::start(database.port()).await?;
    hop.storm(
        "TransactWriteItems",
        [
            None,
            Some(Fault::cancelled(&["TransactionConflict", "None"])),
            None,
            Some(Fault::cancelled(&["None", "TransactionConflict"])),
            Some(Fault::refusal("ThrottlingException")),
            None,
            Some(Fault::Cut),
            None,
            Some(Fault::cancelled(&["ProvisionedThroughputExceeded", "None"])),
            Some(Fault::internal()),
            None,
            Some(Fault::Close),
        ],
    );
    for operation in ["BatchGetItem", "Query"] {
        hop.storm(operation, [None, Some(Fault::refusal("ThrottlingException")), None, Some(Fault::Cut)]);
    }
    let parts = Parts { store: hop.port(), ..Parts::over(database) };
    let scene = Scene::of(parts).await?;
    let seen = |operation| hop.seen(operation);
    scene.ends_well(&[0, 1]).await?;
    ensure!(seen("TransactWriteItems") > 1000 && seen("BatchGetItem") > 1000, "the storm passed by");
    Ok(())
}

/// Without a key nobody repeats, and the caller is told that nobody knows; with one it is repeated on the way and counts
/// once, whoever repeats it again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_that_never_comes_is_unknown_without_a_key_and_counts_once_with_one() -> Result<()> {
    let database = Database::start().await?;
    let hop = FaultHop::start(database.port()).await?;
    let stack = Stack::start(Parts { store: hop.port(), ..Parts::over(database) }).await?;
    let counter = Counter::new(Some("o"), None, "x");
    let mut viewers = Vec::new();
    for proxy in &stack.proxies {
        viewers.push(Viewer::start(&proxy.authority()?, Some("o"), &["x"]).await?);
    }
    let mut apis = [stack.proxies[0].api()?, stack.proxies[1].api()?];

    let mut value = 0;
    // What was sent and not answered is applied here; what never arrived is not. The caller cannot tell them apart.
    for (fault, applied) in [(Fault::Silence, 1), (Fault::Cut, 1), (Fault::Close, 0), (Fault::internal(), 0)] {
        let before = hop.seen("UpdateItem");
        hop.inject("UpdateItem", fault.clone());
        let reply = apis[0].trigger(&update(&counter, "likes", 1), None).await?;
        ensure!(reply.outcome() == (503, "outcome_unknown".to_owned()), "{fault:?}: {}", reply.text());
        ensure!(hop.seen("UpdateItem") == before + 1, "{fault:?}: it was repeated");
        value += applied;
        shown(&viewers, &counter, value).await?;
    }

    for (number, fault) in [Fault::Silence, Fault::Cut, Fault::Close, Fault::internal()].into_iter().enumerate() {
        let before = hop.seen("TransactWriteItems");
        hop.inject("TransactWriteItems", fault.clone());
        let key = format!("key {number}").replace(' ', "-");
        value += 1;
        for (turn, api) in apis.iter_mut().enumerate() {
            let reply = api.trigger(&update(&counter, "likes", 1), Some(&key)).await?;
            ensure!(reply.status.is_success(), "{fault:?}: {}", reply.text());
            ensure!(reply.json()?["value"] == value, "{fault:?}: {}", reply.text());
            // The first caller's own attempts are one call; the second caller repeats it.
            let replayed = (turn > 0).then_some("true");
            ensure!(reply.header("idempotency-replayed") == replayed, "{fault:?}: {:?}", reply.headers);
        }
        ensure!(hop.seen("TransactWriteItems") > before + 1, "{fault:?}: it was not repeated");
        shown(&viewers, &counter, value).await?;
    }
    Ok(())
}

async fn shown(viewers: &[Viewer], counter: &Counter, value: u64) -> Result<()> {
    for viewer in viewers {
        wait::holds(&format!("likes = {value}"), || viewer.value(counter, "likes").unwrap_or(0) == value).await?;
    }
    Ok(())
}
