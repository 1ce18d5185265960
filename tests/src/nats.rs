//! A real nats-server with JetStream. The rule: it owns its process and its files; it comes back on the same port, with
//! its files or without them.

pub mod deployed;

use std::env;
use std::fs;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use anyhow::{Context, Result, bail, ensure};
use lambda_trigger::nats::NatsOptions;
use tempfile::TempDir;

use crate::{port, wait};
use deployed::Deployed;

/// The domain of [`NatsServer::hub`].
pub const HUB: &str = "hub";

/// How often ports are tried: one that was free may be taken before the server binds it.
const TRIES: usize = 5;

/// A nats-server; it ends when it is dropped.
#[derive(Debug)]
pub struct NatsServer {
    /// Where clients connect.
    pub address: SocketAddr,
    /// Where leaf nodes connect, if this is a hub.
    pub leaves: Option<SocketAddr>,
    kind: Kind,
    files: TempDir,
    child: Option<Owned>,
}

#[derive(Debug, Clone)]
enum Kind {
    /// A hub that leaves can join, with a JetStream domain of its own.
    Hub,
    /// A leaf of the hub that listens there.
    Leaf(SocketAddr),
    /// What production runs.
    Deployed(Deployed),
}

#[derive(Debug)]
struct Owned(Child);

impl Drop for Owned {
    fn drop(&mut self) {
        // Both fail only if it has ended already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl NatsServer {
    /// Starts a hub with the domain [`HUB`], on free ports.
    pub async fn hub() -> Result<NatsServer> {
        NatsServer::start(Kind::Hub).await
    }

    /// Starts a leaf node of the hub whose leaves connect at `to`, on a free port.
    pub async fn leaf(to: SocketAddr) -> Result<NatsServer> {
        NatsServer::start(Kind::Leaf(to)).await
    }

    async fn start(kind: Kind) -> Result<NatsServer> {
        let mut last = None;
        for _ in 0..TRIES {
            let address = port::free()?;
            let leaves = if kind.is_hub() { Some(port::free()?) } else { None };
            let files = tempfile::tempdir().context("create a directory for the server")?;
            let mut server = NatsServer { address, leaves, kind: kind.clone(), files, child: None };
            match server.start_again().await {
                Ok(()) => return Ok(server),
                Err(error) => last = Some(error),
            }
        }
        Err(last.context("no port was tried")?)
    }

    /// Starts a server that was killed: same ports, and whatever files there are.
    pub async fn start_again(&mut self) -> Result<()> {
        ensure!(self.child.is_none(), "the server is still running");
        let configuration = self.configure().context("write the configuration")?;
        // What an earlier life wrote says nothing about this one.
        fs::write(self.files.path().join("log"), "").context("empty the log")?;
        let mut command = Command::new(program()?);
        command.arg("-c").arg(&configuration).arg("-l").arg(self.files.path().join("log"));
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let mut child = Owned(command.spawn().context("start nats-server")?);
        let answers = wait::until("nats-server to listen", async || {
            if let Ok(Some(_)) = child.0.try_wait() {
                return Some(false);
            }
            // Not by connecting: somebody else may have taken the port, and the server be about to notice.
            self.log().contains("Server is ready").then_some(true)
        });
        if !answers.await? {
            bail!("nats-server ended instead of listening:\n{}", self.log());
        }
        self.child = Some(child);
        Ok(())
    }

    /// Ends it as a crash does (SIGKILL), and waits until it is gone.
    pub fn kill(&mut self) {
        self.child = None;
    }

    /// Takes the files of a server that does not run: its streams and buckets are gone.
    pub fn wipe(&mut self) -> Result<()> {
        ensure!(self.child.is_none(), "the server is still running");
        self.files = tempfile::tempdir().context("create a directory for the server")?;
        Ok(())
    }

    /// How a client reaches JetStream of the hub at an address: the server's own, or a hop's before it.
    pub fn options(at: SocketAddr) -> NatsOptions {
        NatsOptions {
            servers: format!("nats://{at}").parse().expect("an address makes a valid list of one"),
            credentials: None,
            domain: Some(HUB.to_owned()),
            name: "test".to_owned(),
        }
    }

    /// Writes the configuration, and answers where it is.
    fn configure(&self) -> Result<PathBuf> {
        let address = self.address;
        let (host, port) = (address.ip(), address.port());
        let files = self.files.path();
        let listen = format!("listen: \"{host}:{port}\"\n");
        let text = match (&self.kind, self.leaves) {
            (Kind::Deployed(deployed), leaves) => return deployed.configure(files, address, leaves),
            (Kind::Leaf(hub), _) => {
                format!("{listen}leafnodes {{ reconnect: 1, remotes: [{{ url: \"nats://{hub}\" }}] }}\n")
            }
            (Kind::Hub, leaves) => {
                // Told the hub's own address, a leaf would come back past the hop that stands between them.
                let leaves = leaves.map(|at| format!("leafnodes {{ listen: \"{at}\", no_advertise: true }}\n"));
                let leaves = leaves.unwrap_or_default();
                let store = files.join("store");
                let store = store.display();
                format!("{listen}server_name: hub\njetstream {{ store_dir: \"{store}\", domain: {HUB} }}\n{leaves}")
            }
        };
        let configuration = files.join("server.conf");
        fs::write(&configuration, text)?;
        Ok(configuration)
    }

    fn log(&self) -> String {
        fs::read_to_string(self.files.path().join("log")).unwrap_or_default()
    }
}

impl Kind {
    fn is_hub(&self) -> bool {
        match self {
            Kind::Hub => true,
            Kind::Leaf(_) => false,
            Kind::Deployed(deployed) => deployed.is_hub(),
        }
    }
}

impl Drop for NatsServer {
    fn drop(&mut self) {
        // The test runner shows this for failed tests only.
        let log = self.log();
        let lines: Vec<&str> = log.lines().collect();
        eprintln!("nats-server's last lines:\n{}", lines[lines.len().saturating_sub(20)..].join("\n"));
    }
}

/// `$NATS_SERVER`, or what `tests/run` installed, or the one on the path.
pub fn program() -> Result<PathBuf> {
    if let Some(program) = env::var_os("NATS_SERVER") {
        return Ok(program.into());
    }
    let installed = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../.tools/bin/nats-server");
    Ok(if installed.is_file() { installed } else { "nats-server".into() })
}
