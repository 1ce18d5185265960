//! A host that ends TLS under Pingora's HTTP. The rule: to the edge its stream is of a type that it cannot take apart.
//!
//! It is a stream of the test's own, which every build has; with the feature `pingora-tls` it is that of Pingora's TLS
//! listeners: `cargo test --workspace --features analytics-tests/pingora-tls --test it -- bridge::`. The feature is off by
//! default, for it would put Pingora's TLS, and the cryptography that it chooses, into every program of the workspace.

use std::net::TcpListener as StdListener;
use std::os::fd::AsRawFd;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use anyhow::{Context as _, Result, anyhow};
use async_trait::async_trait;
use pingora::apps::HttpServerApp;
use pingora::protocols::http::ServerSession;
use pingora::protocols::raw_connect::ProxyDigest;
use pingora::protocols::{
    GetProxyDigest, GetSocketDigest, GetTimingDigest, Peek, Shutdown, SocketDigest, Ssl, TimingDigest, UniqueID,
    UniqueIDType,
};
use pingora::server::{ListenFds, ShutdownWatch};
use pingora::services::{Service, ServiceWithDependents, listening};
use rustls::ServerConfig;
use tokio::io::{self, AsyncRead, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use crate::certificate::Certificate;

/// A service that accepts by TLS at the address of a socket.
pub(crate) fn service<A: HttpServerApp + Send + Sync + 'static>(
    app: A,
    socket: StdListener,
    certificate: &Certificate,
) -> Result<Box<dyn ServiceWithDependents>> {
    if !cfg!(feature = "pingora-tls") {
        let (app, config) = (Arc::new(app), certificate.server()?);
        return Ok(Box::new(OwnTls { app, socket: Some(socket), config }));
    }
    let address = socket.local_addr().context("the host's address")?.to_string();
    // Pingora binds by itself.
    drop(socket);
    let (chain, key) = (certificate.chain(), certificate.key());
    let paths = chain.to_str().zip(key.to_str()).context("a path that is no text")?;
    let mut service = listening::Service::new("Pingora's TLS".to_owned(), app);
    service.add_tls(&address, paths.0, paths.1).map_err(|error| anyhow!("{error}"))?;
    Ok(Box::new(service))
}

/// The test's own.
struct OwnTls<A> {
    app: Arc<A>,
    socket: Option<StdListener>,
    config: Arc<ServerConfig>,
}

#[async_trait]
impl<A: HttpServerApp + Send + Sync + 'static> Service for OwnTls<A> {
    async fn start_service(&mut self, _: Option<ListenFds>, mut shutdown: ShutdownWatch, _: usize) {
        let Some(Ok(listener)) = self.socket.take().map(TcpListener::from_std) else { return };
        let acceptor = TlsAcceptor::from(self.config.clone());
        loop {
            let accepted = tokio::select! {
                accepted = listener.accept() => accepted,
                _ = shutdown.wait_for(|stopping| *stopping) => return,
            };
            let Ok((tcp, _)) = accepted else { return };
            let (acceptor, app, shutdown) = (acceptor.clone(), self.app.clone(), shutdown.clone());
            tokio::spawn(async move {
                // A client that fails ends its own connection only.
                let Ok(tls) = acceptor.accept(tcp).await else { return };
                let digest = Arc::new(SocketDigest::from_raw_fd(tls.get_ref().0.as_raw_fd()));
                let mut session = ServerSession::new_http1(Box::new(HostStream(tls, digest)));
                session.set_keepalive(Some(60));
                // One request, or a connection that is taken over: enough for what a test asks.
                app.process_new_http(session, &shutdown).await;
            });
        }
    }

    fn name(&self) -> &str {
        "own TLS"
    }
}

/// The host's stream, which tells of the socket under it as Pingora's own does.
#[derive(Debug)]
struct HostStream(TlsStream<TcpStream>, Arc<SocketDigest>);

impl AsyncRead for HostStream {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(cx, buf)
    }
}

impl AsyncWrite for HostStream {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(cx)
    }
}

#[async_trait]
impl Shutdown for HostStream {
    async fn shutdown(&mut self) {
        // Its peer may be gone already.
        let _ = self.0.shutdown().await;
    }
}

impl UniqueID for HostStream {
    fn id(&self) -> UniqueIDType {
        self.0.get_ref().0.as_raw_fd()
    }
}

impl GetTimingDigest for HostStream {
    fn get_timing_digest(&self) -> Vec<Option<TimingDigest>> {
        Vec::new()
    }
}

impl GetProxyDigest for HostStream {
    fn get_proxy_digest(&self) -> Option<Arc<ProxyDigest>> {
        None
    }
}

impl GetSocketDigest for HostStream {
    fn get_socket_digest(&self) -> Option<Arc<SocketDigest>> {
        Some(self.1.clone())
    }
}

#[async_trait]
impl Peek for HostStream {}

impl Ssl for HostStream {}
