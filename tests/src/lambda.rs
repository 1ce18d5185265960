//! The real emulator of Lambda, `cargo lambda watch`, with the workspace's functions. The rule: it and every process
//! that it started end together, by a kill, with its owner, or when its owner is killed.
//!
//! The emulator starts a function with `cargo run` at the first call. Cargo then finds what `cargo build --workspace`
//! made, for both select all packages and so the same features: a start takes a second and builds nothing.
//!
//! It runs under a shell that waits for the end of its standard input and then kills it: the pipe ends with its owner,
//! however that ends. A function whose emulator is gone ends by itself.

use std::collections::HashMap;
use std::env;
use std::fs::{self, File};
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};

use anyhow::{Context, Result, bail, ensure};
use bytes::Bytes;
use http::{Method, StatusCode};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::api::Api;
use crate::http::Http;
use crate::{port, wait};

/// The function behind the counts.
pub const TRIGGER_UPDATE: &str = "trigger-update";
/// The function between the tables' stream and the log in NATS.
pub const STREAM_RELAY: &str = "stream-relay";

/// How often a port is tried: one that was free may be taken before the emulator binds it.
const PORTS: u32 = 5;

/// Tells the emulator's process id, then outlives its own input by no more than it takes to kill the emulator.
const WATCHED: &str = "\"$@\" >>\"$LOG\" 2>&1 </dev/null & echo $!; cat >/dev/null; kill -9 $! 2>/dev/null; wait";

/// A running emulator on a port that it keeps over restarts.
#[derive(Debug)]
pub struct Lambda {
    port: u16,
    env: Vec<(String, String)>,
    instances: u32,
    files: TempDir,
    running: Option<Running>,
}

#[derive(Debug)]
struct Running {
    emulator: Pid,
    shell: Child,
    /// Its end is the emulator's.
    input: Option<ChildStdin>,
}

impl Lambda {
    /// Starts the emulator on a free port with this environment of its functions, each with up to `instances`
    /// containers; no variable of the caller's that begins with `ANALYTICS_` or `AWS_` reaches them. The functions
    /// start when they are first called ([`Lambda::warm`]).
    pub async fn start(
        env: impl IntoIterator<Item = (impl Into<String>, impl Into<String>)>,
        instances: u32,
    ) -> Result<Lambda> {
        let env: Vec<_> = env.into_iter().map(|(name, value)| (name.into(), value.into())).collect();
        let mut last = None;
        for _ in 0..PORTS {
            let files = tempfile::tempdir().context("create a directory for the log")?;
            let mut lambda = Lambda { port: port::free()?.port(), env: env.clone(), instances, files, running: None };
            match lambda.start_again().await {
                Ok(()) => return Ok(lambda),
                Err(error) => last = Some(error),
            }
        }
        Err(last.context("no port was tried")?)
    }

    /// Starts an emulator that was killed again: same port, same environment, cold functions.
    pub async fn start_again(&mut self) -> Result<()> {
        ensure!(self.running.is_none(), "the emulator is still running");
        let mut shell = self.command()?.spawn().context("start cargo-lambda")?;
        let input = shell.stdin.take();
        let output = shell.stdout.take().context("the shell has no standard output")?;
        let mut line = String::new();
        BufReader::new(output).read_line(&mut line).context("read the emulator's process id")?;
        let emulator = line.trim().parse().ok().and_then(Pid::from_raw).context("the shell told no process id")?;
        self.running = Some(Running { emulator, shell, input });
        // Not only by connecting: somebody else may have taken the port, and the emulator be about to notice.
        let mut http = Http::new(self.authority());
        let answers = wait::until("cargo lambda watch to answer", async || {
            if !lives(emulator) {
                return Some(false);
            }
            let reply = http.get("/lambda-url/none/").await.ok()?;
            (reply.status == StatusCode::NOT_FOUND && reply.text().contains("Missing function")).then_some(true)
        });
        let answers = answers.await;
        if !matches!(answers, Ok(true)) {
            self.running = None;
            bail!("cargo lambda watch does not answer ({answers:?}):\n{}", self.log());
        }
        Ok(())
    }

    /// Ends the emulator and its functions as a crash of the machine does (SIGKILL), and waits until they are gone.
    pub fn kill(&mut self) -> Result<()> {
        self.running.take().map(drop).context("the emulator is not running")
    }

    /// Starts both functions and returns when they answer, so that a test's first call waits for nothing.
    pub async fn warm(&self) -> Result<()> {
        let mut api = self.api();
        let reply = api.http.get("/api/analytics/performance-config").await?;
        ensure!(reply.status == StatusCode::OK, "{}: {}\n{}", reply.status, reply.text(), self.log());
        let (status, answer) = self.invoke(STREAM_RELAY, &json!({"Records": []})).await?;
        ensure!(status == StatusCode::OK, "{status}: {answer}\n{}", self.log());
        Ok(())
    }

    /// `host:port` of the emulator.
    pub fn authority(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// The URL of a function, without a slash at its end.
    pub fn url(&self, function: &str) -> String {
        format!("http://{}/lambda-url/{function}", self.authority())
    }

    /// The calls of the contract by the URL of [`TRIGGER_UPDATE`], without a token.
    pub fn api(&self) -> Api {
        Api::below(self.authority(), format!("/lambda-url/{TRIGGER_UPDATE}"))
    }

    /// Hands an event to a function by Lambda's Invoke API: the status and the answer.
    pub async fn invoke(&self, function: &str, event: &Value) -> Result<(StatusCode, Value)> {
        let path = format!("/2015-03-31/functions/{function}/invocations");
        let reply = Http::new(self.authority()).send(Method::POST, &path, &[], Bytes::from(event.to_string())).await?;
        Ok((reply.status, reply.json()?))
    }

    /// What the emulator and its functions wrote, over all restarts.
    pub fn log(&self) -> String {
        fs::read_to_string(self.log_file()).unwrap_or_default()
    }

    fn log_file(&self) -> PathBuf {
        self.files.path().join("log")
    }

    fn command(&self) -> Result<Command> {
        let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
        let (target, profile) = build()?;
        let mut command = Command::new("sh");
        command.args(["-c", WATCHED, "sh"]).arg(program()).args(["lambda", "watch", "--ignore-changes", "--offline"]);
        // Without this the emulator answers preflights itself, and otherwise than Lambda does.
        command.arg("--disable-cors");
        command.args(["-A", "127.0.0.1", "-P", &self.port.to_string()]);
        command.args(["--concurrency", &self.instances.to_string(), "--profile", profile]);
        for (name, _) in env::vars_os() {
            let text = name.to_string_lossy();
            if ["ANALYTICS_", "AWS_"].iter().any(|ours| text.starts_with(ours)) {
                command.env_remove(&name);
            }
        }
        File::options().create(true).append(true).open(self.log_file()).context("create the log")?;
        command.env("LOG", self.log_file()).env("CARGO_TARGET_DIR", target).env("RUST_LOG", "info");
        command.envs(self.env.iter().map(|(name, value)| (name, value)));
        command.current_dir(workspace).stdin(Stdio::piped()).stdout(Stdio::piped());
        Ok(command)
    }
}

impl Drop for Lambda {
    fn drop(&mut self) {
        // The test runner shows this for failed tests only.
        let log = self.log();
        let lines: Vec<&str> = log.lines().collect();
        eprintln!("the emulator's last lines:\n{}", lines[lines.len().saturating_sub(40)..].join("\n"));
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // Stopped first, so that it starts no other function meanwhile; its dead children stay zombies until it ends, so
        // their numbers mean nobody else. Each fails only if the process has ended already.
        let _ = kill_process(self.emulator, Signal::STOP);
        for process in descendants(self.emulator) {
            let _ = kill_process(process, Signal::KILL);
        }
        let _ = kill_process(self.emulator, Signal::KILL);
        drop(self.input.take());
        let _ = self.shell.wait();
    }
}

/// Every process below this one.
fn descendants(root: Pid) -> Vec<Pid> {
    let mut children: HashMap<Pid, Vec<Pid>> = HashMap::new();
    let processes = fs::read_dir("/proc").into_iter().flatten().flatten();
    for pid in processes.filter_map(|entry| entry.file_name().to_str()?.parse().ok().and_then(Pid::from_raw)) {
        if let Some((_, parent)) = state_and_parent(pid) {
            children.entry(parent).or_default().push(pid);
        }
    }
    let mut found = Vec::new();
    let mut next = vec![root];
    while let Some(parent) = next.pop() {
        let children = children.remove(&parent).unwrap_or_default();
        found.extend(&children);
        next.extend(children);
    }
    found
}

/// Whether a process runs; one that nobody has waited for yet does not.
fn lives(pid: Pid) -> bool {
    state_and_parent(pid).is_some_and(|(state, _)| state != 'Z')
}

/// From `/proc/<pid>/stat` (proc(5)): its fields after the name, which is in parentheses and may hold any.
fn state_and_parent(pid: Pid) -> Option<(char, Pid)> {
    let stat = fs::read_to_string(format!("/proc/{}/stat", pid.as_raw_nonzero())).ok()?;
    let mut fields = stat.rsplit_once(") ")?.1.split(' ');
    let state = fields.next()?.chars().next()?;
    Some((state, Pid::from_raw(fields.next()?.parse().ok()?)?))
}

/// Where the running executable was built, and in which profile: tests run from `<target>/<profile>/deps`, binaries from
/// `<target>/<profile>`.
pub fn build() -> Result<(PathBuf, &'static str)> {
    let own = env::current_exe().context("find the running executable")?;
    let found = own.ancestors().skip(1).take(2).find_map(|directory| {
        let profile = match directory.file_name()?.to_str()? {
            "debug" => "dev",
            "release" => "release",
            _ => return None,
        };
        Some((directory.parent()?.to_owned(), profile))
    });
    found.with_context(|| format!("{} lies in no target directory of cargo", own.display()))
}

/// What `tests/run` installed, or the one on the path.
fn program() -> PathBuf {
    let installed = Path::new(env!("CARGO_MANIFEST_DIR")).join("../.tools/venv/bin/cargo-lambda");
    if installed.is_file() { installed } else { "cargo-lambda".into() }
}
