//! Promise: a client by TLS gets what a plain one gets, at the same time, and costs nobody else more.

mod bytes;
mod certificates;
mod handshakes;

use ::bytes::Bytes;
use analytics_tests::api::Api;
use analytics_tests::edge::Edge;
use analytics_tests::http::Http;
use analytics_tests::memory::Counter;
use analytics_tests::raw::Raw;
use analytics_tests::socket::{Dial, Socket};
use analytics_tests::upstream::Upstream;
use analytics_tests::wait;
use anyhow::{Context, Result, ensure};
use futures::future::try_join_all;
use http::Method;
use serde_json::{Value, json};

fn subscribe(ids: &[&str]) -> Value {
    json!({"type": "subscribe", "contentIds": ids})
}

async fn by_tls(edge: &Edge) -> Result<Socket> {
    Dial::default().open_at(&edge.tls_authority()?).await
}

/// A series of the edge's metrics.
async fn metric(edge: &Edge, name: &str) -> Result<u64> {
    let text = Http::new(edge.listening()?.admin.to_string()).get("/metrics").await?.text();
    let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    line.with_context(|| format!("no {name}"))?.trim().parse().context("a metric that is no whole number")
}

/// Promise: subscribers and posts of both kinds, on one process, see the same numbers.
#[tokio::test]
async fn both_kinds_of_clients_see_the_same_numbers() -> Result<()> {
    let edge = Edge::start_tls(&[]).await?;
    let plain = edge.listening()?.ws.to_string();
    let mut sockets = vec![Dial::default().open_at(&plain).await?, by_tls(&edge).await?];
    for socket in &mut sockets {
        socket.ask(&subscribe(&["a", "b"]), "subscribed").await?;
    }
    let (a, b) = (Counter::public("a"), Counter::public("b"));
    let mut calls = [Api::new(plain), Api::new(edge.tls_authority()?)];
    for round in 1..=50 {
        for api in &mut calls {
            api.count(&a, "views", 1).await?;
        }
        calls[round % 2].count(&b, "likes", 1).await?;
    }
    for socket in &sockets {
        socket.shows(&a, "views", 100).await?;
        socket.shows(&b, "likes", 50).await?;
    }
    ensure!(calls[1].value(&a, "views").await? == 100);
    ensure!(calls[1].connected_clients().await? == 2);
    for socket in sockets {
        socket.close().await?;
    }
    Ok(())
}

/// Promise: everything of the plain port is there by TLS, on one connection, one request after the other: readiness, the
/// dashboard, calls large and small, and answers that name the protocol right.
#[tokio::test]
async fn the_whole_service_is_there_by_tls() -> Result<()> {
    let edge = Edge::start_tls(&[]).await?;
    let mut api = Api::new(edge.tls_authority()?);
    ensure!(api.http.get("/ready").await?.json()?["status"] == "ok");
    let page = api.http.get("/").await?;
    ensure!(page.status == 200 && page.text().contains("<html"), "{} {}", page.status, page.text());
    // Larger than any record or buffer.
    let updates: Vec<Value> = (0..100)
        .map(|index| json!({"contentId": format!("{index} {}", "x".repeat(200)), "field": "views", "increment": 1}))
        .collect();
    let reply = api.trigger(&json!({"updates": updates, "padding": "x".repeat(400_000)}), None).await?;
    ensure!(reply.status == 200, "{} {}", reply.status, reply.text());
    let counter = Counter::public(&format!("99 {}", "x".repeat(200)));
    ensure!(api.value(&counter, "views").await? == 1);
    let refused = api.http.get("/nowhere").await?;
    ensure!(refused.status == 404, "{}", refused.status);
    Ok(())
}

/// Promise: the platform behind the edge learns how the client came; only a proxy that is believed may say otherwise.
#[tokio::test]
async fn the_platform_learns_how_the_client_came() -> Result<()> {
    for (trusted, lie) in [("", None), ("", Some("gopher")), ("127.0.0.0/8", None), ("127.0.0.0/8", Some("gopher"))] {
        let upstream = Upstream::start().await?;
        let env = [("ANALYTICS_UPSTREAM", upstream.url.as_str()), ("ANALYTICS_TRUSTED_PROXIES", trusted)];
        let edge = Edge::start_tls(&env).await?;
        for (authority, scheme) in [(edge.listening()?.ws.to_string(), "http"), (edge.tls_authority()?, "https")] {
            let headers: Vec<_> = lie.map(|lie| ("x-forwarded-proto", lie)).into_iter().collect();
            let reply = Http::new(authority).send(Method::GET, "/page", &headers, Bytes::new()).await?;
            ensure!(reply.status == 200, "{}", reply.status);
            let head = upstream.heads().pop().unwrap_or_default().to_ascii_lowercase();
            let said: Vec<&str> = head.lines().filter_map(|line| line.strip_prefix("x-forwarded-proto: ")).collect();
            let expected = lie.filter(|_| !trusted.is_empty()).unwrap_or(scheme);
            ensure!(said == [expected], "{scheme}, trusted {trusted:?}, said {lie:?}: {said:?}");
        }
    }
    Ok(())
}

/// Promise: a client by TLS that stops reading costs its bound and no more however much is counted meanwhile, and shows
/// the newest of everything when it reads again; its neighbours see it at once.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_does_not_read_is_bounded_and_catches_up() -> Result<()> {
    const IDS: usize = 400;
    const ROUNDS: u64 = 300;
    const BOUND: u64 = 4 << 20;
    let edge = Edge::start_tls(&[("ANALYTICS_WORKERS", "1")]).await?;
    let ids: Vec<String> = (0..IDS).map(|index| format!("content {index}")).collect();
    let watch = json!({"type": "subscribe", "contentIds": ids});
    let mut api = Api::new(edge.tls_authority()?);
    let mut slow = Dial { receive_buffer: Some(4096), ..Dial::default() }.open_at(&edge.tls_authority()?).await?;
    let mut quick = by_tls(&edge).await?;
    quick.ask(&watch, "subscribed").await?;
    slow.read(false);
    slow.send(&watch).await?;
    let mut before = 0;
    for round in 1..=ROUNDS {
        for part in ids.chunks(100) {
            let updates: Vec<Value> =
                part.iter().map(|id| json!({"contentId": id, "field": "views", "increment": 1})).collect();
            let reply = api.trigger(&json!({"updates": updates}), None).await?;
            ensure!(reply.status == 200, "{}", reply.text());
        }
        if round == ROUNDS / 10 {
            before = edge.resident_bytes()?;
        }
    }
    let counters: Vec<Counter> = ids.iter().map(|id| Counter::public(id)).collect();
    for counter in &counters {
        quick.shows(counter, "views", ROUNDS).await?;
    }
    ensure!(metric(&edge, "analytics_sockets_full_total").await? > 0, "the slow client's socket was never full");
    let grown = edge.resident_bytes()?.saturating_sub(before);
    ensure!(grown <= BOUND, "resident memory grew by {grown} bytes, more than {BOUND}");
    slow.read(true);
    for counter in &counters {
        slow.shows(counter, "views", ROUNDS).await?;
    }
    // Far fewer than it would have been told one by one.
    let (told, all) = (slow.seen().updates, quick.seen().updates);
    ensure!(told < all / 2, "{told} updates to the slow client, {all} to the quick one");
    Ok(())
}

/// Promise: what a full socket left of the last that there was to say is said when there is room, though nothing more
/// comes that would push it.
#[tokio::test]
async fn the_last_of_a_snapshot_is_not_left_behind() -> Result<()> {
    // Pings would push it too.
    let silent = [("ANALYTICS_HEARTBEAT_INTERVAL_MS", "600000"), ("ANALYTICS_HEARTBEAT_TIMEOUT_MS", "1200000")];
    let edge = Edge::start_tls(&[&silent[..], &[("ANALYTICS_WORKERS", "1")]].concat()).await?;
    let ids: Vec<String> = (0..60).map(|index| format!("content {index} {}", "x".repeat(40))).collect();
    let updates: Vec<Value> = ids.iter().map(|id| json!({"contentId": id, "field": "views", "increment": 1})).collect();
    let reply = Api::new(edge.tls_authority()?).trigger(&json!({"updates": updates}), None).await?;
    ensure!(reply.status == 200, "{}", reply.text());
    // Somebody watches already, so each of the others is told by a walk of its own.
    let mut first = by_tls(&edge).await?;
    first.ask(&json!({"type": "subscribe", "contentIds": ids}), "subscribed").await?;
    first.shows(&Counter::public(&ids[59]), "comments", 0).await?;
    // Of many lengths, from what the socket takes at once to what it takes in three turns: it is cut at the end of some.
    let mut slow = Vec::new();
    for count in 20..=60 {
        let dial = Dial { receive_buffer: Some(2048), ..Dial::default() };
        let mut socket = dial.open_at(&edge.tls_authority()?).await?;
        socket.read(false);
        socket.send(&json!({"type": "subscribe", "contentIds": ids[..count]})).await?;
        slow.push((count, socket));
    }
    wait::until("many sockets to be full", async || {
        metric(&edge, "analytics_sockets_full_total").await.ok().filter(|full| *full >= 20)
    })
    .await?;
    for (count, socket) in slow {
        socket.read(true);
        for id in &ids[..count] {
            socket.shows(&Counter::public(id), "comments", 0).await.with_context(|| format!("of {count}"))?;
        }
    }
    Ok(())
}

/// Promise: an edge that ends closes clients by TLS with 1012 and a delay, which they can read, and ends TLS in order.
#[tokio::test]
async fn an_edge_that_ends_closes_its_clients_in_order() -> Result<()> {
    let mut edge = Edge::start_tls(&[("ANALYTICS_DRAIN_SECONDS", "1")]).await?;
    let sockets = try_join_all((0..10).map(|_| by_tls(&edge))).await?;
    let mut raw = Raw::open(&edge.tls_authority()?).await?;
    edge.terminate()?;
    for socket in &sockets {
        let end = socket.ended().await?;
        ensure!(end.code == Some(1012) && end.reason.starts_with("retry-after="), "{end:?}");
    }
    ensure!(raw.close_code().await? == Some(1012));
    ensure!(!raw.was_cut(), "the connection ended without close_notify");
    let status = edge.ended().await?;
    ensure!(status.success(), "the edge ended with {status}");
    Ok(())
}
