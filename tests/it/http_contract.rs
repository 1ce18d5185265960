//! Promise: every HTTP call answers as the contract says; bad input gets the right status and code, a JSON error that
//! names the field, and changes nothing.

use analytics_tests::api::{CONTENT, TRIGGER, encode, update};
use analytics_tests::edge::Edge;
use analytics_tests::memory::Counter;
use anyhow::{Context, Result, ensure};
use bytes::Bytes;
use http::Method;
use serde_json::{Value, json};

const JSON: (&str, &str) = ("content-type", "application/json");

/// A call, what it must be refused with, and what the error must name.
struct Bad {
    method: Method,
    path: String,
    headers: Vec<(&'static str, String)>,
    body: Bytes,
    status: u16,
    code: &'static str,
    named: &'static str,
}

fn post(body: impl Into<Bytes>, status: u16, code: &'static str, named: &'static str) -> Bad {
    let headers = vec![(JSON.0, JSON.1.to_owned())];
    Bad { method: Method::POST, path: TRIGGER.to_owned(), headers, body: body.into(), status, code, named }
}

/// A valid update with one field changed; `null` removes nothing, for absent and `null` are the same.
fn field(name: &str, value: Value, named: &'static str) -> Bad {
    let mut body = update(&Counter::public("watched"), "views", 1);
    body[name] = value;
    post(body.to_string(), 400, "invalid_field", named)
}

fn get(query: impl AsRef<str>, status: u16, code: &'static str, named: &'static str) -> Bad {
    let path = format!("{CONTENT}{}", query.as_ref());
    Bad { method: Method::GET, path, headers: vec![], body: Bytes::new(), status, code, named }
}

fn request(method: Method, path: &str, status: u16, code: &'static str) -> Bad {
    Bad { method, path: path.to_owned(), headers: vec![], body: Bytes::new(), status, code, named: "" }
}

fn with_header(name: &'static str, value: impl Into<String>, bad: Bad) -> Bad {
    Bad { headers: [bad.headers, vec![(name, value.into())]].concat(), ..bad }
}

fn valid() -> String {
    update(&Counter::public("watched"), "views", 1).to_string()
}

fn bad_bodies() -> Vec<Bad> {
    let batch = |updates: Value| post(json!({ "updates": updates }).to_string(), 400, "invalid_field", "updates");
    let one = json!({"contentId": "watched", "field": "views"});
    vec![
        post("", 400, "invalid_json", ""),
        post("{", 400, "invalid_json", ""),
        post("contentId=watched&field=views", 400, "invalid_json", ""),
        post(&b"{\"contentId\":\"\xff\",\"field\":\"views\"}"[..], 400, "invalid_json", ""),
        post("[".repeat(100_000), 400, "invalid_json", ""),
        post("[]", 400, "invalid_field", ""),
        post("null", 400, "invalid_field", ""),
        post("{}", 400, "invalid_field", "contentId"),
        field("contentId", Value::Null, "contentId"),
        field("contentId", json!(5), "contentId"),
        field("contentId", json!(""), "contentId"),
        field("contentId", json!("a\u{7f}b"), "contentId"),
        field("contentId", json!("x".repeat(257)), "contentId"),
        field("field", Value::Null, "field"),
        field("field", json!("dislikes"), "field"),
        field("field", json!("Views"), "field"),
        field("field", json!(["views"]), "field"),
        field("increment", json!(0), "increment"),
        field("increment", json!(1.5), "increment"),
        field("increment", json!("1"), "increment"),
        field("increment", json!(true), "increment"),
        field("increment", json!(1_000_000_001), "increment"),
        field("increment", json!(-1_000_000_001), "increment"),
        field("increment", json!(u64::MAX), "increment"),
        field("organizationId", json!(5), "organizationId"),
        field("organizationId", json!(""), "organizationId"),
        field("clientId", json!("a client without an organization"), "clientId"),
        field("clientId", json!({}), "clientId"),
        batch(json!([])),
        batch(json!({"0": one})),
        batch(json!("watched")),
        batch(json!(vec![one; 101])),
        post(update(&Counter::public("watched"), "likes", -1).to_string(), 409, "out_of_range", "likes"),
        post(format!("{{\"contentId\":\"{}\"}}", "x".repeat(1 << 20)), 413, "too_large", ""),
    ]
}

fn bad_calls() -> Vec<Bad> {
    let hundred_and_one: Vec<String> = (0..101).map(|index| format!("id={index}")).collect();
    let untyped = || Bad { headers: vec![], ..post(valid(), 415, "unsupported_media_type", "") };
    let keyed = |key: &str| with_header("idempotency-key", key, post(valid(), 400, "invalid_field", "Idempotency-Key"));
    vec![
        untyped(),
        with_header("content-type", "text/plain", untyped()),
        with_header("content-type", "application/jsonp", untyped()),
        with_header("content-type", "application/x-www-form-urlencoded", untyped()),
        keyed(""),
        keyed("two words"),
        keyed(&"k".repeat(129)),
        get("", 400, "invalid_field", "id"),
        get("?", 400, "invalid_field", "id"),
        get("?type=article", 400, "invalid_field", "id"),
        get("?id=", 400, "invalid_field", "id"),
        get("?id=a%00b", 400, "invalid_field", "id"),
        get("?id=%ff", 400, "invalid_field", "id"),
        get(format!("?id={}", "x".repeat(257)), 400, "invalid_field", "id"),
        get("?id=watched&clientId=web", 400, "invalid_field", "clientId"),
        get("?id=watched&organizationId=", 400, "invalid_field", "organizationId"),
        get("?id=watched&type=no-such-type", 400, "invalid_field", "type"),
        get(format!("?{}", hundred_and_one.join("&")), 400, "too_many_ids", "id"),
        request(Method::PUT, TRIGGER, 405, "method_not_allowed"),
        request(Method::DELETE, TRIGGER, 405, "method_not_allowed"),
        request(Method::POST, CONTENT, 405, "method_not_allowed"),
        request(Method::PATCH, CONTENT, 405, "method_not_allowed"),
        request(Method::POST, "/health", 405, "method_not_allowed"),
        request(Method::DELETE, "/ready", 405, "method_not_allowed"),
        request(Method::GET, "/analytics", 426, "upgrade_required"),
        request(Method::GET, "/api/analytics", 404, "not_found"),
        request(Method::GET, "/api/analytics/contents?id=a", 404, "not_found"),
        request(Method::GET, "/API/analytics/content?id=a", 404, "not_found"),
        request(Method::GET, "/api//analytics/content?id=a", 404, "not_found"),
        request(Method::GET, "/no/such/page", 404, "not_found"),
    ]
}

/// Promise: bad input to every call gets the right status and code, in JSON, naming the field; afterwards nothing
/// changed.
#[tokio::test]
async fn bad_input_is_refused_by_name_and_changes_nothing() -> Result<()> {
    let edge = Edge::start(&[]).await?;
    let mut api = edge.api()?;
    api.count(&Counter::public("watched"), "views", 5).await?;
    let watched = async |api: &mut analytics_tests::api::Api| api.content(&["watched"], None, None).await;
    let before = watched(&mut api).await?;
    for bad in bad_bodies().into_iter().chain(bad_calls()) {
        let headers: Vec<(&str, &str)> = bad.headers.iter().map(|(name, value)| (*name, value.as_str())).collect();
        let body: String = String::from_utf8_lossy(&bad.body).chars().take(100).collect();
        let what = format!("{} {:.100} {headers:?} {body}", bad.method, bad.path);
        let reply = api.http.send(bad.method.clone(), &bad.path, &headers, bad.body).await.context(what.clone())?;
        let (status, code) = reply.outcome();
        let expected = (bad.status, bad.code);
        ensure!((status, code.as_str()) == expected, "{what}: expected {expected:?}, got {status} {}", reply.text());
        let error = reply.json()?;
        ensure!(error["success"] == false, "{what}: {error}");
        ensure!(error["error"].as_str().is_some_and(|text| text.contains(bad.named)), "{what}: {error}");
        let content_type = reply.header("content-type").unwrap_or_default();
        ensure!(content_type.starts_with("application/json"), "{what}: {content_type}");
        ensure!(bad.status != 405 || reply.header("allow").is_some_and(|allow| !allow.is_empty()), "{what}: no Allow");
    }
    ensure!(watched(&mut api).await? == before, "something changed");
    Ok(())
}

/// Promise: an unknown content type's error names the known ones.
#[tokio::test]
async fn an_unknown_type_is_told_the_known_ones() -> Result<()> {
    let edge = Edge::start(&[]).await?;
    let mut api = edge.api()?;
    let reply = api.http.get(&format!("{CONTENT}?id=a&type=no-such-type")).await?;
    let error = reply.json()?["error"].as_str().unwrap_or_default().to_owned();
    let config = api.http.get("/api/analytics/performance-config").await?;
    ensure!(config.status == 200, "{}", config.text());
    // Whatever the list is, each name on it must be accepted.
    let known: Vec<&str> = error
        .split(|character: char| !character.is_alphanumeric() && character != '-' && character != '_')
        .filter(|word| word.len() > 3)
        .collect();
    let mut accepted = 0;
    for word in known {
        let reply = api.http.get(&format!("{CONTENT}?id=a&type={}", encode(word))).await?;
        accepted += usize::from(reply.status == 200);
    }
    ensure!(accepted > 0, "no known type is named: {error}");
    Ok(())
}

/// Promise: a single update is answered with the counter's value, version and time right after it.
#[tokio::test]
async fn an_update_is_answered_with_value_version_and_time() -> Result<()> {
    let edge = Edge::start(&[]).await?;
    let mut api = edge.api()?;
    let counter = Counter::new(Some("acme"), Some("web"), "article");
    let first = api.trigger(&update(&counter, "likes", 3), None).await?;
    ensure!(first.status == 200, "{}", first.text());
    let first = first.json()?;
    ensure!(first["success"] == true && first["field"] == "likes" && first["value"] == 3, "{first}");
    ensure!(Counter::of_message(&first) == counter && first["timestamp"].is_u64(), "{first}");
    let second = api.trigger(&update(&counter, "likes", -1), None).await?.json()?;
    ensure!(second["value"] == 2, "{second}");
    ensure!(second["version"].as_u64() == first["version"].as_u64().map(|version| version + 1), "{second}");
    let charset = [("content-type", "application/json; charset=utf-8")];
    let body = Bytes::from(json!({"contentId": "defaults", "field": "views", "increment": null, "x": 1}).to_string());
    let reply = api.http.send(Method::POST, &format!("{TRIGGER}/"), &charset, body).await?;
    ensure!(reply.status == 200 && reply.json()?["value"] == 1, "{}", reply.text());
    Ok(())
}

/// Promise: the members of a batch are answered in order, each by itself; the updates of one counter apply in order.
#[tokio::test]
async fn the_members_of_a_batch_stand_alone_and_in_order() -> Result<()> {
    let edge = Edge::start(&[]).await?;
    let mut api = edge.api()?;
    let body = json!({"updates": [
        {"contentId": "a", "field": "likes", "increment": 2},
        {"contentId": "a", "field": "likes", "increment": -3},
        {"contentId": "a", "field": "dislikes"},
        "no object",
        {"contentId": "a", "field": "likes", "increment": -2},
        {"contentId": "a", "field": "likes", "increment": -1},
        {"contentId": "b", "field": "views", "clientId": "c"},
        {"contentId": "b", "field": "views"},
    ]});
    let reply = api.trigger(&body, None).await?;
    ensure!(reply.status == 200, "{}", reply.text());
    let reply = reply.json()?;
    let results = reply["results"].as_array().context("results")?;
    let found: Vec<String> = results
        .iter()
        .map(|result| match result["success"].as_bool() {
            Some(true) => format!("{} = {}", result["contentId"], result["value"]),
            _ => result["code"].as_str().unwrap_or("no code").to_owned(),
        })
        .collect();
    let expected = [
        "\"a\" = 2",
        "out_of_range",
        "invalid_field",
        "invalid_field",
        "\"a\" = 0",
        "out_of_range",
        "invalid_field",
        "\"b\" = 1",
    ];
    ensure!(found == expected, "{found:?}");
    ensure!(results[2]["error"].as_str().is_some_and(|error| error.contains("field")), "{reply}");
    Ok(())
}

/// Promise: a count stays within 0 and 2^53−1; an increment beyond is refused and changes nothing.
#[tokio::test]
async fn a_count_stays_within_its_range() -> Result<()> {
    let edge = Edge::start(&[]).await?;
    let mut api = edge.api()?;
    // 2^53−1 takes nine million of the largest increments; the lower end shows the rule at what a test can reach.
    let counter = Counter::public("article");
    let (value, version) = api.count(&counter, "comments", 1_000_000_000).await?;
    for increment in [-1_000_000_000, -1] {
        let reply = api.trigger(&update(&counter, "comments", increment), None).await?;
        let expected = if increment == -1 { (409, "out_of_range") } else { (200, "") };
        let (status, code) = reply.outcome();
        ensure!((status, code.as_str()) == expected, "{}", reply.text());
    }
    ensure!(value == 1_000_000_000, "{value}");
    let content = api.content(&["article"], None, None).await?;
    ensure!(content[0]["comments"] == 0 && content[0]["version"] == version + 1, "{content:?}");
    Ok(())
}

/// Promise: contents are read with every visible counter, repeated ids once, and ids never counted with zeros at the
/// base.
#[tokio::test]
async fn contents_are_read_with_every_visible_counter() -> Result<()> {
    let edge = Edge::start(&[]).await?;
    let mut api = edge.api()?;
    let counters = [
        Counter::public("a"),
        Counter::new(Some("acme"), None, "a"),
        Counter::new(Some("acme"), Some("web"), "a"),
        Counter::new(Some("acme"), Some("app"), "a"),
        Counter::new(Some("globex"), None, "a"),
    ];
    for (index, counter) in counters.iter().enumerate() {
        api.count(counter, "views", index as i64 + 1).await?;
    }
    for (organization, client, expected) in [
        (None, None, vec![1]),
        (Some("acme"), None, vec![1, 2, 3, 4]),
        (Some("acme"), Some("web"), vec![1, 2, 3]),
        (Some("globex"), Some("web"), vec![1, 5]),
        (Some("other"), None, vec![1]),
    ] {
        let content = api.content(&["a", "a"], organization, client).await?;
        let mut views: Vec<u64> = content.iter().filter_map(|entry| entry["views"].as_u64()).collect();
        views.sort_unstable();
        ensure!(views == expected, "{organization:?} {client:?}: {content:?}");
        for entry in &content {
            let complete = entry["timestamp"].is_u64() && entry["score"].is_number() && entry["rating"].is_string();
            ensure!(complete, "{entry}");
        }
    }
    // `ids` is split after decoding, so a comma in an id needs `id`.
    let reply = api.http.get(&format!("{CONTENT}?ids=a%2Cnever,also%20never&id=with%2Ccomma&type=")).await?;
    let reply = if reply.status == 200 {
        reply
    } else {
        api.http.get(&format!("{CONTENT}?ids=a%2Cnever,also%20never&id=with%2Ccomma")).await?
    };
    let body = reply.json()?;
    let base = body["base"].as_u64().with_context(|| format!("no base in {body}"))?;
    let content = body["content"].as_array().context("content")?;
    let mut ids: Vec<&str> = content.iter().filter_map(|entry| entry["contentId"].as_str()).collect();
    ids.sort_unstable();
    ensure!(ids == ["a", "also never", "never", "with,comma"], "{body}");
    for entry in content.iter().filter(|entry| entry["contentId"] != "a") {
        let zeros = ["views", "likes", "shares", "comments"].iter().all(|field| entry[*field] == 0);
        ensure!(zeros && entry["version"] == base, "{entry} is not at the base {base}");
    }
    Ok(())
}

/// Promise: HEAD works where GET does: the same status and headers, no body.
#[tokio::test]
async fn head_works_where_get_does() -> Result<()> {
    let edge = Edge::start(&[]).await?;
    let mut http = edge.api()?.http;
    let content = format!("{CONTENT}?id=a");
    for path in [TRIGGER, &content, "/api/analytics/performance-config", "/health", "/ready", "/health/", "/no/such"] {
        let get = http.get(path).await?;
        let head = http.send(Method::HEAD, path, &[], Bytes::new()).await?;
        ensure!(head.status == get.status, "{path}: {} and {}", head.status, get.status);
        ensure!(head.header("content-type") == get.header("content-type"), "{path}: another content type");
        ensure!(head.body.is_empty(), "{path}: a body after HEAD");
    }
    Ok(())
}

/// Promise: status, health and readiness answer as the contract says, on both ports of the service; metrics answer on
/// the admin listener.
#[tokio::test]
async fn status_health_ready_and_metrics_answer() -> Result<()> {
    let edge = Edge::start(&[("ANALYTICS_API_PORT", "0")]).await?;
    let listening = edge.listening()?;
    let api = listening.api.context("the log names the second port")?;
    for address in [listening.ws, api] {
        let mut http = analytics_tests::http::Http::new(address.to_string());
        let health = http.get("/health").await?;
        ensure!(health.status == 200 && health.json()?["status"] == "ok", "{}", health.text());
        let ready = http.get("/ready").await?;
        ensure!(ready.status == 200 && ready.json()?["status"] == "ok", "{}", ready.text());
        let status = http.get(TRIGGER).await?.json()?["status"].clone();
        ensure!(status["simulationRunning"] == false && status["timestamp"].is_u64(), "{status}");
        ensure!(status["connectedClients"] == 0, "{status}");
    }
    let metrics = analytics_tests::http::Http::new(listening.admin.to_string()).get("/metrics").await?;
    ensure!(metrics.status == 200 && metrics.text().contains("# TYPE"), "{}", metrics.text());
    Ok(())
}

/// Promise: a body that is broken or cut short is answered in words and readable by the page that sent it; a target
/// that is no path and a missing `Host` are refused by name; nothing changes.
#[tokio::test]
async fn broken_requests_are_answered_in_words() -> Result<()> {
    let edge = Edge::start(&[]).await?;
    let authority = edge.authority()?;
    let post = |framing: &str, body: &str| {
        format!(
            "POST {TRIGGER} HTTP/1.1\r\nHost: {authority}\r\nOrigin: https://page.example\r\n\
             Content-Type: application/json\r\n{framing}\r\n\r\n{body}"
        )
    };
    for (what, request, named) in [
        ("a chunk without a size", post("Transfer-Encoding: chunked", "zz\r\n"), "invalid_json"),
        ("a chunk of 2^64-1 bytes", post("Transfer-Encoding: chunked", "ffffffffffffffff\r\n"), "invalid_json"),
        ("a target without a slash", format!("GET health HTTP/1.1\r\nHost: {authority}\r\n\r\n"), "invalid_field"),
        ("no host", "GET /health HTTP/1.1\r\n\r\n".to_owned(), "invalid_field"),
    ] {
        let mut raw = analytics_tests::raw::Raw::connect(&authority).await?;
        raw.send(request.as_bytes()).await?;
        let head = raw.head().await.context(what)?;
        ensure!(head.starts_with("HTTP/1.1 400 "), "{what}: {head}");
        if request.contains("Origin") {
            ensure!(
                head.to_lowercase().contains("access-control-allow-origin: https://page.example"),
                "{what}: {head}"
            );
        }
        let body = raw.rest().await?;
        ensure!(body.contains(named), "{what}: {body}");
    }
    Ok(())
}
