//! Promise: however TLS cuts and bundles a client's bytes, the edge understands the same.

use analytics_tests::edge::Edge;
use analytics_tests::memory::Counter;
use analytics_tests::raw::{CLOSE, PING, TEXT, handshake, masked};
use analytics_tests::tls_client::TlsClient;
use analytics_tests::wait;
use anyhow::{Result, ensure};

const PING_MESSAGE: &[u8] = br#"{"type":"ping"}"#;

/// A client that has upgraded and been told `connected`.
async fn open(edge: &mut Edge) -> Result<TlsClient> {
    let authority = edge.tls_authority()?;
    let mut client = TlsClient::connect(&authority, edge.certificate()?.client()?).await?;
    client.shake_hands().await?;
    let wire = client.records([handshake(&authority, "/analytics", "").as_bytes()])?;
    client.send(&wire).await?;
    client.until("\"connected\"").await?;
    Ok(client)
}

/// Promise: what comes in one piece with the end of the handshake (the upgrade, and messages before its answer) is taken,
/// every byte in order, however much it is.
#[tokio::test]
async fn what_comes_with_the_handshake_is_taken_in_order() -> Result<()> {
    let mut edge = Edge::start_tls(&[]).await?;
    let authority = edge.tls_authority()?;
    for count in [1, 30] {
        let mut client = TlsClient::connect(&authority, edge.certificate()?.client()?).await?;
        client.shake_hands().await?;
        let mut early = handshake(&authority, "/analytics", "").into_bytes();
        let mut last = String::new();
        for message in 0..count {
            // About 2 KB each: together they fill several records.
            let ids: Vec<String> = (0..10).map(|id| format!("\"{message}-{id}-{}\"", "x".repeat(180))).collect();
            let text = format!("{{\"type\":\"subscribe\",\"mode\":\"add\",\"contentIds\":[{}]}}", ids.join(","));
            early.extend(masked(TEXT, text.as_bytes()));
            last = format!("{message}-9-");
        }
        let wire = client.records(early.chunks(10_000))?;
        client.send(&wire).await?;
        let answer = client.until("\r\n\r\n").await?;
        ensure!(answer.starts_with("HTTP/1.1 101 "), "{answer}");
        client.until("\"connected\"").await?;
        client.until(&last).await?;
        client.until("\"timestamp\"").await?;
    }
    Ok(())
}

/// Promise: a message cut into two records anywhere, into records of one byte, and records cut into packets of one byte,
/// is the same message; several in one record are several.
#[tokio::test]
async fn any_cut_into_records_gives_the_same_messages() -> Result<()> {
    let mut edge = Edge::start_tls(&[("ANALYTICS_MESSAGES_PER_SECOND", "100000")]).await?;
    let mut client = open(&mut edge).await?;
    let message = masked(TEXT, PING_MESSAGE);
    for cut in 1..message.len() {
        let wire = client.records([&message[..cut], &message[cut..]])?;
        client.send(&wire).await?;
        client.until("\"pong\"").await?;
        // The first half alone, for as long as the network likes.
        let wire = client.records([&message[..cut]])?;
        client.send(&wire).await?;
        tokio::task::yield_now().await;
        let wire = client.records([&message[cut..]])?;
        client.send(&wire).await?;
        client.until("\"pong\"").await?;
    }
    let wire = client.records(message.chunks(1))?;
    client.send(&wire).await?;
    client.until("\"pong\"").await?;
    let wire = client.records([message.as_slice()])?;
    for byte in wire {
        client.send(&[byte]).await?;
    }
    client.until("\"pong\"").await?;
    let both = [message.as_slice(), &masked(PING, b"ping!"), &message].concat();
    let wire = client.records([both.as_slice()])?;
    client.send(&wire).await?;
    client.until("\"pong\"").await?;
    client.until("ping!").await?;
    client.until("\"pong\"").await?;
    Ok(())
}

/// Promise: a client may change its keys, and ask the edge to change its own, in the middle of everything.
#[tokio::test]
async fn a_client_may_update_its_keys() -> Result<()> {
    let mut edge = Edge::start_tls(&[]).await?;
    let mut api = edge.api()?;
    let mut client = open(&mut edge).await?;
    let wire = client.records([masked(TEXT, br#"{"type":"subscribe","contentIds":["a"]}"#).as_slice()])?;
    client.send(&wire).await?;
    client.until("\"subscribed\"").await?;
    for round in 1..=5 {
        client.tls.refresh_traffic_keys()?;
        let wire = client.records([masked(TEXT, PING_MESSAGE).as_slice()])?;
        client.send(&wire).await?;
        client.until("\"pong\"").await?;
        api.count(&Counter::public("a"), "views", 1).await?;
        client.until(&format!("\"value\":{round},")).await?;
    }
    Ok(())
}

/// Promise: a client that ends TLS in order is answered in order; one that breaks it is cut with an alert. Both are gone.
#[tokio::test]
async fn the_end_of_tls_is_the_end_of_the_connection() -> Result<()> {
    let mut edge = Edge::start_tls(&[]).await?;
    let mut api = edge.api()?;
    let mut polite = open(&mut edge).await?;
    let mut abrupt = open(&mut edge).await?;
    let mut closing = open(&mut edge).await?;
    let mut staying = open(&mut edge).await?;
    ensure!(api.connected_clients().await? == 4);
    polite.tls.send_close_notify();
    let wire = polite.wire()?;
    polite.send(&wire).await?;
    ensure!(polite.ends_in_order().await?, "no close_notify came back");
    // A record that no key opens.
    abrupt.send(&[23, 3, 3, 0, 32]).await?;
    abrupt.send(&[7; 32]).await?;
    ensure!(!abrupt.ends_in_order().await?, "a broken connection ended in order");
    // Close frame and close_notify at once, as browsers do that leave.
    let mut wire = closing.records([masked(CLOSE, &1000u16.to_be_bytes()).as_slice()])?;
    closing.tls.send_close_notify();
    wire.extend(closing.wire()?);
    closing.send(&wire).await?;
    closing.until_bytes(&[CLOSE, 2, 0x03, 0xe8]).await?;
    ensure!(closing.ends_in_order().await?, "no close_notify after the Close frame");
    wait::until("only who stays to be counted", async || (api.connected_clients().await.ok()? == 1).then_some(()))
        .await?;
    let wire = staying.records([masked(TEXT, PING_MESSAGE).as_slice()])?;
    staying.send(&wire).await?;
    staying.until("\"pong\"").await?;
    Ok(())
}

/// Promise: what breaks TLS in one piece with the upgrade, behind more than one read takes, ends that connection and nothing
/// else.
#[tokio::test]
async fn what_breaks_tls_with_the_handshake_ends_it_alone() -> Result<()> {
    let mut edge = Edge::start_tls(&[]).await?;
    let authority = edge.tls_authority()?;
    let mut broken = TlsClient::connect(&authority, edge.certificate()?.client()?).await?;
    broken.shake_hands().await?;
    let ping = masked(TEXT, PING_MESSAGE);
    let upgrade = handshake(&authority, "/analytics", "").into_bytes();
    let early = [upgrade, ping.repeat(600)].concat();
    let mut wire = broken.records(early.chunks(1000))?;
    // A record that no key opens.
    wire.extend([23, 3, 3, 0, 32]);
    wire.extend([7; 32]);
    broken.send(&wire).await?;
    ensure!(!broken.ends_in_order().await?, "a broken connection ended in order");

    let mut other = open(&mut edge).await?;
    let wire = other.records([ping.as_slice()])?;
    other.send(&wire).await?;
    other.until("\"pong\"").await?;
    let panicked = edge.log().tail(usize::MAX).into_iter().find(|line| line.contains("panicked"));
    ensure!(panicked.is_none(), "{panicked:?}");
    Ok(())
}
