//! Connections to the function. The rule: a failure says whether any of the request may have left; and a connection that
//! the other side has begun to close is never used for a call.
//!
//! A pool of hyper's own connections rather than the client of `hyper-util`: that one does not tell a request that was
//! handed back unsent on a fresh connection from one that broke under way, and it learns that a resting connection was
//! closed only when its task has run. Here the socket is looked at before each use, so what is left of that race is the
//! time of flight of one packet; resting connections are given up well before servers do it.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use bytes::Bytes;
use http::{Response, Uri};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper::client::conn::http1::{self, SendRequest};
use hyper_rustls::{ConfigBuilderExt, HttpsConnector, HttpsConnectorBuilder, MaybeHttpsStream};
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioIo;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustls::ClientConfig;
use rustls::crypto::aws_lc_rs;
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout_at};
use tower_service::Service;

use super::request::Outgoing;
use super::target::Target;

/// How long a connection may take to be made, its name looked up and its TLS handshake included.
const CONNECT: Duration = Duration::from_secs(3);

/// How long a connection may rest. Servers give up theirs after some 60 seconds.
const IDLE: Duration = Duration::from_secs(20);

/// The largest answer; Lambda's own limit is 6 MB.
const MAX_ANSWER: usize = 8 * 1024 * 1024;

/// Why an exchange brought no answer.
#[derive(Debug)]
pub(super) enum Trouble {
    /// Nothing of the request has left.
    NotSent(String),
    /// It may have arrived.
    Unknown(String),
}

/// Connections to one target.
pub(super) struct Pool {
    connector: HttpsConnector<HttpConnector>,
    uri: Uri,
    /// The last one used last; as many as there ever were calls at once.
    resting: Mutex<Vec<Resting>>,
}

struct Resting {
    line: Line,
    since: Instant,
}

/// A connection with nothing under way.
struct Line {
    sender: SendRequest<Full<Bytes>>,
    /// Its socket, for as long as the connection lives.
    socket: Weak<OwnedFd>,
}

impl Pool {
    /// Opens nothing.
    pub(super) fn new(target: &Target) -> io::Result<Pool> {
        let mut http = HttpConnector::new();
        http.enforce_http(false);
        http.set_nodelay(true);
        let builder = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()));
        let builder = builder.with_safe_default_protocol_versions().map_err(io::Error::other)?;
        let config = match target.is_tls() {
            true => builder.with_native_roots()?.with_no_client_auth(),
            // No certificate is ever looked at.
            false => builder.with_root_certificates(rustls::RootCertStore::empty()).with_no_client_auth(),
        };
        let connector = HttpsConnectorBuilder::new().with_tls_config(config).https_or_http().enable_http1();
        let uri = Uri::try_from(target.to_string()).map_err(io::Error::other)?;
        Ok(Pool { connector: connector.wrap_connector(http), uri, resting: Mutex::default() })
    }

    /// Sends a request and reads the whole answer, until `end`.
    pub(super) async fn exchange(&self, outgoing: &Outgoing, end: Instant) -> Result<Response<Bytes>, Trouble> {
        let request = outgoing.request().ok_or_else(|| Trouble::NotSent("the call has no target".to_owned()))?;
        let mut line = match self.rested() {
            Some(line) => line,
            None => self.connect(end).await?,
        };
        match timeout_at(end, line.sender.ready()).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => return Err(Trouble::NotSent(chain(&error))),
            Err(_) => return Err(Trouble::NotSent("the connection was not ready in time".to_owned())),
        }
        let response = match timeout_at(end, line.sender.try_send_request(request)).await {
            Ok(Ok(response)) => response,
            Ok(Err(mut error)) => {
                // Handed back, it was never begun.
                let trouble = if error.take_message().is_some() { Trouble::NotSent } else { Trouble::Unknown };
                return Err(trouble(chain(error.error())));
            }
            Err(_) => return Err(Trouble::Unknown("it gave no answer in time".to_owned())),
        };
        let response = whole(response, end).await?;
        self.rest(line);
        Ok(response)
    }

    /// A connection that can be used.
    fn rested(&self) -> Option<Line> {
        let mut resting = self.resting();
        while let Some(Resting { line, since }) = resting.pop() {
            if since.elapsed() > IDLE {
                // The others have rested longer.
                resting.clear();
            } else if line.is_open() {
                return Some(line);
            }
        }
        None
    }

    fn rest(&self, line: Line) {
        if !line.sender.is_closed() {
            self.resting().push(Resting { line, since: Instant::now() });
        }
    }

    fn resting(&self) -> MutexGuard<'_, Vec<Resting>> {
        self.resting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn connect(&self, end: Instant) -> Result<Line, Trouble> {
        let connecting = async {
            let stream = self.connector.clone().call(self.uri.clone()).await.map_err(|error| chain(&*error))?;
            let socket = Arc::new(tcp(&stream).as_fd().try_clone_to_owned().map_err(|error| chain(&error))?);
            let (sender, connection) = http1::handshake(stream).await.map_err(|error| chain(&error))?;
            let line = Line { sender, socket: Arc::downgrade(&socket) };
            tokio::spawn(async move {
                // Its errors reach the caller through the sender.
                let _ = connection.await;
                drop(socket);
            });
            Ok(line)
        };
        match timeout_at(end.min(Instant::now() + CONNECT), connecting).await {
            Ok(connected) => connected.map_err(Trouble::NotSent),
            Err(_) => Err(Trouble::NotSent("it could not be connected to in time".to_owned())),
        }
    }
}

impl Line {
    /// Whether the other side still means to answer on it, as far as has been heard.
    fn is_open(&self) -> bool {
        let Some(socket) = self.socket.upgrade().filter(|_| !self.sender.is_closed()) else { return false };
        let mut look = [PollFd::new(&socket, PollFlags::RDHUP)];
        matches!(poll(&mut look, Some(&Timespec { tv_sec: 0, tv_nsec: 0 })), Ok(0))
    }
}

/// The socket under a connection.
fn tcp(stream: &MaybeHttpsStream<TokioIo<TcpStream>>) -> &TcpStream {
    match stream {
        MaybeHttpsStream::Http(plain) => plain.inner(),
        MaybeHttpsStream::Https(tls) => tls.inner().get_ref().0.inner().inner(),
    }
}

async fn whole(response: Response<Incoming>, end: Instant) -> Result<Response<Bytes>, Trouble> {
    let (parts, body) = response.into_parts();
    match timeout_at(end, Limited::new(body, MAX_ANSWER).collect()).await {
        Ok(Ok(body)) => Ok(Response::from_parts(parts, body.to_bytes())),
        Ok(Err(error)) => Err(Trouble::Unknown(chain(&*error))),
        Err(_) => Err(Trouble::Unknown("its answer did not end in time".to_owned())),
    }
}

/// An error with its causes.
fn chain(error: &(dyn std::error::Error + 'static)) -> String {
    let causes = std::iter::successors(Some(error), |error| (*error).source());
    causes.map(ToString::to_string).collect::<Vec<_>>().join(": ")
}
