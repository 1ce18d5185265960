//! Promise: a subscription is exactly what the messages made it, in the order in which they came.

use analytics_tests::edge::Edge;
use analytics_tests::memory::{Counter, FIELDS};
use analytics_tests::socket::{Dial, Socket};
use anyhow::{Result, ensure};
use serde_json::{Value, json};

/// One hub: what one of its connections was shown before, all of them were.
const ONE_HUB: [(&str, &str); 1] = [("ANALYTICS_WORKERS", "1")];

/// Counts one view of each content and gives those that the socket heard of, sorted.
async fn hears(edge: &Edge, socket: &mut Socket, contents: &[&str]) -> Result<Vec<String>> {
    socket.ask(&json!({"type": "ping"}), "pong").await?;
    socket.take_messages();
    let mut api = edge.api()?;
    // The last update is watched by a witness: once the witness has it, the hub has dealt with those before it.
    let mut witness = Socket::open(edge).await?;
    witness.ask(&json!({"type": "subscribe", "contentIds": ["the witness's"]}), "subscribed").await?;
    for content in contents {
        api.count(&Counter::public(content), "views", 1).await?;
    }
    let (value, _) = api.count(&Counter::public("the witness's"), "views", 1).await?;
    witness.shows(&Counter::public("the witness's"), "views", value).await?;
    socket.send(&json!({"type": "ping"})).await?;
    let mut heard = Vec::new();
    analytics_tests::wait::until("the pong after the updates", async || {
        let messages = socket.take_messages();
        let done = messages.iter().any(|message| message["type"] == "pong");
        let updates = messages.iter().filter(|message| message["type"] == "analytics_update");
        heard.extend(updates.filter_map(|update| update["contentId"].as_str().map(str::to_owned)));
        done.then_some(())
    })
    .await?;
    heard.sort();
    heard.dedup();
    Ok(heard)
}

async fn open(edge: &Edge) -> Result<Socket> {
    Dial { keep_updates: true, ..Dial::default() }.open(edge).await
}

async fn subscribe(socket: &mut Socket, message: Value) -> Result<Value> {
    socket.send(&message).await?;
    // With updates kept, replies are found by their type.
    socket.reply("subscribed").await
}

/// Promise: the snapshot has all four fields, zeros included, of each counter that exists, and nothing of one that
/// does not.
#[tokio::test]
async fn a_snapshot_has_all_four_fields_of_what_exists() -> Result<()> {
    let edge = Edge::start(&ONE_HUB).await?;
    let (_, version) = edge.api()?.count(&Counter::public("exists"), "shares", 5).await?;
    let mut socket = open(&edge).await?;
    let subscribed = subscribe(&mut socket, json!({"type": "subscribe", "contentIds": ["exists", "not yet"]})).await?;
    ensure!(subscribed["contentIds"] == json!(["exists", "not yet"]), "{subscribed}");
    for (field, value) in FIELDS.iter().zip([0, 0, 5, 0]) {
        socket.shows(&Counter::public("exists"), field, value).await?;
    }
    socket.ask(&json!({"type": "ping"}), "pong").await?;
    let seen = socket.seen();
    ensure!(seen.memory.counters().all(|counter| counter.content == "exists"), "a counter that does not exist");
    let shown = seen.memory.shown(&Counter::public("exists"), "shares");
    ensure!(shown.is_some_and(|shown| shown.version == version), "{shown:?} instead of version {version}");
    Ok(())
}

/// Promise: ids are de-duplicated with their order kept, and every reply names the scope in force.
#[tokio::test]
async fn a_reply_names_each_id_once_and_the_scope_in_force() -> Result<()> {
    let edge = Edge::start(&ONE_HUB).await?;
    let mut socket = open(&edge).await?;
    let message = json!({"type": "subscribe", "contentIds": ["b", "a", "b", "c", "a"], "organizationId": "acme",
        "clientId": "web", "mode": null, "unknown": {"fields": "are ignored"}});
    let subscribed = subscribe(&mut socket, message).await?;
    ensure!(subscribed["contentIds"] == json!(["b", "a", "c"]), "{subscribed}");
    ensure!(subscribed["organizationId"] == "acme" && subscribed["clientId"] == "web", "{subscribed}");
    let public = subscribe(&mut socket, json!({"type": "subscribe", "contentIds": [], "organizationId": null})).await?;
    ensure!(public.get("organizationId").is_none() && public.get("clientId").is_none(), "{public}");
    ensure!(public["contentIds"] == json!([]), "{public}");
    Ok(())
}

/// Promise: `subscribe` replaces, `mode: "add"` adds, `unsubscribe` drops the ids named, or all.
#[tokio::test]
async fn replacing_adding_and_dropping_change_what_is_heard() -> Result<()> {
    let edge = Edge::start(&ONE_HUB).await?;
    let mut socket = open(&edge).await?;
    let all = ["a", "b", "c"];
    subscribe(&mut socket, json!({"type": "subscribe", "contentIds": ["a", "b"]})).await?;
    ensure!(hears(&edge, &mut socket, &all).await? == ["a", "b"]);
    subscribe(&mut socket, json!({"type": "subscribe", "contentIds": ["b", "c"]})).await?;
    ensure!(hears(&edge, &mut socket, &all).await? == ["b", "c"]);
    let added = subscribe(&mut socket, json!({"type": "subscribe", "contentIds": ["a"], "mode": "add"})).await?;
    ensure!(added["contentIds"] == json!(["a"]), "the reply names what the message named: {added}");
    ensure!(hears(&edge, &mut socket, &all).await? == ["a", "b", "c"]);
    socket.send(&json!({"type": "unsubscribe", "contentIds": ["b", "never subscribed"]})).await?;
    ensure!(hears(&edge, &mut socket, &all).await? == ["a", "c"]);
    socket.send(&json!({"type": "unsubscribe"})).await?;
    ensure!(hears(&edge, &mut socket, &all).await?.is_empty());
    subscribe(&mut socket, json!({"type": "subscribe", "contentIds": ["b"]})).await?;
    ensure!(hears(&edge, &mut socket, &all).await? == ["b"]);
    Ok(())
}

/// Promise: `mode: "add"` keeps the scope in force when it names none or the same, and changes nothing when it names
/// another.
#[tokio::test]
async fn adding_under_another_scope_changes_nothing() -> Result<()> {
    let edge = Edge::start(&ONE_HUB).await?;
    let mut socket = open(&edge).await?;
    subscribe(&mut socket, json!({"type": "subscribe", "contentIds": ["a"], "organizationId": "acme"})).await?;
    let other = json!({"type": "subscribe", "contentIds": ["b"], "organizationId": "globex", "mode": "add"});
    let refused = socket.ask(&other, "error").await?;
    ensure!(["invalid_field", "forbidden"].map(Value::from).contains(&refused["code"]), "{refused}");
    ensure!(hears(&edge, &mut socket, &["a", "b"]).await? == ["a"]);
    let unnamed = subscribe(&mut socket, json!({"type": "subscribe", "contentIds": ["b"], "mode": "add"})).await?;
    ensure!(unnamed["organizationId"] == "acme", "{unnamed}");
    let same = json!({"type": "subscribe", "contentIds": ["c"], "organizationId": "acme", "mode": "add"});
    subscribe(&mut socket, same).await?;
    ensure!(hears(&edge, &mut socket, &["a", "b", "c"]).await? == ["a", "b", "c"]);
    let acme = Counter::new(Some("acme"), None, "b");
    edge.api()?.count(&acme, "likes", 2).await?;
    socket.shows(&acme, "likes", 2).await
}

/// Promise: the limit on ids holds for the whole subscription; what goes beyond it changes nothing.
#[tokio::test]
async fn the_limit_on_ids_holds_for_the_whole_subscription() -> Result<()> {
    let edge = Edge::start(&[&ONE_HUB[..], &[("ANALYTICS_MAX_CONTENT_IDS", "3")]].concat()).await?;
    let mut socket = open(&edge).await?;
    let four = json!({"type": "subscribe", "contentIds": ["a", "b", "c", "d"]});
    ensure!(socket.ask(&four, "error").await?["code"] == "too_many_ids");
    subscribe(&mut socket, json!({"type": "subscribe", "contentIds": ["a", "b", "a", "b", "a"]})).await?;
    subscribe(&mut socket, json!({"type": "subscribe", "contentIds": ["a", "c"], "mode": "add"})).await?;
    let fourth = json!({"type": "subscribe", "contentIds": ["d"], "mode": "add"});
    ensure!(socket.ask(&fourth, "error").await?["code"] == "too_many_ids");
    ensure!(hears(&edge, &mut socket, &["a", "b", "c", "d"]).await? == ["a", "b", "c"]);
    Ok(())
}

/// Promise: the status counts the open sockets.
#[tokio::test]
async fn the_status_counts_open_sockets() -> Result<()> {
    let edge = Edge::start(&ONE_HUB).await?;
    let mut api = edge.api()?;
    let sockets = [Socket::open(&edge).await?, Socket::open(&edge).await?, Socket::open(&edge).await?];
    let count = async |api: &mut analytics_tests::api::Api, expected: u64| {
        analytics_tests::wait::until("the number of sockets", async || {
            (api.connected_clients().await.ok()? == expected).then_some(())
        })
        .await
    };
    count(&mut api, 3).await?;
    for socket in sockets {
        socket.close().await?;
    }
    count(&mut api, 0).await
}

/// Promise: the scope of the last subscribe stays in force for what is added, also when no id is left of it.
#[tokio::test]
async fn a_scope_outlives_its_last_id() -> Result<()> {
    let edge = Edge::start(&ONE_HUB).await?;
    let mut socket = open(&edge).await?;
    let acme = json!({"organizationId": "acme", "clientId": "shop"});
    let in_force = |reply: &Value| json!({"organizationId": reply["organizationId"], "clientId": reply["clientId"]});
    let none = json!({"type": "subscribe", "contentIds": [], "organizationId": "acme", "clientId": "shop"});
    ensure!(in_force(&subscribe(&mut socket, none).await?) == acme);
    let add = |id: &str| json!({"type": "subscribe", "mode": "add", "contentIds": [id]});
    ensure!(in_force(&subscribe(&mut socket, add("a")).await?) == acme);
    for unsubscribe in [json!({"type": "unsubscribe", "contentIds": ["a"]}), json!({"type": "unsubscribe"})] {
        socket.send(&unsubscribe).await?;
        ensure!(in_force(&subscribe(&mut socket, add("a")).await?) == acme);
    }
    Ok(())
}
