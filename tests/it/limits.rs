//! Promise: a limit that is reached costs the one who reached it, says so, and frees itself.

use analytics_tests::edge::Edge;
use analytics_tests::raw::{Raw, handshake};
use analytics_tests::socket::Socket;
use analytics_tests::wait;
use anyhow::{Result, ensure};
use http::Method;
use serde_json::json;

const UPGRADE: [(&str, &str); 4] = [
    ("connection", "Upgrade"),
    ("upgrade", "websocket"),
    ("sec-websocket-version", "13"),
    ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ=="),
];

/// Promise: a connection that sends more messages than allowed is closed with 1008; others are not.
#[tokio::test]
async fn a_flood_of_messages_closes_its_connection_only() -> Result<()> {
    let edge = Edge::start(&[("ANALYTICS_MESSAGES_PER_SECOND", "5")]).await?;
    let (mut flood, mut calm) = (Socket::open(&edge).await?, Socket::open(&edge).await?);
    for _ in 0..1000 {
        // Sending fails once the edge has closed.
        if flood.send(&json!({"type": "ping"})).await.is_err() {
            break;
        }
    }
    let end = flood.ended().await?;
    ensure!(end.code == Some(1008), "{end:?}");
    calm.ask(&json!({"type": "ping"}), "pong").await?;
    Ok(())
}

/// Promise: connections beyond a limit are refused before the upgrade, with its code and when to come again; one that
/// ends makes room.
#[tokio::test]
async fn connections_beyond_a_limit_are_refused_until_one_ends() -> Result<()> {
    for (limit, outcome) in [
        ("ANALYTICS_MAX_CONNECTIONS", (503, "unavailable")),
        ("ANALYTICS_MAX_CONNECTIONS_PER_IP", (429, "rate_limited")),
    ] {
        let edge = Edge::start(&[(limit, "2")]).await?;
        let (first, _second) = (Socket::open(&edge).await?, Socket::open(&edge).await?);
        let refused = edge.api()?.http.send(Method::GET, "/analytics", &UPGRADE, Default::default()).await?;
        let (status, code) = refused.outcome();
        ensure!((status, code.as_str()) == outcome, "{limit}: {status} {}", refused.text());
        ensure!(refused.header("retry-after").is_some(), "{limit}: {:?}", refused.headers);
        // Calls are not connections of this kind.
        ensure!(edge.api()?.http.get("/health").await?.status == 200);
        first.close().await?;
        wait::until("room for another connection", async || {
            let authority = edge.authority().ok()?;
            let mut raw = Raw::connect(&authority).await.ok()?;
            raw.send(handshake(&authority, "/analytics", "").as_bytes()).await.ok()?;
            raw.head().await.ok()?.starts_with("HTTP/1.1 101 ").then_some(())
        })
        .await?;
    }
    Ok(())
}
