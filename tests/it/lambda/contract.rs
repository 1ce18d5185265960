//! The contract by the function's URL. The rule: what the proxy answers, the function answers, to the header.

use std::collections::HashSet;

use analytics_tests::api::{CONTENT, TRIGGER, encode, update};
use analytics_tests::lambda::TRIGGER_UPDATE;
use analytics_tests::memory::Counter;
use analytics_tests::token::Token;
use anyhow::{Context, Result, ensure};
use bytes::Bytes;
use http::Method;
use lambda_trigger::Presence;
use lambda_trigger::dynamodb::DynamoPresence;
use serde_json::{Value, json};

use super::{beside, production};

const JSON: (&str, &str) = ("content-type", "application/json");

/// Promise: an increment is counted and told, alone and in a batch, and under a key only once; a poll shows it.
#[tokio::test]
async fn increments_are_counted_and_shown() -> Result<()> {
    let token = Token::of(Some("acme"), None, true).mint()?;
    let mut api = production().await?.api().with_token(&token);
    // Whatever an id holds, nothing on the way may decode it once too often.
    let counter = Counter::new(Some("acme"), Some("shop&1=+%2B"), "a/b?c=d%20é+ ..;");
    let (value, version) = api.count(&counter, "views", 3).await?;
    ensure!((value, version) == (3, 1), "value {value}, version {version}");

    let body = update(&counter, "likes", 2);
    for replayed in [None, Some("true")] {
        let reply = api.trigger(&body, Some("once")).await?;
        ensure!(reply.status == 200 && reply.json()?["value"] == 2, "{}: {}", reply.status, reply.text());
        ensure!(reply.header("idempotency-replayed") == replayed, "{:?}", reply.headers);
    }
    let other = api.trigger(&update(&counter, "likes", 3), Some("once")).await?;
    ensure!(other.outcome() == (422, "idempotency_mismatch".to_owned()), "{}", other.text());

    let foreign = Counter::new(Some("globex"), None, "x");
    let members = [update(&counter, "views", 1), update(&foreign, "views", 1), update(&counter, "likes", -5)];
    let reply = api.trigger(&json!({ "updates": members }), None).await?;
    let results = reply.json()?["results"].as_array().cloned().context("no results")?;
    let codes: Vec<&str> = results.iter().map(|result| result["code"].as_str().unwrap_or("ok")).collect();
    ensure!(codes == ["ok", "forbidden", "out_of_range"], "{}", reply.text());

    for (field, value) in [("views", 4), ("likes", 2)] {
        let read = api.value(&counter, field).await?;
        ensure!(read == value, "{field} is {read}, not {value}");
    }
    let path = format!("{CONTENT}?id={}", encode(&counter.content));
    let authorization = format!("Bearer {token}");
    let headers = [("authorization", authorization.as_str())];
    let get = api.http.send(Method::GET, &path, &headers, Bytes::new()).await?;
    let head = api.http.send(Method::HEAD, &path, &headers, Bytes::new()).await?;
    ensure!(head.status == 200 && head.body.is_empty(), "{}: {}", head.status, head.text());
    ensure!(head.header("content-type") == get.header("content-type"), "{:?}", head.headers);
    Ok(())
}

/// Promise: the function is in production unless it is told otherwise: without a good token nobody counts or reads.
#[tokio::test]
async fn nobody_counts_or_reads_without_a_good_token() -> Result<()> {
    let function = production().await?;
    let counter = Counter::new(Some("acme"), None, "guarded");
    let (reader, writer) = (Token::of(Some("acme"), None, false), Token::of(Some("globex"), None, true));
    let ended = Token::of(Some("acme"), None, true).claim("exp", json!(1));
    let body = update(&counter, "views", 1);
    for (token, expected) in [
        (None, (401, "unauthorized")),
        (Some("nonsense".to_owned()), (401, "unauthorized")),
        (Some(ended.mint()?), (401, "unauthorized")),
        (Some(reader.mint()?), (403, "forbidden")),
        (Some(writer.mint()?), (403, "forbidden")),
    ] {
        let mut api = function.api();
        if let Some(token) = &token {
            api = api.with_token(token);
        }
        let outcome = api.trigger(&body, None).await?.outcome();
        ensure!(outcome == (expected.0, expected.1.to_owned()), "{token:?}: {outcome:?}");
        ensure!(!function.log().contains(token.as_deref().unwrap_or("Bearer")), "a token is in the log");
    }
    let mut api = function.api();
    let outcome = api.read(&["guarded"], None, None).await?.outcome();
    ensure!(outcome == (401, "unauthorized".to_owned()), "{outcome:?}");
    let path = format!("{CONTENT}?id=guarded&token={}", encode(&reader.mint()?));
    let reply = api.http.get(&path).await?;
    ensure!(reply.status == 200 && reply.json()?["content"][0]["views"] == 0, "{}", reply.text());
    Ok(())
}

/// Promise: preflights and calls of pages are judged by the `Host` that the page's browser named, port included.
#[tokio::test]
async fn pages_of_the_functions_own_host_may_call() -> Result<()> {
    let function = production().await?;
    let mut api = function.api();
    let own = format!("https://{}", function.authority());
    let preflight = |origin: &str| {
        let method = ("access-control-request-method", "POST".to_owned());
        [("origin", origin.to_owned()), method, ("access-control-request-headers", "authorization".to_owned())]
    };
    for (origin, status) in [(own.as_str(), 204), ("https://127.0.0.1:1", 403), ("https://localhost", 403)] {
        let headers = preflight(origin);
        let headers = headers.each_ref().map(|(name, value)| (*name, value.as_str()));
        let reply = api.http.send(Method::OPTIONS, TRIGGER, &headers, Bytes::new()).await?;
        let allowed = reply.header("access-control-allow-origin");
        ensure!(reply.status == status, "{origin}: {} {:?}", reply.status, reply.headers);
        ensure!(allowed == (status == 204).then_some(origin), "{origin}: {:?}", reply.headers);
        ensure!(reply.header("vary") == Some("Origin"), "{origin}: {:?}", reply.headers);
    }
    let reply = api.http.send(Method::POST, TRIGGER, &[("origin", &own), JSON], Bytes::from_static(b"{}")).await?;
    ensure!(reply.outcome() == (401, "unauthorized".to_owned()), "{}", reply.text());
    ensure!(reply.header("access-control-allow-origin") == Some(own.as_str()), "{:?}", reply.headers);
    ensure!(reply.header("www-authenticate").is_some(), "{:?}", reply.headers);
    Ok(())
}

/// Promise: what is not in order is refused by name, and the body's limit holds.
#[tokio::test]
async fn what_is_not_in_order_is_refused() -> Result<()> {
    let token = Token::platform().mint()?;
    let authorization = format!("Bearer {token}");
    let mut api = production().await?.api();
    let large = " ".repeat(2 << 20);
    let cases = [
        (Method::GET, "/", "application/json", "", (404, "not_found")),
        (Method::GET, "/api/analytics/trigger-update/more", "application/json", "", (404, "not_found")),
        (Method::GET, "/api/x/../analytics/trigger-update", "application/json", "", (404, "not_found")),
        (Method::DELETE, TRIGGER, "application/json", "", (405, "method_not_allowed")),
        (Method::POST, CONTENT, "application/json", "", (405, "method_not_allowed")),
        (Method::POST, TRIGGER, "text/plain", "{}", (415, "unsupported_media_type")),
        (Method::POST, TRIGGER, "application/json", "{", (400, "invalid_json")),
        (Method::POST, TRIGGER, "application/json", "{\"contentId\":\"a\"}", (400, "invalid_field")),
        (Method::POST, TRIGGER, "application/json", large.as_str(), (413, "too_large")),
    ];
    for (method, path, content_type, body, expected) in cases {
        let headers = [("content-type", content_type), ("authorization", authorization.as_str())];
        let reply = api.http.send(method.clone(), path, &headers, Bytes::from(body.to_owned())).await?;
        ensure!(reply.outcome() == (expected.0, expected.1.to_owned()), "{method} {path}: {}", reply.text());
        ensure!(reply.header("allow").is_some() == (expected.0 == 405), "{method} {path}: {:?}", reply.headers);
    }
    Ok(())
}

/// Promise: a body that comes in base64 is read as what it was, and an event that is no request costs its own call only.
#[tokio::test]
async fn events_come_as_they_may() -> Result<()> {
    let function = production().await?;
    let token = Token::platform().mint()?;
    let event = |host: &str, body: &str| {
        json!({
            "version": "2.0", "routeKey": "$default", "rawPath": TRIGGER, "rawQueryString": "",
            "headers": {"host": host, "content-type": "application/json", "authorization": format!("Bearer {token}")},
            "requestContext": {"stage": "$default", "http": {"method": "POST", "path": TRIGGER, "protocol": "HTTP/1.1"}},
            "body": body, "isBase64Encoded": true,
        })
    };
    // {"contentId":"encoded","field":"views"}, and a byte that is no UTF-8.
    let (good, bad) = ("eyJjb250ZW50SWQiOiJlbmNvZGVkIiwiZmllbGQiOiJ2aWV3cyJ9", "/w==");
    for (body, status, told) in [(good, 200, json!(true)), (bad, 400, json!(false))] {
        let (_, answer) = function.invoke(TRIGGER_UPDATE, &event("x.example", body)).await?;
        ensure!(answer["statusCode"] == status && answer["isBase64Encoded"] == false, "{answer}");
        let told_body: Value = serde_json::from_str(answer["body"].as_str().context("no body")?)?;
        ensure!(told_body["success"] == told, "{told_body}");
    }
    for broken in [event("no host", good), event("x.example", "no base64"), json!({"Records": []}), json!(5)] {
        let (status, answer) = function.invoke(TRIGGER_UPDATE, &broken).await?;
        ensure!(status == 500 && answer["errorMessage"].is_string(), "{status}: {answer}");
    }
    let answers = function.api().http.get("/api/analytics/performance-config").await?;
    ensure!(answers.status == 200, "{}", answers.text());
    Ok(())
}

/// Promise: the status sums what every proxy said of itself.
#[tokio::test]
async fn the_status_sums_all_proxies() -> Result<()> {
    let (client, options) = beside().await?;
    let presence = DynamoPresence::new(client, &options);
    let mut api = production().await?.api();
    ensure!(api.connected_clients().await? == 0);
    presence.beat("one", 5).await?;
    presence.beat("two", 7).await?;
    let body = api.http.get(TRIGGER).await?.json()?;
    let status = body["status"].as_object().context("no status")?;
    ensure!(status["connectedClients"] == 12 && status["simulationRunning"] == false, "{body}");
    let names: HashSet<&str> = status.keys().map(String::as_str).collect();
    ensure!(names == HashSet::from(["simulationRunning", "connectedClients", "timestamp"]), "{body}");
    Ok(())
}
