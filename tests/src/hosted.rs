//! An edge inside the test's own process, as a host's plugin is. The rule: everything is the edge's own code; only the
//! store and the stream are the test's.

use std::net::SocketAddr;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use analytics_proxy::host::Host;
use analytics_proxy::listener::{self, Listener};
use analytics_proxy::{Edge, EdgeConfig, EdgeHandle, FeedSource, Stage};
use anyhow::{Context, Result};
use async_trait::async_trait;
use lambda_trigger::CounterStore;
use lambda_trigger::auth::Mode;
use pingora::proxy::http_proxy;
use pingora::server::configuration::ServerConf;
use pingora::server::{RunArgs, Server, ShutdownSignal, ShutdownSignalWatch};
use pingora::services::ServiceWithDependents;
use tokio::sync::Notify;

use crate::api::Api;
use crate::certificate::Certificate;
use crate::line::Trust;
use crate::own_tls;
use crate::socket::{Dial, Socket};
use crate::wait;

/// A running edge; it ends when it is dropped.
pub struct Hosted {
    /// Its handle.
    pub handle: EdgeHandle,
    /// Where it listens.
    pub address: SocketAddr,
    stop: Arc<Notify>,
    server: Option<JoinHandle<()>>,
    /// It ends before the server, whose port is free for others then.
    trust: Option<Trust>,
}

impl Hosted {
    /// Starts a development edge with two hubs over a store and a stream; `adjust` may change its settings. It need not
    /// be ready yet: see [`Hosted::ready`].
    pub fn start(
        store: Arc<dyn CounterStore>,
        source: FeedSource,
        adjust: impl FnOnce(&mut EdgeConfig),
    ) -> Result<Hosted> {
        Hosted::start_by(None, store, source, adjust)
    }

    /// The same on a listener of the host's own, which ends TLS.
    pub fn start_with_own_tls(
        certificate: &Certificate,
        store: Arc<dyn CounterStore>,
        source: FeedSource,
        adjust: impl FnOnce(&mut EdgeConfig),
    ) -> Result<Hosted> {
        let mut hosted = Hosted::start_by(Some(certificate), store, source, adjust)?;
        hosted.trust = Some(Trust::new(hosted.address, certificate.client()?));
        Ok(hosted)
    }

    fn start_by(
        certificate: Option<&Certificate>,
        store: Arc<dyn CounterStore>,
        source: FeedSource,
        adjust: impl FnOnce(&mut EdgeConfig),
    ) -> Result<Hosted> {
        let mut config = EdgeConfig { workers: 2, drain: Duration::ZERO, ..EdgeConfig::new(Mode::Development) };
        adjust(&mut config);
        let edge = Edge::builder(config).store(store).feed(source).build().context("build the edge")?;
        let handle = edge.handle();
        let socket = listener::bind(SocketAddr::from(([127, 0, 0, 1], 0))).context("bind the edge")?;
        let address = socket.local_addr().context("the edge's address")?;
        let stop = Arc::new(Notify::new());
        let (host, signal) = (Host::new(handle.clone(), None, false), Stop(handle.clone(), stop.clone()));
        let proxy = http_proxy(&Arc::new(conf()), host);
        let listener: Box<dyn ServiceWithDependents> = match certificate {
            None => Box::new(Listener::new("edge", proxy, vec![socket], Duration::from_secs(10))),
            Some(certificate) => own_tls::service(proxy, socket, certificate)?,
        };
        let server = std::thread::Builder::new().name("hosted".into()).spawn(move || {
            let mut server = Server::new_with_opt_and_conf(None, conf());
            server.bootstrap();
            let engine = server.add_services(edge.services());
            server.add_boxed_service(listener).add_dependencies(&engine);
            server.run(RunArgs { shutdown_signal: Box::new(signal) });
        });
        let server = Some(server.context("start the server's thread")?);
        Ok(Hosted { handle, address, stop, server, trust: None })
    }

    /// Returns once the edge takes connections.
    pub async fn ready(&self) -> Result<()> {
        wait::holds("the edge to be ready", || self.handle.status().stage == Stage::Ready).await
    }

    /// A fresh WebSocket.
    pub async fn socket(&self) -> Result<Socket> {
        Dial::default().open_at(&self.address.to_string()).await
    }

    /// A fresh connection for calls.
    pub fn api(&self) -> Api {
        Api::new(self.address.to_string())
    }
}

impl Drop for Hosted {
    fn drop(&mut self) {
        drop(self.trust.take());
        self.stop.notify_one();
        if let Some(server) = self.server.take() {
            // A panic in it has been printed.
            let _ = server.join();
        }
    }
}

fn conf() -> ServerConf {
    ServerConf {
        threads: 1,
        grace_period_seconds: Some(0),
        graceful_shutdown_timeout_seconds: Some(1),
        ..ServerConf::default()
    }
}

/// Ends the server when the test says so.
struct Stop(EdgeHandle, Arc<Notify>);

#[async_trait]
impl ShutdownSignalWatch for Stop {
    async fn recv(&self) -> ShutdownSignal {
        self.1.notified().await;
        self.0.drain(Duration::ZERO).await;
        ShutdownSignal::FastShutdown
    }
}
