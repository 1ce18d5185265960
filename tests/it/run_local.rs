//! `infra/run-local --serverless` as a person uses it: one command starts the production shape, Ctrl-C ends all of it, and
//! a start after a kill finds what was left behind.

use std::collections::BTreeSet;
use std::fs;
use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::thread;

use analytics_tests::api::Api;
use analytics_tests::lambda;
use analytics_tests::log::Log;
use analytics_tests::memory::Counter;
use analytics_tests::port;
use analytics_tests::socket::Dial;
use analytics_tests::wait;
use anyhow::{Context, Result, ensure};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::json;
use tempfile::TempDir;

/// The variables of the ports; the first two are those of the edges.
const PORTS: [&str; 7] = [
    "LOCAL_PROXY_1_PORT",
    "LOCAL_PROXY_2_PORT",
    "LOCAL_ADMIN_1_PORT",
    "LOCAL_ADMIN_2_PORT",
    "LOCAL_DYNAMODB_PORT",
    "LOCAL_NATS_PORT",
    "LOCAL_LAMBDA_PORT",
];

/// How often ports are tried: one that was free may be taken before its program binds it.
const TRIES: usize = 5;

/// A run of the command, and whatever it started: told by the folder of its files, which is in everybody's environment.
struct Run {
    files: TempDir,
    ports: Vec<u16>,
    log: Arc<Log>,
    child: Option<Child>,
}

impl Run {
    fn new() -> Result<Run> {
        let mut ports = BTreeSet::new();
        while ports.len() < PORTS.len() {
            ports.insert(port::free()?.port());
        }
        let ports = ports.into_iter().collect();
        Ok(Run { files: tempfile::tempdir()?, ports, log: Arc::default(), child: None })
    }

    /// Starts one on ports that nobody takes meanwhile.
    async fn started() -> Result<Run> {
        for _ in 1..TRIES {
            let mut run = Run::new()?;
            match run.start().await {
                Err(_) if run.log.contains(" is taken ") => {}
                result => return result.map(|()| run),
            }
        }
        let mut run = Run::new()?;
        run.start().await?;
        Ok(run)
    }

    fn command(&self) -> Result<Command> {
        let (target, profile) = lambda::build()?;
        // Whoever runs tests in the background may have them ignore SIGINT; a shell cannot undo what it was born with.
        let mut command = Command::new("env");
        command.arg("--default-signal=INT").arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("../infra/run-local"));
        command.arg("--serverless").env("LOCAL_DATA_DIR", self.files.path()).env("LOCAL_PROFILE", profile);
        command.env("CARGO_TARGET_DIR", target);
        command.envs(PORTS.iter().zip(&self.ports).map(|(name, port)| (name, port.to_string())));
        for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("ANALYTICS_")) {
            command.env_remove(name);
        }
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        Ok(command)
    }

    /// Starts it, and returns once it says that it is ready.
    async fn start(&mut self) -> Result<()> {
        let mut child = self.command()?.spawn().context("start infra/run-local")?;
        let output = child.stdout.take().context("it has no standard output")?;
        let errors = child.stderr.take().context("it has no standard error")?;
        self.log = Arc::default();
        for source in [Box::new(output) as Box<dyn std::io::Read + Send>, Box::new(errors)] {
            let log = self.log.clone();
            thread::spawn(move || log.capture(source, |_| {}));
        }
        let child = self.child.insert(child);
        // Each step has the time of one wait: a busy machine takes long for all of them.
        for step in
            ["starting nats-server", "starting the relay", "starting the function", "starting proxy-1", "ready."]
        {
            let line = format!("==> {step}");
            let told = wait::until(&line, async || match child.try_wait() {
                Ok(None) => self.log.contains(&line).then_some(true),
                _ => Some(false),
            });
            let told = told.await.with_context(|| self.log.tail(60).join("\n"))?;
            ensure!(told, "infra/run-local ended:\n{}", self.log.tail(60).join("\n"));
        }
        Ok(())
    }

    /// Sends a signal, and waits until the command has ended.
    async fn end(&mut self, signal: Signal) -> Result<ExitStatus> {
        let mut child = self.child.take().context("it does not run")?;
        kill_process(Pid::from_child(&child), signal)?;
        wait::until("infra/run-local to end", async || child.try_wait().ok()?).await
    }

    /// Every process that it started and that still runs.
    fn left(&self) -> Vec<Pid> {
        let own = format!("LOCAL_DATA_DIR={}", self.files.path().display());
        let processes = fs::read_dir("/proc").into_iter().flatten().flatten();
        let named = processes.filter_map(|entry| Pid::from_raw(entry.file_name().to_str()?.parse().ok()?));
        named
            .filter(|pid| {
                let environment = fs::read(format!("/proc/{}/environ", pid.as_raw_nonzero())).unwrap_or_default();
                environment.split(|byte| *byte == 0).any(|variable| variable == own.as_bytes())
            })
            .collect()
    }

    fn authority(&self, proxy: usize) -> String {
        format!("127.0.0.1:{}", self.ports[proxy])
    }

    /// Counts at the first edge, and waits until a viewer of each has seen it.
    async fn count(&self, expected: u64) -> Result<()> {
        let counter = Counter::new(Some("o"), None, "x");
        let mut viewers = Vec::new();
        for proxy in 0..2 {
            let mut viewer = Dial::default().open_at(&self.authority(proxy)).await?;
            let subscribe = json!({"type": "subscribe", "contentIds": ["x"], "organizationId": "o"});
            viewer.ask(&subscribe, "subscribed").await?;
            viewers.push(viewer);
        }
        let key = format!("count-{expected}");
        let value = Api::new(self.authority(0)).count_surely(&counter, "views", 1, &key).await?;
        ensure!(value == expected, "{value} instead of {expected}");
        for viewer in viewers {
            viewer.shows(&counter, "views", expected).await?;
        }
        Ok(())
    }
}

impl Drop for Run {
    fn drop(&mut self) {
        if let Some(child) = &mut self.child {
            // Fails only if it has ended already.
            let _ = child.kill();
            let _ = child.wait();
        }
        for pid in self.left() {
            let _ = kill_process(pid, Signal::KILL);
        }
        // The test runner shows this for failed tests only.
        eprintln!("its last lines:\n{}", self.log.tail(60).join("\n"));
    }
}

/// Promise: one command starts everything, a second one is refused, what a killed one left is ended by the next one, with
/// the counts kept, and Ctrl-C leaves nothing running.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_command_starts_and_one_ctrl_c_ends_everything() -> Result<()> {
    let mut run = Run::started().await?;
    run.count(1).await?;

    let second = run.command()?.output()?;
    let said = String::from_utf8_lossy(&second.stderr);
    ensure!(!second.status.success() && said.contains("it runs already"), "{said}");

    run.end(Signal::KILL).await?;
    ensure!(!run.left().is_empty(), "a killed run leaves its processes behind");
    run.start().await?;
    for service in ["dynamodb", "nats", "relay", "lambda", "proxy-1", "proxy-2"] {
        ensure!(run.log.contains(&format!("==> ending {service} ")), "{service} was left behind and is ended");
        let line = format!("{service:<8} | ");
        wait::holds("what it says to be on the terminal", || run.log.contains(&line)).await.context(service)?;
    }
    run.count(2).await?;

    let status = run.end(Signal::INT).await?;
    ensure!(status.success(), "{status}");
    wait::holds("every process to be gone", || run.left().is_empty()).await
}

/// Promise: a port that is taken is named before anything starts.
#[tokio::test]
async fn a_port_that_is_taken_is_named() -> Result<()> {
    let run = Run::new()?;
    let _taken = TcpListener::bind(("127.0.0.1", run.ports[5])).context("take NATS's port")?;
    let refused = run.command()?.output()?;
    let said = String::from_utf8_lossy(&refused.stderr);
    ensure!(!refused.status.success() && said.contains(&format!("port {} is taken", run.ports[5])), "{said}");
    ensure!(run.left().is_empty(), "nothing was started");
    Ok(())
}
