//! Promise: WebSocket clients that are not ours, from their registries, work against the edge as they come.
//!
//! The programs under `tests/foreign` print what they receive, a JSON object a line; each test here runs over both.

use std::collections::BTreeSet;
use std::env;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, TryRecvError, sync_channel};
use std::thread;

use analytics_tests::api::update;
use analytics_tests::edge::Edge;
use analytics_tests::memory::{Counter, FIELDS, Shown, Shows};
use analytics_tests::token::{self, Token};
use analytics_tests::wait;
use anyhow::{Context, Result, bail, ensure};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};

/// Lines that may wait for the test; the program's pipe holds the rest.
const LINES_WAITING: usize = 256;

/// A program over an implementation of the WebSocket protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// The Python package `websockets`.
    Python,
    /// The Node package `ws`.
    Node,
}

const KINDS: [Kind; 2] = [Kind::Python, Kind::Node];

/// A running program. It ends with the test at the latest.
struct Client {
    kind: Kind,
    child: Child,
    /// Held open; the program takes its end as the wish to leave.
    input: Option<ChildStdin>,
    lines: Receiver<String>,
    read: Vec<Value>,
}

impl Kind {
    /// The program's command, or what has to be done first.
    fn command(self) -> Result<Command> {
        let tests = Path::new(env!("CARGO_MANIFEST_DIR"));
        let (interpreter, dependency, program) = match self {
            Kind::Python => {
                let python = tests.join("../.tools/venv/bin/python");
                (python.clone(), python, "foreign/client.py")
            }
            Kind::Node => (PathBuf::from("node"), tests.join("foreign/node_modules/ws"), "foreign/client.mjs"),
        };
        if !dependency.exists() {
            bail!("the {self:?} client is not installed: run tests/run once, which installs it, then this again");
        }
        let mut command = Command::new(interpreter);
        command.arg(tests.join(program));
        Ok(command)
    }
}

impl Client {
    /// Starts a program that connects to the edge and subscribes; `arguments` are those of the program.
    fn start(kind: Kind, edge: &Edge, arguments: &[&str]) -> Result<Client> {
        let mut command = kind.command()?;
        command.arg(format!("ws://{}/analytics", edge.authority()?)).args(arguments);
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .with_context(|| format!("start {command:?}; tests/run installs what it needs"))?;
        let output = child.stdout.take().context("the program has no standard output")?;
        let (sender, lines) = sync_channel(LINES_WAITING);
        thread::spawn(move || {
            // The test has left when nobody receives any more; then the rest does not matter.
            BufReader::new(output).lines().map_while(Result::ok).try_for_each(|line| sender.send(line))
        });
        let input = child.stdin.take();
        Ok(Client { kind, child, input, lines, read: Vec::new() })
    }

    /// Reads on until a line meets the condition, and gives it.
    async fn next(&mut self, what: &str, is_it: impl Fn(&Value) -> bool) -> Result<Value> {
        let (lines, read) = (&self.lines, &mut self.read);
        let found = wait::until(what, async || {
            loop {
                let line = match lines.try_recv() {
                    Ok(line) => line,
                    Err(TryRecvError::Empty) => return None,
                    Err(TryRecvError::Disconnected) => return Some(Err(anyhow::anyhow!("the program ended"))),
                };
                match serde_json::from_str::<Value>(&line) {
                    Ok(value) => read.push(value.clone()),
                    Err(error) => return Some(Err(anyhow::anyhow!("{line:?} is not JSON: {error}"))),
                }
                if let Some(value) = read.last().filter(|value| is_it(value)) {
                    return Some(Ok(value.clone()));
                }
            }
        });
        let found = found.await.and_then(|found| found);
        found.with_context(|| format!("{:?} waits for {what}; it read {:#?}", self.kind, self.read))
    }

    /// The next line about the connection.
    async fn event(&mut self, name: &str) -> Result<Value> {
        self.next(name, |line| line["client"] == name).await
    }

    /// The next message of the edge of a type.
    async fn message(&mut self, name: &str) -> Result<Value> {
        self.next(name, |line| line["type"] == name).await
    }

    /// The next update of a field, which must have this value.
    async fn update(&mut self, content: &str, field: &str, value: u64) -> Result<Value> {
        let what = format!("{field} of {content} at {value}");
        self.next(&what, |line| line["contentId"] == content && line["field"] == field && line["value"] == value).await
    }

    /// Lets the program leave in the way that it does: a ping, its answer, and the close handshake.
    async fn leave(mut self) -> Result<()> {
        self.input = None;
        self.message("pong").await?;
        let closed = self.event("closed").await?;
        ensure!(closed["code"] == 1000, "{:?} saw {closed}", self.kind);
        let status = self.ended().await?;
        ensure!(status.success(), "{:?} ended with {status}; it read {:#?}", self.kind, self.read);
        Ok(())
    }

    fn signal(&self, signal: Signal) -> Result<()> {
        kill_process(Pid::from_child(&self.child), signal).with_context(|| format!("send {signal:?}"))
    }

    /// Stops the program (SIGSTOP), and returns when it does not run any more.
    async fn stop(&self) -> Result<()> {
        self.signal(Signal::STOP)?;
        let stat = format!("/proc/{}/stat", self.child.id());
        wait::until("the program to stop", async || {
            let stat = std::fs::read_to_string(&stat).ok()?;
            // The state follows the name, which stands in brackets.
            stat.rsplit_once(") ")?.1.starts_with('T').then_some(())
        })
        .await
    }

    async fn ended(&mut self) -> Result<ExitStatus> {
        wait::until("the program to end", async || self.child.try_wait().ok()?).await
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        // Both fail only if the program has ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// An edge in production mode with the secret of the tests.
async fn production() -> Result<Edge> {
    Edge::start(&[("ANALYTICS_MODE", "production"), ("ANALYTICS_JWT_SECRET", token::SECRET)]).await
}

/// Promise: they connect, get the snapshot of what exists, see changes as they are made, and close cleanly.
#[tokio::test]
async fn they_watch_counts_change() -> Result<()> {
    let edge = Edge::start(&[]).await?;
    let (mut api, counter) = (edge.api()?, Counter::public("straße/1"));
    let mut views = 0;
    for kind in KINDS {
        let (value, version) = api.count(&counter, "views", 3).await?;
        views += 3;
        ensure!(value == views, "the edge counted {value}, not {views}");
        let expected = json!({"contentId": "straße/1", "field": "views", "value": views + 2}).to_string();
        let mut client =
            Client::start(kind, &edge, &["--id", "straße/1", "--id", "never counted", "--expect", &expected])?;
        let opened = client.event("opened").await?;
        ensure!(opened["subprotocol"].is_null(), "{kind:?} was given a subprotocol that it did not ask for: {opened}");
        ensure!(opened["extensions"] == json!([]), "{kind:?} offers compression, which the edge declines: {opened}");
        let connected = client.message("connected").await?;
        ensure!(connected["base"].as_u64().is_some_and(|base| base < version), "{connected}");
        let subscribed = client.message("subscribed").await?;
        ensure!(subscribed["contentIds"] == json!(["straße/1", "never counted"]), "{subscribed}");
        let snapshot = client.update("straße/1", "views", views).await?;
        ensure!(snapshot["version"] == version, "{snapshot} at version {version}");
        // Reads on to the other three fields of the snapshot, in whatever order they come.
        let of_snapshot = |read: &[Value]| FIELDS.iter().all(|field| read.iter().any(|line| line["field"] == *field));
        while !of_snapshot(&client.read) {
            client.message("analytics_update").await?;
        }
        let (_, version) = api.count(&counter, "views", 2).await?;
        views += 2;
        let update = client.update("straße/1", "views", views).await?;
        ensure!(update["version"] == version, "{update} at version {version}");
        client.event("expected").await?;
        client.leave().await?;
    }
    Ok(())
}

/// Promise: one that is stopped in the middle of updates (SIGSTOP) and continued ends at the newest value of every field,
/// and no version that it is shown goes back.
#[tokio::test]
async fn they_are_stopped_and_continued() -> Result<()> {
    const CONTENTS: usize = 10;
    /// Batches posted before the stop, and after it has ended.
    const AROUND: u64 = 20;
    let ids: Vec<String> = (0..CONTENTS).map(|index| format!("content {index}")).collect();
    let counters: Vec<Counter> = ids.iter().map(|id| Counter::public(id)).collect();
    let updates = counters.iter().flat_map(|counter| FIELDS.map(|field| update(counter, field, 1)));
    let batch = json!({"updates": updates.collect::<Vec<_>>()});
    let arguments: Vec<&str> = ids.iter().flat_map(|id| ["--id", id]).collect();
    for kind in KINDS {
        let edge = Edge::start(&[]).await?;
        let mut client = Client::start(kind, &edge, &arguments)?;
        client.message("subscribed").await?;
        let (mut api, mut posted) = (edge.api()?, 0);
        let mut post = async || {
            let reply = api.trigger(&batch, None).await?;
            posted += 1;
            ensure!(reply.status == 200, "{}", reply.text());
            anyhow::Ok(posted)
        };
        for _ in 0..AROUND {
            post().await?;
        }
        client.stop().await?;
        // Until its socket takes no more.
        for _ in 0..10_000 {
            post().await?;
            if edge.metric("analytics_sockets_full_total").await? > 0 {
                break;
            }
        }
        ensure!(edge.metric("analytics_sockets_full_total").await? > 0, "{kind:?} was never behind");
        for _ in 0..AROUND {
            post().await?;
        }
        client.signal(Signal::CONT)?;
        let mut last = 0;
        for _ in 0..AROUND {
            last = post().await?;
        }
        let shown = |client: &Client| {
            let newest = client.read.iter().filter(|line| line["type"] == "analytics_update" && line["value"] == last);
            newest.map(|line| (line["contentId"].to_string(), line["field"].to_string())).collect::<BTreeSet<_>>().len()
        };
        while shown(&client) < CONTENTS * FIELDS.len() {
            client.message("analytics_update").await?;
        }
        let mut shows = Shows::above(0);
        for line in client.read.iter().filter(|line| line["type"] == "analytics_update") {
            let number = |name: &str| line[name].as_u64().with_context(|| format!("no {name} in {line}"));
            let shown = Shown { value: number("value")?, version: number("version")? };
            let field = line["field"].as_str().with_context(|| format!("no field in {line}"))?;
            shows
                .check(&Counter::of_message(line), field, shown)
                .map_err(|broken| anyhow::anyhow!("{kind:?}: {broken}"))?;
        }
        client.leave().await?;
    }
    Ok(())
}

/// Promise: they answer the edge's pings as they come, so a connection on which nothing else happens lives on.
#[tokio::test]
async fn they_outlive_the_heartbeat() -> Result<()> {
    let edge =
        Edge::start(&[("ANALYTICS_HEARTBEAT_INTERVAL_MS", "1000"), ("ANALYTICS_HEARTBEAT_TIMEOUT_MS", "5000")]).await?;
    let mut clients = Vec::new();
    for kind in KINDS {
        clients.push(Client::start(kind, &edge, &["--id", "quiet"])?);
    }
    for mut client in clients {
        // The fourth comes after more than the time-out: an answer that the edge had not taken would have ended it.
        for _ in 0..4 {
            client.event("pinged").await?;
        }
        client.leave().await?;
    }
    Ok(())
}

/// Promise: a token that they send as a subprotocol or in a header opens its organization's counters, and no others.
#[tokio::test]
async fn they_bring_a_token() -> Result<()> {
    let edge = production().await?;
    let mut writer = edge.api()?.with_token(Token::platform().mint()?);
    writer.count(&Counter::new(Some("acme"), None, "a"), "likes", 7).await?;
    writer.count(&Counter::new(Some("other"), None, "a"), "likes", 9).await?;
    let token = Token::of(Some("acme"), None, false).mint()?;
    for kind in KINDS {
        for (place, subprotocol) in [("subprotocol", json!("bearer")), ("header", Value::Null)] {
            let mut client = Client::start(kind, &edge, &["--id", "a", "--token", &token, "--token-by", place])?;
            let opened = client.event("opened").await?;
            ensure!(opened["subprotocol"] == subprotocol, "{kind:?} by {place}: {opened}");
            let subscribed = client.message("subscribed").await?;
            ensure!(subscribed["organizationId"] == "acme", "the scope is the token's: {subscribed}");
            client.update("a", "likes", 7).await?;
            let others = client.read.iter().find(|line| line["organizationId"] == "other");
            ensure!(others.is_none(), "{kind:?} was shown another organization's counter: {others:?}");
            client.leave().await?;
        }
    }
    Ok(())
}

/// Promise: without a valid token they are refused before the upgrade, with a status that they can read.
#[tokio::test]
async fn they_are_refused_without_a_valid_token() -> Result<()> {
    let edge = production().await?;
    let expired = Token::default().claim("exp", json!(token::now() - 3600)).mint()?;
    for kind in KINDS {
        for arguments in [&["--id", "a"][..], &["--id", "a", "--token", &expired]] {
            let mut client = Client::start(kind, &edge, arguments)?;
            let refused = client.event("refused").await?;
            ensure!(refused["status"] == 401, "{kind:?} with {} arguments: {refused}", arguments.len());
            ensure!(!client.ended().await?.success(), "{kind:?} took the refusal for a success");
        }
    }
    Ok(())
}
