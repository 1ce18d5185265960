//! The process under test. The rule: it has core 0 for itself, what it used is read from /proc, and it ends with its
//! handle.

use std::collections::VecDeque;
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, ChildStderr, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use tempfile::TempDir;

use crate::http;

/// The unit of CPU time in `/proc/<pid>/stat`: USER_HZ, 100 on every Linux whose ABI this runs on (proc(5)).
const TICK: Duration = Duration::from_millis(10);
const START_WITHIN: Duration = Duration::from_secs(60);
/// Log lines kept for the message when something fails.
const TAIL: usize = 20;

/// How an edge is started.
#[derive(Clone, Copy)]
pub(crate) struct Edge<'a> {
    /// The proxy's release binary.
    pub(crate) binary: &'a Path,
    /// Variables besides those of every measurement.
    pub(crate) env: &'a [(&'static str, String)],
}

/// A running server.
pub(crate) struct Server {
    child: Child,
    address: SocketAddr,
    tail: Tail,
    /// Removed after the process has ended: fields drop after [`Drop::drop`].
    _data: Option<TempDir>,
}

type Tail = Arc<Mutex<VecDeque<String>>>;

impl Server {
    /// The edge on an empty store beside its binary: a build directory is on a real disk where a temporary one may
    /// be memory, and durable must mean durable. Variables may name another store.
    pub(crate) fn edge(edge: Edge<'_>) -> Result<Server> {
        let binary = edge.binary;
        let beside = binary.parent().context("the proxy's path has no directory")?;
        let data = tempfile::Builder::new().prefix("bench-").tempdir_in(beside).context("creating a data directory")?;
        let mut command = pinned(binary);
        for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("ANALYTICS_")) {
            command.env_remove(name);
        }
        command
            .env("ANALYTICS_MODE", "development")
            .env("ANALYTICS_WS_PORT", "0")
            .env("ANALYTICS_ADMIN_ADDR", "127.0.0.1:0")
            .env("ANALYTICS_WORKERS", "1")
            .env("ANALYTICS_SIMULATE", "false")
            .env("ANALYTICS_DATA_DIR", data.path())
            // The development default writes a line for every connection and update; production does not.
            .env("RUST_LOG", "info")
            .env("NO_COLOR", "1")
            .envs(edge.env.iter().map(|(name, value)| (name, value)));
        let server = Server::start(command, Some(data))?;
        server.wait_until_ready()?;
        Ok(server)
    }

    /// The floor: this very program in its other role.
    pub(crate) fn floor(subscribers: usize, coalesced: usize) -> Result<Server> {
        let mut command = pinned(&std::env::current_exe().context("finding this program")?);
        command.args(["floor-server", &subscribers.to_string(), &coalesced.to_string()]);
        Server::start(command, None)
    }

    fn start(mut command: Command, data: Option<TempDir>) -> Result<Server> {
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .with_context(|| format!("starting {:?} (needs taskset and two cores)", command.get_program()))?;
        let log = child.stderr.take().context("the server's log is not piped")?;
        let tail = Tail::default();
        let listening = follow(log, Arc::clone(&tail));
        let mut server = Server { child, address: SocketAddr::from(([127, 0, 0, 1], 0)), tail, _data: data };
        server.address = match listening.recv_timeout(START_WITHIN) {
            Ok(address) => address,
            Err(RecvTimeoutError::Timeout) => bail!("the server did not log `listening`\n{}", server.log()),
            Err(RecvTimeoutError::Disconnected) => bail!("the server ended at its start\n{}", server.log()),
        };
        Ok(server)
    }

    /// Over a stream an edge takes no connections before it follows the stream.
    fn wait_until_ready(&self) -> Result<()> {
        let deadline = Instant::now() + START_WITHIN;
        while !http::is_ready(self.address)? {
            ensure!(Instant::now() < deadline, "the server does not become ready\n{}", self.log());
            std::thread::sleep(Duration::from_millis(5));
        }
        Ok(())
    }

    /// Where it listens.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// CPU time used so far, user and system, all threads.
    pub(crate) fn cpu(&self) -> Result<Duration> {
        cpu_of(&self.child.id().to_string()).with_context(|| format!("the server is gone\n{}", self.log()))
    }

    /// Resident memory in KiB.
    pub(crate) fn rss(&self) -> Result<u64> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id()))?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let kib = line.and_then(|line| line.split_whitespace().next()).and_then(|kib| kib.parse().ok());
        kib.with_context(|| format!("the server is gone\n{}", self.log()))
    }

    /// The last lines of its log.
    fn log(&self) -> String {
        let tail = self.tail.lock().unwrap_or_else(PoisonError::into_inner);
        tail.iter().map(|line| format!("  | {line}\n")).collect()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended by itself, and nothing here depends on how it ends.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// CPU time of this process so far.
pub(crate) fn own_cpu() -> Result<Duration> {
    cpu_of("self")
}

fn cpu_of(pid: &str) -> Result<Duration> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat"))?;
    // The name, in brackets, may hold anything; utime and stime are fields 14 and 15, the 12th and 13th after it.
    let (_, fields) = stat.rsplit_once(')').context("reading /proc/<pid>/stat")?;
    let ticks = fields.split_whitespace().skip(11).take(2).map(str::parse::<u32>).sum::<Result<u32, _>>()?;
    Ok(TICK * ticks)
}

pub(crate) fn pinned(program: &Path) -> Command {
    let mut command = Command::new("taskset");
    command.args(["-c", "0"]).arg(program);
    command
}

/// Reads the log to its end, so that the server never waits for a reader, and passes on where it listens.
fn follow(log: ChildStderr, tail: Tail) -> Receiver<SocketAddr> {
    let (sender, receiver) = sync_channel(1);
    std::thread::spawn(move || {
        let mut sender = Some(sender);
        for line in BufReader::new(log).split(b'\n').map_while(Result::ok) {
            let line = String::from_utf8_lossy(&line).into_owned();
            if let Some(address) = listening(&line)
                && let Some(sender) = sender.take()
            {
                // The receiver is gone only when the start was given up.
                let _ = sender.send(address);
            }
            let mut tail = tail.lock().unwrap_or_else(PoisonError::into_inner);
            if tail.len() == TAIL {
                tail.pop_front();
            }
            tail.push_back(line);
        }
    });
    receiver
}

/// The address under `ws` of a `listening` event, readable or JSON.
fn listening(line: &str) -> Option<SocketAddr> {
    let (_, fields) = line.split_once("listening")?;
    let (_, value) = fields.split_once("ws")?;
    value
        .split(|letter: char| !letter.is_ascii_digit() && letter != '.' && letter != ':')
        .find_map(|word| word.parse().ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_address_is_found_in_either_log_format() {
        let address = Some(SocketAddr::from(([127, 0, 0, 1], 4711)));
        assert_eq!(listening("INFO proxy: listening ws=127.0.0.1:4711 admin=127.0.0.1:9"), address);
        assert_eq!(listening(r#"{"fields":{"message":"listening","ws":"127.0.0.1:4711","admin":"x"}}"#), address);
        assert_eq!(listening("INFO proxy: connected ws=127.0.0.1:4711"), None);
    }

    #[test]
    fn own_cpu_time_can_be_read() {
        assert!(own_cpu().is_ok());
    }
}
