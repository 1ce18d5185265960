//! The handler's own part: routes, order of checks, headers, and how outcomes are told. What a store does with the
//! writes is tested with real stores elsewhere; the one here is told what to answer and keeps what it was asked.

use std::collections::VecDeque;
use std::pin::pin;
use std::sync::Mutex;
use std::task::{Context, Poll as Polled, Waker};
use std::time::Duration;

use analytics_shared::counts::Versioned;
use analytics_shared::{Counter, CounterState, Counts, Field, Id, OutOfRange, Scope, Topic};
use async_trait::async_trait;
use http::header::{ALLOW, CONTENT_LENGTH, RETRY_AFTER};
use serde_json::{Value, json};

use super::*;
use crate::auth::Mode;
use crate::store::{Applied, Outcome, Refusal, Unreadable, Write};

const BASE: u64 = 4_194_304;
const MAX_BODY: usize = 4_096;

#[derive(Default)]
struct Scripted {
    outcomes: Mutex<VecDeque<Outcome>>,
    states: Mutex<Vec<CounterState>>,
    calls: Mutex<Vec<Vec<Write>>>,
}

#[async_trait]
impl CounterStore for Scripted {
    fn base(&self) -> u64 {
        BASE
    }

    async fn apply(&self, writes: Vec<Write>) -> Vec<Outcome> {
        let mut outcomes = self.outcomes.lock().expect("no test panics under the lock");
        let count = writes.len().min(outcomes.len());
        self.calls.lock().expect("no test panics under the lock").push(writes);
        outcomes.drain(..count).collect()
    }

    async fn read(&self, _: &[Topic]) -> Result<Vec<CounterState>, Unreadable> {
        Ok(self.states.lock().expect("no test panics under the lock").clone())
    }
}

struct Alone;

#[async_trait]
impl Status for Alone {
    fn simulation_running(&self) -> bool {
        true
    }

    async fn connected_clients(&self) -> Result<u64, Unreadable> {
        Ok(7)
    }

    fn now_ms(&self) -> u64 {
        1_700_000_000_000
    }
}

struct Fixture {
    store: Arc<Scripted>,
    handler: Handler,
}

impl Fixture {
    fn new(mode: Mode, origins: &str) -> Fixture {
        let store = Arc::new(Scripted::default());
        let handler = handler(Arc::clone(&store) as Arc<dyn CounterStore>, mode, origins);
        Fixture { store, handler }
    }

    fn open() -> Fixture {
        Fixture::new(Mode::Development, "*")
    }

    fn answers(self, outcomes: impl IntoIterator<Item = Outcome>) -> Fixture {
        self.store.outcomes.lock().expect("no test panics under the lock").extend(outcomes);
        self
    }

    fn call(&self, method: &str, path: &str, headers: &[(&str, &str)], body: impl Into<Bytes>) -> Response<Bytes> {
        let mut request = Request::builder().method(method).uri(path);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(body.into()).expect("a test's request is valid");
        ready(self.handler.handle(request))
    }

    fn post(&self, headers: &[(&str, &str)], body: impl ToString) -> Response<Bytes> {
        let headers: Vec<_> = [("content-type", "application/json")].iter().chain(headers).copied().collect();
        self.call("POST", TRIGGER, &headers, body.to_string())
    }

    fn calls(&self) -> Vec<Vec<Write>> {
        self.store.calls.lock().expect("no test panics under the lock").clone()
    }
}

fn handler(store: Arc<dyn CounterStore>, mode: Mode, origins: &str) -> Handler {
    Handler::new(HandlerConfig {
        store,
        auth: Auth::new(mode, None),
        origins: origins.parse().expect("a test's list is valid"),
        performance: Arc::new(PerformanceConfig::production()),
        status: Arc::new(Alone),
        max_body_bytes: MAX_BODY,
    })
}

const TRIGGER: &str = "/api/analytics/trigger-update";

/// The result of a future that never waits, as the scripted store's never do.
fn ready<T>(future: impl Future<Output = T> + Send) -> T {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Polled::Ready(value) => value,
        Polled::Pending => panic!("the scripted store never waits"),
    }
}

fn id(text: &str) -> Id {
    Id::new(text).expect("a test's id is valid")
}

fn counter(content: &str, organization: Option<&str>, client: Option<&str>) -> Counter {
    let owner = Scope::new(organization.map(id), client.map(id)).expect("a test's scope is valid");
    Counter::new(id(content), owner)
}

fn state(counter: Counter, counts: [u64; 4]) -> CounterState {
    let versioned = Versioned { version: BASE + 3, committed_at: 1_234, counts: Counts::from_array(counts) };
    CounterState { counter, versioned }
}

fn applied(counter: Counter, replayed: bool) -> Outcome {
    Ok(Applied { state: state(counter, [5, 6, 7, 8]), replayed })
}

fn out_of_range(replayed: bool) -> Outcome {
    Err(Refusal::OutOfRange { reason: OutOfRange { field: Field::Likes, value: 0, increment: -1 }, replayed })
}

fn body(reply: &Response<Bytes>) -> Value {
    serde_json::from_slice(reply.body()).expect("answers are JSON")
}

fn code(reply: &Response<Bytes>) -> (u16, String) {
    let body = body(reply);
    assert_eq!(body["success"], false, "{body}");
    (reply.status().as_u16(), body["code"].as_str().expect("failures have a code").to_owned())
}

#[test]
fn paths_match_exactly_but_for_one_trailing_slash() {
    for (path, served) in [
        ("/api/analytics/trigger-update", true),
        ("/api/analytics/trigger-update/", true),
        ("/api/analytics/content", true),
        ("/api/analytics/performance-config/", true),
        ("/api/analytics/trigger-update//", false),
        ("/api/analytics//content", false),
        ("/api/analytics/Content", false),
        ("/api/analytics/%63ontent", false),
        ("/api/analytics/content/x", false),
        ("/api/analytics/", false),
        ("/api/analytics", false),
        ("/analytics", false),
        ("/", false),
        ("", false),
    ] {
        assert_eq!(Handler::serves(path), served, "{path}");
    }
}

#[test]
fn other_methods_are_refused_with_those_that_are_known() {
    let fixture = Fixture::new(Mode::Production, "*");
    for (path, allow, methods) in [
        (TRIGGER, "GET, HEAD, POST, OPTIONS", &["PUT", "DELETE", "PATCH", "post"][..]),
        ("/api/analytics/content?id=a", "GET, HEAD, OPTIONS", &["POST", "PUT"][..]),
        ("/api/analytics/performance-config", "GET, HEAD, OPTIONS", &["POST"][..]),
    ] {
        for method in methods {
            let reply = fixture.call(method, path, &[], "");
            assert_eq!(code(&reply), (405, "method_not_allowed".to_owned()), "{method} {path}");
            assert_eq!(reply.headers()[ALLOW], allow);
        }
    }
    assert_eq!(code(&fixture.call("GET", "/elsewhere", &[], "")), (404, "not_found".to_owned()));
}

#[test]
fn pages_are_judged_before_tokens_and_refusals_stay_readable() {
    let fixture = Fixture::new(Mode::Production, "https://a.example");
    let names_origin = |reply: &Response<Bytes>| reply.headers().contains_key("access-control-allow-origin");
    for method in ["OPTIONS", "POST", "GET", "DELETE"] {
        let reply = fixture.call(method, TRIGGER, &[("origin", "https://evil.example")], "");
        assert_eq!(code(&reply), (403, "forbidden".to_owned()));
        assert!(!names_origin(&reply) && !reply.headers().contains_key("access-control-expose-headers"));
    }
    let page = [("origin", "https://a.example")];
    let preflight = fixture.call("OPTIONS", TRIGGER, &page, "");
    assert_eq!(preflight.status(), StatusCode::NO_CONTENT);
    assert_eq!(preflight.headers()["access-control-allow-methods"], "GET, HEAD, POST, OPTIONS");
    let unauthorized = fixture.call("POST", TRIGGER, &page, "");
    assert_eq!(code(&unauthorized), (401, "unauthorized".to_owned()));
    for reply in [preflight, unauthorized] {
        assert!(names_origin(&reply));
        assert_eq!(reply.headers()["vary"], "Origin");
    }
    assert_eq!(fixture.call("GET", TRIGGER, &[], "").headers()["vary"], "Origin");

    let (head, ()) = Request::get(TRIGGER).header("origin", "https://a.example").body(()).expect("valid").into_parts();
    let refused = fixture.handler.refuse(&head, &reply::too_large(MAX_BODY));
    assert_eq!(code(&refused), (413, "too_large".to_owned()));
    assert!(names_origin(&refused));
}

#[test]
fn a_post_is_judged_by_its_headers_before_its_body() {
    let json = ("content-type", "application/json");
    let valid = r#"{"contentId":"a","field":"views"}"#;
    let long = "k".repeat(129);
    /// Headers, body, and the status and code of the refusal.
    type Case<'a> = (&'a [(&'a str, &'a str)], &'a str, (u16, &'a str));
    let cases: &[Case<'_>] = &[
        (&[], valid, (415, "unsupported_media_type")),
        (&[("content-type", "text/plain")], valid, (415, "unsupported_media_type")),
        (&[("content-type", "application/jsonp")], valid, (415, "unsupported_media_type")),
        (&[json, json], valid, (415, "unsupported_media_type")),
        (&[json, ("content-length", "4097")], "", (413, "too_large")),
        (&[json, ("idempotency-key", "")], valid, (400, "invalid_field")),
        (&[json, ("idempotency-key", "a b")], valid, (400, "invalid_field")),
        (&[json, ("idempotency-key", "\u{e9}")], valid, (400, "invalid_field")),
        (&[json, ("idempotency-key", &long)], valid, (400, "invalid_field")),
        (&[json, ("idempotency-key", "k"), ("idempotency-key", "k")], valid, (400, "invalid_field")),
        (&[json], "{", (400, "invalid_json")),
        (&[json], "[]", (400, "invalid_field")),
        (&[json], r#"{"contentId":"a"}"#, (400, "invalid_field")),
    ];
    for (headers, body, (status, name)) in cases {
        let fixture = Fixture::open();
        let reply = fixture.call("POST", TRIGGER, headers, (*body).to_owned());
        assert_eq!(code(&reply), (*status, (*name).to_owned()), "{headers:?} {body}");
        if headers.iter().any(|(name, _)| *name == "idempotency-key") {
            assert!(String::from_utf8_lossy(reply.body()).contains("Idempotency-Key"));
        }
        assert!(fixture.calls().is_empty());
    }
    let large = Fixture::open().post(&[], " ".repeat(MAX_BODY + 1));
    assert_eq!(code(&large), (413, "too_large".to_owned()));
    for media_type in ["application/json; charset=utf-8", "APPLICATION/JSON ;charset=\"UTF-8\""] {
        let fixture = Fixture::open().answers([applied(counter("a", None, None), false)]);
        assert_eq!(fixture.call("POST", TRIGGER, &[("content-type", media_type)], valid).status(), StatusCode::OK);
    }
}

#[test]
fn a_single_answer_is_what_the_store_said() {
    let owned = counter("a", Some("o"), Some("c"));
    let fixture = Fixture::open().answers([applied(owned.clone(), false), applied(counter("a", None, None), true)]);
    let update = json!({"contentId": "a", "field": "likes", "increment": -2, "organizationId": "o", "clientId": "c"});
    let reply = fixture.post(&[("idempotency-key", "k")], &update);
    assert_eq!(
        body(&reply),
        json!({"success": true, "contentId": "a", "organizationId": "o", "clientId": "c", "field": "likes", "value": 6,
            "version": BASE + 3, "timestamp": 1_234})
    );
    assert!(!reply.headers().contains_key(trigger::IDEMPOTENCY_REPLAYED));
    let key = Some(crate::store::WriteKey { key: "k".into(), member: None });
    assert_eq!(fixture.calls(), [[Write { counter: owned, field: Field::Likes, increment: -2, key }]]);

    let replayed = fixture.post(&[], json!({"contentId": "a", "field": "views"}));
    assert_eq!(
        body(&replayed),
        json!({"success": true, "contentId": "a", "field": "views", "value": 5, "version": BASE + 3, "timestamp": 1_234})
    );
    assert_eq!(replayed.headers()[trigger::IDEMPOTENCY_REPLAYED], "true");
}

#[test]
fn each_refusal_has_its_status() {
    let unavailable = Refusal::Unavailable { reason: "full".to_owned(), retry_after: Duration::from_millis(2_500) };
    for (outcome, expected, replayed, retry_after) in [
        (Some(out_of_range(false)), (409, "out_of_range"), false, None),
        (Some(out_of_range(true)), (409, "out_of_range"), true, None),
        (Some(Err(Refusal::KeyMismatch)), (422, "idempotency_mismatch"), false, None),
        (Some(Err(unavailable)), (503, "unavailable"), false, Some("3")),
        (Some(Err(Refusal::OutcomeUnknown("time".to_owned()))), (503, "outcome_unknown"), false, None),
        (None, (503, "outcome_unknown"), false, None),
    ] {
        let reply = Fixture::open().answers(outcome).post(&[], json!({"contentId": "a", "field": "likes"}));
        assert_eq!(code(&reply), (expected.0, expected.1.to_owned()));
        assert_eq!(reply.headers().contains_key(trigger::IDEMPOTENCY_REPLAYED), replayed);
        assert_eq!(reply.headers().get(RETRY_AFTER).map(HeaderValue::as_bytes), retry_after.map(str::as_bytes));
    }
}

#[test]
fn members_of_a_batch_stand_alone_and_keep_their_places() {
    let fixture = Fixture::open().answers([
        applied(counter("a", None, None), true),
        out_of_range(true),
        applied(counter("b", None, None), false),
    ]);
    let updates = json!([
        {"contentId": "", "field": "views"},
        {"contentId": "a", "field": "views"},
        {"contentId": "a", "field": "views", "clientId": "c"},
        {"contentId": "a", "field": "likes", "increment": -1},
        7,
        {"contentId": "b", "field": "shares"},
    ]);
    let reply = fixture.post(&[("idempotency-key", "k")], json!({ "updates": updates }));
    assert_eq!(reply.status(), StatusCode::OK);
    assert!(!reply.headers().contains_key(trigger::IDEMPOTENCY_REPLAYED));
    let answer = body(&reply);
    assert_eq!(answer["success"], true);
    let results = answer["results"].as_array().expect("a batch has results");
    let told: Vec<_> = results
        .iter()
        .map(|result| {
            let text = |name: &str| result[name].as_str().unwrap_or_default().to_owned();
            (result["success"] == true, text("code"), text("contentId"), result["replayed"] == true)
        })
        .collect();
    let member =
        |success, code: &str, content: &str, replayed| (success, code.to_owned(), content.to_owned(), replayed);
    assert_eq!(
        told,
        [
            member(false, "invalid_field", "", false),
            member(true, "", "a", true),
            member(false, "invalid_field", "", false),
            member(false, "out_of_range", "", true),
            member(false, "invalid_field", "", false),
            member(true, "", "b", false),
        ]
    );
    assert!(results[2]["error"].as_str().is_some_and(|error| error.starts_with("updates[2]: clientId")), "{answer}");
    assert_eq!(results[5].as_object().map(|object| object.contains_key("replayed")), Some(false));

    let calls = fixture.calls();
    assert_eq!(calls.len(), 1, "one call for the whole batch");
    let keys: Vec<_> = calls[0].iter().map(|write| write.key.as_ref().and_then(|key| key.member)).collect();
    assert_eq!(keys, [Some(1), Some(3), Some(5)]);
}

#[test]
fn a_batch_without_a_valid_member_asks_nothing_of_the_store() {
    let fixture = Fixture::open();
    let reply = fixture.post(&[], json!({"updates": [{}]}));
    assert_eq!((reply.status(), &body(&reply)["success"]), (StatusCode::OK, &json!(true)));
    assert!(fixture.calls().is_empty());
}

#[test]
fn status_and_configuration_need_no_token() {
    let fixture = Fixture::new(Mode::Production, "*");
    assert_eq!(
        body(&fixture.call("GET", TRIGGER, &[], "")),
        json!({"status": {"simulationRunning": true, "connectedClients": 7, "timestamp": 1_700_000_000_000_u64}})
    );
    let served = body(&fixture.call("GET", "/api/analytics/performance-config", &[], ""));
    assert_eq!(served, serde_json::to_value(PerformanceConfig::production()).expect("the configuration is JSON"));
    assert_eq!(code(&fixture.call("GET", "/api/analytics/content?id=a", &[], "")), (401, "unauthorized".to_owned()));
}

#[test]
fn head_has_the_headers_of_get_and_no_body() {
    let fixture = Fixture::open();
    for path in [TRIGGER, "/api/analytics/content?id=a", "/api/analytics/content", "/api/analytics/performance-config"]
    {
        let (get, head) = (fixture.call("GET", path, &[], ""), fixture.call("HEAD", path, &[], ""));
        assert_eq!((head.status(), head.headers()), (get.status(), get.headers()), "{path}");
        assert!(head.body().is_empty());
        assert_eq!(head.headers()[CONTENT_LENGTH], get.body().len().to_string().as_str());
    }
}

#[test]
fn content_comes_in_the_order_asked_for_and_never_from_outside_the_scope() {
    let fixture = Fixture::open();
    *fixture.store.states.lock().expect("no test panics under the lock") = vec![
        state(counter("a", Some("o"), Some("c")), [1, 0, 0, 0]),
        state(counter("b", None, None), [2, 0, 0, 0]),
        state(counter("a", Some("o"), None), [3, 0, 0, 0]),
        state(counter("a", None, None), [4, 0, 0, 0]),
        state(counter("a", Some("other"), None), [5, 0, 0, 0]),
        state(counter("a", Some("o"), Some("d")), [6, 0, 0, 0]),
    ];
    let poll = "/api/analytics/content?id=never&ids=b,a&id=b&organizationId=o&clientId=c";
    let answer = body(&fixture.call("GET", poll, &[], ""));
    assert_eq!((&answer["success"], &answer["base"]), (&json!(true), &json!(BASE)));
    let rows = answer["content"].as_array().expect("there is content");
    let mut never = rows[0].clone();
    let never = never.as_object_mut().expect("a row is an object");
    assert!(never.remove("score").is_some_and(|score| score.is_number()));
    assert!(never.remove("rating").is_some_and(|rating| rating.is_string()));
    let zeros = json!({"contentId": "never", "organizationId": "o", "clientId": "c", "views": 0, "likes": 0,
        "shares": 0, "comments": 0, "version": BASE, "timestamp": 0});
    assert_eq!(Some(&*never), zeros.as_object());
    let told: Vec<_> = rows[1..].iter().map(|row| (row["contentId"].as_str(), row["views"].as_u64())).collect();
    assert_eq!(told, [(Some("b"), Some(2)), (Some("a"), Some(4)), (Some("a"), Some(3)), (Some("a"), Some(1))]);
}

#[test]
fn a_poll_that_is_not_understood_names_its_parameter() {
    let many: Vec<_> = (0..101).map(|number| number.to_string()).collect();
    for (query, expected, name) in [
        (String::new(), "invalid_field", "id "),
        ("organizationId=o".into(), "invalid_field", "id "),
        ("id=".into(), "invalid_field", "id "),
        ("ids=a,,b".into(), "invalid_field", "ids "),
        ("id=%0a".into(), "invalid_field", "id "),
        ("id=%".into(), "invalid_field", "id "),
        ("ids=%ff".into(), "invalid_field", "ids "),
        (format!("id={}", "x".repeat(257)), "invalid_field", "id "),
        (format!("ids={}", many.join(",")), "too_many_ids", "id "),
        ("id=a&organizationId=".into(), "invalid_field", "organizationId "),
        ("id=a&organizationId=o&organizationId=o".into(), "invalid_field", "organizationId "),
        ("id=a&clientId=c".into(), "invalid_field", "clientId "),
        ("id=a&type=".into(), "invalid_field", "type "),
        ("id=a&type=nonsense".into(), "invalid_field", "type "),
        ("id=a&type=article&type=article".into(), "invalid_field", "type "),
    ] {
        let reply = Fixture::open().call("GET", &format!("/api/analytics/content?{query}"), &[], "");
        assert_eq!(code(&reply), (400, expected.to_owned()), "{query}");
        let body = body(&reply);
        assert!(body["error"].as_str().is_some_and(|error| error.starts_with(name)), "{query}: {body}");
    }
    for query in ["id=a+b%2Cc", "ids=a%2Cb&_=%zz&token=x", "id=a&type=article", &format!("ids={}", many[1..].join(","))]
    {
        let reply = Fixture::open().call("GET", &format!("/api/analytics/content/?{query}"), &[], "");
        assert_eq!(reply.status(), StatusCode::OK, "{query}");
    }
}

/// Memory that says when it is freed.
struct Owned {
    _held: Arc<()>,
    bytes: Vec<u8>,
}

impl AsRef<[u8]> for Owned {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

/// A store that looks whether a body is still in memory when it is asked.
struct Looking {
    body: std::sync::Weak<()>,
    asked_without_it: std::sync::atomic::AtomicUsize,
}

#[async_trait]
impl CounterStore for Looking {
    fn base(&self) -> u64 {
        BASE
    }

    async fn apply(&self, _: Vec<Write>) -> Vec<Outcome> {
        let gone = self.body.upgrade().is_none();
        self.asked_without_it.fetch_add(usize::from(gone), std::sync::atomic::Ordering::Relaxed);
        Vec::new()
    }

    async fn read(&self, _: &[Topic]) -> Result<Vec<CounterState>, Unreadable> {
        Ok(Vec::new())
    }
}

/// A thousand full bodies that wait for a commit would be a gigabyte.
#[test]
fn a_body_is_let_go_before_the_store_is_asked() {
    let update = json!({"contentId": "a", "field": "views"});
    for body in [update.clone(), json!({"updates": [update]})] {
        let life = Arc::new(());
        let store = Arc::new(Looking { body: Arc::downgrade(&life), asked_without_it: Default::default() });
        let handler = handler(Arc::clone(&store) as Arc<dyn CounterStore>, Mode::Development, "*");
        let request = Request::builder().method("POST").uri(TRIGGER).header("content-type", "application/json");
        let request = request.body(Bytes::from_owner(Owned { _held: life, bytes: body.to_string().into_bytes() }));
        ready(handler.handle(request.expect("a test's request is valid")));
        assert_eq!(store.asked_without_it.load(std::sync::atomic::Ordering::Relaxed), 1, "{body}");
    }
}
