//! Promise: an increment under a key counts once, however often and from how many sides it is repeated.

use analytics_tests::api::{Api, update};
use analytics_tests::edge::{Edge, PRODUCTION};
use analytics_tests::http::Reply;
use analytics_tests::memory::Counter;
use analytics_tests::token::Token;
use anyhow::{Context, Result, ensure};
use futures::future::try_join_all;
use serde_json::{Value, json};

fn replayed(reply: &Reply) -> bool {
    reply.header("idempotency-replayed") == Some("true")
}

/// Promise: a repeat counts nothing, answers with the first status and the counter's current value and version, and
/// says that it is one.
#[tokio::test]
async fn a_repeat_counts_nothing_and_says_so() -> Result<()> {
    let edge = Edge::start(&[]).await?;
    let (mut api, counter) = (edge.api()?, Counter::public("article"));
    let body = update(&counter, "likes", 2);
    let first = api.trigger(&body, Some("key-1")).await?;
    ensure!(first.status == 200 && !replayed(&first), "{}", first.text());
    let second = api.trigger(&body, Some("key-1")).await?;
    ensure!(second.status == 200 && replayed(&second), "{}", second.text());
    ensure!(second.json()?["value"] == 2 && second.json()?["version"] == first.json()?["version"]);
    let (value, version) = api.count(&counter, "likes", 5).await?;
    let third = api.trigger(&body, Some("key-1")).await?.json()?;
    ensure!(third["value"] == value && third["version"] == version, "{third}");
    ensure!(api.value(&counter, "likes").await? == 7);
    Ok(())
}

/// Promise: the same key with another update is refused (422) and counts nothing.
#[tokio::test]
async fn a_key_stands_for_one_update_only() -> Result<()> {
    let edge = Edge::start(&[]).await?;
    let (mut api, counter) = (edge.api()?, Counter::public("article"));
    api.trigger(&update(&counter, "likes", 2), Some("key")).await?;
    for other in
        [update(&counter, "likes", 3), update(&counter, "views", 2), update(&Counter::public("another"), "likes", 2)]
    {
        let reply = api.trigger(&other, Some("key")).await?;
        ensure!(reply.outcome() == (422, "idempotency_mismatch".to_owned()), "{other}: {}", reply.text());
    }
    ensure!(api.value(&counter, "likes").await? == 2 && api.value(&counter, "views").await? == 0);
    ensure!(api.value(&Counter::public("another"), "likes").await? == 0);
    Ok(())
}

/// Promise: a refusal for range is an outcome too: its repeat is refused the same way, even when it would fit by then.
#[tokio::test]
async fn a_refusal_for_range_is_repeated_with_its_error() -> Result<()> {
    let edge = Edge::start(&[]).await?;
    let (mut api, counter) = (edge.api()?, Counter::public("article"));
    let body = update(&counter, "likes", -1);
    let first = api.trigger(&body, Some("key")).await?;
    ensure!(first.outcome() == (409, "out_of_range".to_owned()) && !replayed(&first), "{}", first.text());
    api.count(&counter, "likes", 5).await?;
    let second = api.trigger(&body, Some("key")).await?;
    ensure!(second.outcome() == (409, "out_of_range".to_owned()) && replayed(&second), "{}", second.text());
    ensure!(second.json()?["success"] == false && second.json()?["error"].is_string(), "{}", second.text());
    ensure!(api.value(&counter, "likes").await? == 5);
    Ok(())
}

/// Promise: other failures are not remembered: the same key may be used for the corrected call.
#[tokio::test]
async fn other_failures_are_not_remembered() -> Result<()> {
    let edge = Edge::start(&[]).await?;
    let (mut api, counter) = (edge.api()?, Counter::public("article"));
    let wrong = api.trigger(&json!({"contentId": "article", "field": "dislikes"}), Some("key")).await?;
    ensure!(wrong.status == 400, "{}", wrong.text());
    let right = api.trigger(&update(&counter, "likes", 1), Some("key")).await?;
    ensure!(right.status == 200 && !replayed(&right), "{}", right.text());
    Ok(())
}

fn batch(increments: &[i64]) -> Value {
    let updates = increments.iter().map(|by| json!({"contentId": "article", "field": "likes", "increment": by}));
    json!({"updates": updates.collect::<Vec<_>>()})
}

fn member_outcomes(reply: &Reply) -> Result<Vec<String>> {
    let body = reply.json()?;
    let results = body["results"].as_array().with_context(|| format!("no results in {body}"))?;
    let outcome = |result: &Value| {
        let what = if result["success"] == true { "ok" } else { result["code"].as_str().unwrap_or("no code") };
        if result["replayed"] == true { format!("{what} again") } else { what.to_owned() }
    };
    Ok(results.iter().map(outcome).collect())
}

/// Promise: each member of a batch has a key of its own, by its place: repeats count nothing, a longer batch counts
/// what is new, a changed member is refused alone.
#[tokio::test]
async fn the_members_of_a_batch_have_keys_of_their_own() -> Result<()> {
    let edge = Edge::start(&[]).await?;
    let (mut api, counter) = (edge.api()?, Counter::public("article"));
    let first = api.trigger(&batch(&[1, 1, -9]), Some("key")).await?;
    ensure!(member_outcomes(&first)? == ["ok", "ok", "out_of_range"], "{}", first.text());
    let second = api.trigger(&batch(&[1, 1, -9, 4]), Some("key")).await?;
    ensure!(member_outcomes(&second)? == ["ok again", "ok again", "out_of_range again", "ok"], "{}", second.text());
    let third = api.trigger(&batch(&[1, 2]), Some("key")).await?;
    ensure!(member_outcomes(&third)? == ["ok again", "idempotency_mismatch"], "{}", third.text());
    ensure!(api.value(&counter, "likes").await? == 6);
    // A single call's key never meets a batch's.
    let single = api.trigger(&update(&counter, "likes", 1), Some("key")).await?;
    ensure!(single.status == 200 && !replayed(&single), "{}", single.text());
    ensure!(api.value(&counter, "likes").await? == 7);
    Ok(())
}

/// Promise: repeats that arrive all at once count once.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn repeats_at_once_count_once() -> Result<()> {
    let edge = Edge::start(&[]).await?;
    let counter = Counter::public("article");
    let mut apis: Vec<Api> = (0..16).map(|_| edge.api()).collect::<Result<_>>()?;
    for round in 0..20u64 {
        let key = format!("round-{round}");
        let body = update(&counter, "views", 1);
        let replies = try_join_all(apis.iter_mut().map(|api| api.trigger(&body, Some(&key)))).await?;
        let first = replies.iter().filter(|reply| !replayed(reply)).count();
        ensure!(first == 1, "{first} of {} calls say that they were the first", replies.len());
        ensure!(replies.iter().all(|reply| reply.status == 200));
        ensure!(edge.api()?.value(&counter, "views").await? == round + 1);
    }
    Ok(())
}

/// Promise: keys of two tenants never meet.
#[tokio::test]
async fn keys_of_two_tenants_never_meet() -> Result<()> {
    let edge = Edge::start(&PRODUCTION).await?;
    for organization in [Some("acme"), Some("globex"), None] {
        let mut api = edge.api()?.with_token(Token::of(organization, None, true).mint()?);
        let reply = api.trigger(&update(&Counter::public("article"), "likes", 1), Some("key")).await?;
        ensure!(reply.status == 200 && !replayed(&reply), "{organization:?}: {}", reply.text());
        ensure!(reply.json()?["value"] == 1, "{organization:?}: {}", reply.text());
    }
    Ok(())
}

/// Promise: a key outlives a crash.
#[tokio::test]
async fn a_key_outlives_a_crash() -> Result<()> {
    let mut edge = Edge::start(&[]).await?;
    let body = update(&Counter::public("article"), "likes", 2);
    edge.api()?.trigger(&body, Some("key")).await?;
    edge.kill()?;
    edge.start_again().await?;
    let reply = edge.api()?.trigger(&body, Some("key")).await?;
    ensure!(reply.status == 200 && replayed(&reply) && reply.json()?["value"] == 2, "{}", reply.text());
    Ok(())
}
