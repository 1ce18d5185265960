//! Promise: a connection is held while its peer lives and no longer; an edge that is told to end says so, keeps what it
//! acknowledged, and ends.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use analytics_tests::api::{Api, update};
use analytics_tests::edge::Edge;
use analytics_tests::memory::Counter;
use analytics_tests::raw::{Raw, TEXT, handshake, masked};
use analytics_tests::socket::Socket;
use analytics_tests::wait;
use anyhow::{Result, ensure};
use futures::future::try_join_all;
use serde_json::json;

/// Promise: a peer that has gone silent is pinged and then closed (1008), while one that answers stays.
#[tokio::test]
async fn a_silent_peer_is_reaped_and_a_living_one_is_not() -> Result<()> {
    let edge =
        Edge::start(&[("ANALYTICS_HEARTBEAT_INTERVAL_MS", "1000"), ("ANALYTICS_HEARTBEAT_TIMEOUT_MS", "5000")]).await?;
    let mut living = Socket::open(&edge).await?;
    let mut silent = Raw::open(&edge.authority()?).await?;
    let mut pinged = false;
    let mut code = None;
    while let Some(frame) = silent.frame().await? {
        pinged |= frame.first == 0x89;
        if frame.first == 0x88 && frame.payload.len() >= 2 {
            code = Some(u16::from_be_bytes([frame.payload[0], frame.payload[1]]));
        }
    }
    ensure!(pinged && code == Some(1008), "pinged: {pinged}, closed with {code:?}");
    living.ask(&json!({"type": "ping"}), "pong").await?;
    let mut api = edge.api()?;
    wait::until("only the living peer to be counted", async || (api.connected_clients().await.ok()? == 1).then_some(()))
        .await
}

/// Promise: a peer that takes nothing any more (half open) is reaped, however much is waiting for it.
#[tokio::test]
async fn a_half_open_peer_is_reaped() -> Result<()> {
    let edge =
        Edge::start(&[("ANALYTICS_HEARTBEAT_INTERVAL_MS", "1000"), ("ANALYTICS_HEARTBEAT_TIMEOUT_MS", "5000")]).await?;
    let mut half_open = Raw::open(&edge.authority()?).await?;
    half_open.send(&masked(TEXT, br#"{"type":"subscribe","contentIds":["a"]}"#)).await?;
    let mut api = edge.api()?;
    wait::until("the half-open peer to be counted no more", async || {
        api.count(&Counter::public("a"), "views", 1).await.ok()?;
        (api.connected_clients().await.ok()? == 0).then_some(())
    })
    .await?;
    drop(half_open);
    Ok(())
}

/// Promise: a handshake has one deadline for the whole of it, so a peer that drips its bytes is cut.
#[tokio::test]
async fn a_dripping_handshake_is_cut() -> Result<()> {
    let edge = Edge::start(&[("ANALYTICS_HANDSHAKE_TIMEOUT_MS", "1000")]).await?;
    let mut raw = Raw::connect(&edge.authority()?).await?;
    // Far longer than the deadline, so that each byte comes well within any time-out of a single read.
    let headers: String = (0..100).map(|index| format!("X-Header-{index}: {}\r\n", "x".repeat(50))).collect();
    let request = handshake(&edge.authority()?, "/analytics", &headers);
    let mut drip = tokio::time::interval(Duration::from_millis(50));
    let cut = wait::within("the handshake to be cut", async {
        for byte in request.bytes() {
            drip.tick().await;
            if raw.send(&[byte]).await.is_err() {
                return true;
            }
        }
        false
    });
    ensure!(cut.await?, "the whole handshake was taken");
    let mut socket = Socket::open(&edge).await?;
    socket.ask(&json!({"type": "ping"}), "pong").await?;
    Ok(())
}

/// Promise: on SIGTERM the edge says that it drains, refuses new connections, closes each with 1012 and a delay, and
/// ends with success.
#[tokio::test]
async fn an_edge_that_ends_says_so_and_closes_with_a_delay() -> Result<()> {
    let mut edge = Edge::start(&[("ANALYTICS_DRAIN_SECONDS", "3")]).await?;
    let authority = edge.authority()?;
    let sockets = try_join_all((0..20).map(|_| Socket::open(&edge))).await?;
    let mut http = edge.api()?.http;
    ensure!(http.get("/ready").await?.status == 200);
    edge.terminate()?;
    // New connections for each look: the listener itself must still answer.
    let ready = wait::until("the edge to drain", async || {
        let reply = Api::new(&*authority).http.get("/ready").await.ok()?;
        (reply.status == 503).then_some(reply)
    });
    let ready = ready.await?;
    ensure!(ready.json()?["status"] == "draining", "{}", ready.text());
    let mut raw = Raw::connect(&authority).await?;
    raw.send(handshake(&authority, "/analytics", "").as_bytes()).await?;
    let head = raw.head().await?;
    ensure!(head.starts_with("HTTP/1.1 503 "), "{head}");
    for socket in &sockets {
        let end = socket.ended().await?;
        let delay = end.reason.strip_prefix("retry-after=").and_then(|delay| delay.parse::<u64>().ok());
        ensure!(end.code == Some(1012) && delay.is_some(), "{end:?}");
    }
    let status = edge.ended().await?;
    ensure!(status.success(), "the edge ended with {status}");
    Ok(())
}

/// Promise: an edge without connections ends on SIGTERM with success, well before any deadline.
#[tokio::test]
async fn an_idle_edge_ends_with_success() -> Result<()> {
    let mut edge = Edge::start(&[]).await?;
    edge.terminate()?;
    let status = edge.ended().await?;
    ensure!(status.success(), "the edge ended with {status}");
    Ok(())
}

/// Promise: an edge that is told to end under load loses nothing that it acknowledged.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_acknowledged_is_lost_at_the_end() -> Result<()> {
    const POSTERS: usize = 8;
    let mut edge = Edge::start(&[("ANALYTICS_DRAIN_SECONDS", "1")]).await?;
    let ended = Arc::new(AtomicBool::new(false));
    let acknowledged = Arc::new(std::sync::atomic::AtomicU64::new(0));
    let posters: Vec<_> = (0..POSTERS)
        .map(|poster| {
            let (authority, ended, acknowledged) = (edge.authority(), ended.clone(), acknowledged.clone());
            tokio::spawn(async move {
                let (mut api, counter) = (Api::new(authority?), Counter::public(&format!("content {poster}")));
                // Each under a key of its own: how many were sent, and which of them were acknowledged.
                let mut sent = 0u64;
                let mut known = 0u64;
                while !ended.load(Ordering::Relaxed) {
                    let key = format!("{poster}-{sent}");
                    let reply = api.trigger(&update(&counter, "views", 1), Some(&key)).await;
                    sent += 1;
                    match reply {
                        Ok(reply) if reply.status == 200 => {
                            known += 1;
                            acknowledged.fetch_add(1, Ordering::Relaxed);
                        }
                        // Draining, or gone: this one may or may not have been counted.
                        _ => break,
                    }
                }
                anyhow::Ok((counter, sent, known))
            })
        })
        .collect();
    wait::holds("some load", || acknowledged.load(Ordering::Relaxed) > 500).await?;
    edge.terminate()?;
    let status = edge.ended().await?;
    ensure!(status.success(), "the edge ended with {status}");
    ended.store(true, Ordering::Relaxed);
    let posted = try_join_all(posters).await?;
    edge.start_again().await?;
    let mut api = edge.api()?;
    for (poster, posted) in posted.into_iter().enumerate() {
        let (counter, sent, known) = posted?;
        let stored = api.value(&counter, "views").await?;
        ensure!(stored >= known && stored <= sent, "{stored} stored, {known} acknowledged, {sent} sent");
        for key in 0..sent {
            let reply = api.trigger(&update(&counter, "views", 1), Some(&format!("{poster}-{key}"))).await?;
            ensure!(reply.status == 200, "{}", reply.text());
        }
        let stored = api.value(&counter, "views").await?;
        ensure!(stored == sent, "{stored} after repeating all {sent} under their keys");
    }
    Ok(())
}

/// Promise: in development an update whose content is watched by other scopes only is counted, and the log says why
/// nobody saw it.
#[tokio::test]
async fn an_update_that_nobody_in_its_scope_watches_leaves_a_hint() -> Result<()> {
    let edge = Edge::start(&[("RUST_LOG", "debug")]).await?;
    let mut socket = Socket::open(&edge).await?;
    let subscribe = json!({"type": "subscribe", "contentIds": ["hinted-at"], "organizationId": "acme"});
    socket.ask(&subscribe, "subscribed").await?;
    edge.api()?.count(&Counter::new(Some("globex"), None, "hinted-at"), "views", 1).await?;
    wait::holds("a hint in the log", || {
        edge.log().matching("hinted-at").iter().any(|line| line.contains("scope") && line.contains("globex"))
    })
    .await
}

/// Promise: the simulation counts what is subscribed through the real handler, and the status says that it runs.
#[tokio::test]
async fn the_simulation_moves_what_is_subscribed() -> Result<()> {
    let edge = Edge::start(&[("ANALYTICS_SIMULATE", "true"), ("ANALYTICS_SIMULATION_INTERVAL_MS", "100")]).await?;
    let mut socket = Socket::open(&edge).await?;
    socket.ask(&json!({"type": "subscribe", "contentIds": ["article"]}), "subscribed").await?;
    let counter = Counter::public("article");
    wait::holds("the simulation to count", || socket.value(&counter, "views").is_some_and(|views| views > 0)).await?;
    let mut api = edge.api()?;
    ensure!(api.value(&counter, "views").await? > 0, "what was shown is in the store");
    let status = api.http.get(analytics_tests::api::TRIGGER).await?.json()?;
    ensure!(status["status"]["simulationRunning"] == true, "{status}");
    Ok(())
}
