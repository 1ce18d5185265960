//! Promise: what is not the edge's goes to the platform behind it, untouched; without one it is refused in JSON.

use analytics_tests::edge::Edge;
use analytics_tests::raw::{Raw, handshake};
use analytics_tests::socket::Socket;
use analytics_tests::upstream::{BODY, Upstream};
use analytics_tests::wait;
use anyhow::{Result, ensure};
use bytes::Bytes;
use http::Method;
use serde_json::json;

/// Promise: other paths, other methods and plain requests to the socket's path reach the platform as they were.
#[tokio::test]
async fn other_requests_reach_the_platform() -> Result<()> {
    let upstream = Upstream::start().await?;
    let edge = Edge::start(&[("ANALYTICS_UPSTREAM", &upstream.url)]).await?;
    let mut http = edge.api()?.http;
    for (method, path) in [
        (Method::GET, "/"),
        (Method::GET, "/a/page?query=%20x&y"),
        (Method::POST, "/api/orders"),
        (Method::DELETE, "/api/analytics-of-another-kind"),
        (Method::GET, "/analytics"),
        (Method::GET, "/analytics/report"),
        // Not a token of the edge's.
        (Method::GET, "/password/reset?token=of-the-platform&x=1"),
    ] {
        let reply = http.send(method.clone(), path, &[("x-own", "kept")], Bytes::new()).await?;
        ensure!(reply.status == 200 && reply.text() == BODY, "{method} {path}: {} {}", reply.status, reply.text());
        let head = upstream.heads().pop().unwrap_or_default();
        ensure!(head.starts_with(&format!("{method} {path} HTTP/1.1\r\n")), "{method} {path} became {head}");
        ensure!(head.to_ascii_lowercase().contains("x-own: kept"), "{head}");
    }
    // What is the edge's own never gets there.
    let count = upstream.heads().len();
    ensure!(http.get("/health").await?.json()?["status"] == "ok");
    let mut socket = Socket::open(&edge).await?;
    socket.ask(&json!({"type": "ping"}), "pong").await?;
    ensure!(upstream.heads().len() == count, "{:?}", upstream.heads());
    Ok(())
}

/// Promise: an upgrade of another path is the platform's, and its bytes pass both ways.
#[tokio::test]
async fn another_upgrade_passes_through() -> Result<()> {
    let upstream = Upstream::start().await?;
    let edge = Edge::start(&[("ANALYTICS_UPSTREAM", &upstream.url)]).await?;
    let mut raw = Raw::connect(&edge.authority()?).await?;
    raw.send(handshake(&edge.authority()?, "/chat", "").as_bytes()).await?;
    let head = raw.head().await?;
    ensure!(head.starts_with("HTTP/1.1 101 "), "{head}");
    // The platform sends back what it gets; an unmasked frame is one that `Raw` can read.
    raw.send(&analytics_tests::raw::unmasked(0x81, b"echo")).await?;
    let frame = raw.frame().await?;
    ensure!(frame.is_some_and(|frame| frame.payload == b"echo"));
    Ok(())
}

/// Promise: a platform that is away costs its own requests a 502 or 503, and the edge's nothing.
#[tokio::test]
async fn a_platform_that_is_away_harms_nobody_else() -> Result<()> {
    let upstream = Upstream::start().await?;
    let url = upstream.url.clone();
    drop(upstream);
    let gone = url.trim_start_matches("http://").to_owned();
    wait::until("the platform to be gone", async || tokio::net::TcpStream::connect(&gone).await.err()).await?;
    let edge = Edge::start(&[("ANALYTICS_UPSTREAM", &url)]).await?;
    let mut http = edge.api()?.http;
    let reply = http.get("/a/page").await?;
    ensure!(matches!(reply.status.as_u16(), 502 | 503), "{} {}", reply.status, reply.text());
    ensure!(edge.api()?.http.get("/health").await?.status == 200);
    Socket::open(&edge).await?.ask(&json!({"type": "ping"}), "pong").await?;
    Ok(())
}

/// Promise: without a platform, other paths and other upgrades get 404 in JSON.
#[tokio::test]
async fn without_a_platform_other_paths_are_not_found() -> Result<()> {
    let edge = Edge::start(&[]).await?;
    let mut http = edge.api()?.http;
    for path in ["/a/page", "/analytics/report", "/favicon.ico", "/metrics"] {
        let reply = http.get(path).await?;
        ensure!(reply.outcome() == (404, "not_found".to_owned()), "{path}: {} {}", reply.status, reply.text());
    }
    let upgrade = [
        ("connection", "Upgrade"),
        ("upgrade", "websocket"),
        ("sec-websocket-version", "13"),
        ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ=="),
    ];
    let reply = http.send(Method::GET, "/chat", &upgrade, Bytes::new()).await?;
    ensure!(reply.outcome() == (404, "not_found".to_owned()), "{} {}", reply.status, reply.text());
    Ok(())
}
