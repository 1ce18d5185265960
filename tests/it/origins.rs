//! Promise: pages of allowed origins may call and watch, as browsers do it, and pages of other origins may not.

use analytics_tests::api::{CONTENT, TRIGGER};
use analytics_tests::edge::{Edge, PRODUCTION};
use analytics_tests::http::Reply;
use analytics_tests::raw::{Raw, handshake};
use anyhow::{Result, ensure};
use bytes::Bytes;
use http::Method;

/// What a browser sends before it posts JSON with a token and a key from another origin.
async fn preflight(edge: &Edge, path: &str, origin: &str) -> Result<Reply> {
    let headers = [
        ("origin", origin),
        ("access-control-request-method", "POST"),
        ("access-control-request-headers", "authorization,content-type,idempotency-key"),
    ];
    edge.api()?.http.send(Method::OPTIONS, path, &headers, Bytes::new()).await
}

async fn poll(edge: &Edge, origin: &str) -> Result<Reply> {
    let path = format!("{CONTENT}?id=article");
    edge.api()?.http.send(Method::GET, &path, &[("origin", origin)], Bytes::new()).await
}

/// The status that an upgrade from a page of this origin gets.
async fn upgrade(edge: &Edge, origin: &str) -> Result<u16> {
    let authority = edge.authority()?;
    let mut raw = Raw::connect(&authority).await?;
    raw.send(handshake(&authority, "/analytics", &format!("Origin: {origin}\r\n")).as_bytes()).await?;
    Ok(raw.head().await?.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or(0))
}

/// Whether a comma-separated header names all of these, letter case apart.
fn names(reply: &Reply, header: &str, wanted: &[&str]) -> bool {
    let listed = reply.header(header).unwrap_or_default().to_ascii_lowercase();
    let listed: Vec<&str> = listed.split(',').map(str::trim).collect();
    wanted.iter().all(|name| listed.contains(&name.to_ascii_lowercase().as_str()))
}

fn allows(reply: &Reply, origin: &str) -> bool {
    matches!(reply.header("access-control-allow-origin"), Some(allowed) if allowed == "*" || allowed == origin)
}

fn has_no_cors_headers(reply: &Reply) -> bool {
    !reply.headers.keys().any(|name| name.as_str().starts_with("access-control-"))
}

/// Promise: a preflight gets 204 with what a browser needs, and the cross-origin call after it is readable, errors
/// included; cookies are never asked for.
#[tokio::test]
async fn a_preflight_and_a_cross_origin_poll_work_as_a_browser_does_them() -> Result<()> {
    let edge = Edge::start(&[]).await?;
    let origin = "http://localhost:3000";
    for path in [TRIGGER, CONTENT, "/api/analytics/performance-config"] {
        let reply = preflight(&edge, path, origin).await?;
        ensure!(reply.status == 204 && allows(&reply, origin), "{path}: {} {:?}", reply.status, reply.headers);
        let wanted = ["Authorization", "Content-Type", "Idempotency-Key"];
        ensure!(names(&reply, "access-control-allow-headers", &wanted), "{path}: {:?}", reply.headers);
        let method = if path == TRIGGER { "POST" } else { "GET" };
        ensure!(names(&reply, "access-control-allow-methods", &[method]), "{path}: {:?}", reply.headers);
        ensure!(names(&reply, "vary", &["Origin"]), "{path}: {:?}", reply.headers);
    }
    let bad_call = edge.api()?.http.send(Method::GET, CONTENT, &[("origin", origin)], Bytes::new()).await?;
    ensure!(bad_call.status == 400, "{}", bad_call.text());
    for reply in [poll(&edge, origin).await?, bad_call] {
        ensure!(allows(&reply, origin), "{:?}", reply.headers);
        let exposed = ["Retry-After", "Idempotency-Replayed"];
        ensure!(names(&reply, "access-control-expose-headers", &exposed), "{:?}", reply.headers);
        ensure!(names(&reply, "vary", &["Origin"]), "{:?}", reply.headers);
        ensure!(reply.header("access-control-allow-credentials").is_none(), "cookies are never asked for");
    }
    Ok(())
}

/// Promise: a list of origins governs calls, preflights and upgrades alike.
#[tokio::test]
async fn a_list_of_origins_governs_calls_and_upgrades_alike() -> Result<()> {
    let list = "https://app.example.com, https://*.tenants.example,http://localhost:3000";
    let edge = Edge::start(&[("ANALYTICS_ALLOWED_ORIGINS", list)]).await?;
    for (origin, allowed) in [
        ("https://app.example.com", true),
        ("https://one.tenants.example", true),
        ("https://a.b.tenants.example", true),
        ("http://localhost:3000", true),
        ("http://app.example.com", false),
        ("https://app.example.com:8443", false),
        ("https://app.example.com.evil.example", false),
        ("https://evilapp.example.com", false),
        ("https://eviltenants.example", false),
        ("https://tenants.example.evil.example", false),
        ("http://one.tenants.example", false),
        ("http://localhost:3001", false),
        ("http://localhost", false),
        ("null", false),
    ] {
        let status = upgrade(&edge, origin).await?;
        ensure!(status == if allowed { 101 } else { 403 }, "an upgrade from {origin} got {status}");
        let call = poll(&edge, origin).await?;
        let preflight = preflight(&edge, TRIGGER, origin).await?;
        if allowed {
            ensure!(call.status == 200 && allows(&call, origin), "{origin}: {} {:?}", call.status, call.headers);
            ensure!(preflight.status == 204 && allows(&preflight, origin), "{origin}: {:?}", preflight.headers);
        } else {
            for reply in [call, preflight] {
                ensure!(
                    reply.outcome() == (403, "forbidden".to_owned()),
                    "{origin}: {} {}",
                    reply.status,
                    reply.text()
                );
                ensure!(has_no_cors_headers(&reply), "{origin}: {:?}", reply.headers);
            }
        }
    }
    // A request without Origin is not a browser's.
    ensure!(edge.api()?.http.get(&format!("{CONTENT}?id=article")).await?.status == 200);
    Ok(())
}

/// Promise: in production without a list, only pages of the edge's own host and port may call; a preflight is answered
/// before any token is asked for.
#[tokio::test]
async fn production_without_a_list_knows_its_own_pages_only() -> Result<()> {
    let edge = Edge::start(&PRODUCTION).await?;
    let own = format!("http://{}", edge.authority()?);
    // The scheme may have ended before the edge.
    for origin in [own.clone(), own.replace("http://", "https://")] {
        let reply = preflight(&edge, TRIGGER, &origin).await?;
        ensure!(reply.status == 204 && allows(&reply, &origin), "{origin}: {} {:?}", reply.status, reply.headers);
        ensure!(poll(&edge, &origin).await?.status == 401, "a token is asked for, after the origin");
        ensure!(upgrade(&edge, &origin).await? == 401);
    }
    for origin in ["https://elsewhere.example", "http://127.0.0.1", "http://localhost:1", "null"] {
        ensure!(preflight(&edge, TRIGGER, origin).await?.status == 403, "{origin}");
        ensure!(poll(&edge, origin).await?.status == 403, "{origin}");
        ensure!(upgrade(&edge, origin).await? == 403, "{origin}");
    }
    Ok(())
}

/// Promise: a foreign page gets 403 without CORS headers on every path, preflights included; an allowed one may ask
/// about each.
#[tokio::test]
async fn a_foreign_page_is_refused_everywhere() -> Result<()> {
    let edge = Edge::start(&[("ANALYTICS_ALLOWED_ORIGINS", "https://a.example")]).await?;
    let mut api = edge.api()?;
    for path in ["/health", "/ready", "/", "/nothing", "/analytics", CONTENT, TRIGGER] {
        for method in [Method::GET, Method::OPTIONS] {
            let foreign = [("origin", "https://evil.example")];
            let reply = api.http.send(method.clone(), path, &foreign, Bytes::new()).await?;
            ensure!(reply.outcome() == (403, "forbidden".to_owned()), "{method} {path}: {}", reply.text());
            ensure!(reply.header("access-control-allow-methods").is_none(), "{method} {path}");
            ensure!(reply.header("access-control-allow-origin").is_none(), "{method} {path}");
        }
    }
    for path in ["/health", "/ready", "/analytics", CONTENT, TRIGGER] {
        let reply = preflight(&edge, path, "https://a.example").await?;
        ensure!(reply.status == 204, "{path}: {}", reply.status);
    }
    Ok(())
}
