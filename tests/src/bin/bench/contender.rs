//! Who is measured. The rule: one value says how a server is started, how its subscribers and its publisher speak to it, and
//! what it is called; whoever measures need not know which it is.

use std::path::Path;

use anyhow::{Context, Result};

use crate::dialect::Dialect;
use crate::http;
use crate::link::Trust;
use crate::peers::Peer;
use crate::publisher::Way;
use crate::server::{Launch, Server, Sign, pinned};

/// What the floor and the edges are called in tables, and looked up by.
pub(crate) const FLOOR: &str = "floor";
pub(crate) const EDGE: &str = "edge";
pub(crate) const EDGE_CALLS: &str = "edge, a call per send";
pub(crate) const EDGE_TLS: &str = "edge, TLS 1.3";

/// A server that is measured.
#[derive(Clone, Copy)]
pub(crate) enum Contender<'a> {
    /// The bare loop of [`crate::floor`].
    Floor,
    /// The proxy.
    Edge(Edge<'a>),
    /// What people use today.
    Peer(Peer),
}

/// How an edge is started.
#[derive(Clone, Copy)]
pub(crate) struct Edge<'a> {
    /// The proxy's release binary.
    pub(crate) binary: &'a Path,
    /// Variables besides those of every measurement.
    pub(crate) env: &'a [(&'static str, String)],
    /// How its frames go out.
    pub(crate) manner: Manner,
}

/// How an edge sends to its subscribers.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Manner {
    /// As it does by itself: by io_uring if the kernel lets it.
    Usual,
    /// Each send a system call of its own, as where the kernel does not.
    Calls,
    /// By TLS 1.3. Updates are posted without.
    Tls,
}

impl Contender<'_> {
    /// What it is called in tables.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Contender::Floor => FLOOR,
            Contender::Edge(edge) => match edge.manner {
                Manner::Usual => EDGE,
                Manner::Calls => EDGE_CALLS,
                Manner::Tls => EDGE_TLS,
            },
            Contender::Peer(peer) => peer.name(),
        }
    }

    /// Why it cannot be measured on this machine, if it cannot.
    pub(crate) fn missing(self) -> Option<String> {
        match self {
            Contender::Floor | Contender::Edge(_) => None,
            Contender::Peer(peer) => peer.missing(),
        }
    }

    /// Starts it, with nothing stored. The floor takes exactly so many subscribers, and sends an update of each of so many
    /// topics at once; the others take what comes.
    pub(crate) fn start(self, subscribers: usize, topics: usize) -> Result<Server> {
        match self {
            Contender::Floor => floor(subscribers, topics),
            Contender::Edge(edge) => edge.start(),
            Contender::Peer(peer) => peer.start(),
        }
    }
}

impl Edge<'_> {
    /// Starts the edge on an empty store beside its binary: a build directory is on a real disk where a temporary one may
    /// be memory, and durable must mean durable. Variables may name another store.
    pub(crate) fn start(self) -> Result<Server> {
        let binary = self.binary;
        let beside = binary.parent().context("the proxy's path has no directory")?;
        let data = tempfile::Builder::new().prefix("bench-").tempdir_in(beside).context("creating a data directory")?;
        let tls = self.manner == Manner::Tls;
        let trust = if tls { Some(Trust::make(data.path())?) } else { None };
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
            .env("ANALYTICS_IO_URING", if self.manner == Manner::Calls { "off" } else { "auto" });
        if let Some(trust) = &trust {
            command
                .env("ANALYTICS_TLS_CERT", &trust.certificate)
                .env("ANALYTICS_TLS_KEY", &trust.key)
                .env("ANALYTICS_TLS_PORT", "0");
        }
        command.envs(self.env.iter().map(|(name, value)| (name, value)));
        let server = Server::start(Launch {
            command,
            data: Some(data),
            dialect: Dialect::Edge,
            way: Way::Trigger,
            subscribers: Sign::Words(if tls { &["listening", "tls"] } else { &["listening", "ws"] }),
            updates: Sign::Words(&["listening", "ws"]),
            tls: trust.map(|trust| trust.clients),
        })?;
        // Over a stream an edge takes no connections before it follows the stream.
        server.wait_until("ready", || http::is_ready(server.address()))?;
        Ok(server)
    }
}

/// The floor: this very program in its other role.
fn floor(subscribers: usize, coalesced: usize) -> Result<Server> {
    let mut command = pinned(&std::env::current_exe().context("finding this program")?);
    command.args(["floor-server", &subscribers.to_string(), &coalesced.to_string()]);
    Server::start(Launch {
        command,
        data: None,
        dialect: Dialect::Edge,
        way: Way::Byte,
        subscribers: Sign::Words(&["listening", "ws"]),
        updates: Sign::Words(&["listening", "ws"]),
        tls: None,
    })
}
