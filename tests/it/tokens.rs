//! Promise: in production nothing is watched or counted without a valid token, and only while it is valid; a token is
//! seen by nobody but the edge.

use analytics_tests::api::{CONTENT, encode, update};
use analytics_tests::edge::{Edge, PRODUCTION};
use analytics_tests::memory::Counter;
use analytics_tests::raw::{Raw, handshake};
use analytics_tests::socket::{Dial, Socket};
use analytics_tests::token::{self, SECRET, Token};
use analytics_tests::upstream::Upstream;
use analytics_tests::wait;
use anyhow::{Result, ensure};
use bytes::Bytes;
use http::Method;
use jsonwebtoken::Algorithm;
use serde_json::{Value, json};

/// The status that a handshake with this query and these header lines gets.
async fn upgrade(edge: &Edge, query: &str, headers: &str) -> Result<u16> {
    let authority = edge.authority()?;
    let mut raw = Raw::connect(&authority).await?;
    raw.send(handshake(&authority, &format!("/analytics{query}"), headers).as_bytes()).await?;
    Ok(raw.head().await?.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or(0))
}

/// The status and code that a read with this token gets.
async fn read(edge: &Edge, token: &str) -> Result<(u16, String)> {
    Ok(edge.api()?.with_token(token).read(&["a"], None, None).await?.outcome())
}

/// Promise: a token is taken from each of its three places; two that differ are refused, two that agree are not.
#[tokio::test]
async fn a_token_is_taken_from_three_places_and_two_must_agree() -> Result<()> {
    let edge = Edge::start(&PRODUCTION).await?;
    let (one, other) = (Token::of(Some("acme"), None, true).mint()?, Token::of(Some("globex"), None, true).mint()?);
    let in_header = |token: &str| format!("Authorization: Bearer {token}\r\n");
    let in_protocol = |token: &str| format!("Sec-WebSocket-Protocol: bearer, {token}\r\n");
    let in_query = |token: &str| format!("?token={}", encode(token));
    for (query, headers, expected) in [
        (String::new(), String::new(), 401),
        (String::new(), in_header(&one), 101),
        (String::new(), in_protocol(&one), 101),
        (in_query(&one), String::new(), 101),
        (in_query(&one), in_header(&one) + &in_protocol(&one), 101),
        (in_query(&one), in_header(&other), 401),
        (in_query(&other), in_protocol(&one), 401),
        (String::new(), in_header(&one) + &in_protocol(&other), 401),
        (String::new(), "Authorization: Basic dXNlcjpwYXNz\r\n".to_owned(), 401),
        (String::new(), "Authorization: Bearer \r\n".to_owned(), 401),
        (String::new(), "Sec-WebSocket-Protocol: bearer\r\n".to_owned(), 401),
        (in_query("nonsense"), String::new(), 401),
    ] {
        let status = upgrade(&edge, &query, &headers).await?;
        ensure!(status == expected, "{query} {headers}: expected {expected}, got {status}");
    }
    let socket = Socket::open_with_token(&edge, &one).await?;
    ensure!(socket.protocol.as_deref() == Some("bearer"), "the subprotocol is answered with {:?}", socket.protocol);

    let mut http = edge.api()?.http;
    let path = format!("{CONTENT}?id=a&token={}", encode(&one));
    ensure!(http.get(&path).await?.status == 200);
    let differing = [("authorization", &*format!("Bearer {other}"))];
    let reply = http.send(Method::GET, &path, &differing, Bytes::new()).await?;
    ensure!(reply.outcome() == (401, "unauthorized".to_owned()), "{}", reply.text());
    Ok(())
}

/// Promise: a token with anything wrong about it is refused, whatever else is right.
#[tokio::test]
async fn a_token_with_anything_wrong_is_refused() -> Result<()> {
    let with_names = [("ANALYTICS_JWT_ISSUER", "the issuer"), ("ANALYTICS_JWT_AUDIENCE", "the edge")];
    let edge = Edge::start(&[&PRODUCTION[..], &with_names].concat()).await?;
    let good = || {
        let token = Token::of(Some("acme"), Some("web"), true);
        token.claim("iss", json!("the issuer")).claim("aud", json!("the edge"))
    };
    ensure!(read(&edge, &good().mint()?).await?.0 == 200);
    ensure!(read(&edge, &good().claim("aud", json!(["another", "the edge"])).mint()?).await?.0 == 200);
    ensure!(read(&edge, &good().claim("scope", json!(["analytics:write"])).mint()?).await?.0 == 200);

    let hour = 3600;
    let claims: [(&str, Value); 20] = [
        ("exp", Value::Null),
        ("exp", json!(token::now() - hour)),
        ("exp", json!("tomorrow")),
        ("nbf", json!(token::now() + hour)),
        ("nbf", json!("today")),
        ("iss", Value::Null),
        ("iss", json!("another")),
        ("iss", json!("")),
        ("aud", Value::Null),
        ("aud", json!("another")),
        ("aud", json!([])),
        ("organizationId", json!("")),
        ("organizationId", json!(5)),
        ("organizationId", json!("a\nb")),
        ("organizationId", Value::Null),
        ("clientId", json!("")),
        ("clientId", json!(["web"])),
        ("scope", json!(5)),
        ("scope", json!({"analytics:write": true})),
        ("sub", json!(7)),
    ];
    let mut bad = Vec::new();
    for (name, value) in claims {
        bad.push((format!("{name} = {value}"), good().claim(name, value).mint()?));
    }
    bad.push((
        "another secret".to_owned(),
        good().mint_with(Algorithm::HS256, "another secret of the same length....")?,
    ));
    bad.push(("another algorithm".to_owned(), good().mint_with(Algorithm::HS512, SECRET)?));
    let token = good().mint()?;
    let parts: Vec<&str> = token.split('.').collect();
    // {"alg":"none"}
    bad.push(("no algorithm".to_owned(), format!("eyJhbGciOiJub25lIn0.{}.", parts[1])));
    bad.push(("no signature".to_owned(), format!("{}.{}.", parts[0], parts[1])));
    bad.push(("nonsense".to_owned(), "nonsense".to_owned()));
    for (what, token) in bad {
        let outcome = read(&edge, &token).await?;
        ensure!(outcome == (401, "unauthorized".to_owned()), "{what}: {outcome:?}");
        let status = upgrade(&edge, "", &format!("Authorization: Bearer {token}\r\n")).await?;
        ensure!(status == 401, "{what}: the upgrade got {status}");
    }
    Ok(())
}

/// Promise: who may write what is decided by scope and authority; a refusal changes nothing.
#[tokio::test]
async fn writing_needs_the_scope_and_the_authority() -> Result<()> {
    let edge = Edge::start(&PRODUCTION).await?;
    let reader = Token::of(Some("acme"), None, false);
    let writer = Token::of(Some("acme"), None, true);
    let client = Token::of(Some("acme"), Some("web"), true);
    let public = Token::of(None, None, true);
    let similar = Token::of(Some("acme"), None, false).claim("scope", json!("analytics:writer xanalytics:write"));
    let acme = |client| Counter::new(Some("acme"), client, "a");
    for (who, token, named, expected) in [
        ("a reader", &reader, acme(None), 403),
        ("a similar scope", &similar, acme(None), 403),
        ("a writer", &writer, acme(None), 200),
        ("a writer", &writer, acme(Some("web")), 200),
        ("a writer", &writer, Counter::public("a"), 200),
        ("a writer", &writer, Counter::new(Some("globex"), None, "a"), 403),
        ("a client", &client, acme(Some("web")), 200),
        ("a client", &client, acme(None), 200),
        ("a client", &client, acme(Some("app")), 403),
        ("a public writer", &public, Counter::public("a"), 200),
        ("a public writer", &public, acme(None), 403),
        ("a public writer", &public, Counter::new(None, Some("web"), "a"), 400),
        ("the platform", &Token::platform(), Counter::new(Some("globex"), Some("web"), "a"), 200),
        ("the platform", &Token::platform(), Counter::public("a"), 200),
    ] {
        let reply = edge.api()?.with_token(token.mint()?).trigger(&update(&named, "views", 1), None).await?;
        ensure!(reply.status == expected, "{who}, {named:?}: expected {expected}, got {}", reply.text());
    }
    let mut platform = edge.api()?.with_token(Token::of(Some("acme"), None, false).mint()?);
    let content = platform.content(&["a"], None, None).await?;
    let mut found: Vec<(Counter, u64)> =
        content.iter().map(|entry| (Counter::of_message(entry), entry["views"].as_u64().unwrap_or(0))).collect();
    found.sort();
    // What the writer left out became its own organization's, what the client left out its own client's.
    ensure!(found == [(Counter::public("a"), 2), (acme(None), 2), (acme(Some("web")), 3)], "{found:?}");
    Ok(())
}

/// Promise: a connection is closed with 4401 when its token ends.
#[tokio::test]
async fn a_connection_ends_with_its_token() -> Result<()> {
    let edge = Edge::start(&PRODUCTION).await?;
    let short = Token::of(Some("acme"), None, false).claim("exp", json!(token::now() + 2)).mint()?;
    let socket = Socket::open_with_token(&edge, &short).await?;
    let mut lasting = Socket::open_with_token(&edge, &Token::of(Some("acme"), None, false).mint()?).await?;
    let end = socket.ended().await?;
    ensure!(end.code == Some(4401), "{end:?}");
    ensure!(upgrade(&edge, "", &format!("Authorization: Bearer {short}\r\n")).await? == 401);
    lasting.ask(&json!({"type": "ping"}), "pong").await?;
    Ok(())
}

/// Promise: `authenticate` renews a connection beyond the end of its first token; a bad token gets an `error` and
/// changes nothing.
#[tokio::test]
async fn a_renewed_connection_outlives_its_first_token() -> Result<()> {
    let edge = Edge::start(&PRODUCTION).await?;
    let counter = Counter::new(Some("acme"), None, "a");
    let ends = token::now() + 4;
    let short = Token::of(Some("acme"), None, true).claim("exp", json!(ends));
    let mut socket = Socket::open_with_token(&edge, &short.mint()?).await?;
    socket.ask(&json!({"type": "subscribe", "contentIds": ["a"]}), "subscribed").await?;
    for bad in [short.mint_with(Algorithm::HS256, "another secret of some length, long enough")?, "nonsense".to_owned()]
    {
        let error = socket.ask(&json!({"type": "authenticate", "token": bad}), "error").await?;
        ensure!(error["code"] == "unauthorized", "{error}");
    }
    let later = token::now() + 3600;
    let renewed = Token::of(Some("acme"), None, true).claim("exp", json!(later)).mint()?;
    let reply = socket.ask(&json!({"type": "authenticate", "token": renewed}), "authenticated").await?;
    ensure!(reply["expiresAt"] == later * 1000, "{reply}");
    // Twice the second in which the edge looks for ended tokens.
    wait::holds("the end of the first token", || token::now() > ends + 2).await?;
    socket.ask(&json!({"type": "ping"}), "pong").await?;
    edge.api()?.with_token(&renewed).count(&counter, "views", 1).await?;
    socket.shows(&counter, "views", 1).await
}

/// Promise: a token with a smaller authority empties a subscription that it does not cover, with `forbidden`; one that
/// covers it leaves it alone.
#[tokio::test]
async fn a_smaller_authority_empties_what_it_does_not_cover() -> Result<()> {
    // One hub: what the witness was shown before, the other connection would have been.
    let edge = Edge::start(&[&PRODUCTION[..], &[("ANALYTICS_WORKERS", "1")]].concat()).await?;
    let mut platform = edge.api()?.with_token(Token::platform().mint()?);
    let (web, app) = (Counter::new(Some("acme"), Some("web"), "a"), Counter::new(Some("acme"), Some("app"), "a"));
    let whole = Token::of(Some("acme"), None, false).mint()?;
    let only_web = Token::of(Some("acme"), Some("web"), false).mint()?;
    let mut socket = Socket::open_with_token(&edge, &whole).await?;
    socket.ask(&json!({"type": "subscribe", "contentIds": ["a"]}), "subscribed").await?;
    socket.ask(&json!({"type": "authenticate", "token": whole}), "authenticated").await?;
    platform.count(&app, "views", 1).await?;
    socket.shows(&app, "views", 1).await?;

    socket.send(&json!({"type": "authenticate", "token": only_web})).await?;
    let mut replies = Vec::new();
    wait::until("both replies", async || {
        replies.extend(socket.take_messages());
        (replies.len() >= 2).then_some(())
    })
    .await?;
    ensure!(replies.iter().any(|reply| reply["type"] == "authenticated"), "{replies:?}");
    ensure!(replies.iter().any(|reply| reply["code"] == "forbidden"), "{replies:?}");

    // A second connection that may see everything tells when the hub has dealt with the updates.
    let mut witness = Socket::open_with_token(&edge, &whole).await?;
    witness.ask(&json!({"type": "subscribe", "contentIds": ["a"]}), "subscribed").await?;
    platform.count(&app, "views", 1).await?;
    platform.count(&web, "views", 1).await?;
    witness.shows(&web, "views", 1).await?;
    socket.ask(&json!({"type": "ping"}), "pong").await?;
    ensure!(socket.value(&app, "views") == Some(1) && socket.value(&web, "views").is_none(), "it still hears");

    let outside = json!({"type": "subscribe", "contentIds": ["a"], "organizationId": "acme", "clientId": "app"});
    ensure!(socket.ask(&outside, "error").await?["code"] == "forbidden");
    let subscribed = socket.ask(&json!({"type": "subscribe", "contentIds": ["a"]}), "subscribed").await?;
    ensure!(subscribed["clientId"] == "web", "the claims are the default scope: {subscribed}");
    socket.shows(&web, "views", 1).await
}

/// Promise: in development a call without a token may name anything; a token counts once there is a way to verify it.
#[tokio::test]
async fn development_works_without_a_token_and_heeds_one_that_it_can_verify() -> Result<()> {
    let acme = Counter::new(Some("acme"), None, "a");
    let edge = Edge::start(&[]).await?;
    edge.api()?.count(&acme, "views", 1).await?;
    // Without a way to verify, a token is ignored, and the log says so.
    let reply = edge.api()?.with_token("nonsense").read(&["a"], Some("acme"), None).await?;
    ensure!(reply.status == 200, "{}", reply.text());

    let edge = Edge::start(&[("ANALYTICS_JWT_SECRET", SECRET)]).await?;
    edge.api()?.count(&acme, "views", 1).await?;
    ensure!(read(&edge, "nonsense").await?.0 == 401);
    let globex = Token::of(Some("globex"), None, true).mint()?;
    let reply = edge.api()?.with_token(globex).read(&["a"], Some("acme"), None).await?;
    ensure!(reply.outcome() == (403, "forbidden".to_owned()), "{}", reply.text());
    Ok(())
}

/// Promise: no token reaches the log, however talkative, or a request to the platform behind the edge.
#[tokio::test]
async fn no_token_is_logged_or_forwarded() -> Result<()> {
    let upstream = Upstream::start().await?;
    let talkative = [("RUST_LOG", "trace"), ("ANALYTICS_UPSTREAM", &upstream.url)];
    let edge = Edge::start(&[&PRODUCTION[..], &talkative].concat()).await?;
    let token = Token::of(Some("acme"), None, true).mint()?;
    let renewed = Token::of(Some("acme"), None, true).claim("sub", json!("renewed")).mint()?;
    let expired = Token::of(Some("acme"), None, true).claim("exp", json!(1)).mint()?;

    let mut socket = Socket::open_with_token(&edge, &token).await?;
    socket.ask(&json!({"type": "authenticate", "token": renewed}), "authenticated").await?;
    socket.ask(&json!({"type": "authenticate", "token": expired}), "error").await?;
    socket.close().await?;
    let path = format!("/analytics?token={}", encode(&token));
    let socket = Dial { path, ..Dial::default() }.open(&edge).await?;
    socket.close().await?;
    Dial::default().header("authorization", format!("Bearer {token}")).open(&edge).await?.close().await?;
    let mut api = edge.api()?.with_token(&token);
    api.count(&Counter::new(Some("acme"), None, "a"), "views", 1).await?;
    upgrade(&edge, &format!("?token={expired}"), "").await?;
    for path in [format!("{CONTENT}?id=a&token={token}"), format!("{CONTENT}?token={expired}&id=a")] {
        api.http.get(&path).await?;
    }
    for path in [
        format!("/a/page?token={token}"),
        format!("/a/page?x=1&token={token}&y=2"),
        format!("/analytics?token={token}&x=1"),
        format!("/a/page?%74oken={token}"),
    ] {
        let reply = api.http.get(&path).await?;
        ensure!(reply.status == 200, "{path}: {}", reply.text());
        ensure!(!reply.text().contains(&token));
    }
    let heads = upstream.heads();
    ensure!(heads.len() == 4, "{heads:?}");
    ensure!(heads[1].starts_with("GET /a/page?x=1&y=2 HTTP/1.1\r\n"), "the rest of the query is kept: {}", heads[1]);

    ensure!(!edge.log().is_empty() && edge.log().dropped() == 0, "not the whole log was seen");
    for token in [&token, &renewed, &expired] {
        // The signature is the part that must not leak; it is also what no other token has.
        let signature = token.rsplit('.').next().unwrap_or(token);
        for head in &heads {
            ensure!(!head.contains(signature), "a token was forwarded: {head}");
        }
        let lines = edge.log().matching(signature);
        ensure!(lines.is_empty(), "a token was logged: {:.2000}", lines.join("\n"));
    }
    ensure!(!edge.log().contains(SECRET), "the secret was logged");
    Ok(())
}
