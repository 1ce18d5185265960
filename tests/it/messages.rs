//! Promise: a message that is not understood gets an `error` that says why, and the connection lives.

use analytics_tests::edge::Edge;
use analytics_tests::memory::Counter;
use analytics_tests::socket::Socket;
use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::Message;

/// A text, the code it must get, and what the error must name.
fn bad_messages() -> Vec<(String, &'static str, &'static str)> {
    let text = |text: &str, code, named| (text.to_owned(), code, named);
    let subscribe = |fields: Value, named| {
        let mut message = json!({"type": "subscribe"});
        if let (Some(message), Some(fields)) = (message.as_object_mut(), fields.as_object()) {
            message.extend(fields.clone());
        }
        (message.to_string(), "invalid_field", named)
    };
    let ids = |ids: Value| json!({ "contentIds": ids });
    vec![
        text("", "invalid_json", ""),
        text("not json", "invalid_json", ""),
        text("{\"type\":\"ping\"", "invalid_json", ""),
        text("{\"type\":\"ping\"} {}", "invalid_json", ""),
        text("\u{0}", "invalid_json", ""),
        (r#"{"type":"ping","x":"#.to_owned() + &"[".repeat(10_000), "invalid_json", ""),
        text("[]", "invalid_message", ""),
        text("\"ping\"", "invalid_message", ""),
        text("42", "invalid_message", ""),
        text("null", "invalid_message", ""),
        text("{}", "invalid_message", "type"),
        text(r#"{"type":null}"#, "invalid_message", "type"),
        text(r#"{"type":5}"#, "invalid_message", "type"),
        text(r#"{"type":"Ping"}"#, "invalid_message", "type"),
        text(r#"{"type":"connected"}"#, "invalid_message", "type"),
        subscribe(json!({}), "contentIds"),
        subscribe(ids(Value::Null), "contentIds"),
        subscribe(ids(json!("a")), "contentIds"),
        subscribe(ids(json!({"0": "a"})), "contentIds"),
        subscribe(ids(json!(["a", 5])), "contentIds"),
        subscribe(ids(json!(["a", null])), "contentIds"),
        subscribe(ids(json!([""])), "contentIds"),
        subscribe(ids(json!(["a\nb"])), "contentIds"),
        subscribe(ids(json!(["a\u{85}b"])), "contentIds"),
        subscribe(ids(json!(["x".repeat(257)])), "contentIds"),
        subscribe(ids(json!(["é".repeat(129)])), "contentIds"),
        subscribe(json!({"contentIds": ["a"], "organizationId": 7}), "organizationId"),
        subscribe(json!({"contentIds": ["a"], "organizationId": ""}), "organizationId"),
        subscribe(json!({"contentIds": ["a"], "organizationId": "o", "clientId": ["c"]}), "clientId"),
        subscribe(json!({"contentIds": ["a"], "clientId": "c"}), "clientId"),
        subscribe(json!({"contentIds": ["a"], "mode": "replace"}), "mode"),
        subscribe(json!({"contentIds": ["a"], "mode": 1}), "mode"),
        text(r#"{"type":"unsubscribe","contentIds":"a"}"#, "invalid_field", "contentIds"),
        text(r#"{"type":"unsubscribe","contentIds":[1]}"#, "invalid_field", "contentIds"),
        text(r#"{"type":"authenticate"}"#, "invalid_field", "token"),
        text(r#"{"type":"authenticate","token":""}"#, "invalid_field", "token"),
        text(r#"{"type":"authenticate","token":{}}"#, "invalid_field", "token"),
    ]
}

/// Promise: every kind of bad message gets an `error` with the right code, naming the field if there is one; nothing
/// changes, and the connection answers and hears as before.
#[tokio::test]
async fn a_bad_message_gets_an_error_and_the_connection_lives() -> Result<()> {
    let edge = Edge::start(&[("ANALYTICS_MESSAGES_PER_SECOND", "1000")]).await?;
    let mut socket = Socket::open(&edge).await?;
    let subscribe = json!({"type": "subscribe", "contentIds": ["still watched"]});
    socket.ask(&subscribe, "subscribed").await?;
    for (text, code, named) in bad_messages() {
        let short: String = text.chars().take(80).collect();
        socket.send_text(&text).await?;
        let error = socket.reply("error").await.context(short.clone())?;
        ensure!(error["code"] == code, "{short}: expected {code}, got {error}");
        ensure!(error["error"].as_str().is_some_and(|text| text.contains(named)), "{short}: {error} names no {named}");
        ensure!(error["timestamp"].is_u64(), "{error}");
        socket.ask(&json!({"type": "ping"}), "pong").await.context(short)?;
    }
    let counter = Counter::public("still watched");
    let (value, _) = edge.api()?.count(&counter, "views", 1).await?;
    socket.shows(&counter, "views", value).await
}

/// Promise: a binary message gets an `error` and the connection lives, however the message is filled.
#[tokio::test]
async fn a_binary_message_gets_an_error_and_the_connection_lives() -> Result<()> {
    let edge = Edge::start(&[]).await?;
    let mut socket = Socket::open(&edge).await?;
    for payload in [&b""[..], br#"{"type":"ping"}"#, &[0xff, 0xfe, 0x00]] {
        socket.send_message(Message::binary(payload.to_vec())).await?;
        let error = socket.reply("error").await?;
        ensure!(error["code"] == "binary_unsupported", "{error}");
        socket.ask(&json!({"type": "ping"}), "pong").await?;
    }
    Ok(())
}

/// Promise: too many different ids get an `error`; as many as allowed, however often each is named, do not.
#[tokio::test]
async fn more_ids_than_allowed_get_an_error() -> Result<()> {
    let edge = Edge::start(&[]).await?;
    let mut socket = Socket::open(&edge).await?;
    let ids: Vec<String> = (0..1001).map(|index| index.to_string()).collect();
    let error = socket.ask(&json!({"type": "subscribe", "contentIds": ids}), "error").await?;
    ensure!(error["code"] == "too_many_ids", "{error}");
    ensure!(error["error"].as_str().is_some_and(|text| text.contains("contentIds")), "{error}");
    let allowed: Vec<&String> = ids.iter().take(1000).chain(ids.iter().take(1000)).collect();
    let subscribed = socket.ask(&json!({"type": "subscribe", "contentIds": allowed}), "subscribed").await?;
    ensure!(subscribed["contentIds"].as_array().is_some_and(|ids| ids.len() == 1000), "{subscribed}");
    Ok(())
}

/// Promise: ids are compared byte by byte and may hold whatever is no control character.
#[tokio::test]
async fn ids_are_any_text_compared_byte_by_byte() -> Result<()> {
    let edge = Edge::start(&[]).await?;
    let mut api = edge.api()?;
    let ids = [
        " ",
        " a",
        "a ",
        "A",
        "a",
        "é",
        "e\u{301}",
        "a,b",
        "a/b?c=d&e#f%20",
        "\"\\{}[]",
        "日本語",
        "👍🏽",
        "\u{202e}x",
        "\u{feff}a",
        "..",
        "__proto__",
        &"x".repeat(256),
    ];
    let mut socket = Socket::open(&edge).await?;
    socket.ask(&json!({"type": "subscribe", "contentIds": ids}), "subscribed").await?;
    for (index, id) in ids.iter().enumerate() {
        api.count(&Counter::public(id), "views", index as i64 + 1).await?;
    }
    for (index, id) in ids.iter().enumerate() {
        socket.shows(&Counter::public(id), "views", index as u64 + 1).await?;
        ensure!(api.value(&Counter::public(id), "views").await? == index as u64 + 1, "{id:?} is another in the store");
    }
    Ok(())
}
