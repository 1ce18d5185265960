//! The process under test. The rule: an [`Edge`] owns its process and its data directory, and neither outlives it.

use std::env;
use std::fs;
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use anyhow::{Context, Result, bail, ensure};
use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use crate::api::Api;
use crate::certificate::Certificate;
use crate::http::Http;
use crate::line::Trust;
use crate::log::{Listening, Log};
use crate::{token, wait};

/// Set to run every test of the edge over TLS.
const OVER_TLS: &str = "ANALYTICS_TEST_TLS";

/// The environment of a production edge: tokens are signed with [`token::SECRET`].
pub const PRODUCTION: [(&str, &str); 2] = [("ANALYTICS_MODE", "production"), ("ANALYTICS_JWT_SECRET", token::SECRET)];

/// The process, its environment and its data directory, which survives restarts.
#[derive(Debug)]
pub struct Edge {
    env: Vec<(String, String)>,
    data: TempDir,
    log: Arc<Log>,
    certificate: Option<Certificate>,
    running: Option<Running>,
}

#[derive(Debug)]
struct Running {
    /// It ends before the process, whose port is free for others then.
    _trust: Option<Trust>,
    child: Owned,
    listening: Listening,
}

/// What the process did instead of starting.
#[derive(Debug)]
pub struct Refusal {
    /// How it ended.
    pub status: ExitStatus,
    /// All it wrote to stderr.
    pub stderr: String,
}

impl Edge {
    /// Starts the process in development mode on free ports, without simulation, with a data directory of its own;
    /// `env` adds to that or overrides it. Returns once it listens.
    pub async fn start(env: &[(&str, &str)]) -> Result<Edge> {
        let certificate = env::var_os(OVER_TLS).map(|_| Certificate::new()).transpose()?;
        Edge::start_by(certificate, env).await
    }

    /// The same with a certificate: it listens for TLS too.
    pub async fn start_tls(env: &[(&str, &str)]) -> Result<Edge> {
        Edge::start_by(Some(Certificate::new()?), env).await
    }

    async fn start_by(certificate: Option<Certificate>, env: &[(&str, &str)]) -> Result<Edge> {
        let mut env: Vec<_> = env.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        if let Some(certificate) = &certificate {
            env.extend(certificate.env()?.map(|(name, value)| (name.to_owned(), value)));
        }
        let data = tempfile::tempdir().context("create a data directory")?;
        let mut edge = Edge { env, data, log: Arc::default(), certificate, running: None };
        edge.start_again().await?;
        Ok(edge)
    }

    /// Runs the process with an environment that it must refuse, and returns once it has ended by itself.
    pub async fn refuse(env: &[(&str, &str)]) -> Result<Refusal> {
        let data = tempfile::tempdir().context("create a data directory")?;
        let mut command = command(&data)?;
        command.envs(env.iter().copied());
        refusal(command).await
    }

    /// The same without a variable that tests otherwise start from.
    pub async fn refuse_without(name: &str, env: &[(&str, &str)]) -> Result<Refusal> {
        let data = tempfile::tempdir().context("create a data directory")?;
        let mut command = command(&data)?;
        command.env_remove(name).envs(env.iter().copied());
        refusal(command).await
    }

    /// Starts a process that was killed or has ended again: same environment, same data, new ports.
    pub async fn start_again(&mut self) -> Result<()> {
        ensure!(self.running.is_none(), "the process is still running");
        let mut command = command(&self.data)?;
        command.envs(self.env.iter().map(|(name, value)| (name, value)));
        let mut child = Owned(command.spawn().context("start the process")?);
        let heard = Arc::new(Mutex::new(None));
        let hear = heard.clone();
        read_stderr(&mut child.0, &self.log, move |line| {
            let mut heard = hear.lock().unwrap_or_else(PoisonError::into_inner);
            if heard.is_none() {
                *heard = Listening::parse(line);
            }
        })?;
        let listening = wait::until("the process to listen", async || {
            if let Ok(Some(status)) = child.0.try_wait() {
                return Some(Err(status));
            }
            heard.lock().unwrap_or_else(PoisonError::into_inner).map(Ok)
        });
        match listening.await {
            Ok(Ok(listening)) => {
                let trust = match (listening.tls, &self.certificate) {
                    (Some(tls), Some(certificate)) => Some(Trust::new(tls, certificate.client()?)),
                    _ => None,
                };
                self.running = Some(Running { _trust: trust, child, listening });
                Ok(())
            }
            Ok(Err(status)) => bail!("the process ended ({status}) instead of listening:\n{}", self.log_tail()),
            Err(error) => Err(error.context(self.log_tail())),
        }
    }

    /// Sets a variable of its environment from the next start on.
    pub fn set(&mut self, name: &str, value: &str) {
        self.env.retain(|(known, _)| known != name);
        self.env.push((name.to_owned(), value.to_owned()));
    }

    /// Ends the process as a crash does (SIGKILL) and reaps it.
    pub fn kill(&mut self) -> Result<()> {
        let mut running = self.running.take().context("the process is not running")?;
        running.child.0.kill().context("kill the process")?;
        running.child.0.wait().context("reap the process")?;
        Ok(())
    }

    /// Asks the process to end (SIGTERM), and returns at once.
    pub fn terminate(&self) -> Result<()> {
        kill_process(self.pid()?, Signal::TERM).context("send SIGTERM")
    }

    /// Waits until a process that was asked to end has done so.
    pub async fn ended(&mut self) -> Result<ExitStatus> {
        let running = self.running.as_mut().context("the process is not running")?;
        let status = wait::until("the process to end", async || running.child.0.try_wait().ok()?).await?;
        self.running = None;
        Ok(status)
    }

    /// Empties the data directory of a process that does not run.
    pub fn wipe(&mut self) -> Result<()> {
        ensure!(self.running.is_none(), "the process is still running");
        self.data = tempfile::tempdir().context("create a data directory")?;
        Ok(())
    }

    /// The process's id.
    pub fn pid(&self) -> Result<Pid> {
        let running = self.running.as_ref().context("the process is not running")?;
        Ok(Pid::from_child(&running.child.0))
    }

    /// The process's resident memory in bytes.
    pub fn resident_bytes(&self) -> Result<u64> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.pid()?.as_raw_nonzero()))?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).context("no VmRSS in the status")?;
        let kilobytes: u64 = line.trim().trim_end_matches(" kB").parse().context("VmRSS is not a number")?;
        Ok(kilobytes * 1024)
    }

    /// A series of its metrics, one without labels, as it is now.
    pub async fn metric(&self, name: &str) -> Result<u64> {
        let text = Http::new(self.listening()?.admin.to_string()).get("/metrics").await?.text();
        let value = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        value.with_context(|| format!("no {name}"))?.parse().with_context(|| format!("{name} is no whole number"))
    }

    /// Where it listens.
    pub fn listening(&self) -> Result<Listening> {
        Ok(self.running.as_ref().context("the process is not running")?.listening)
    }

    /// `host:port` of the WebSocket and of the API: that of TLS where the tests are run over it.
    pub fn authority(&self) -> Result<String> {
        if env::var_os(OVER_TLS).is_some() { self.tls_authority() } else { Ok(self.listening()?.ws.to_string()) }
    }

    /// `host:port` of the same by TLS; whoever connects to it trusts the certificate that the edge began with.
    pub fn tls_authority(&self) -> Result<String> {
        Ok(self.listening()?.tls.context("it has no certificate")?.to_string())
    }

    /// The certificate, if the edge was given one.
    pub fn certificate(&mut self) -> Result<&mut Certificate> {
        self.certificate.as_mut().context("it has no certificate")
    }

    /// A fresh connection for the calls of the contract, without a token.
    pub fn api(&self) -> Result<Api> {
        Ok(Api::new(self.authority()?))
    }

    /// What it wrote to stderr, over all its restarts.
    pub fn log(&self) -> &Log {
        &self.log
    }

    fn log_tail(&self) -> String {
        self.log.tail(60).join("\n")
    }
}

impl Drop for Edge {
    fn drop(&mut self) {
        // The test runner shows this for failed tests only.
        eprintln!("the edge's last lines:\n{}", self.log_tail());
    }
}

/// A child that does not outlive its owner.
#[derive(Debug)]
struct Owned(Child);

impl Drop for Owned {
    fn drop(&mut self) {
        // Both fail only if the process has ended already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The process with the environment that every test starts from; variables of the caller's shell do not reach it.
fn command(data: &TempDir) -> Result<Command> {
    let mut command = Command::new(binary()?);
    let inherited =
        env::vars_os().map(|(name, _)| name).filter(|name| name.to_string_lossy().starts_with("ANALYTICS_"));
    // How a hub sends must make no difference: `tests/run` gives both, and no test says which.
    for name in inherited.filter(|name| name != "ANALYTICS_IO_URING") {
        command.env_remove(name);
    }
    command
        .env("ANALYTICS_MODE", "development")
        .env("ANALYTICS_WS_PORT", "0")
        .env("ANALYTICS_ADMIN_ADDR", "127.0.0.1:0")
        .env("ANALYTICS_SIMULATE", "false")
        .env("ANALYTICS_DATA_DIR", data.path())
        .env("RUST_LOG", "info")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped());
    Ok(command)
}

/// `$ANALYTICS_PROXY_BIN`, or the binary that was built beside the running executable.
fn binary() -> Result<PathBuf> {
    if let Some(path) = env::var_os("ANALYTICS_PROXY_BIN") {
        return Ok(path.into());
    }
    let own = env::current_exe().context("find the running executable")?;
    // Tests run from `<target>/<profile>/deps`, binaries from `<target>/<profile>`.
    let beside = own.ancestors().skip(1).take(2).map(|directory| directory.join("analytics-proxy"));
    beside
        .into_iter()
        .find(|path| path.is_file())
        .with_context(|| format!("no analytics-proxy beside {}: build it, or set ANALYTICS_PROXY_BIN", own.display()))
}

async fn refusal(mut command: Command) -> Result<Refusal> {
    let mut child = Owned(command.spawn().context("start the process")?);
    let log = Arc::new(Log::default());
    let reader = read_stderr(&mut child.0, &log, |_| {})?;
    let status = wait::until("the process to refuse its configuration", async || child.0.try_wait().ok()?).await?;
    // The pipe ends with the process, so the reader does too.
    reader.join().map_err(|_| anyhow::anyhow!("the log's reader panicked"))?;
    Ok(Refusal { status, stderr: log.tail(usize::MAX).join("\n") })
}

/// Captures stderr on a thread of its own, which ends with the process.
fn read_stderr(
    child: &mut Child,
    log: &Arc<Log>,
    each: impl FnMut(&str) + Send + 'static,
) -> Result<thread::JoinHandle<()>> {
    let stderr = child.stderr.take().context("the process has no stderr")?;
    let log = log.clone();
    Ok(thread::spawn(move || log.capture(stderr, each)))
}
