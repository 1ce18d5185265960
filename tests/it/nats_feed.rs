//! Proxies that learn of changes by the log in NATS: whatever is cut, killed or forgotten on the way, every subscriber
//! ends at the store's value, and on no connection a version goes back.

mod world;

use analytics_shared::Field;
use analytics_tests::hop::{Hop, Line};
use analytics_tests::hosted::Hosted;
use analytics_tests::memory::Counter as Shown;
use analytics_tests::nats::NatsServer;
use analytics_tests::socket::Socket;
use analytics_tests::wait;
use anyhow::Result;
use lambda_trigger::CounterStore;
use serde_json::json;

use crate::store_suite::topic;
use world::{World, both};

/// A subscriber of one content, of an organization or public.
async fn subscriber(edge: &Hosted, organization: &str, content: &str) -> Result<Socket> {
    edge.ready().await?;
    let mut socket = edge.socket().await?;
    let mut subscribe = json!({"type": "subscribe", "contentIds": [content]});
    if !organization.is_empty() {
        subscribe["organizationId"] = json!(organization);
    }
    socket.ask(&subscribe, "subscribed").await?;
    Ok(socket)
}

async fn shows(sockets: &[&Socket], counter: &Shown, value: u64) -> Result<()> {
    for socket in sockets {
        socket.shows(counter, "likes", value).await?;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_change_reaches_the_subscribers_of_every_proxy_and_no_others() -> Result<()> {
    let world = World::start().await?;
    let (one, other) = (world.edge(world.server.address, |_| {})?, world.edge(world.server.address, |_| {})?);
    let (counter, shown) = both("a.b *", "x>y");
    let (public, shown_public) = both("", "x>y");
    let (here, there) = (subscriber(&one, "a.b *", "x>y").await?, subscriber(&other, "a.b *", "x>y").await?);
    let stranger = subscriber(&other, "a", "x>y").await?;
    for _ in 0..20 {
        let value = world.add(&counter, Field::Likes, 1).await;
        shows(&[&here, &there], &shown, value).await?;
    }
    let value = world.add(&public, Field::Likes, 7).await;
    shows(&[&here, &there, &stranger], &shown_public, value).await?;
    assert_eq!(stranger.value(&shown, "likes"), None);
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn subscribers_converge_after_every_cut_between_proxy_and_nats() -> Result<()> {
    let world = World::start().await?;
    let hop = Hop::start(world.server.address).await?;
    let edge = world.edge(hop.address, |_| {})?;
    let (counter, shown) = both("o", "x");
    let socket = subscriber(&edge, "o", "x").await?;
    for line in [Line::Broken, Line::Silent, Line::Broken, Line::Silent] {
        let value = world.add(&counter, Field::Likes, 1).await;
        shows(&[&socket], &shown, value).await?;
        hop.set(line);
        for _ in 0..50 {
            world.add(&counter, Field::Likes, 2).await;
        }
        let value = world.add(&counter, Field::Likes, -1).await;
        world.published().await?;
        hop.set(Line::Whole);
        shows(&[&socket], &shown, value).await?;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cut_is_told_and_so_is_its_end() -> Result<()> {
    let world = World::start().await?;
    let hop = Hop::start(world.server.address).await?;
    let edge = world.edge(hop.address, |_| {})?;
    edge.ready().await?;
    let degraded = || !edge.handle.status().degraded.is_empty();
    assert!(!degraded());
    hop.set(Line::Silent);
    wait::holds("the cut to be told", degraded).await?;
    hop.set(Line::Whole);
    wait::holds("its end to be told", || !degraded()).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_only_the_old_stream_had_is_read_from_the_store() -> Result<()> {
    let world = World::start().await?;
    let hop = Hop::start(world.server.address).await?;
    let edge = world.edge(hop.address, |_| {})?;
    let (counter, shown) = both("o", "x");
    let (later, shown_later) = both("o", "y");
    let socket = subscriber(&edge, "o", "x").await?;
    let second = subscriber(&edge, "o", "y").await?;
    let value = world.add(&counter, Field::Likes, 1).await;
    shows(&[&socket], &shown, value).await?;
    hop.set(Line::Broken);
    let value = world.add(&counter, Field::Likes, 1).await;
    world.published().await?;
    world.jetstream.delete_stream(&world.log.stream).await?;
    // The new stream gets past the old one's numbers before anybody looks.
    let mut value_later = 0;
    for _ in 0..10 {
        value_later = world.add(&later, Field::Likes, 1).await;
        world.published().await?;
    }
    hop.set(Line::Whole);
    shows(&[&socket], &shown, value).await?;
    shows(&[&second], &shown_later, value_later).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_that_is_replaced_under_a_connected_proxy_is_followed() -> Result<()> {
    let world = World::start().await?;
    let edge = world.edge(world.server.address, |_| {})?;
    let (counter, shown) = both("o", "x");
    let socket = subscriber(&edge, "o", "x").await?;
    for _ in 0..2 {
        let value = world.add(&counter, Field::Likes, 1).await;
        shows(&[&socket], &shown, value).await?;
        world.jetstream.delete_stream(&world.log.stream).await?;
    }
    let value = world.add(&counter, Field::Likes, 1).await;
    shows(&[&socket], &shown, value).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_log_has_dropped_is_read_from_the_store() -> Result<()> {
    let world = World::start().await?;
    let hop = Hop::start(world.server.address).await?;
    let edge = world.edge(hop.address, |_| {})?;
    let (counter, shown) = both("o", "x");
    let socket = subscriber(&edge, "o", "x").await?;
    let value = world.add(&counter, Field::Likes, 1).await;
    shows(&[&socket], &shown, value).await?;
    hop.set(Line::Broken);
    let value = world.add(&counter, Field::Likes, 1).await;
    world.published().await?;
    world.jetstream.get_stream(&world.log.stream).await?.purge().await?;
    hop.set(Line::Whole);
    shows(&[&socket], &shown, value).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_consumer_that_the_log_has_overtaken_is_noticed() -> Result<()> {
    let world = World::start().await?;
    let hop = Hop::start(world.server.leaves.expect("a hub has leaves")).await?;
    let leaf = NatsServer::leaf(hop.address).await?;
    let edge = world.edge(leaf.address, |_| {})?;
    let (counter, shown) = both("o", "x");
    let socket = subscriber(&edge, "o", "x").await?;
    let value = world.add(&counter, Field::Likes, 1).await;
    shows(&[&socket], &shown, value).await?;
    // Shorter than any silence that would be noticed: the consumer goes on as if nothing had been.
    hop.set(Line::Broken);
    let value = world.add(&counter, Field::Likes, 1).await;
    world.published().await?;
    world.jetstream.get_stream(&world.log.stream).await?.purge().await?;
    hop.set(Line::Whole);
    shows(&[&socket], &shown, value).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn subscribers_converge_after_nats_was_killed_with_and_without_its_files() -> Result<()> {
    let mut world = World::start().await?;
    let edge = world.edge(world.server.address, |_| {})?;
    let (counter, shown) = both("", "x");
    let socket = subscriber(&edge, "", "x").await?;
    for wiped in [false, true, true] {
        let value = world.add(&counter, Field::Likes, 1).await;
        shows(&[&socket], &shown, value).await?;
        world.server.kill();
        if wiped {
            world.server.wipe()?;
        }
        let value = world.add(&counter, Field::Likes, 1).await;
        world.server.start_again().await?;
        shows(&[&socket], &shown, value).await?;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn subscribers_converge_after_a_partition_between_leaf_and_hub() -> Result<()> {
    let world = World::start().await?;
    let leaves = world.server.leaves.expect("a hub has leaves");
    let hop = Hop::start(leaves).await?;
    let leaf = NatsServer::leaf(hop.address).await?;
    let edge = world.edge(leaf.address, |_| {})?;
    let (counter, shown) = both("o", "x");
    let socket = subscriber(&edge, "o", "x").await?;
    for line in [Line::Silent, Line::Broken, Line::Silent] {
        let value = world.add(&counter, Field::Likes, 1).await;
        shows(&[&socket], &shown, value).await?;
        hop.set(line);
        for _ in 0..20 {
            world.add(&counter, Field::Likes, 1).await;
        }
        let value = world.add(&counter, Field::Likes, -3).await;
        world.published().await?;
        hop.set(Line::Whole);
        shows(&[&socket], &shown, value).await?;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_subscribes_during_updates_ends_at_the_store_s_value() -> Result<()> {
    let world = World::start().await?;
    let edge = world.edge(world.server.address, |_| {})?;
    edge.ready().await?;
    // More organizations than the consumer is filtered for, each watched for the first time while it changes.
    for index in 0..130 {
        let organization = format!("o{index}");
        let (counter, shown) = both(&organization, "x");
        let writes = async {
            let mut value = 0;
            for _ in 0..10 {
                value = world.add(&counter, Field::Likes, 1).await;
            }
            value
        };
        let (socket, value) = tokio::join!(subscriber(&edge, &organization, "x"), writes);
        shows(&[&socket?], &shown, value).await?;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_subscribers_at_once_are_few_reads() -> Result<()> {
    let world = World::start().await?;
    let edge = world.edge(world.server.address, |_| {})?;
    edge.ready().await?;
    let (counter, shown) = both("o", "x");
    let value = world.add(&counter, Field::Likes, 3).await;
    let sockets = futures::future::try_join_all((0..200).map(|_| subscriber(&edge, "o", "x"))).await?;
    for socket in &sockets {
        shows(&[socket], &shown, value).await?;
    }
    let reads = world.reads(&topic(&counter));
    assert!(reads <= 2, "two hubs watch it, and {reads} reads were made");
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_edge_without_nats_takes_no_watchers_and_begins_once_it_is_there() -> Result<()> {
    let mut world = World::start().await?;
    let (counter, shown) = both("", "x");
    let value = world.add(&counter, Field::Likes, 1).await;
    world.published().await?;
    world.server.kill();
    let edge = world.edge(world.server.address, |_| {})?;
    let answered = wait::until("calls to be answered", async || edge.api().http.get("/ready").await.ok());
    assert_eq!(answered.await?.status, http::StatusCode::SERVICE_UNAVAILABLE);
    assert!(edge.socket().await.is_err(), "an upgrade is refused");
    world.server.start_again().await?;
    let socket = subscriber(&edge, "", "x").await?;
    shows(&[&socket], &shown, value).await
}

/// Promise: whoever begins to watch while the log is cut is shown what the store says, and afterwards what it says then.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_subscribes_while_the_log_is_cut_is_shown_the_store_s_value() -> Result<()> {
    let world = World::start().await?;
    let hop = Hop::start(world.server.address).await?;
    let edge = world.edge(hop.address, |_| {})?;
    edge.ready().await?;
    let (counter, shown) = both("nobody watched it before", "x");
    let value = world.add(&counter, Field::Likes, 1).await;
    hop.set(Line::Broken);
    // Before the cut is noticed, and after.
    let early = subscriber(&edge, "nobody watched it before", "x").await?;
    shows(&[&early], &shown, value).await?;
    wait::holds("the cut to be told", || !edge.handle.status().degraded.is_empty()).await?;
    let (other, shown_other) = both("nor this", "x");
    let value_other = world.add(&other, Field::Likes, 5).await;
    let late = subscriber(&edge, "nor this", "x").await?;
    shows(&[&late], &shown_other, value_other).await?;
    let (value, value_other) = (world.add(&counter, Field::Likes, 1).await, world.add(&other, Field::Likes, -2).await);
    world.published().await?;
    hop.set(Line::Whole);
    shows(&[&early], &shown, value).await?;
    shows(&[&late], &shown_other, value_other).await
}

/// Promise: after a restore the log may still say what counters were before it; nobody is shown that.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_log_says_of_an_earlier_epoch_is_not_shown() -> Result<()> {
    let world = World::start().await?;
    let edge = world.edge(world.server.address, |_| {})?;
    let (counter, shown) = both("o", "x");
    let (marker, shown_marker) = both("o", "y");
    let mut socket = subscriber(&edge, "o", "x").await?;
    let add = json!({"type": "subscribe", "contentIds": ["y"], "mode": "add"});
    socket.ask(&add, "subscribed").await?;
    for version in [1, world.store.base() - 1, world.store.base()] {
        world.say(&counter, version, 700).await?;
    }
    // The log is in order: whoever is shown this was offered what came before it.
    let value = world.add(&marker, Field::Likes, 1).await;
    shows(&[&socket], &shown_marker, value).await?;
    assert_eq!(socket.value(&shown, "likes"), None);
    let value = world.add(&counter, Field::Likes, 3).await;
    shows(&[&socket], &shown, value).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_sweep_heals_what_nobody_saw_being_lost() -> Result<()> {
    let world = World::start().await?;
    let edge = world.edge(world.server.address, |config| config.sweep = std::time::Duration::from_secs(1))?;
    let (counter, shown) = both("o", "x");
    let socket = subscriber(&edge, "o", "x").await?;
    world.lose_changes(true);
    for _ in 0..3 {
        let value = world.add(&counter, Field::Likes, 1).await;
        shows(&[&socket], &shown, value).await?;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn how_the_feed_is_can_be_read_off_the_metrics() -> Result<()> {
    let world = World::start().await?;
    let hop = Hop::start(world.server.address).await?;
    let edge = world.edge(hop.address, |_| {})?;
    let metric = |name: &str| {
        let text = String::from_utf8(edge.handle.metrics()).expect("a text");
        let line = text.lines().find_map(|line| line.strip_prefix(&format!("analytics_{name} ")));
        line.and_then(|value| value.trim().parse::<f64>().ok()).unwrap_or_else(|| panic!("no {name} in {text}"))
    };
    let (counter, shown) = both("o", "x");
    let socket = subscriber(&edge, "o", "x").await?;
    let value = world.add(&counter, Field::Likes, 1).await;
    shows(&[&socket], &shown, value).await?;
    wait::holds("the topic to be read", || metric("store_reads_total") >= 1.0).await?;
    for (name, value) in
        [("stream_cut", 0.0), ("topics_waiting", 0.0), ("rereads_total", 0.0), ("store_unreadable", 0.0)]
    {
        assert_eq!(metric(name), value, "{name}");
    }
    wait::holds("a change to be announced", || metric("newest_update_timestamp_seconds") > 1.7e9).await?;
    assert!(metric("update_lag_seconds") < 3600.0);
    let starts = metric("stream_starts_total");
    assert!(starts >= 1.0);
    // A cut, in which the log loses a change.
    hop.set(Line::Broken);
    wait::holds("the cut to be told", || metric("stream_cut") == 1.0).await?;
    assert_eq!(edge.handle.status().degraded, ["the stream of changes is cut"]);
    let value = world.add(&counter, Field::Likes, 1).await;
    world.published().await?;
    world.jetstream.get_stream(&world.log.stream).await?.purge().await?;
    // Whoever watches an organization for the first time now waits for the stream.
    let mut waiting = edge.socket().await?;
    let subscribe = json!({"type": "subscribe", "contentIds": ["x"], "organizationId": "p"});
    waiting.ask(&subscribe, "subscribed").await?;
    wait::holds("a topic to wait", || metric("topics_waiting") == 1.0).await?;
    hop.set(Line::Whole);
    shows(&[&socket], &shown, value).await?;
    wait::holds("nothing to wait", || metric("topics_waiting") == 0.0).await?;
    assert!(metric("stream_cut") == 0.0 && metric("rereads_total") == 1.0);
    assert!(metric("stream_starts_total") > starts);
    Ok(())
}
