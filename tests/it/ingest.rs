//! Promise: one slow or huge call costs the one who makes it; the single updates beside it are counted as if it were not
//! there.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use analytics_tests::api::{Api, TRIGGER, update};
use analytics_tests::edge::Edge;
use analytics_tests::memory::Counter;
use analytics_tests::raw::Raw;
use analytics_tests::wait;
use anyhow::{Context, Result, ensure};
use bytes::Bytes;
use futures::future::try_join_all;
use http::Method;
use serde_json::{Value, json};

/// The largest body, and the most updates in one.
const MAX_BODY: usize = 1_048_576;
const MAX_UPDATES: usize = 100;

/// A body of the most updates, with the longest ids; filled up to the largest body where `largest` says so.
fn full_body(poster: usize, largest: bool) -> String {
    let content = |member: usize| {
        let name = format!("content {poster} {member} ");
        name.clone() + &"x".repeat(256 - name.len())
    };
    let updates: Vec<Value> =
        (0..MAX_UPDATES).map(|member| update(&Counter::public(&content(member)), "views", 1)).collect();
    let mut body = json!({"updates": updates, "ignored": ""}).to_string();
    if largest {
        let filling = "x".repeat(MAX_BODY - body.len());
        body = body.replace(r#""ignored":"""#, &format!(r#""ignored":"{filling}""#));
    }
    body
}

/// 300 callers post full batches under keys, some of them in the largest bodies, one after the other: single updates
/// pass them. Behind a common queue each would wait for all that are in it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn single_updates_pass_a_flood_of_full_batches() -> Result<()> {
    const POSTERS: usize = 300;
    const SINGLES: u64 = 20;
    let edge = Edge::start(&[("ANALYTICS_WORKERS", "2"), ("RUST_LOG", "warn,analytics_proxy=info")]).await?;
    let (answered, stop) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicBool::new(false)));
    let posters: Vec<_> = (0..POSTERS)
        .map(|poster| {
            let (authority, answered, stop) = (edge.authority(), answered.clone(), stop.clone());
            tokio::spawn(async move {
                let mut api = Api::new(authority?);
                let body = Bytes::from(full_body(poster, poster % 20 == 0));
                let mut posted = 0;
                while !stop.load(Ordering::Relaxed) {
                    let key = format!("{poster} {posted}").replace(' ', "-");
                    let headers = [("content-type", "application/json"), ("idempotency-key", key.as_str())];
                    let reply = api.http.send(Method::POST, TRIGGER, &headers, body.clone()).await?;
                    let text = reply.text();
                    ensure!(reply.status == 200 && !text.contains(r#""success":false"#), "{}: {text}", reply.status);
                    posted += 1;
                    answered.fetch_add(1, Ordering::SeqCst);
                }
                anyhow::Ok(posted)
            })
        })
        .collect();
    wait::holds("the flood to be under way", || answered.load(Ordering::SeqCst) >= POSTERS).await?;

    let (mut api, own) = (edge.api()?, Counter::public("own"));
    let mut before_each = Vec::new();
    for number in 1..=SINGLES {
        let before = answered.load(Ordering::SeqCst);
        let (value, _) = api.count(&own, "views", 1).await?;
        ensure!(value == number, "update {number} made {value}");
        before_each.push(answered.load(Ordering::SeqCst) - before);
    }
    stop.store(true, Ordering::Relaxed);
    let posted: Vec<u64> = try_join_all(posters).await?.into_iter().collect::<Result<_>>()?;
    println!("batches answered while each single update was under way: {before_each:?}");
    // One alone may find many answers waiting beside its own, if this process was held up.
    before_each.sort_unstable();
    let usually = before_each[before_each.len() / 2];
    ensure!(usually < POSTERS / 2, "an update usually waited for {usually} batches");

    let contents: Vec<String> =
        ["content 0 0 ", "content 299 99 "].map(|name| name.to_owned() + &"x".repeat(256 - name.len())).into();
    for (content, posted) in contents.iter().zip([posted[0], posted[POSTERS - 1]]) {
        ensure!(api.value(&Counter::public(content), "views").await? == posted, "{content}");
    }
    Ok(())
}

/// Bodies that drip hold up nobody, and count when they are whole.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn single_updates_pass_bodies_that_drip() -> Result<()> {
    const DRIPPING: usize = 200;
    let edge = Edge::start(&[("ANALYTICS_WORKERS", "1")]).await?;
    let authority = edge.authority()?;
    let body = full_body(0, true);
    let head = format!(
        "POST {TRIGGER} HTTP/1.1\r\nHost: {authority}\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    let mut dripping = Vec::new();
    for _ in 0..DRIPPING {
        let mut raw = Raw::connect(&authority).await?;
        raw.send(head.as_bytes()).await?;
        raw.send(&body.as_bytes()[..10]).await?;
        dripping.push(raw);
    }
    let (mut api, own) = (edge.api()?, Counter::public("own"));
    for number in 1..=20 {
        for raw in dripping.iter_mut().step_by(10) {
            raw.send(&body.as_bytes()[9 + number..10 + number]).await?;
        }
        ensure!(api.count(&own, "views", 1).await?.0 == number as u64);
    }
    let mut whole = dripping.swap_remove(0);
    drop(dripping);
    whole.send(&body.as_bytes()[30..]).await?;
    let answer = whole.head().await?;
    ensure!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    let length =
        answer.lines().find_map(|line| line.to_ascii_lowercase().strip_prefix("content-length: ")?.parse().ok());
    let (mut text, length) = (String::new(), length.with_context(|| format!("no length in {answer}"))?);
    while text.len() < length {
        text += &whole.rest().await?;
    }
    let results: Value = serde_json::from_str(&text)?;
    let counted =
        results["results"].as_array().map_or(0, |results| results.iter().filter(|r| r["success"] == true).count());
    ensure!(counted == MAX_UPDATES, "{counted} were counted");
    Ok(())
}
