//! The edge as a plugin. The rule: building starts nothing and binds nothing; what the host must run are the
//! [`Edge::services`], and everything else goes through the [`EdgeHandle`].
//!
//! In a host's `ProxyHttp::request_filter` one call to [`EdgeHandle::handle`] answers what is the edge's and leaves
//! the rest to the host, whatever its runtimes look like.

mod builder;
mod client_address;
mod service;
mod shutdown;
mod simulation;
mod upgrade;

use std::borrow::Cow;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicUsize, Ordering};
use std::time::Duration;

use analytics_shared::update::Update;
use analytics_shared::{Authority, Code, CounterState, Failure, Field};
use bytes::Bytes;
use http::{HeaderValue, Response, header, request};
use lambda_trigger::handler::{Handler, TriggerError};
use lambda_trigger::{CounterStore, auth, cors, reply};
use pingora::http::RequestHeader;
use pingora::proxy::Session;
use pingora::server::ShutdownSignalWatch;

pub use builder::{ConfigError, EdgeBuilder, EdgeConfig};
pub use client_address::InvalidNetwork;
pub use client_address::TrustedProxies;

use crate::admission::Admission;
use crate::api::{self, Calls};
use crate::events::ConnId;
use crate::feed::{Feed, FeedSource, HubEnd, Pace};
use crate::handshake::{self, Handshake};
use crate::hub::{Mailbox, Settings};
use crate::metrics::Metrics;
use crate::presence::Membership;
use crate::stream::EdgeStream;

/// An edge that was built and not yet started.
pub struct Edge {
    inner: Arc<Inner>,
    /// The hubs' ends of their rings, for the service that starts them.
    ends: Vec<HubEnd>,
}

/// A started or unstarted edge, for the host's requests and its own code. Cloning shares it.
#[derive(Clone)]
pub struct EdgeHandle {
    inner: Arc<Inner>,
}

struct Inner {
    handler: Handler,
    calls: Calls,
    store: Arc<dyn CounterStore>,
    feed: Arc<Feed>,
    mailboxes: Vec<Arc<Mailbox>>,
    admission: Arc<Admission>,
    membership: Option<Arc<Membership>>,
    settings: Arc<Settings>,
    trusted: TrustedProxies,
    simulation: Option<Duration>,
    source: FeedSource,
    sweep: Pace,
    drain: Duration,
    stage: AtomicU8,
    in_flight: AtomicUsize,
}

/// Where an edge is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Stage {
    /// Its services have not started yet.
    Starting,
    /// It serves.
    Ready,
    /// It closes its connections and refuses new ones; HTTP calls are still answered.
    Draining,
    /// It answers nothing any more.
    Stopped,
}

/// What [`EdgeHandle::handle`] did with a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Handled {
    /// Not the edge's: the host goes on as if the edge were not there.
    NotMine,
    /// Answered over HTTP: `request_filter` returns `Ok(true)`.
    Answered,
    /// The connection is now a WebSocket of the edge: `request_filter` returns `Ok(true)`.
    TakenOver(ConnId),
}

/// How an edge is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EdgeStatus {
    /// Where it is in its life.
    pub stage: Stage,
    /// WebSocket connections, those still closing included.
    pub connections: usize,
    /// What does not work as it should, in words; empty when all is well.
    pub degraded: Vec<Cow<'static, str>>,
}

/// A count that was changed through [`EdgeHandle::trigger_real_update`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Updated {
    /// The field's value right after the increment.
    pub value: u64,
    /// The counter's version right after the increment.
    pub version: u64,
    /// The whole state.
    pub state: CounterState,
}

/// Why an update was not counted, or may not have been.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum UpdateError {
    /// An argument is not allowed; the text names it.
    #[error(transparent)]
    Invalid(#[from] Failure),
    /// The store's word.
    #[error(transparent)]
    Trigger(#[from] TriggerError),
}

/// A request in flight; the drain waits until it is dropped.
pub struct InFlight {
    inner: Arc<Inner>,
}

impl UpdateError {
    /// The code of the closed list that a caller over HTTP would see.
    pub fn code(&self) -> Code {
        match self {
            UpdateError::Invalid(failure) => failure.code,
            UpdateError::Trigger(error) => error.failure().code,
        }
    }
}

impl Edge {
    /// Starts to describe an edge.
    pub fn builder(config: EdgeConfig) -> EdgeBuilder {
        EdgeBuilder::new(config)
    }

    /// The handle for the host's requests and code.
    pub fn handle(&self) -> EdgeHandle {
        EdgeHandle { inner: self.inner.clone() }
    }
}

impl EdgeHandle {
    /// Answers a request if it is the edge's. To be called first in `ProxyHttp::request_filter`.
    ///
    /// The token is out of the session's request when this returns, whatever it returns. `tag` comes back in
    /// [`crate::Events`]. After [`Handled::TakenOver`] the session is inert: its `logging()` sees status 101. An
    /// error means that the peer is gone.
    pub async fn handle(&self, session: &mut Session, tag: u64) -> pingora::Result<Handled> {
        EdgeStream::head_was_read(session);
        let path = session.req_header().uri.path();
        let api = Handler::serves(path);
        if !api && !handshake::is_ours(path) {
            self.redact_own_token(session.req_header_mut());
            return Ok(Handled::NotMine);
        }
        let _in_flight = self.in_flight();
        let head: request::Parts = (**session.req_header()).clone();
        redact_query(session.req_header_mut(), auth::without_token);
        let handshake = if api { None } else { Some(handshake::judge(&head)) };
        if let Some(Ok(Handshake::NotOurs)) = handshake {
            self.redact_own_bearer(session.req_header_mut());
            return Ok(Handled::NotMine);
        }
        session.req_header_mut().remove_header(&header::AUTHORIZATION);
        session.req_header_mut().remove_header(&header::SEC_WEBSOCKET_PROTOCOL);
        match handshake {
            Some(Ok(Handshake::Upgrade(accept_key))) => self.upgrade(session, &head, &accept_key, tag).await,
            Some(Err(failure)) => self.refuse(session, &head, &failure).await,
            _ if self.stage() == Stage::Stopped => {
                self.refuse(session, &head, &unavailable("this edge has stopped")).await
            }
            _ => {
                api::answer(&self.inner.calls, &self.inner.handler, session, &head).await?;
                Ok(Handled::Answered)
            }
        }
    }

    /// On the host's own paths `token` and `Authorization` are the host's, unless they hold one of the edge's tokens
    /// that went astray.
    fn redact_own_token(&self, head: &mut RequestHeader) {
        let auth = self.inner.handler.auth();
        redact_query(head, |whole| auth.without_own_token(whole));
    }

    fn redact_own_bearer(&self, head: &mut RequestHeader) {
        let auth = self.inner.handler.auth();
        if head.headers.get_all(header::AUTHORIZATION).iter().any(|value| auth.is_own_bearer(value)) {
            head.remove_header(&header::AUTHORIZATION);
        }
    }

    async fn refuse(
        &self,
        session: &mut Session,
        head: &request::Parts,
        failure: &Failure,
    ) -> pingora::Result<Handled> {
        if handshake::is_ours(head.uri.path()) {
            self.inner.settings.metrics.refused.inc();
            tracing::debug!(code = ?failure.code, reason = %failure, "refused an upgrade");
        }
        let mut response = self.inner.handler.refuse(head, failure);
        match failure.code {
            Code::MethodNotAllowed => response.headers_mut().insert(header::ALLOW, HeaderValue::from_static("GET")),
            // RFC 6455 §4.4
            Code::UpgradeRequired => {
                response.headers_mut().insert(header::SEC_WEBSOCKET_VERSION, HeaderValue::from_static("13"))
            }
            _ => None,
        };
        api::send(session, response).await?;
        Ok(Handled::Answered)
    }

    /// Answers a request of the host's own with a response, dressed for the page that asks as the edge's answers are; a
    /// page of a foreign origin gets 403 instead.
    pub async fn respond(
        &self,
        session: &mut Session,
        head: &request::Parts,
        mut response: Response<Bytes>,
    ) -> pingora::Result<()> {
        let origin = match self.inner.handler.origins().check(&head.headers) {
            Ok(origin) => origin,
            Err(foreign) => {
                response = reply::failure(&foreign);
                None
            }
        };
        cors::decorate(response.headers_mut(), origin.as_ref());
        if head.method == http::Method::HEAD {
            *response.body_mut() = Bytes::new();
        }
        api::send(session, response).await
    }

    /// Answers a request of the host's own with a failure of the closed list.
    pub async fn respond_failure(
        &self,
        session: &mut Session,
        head: &request::Parts,
        failure: &Failure,
    ) -> pingora::Result<()> {
        self.respond(session, head, reply::failure(failure)).await
    }

    /// Counts, as a server that is trusted with every counter: the host's own code needs no token.
    ///
    /// In this process even where calls are forwarded ([`EdgeConfig::trigger`]), so its store must be one that this
    /// process may write.
    ///
    /// At most once: after [`lambda_trigger::store::Refusal::OutcomeUnknown`] nobody can say whether it was counted.
    pub async fn trigger_real_update(
        &self,
        content_id: &str,
        field: Field,
        increment: i64,
        organization_id: Option<&str>,
        client_id: Option<&str>,
    ) -> Result<Updated, UpdateError> {
        let _in_flight = self.in_flight();
        let update = Update::new(content_id, field, increment, organization_id, client_id)?;
        let applied = self.inner.handler.trigger(&Authority::unrestricted(), update, None).await?;
        let state = applied.state;
        Ok(Updated { value: state.versioned.counts.get(field), version: state.versioned.version, state })
    }

    /// How the edge is.
    pub fn status(&self) -> EdgeStatus {
        let mut degraded = Vec::new();
        let health = self.inner.feed.health();
        if health.unreadable {
            degraded.push(Cow::Borrowed("the store cannot be read"));
        }
        if health.cut {
            degraded.push(Cow::Borrowed("the stream of changes is cut"));
        }
        EdgeStatus { stage: self.stage(), connections: self.inner.admission.open(), degraded }
    }

    /// The edge's series in Prometheus' text format.
    pub fn metrics(&self) -> Vec<u8> {
        let connections = self.inner.mailboxes.iter().map(|mailbox| mailbox.connections()).sum();
        self.inner.settings.metrics.render(connections, self.inner.feed.health())
    }

    /// Closes every connection, spread over a time, then lets what is in flight finish and stops. Ends when all is
    /// done, at the latest some seconds after `over`.
    pub async fn drain(&self, over: Duration) {
        shutdown::drain(&self.inner, over).await;
    }

    /// For `pingora::server::RunArgs`: on SIGTERM drains and then lets the server end; on SIGINT the same, without
    /// taking time over it.
    pub fn shutdown_signal(&self) -> Box<dyn ShutdownSignalWatch> {
        Box::new(shutdown::DrainFirst(self.clone()))
    }

    /// Marks a request of the host's own as in flight: a drain waits for it.
    pub fn in_flight(&self) -> InFlight {
        self.inner.in_flight.fetch_add(1, Ordering::SeqCst);
        InFlight { inner: self.inner.clone() }
    }

    /// The series that other parts of the crate count in.
    pub(crate) fn metrics_of(&self) -> &Metrics {
        &self.inner.settings.metrics
    }

    /// Whether this request's forwarding headers were written by a proxy that is believed.
    pub(crate) fn trusts(&self, peer: IpAddr) -> bool {
        self.inner.trusted.trusts(peer.to_canonical())
    }

    fn stage(&self) -> Stage {
        self.inner.stage()
    }
}

impl Inner {
    fn stage(&self) -> Stage {
        match self.stage.load(Ordering::SeqCst) {
            0 => Stage::Starting,
            1 => Stage::Ready,
            2 => Stage::Draining,
            _ => Stage::Stopped,
        }
    }

    fn enter(&self, stage: Stage) {
        self.stage.store(stage as u8, Ordering::SeqCst);
    }

    /// Ready, unless the end came before.
    fn enter_ready(&self) {
        let (from, to) = (Stage::Starting as u8, Stage::Ready as u8);
        // A failure is that case.
        let _ = self.stage.compare_exchange(from, to, Ordering::SeqCst, Ordering::SeqCst);
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        self.inner.in_flight.fetch_sub(1, Ordering::SeqCst);
    }
}

fn unavailable(text: &'static str) -> Failure {
    Failure::new(Code::Unavailable, text)
}

/// Takes the token out of a request's target, so that no log and no upstream can learn it.
fn redact_query(head: &mut RequestHeader, without: impl Fn(&str) -> Option<String>) {
    let redacted = head.uri.path_and_query().and_then(|whole| without(whole.as_str()));
    if let Some(uri) = redacted.and_then(|redacted| redacted.parse().ok()) {
        head.set_uri(uri);
    }
}
