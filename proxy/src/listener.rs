//! The binary's listening service. The rule: sockets are bound before anything starts, and every connection, plain or
//! TLS, goes to the host's `HttpProxy` through a stream whose handshake and request heads have a deadline.

use std::net::{SocketAddr, TcpListener as StdListener};
use std::os::fd::AsRawFd;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use pingora::apps::HttpServerApp;
use pingora::protocols::http::ServerSession;
use pingora::protocols::l4::stream::Stream as TcpStream;
use pingora::protocols::{GetSocketDigest, SocketDigest};
use pingora::server::{ListenFds, ShutdownWatch};
use pingora::services::Service;
use tokio::net::TcpListener;

use crate::stream::{EdgeStream, IDLE};
use crate::tls::{Acceptor, Certificate};

/// Connections that wait to be accepted: a storm of reconnects must not be refused by the kernel.
const BACKLOG: i32 = 4096;

/// Pause after a failed accept, usually for want of descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Descriptors that connections leave to files and to calls upstream.
const SPARE_DESCRIPTORS: u64 = 64;

/// Descriptors that connections do not hold while they wait for a next request: whoever is accepted when fewer are left
/// is answered once.
const BUSY_DESCRIPTORS: u64 = 256;

/// Binds a listening socket; port 0 takes a free one.
pub fn bind(address: SocketAddr) -> std::io::Result<StdListener> {
    let domain = if address.is_ipv6() { socket2::Domain::IPV6 } else { socket2::Domain::IPV4 };
    let socket = socket2::Socket::new(domain, socket2::Type::STREAM, None)?;
    socket.set_reuse_address(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    socket.set_nonblocking(true)?;
    Ok(socket.into())
}

/// A Pingora service that accepts on sockets bound before.
pub struct Listener<A> {
    name: &'static str,
    app: Arc<A>,
    sockets: Vec<(StdListener, Option<Acceptor>)>,
    head_time: Duration,
    /// Looked after while connections are taken.
    certificate: Option<Certificate>,
    on_start: Option<Box<dyn FnOnce() + Send + Sync>>,
}

impl<A: HttpServerApp + Send + Sync + 'static> Listener<A> {
    /// A service of an HTTP application on these sockets. The whole head of a request must come within `head_time`.
    pub fn new(name: &'static str, app: A, sockets: Vec<StdListener>, head_time: Duration) -> Listener<A> {
        let sockets = sockets.into_iter().map(|socket| (socket, None)).collect();
        Listener { name, app: Arc::new(app), sockets, head_time, certificate: None, on_start: None }
    }

    /// Takes TLS connections on these sockets besides, and renews their certificate.
    pub fn tls(mut self, acceptor: Acceptor, sockets: Vec<StdListener>, certificate: Certificate) -> Listener<A> {
        self.certificate = Some(certificate);
        self.sockets.extend(sockets.into_iter().map(|socket| (socket, Some(acceptor.clone()))));
        self
    }

    /// Called once, when connections are taken.
    pub fn on_start(mut self, call: impl FnOnce() + Send + Sync + 'static) -> Listener<A> {
        self.on_start = Some(Box::new(call));
        self
    }
}

#[async_trait]
impl<A: HttpServerApp + Send + Sync + 'static> Service for Listener<A> {
    async fn start_service(&mut self, _: Option<ListenFds>, shutdown: ShutdownWatch, _: usize) {
        let mut loops = Vec::new();
        for (socket, acceptor) in self.sockets.drain(..) {
            let accepting = accept_on(socket, acceptor, self.app.clone(), shutdown.clone(), self.head_time);
            loops.push(tokio::spawn(accepting));
        }
        if let Some(certificate) = self.certificate.take() {
            // Ends with the runtime.
            tokio::spawn(certificate.renew());
        }
        if let Some(call) = self.on_start.take() {
            call();
        }
        for accepting in loops {
            // A loop that panicked has logged why; the others go on.
            let _ = accepting.await;
        }
        self.app.http_cleanup().await;
    }

    fn name(&self) -> &str {
        self.name
    }
}

async fn accept_on<A: HttpServerApp + Send + Sync + 'static>(
    socket: StdListener,
    acceptor: Option<Acceptor>,
    app: Arc<A>,
    mut shutdown: ShutdownWatch,
    head_time: Duration,
) {
    let listener = match TcpListener::from_std(socket) {
        Ok(listener) => listener,
        Err(error) => return tracing::error!(%error, "a listening socket cannot be polled"),
    };
    let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile).current.unwrap_or(u64::MAX);
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            _ = shutdown.wait_for(|stopping| *stopping) => return,
        };
        match accepted {
            // Descriptors are given out from the lowest, so a high one says that few are left. One connection that
            // is dropped is better than a process that cannot open its files.
            Ok((socket, _)) if socket.as_raw_fd() as u64 >= limit.saturating_sub(SPARE_DESCRIPTORS) => drop(socket),
            Ok((socket, peer)) => {
                // Answers are written whole; waiting for more to send would only delay them.
                if let Err(error) = socket.set_nodelay(true) {
                    tracing::debug!(%error, "a socket refused an option");
                }
                let mut stream = TcpStream::from(socket);
                let digest = SocketDigest::from_raw_fd(stream.as_raw_fd());
                // An empty cell that is set once; nobody else has it yet.
                let _ = digest.peer_addr.set(Some(peer.into()));
                stream.set_socket_digest(digest);
                let keep_alive = (stream.as_raw_fd() as u64) < limit.saturating_sub(BUSY_DESCRIPTORS);
                let session = match acceptor.as_ref().map(Acceptor::session).transpose() {
                    Ok(session) => session,
                    Err(error) => {
                        tracing::error!(%error, "a TLS session cannot be made");
                        continue;
                    }
                };
                let stream = EdgeStream::new(stream, session, head_time);
                let (acceptor, app, shutdown) = (acceptor.clone(), app.clone(), shutdown.clone());
                tokio::spawn(async move {
                    if let Some(stream) = shake_hands(stream, acceptor).await {
                        serve(stream, keep_alive, app, shutdown).await;
                    }
                });
            }
            Err(error) => {
                tracing::warn!(%error, "accepting failed");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

/// The stream after its TLS handshake, where it has one. One that fails is counted and costs nobody else anything.
async fn shake_hands(mut stream: EdgeStream, acceptor: Option<Acceptor>) -> Option<EdgeStream> {
    let Some(acceptor) = acceptor else { return Some(stream) };
    match stream.handshake().await {
        Ok(()) => Some(stream),
        Err(error) => {
            acceptor.failed.inc();
            tracing::debug!(%error, "a TLS handshake failed");
            None
        }
    }
}

/// Serves the requests of one connection.
async fn serve<A: HttpServerApp + Send + Sync + 'static>(
    stream: EdgeStream,
    keep_alive: bool,
    app: Arc<A>,
    shutdown: ShutdownWatch,
) {
    let mut session = ServerSession::new_http1(Box::new(stream));
    session.set_keepalive(Some(IDLE.as_secs()));
    if !keep_alive {
        session.set_keepalive_reuses_remaining(Some(0));
    }
    while let Some(reused) = app.process_new_http(session, &shutdown).await {
        let (stream, settings) = reused.consume();
        let Ok(mut stream) = stream.into_any().downcast::<EdgeStream>() else { return };
        stream.await_next();
        session = ServerSession::new_http1(stream);
        if let Some(settings) = settings {
            settings.apply_to_session(&mut session);
        }
    }
}
