//! Promise: handshakes are quick where they can be, bounded where they are not, and one that fails costs nobody else.

use std::sync::Arc;
use std::time::Duration;

use analytics_tests::edge::Edge;
use analytics_tests::line::Line;
use analytics_tests::memory::Counter;
use analytics_tests::raw::{Raw, TEXT, handshake, masked};
use analytics_tests::tls_client::TlsClient;
use analytics_tests::wait;
use anyhow::{Result, ensure};
use rustls::{HandshakeKind, ProtocolVersion};
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::{by_tls, metric};

const FAILED: &str = "analytics_tls_handshakes_failed_total";

/// Promise: both versions of TLS work, and nothing but HTTP/1.1 is agreed on.
#[tokio::test]
async fn both_versions_work_and_only_http_1_is_agreed_on() -> Result<()> {
    let mut edge = Edge::start_tls(&[]).await?;
    let authority = edge.tls_authority()?;
    for (versions, agreed) in
        [(&[&rustls::version::TLS12], ProtocolVersion::TLSv1_2), (&[&rustls::version::TLS13], ProtocolVersion::TLSv1_3)]
    {
        let mut client = edge.certificate()?.client_of(versions)?;
        client.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        let mut client = TlsClient::connect(&authority, Arc::new(client)).await?;
        client.shake_hands().await?;
        ensure!(client.tls.protocol_version() == Some(agreed), "{:?}", client.tls.protocol_version());
        ensure!(client.tls.alpn_protocol() == Some(b"http/1.1"), "{:?}", client.tls.alpn_protocol());
        let subscribe = masked(TEXT, br#"{"type":"subscribe","contentIds":["a"]}"#);
        let upgrade = handshake(&authority, "/analytics", "");
        let wire = client.records([upgrade.as_bytes(), &subscribe])?;
        client.send(&wire).await?;
        client.until("\"subscribed\"").await?;
        edge.api()?.count(&Counter::public("a"), "likes", 1).await?;
        client.until("\"likes\"").await?;
    }
    let mut http2 = edge.certificate()?.client_of(rustls::DEFAULT_VERSIONS)?;
    http2.alpn_protocols = vec![b"h2".to_vec()];
    let mut http2 = TlsClient::connect(&authority, Arc::new(http2)).await?;
    ensure!(http2.shake_hands().await.is_err(), "a client of HTTP/2 alone was taken");
    Ok(())
}

/// Promise: a client that comes back resumes from its ticket, in both versions; none may send before its handshake has
/// ended, for what comes like that could be played again.
#[tokio::test]
async fn a_client_that_comes_back_resumes() -> Result<()> {
    let mut edge = Edge::start_tls(&[]).await?;
    let authority = edge.tls_authority()?;
    for version in [&rustls::version::TLS12, &rustls::version::TLS13] {
        let mut client = edge.certificate()?.client_of(&[version])?;
        client.enable_early_data = true;
        let client = Arc::new(client);
        for kind in [HandshakeKind::Full, HandshakeKind::Resumed, HandshakeKind::Resumed] {
            let mut comes = TlsClient::connect(&authority, client.clone()).await?;
            ensure!(comes.tls.early_data().is_none(), "{version:?}: early data is invited");
            comes.shake_hands().await?;
            ensure!(comes.tls.handshake_kind() == Some(kind), "{version:?}: {:?}", comes.tls.handshake_kind());
            let wire = comes.records([handshake(&authority, "/analytics", "").as_bytes()])?;
            comes.send(&wire).await?;
            // The tickets of TLS 1.3 come before the answer.
            comes.until("\"connected\"").await?;
        }
    }
    Ok(())
}

/// Promise: a handshake has one deadline for the whole of it, the request after it included, so a peer that drips its bytes
/// is cut; so is one that speaks HTTP, or nothing that is TLS. Each is counted, and others are served meanwhile.
#[tokio::test]
async fn a_handshake_that_drips_or_is_none_is_cut() -> Result<()> {
    let mut edge = Edge::start_tls(&[("ANALYTICS_HANDSHAKE_TIMEOUT_MS", "5000")]).await?;
    let authority = edge.tls_authority()?;
    let mut neighbour = by_tls(&edge).await?;
    // Far longer than the deadline, so that each byte comes well within any time-out of a single read.
    let mut client = TlsClient::connect(&authority, edge.certificate()?.client()?).await?;
    let wire = client.wire()?;
    let mut drip = tokio::time::interval(Duration::from_millis(50));
    let cut = wait::within("the handshake to be cut", async {
        for byte in &wire {
            drip.tick().await;
            if client.send(std::slice::from_ref(byte)).await.is_err() {
                return true;
            }
        }
        false
    });
    ensure!(cut.await?, "the whole handshake was taken");
    // After the handshake, the head of the request has what is left of the time.
    let mut client = TlsClient::connect(&authority, edge.certificate()?.client()?).await?;
    client.shake_hands().await?;
    let wire = client.wire()?;
    client.send(&wire).await?;
    client.ends_in_order().await?;
    ensure!(metric(&edge, FAILED).await? == 1, "only a handshake that failed is counted");

    let mut plain = TcpStream::connect(&authority).await?;
    plain.write_all(handshake(&authority, "/analytics", "").as_bytes()).await?;
    let mut answer = Vec::new();
    // It may be a reset.
    let _ = wait::within("the plain request to be cut", plain.read_to_end(&mut answer)).await?;
    ensure!(!answer.starts_with(b"HTTP/"), "{}", String::from_utf8_lossy(&answer));
    let silent = TcpStream::connect(&authority).await?;
    drop(silent);
    wait::until("the failures to be counted", async || (metric(&edge, FAILED).await.ok()? == 3).then_some(())).await?;
    neighbour.ask(&json!({"type": "ping"}), "pong").await?;
    by_tls(&edge).await?.ask(&json!({"type": "ping"}), "pong").await?;
    Ok(())
}

/// Promise: a client that trusts another certificate goes away, and the edge does not mind.
#[tokio::test]
async fn a_client_that_does_not_trust_the_certificate_goes_away() -> Result<()> {
    let edge = Edge::start_tls(&[]).await?;
    let authority = edge.tls_authority()?;
    let stranger = analytics_tests::certificate::Certificate::new()?.client()?;
    ensure!(Line::over(TcpStream::connect(&authority).await?, stranger).await.is_err());
    wait::until("the failure to be counted", async || (metric(&edge, FAILED).await.ok()? == 1).then_some(())).await?;
    Raw::open(&authority).await?;
    Ok(())
}
