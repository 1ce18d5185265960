//! Promise: whatever fails between the edge and the function, each failure is answered with what it proves, only what may
//! be repeated is, and nothing counts twice.

use std::sync::Arc;
use std::time::Duration;

use analytics_proxy::store::{EmbeddedOptions, EmbeddedStore};
use analytics_proxy::{EdgeConfig, FeedSource, Trigger};
use analytics_tests::api::update;
use analytics_tests::edge::Edge;
use analytics_tests::hop::{Hop, Line};
use analytics_tests::hosted::Hosted;
use analytics_tests::memory::Counter;
use analytics_tests::stand_in::{Act, COUNTED, StandIn};
use analytics_tests::wait;
use anyhow::{Context, Result, ensure};
use futures::future::try_join_all;
use serde_json::json;

use super::{Kind, call, in_front_of};

/// The same inside this process, with other time limits; and its directory.
fn hurried(url: &str, adjust: impl FnOnce(&mut Trigger)) -> Result<(Hosted, tempfile::TempDir)> {
    let home = tempfile::tempdir().context("create a data directory")?;
    let store = EmbeddedStore::open(EmbeddedOptions::new(home.path())).context("open the store")?;
    let mut trigger = Trigger::at(url.parse()?);
    trigger.attempt = Duration::from_millis(400);
    trigger.deadline = Duration::from_millis(1500);
    adjust(&mut trigger);
    let adjust = |config: &mut EdgeConfig| config.trigger = Some(trigger);
    Ok((Hosted::start(Arc::new(store), FeedSource::Embedded, adjust)?, home))
}

/// Promise: each failure on the way is answered with what it proves, and only what may be repeated is.
#[tokio::test]
async fn a_failure_says_what_it_proves() -> Result<()> {
    let function = StandIn::start().await?;
    let (proxy, _home) = hurried(&function.url, |_| {})?;
    let good = (200, "");
    let (unavailable, unknown) = ((503, "unavailable"), (503, "outcome_unknown"));
    let ours = r#"{"success":false,"error":"busy","code":"unavailable"}"#;
    let ours_unknown = r#"{"success":false,"error":"who knows","code":"outcome_unknown"}"#;
    let member = r#"{"success":true,"results":[{"success":false,"error":"busy","code":"unavailable"}]}"#;
    let page = "<html>Bad gateway</html>";
    let aws = r#"{"Message":"Internal Server Error"}"#;
    let throttled = Act::Answer(429, "", r#"{"Reason":"ConcurrentInvocationLimitExceeded","Type":"User"}"#);
    use Kind::{Get, Keyed, Keyless};
    for (acts, kind, outcome, sent) in [
        (vec![Act::Cut], Keyless, unknown, 1),
        (vec![Act::Break], Keyless, unknown, 1),
        (vec![Act::Silence], Keyless, unknown, 1),
        (vec![Act::Answer(502, "", aws)], Keyless, unknown, 1),
        (vec![Act::Answer(500, "", page)], Keyless, unknown, 1),
        (vec![Act::Answer(504, "", "")], Keyless, unknown, 1),
        (vec![Act::Answer(200, "", page)], Keyless, unknown, 1),
        (vec![Act::Answer(200, "", r#"{"errorMessage":"timed out"}"#)], Keyless, unknown, 1),
        (vec![Act::Answer(301, "Location: https://elsewhere.example/\r\n", "")], Keyless, unknown, 1),
        (vec![throttled.clone()], Keyless, unavailable, 1),
        (vec![Act::Answer(503, "Retry-After: 7\r\n", ours)], Keyless, unavailable, 1),
        (vec![Act::Answer(503, "", ours_unknown)], Keyless, unknown, 1),
        (vec![Act::Cut], Keyed, good, 2),
        (vec![Act::Break, Act::Silence], Keyed, good, 3),
        (vec![Act::Answer(502, "", aws), Act::Answer(500, "", page)], Keyed, good, 3),
        (vec![Act::Cut, Act::Cut, Act::Cut], Keyed, unknown, 3),
        (vec![throttled.clone()], Keyed, unavailable, 1),
        // The first try may have counted: nothing that is said of the second one alone can be passed on.
        (vec![Act::Cut, throttled.clone()], Keyed, unknown, 2),
        (vec![Act::Cut, Act::Answer(503, "", ours)], Keyed, unknown, 2),
        (vec![Act::Cut, Act::Answer(200, "", member)], Keyed, unknown, 2),
        (vec![Act::Answer(503, "", ours)], Keyed, unavailable, 1),
        (vec![Act::Cut, Act::Silence], Get, good, 3),
        (vec![Act::Answer(502, "", aws), Act::Cut, Act::Break], Get, unavailable, 3),
        (vec![throttled], Get, unavailable, 1),
    ] {
        let before = function.requests().len();
        let what = format!("{acts:?} {kind:?}");
        function.script(acts);
        let reply = call(&mut proxy.api(), kind).await?;
        let count = function.requests().len() - before;
        let (status, code) = reply.outcome();
        ensure!(
            (status, code.as_str()) == outcome && count == sent,
            "{what}: {count} requests, {status} {}",
            reply.text()
        );
        let again = reply.header("retry-after");
        ensure!(again.is_some() == (code == "unavailable"), "{what}: {:?}", reply.headers);
        ensure!(!what.contains("Retry-After") || again == Some("7"), "{what}: {again:?}");
    }
    Ok(())
}

/// Promise: a function that cannot be reached has counted nothing, and that is said; when it is back, calls are answered.
#[tokio::test]
async fn a_function_out_of_reach_is_unavailable_until_it_is_back() -> Result<()> {
    let function = Edge::start(&[]).await?;
    let hop = Hop::start(function.listening()?.ws).await?;
    let proxy = in_front_of(&format!("http://{}", hop.address)).await?;
    let mut api = proxy.api()?;
    let counter = Counter::public("a");
    ensure!(api.count(&counter, "views", 1).await?.0 == 1);
    let nobody = in_front_of("http://127.0.0.1:1").await?;
    let unnamed = in_front_of("http://function.invalid").await?;
    for edge in [&nobody, &unnamed] {
        for kind in [Kind::Keyless, Kind::Keyed, Kind::Get] {
            let reply = call(&mut edge.api()?, kind).await?;
            ensure!(reply.outcome() == (503, "unavailable".to_owned()), "{kind:?}: {}", reply.text());
            ensure!(reply.header("retry-after").is_some(), "{:?}", reply.headers);
            ensure!(!reply.text().contains("invalid") && !reply.text().contains("127.0.0.1"), "{}", reply.text());
        }
    }
    hop.set(Line::Broken);
    let reply = call(&mut api, Kind::Keyless).await?;
    ensure!(reply.status == 503, "{}", reply.text());
    hop.set(Line::Whole);
    wait::until("calls to be answered again", async || {
        api.read(&["a"], None, None).await.ok().filter(|reply| reply.status == 200)
    })
    .await?;
    Ok(())
}

/// Promise: a connection that the function closed while it rested costs nobody's call, and is sent nothing.
#[tokio::test]
async fn a_resting_connection_that_was_closed_costs_no_call() -> Result<()> {
    let function = StandIn::start().await?;
    let proxy = in_front_of(&function.url).await?;
    let mut api = proxy.api()?;
    let rounds = 100;
    for round in 1..=rounds {
        function.script([Act::AnswerAndClose(200, COUNTED)]);
        let reply = call(&mut api, Kind::Keyless).await?;
        ensure!(reply.status == 200, "round {round}: {}", reply.text());
        wait::holds("the connection to be closed", || function.connections().1 == round).await?;
    }
    ensure!(function.requests().len() == rounds, "{} requests", function.requests().len());
    // One that stays open is used again.
    let before = function.connections().0;
    for _ in 0..10 {
        ensure!(call(&mut api, Kind::Keyless).await?.status == 200);
    }
    ensure!(function.connections().0 <= before + 1, "{:?}", function.connections());
    Ok(())
}

/// Promise: calls beyond what may be under way are refused at once, as not applied, and take nothing from the others.
#[tokio::test]
async fn more_calls_than_may_be_under_way_are_refused_at_once() -> Result<()> {
    let function = StandIn::start().await?;
    let (proxy, _home) = hurried(&function.url, |trigger| {
        trigger.in_flight = 2;
        trigger.deadline = Duration::from_secs(30);
    })?;
    function.script([Act::Silence, Act::Silence]);
    let held: Vec<_> = (0..2)
        .map(|_| {
            let mut api = proxy.api();
            tokio::spawn(async move { call(&mut api, Kind::Keyless).await })
        })
        .collect();
    wait::holds("both to be under way", || function.requests().len() == 2).await?;
    let reply = call(&mut proxy.api(), Kind::Keyless).await?;
    ensure!(reply.outcome() == (503, "unavailable".to_owned()), "{}", reply.text());
    ensure!(held.iter().all(|call| !call.is_finished()) && function.requests().len() == 2);
    held.iter().for_each(tokio::task::JoinHandle::abort);
    Ok(())
}

/// Promise: with keyed posters, whatever happens to the line between proxy and function, everything acknowledged counts
/// once and nothing else does.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn keyed_posters_count_once_whatever_happens_to_the_line() -> Result<()> {
    const POSTERS: usize = 8;
    const POSTS: usize = 60;
    let function = Edge::start(&[]).await?;
    let hop = Hop::start(function.listening()?.ws).await?;
    let (proxy, _home) = hurried(&format!("http://{}", hop.address), |_| {})?;
    let counter = Counter::public("a");
    let posters: Vec<_> = (0..POSTERS)
        .map(|poster| {
            let (mut api, body) = (proxy.api(), update(&counter, "views", 1));
            tokio::spawn(async move {
                for post in 0..POSTS {
                    let key = format!("{poster}-{post}");
                    let counted =
                        async { while !api.trigger(&body, Some(&key)).await.is_ok_and(|reply| reply.status == 200) {} };
                    wait::within("a post to be counted", counted).await?;
                }
                anyhow::Ok(())
            })
        })
        .collect();
    let mut direct = function.api()?;
    for (line, mark) in [(Line::Broken, 50), (Line::Silent, 150), (Line::Broken, 250), (Line::Silent, 350)] {
        wait::until("some to be counted", async || {
            direct.value(&counter, "views").await.ok().filter(|value| *value >= mark)
        })
        .await?;
        hop.set(line);
        // Until the cut has been felt.
        wait::until("a call to fail", async || {
            call(&mut proxy.api(), Kind::Get).await.ok().filter(|reply| reply.status == 503)
        })
        .await?;
        hop.set(Line::Whole);
    }
    for poster in try_join_all(posters).await? {
        poster?;
    }
    let total = direct.value(&counter, "views").await?;
    ensure!(total == (POSTERS * POSTS) as u64, "{total} were counted of {}", POSTERS * POSTS);
    Ok(())
}

/// Promise: what becomes of calls can be read off the metrics.
#[tokio::test]
async fn forwarded_calls_are_counted_by_what_became_of_them() -> Result<()> {
    let function = StandIn::start().await?;
    let (proxy, _home) = hurried(&function.url, |_| {})?;
    function.script([Act::Answer(200, "", COUNTED), Act::Cut, Act::Answer(429, "", "")]);
    for _ in 0..3 {
        call(&mut proxy.api(), Kind::Keyless).await?;
    }
    let metrics = String::from_utf8(proxy.handle.metrics())?;
    for result in ["answered", "outcome_unknown", "unavailable"] {
        let line = format!("analytics_forwarded_calls_total{{result=\"{result}\"}} 1");
        ensure!(metrics.contains(&line), "{line} in {metrics}");
    }
    let body = json!({"contentId": "a", "field": "views"});
    function.script([Act::Cut]);
    ensure!(proxy.api().trigger(&body, Some("key")).await?.status == 200);
    ensure!(String::from_utf8(proxy.handle.metrics())?.contains("analytics_forward_repeats_total 1"));
    Ok(())
}
