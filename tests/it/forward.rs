//! Calls that a function elsewhere answers: a caller gets that function's answers, nothing on the way counts twice, and
//! what may or may not have been counted is never called "not applied".

use std::sync::Arc;
use std::time::Duration;

use analytics_proxy::store::{EmbeddedOptions, EmbeddedStore};
use analytics_proxy::{EdgeConfig, FeedSource, Trigger};
use analytics_tests::api::{Api, CONTENT, TRIGGER, update};
use analytics_tests::dynamodb_local;
use analytics_tests::edge::{Edge, PRODUCTION};
use analytics_tests::hop::{Hop, Line};
use analytics_tests::hosted::Hosted;
use analytics_tests::http::Reply;
use analytics_tests::memory::Counter;
use analytics_tests::stand_in::{Act, COUNTED, StandIn};
use analytics_tests::tls::TlsHop;
use analytics_tests::token::Token;
use analytics_tests::wait;
use anyhow::{Context, Result, ensure};
use bytes::Bytes;
use futures::future::try_join_all;
use http::Method;
use lambda_trigger::dynamodb::create_tables;
use serde_json::json;

/// What an edge in front of a function is told besides.
const OVER_DYNAMODB: [(&str, &str); 2] = [("ANALYTICS_STORE", "dynamodb"), ("ANALYTICS_FEED", "dynamodb-streams")];

/// An edge that answers nothing by itself, in front of a URL.
async fn in_front_of(url: &str) -> Result<Edge> {
    in_front_of_with(url, &[]).await
}

/// The same with more settings. What a function counts is in DynamoDB, so it watches tables there: its own ones, which
/// stay empty, for what stands in for the function here keeps no tables.
async fn in_front_of_with(url: &str, env: &[(&str, &str)]) -> Result<Edge> {
    let (local, tables) = (dynamodb_local::shared().await?, dynamodb_local::fresh_tables());
    create_tables(&local.client(), &tables).await?;
    let shared = dynamodb_local::environment_over(&tables, local.port(), local.port());
    let shared = shared.iter().map(|(name, value)| (*name, value.as_str()));
    let own = OVER_DYNAMODB.into_iter().chain([("ANALYTICS_TRIGGER_URL", url)]);
    Edge::start(&shared.chain(own).chain(env.iter().copied()).collect::<Vec<_>>()).await
}

/// The same inside this process, with other time limits; and its directory.
fn hurried(url: &str, adjust: impl FnOnce(&mut Trigger)) -> Result<(Hosted, tempfile::TempDir)> {
    let home = tempfile::tempdir().context("create a data directory")?;
    let store = EmbeddedStore::open(EmbeddedOptions::new(home.path())).context("open the store")?;
    let mut trigger = Trigger::at(url.parse()?);
    trigger.attempt = Duration::from_millis(400);
    trigger.deadline = Duration::from_millis(1500);
    adjust(&mut trigger);
    let adjust = |config: &mut EdgeConfig| config.trigger = Some(trigger);
    Ok((Hosted::start(Arc::new(store), FeedSource::Embedded, adjust)?, home))
}

/// How a call is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Keyless,
    Keyed,
    Get,
}

async fn call(api: &mut Api, kind: Kind) -> Result<Reply> {
    let body = update(&Counter::public("a"), "views", 1);
    match kind {
        Kind::Keyless => api.trigger(&body, None).await,
        Kind::Keyed => api.trigger(&body, Some("key")).await,
        Kind::Get => api.read(&["a"], None, None).await,
    }
}

/// Promise: whoever calls the proxy is answered as if it called the function, page or server, right or wrong.
#[tokio::test]
async fn callers_get_the_function_s_answers() -> Result<()> {
    let function = Edge::start(&[]).await?;
    let proxy = in_front_of(&format!("http://{}/", function.authority()?)).await?;
    let (mut there, mut here) = (function.api()?.http, proxy.api()?.http);
    let json = ("content-type", "application/json");
    let post = |body: &str| (Method::POST, TRIGGER.to_owned(), vec![json], body.to_owned());
    let keyed = |key: &'static str, body: &str| {
        let headers = vec![json, ("idempotency-key", key), ("origin", "https://page.example")];
        (Method::POST, TRIGGER.to_owned(), headers, body.to_owned())
    };
    let get = |path: &str| (Method::GET, path.to_owned(), vec![], String::new());
    let up = r#"{"contentId":"a b","field":"likes"}"#;
    for (method, path, headers, body) in [
        post(up),
        keyed("one", up),
        keyed("one", up),
        keyed("one", r#"{"contentId":"a b","field":"views"}"#),
        keyed("down", r#"{"contentId":"a b","field":"views","increment":-1}"#),
        keyed("down", r#"{"contentId":"a b","field":"views","increment":-1}"#),
        keyed("batch", r#"{"updates":[{"contentId":"c","field":"views"},{"contentId":"c","field":"none"}]}"#),
        post("{"),
        post(r#"{"contentId":"","field":"likes"}"#),
        (Method::POST, format!("{TRIGGER}/"), vec![json, ("origin", "https://page.example")], up.to_owned()),
        (Method::POST, TRIGGER.to_owned(), vec![("content-type", "text/plain")], up.to_owned()),
        (Method::POST, TRIGGER.to_owned(), vec![json, ("idempotency-key", "a b")], up.to_owned()),
        (Method::PUT, TRIGGER.to_owned(), vec![], up.to_owned()),
        (Method::OPTIONS, CONTENT.to_owned(), vec![("origin", "https://page.example")], String::new()),
        (Method::HEAD, format!("{CONTENT}?id=a%20b"), vec![], String::new()),
        get(&format!("{CONTENT}?id=a%20b&ids=c,d&organizationId=o")),
        get(&format!("{CONTENT}?id=a&type=unheard-of")),
        get(CONTENT),
        get("/api/analytics/performance-config"),
    ] {
        let headers: Vec<(&str, &str)> = headers;
        // The first one counts, wherever it was sent; the other one's answer must be the same but for what has moved on.
        let direct = there.send(method.clone(), &path, &headers, Bytes::from(body.clone())).await?;
        let passed = here.send(method.clone(), &path, &headers, Bytes::from(body.clone())).await?;
        let what = format!("{method} {path} {body}: {} / {}", direct.text(), passed.text());
        ensure!(direct.outcome() == passed.outcome(), "{what}");
        for name in [
            "content-type",
            "cache-control",
            "allow",
            "retry-after",
            "vary",
            "access-control-allow-origin",
            "access-control-expose-headers",
        ] {
            ensure!(direct.header(name) == passed.header(name), "{name} of {what}");
        }
        if method != Method::POST {
            ensure!(
                direct.body == passed.body && direct.header("content-length") == passed.header("content-length"),
                "{what}"
            );
        }
    }
    let status = here.get(TRIGGER).await?.json()?;
    ensure!(status["status"]["connectedClients"] == 0, "{status}");
    let mut api = function.api()?;
    // Twice without a key, once each under two ways to the same key, twice with the slash.
    ensure!(api.value(&Counter::public("a b"), "likes").await? == 5, "what the function counted");
    ensure!(proxy.api()?.value(&Counter::public("a b"), "likes").await? == 5, "the same by the proxy");
    let repeated = keyed("one", up);
    let reply = here.send(repeated.0, &repeated.1, &repeated.2, Bytes::from(repeated.3)).await?;
    ensure!(reply.header("idempotency-replayed") == Some("true") && reply.status == 200, "{}", reply.text());
    Ok(())
}

/// Promise: whoever may not call is refused by the proxy itself, before the function hears of it.
#[tokio::test]
async fn refusals_do_not_reach_the_function() -> Result<()> {
    let function = StandIn::start().await?;
    let own = [("ANALYTICS_ALLOWED_ORIGINS", "https://page.example"), ("ANALYTICS_MAX_BODY_BYTES", "2000")];
    let proxy = in_front_of_with(&function.url, &[&PRODUCTION[..], &own].concat()).await?;
    let token = format!("Bearer {}", Token::of(Some("o"), None, true).mint()?);
    let (json, token) = (("content-type", "application/json"), ("authorization", token.as_str()));
    let large = "x".repeat(3000);
    for (method, path, headers, body, status) in [
        (Method::POST, TRIGGER, vec![json, token, ("origin", "https://other.example")], "{}", 403),
        (Method::OPTIONS, TRIGGER, vec![("origin", "https://other.example")], "", 403),
        (Method::OPTIONS, TRIGGER, vec![("origin", "https://page.example")], "", 204),
        (Method::DELETE, TRIGGER, vec![token], "", 405),
        (Method::POST, TRIGGER, vec![token], "{}", 415),
        (Method::POST, TRIGGER, vec![json], "{}", 401),
        (Method::POST, TRIGGER, vec![json, ("authorization", "Bearer x")], "{}", 401),
        (Method::POST, TRIGGER, vec![json, token], large.as_str(), 413),
        (Method::POST, TRIGGER, vec![json, token, ("idempotency-key", "")], "{}", 400),
        (Method::GET, "/api/analytics/content?id=a", vec![], "", 401),
    ] {
        let mut http = proxy.api()?.http;
        let reply = http.send(method.clone(), path, &headers, Bytes::from(body.to_owned())).await?;
        ensure!(reply.status == status, "{method} {path} {headers:?}: {} {}", reply.status, reply.text());
        let page = headers.contains(&("origin", "https://page.example"));
        ensure!(reply.header("access-control-allow-origin").is_some() == page, "{:?}", reply.headers);
    }
    ensure!(function.requests().is_empty(), "{:?}", function.requests());
    Ok(())
}

/// Promise: the function gets the call and its token, whichever way that came, and nothing of the connection and the page;
/// the caller gets the function's answer, and none of what else stands around it.
#[tokio::test]
async fn a_call_and_its_answer_lose_what_is_not_theirs() -> Result<()> {
    let function = StandIn::start().await?;
    let proxy = in_front_of(&format!("{}/lambda-url/trigger-update/", function.url)).await?;
    function.script([Act::Answer(
        200,
        "Access-Control-Allow-Origin: *\r\nVary: Everything\r\nSet-Cookie: a=b\r\nX-Amzn-RequestId: 1\r\n\
         Idempotency-Replayed: true\r\nConnection: X-Amzn-Trace\r\n",
        COUNTED,
    )]);
    let headers = [
        ("content-type", "application/json"),
        ("idempotency-key", "k"),
        ("origin", "https://page.example"),
        ("authorization", "Basic dTpw"),
        ("sec-websocket-protocol", "bearer, secret"),
        ("cookie", "a=b"),
        ("connection", "keep-alive, x-hop"),
        ("x-hop", "1"),
        ("te", "trailers"),
        ("x-request-id", "7"),
    ];
    let mut http = proxy.api()?.http;
    let path = format!("{TRIGGER}?token=secret&x=%20");
    let reply = http.send(Method::POST, &path, &headers, Bytes::from_static(b"{\"contentId\":1}")).await?;
    ensure!(reply.status == 200 && reply.text() == COUNTED, "{} {}", reply.status, reply.text());
    for (name, value) in [
        ("access-control-allow-origin", Some("https://page.example")),
        ("vary", Some("Origin")),
        ("idempotency-replayed", Some("true")),
        ("set-cookie", None),
        ("x-amzn-requestid", None),
    ] {
        ensure!(reply.header(name) == value, "{name}: {:?}", reply.headers);
    }
    let requests = function.requests();
    let request = requests.first().context("no request")?;
    ensure!(
        request.starts_with("post /lambda-url/trigger-update/api/analytics/trigger-update?x=%20 http/1.1\r\n"),
        "{request}"
    );
    ensure!(request.ends_with("\r\n\r\n{\"contentId\":1}"), "{request}");
    for kept in [
        "authorization: bearer secret",
        "content-type: application/json",
        "idempotency-key: k",
        "x-request-id: 7",
        &format!("host: {}", function.url.trim_start_matches("http://")),
    ] {
        ensure!(request.contains(&format!("\r\n{kept}\r\n")), "{kept} in {request}");
    }
    for dropped in ["origin", "cookie", "x-hop", "te:", "basic", "sec-websocket", "token="] {
        ensure!(!request.contains(dropped), "{dropped} in {request}");
    }
    ensure!(!proxy.log().contains("secret"), "a token in the log: {:?}", proxy.log().tail(20));
    Ok(())
}

/// Promise: each failure on the way is answered with what it proves, and only what may be repeated is.
#[tokio::test]
async fn a_failure_says_what_it_proves() -> Result<()> {
    let function = StandIn::start().await?;
    let (proxy, _home) = hurried(&function.url, |_| {})?;
    let good = (200, "");
    let (unavailable, unknown) = ((503, "unavailable"), (503, "outcome_unknown"));
    let ours = r#"{"success":false,"error":"busy","code":"unavailable"}"#;
    let ours_unknown = r#"{"success":false,"error":"who knows","code":"outcome_unknown"}"#;
    let member = r#"{"success":true,"results":[{"success":false,"error":"busy","code":"unavailable"}]}"#;
    let page = "<html>Bad gateway</html>";
    let aws = r#"{"Message":"Internal Server Error"}"#;
    let throttled = Act::Answer(429, "", r#"{"Reason":"ConcurrentInvocationLimitExceeded","Type":"User"}"#);
    use Kind::{Get, Keyed, Keyless};
    for (acts, kind, outcome, sent) in [
        (vec![Act::Cut], Keyless, unknown, 1),
        (vec![Act::Break], Keyless, unknown, 1),
        (vec![Act::Silence], Keyless, unknown, 1),
        (vec![Act::Answer(502, "", aws)], Keyless, unknown, 1),
        (vec![Act::Answer(500, "", page)], Keyless, unknown, 1),
        (vec![Act::Answer(504, "", "")], Keyless, unknown, 1),
        (vec![Act::Answer(200, "", page)], Keyless, unknown, 1),
        (vec![Act::Answer(200, "", r#"{"errorMessage":"timed out"}"#)], Keyless, unknown, 1),
        (vec![Act::Answer(301, "Location: https://elsewhere.example/\r\n", "")], Keyless, unknown, 1),
        (vec![throttled.clone()], Keyless, unavailable, 1),
        (vec![Act::Answer(503, "Retry-After: 7\r\n", ours)], Keyless, unavailable, 1),
        (vec![Act::Answer(503, "", ours_unknown)], Keyless, unknown, 1),
        (vec![Act::Cut], Keyed, good, 2),
        (vec![Act::Break, Act::Silence], Keyed, good, 3),
        (vec![Act::Answer(502, "", aws), Act::Answer(500, "", page)], Keyed, good, 3),
        (vec![Act::Cut, Act::Cut, Act::Cut], Keyed, unknown, 3),
        (vec![throttled.clone()], Keyed, unavailable, 1),
        // The first try may have counted: nothing that is said of the second one alone can be passed on.
        (vec![Act::Cut, throttled.clone()], Keyed, unknown, 2),
        (vec![Act::Cut, Act::Answer(503, "", ours)], Keyed, unknown, 2),
        (vec![Act::Cut, Act::Answer(200, "", member)], Keyed, unknown, 2),
        (vec![Act::Answer(503, "", ours)], Keyed, unavailable, 1),
        (vec![Act::Cut, Act::Silence], Get, good, 3),
        (vec![Act::Answer(502, "", aws), Act::Cut, Act::Break], Get, unavailable, 3),
        (vec![throttled], Get, unavailable, 1),
    ] {
        let before = function.requests().len();
        let what = format!("{acts:?} {kind:?}");
        function.script(acts);
        let reply = call(&mut proxy.api(), kind).await?;
        let count = function.requests().len() - before;
        let (status, code) = reply.outcome();
        ensure!(
            (status, code.as_str()) == outcome && count == sent,
            "{what}: {count} requests, {status} {}",
            reply.text()
        );
        let again = reply.header("retry-after");
        ensure!(again.is_some() == (code == "unavailable"), "{what}: {:?}", reply.headers);
        ensure!(!what.contains("Retry-After") || again == Some("7"), "{what}: {again:?}");
    }
    Ok(())
}

/// Promise: a function that cannot be reached has counted nothing, and that is said; when it is back, calls are answered.
#[tokio::test]
async fn a_function_out_of_reach_is_unavailable_until_it_is_back() -> Result<()> {
    let function = Edge::start(&[]).await?;
    let hop = Hop::start(function.listening()?.ws).await?;
    let proxy = in_front_of(&format!("http://{}", hop.address)).await?;
    let mut api = proxy.api()?;
    let counter = Counter::public("a");
    ensure!(api.count(&counter, "views", 1).await?.0 == 1);
    let nobody = in_front_of("http://127.0.0.1:1").await?;
    let unnamed = in_front_of("http://function.invalid").await?;
    for edge in [&nobody, &unnamed] {
        for kind in [Kind::Keyless, Kind::Keyed, Kind::Get] {
            let reply = call(&mut edge.api()?, kind).await?;
            ensure!(reply.outcome() == (503, "unavailable".to_owned()), "{kind:?}: {}", reply.text());
            ensure!(reply.header("retry-after").is_some(), "{:?}", reply.headers);
            ensure!(!reply.text().contains("invalid") && !reply.text().contains("127.0.0.1"), "{}", reply.text());
        }
    }
    hop.set(Line::Broken);
    let reply = call(&mut api, Kind::Keyless).await?;
    ensure!(reply.status == 503, "{}", reply.text());
    hop.set(Line::Whole);
    wait::until("calls to be answered again", async || {
        api.read(&["a"], None, None).await.ok().filter(|reply| reply.status == 200)
    })
    .await?;
    Ok(())
}

/// Promise: a connection that the function closed while it rested costs nobody's call, and is sent nothing.
#[tokio::test]
async fn a_resting_connection_that_was_closed_costs_no_call() -> Result<()> {
    let function = StandIn::start().await?;
    let proxy = in_front_of(&function.url).await?;
    let mut api = proxy.api()?;
    let rounds = 100;
    for round in 1..=rounds {
        function.script([Act::AnswerAndClose(200, COUNTED)]);
        let reply = call(&mut api, Kind::Keyless).await?;
        ensure!(reply.status == 200, "round {round}: {}", reply.text());
        wait::holds("the connection to be closed", || function.connections().1 == round).await?;
    }
    ensure!(function.requests().len() == rounds, "{} requests", function.requests().len());
    // One that stays open is used again.
    let before = function.connections().0;
    for _ in 0..10 {
        ensure!(call(&mut api, Kind::Keyless).await?.status == 200);
    }
    ensure!(function.connections().0 <= before + 1, "{:?}", function.connections());
    Ok(())
}

/// Promise: a function behind https is asked if its certificate is trusted, and sent nothing if not; a connection that was
/// closed while it rested costs nothing there either.
#[tokio::test]
async fn a_function_behind_tls_is_asked_if_it_is_trusted() -> Result<()> {
    let function = StandIn::start().await?;
    let hop = TlsHop::start(function.url.trim_start_matches("http://").parse()?).await?;
    let certificate = hop.certificate().to_str().context("a path")?;
    let trusting = [("SSL_CERT_FILE", certificate)];
    let proxy = in_front_of_with(&hop.url, &trusting).await?;
    let mut api = proxy.api()?;
    let rounds = 20;
    for round in 1..=rounds {
        function.script([Act::AnswerAndClose(200, COUNTED)]);
        let reply = call(&mut api, Kind::Keyless).await?;
        ensure!(reply.status == 200 && reply.text() == COUNTED, "round {round}: {}", reply.text());
        wait::holds("the connection to be closed", || hop.ended() == round).await?;
    }
    ensure!(function.requests().len() == rounds, "{} requests", function.requests().len());
    let other = TlsHop::start(function.url.trim_start_matches("http://").parse()?).await?;
    let wary = in_front_of_with(&other.url, &trusting).await?;
    let reply = call(&mut wary.api()?, Kind::Keyless).await?;
    ensure!(reply.outcome() == (503, "unavailable".to_owned()), "{}", reply.text());
    ensure!(function.requests().len() == rounds, "a stranger was asked");
    Ok(())
}

/// Promise: without any certificates to trust, an edge that needs some does not start, and says why.
#[tokio::test]
async fn without_certificates_https_is_refused_at_the_start() -> Result<()> {
    let own =
        [("ANALYTICS_TRIGGER_URL", "https://function.example"), ("SSL_CERT_FILE", "/dev/null"), ("SSL_CERT_DIR", "")];
    let refusal = Edge::refuse(&[&OVER_DYNAMODB[..], &own].concat()).await?;
    ensure!(!refusal.status.success() && refusal.stderr.contains("https"), "{}", refusal.stderr);
    Ok(())
}

/// Promise: calls beyond what may be under way are refused at once, as not applied, and take nothing from the others.
#[tokio::test]
async fn more_calls_than_may_be_under_way_are_refused_at_once() -> Result<()> {
    let function = StandIn::start().await?;
    let (proxy, _home) = hurried(&function.url, |trigger| {
        trigger.in_flight = 2;
        trigger.deadline = Duration::from_secs(30);
    })?;
    function.script([Act::Silence, Act::Silence]);
    let held: Vec<_> = (0..2)
        .map(|_| {
            let mut api = proxy.api();
            tokio::spawn(async move { call(&mut api, Kind::Keyless).await })
        })
        .collect();
    wait::holds("both to be under way", || function.requests().len() == 2).await?;
    let reply = call(&mut proxy.api(), Kind::Keyless).await?;
    ensure!(reply.outcome() == (503, "unavailable".to_owned()), "{}", reply.text());
    ensure!(held.iter().all(|call| !call.is_finished()) && function.requests().len() == 2);
    held.iter().for_each(tokio::task::JoinHandle::abort);
    Ok(())
}

/// Promise: with keyed posters, whatever happens to the line between proxy and function, everything acknowledged counts
/// once and nothing else does.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn keyed_posters_count_once_whatever_happens_to_the_line() -> Result<()> {
    const POSTERS: usize = 8;
    const POSTS: usize = 60;
    let function = Edge::start(&[]).await?;
    let hop = Hop::start(function.listening()?.ws).await?;
    let (proxy, _home) = hurried(&format!("http://{}", hop.address), |_| {})?;
    let counter = Counter::public("a");
    let posters: Vec<_> = (0..POSTERS)
        .map(|poster| {
            let (mut api, body) = (proxy.api(), update(&counter, "views", 1));
            tokio::spawn(async move {
                for post in 0..POSTS {
                    let key = format!("{poster}-{post}");
                    let counted =
                        async { while !api.trigger(&body, Some(&key)).await.is_ok_and(|reply| reply.status == 200) {} };
                    wait::within("a post to be counted", counted).await?;
                }
                anyhow::Ok(())
            })
        })
        .collect();
    let mut direct = function.api()?;
    for (line, mark) in [(Line::Broken, 50), (Line::Silent, 150), (Line::Broken, 250), (Line::Silent, 350)] {
        wait::until("some to be counted", async || {
            direct.value(&counter, "views").await.ok().filter(|value| *value >= mark)
        })
        .await?;
        hop.set(line);
        // Until the cut has been felt.
        wait::until("a call to fail", async || {
            call(&mut proxy.api(), Kind::Get).await.ok().filter(|reply| reply.status == 503)
        })
        .await?;
        hop.set(Line::Whole);
    }
    for poster in try_join_all(posters).await? {
        poster?;
    }
    let total = direct.value(&counter, "views").await?;
    ensure!(total == (POSTERS * POSTS) as u64, "{total} were counted of {}", POSTERS * POSTS);
    Ok(())
}

/// Promise: what becomes of calls can be read off the metrics.
#[tokio::test]
async fn forwarded_calls_are_counted_by_what_became_of_them() -> Result<()> {
    let function = StandIn::start().await?;
    let (proxy, _home) = hurried(&function.url, |_| {})?;
    function.script([Act::Answer(200, "", COUNTED), Act::Cut, Act::Answer(429, "", "")]);
    for _ in 0..3 {
        call(&mut proxy.api(), Kind::Keyless).await?;
    }
    let metrics = String::from_utf8(proxy.handle.metrics())?;
    for result in ["answered", "outcome_unknown", "unavailable"] {
        let line = format!("analytics_forwarded_calls_total{{result=\"{result}\"}} 1");
        ensure!(metrics.contains(&line), "{line} in {metrics}");
    }
    let body = json!({"contentId": "a", "field": "views"});
    function.script([Act::Cut]);
    ensure!(proxy.api().trigger(&body, Some("key")).await?.status == 200);
    ensure!(String::from_utf8(proxy.handle.metrics())?.contains("analytics_forward_repeats_total 1"));
    Ok(())
}
