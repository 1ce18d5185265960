//! Promise: whatever a subscriber missed, slept through or met half-way, it ends at the store's current value.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use analytics_tests::api::{Api, update};
use analytics_tests::edge::Edge;
use analytics_tests::memory::{Counter, FIELDS};
use analytics_tests::socket::{Dial, Socket};
use anyhow::{Result, ensure};
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

/// Promise: clients that stop reading for a million updates cost the process what their subscriptions are, whatever
/// passes; keep nobody waiting, who is shown every round of them; and end at the newest value of every field when they
/// read again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn clients_that_do_not_read_cost_what_they_subscribed_and_catch_up() -> Result<()> {
    const UPDATES: usize = 1_000_000;
    const WARM_UP: usize = 40_000;
    /// So few that the sockets of those who read hold all that a round can bring them: 20 commits at most, each with one
    /// frame of some 150 bytes for every field. However busy the machine is, nobody but the silent ones is ever behind.
    const ROUND: usize = 2_000;
    const READER_BUFFER: u32 = 1 << 20;
    const SILENT: usize = 50;
    const READERS: usize = 3;
    const CONTENTS: usize = 10;
    const FIELD_COUNT: usize = CONTENTS * FIELDS.len();
    /// What a subscription is in frames, each rounded up.
    const SUBSCRIPTION: u64 = FIELD_COUNT as u64 * 256;
    /// What the process may gain in any case: pages of the store's cache, the allocator's arenas.
    const ALLOWANCE: u64 = 8 << 20;
    const BOUND: u64 = ALLOWANCE + SILENT as u64 * SUBSCRIPTION;
    let contents: Vec<String> = (0..CONTENTS).map(|index| format!("content {index}")).collect();
    let subscribe = json!({"type": "subscribe", "contentIds": contents});
    // The silent clients answer no pings; that they are not reaped meanwhile is what this test needs, not what it shows.
    let edge = Edge::start(&[
        ("ANALYTICS_HEARTBEAT_INTERVAL_MS", "3600000"),
        ("ANALYTICS_HEARTBEAT_TIMEOUT_MS", "7200000"),
        ("RUST_LOG", "warn,analytics_proxy=info"),
    ])
    .await?;
    let mut silent = Vec::new();
    for _ in 0..SILENT {
        let mut socket = Dial { receive_buffer: Some(4096), ..Dial::default() }.open(&edge).await?;
        socket.ask(&subscribe, "subscribed").await?;
        socket.read(false);
        silent.push(socket);
    }
    let mut readers = Vec::new();
    for _ in 0..READERS {
        let mut socket = Dial { receive_buffer: Some(READER_BUFFER), ..Dial::default() }.open(&edge).await?;
        socket.ask(&subscribe, "subscribed").await?;
        readers.push(socket);
    }
    let posters = Posters::new(&edge, &contents)?;
    let mut each = 0;
    let mut round = async || {
        posters.post(ROUND / BATCH).await?;
        each += (ROUND / FIELD_COUNT) as u64;
        for reader in &readers {
            shows_all(reader, &contents, each).await?;
        }
        anyhow::Ok(each)
    };

    // The first updates fill caches and buffers that are there in any case, and the sockets of those who do not read.
    for _ in 0..WARM_UP / ROUND {
        round().await?;
    }
    let full = edge.metric("analytics_sockets_full_total").await?;
    ensure!(full >= SILENT as u64, "{full} sockets are full, of {SILENT} that are not read");
    let before = edge.resident_bytes()?;
    let mut each = 0;
    for _ in 0..UPDATES / ROUND {
        each = round().await?;
    }
    let grown = edge.resident_bytes()?.saturating_sub(before);
    println!("resident memory grew by {grown} bytes");
    ensure!(grown <= BOUND, "resident memory grew by {grown} bytes, more than {BOUND}");
    let full_since = edge.metric("analytics_sockets_full_total").await? - full;
    ensure!(full_since == 0, "sockets of those who read were full {full_since} times");

    for socket in &silent {
        let missed = socket.seen().updates;
        socket.read(true);
        shows_all(socket, &contents, each).await?;
        // What lay in the kernel's buffers, then each field once.
        let caught_up_with = socket.seen().updates - missed;
        ensure!(
            caught_up_with < UPDATES as u64 / 1000,
            "{caught_up_with} updates were kept for a client that did not read"
        );
    }
    Ok(())
}

/// Waits until every field of every content shows this value.
async fn shows_all(socket: &Socket, contents: &[String], value: u64) -> Result<()> {
    for content in contents {
        for field in FIELDS {
            socket.shows(&Counter::public(content), field, value).await?;
        }
    }
    Ok(())
}

/// Updates in one batch.
const BATCH: usize = 100;

/// Callers that post +1 to every field of every content in turn, in full batches without keys.
struct Posters {
    authority: String,
    bodies: Arc<Vec<Value>>,
}

impl Posters {
    const COUNT: usize = 8;

    fn new(edge: &Edge, contents: &[String]) -> Result<Posters> {
        let mut members = contents.iter().flat_map(|content| FIELDS.map(|field| (content, field))).cycle();
        // A batch is no multiple of the fields, so few batches are alike; so many make a whole of the cycle.
        let body = |_| {
            let updates = members.by_ref().take(BATCH);
            let updates: Vec<Value> =
                updates.map(|(content, field)| json!({"contentId": content, "field": field})).collect();
            json!({"updates": updates})
        };
        let bodies = (0..contents.len() * FIELDS.len()).map(body).collect();
        Ok(Posters { authority: edge.authority()?, bodies: Arc::new(bodies) })
    }

    /// Posts so many batches; returns when all are acknowledged.
    async fn post(&self, batches: usize) -> Result<()> {
        let tasks: Vec<_> = (0..Posters::COUNT)
            .map(|poster| {
                let (authority, bodies) = (self.authority.clone(), self.bodies.clone());
                tokio::spawn(async move {
                    let mut api = Api::new(authority);
                    for batch in (poster..batches).step_by(Posters::COUNT) {
                        let reply = api.trigger(&bodies[batch % bodies.len()], None).await?;
                        let text = reply.text();
                        ensure!(
                            reply.status == 200 && !text.contains(r#""success":false"#),
                            "{}: {text}",
                            reply.status
                        );
                    }
                    anyhow::Ok(())
                })
            })
            .collect();
        try_join_all(tasks).await?.into_iter().collect()
    }
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
    let before = edge.metric("analytics_sockets_full_total").await?;
    let mut socket = Dial { receive_buffer: Some(4096), ..Dial::default() }.open(&edge).await?;
    socket.read(false);
    socket.send(&json!({"type": "subscribe", "contentIds": ids})).await?;
    analytics_tests::wait::until("the socket to be full in the middle of its snapshot", async || {
        edge.metric("analytics_sockets_full_total").await.ok().filter(|full| *full > before)
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
