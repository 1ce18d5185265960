//! Promise: an edge, and the relay beside it, starts with a configuration that is right as a whole, or not at all, and
//! then says what is wrong.

use std::sync::Arc;

use analytics_tests::edge::{Edge, PRODUCTION};
use analytics_tests::log::Log;
use analytics_tests::nats::NatsServer;
use analytics_tests::program::{self, Program};
use analytics_tests::socket::Socket;
use analytics_tests::token::SECRET;
use analytics_tests::wait;
use anyhow::{Context, Result, ensure};
use io_uring::IoUring;

/// A variable, a value that it must not have, and what the refusal must name besides.
const BAD: &[(&str, &str, &[&str])] = &[
    ("ANALYTICS_MODE", "prod", &["development", "production"]),
    ("ANALYTICS_BIND", "nowhere", &[]),
    ("ANALYTICS_WS_PORT", "70000", &[]),
    ("ANALYTICS_WS_PORT", "http", &[]),
    ("ANALYTICS_API_PORT", "-1", &[]),
    ("ANALYTICS_ADMIN_ADDR", "9464", &[]),
    ("ANALYTICS_WORKERS", "0", &[]),
    ("ANALYTICS_WORKERS", "many", &[]),
    ("ANALYTICS_UPSTREAM", "ftp://platform.example", &["http"]),
    ("ANALYTICS_UPSTREAM", "platform", &[]),
    ("ANALYTICS_TRIGGER_URL", "function.example", &["http(s)://host"]),
    ("ANALYTICS_TRIGGER_URL", "http://me:hidden@function.example", &["without a user"]),
    ("ANALYTICS_TRIGGER_URL", "https://function.example/?token=hidden", &["http(s)://host"]),
    ("ANALYTICS_STORE", "mongo", &[]),
    ("ANALYTICS_FEED", "kafka", &[]),
    ("ANALYTICS_DATA_DIR", "/dev/null/no/directory", &[]),
    ("ANALYTICS_JWT_SECRET", "short", &[]),
    ("ANALYTICS_ALLOWED_ORIGINS", "app.example.com", &[]),
    ("ANALYTICS_ALLOWED_ORIGINS", "https://app.example.com/path", &[]),
    ("ANALYTICS_ALLOWED_ORIGINS", "https://app.*.com", &[]),
    ("ANALYTICS_SIMULATE", "maybe", &[]),
    ("ANALYTICS_SIMULATION_INTERVAL_MS", "0", &[]),
    ("ANALYTICS_HEARTBEAT_INTERVAL_MS", "0", &[]),
    ("ANALYTICS_HEARTBEAT_TIMEOUT_MS", "soon", &[]),
    ("ANALYTICS_HANDSHAKE_TIMEOUT_MS", "0", &[]),
    ("ANALYTICS_MAX_CONNECTIONS", "0", &[]),
    ("ANALYTICS_MAX_CONTENT_IDS", "0", &[]),
    ("ANALYTICS_MAX_CONTENT_IDS", "1e3", &[]),
    ("ANALYTICS_MAX_MESSAGE_BYTES", "64k", &[]),
    ("ANALYTICS_MAX_BODY_BYTES", "1MB", &[]),
    ("ANALYTICS_IO_URING", "yes", &["auto", "off"]),
    ("ANALYTICS_DRAIN_SECONDS", "-1", &[]),
    ("ANALYTICS_NO_SUCH_OPTION", "1", &[]),
    ("ANALYTICS_WSPORT", "3001", &[]),
];

/// Promise: a bad value, and a variable that does not exist, end the process with an error that names the variable and,
/// where there is a list, what is allowed; nothing listens before.
#[tokio::test]
async fn a_bad_configuration_refuses_to_start_and_names_the_variable() -> Result<()> {
    for (name, value, allowed) in BAD {
        let refusal = Edge::refuse(&[(name, value)]).await.with_context(|| format!("{name}={value}"))?;
        ensure!(!refusal.status.success(), "{name}={value} was accepted");
        let stderr = &refusal.stderr;
        ensure!(stderr.contains(name), "{name}={value}: the error does not name it: {stderr}");
        ensure!(allowed.iter().all(|word| stderr.contains(word)), "{name}={value}: not what is allowed: {stderr}");
        ensure!(!stderr.contains("hidden"), "{name}={value}: a password is shown: {stderr}");
        ensure!(!stderr.contains("listening"), "{name}={value}: it listened first: {stderr}");
        ensure!(!stderr.contains("panicked"), "{name}={value}: {stderr}");
    }
    Ok(())
}

/// Promise: a store and a feed that do not belong together, or lack what they need, are refused; a password in a URL is
/// not repeated.
#[tokio::test]
async fn a_store_and_a_feed_must_belong_together() -> Result<()> {
    let dynamodb = [("ANALYTICS_STORE", "dynamodb")];
    let nats = [dynamodb[0], ("ANALYTICS_FEED", "nats")];
    for (env, named) in [
        (&[("ANALYTICS_FEED", "nats")][..], "ANALYTICS_FEED"),
        (&dynamodb[..], "ANALYTICS_FEED"),
        (&[dynamodb[0], ("ANALYTICS_FEED", "embedded")][..], "ANALYTICS_FEED"),
        (&nats[..], "ANALYTICS_NATS_URL"),
        (&[nats[0], nats[1], ("ANALYTICS_NATS_URL", "http://me:hidden@a")][..], "ANALYTICS_NATS_URL"),
        (
            &[nats[0], nats[1], ("ANALYTICS_NATS_URL", "nats://a"), ("ANALYTICS_TABLE_PREFIX", "a/b")][..],
            "TABLE_PREFIX",
        ),
        (&[nats[0], nats[1], ("ANALYTICS_NATS_URL", "nats://a"), ("ANALYTICS_STORE_EPOCH", "-1")][..], "STORE_EPOCH"),
        (
            &[
                nats[0],
                nats[1],
                ("ANALYTICS_NATS_URL", "nats://a"),
                ("ANALYTICS_SIMULATE", "true"),
                ("AWS_ENDPOINT_URL_DYNAMODB", "https://dynamodb.eu-central-1.amazonaws.com"),
            ][..],
            "ANALYTICS_SIMULATE",
        ),
    ] {
        let refusal = Edge::refuse(env).await.with_context(|| format!("{env:?}"))?;
        ensure!(!refusal.status.success(), "{env:?} was accepted");
        ensure!(refusal.stderr.contains(named), "{env:?}: the error does not name {named}: {}", refusal.stderr);
        ensure!(!refusal.stderr.contains("hidden"), "{env:?}: a password is shown: {}", refusal.stderr);
    }
    Ok(())
}

/// Promise: the relay refuses what is wrong or misspelt, names it, and repeats no password; what an environment holds that
/// it shares with the proxy or the function is not misspelt.
#[tokio::test]
async fn the_relay_refuses_what_is_wrong_and_knows_what_is_not_its_own() -> Result<()> {
    let good = ("ANALYTICS_NATS_URL", "nats://127.0.0.1:9");
    for (env, named) in [
        (&[][..], "ANALYTICS_NATS_URL must be set"),
        (&[("ANALYTICS_NATS_URL", "")][..], "ANALYTICS_NATS_URL must be set"),
        (&[("ANALYTICS_NATS_URL", "http://me:hidden@a")][..], "ANALYTICS_NATS_URL is not"),
        (&[good, ("ANALYTICS_NATS_DOMIAN", "hub")][..], "ANALYTICS_NATS_DOMIAN"),
        (&[good, ("ANALYTICS_NATS_MAX_BYTES", "1")][..], "ANALYTICS_NATS_MAX_BYTES"),
        (&[good, ("ANALYTICS_NATS_REPLICAS", "6")][..], "ANALYTICS_NATS_REPLICAS"),
        (&[good, ("ANALYTICS_TABLE_PREFIX", "a/b")][..], "ANALYTICS_TABLE_PREFIX"),
    ] {
        let (status, said) = Program::run("stream-relay", env).await?;
        ensure!(!status.success() && said.contains(named), "{env:?}: {status}, {said}");
        ensure!(!said.contains("hidden"), "{env:?}: a password is shown: {said}");
    }
    let help = program::output("analytics-proxy", &["--help"])?;
    let names = help.split("[env: ").skip(1).filter_map(|rest| rest.split(['=', ']']).next());
    let shared: Vec<(&str, &str)> = names.map(|name| (name, "")).collect();
    ensure!(shared.len() > 30, "{help}");
    let (_, said) = Program::run("stream-relay", &shared).await?;
    ensure!(said.contains("ANALYTICS_NATS_URL must be set") && said.lines().count() == 1, "{said}");
    Ok(())
}

/// Promise: to the relay too an empty variable is an unset one: a template's parameter that was left empty stands in the
/// environment like that.
#[tokio::test]
async fn an_empty_variable_of_the_relay_counts_as_unset() -> Result<()> {
    let server = NatsServer::hub().await?;
    let mut env = vec![
        ("ANALYTICS_NATS_URL", format!("nats://{}", server.address)),
        ("AWS_REGION", "us-east-1".to_owned()),
        ("AWS_ENDPOINT_URL_DYNAMODB_STREAMS", "http://127.0.0.1:9".to_owned()),
    ];
    let empty = ["TABLE_PREFIX", "NATS_DOMAIN", "NATS_CREDENTIALS", "NATS_MAX_BYTES", "NATS_REPLICAS"];
    let empty = empty.map(|name| format!("ANALYTICS_{name}"));
    env.extend(empty.iter().map(|name| (name.as_str(), String::new())));
    let log = Arc::new(Log::default());
    let _relay = Program::start_logged("stream-relay", &[], &env, &log)?;
    wait::holds("the relay to read", || log.tail(60).iter().any(|line| line.contains("this process reads the stream")))
        .await
        .with_context(|| log.tail(60).join("\n"))
}

/// Promise: values that do not fit each other are refused like one that is wrong by itself.
#[tokio::test]
async fn values_that_contradict_each_other_are_refused() -> Result<()> {
    let simulated = [&PRODUCTION[..], &[("ANALYTICS_SIMULATE", "true")]].concat();
    let heartbeat = [("ANALYTICS_HEARTBEAT_INTERVAL_MS", "2000"), ("ANALYTICS_HEARTBEAT_TIMEOUT_MS", "1000")];
    let function = [("ANALYTICS_TRIGGER_URL", "http://me.example/hidden")];
    for (env, named) in [
        (simulated, &["ANALYTICS_SIMULATE"][..]),
        (heartbeat.to_vec(), &["ANALYTICS_HEARTBEAT_TIMEOUT_MS"]),
        (function.to_vec(), &["ANALYTICS_TRIGGER_URL", "ANALYTICS_STORE"]),
        ([&function[..], &[("ANALYTICS_STORE", "embedded")]].concat(), &["ANALYTICS_TRIGGER_URL", "ANALYTICS_STORE"]),
    ] {
        let refusal = Edge::refuse(&env).await?;
        ensure!(!refusal.status.success(), "{env:?} was accepted");
        ensure!(named.iter().all(|name| refusal.stderr.contains(name)), "{env:?}: {}", refusal.stderr);
        ensure!(!refusal.stderr.contains("hidden"), "{env:?}: the URL is shown: {}", refusal.stderr);
    }
    Ok(())
}

/// Promise: production refuses to start without a way to verify tokens, and says which variables give one.
#[tokio::test]
async fn production_refuses_to_start_without_a_way_to_verify_tokens() -> Result<()> {
    let refusal = Edge::refuse(&[("ANALYTICS_MODE", "production")]).await?;
    ensure!(!refusal.status.success() && refusal.stderr.contains("ANALYTICS_JWT_SECRET"), "{}", refusal.stderr);
    Ok(())
}

/// Promise: an edge binds beyond loopback only when its mode was chosen.
#[tokio::test]
async fn only_a_chosen_mode_binds_beyond_loopback() -> Result<()> {
    let refusal = Edge::refuse_without("ANALYTICS_MODE", &[("ANALYTICS_BIND", "0.0.0.0")]).await?;
    ensure!(!refusal.status.success() && refusal.stderr.contains("ANALYTICS_MODE"), "{}", refusal.stderr);
    Ok(())
}

/// Promise: a refusal shows no secret.
#[tokio::test]
async fn secrets_do_not_appear_in_a_refusal() -> Result<()> {
    let bad = [("ANALYTICS_WS_PORT", "70000"), ("ANALYTICS_JWT_SECRET", SECRET)];
    let refusal = Edge::refuse(&bad).await?;
    ensure!(!refusal.status.success() && !refusal.stderr.contains(SECRET), "{}", refusal.stderr);
    Ok(())
}

/// Promise: in production the log is JSON, and neither messages nor updates write lines of their own.
#[tokio::test]
async fn production_logs_json_and_no_line_per_message() -> Result<()> {
    let edge = Edge::start(&[&PRODUCTION[..], &[("ANALYTICS_MESSAGES_PER_SECOND", "10000")]].concat()).await?;
    let token = analytics_tests::token::Token::of(Some("acme"), None, true).mint()?;
    let counter = analytics_tests::memory::Counter::new(Some("acme"), None, "article");
    let mut socket = analytics_tests::socket::Socket::open_with_token(&edge, &token).await?;
    socket.ask(&serde_json::json!({"type": "subscribe", "contentIds": ["article"]}), "subscribed").await?;
    let mut api = edge.api()?.with_token(&token);
    let before = edge.log().len();
    for value in 1..=200 {
        api.count(&counter, "views", 1).await?;
        socket.ask(&serde_json::json!({"type": "ping"}), "pong").await?;
        socket.shows(&counter, "views", value).await?;
    }
    let grown = edge.log().len() - before;
    ensure!(grown < 100, "{grown} lines for 200 messages and 200 updates");
    for line in edge.log().tail(usize::MAX) {
        ensure!(serde_json::from_str::<serde_json::Value>(&line).is_ok(), "a line is not JSON: {line}");
    }
    Ok(())
}

/// Promise: hubs send by io_uring where the kernel gives it, unless they must not, and operators can see which it is.
#[tokio::test]
async fn hubs_send_by_io_uring_where_they_can_and_may() -> Result<()> {
    // Asked apart from the edge, which might be wrong about it.
    let given = IoUring::new(1).is_ok();
    println!("the kernel gives io_uring: {given}");
    for (setting, may) in [("auto", true), ("off", false)] {
        let edge = Edge::start(&[("ANALYTICS_IO_URING", setting), ("ANALYTICS_WORKERS", "1")]).await?;
        // A connection that is greeted shows that its hub runs.
        let _socket = Socket::open(&edge).await?;
        let hubs = edge.metric("analytics_io_uring_hubs").await?;
        let refused = edge.log().tail(usize::MAX).iter().any(|line| line.contains("gives no io_uring"));
        ensure!(
            hubs == u64::from(may && given),
            "{setting}: {hubs} hubs send by io_uring, the kernel gives it: {given}"
        );
        ensure!(refused == (may && !given), "{setting}: what the kernel refuses is told, and only that");
    }
    Ok(())
}
