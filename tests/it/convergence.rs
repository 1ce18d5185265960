//! Promise: whatever a subscriber missed, slept through or met half-way, it ends at the store's current value.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use analytics_tests::api::{Api, update};
use analytics_tests::edge::Edge;
use analytics_tests::memory::{Counter, FIELDS};
use analytics_tests::socket::{Dial, Socket};
use anyhow::{Context, Result, ensure};
use futures::future::try_join_all;
use serde_json::{Value, json};

fn subscribe(ids: &[&str]) -> Value {
    json!({"type": "subscribe", "contentIds": ids})
}

/// Promise: a client that was away while a like went from 1 to 0 comes back and shows 0.
#[tokio::test]
async fn a_like_taken_back_while_away_is_learnt_on_return() -> Result<()> {
    let edge = Edge::start(&[]).await?;
    let (mut api, counter) = (edge.api()?, Counter::public("article"));
    api.count(&counter, "likes", 1).await?;
    let mut socket = Socket::open(&edge).await?;
    socket.ask(&subscribe(&["article"]), "subscribed").await?;
    socket.shows(&counter, "likes", 1).await?;
    let memory = socket.close().await?;
    api.count(&counter, "likes", -1).await?;
    let mut socket = Dial { memory, ..Dial::default() }.open(&edge).await?;
    ensure!(socket.value(&counter, "likes") == Some(1), "it remembers the like");
    socket.ask(&subscribe(&["article"]), "subscribed").await?;
    socket.shows(&counter, "likes", 0).await
}

/// Promise: every subscriber that comes in the middle of heavy updates ends at the right value, each time of many.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_snapshot_in_the_middle_of_heavy_updates_ends_right() -> Result<()> {
    const REPETITIONS: usize = 300;
    const AT_ONCE: usize = 10;
    const POSTERS: usize = 4;
    let counters = ["a", "b", "c"].map(Counter::public);
    let edge = Edge::start(&[]).await?;
    let stop = Arc::new(AtomicBool::new(false));
    let posters: Vec<_> = (0..POSTERS)
        .map(|_| {
            let (authority, stop, counters) = (edge.authority(), stop.clone(), counters.clone());
            tokio::spawn(async move {
                let mut api = Api::new(authority?);
                let mut posted = 0u64;
                while !stop.load(Ordering::Relaxed) {
                    for counter in &counters {
                        api.count(counter, "views", 1).await?;
                    }
                    posted += 1;
                }
                anyhow::Ok(posted)
            })
        })
        .collect();
    let mut sockets = Vec::new();
    for _ in 0..REPETITIONS / AT_ONCE {
        let opened = try_join_all((0..AT_ONCE).map(|_| async {
            let mut socket = Socket::open(&edge).await?;
            socket.ask(&subscribe(&["a", "b", "c"]), "subscribed").await?;
            anyhow::Ok(socket)
        }));
        sockets.extend(opened.await?);
    }
    stop.store(true, Ordering::Relaxed);
    let mut total = 0;
    for posted in try_join_all(posters).await? {
        total += posted?;
    }
    ensure!(total > 0, "nothing was posted meanwhile");
    ensure!(edge.api()?.value(&counters[0], "views").await? == total, "the store's count");
    for socket in &sockets {
        for counter in &counters {
            socket.shows(counter, "views", total).await?;
            for field in ["likes", "shares", "comments"] {
                socket.shows(counter, field, 0).await?;
            }
        }
    }
    Ok(())
}

/// Promise: a client that stops reading for a million updates holds the process within 16 MiB more than it had, keeps
/// nobody waiting, and ends at the newest value of every field when it reads again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_does_not_read_costs_a_bounded_memory_and_catches_up() -> Result<()> {
    const UPDATES: usize = 1_000_000;
    const WARM_UP: usize = 40_000;
    const BATCH: usize = 100;
    const POSTERS: usize = 8;
    const BOUND: u64 = 16 * 1024 * 1024;
    const CONTENTS: usize = 10;
    let contents: Vec<String> = (0..CONTENTS).map(|index| format!("content {index}")).collect();
    let ids: Vec<&str> = contents.iter().map(String::as_str).collect();
    // The silent client answers no pings; that it is not reaped meanwhile is what this test needs, not what it shows.
    let edge = Edge::start(&[
        ("ANALYTICS_HEARTBEAT_INTERVAL_MS", "3600000"),
        ("ANALYTICS_HEARTBEAT_TIMEOUT_MS", "7200000"),
        ("RUST_LOG", "warn,analytics_proxy=info"),
    ])
    .await?;
    let mut silent = Dial { receive_buffer: Some(4096), ..Dial::default() }.open(&edge).await?;
    silent.ask(&subscribe(&ids), "subscribed").await?;
    silent.read(false);
    let mut reader = Socket::open(&edge).await?;
    reader.ask(&subscribe(&ids), "subscribed").await?;

    // The first updates fill caches and buffers that are there in any case.
    post_in_batches(&edge, &contents, WARM_UP / BATCH, POSTERS).await?;
    let before = edge.resident_bytes()?;
    post_in_batches(&edge, &contents, UPDATES / BATCH, POSTERS).await?;
    let grown = edge.resident_bytes()?.saturating_sub(before);
    println!("resident memory grew by {grown} bytes");
    ensure!(grown <= BOUND, "resident memory grew by {grown} bytes, more than {BOUND}");

    let each = (UPDATES + WARM_UP) as u64 / (CONTENTS * FIELDS.len()) as u64;
    for content in &contents {
        for field in FIELDS {
            reader.shows(&Counter::public(content), field, each).await?;
        }
    }
    let missed = silent.seen().updates;
    silent.read(true);
    for content in &contents {
        for field in FIELDS {
            silent.shows(&Counter::public(content), field, each).await?;
        }
    }
    let caught_up_with = silent.seen().updates - missed;
    ensure!(caught_up_with < UPDATES as u64 / 10, "{caught_up_with} updates were kept for a client that did not read");
    Ok(())
}

/// Posts +1 to every field of every content in turn, so many batches of 100, without keys.
async fn post_in_batches(edge: &Edge, contents: &[String], batches: usize, posters: usize) -> Result<()> {
    let mut members = contents.iter().flat_map(|content| FIELDS.map(|field| (content, field))).cycle();
    // 100 is no multiple of the number of fields, so few batches are alike; so many make a whole of the cycle.
    let bodies: Vec<Value> = (0..contents.len() * FIELDS.len())
        .map(|_| {
            let updates = members.by_ref().take(100);
            let updates: Vec<Value> =
                updates.map(|(content, field)| json!({"contentId": content, "field": field})).collect();
            json!({"updates": updates})
        })
        .collect();
    let bodies = Arc::new(bodies);
    let tasks: Vec<_> = (0..posters)
        .map(|poster| {
            let (authority, bodies) = (edge.authority(), bodies.clone());
            tokio::spawn(async move {
                let mut api = Api::new(authority?);
                for batch in (poster..batches).step_by(posters) {
                    let reply = api.trigger(&bodies[batch % bodies.len()], None).await?.json()?;
                    let results = reply["results"].as_array().context("a batch has results")?;
                    ensure!(results.iter().all(|result| result["success"] == true), "{reply}");
                }
                anyhow::Ok(())
            })
        })
        .collect();
    try_join_all(tasks).await?.into_iter().collect()
}

/// Promise: a slow reader that is updated while it catches up ends right: what changed behind its back, in the part of
/// its subscription that it had been told already, is told again.
#[tokio::test]
async fn what_changes_during_a_catch_up_is_told_too() -> Result<()> {
    const CONTENTS: usize = 1000;
    let edge = Edge::start(&[("ANALYTICS_WORKERS", "1")]).await?;
    let ids: Vec<String> = (0..CONTENTS).map(|index| format!("content {index}")).collect();
    let counters: Vec<Counter> = ids.iter().map(|id| Counter::public(id)).collect();
    let mut api = edge.api()?;
    let count = async |api: &mut Api, counters: &[&Counter], field: &str| {
        for part in counters.chunks(100) {
            let updates: Vec<Value> = part.iter().map(|counter| update(counter, field, 1)).collect();
            let reply = api.trigger(&json!({"updates": updates}), None).await?;
            ensure!(reply.status == 200, "{}", reply.text());
        }
        anyhow::Ok(())
    };
    let all: Vec<&Counter> = counters.iter().collect();
    count(&mut api, &all, "views").await?;

    // Somebody watches already, so the slow one is told by a walk of its own.
    let mut first = Socket::open(&edge).await?;
    first.ask(&json!({"type": "subscribe", "contentIds": ids}), "subscribed").await?;
    for counter in &counters {
        first.shows(counter, "comments", 0).await?;
    }
    let metrics = analytics_tests::http::Http::new(edge.listening()?.admin.to_string());
    let metrics = tokio::sync::Mutex::new(metrics);
    let sockets_full = async || {
        let text = metrics.lock().await.get("/metrics").await.ok()?.text();
        let line = text.lines().find_map(|line| line.strip_prefix("analytics_sockets_full_total "))?;
        line.trim().parse::<u64>().ok()
    };
    let before = sockets_full().await.context("the metric of full sockets")?;
    let mut socket = Dial { receive_buffer: Some(4096), ..Dial::default() }.open(&edge).await?;
    socket.read(false);
    socket.send(&json!({"type": "subscribe", "contentIds": ids})).await?;
    analytics_tests::wait::until("the socket to be full in the middle of its snapshot", async || {
        sockets_full().await.filter(|full| *full > before)
    })
    .await?;
    // From the first to the last: some of them are told already.
    let some: Vec<&Counter> = counters.iter().step_by(5).collect();
    count(&mut api, &some, "likes").await?;
    socket.read(true);
    for (index, counter) in counters.iter().enumerate() {
        socket.shows(counter, "views", 1).await?;
        socket.shows(counter, "likes", u64::from(index % 5 == 0)).await?;
    }
    Ok(())
}

/// Promise: who watches a whole organization is told the counters of all its clients, however many: at once, through a
/// narrow pipe, and in what changes meanwhile.
#[tokio::test]
async fn a_wide_organization_is_told_whole() -> Result<()> {
    const CLIENTS: usize = 2000;
    let edge = Edge::start(&[("ANALYTICS_WORKERS", "1")]).await?;
    let clients: Vec<String> = (0..CLIENTS).map(|index| format!("client {index}")).collect();
    let counters: Vec<Counter> =
        clients.iter().map(|client| Counter::new(Some("acme"), Some(client.as_str()), "page")).collect();
    let mut api = edge.api()?;
    let count = async |api: &mut Api| {
        for part in counters.chunks(100) {
            let updates: Vec<Value> = part.iter().map(|counter| update(counter, "views", 1)).collect();
            let reply = api.trigger(&json!({"updates": updates}), None).await?;
            ensure!(reply.status == 200, "{}", reply.text());
        }
        anyhow::Ok(())
    };
    count(&mut api).await?;
    let watch = json!({"type": "subscribe", "contentIds": ["page"], "organizationId": "acme"});
    let mut first = Socket::open(&edge).await?;
    first.ask(&watch, "subscribed").await?;
    let mut narrow = Dial { receive_buffer: Some(4096), ..Dial::default() }.open(&edge).await?;
    narrow.read(false);
    narrow.send(&watch).await?;
    count(&mut api).await?;
    narrow.read(true);
    for socket in [&first, &narrow] {
        for counter in &counters {
            socket.shows(counter, "views", 2).await?;
        }
    }
    Ok(())
}
