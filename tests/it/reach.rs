//! Promise: a change is heard by its own subscribers, and nobody else's connection is touched by it.

use analytics_tests::edge::Edge;
use analytics_tests::memory::Counter;
use analytics_tests::raw::{Raw, TEXT, masked};
use anyhow::{Result, ensure};
use serde_json::{Value, json};

/// 100 000 subscriptions to other contents, and some to other organizations and clients of the same one: while what one
/// socket watches changes, nothing comes to theirs; the next that each reads is the answer to what it asks then.
#[tokio::test]
async fn a_hundred_thousand_other_subscriptions_hear_nothing_of_a_change() -> Result<()> {
    const CONNECTIONS: usize = 100;
    const IDS: usize = 1000;
    const UPDATES: u64 = 50;
    // One hub: what it had for the others would be before the answers to what they ask.
    let edge = Edge::start(&[("ANALYTICS_WORKERS", "1")]).await?;
    let authority = edge.authority()?;
    let subscribe = async |message: Value| -> Result<Raw> {
        let mut raw = Raw::open(&authority).await?;
        raw.send(&masked(TEXT, message.to_string().as_bytes())).await?;
        let reply = raw.message().await?;
        ensure!(reply["type"] == "subscribed", "{reply}");
        Ok(raw)
    };
    let mut others = Vec::new();
    for connection in 0..CONNECTIONS {
        let ids: Vec<String> = (0..IDS).map(|n| format!("other {connection} {n}")).collect();
        others.push(subscribe(json!({"type": "subscribe", "contentIds": ids})).await?);
    }
    for n in 0..20 {
        let of = |organization: &str, client: Option<String>| json!({"type": "subscribe", "contentIds": ["page"], "organizationId": organization, "clientId": client});
        others.push(subscribe(of(&format!("other {n}"), None)).await?);
        others.push(subscribe(of("acme", Some(format!("other {n}")))).await?);
    }
    let mut own = [
        subscribe(json!({"type": "subscribe", "contentIds": ["page"], "organizationId": "acme", "clientId": "one"}))
            .await?,
        subscribe(json!({"type": "subscribe", "contentIds": ["page"], "organizationId": "acme"})).await?,
    ];
    let mut api = edge.api()?;
    let counter = Counter::new(Some("acme"), Some("one"), "page");
    for _ in 0..UPDATES {
        api.count(&counter, "likes", 1).await?;
    }
    for own in &mut own {
        loop {
            let message = own.message().await?;
            ensure!(message["type"] == "analytics_update", "{message}");
            if message["field"] == "likes" && message["value"] == UPDATES {
                break;
            }
        }
    }
    for other in &mut others {
        other.send(&masked(TEXT, br#"{"type":"ping"}"#)).await?;
        let message = other.message().await?;
        ensure!(message["type"] == "pong", "{message}");
    }
    Ok(())
}
