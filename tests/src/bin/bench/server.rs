//! The processes under test. The rule: they have core 0 for themselves, what they used is what the kernel counted, and they
//! end with their handle.

use std::collections::VecDeque;
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, ChildStderr, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use rustls::ClientConfig;
use tempfile::TempDir;

use crate::dialect::Dialect;
use crate::processes::Processes;
use crate::publisher::Way;

const START_WITHIN: Duration = Duration::from_secs(60);
/// Log lines kept for the message when something fails.
const TAIL: usize = 20;

/// How a server is started and met.
pub(crate) struct Launch {
    /// Logs to stderr.
    pub(crate) command: Command,
    /// Its files, which end with it.
    pub(crate) data: Option<TempDir>,
    pub(crate) dialect: Dialect,
    pub(crate) way: Way,
    /// Where subscribers connect, and where updates go.
    pub(crate) subscribers: Sign,
    pub(crate) updates: Sign,
    /// With what subscribers encrypt, if they do.
    pub(crate) tls: Option<Arc<ClientConfig>>,
}

/// By which line of its log a server is known to listen.
pub(crate) enum Sign {
    /// It has these words in this order, and then the address.
    Words(&'static [&'static str]),
    /// It has this word; the server was told where to listen.
    Told(&'static str, SocketAddr),
}

/// What subscribers meet.
#[derive(Clone)]
pub(crate) struct Front {
    pub(crate) address: SocketAddr,
    pub(crate) dialect: Dialect,
    pub(crate) tls: Option<Arc<ClientConfig>>,
}

/// A running server.
pub(crate) struct Server {
    child: Child,
    processes: Processes,
    front: Front,
    updates: SocketAddr,
    way: Way,
    tail: Tail,
    /// Removed after the process has ended: fields drop after [`Drop::drop`].
    _data: Option<TempDir>,
}

type Tail = Arc<Mutex<VecDeque<String>>>;

impl Server {
    pub(crate) fn start(launch: Launch) -> Result<Server> {
        let Launch { mut command, data, dialect, way, subscribers, updates, tls } = launch;
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .with_context(|| format!("starting {:?} (needs taskset and two cores)", command.get_program()))?;
        let log = child.stderr.take().context("the server's log is not piped")?;
        let tail = Tail::default();
        let listening = follow(log, Arc::clone(&tail), [subscribers, updates]);
        let unknown = SocketAddr::from(([127, 0, 0, 1], 0));
        let front = Front { address: unknown, dialect, tls };
        let processes = Processes::default();
        let mut server = Server { child, processes, front, updates: unknown, way, tail, _data: data };
        [server.front.address, server.updates] = match listening.recv_timeout(START_WITHIN) {
            Ok(addresses) => addresses,
            Err(RecvTimeoutError::Timeout) => bail!("the server did not log where it listens\n{}", server.log()),
            Err(RecvTimeoutError::Disconnected) => bail!("the server ended at its start\n{}", server.log()),
        };
        server.processes = Processes::of(server.child.id())?;
        Ok(server)
    }

    /// Waits for something that the log does not tell.
    pub(crate) fn wait_until(&self, what: &str, is: impl Fn() -> Result<bool>) -> Result<()> {
        let deadline = Instant::now() + START_WITHIN;
        while !is()? {
            ensure!(Instant::now() < deadline, "the server does not become {what}\n{}", self.log());
            std::thread::sleep(Duration::from_millis(5));
        }
        Ok(())
    }

    /// Where it takes updates, and everything else that is no subscriber's.
    pub(crate) fn address(&self) -> SocketAddr {
        self.updates
    }

    /// How it takes updates.
    pub(crate) fn way(&self) -> Way {
        self.way
    }

    /// What its subscribers meet.
    pub(crate) fn front(&self) -> &Front {
        &self.front
    }

    /// CPU time used so far, user and system, all threads of all its processes.
    pub(crate) fn cpu(&self) -> Result<Duration> {
        self.processes.cpu().with_context(|| format!("the server is gone\n{}", self.log()))
    }

    /// Resident memory in KiB, of all its processes; what they share counts in each.
    pub(crate) fn rss(&self) -> Result<u64> {
        self.processes.rss().with_context(|| format!("the server is gone\n{}", self.log()))
    }

    /// The most resident memory that its processes ever had, in KiB.
    pub(crate) fn peak(&self) -> Result<u64> {
        self.processes.peak().with_context(|| format!("the server is gone\n{}", self.log()))
    }

    /// The last lines of its log.
    fn log(&self) -> String {
        let tail = self.tail.lock().unwrap_or_else(PoisonError::into_inner);
        tail.iter().map(|line| format!("  | {line}\n")).collect()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.processes.end_children();
        // It may have ended by itself, and nothing here depends on how it ends.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A program that will run on the server's core.
pub(crate) fn pinned(program: &Path) -> Command {
    let mut command = Command::new("taskset");
    command.args(["-c", "0"]).arg(program);
    command
}

/// Reads the log to its end, so that the server never waits for a reader, and passes on where it listens, by each sign.
fn follow(log: ChildStderr, tail: Tail, signs: [Sign; 2]) -> Receiver<[SocketAddr; 2]> {
    let (sender, receiver) = sync_channel(1);
    std::thread::spawn(move || {
        let mut sender = Some(sender);
        let mut found = [None; 2];
        for line in BufReader::new(log).split(b'\n').map_while(Result::ok) {
            let line = String::from_utf8_lossy(&line).into_owned();
            for (found, sign) in found.iter_mut().zip(&signs) {
                *found = found.or_else(|| sign.find(&line));
            }
            if let [Some(subscribers), Some(updates)] = found
                && let Some(sender) = sender.take()
            {
                // The receiver is gone only when the start was given up.
                let _ = sender.send([subscribers, updates]);
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

impl Sign {
    /// The address, if this line is the sign.
    fn find(&self, line: &str) -> Option<SocketAddr> {
        match self {
            Sign::Words(words) => {
                let after = |line: &str, word: &&str| line.split_once(*word).map(|(_, rest)| rest.to_owned());
                let rest = words.iter().try_fold(line.to_owned(), |line, word| after(&line, word))?;
                rest.split(|letter: char| !letter.is_ascii_digit() && letter != '.' && letter != ':')
                    .find_map(|word| word.parse().ok())
            }
            Sign::Told(word, address) => line.contains(word).then_some(*address),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ADDRESS: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 4711);

    #[test]
    fn the_address_is_found_in_every_log_format() {
        let sign = Sign::Words(&["listening", "ws"]);
        assert_eq!(sign.find("INFO proxy: listening ws=127.0.0.1:4711 admin=127.0.0.1:9"), Some(ADDRESS));
        assert_eq!(sign.find(r#"{"fields":{"message":"listening","ws":"127.0.0.1:4711","admin":"x"}}"#), Some(ADDRESS));
        assert_eq!(sign.find("INFO proxy: connected ws=127.0.0.1:4711"), None);
        let sign = Sign::Words(&["Listening for websocket clients on"]);
        assert_eq!(sign.find("[INF] Listening for websocket clients on ws://127.0.0.1:4711"), Some(ADDRESS));
        assert_eq!(sign.find("[INF] Listening for client connections on 127.0.0.1:4711"), None);
    }

    #[test]
    fn a_server_that_was_told_where_is_known_by_a_word() {
        let sign = Sign::Told("start worker process ", ADDRESS);
        assert_eq!(sign.find("[notice] 9#9: start worker process 10"), Some(ADDRESS));
        assert_eq!(sign.find("[notice] 9#9: start worker processes"), None);
    }
}
