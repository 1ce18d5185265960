//! The binary's own `ProxyHttp`. The rule: the edge first, then the few paths of the binary, then the upstream; and
//! without an upstream a clear answer.

use analytics_shared::{Code, Failure};
use async_trait::async_trait;
use bytes::Bytes;
use http::{HeaderValue, Method, Response, StatusCode, Version, header, request};
use lambda_trigger::{cors, reply};
use pingora::apps::http_app::ServeHttp;
use pingora::http::RequestHeader;
use pingora::modules::http::HttpModules;
use pingora::protocols::http::ServerSession;
use pingora::proxy::{ProxyHttp, Session};
use pingora::upstreams::peer::HttpPeer;
use serde_json::json;

use crate::config::Upstream;
use crate::edge::{EdgeHandle, Handled, InFlight, Stage};
use crate::{handshake, page};

/// Tells the upstream how the client came.
const FORWARDED_PROTO: &str = "x-forwarded-proto";

/// Methods of the binary's own paths.
const METHODS: &str = "GET, HEAD, OPTIONS";

/// An edge with the platform behind it, or alone.
pub struct Host {
    edge: EdgeHandle,
    upstream: Option<Upstream>,
    /// Whether the dashboard is served.
    dashboard: bool,
}

/// What a request carries along: while it is proxied, a drain waits for it.
#[derive(Default)]
pub struct Context {
    _in_flight: Option<InFlight>,
}

impl Host {
    /// A host for an edge. With `dashboard`, `/` is the development page unless there is an upstream.
    pub fn new(edge: EdgeHandle, upstream: Option<Upstream>, dashboard: bool) -> Host {
        let dashboard = dashboard && upstream.is_none();
        Host { edge, upstream, dashboard }
    }

    /// The answer of one of the binary's own paths; `None` for any other.
    fn own(&self, head: &request::Parts) -> Option<Response<Bytes>> {
        let path = head.uri.path();
        match path.strip_suffix('/').unwrap_or(path) {
            "/health" => Some(reply::json(StatusCode::OK, &json!({"status": "ok"}))),
            "/ready" => Some(self.ready()),
            path if self.dashboard => page::at(path, head),
            _ => None,
        }
    }

    fn ready(&self) -> Response<Bytes> {
        let status = self.edge.status();
        let word = match status.stage {
            Stage::Ready if status.degraded.is_empty() => "ok",
            Stage::Ready => "degraded",
            Stage::Starting => "starting",
            Stage::Draining | Stage::Stopped => "draining",
        };
        let code = if status.stage == Stage::Ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
        reply::json(code, &json!({"status": word, "connections": status.connections, "reasons": status.degraded}))
    }
}

#[async_trait]
impl ProxyHttp for Host {
    type CTX = Context;

    fn new_ctx(&self) -> Context {
        Context::default()
    }

    /// None: what Pingora adds by itself is a compression that is turned off, made and asked anew for every request.
    fn init_downstream_modules(&self, _: &mut HttpModules) {}

    async fn request_filter(&self, session: &mut Session, ctx: &mut Context) -> pingora::Result<bool> {
        if let Some(failure) = unroutable(session.req_header()) {
            let head: request::Parts = (**session.req_header()).clone();
            self.edge.respond_failure(session, &head, &failure).await?;
            return Ok(true);
        }
        if self.edge.handle(session, 0).await? != Handled::NotMine {
            return Ok(true);
        }
        let head: request::Parts = (**session.req_header()).clone();
        let path = head.uri.path();
        if let Some(own) = self.own(&head) {
            let response = match head.method {
                Method::GET | Method::HEAD => own,
                Method::OPTIONS => cors::preflight(METHODS),
                _ => reply::method_not_allowed(METHODS),
            };
            self.edge.respond(session, &head, response).await?;
            return Ok(true);
        }
        if self.upstream.is_some() {
            ctx._in_flight = Some(self.edge.in_flight());
            return Ok(false);
        }
        if handshake::is_ours(path) && head.method == Method::OPTIONS {
            self.edge.respond(session, &head, cors::preflight("GET, OPTIONS")).await?;
            return Ok(true);
        }
        let failure = if handshake::is_ours(path) {
            Failure::new(Code::UpgradeRequired, "this path speaks WebSocket only: upgrade, or connect with ws://")
        } else {
            Failure::new(Code::NotFound, "nothing lives at this path")
        };
        self.edge.respond_failure(session, &head, &failure).await?;
        Ok(true)
    }

    async fn upstream_peer(&self, _: &mut Session, _: &mut Context) -> pingora::Result<Box<HttpPeer>> {
        let missing = || pingora::Error::explain(pingora::ErrorType::HTTPStatus(404), "there is no upstream");
        let upstream = self.upstream.as_ref().ok_or_else(missing)?;
        let unresolved = |error: std::io::Error| {
            pingora::Error::because(pingora::ErrorType::ConnectError, "the upstream's name cannot be resolved", error)
        };
        // Asked every time: a platform that moves is followed.
        let mut addresses =
            tokio::net::lookup_host((upstream.host.as_str(), upstream.port)).await.map_err(unresolved)?;
        let none = || unresolved(std::io::Error::other("the name has no address"));
        let address = addresses.next().ok_or_else(none)?;
        Ok(Box::new(HttpPeer::new(address, false, String::new())))
    }

    async fn upstream_request_filter(
        &self,
        session: &mut Session,
        request: &mut RequestHeader,
        _: &mut Context,
    ) -> pingora::Result<()> {
        let Some(peer) = session.client_addr().and_then(|address| address.as_inet()) else { return Ok(()) };
        // What a believed proxy says of its client counts; what anyone else says is replaced by what is so.
        if !self.edge.trusts(peer.ip()) || !request.headers.contains_key(FORWARDED_PROTO) {
            let tls = session.digest().is_some_and(|digest| digest.ssl_digest.is_some());
            request.insert_header(FORWARDED_PROTO, if tls { "https" } else { "http" })?;
        }
        let hops = request.headers.get_all("x-forwarded-for").into_iter().filter_map(|hop| hop.to_str().ok());
        let hops: Vec<String> = hops.map(str::to_owned).chain([peer.ip().to_string()]).collect();
        request.insert_header("x-forwarded-for", hops.join(", "))
    }

    fn request_summary(&self, session: &Session, _: &Context) -> String {
        // Never the query: on paths that are not the edge's it may hold what others call a token.
        let head = session.req_header();
        format!("{} {}", head.method, head.uri.path())
    }
}

/// What keeps a request from being routed: a target that is none of RFC 9112 §3.2, or no `Host` (§3.2.2).
fn unroutable(head: &RequestHeader) -> Option<Failure> {
    let target = head.raw_path();
    let text = if !target.starts_with(b"/") && target != b"*" && head.uri.scheme().is_none() {
        "the request's target must begin with /"
    } else if head.version == Version::HTTP_11 && !head.headers.contains_key(header::HOST) {
        "Host must be there"
    } else {
        return None;
    };
    Some(Failure::new(Code::InvalidField, text))
}

/// The admin listener: what operators and their machines ask.
pub struct Admin(pub EdgeHandle);

#[async_trait]
impl ServeHttp for Admin {
    async fn response(&self, session: &mut ServerSession) -> Response<Vec<u8>> {
        let (status, kind, body) = match session.req_header().uri.path() {
            "/metrics" => (StatusCode::OK, "text/plain; version=0.0.4", self.0.metrics()),
            "/health" => (StatusCode::OK, "application/json", br#"{"status":"ok"}"#.to_vec()),
            _ => (StatusCode::NOT_FOUND, "text/plain", b"/metrics and /health live here\n".to_vec()),
        };
        let mut response = Response::new(body);
        *response.status_mut() = status;
        let length = HeaderValue::from(response.body().len());
        response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
        response.headers_mut().insert(header::CONTENT_LENGTH, length);
        response
    }
}
