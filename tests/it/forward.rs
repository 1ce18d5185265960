//! Calls that a function elsewhere answers: a caller gets that function's answers and refusals, and neither side gets what
//! is not its own. What failures do is in `failures`.

mod failures;

use analytics_tests::api::{Api, CONTENT, TRIGGER, update};
use analytics_tests::dynamodb_local;
use analytics_tests::edge::{Edge, PRODUCTION};
use analytics_tests::http::Reply;
use analytics_tests::memory::Counter;
use analytics_tests::stand_in::{Act, COUNTED, StandIn};
use analytics_tests::tls::TlsHop;
use analytics_tests::token::Token;
use analytics_tests::wait;
use anyhow::{Context, Result, ensure};
use bytes::Bytes;
use http::Method;
use lambda_trigger::dynamodb::create_tables;

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
