//! Promise: in development, an edge without a platform behind it serves a dashboard of three files that load nothing from
//! elsewhere; in production it serves none.

use analytics_tests::edge::{Edge, PRODUCTION};
use analytics_tests::upstream::{BODY, Upstream};
use anyhow::{Context, Result, ensure};
use bytes::Bytes;
use http::Method;

const FILES: [(&str, &str); 3] = [
    ("/", "text/html; charset=utf-8"),
    ("/app.js", "text/javascript; charset=utf-8"),
    ("/app.css", "text/css; charset=utf-8"),
];

/// Promise: each file is there whole, as what it is; HEAD says the same without it, and nothing else may be asked of it.
#[tokio::test]
async fn development_has_a_dashboard() -> Result<()> {
    let edge = Edge::start(&[]).await?;
    let mut http = edge.api()?.http;
    for (path, kind) in FILES {
        let reply = http.get(path).await?;
        ensure!(reply.status == 200 && reply.header("content-type") == Some(kind), "{path}: {:?}", reply.headers);
        ensure!(!reply.body.is_empty(), "{path}");
        ensure!(reply.header("content-length") == Some(reply.body.len().to_string().as_str()), "{path}");
        ensure!(reply.header("cache-control") == Some("no-store"), "{path}: {:?}", reply.headers);
        let head = http.send(Method::HEAD, path, &[], Bytes::new()).await?;
        ensure!(head.status == 200 && head.body.is_empty(), "{path}: {} {}", head.status, head.text());
        for name in ["content-type", "content-length", "content-security-policy"] {
            ensure!(head.header(name) == reply.header(name), "{path}: {name} of HEAD is {:?}", head.header(name));
        }
        let post = http.send(Method::POST, path, &[], Bytes::new()).await?;
        ensure!(post.outcome() == (405, "method_not_allowed".to_owned()), "{path}: {} {}", post.status, post.text());
    }
    let html = http.get("/").await?.text();
    for (path, _) in &FILES[1..] {
        ensure!(html.contains(&format!("\"{path}\"")), "{path} is not asked for: {html}");
    }
    Ok(())
}

/// Promise: the browser is told to run, style and load only what the edge serves, and to guess no types.
#[tokio::test]
async fn the_dashboard_may_load_nothing_from_elsewhere() -> Result<()> {
    let edge = Edge::start(&[]).await?;
    let mut http = edge.api()?.http;
    for (path, _) in FILES {
        let reply = http.get(path).await?;
        ensure!(reply.header("x-content-type-options") == Some("nosniff"), "{path}: {:?}", reply.headers);
        let policy = reply.header("content-security-policy").with_context(|| format!("{path} has no policy"))?;
        let directives: Vec<&str> = policy.split(';').map(str::trim).collect();
        for directive in [
            "default-src 'none'",
            "script-src 'self'",
            "style-src 'self'",
            "img-src 'self' data:",
            "base-uri 'none'",
            "form-action 'none'",
            "frame-ancestors 'none'",
        ] {
            ensure!(directives.contains(&directive), "{path}: {directive} is not in {policy}");
        }
        ensure!(!policy.contains("unsafe"), "{path}: {policy}");
    }
    Ok(())
}

/// Promise: the page may speak to the host that it was asked of, by HTTP and by WebSocket, and to no other one, whatever
/// that host is called.
#[tokio::test]
async fn the_dashboard_speaks_to_its_own_edge_only() -> Result<()> {
    let edge = Edge::start(&[]).await?;
    let mut http = edge.api()?.http;
    for (host, expected) in [
        ("counts.example:8443", "'self' ws://counts.example:8443 wss://counts.example:8443"),
        ("127.0.0.1:3001", "'self' ws://127.0.0.1:3001 wss://127.0.0.1:3001"),
        // A policy has no words for these.
        ("[::1]:3001", "'self'"),
        ("counts.example;img-src", "'self'"),
    ] {
        let reply = http.send(Method::GET, "/", &[("host", host)], Bytes::new()).await?;
        let policy = reply.header("content-security-policy").with_context(|| format!("{host}: {}", reply.text()))?;
        let connect = policy.split(';').find_map(|directive| directive.trim().strip_prefix("connect-src "));
        ensure!(connect == Some(expected), "{host}: {policy}");
    }
    Ok(())
}

/// Promise: in production there is no dashboard.
#[tokio::test]
async fn production_has_no_dashboard() -> Result<()> {
    let edge = Edge::start(&PRODUCTION).await?;
    let mut http = edge.api()?.http;
    for (path, _) in FILES {
        let reply = http.get(path).await?;
        ensure!(reply.outcome() == (404, "not_found".to_owned()), "{path}: {} {}", reply.status, reply.text());
    }
    Ok(())
}

/// Promise: with a platform behind the edge these paths are the platform's.
#[tokio::test]
async fn a_platform_keeps_its_own_pages() -> Result<()> {
    let upstream = Upstream::start().await?;
    let edge = Edge::start(&[("ANALYTICS_UPSTREAM", &upstream.url)]).await?;
    let mut http = edge.api()?.http;
    for (path, _) in FILES {
        let reply = http.get(path).await?;
        ensure!(reply.status == 200 && reply.text() == BODY, "{path}: {} {}", reply.status, reply.text());
    }
    Ok(())
}
