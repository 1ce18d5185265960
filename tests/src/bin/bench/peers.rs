//! The servers that people use today, each as its makers recommend. The rule: one core, compression off, a sign of life from
//! each subscriber every 30 seconds as the edge has it, no history; what is here is where their parts are and what they are
//! told, and `tests/bench/run` installs them.

use std::env;
use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;

use analytics_tests::{nats, port};
use anyhow::{Context, Result};
use tempfile::TempDir;

use crate::dialect::Dialect;
use crate::publisher::Way;
use crate::server::{Launch, Server, Sign, pinned};

/// A server of other makers, or one on theirs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Peer {
    /// The edge's protocol on Node.js with `ws`, counts in memory.
    Ws,
    /// The same with uWebSockets.js.
    Uws,
    /// nginx with the module nchan: the message is published over HTTP as it is.
    Nchan,
    /// nats-server with its WebSocket: the message is published as it is.
    Nats,
    /// Centrifugo's engine with a minimal server around it: the message is published over HTTP.
    Centrifuge,
}

/// How often a port is tried for a server that cannot take a free one by itself.
const TRIES: usize = 5;

/// Debian's nginx and its module.
pub(crate) const NGINX: &str = "/usr/sbin/nginx";
const NCHAN: &str = "/usr/lib/nginx/modules/ngx_nchan_module.so";

/// Where uWebSockets.js has its native parts, one for each version of Node.js that it knows.
const UWS: &str = "node/node_modules/@trufflesuite/uws-js-unofficial/binaries";

impl Peer {
    /// All of them.
    pub(crate) const ALL: [Peer; 5] = [Peer::Ws, Peer::Uws, Peer::Nchan, Peer::Nats, Peer::Centrifuge];

    /// What it is called in tables.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Peer::Ws => "Node.js ws",
            Peer::Uws => "uWebSockets.js",
            Peer::Nchan => "nchan",
            Peer::Nats => "nats-server",
            Peer::Centrifuge => "centrifuge",
        }
    }

    /// Which of its parts is not installed, if one is not.
    pub(crate) fn missing(self) -> Option<String> {
        let parts = match self {
            Peer::Ws => vec![on_path("node"), folder().join("node/node_modules/ws")],
            Peer::Uws => vec![on_path("node"), folder().join(UWS).join(uws_native().unwrap_or_default())],
            Peer::Nchan => vec![NGINX.into(), NCHAN.into()],
            Peer::Nats => vec![on_path(nats::program().unwrap_or_default())],
            Peer::Centrifuge => vec![centrifuge()],
        };
        let missing = parts.into_iter().find(|part| !part.exists())?;
        // Its name says enough, and where this repository lies is nobody's business.
        Some(format!("{} is not installed", missing.file_name()?.to_string_lossy()))
    }

    /// Starts it on core 0.
    pub(crate) fn start(self) -> Result<Server> {
        match self {
            Peer::Ws => node("ws.mjs"),
            Peer::Uws => node("uws.mjs"),
            Peer::Nchan => nchan(),
            Peer::Nats => nats_server(),
            Peer::Centrifuge => {
                let mut command = pinned(&centrifuge());
                command.env("GOMAXPROCS", "1");
                Server::start(listening(command, None, Dialect::Centrifuge, Way::Centrifuge))
            }
        }
    }
}

/// What is kept for the peers in this repository.
pub(crate) fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("bench/peers")
}

fn centrifuge() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../.tools/bin/centrifuge-server")
}

/// Where a program is: the name alone if it is nowhere.
fn on_path(program: impl Into<PathBuf>) -> PathBuf {
    let program = program.into();
    let path = env::var_os("PATH").unwrap_or_default();
    env::split_paths(&path).map(|folder| folder.join(&program)).find(|file| file.is_file()).unwrap_or(program)
}

/// The native part for the Node.js that is installed.
fn uws_native() -> Option<String> {
    let name = "`uws_${process.platform}_${process.arch}_${process.versions.modules}.node`";
    let output = Command::new("node").args(["-p", name]).output().ok()?;
    Some(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

/// A server that logs `listening ws=ADDRESS`, as the edge does.
fn listening(command: Command, data: Option<TempDir>, dialect: Dialect, way: Way) -> Launch {
    let sign = || Sign::Words(&["listening", "ws"]);
    Launch { command, data, dialect, way, subscribers: sign(), updates: sign(), tls: None }
}

fn node(script: &str) -> Result<Server> {
    let mut command = pinned(&on_path("node"));
    command.arg(folder().join("node").join(script)).env("NODE_ENV", "production");
    Server::start(listening(command, None, Dialect::Edge, Way::Trigger))
}

/// Its port is chosen here, and may be taken before it binds it.
fn nchan() -> Result<Server> {
    let mut last = None;
    for _ in 0..TRIES {
        let data = tempfile::tempdir().context("creating a directory for nginx")?;
        let address = port::free()?;
        let configuration = data.path().join("nginx.conf");
        fs::write(&configuration, nginx_conf(address, data.path())).context("writing nginx's configuration")?;
        let mut command = pinned(Path::new(NGINX));
        command.arg("-c").arg(&configuration).arg("-p").arg(data.path()).args(["-e", "stderr"]);
        let sign = || Sign::Told("start worker process ", address);
        match Server::start(Launch {
            command,
            data: Some(data),
            dialect: Dialect::Nchan,
            way: Way::Nchan,
            subscribers: sign(),
            updates: sign(),
            tls: None,
        }) {
            Ok(server) => return Ok(server),
            Err(error) => last = Some(error),
        }
    }
    Err(last.context("no port was tried")?)
}

fn nginx_conf(address: SocketAddr, data: &Path) -> String {
    let data = data.display();
    let temporary: String = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
        .map(|what| format!("  {what}_temp_path {data}/{what};\n"))
        .concat();
    format!(
        "load_module {NCHAN};\n\
         daemon off;\n\
         worker_processes 1;\n\
         pid {data}/nginx.pid;\n\
         error_log stderr notice;\n\
         events {{ worker_connections 19000; multi_accept on; }}\n\
         http {{\n\
         {temporary}  access_log off;\n  \
           keepalive_requests 1000000000;\n  \
           keepalive_timeout 1h;\n  \
           server {{\n    \
             listen {address} backlog=4096;\n    \
             location ~ ^/sub/(.+)$ {{\n      \
               nchan_subscriber websocket;\n      \
               nchan_channel_id $1;\n      \
               nchan_channel_id_split_delimiter \",\";\n      \
               nchan_subscriber_first_message newest;\n      \
               nchan_websocket_ping_interval 30s;\n    \
             }}\n    \
             location ~ ^/pub/(.+)$ {{\n      \
               nchan_publisher http;\n      \
               nchan_channel_id $1;\n      \
               nchan_store_messages off;\n    \
             }}\n  \
           }}\n\
         }}\n"
    )
}

fn nats_server() -> Result<Server> {
    let data = tempfile::tempdir().context("creating a directory for nats-server")?;
    let configuration = data.path().join("server.conf");
    let text = "listen: \"127.0.0.1:-1\"\nping_interval: \"30s\"\n\
                websocket { listen: \"127.0.0.1:-1\", no_tls: true, compression: false }\n";
    fs::write(&configuration, text).context("writing nats-server's configuration")?;
    let mut command = pinned(&on_path(nats::program()?));
    command.arg("-c").arg(&configuration).env("GOMAXPROCS", "1");
    Server::start(Launch {
        command,
        data: Some(data),
        dialect: Dialect::Nats,
        way: Way::Nats,
        subscribers: Sign::Words(&["Listening for websocket clients on"]),
        updates: Sign::Words(&["Listening for client connections on"]),
        tls: None,
    })
}
