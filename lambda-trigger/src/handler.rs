//! Routes, and what they answer. The rule: checks come in the order origin, preflight, method, token, input, so that a
//! refusal never tells more than its caller may know; everything that needs no body is decided before one is read.
//!
//! | path under `/api/analytics/` | |
//! |---|---|
//! | `trigger-update` | POST counts ([`trigger`]), GET answers the status |
//! | `content` | GET answers counts |
//! | `performance-config` | GET answers the thresholds in force |
//!
//! Paths match exactly, an optional trailing slash apart. HEAD works where GET does.

mod content;
mod status;
pub mod trigger;

use std::sync::Arc;

use analytics_shared::performance::PerformanceConfig;
use analytics_shared::{Authority, Code, Failure};
use bytes::Bytes;
use http::request::Parts;
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode};

pub use status::Status;
pub use trigger::TriggerError;

use crate::auth::Auth;
use crate::cors::{self, Origins};
use crate::reply;
use crate::store::CounterStore;

/// The largest body where nothing else is said, in bytes.
pub const MAX_BODY_BYTES: usize = 1_048_576;

/// What a [`Handler`] is built from.
pub struct HandlerConfig {
    /// Where counts are kept.
    pub store: Arc<dyn CounterStore>,
    /// Who may call.
    pub auth: Auth,
    /// Which pages may call.
    pub origins: Origins,
    /// Scores and ratings of content, served to browsers as it is.
    pub performance: Arc<PerformanceConfig>,
    /// What the handler knows of the process around it.
    pub status: Arc<dyn Status>,
    /// The largest body, in bytes.
    pub max_body_bytes: usize,
}

/// Answers the HTTP calls of the contract. Pure towards the network: a request comes in whole, an answer goes out whole.
pub struct Handler {
    config: HandlerConfig,
}

/// What [`Handler::admit`] decided.
pub enum Admission {
    /// The answer is known without the body: a refusal or a preflight's.
    Answered(Response<Bytes>),
    /// The call goes on with [`Handler::answer`].
    Admitted(Call),
}

/// What [`Handler::screen`] decided.
pub enum Screening {
    /// The answer is known without asking anybody: a refusal or a preflight's.
    Answered(Response<Bytes>),
    /// The call may go on to the handler of another process.
    Passed(Passage),
}

/// A call that was screened.
pub struct Passage {
    wants_body: bool,
    manner: Manner,
}

/// A call that was admitted.
pub struct Call {
    task: Task,
    manner: Manner,
}

enum Task {
    Trigger(trigger::Post),
    Status,
    Content(content::Poll),
    Performance,
}

/// How an answer goes out: to which page, and whether without its body.
struct Manner {
    origin: Option<HeaderValue>,
    head: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Route {
    Trigger,
    Content,
    Performance,
}

impl Handler {
    /// A handler over a store.
    pub fn new(config: HandlerConfig) -> Handler {
        Handler { config }
    }

    /// Whether a path is this handler's. Asked before a body is read.
    pub fn serves(path: &str) -> bool {
        Route::of(path).is_some()
    }

    /// Answers a request: [`Handler::admit`] and [`Handler::answer`] for callers that have the whole body at hand.
    pub async fn handle(&self, request: Request<Bytes>) -> Response<Bytes> {
        let (head, body) = request.into_parts();
        match self.admit(&head) {
            Admission::Answered(reply) => reply,
            Admission::Admitted(call) => self.answer(call, body).await,
        }
    }

    /// Decides what can be decided before the body is read: whoever may not call makes nobody buffer its megabyte.
    pub fn admit(&self, head: &Parts) -> Admission {
        let (route, manner) = match self.route(head) {
            Ok(routed) => routed,
            Err(reply) => return Admission::Answered(*reply),
        };
        match self.task(route, head) {
            Ok(task) => Admission::Admitted(Call { task, manner }),
            Err(failure) => Admission::Answered(manner.send(reply::failure(&failure))),
        }
    }

    /// [`Handler::admit`] for a call that the handler of another process answers: the same refusals before its body is
    /// read, but for what the query asks for, which only that handler judges.
    pub fn screen(&self, head: &Parts) -> Screening {
        let (route, manner) = match self.route(head) {
            Ok(routed) => routed,
            Err(reply) => return Screening::Answered(*reply),
        };
        let wants_body = match route {
            Route::Trigger if head.method == Method::POST => self.admit_post(head).map(|_| true),
            Route::Content => self.grant(head).map(|_| false),
            Route::Trigger | Route::Performance => Ok(false),
        };
        match wants_body {
            Ok(wants_body) => Screening::Passed(Passage { wants_body, manner }),
            Err(failure) => Screening::Answered(manner.send(reply::failure(&failure))),
        }
    }

    /// Does what was admitted. The body counts only where [`Call::wants_body`] says so.
    pub async fn answer(&self, call: Call, body: Bytes) -> Response<Bytes> {
        let reply = match call.task {
            Task::Trigger(post) => self.post(post, body).await,
            Task::Status => self.status().await,
            Task::Content(poll) => self.content(poll).await,
            Task::Performance => reply::json(StatusCode::OK, &*self.config.performance),
        };
        call.manner.send(reply)
    }

    /// The answer to a request that a host refuses for reasons of its own (a body that grows beyond
    /// [`Handler::max_body_bytes`], a limit, a drain): dressed so that an allowed page can read it.
    pub fn refuse(&self, head: &Parts, failure: &Failure) -> Response<Bytes> {
        self.manner(head).map_or_else(|foreign| *foreign, |manner| manner.send(reply::failure(failure)))
    }

    /// Who may call.
    pub fn auth(&self) -> &Auth {
        &self.config.auth
    }

    /// Which pages may call.
    pub fn origins(&self) -> &Origins {
        &self.config.origins
    }

    /// The largest body, in bytes; [`reply::too_large`] is the failure of a larger one.
    pub fn max_body_bytes(&self) -> usize {
        self.config.max_body_bytes
    }

    /// How to answer, or the finished answer to a foreign page, which carries no CORS headers.
    fn manner(&self, head: &Parts) -> Result<Manner, Box<Response<Bytes>>> {
        let is_head = head.method == Method::HEAD;
        // An authority in the request's target takes precedence over `Host` (RFC 9112 §3.2.2); in HTTP/2 it is all there is.
        let origin = match head.uri.authority() {
            Some(authority) => self.config.origins.check_at(&head.headers, Some(authority.as_str())),
            None => self.config.origins.check(&head.headers),
        };
        match origin {
            Ok(origin) => Ok(Manner { origin, head: is_head }),
            Err(failure) => Err(Box::new(Manner { origin: None, head: is_head }.send(reply::failure(&failure)))),
        }
    }

    /// Where a call goes and how it is answered, or the finished answer to one that goes nowhere: a foreign page's, a
    /// preflight, one of another method.
    fn route(&self, head: &Parts) -> Result<(Route, Manner), Box<Response<Bytes>>> {
        let manner = self.manner(head)?;
        let answered = |reply| Err(Box::new(manner.send(reply)));
        let Some(route) = Route::of(head.uri.path()) else {
            return answered(reply::failure(&Failure::new(Code::NotFound, "nothing lives at this path")));
        };
        if head.method == Method::OPTIONS {
            return answered(cors::preflight(route.methods()));
        }
        if !route.knows(&head.method) {
            return answered(reply::method_not_allowed(route.methods()));
        }
        Ok((route, manner))
    }

    fn task(&self, route: Route, head: &Parts) -> Result<Task, Failure> {
        Ok(match route {
            Route::Trigger if head.method == Method::POST => Task::Trigger(self.admit_post(head)?),
            Route::Trigger => Task::Status,
            Route::Content => {
                let query = head.uri.query().unwrap_or_default();
                Task::Content(content::Poll::admit(&self.grant(head)?, query, &self.config.performance)?)
            }
            Route::Performance => Task::Performance,
        })
    }

    fn admit_post(&self, head: &Parts) -> Result<trigger::Post, Failure> {
        trigger::Post::admit(self.grant(head)?, &head.headers, self.config.max_body_bytes)
    }

    fn grant(&self, head: &Parts) -> Result<Authority, Failure> {
        Ok(self.config.auth.authorize(&head.headers, head.uri.query())?.authority)
    }
}

impl Passage {
    /// Whether the answer depends on the request's body.
    pub fn wants_body(&self) -> bool {
        self.wants_body
    }

    /// The answer that was made elsewhere, dressed for the page that asks.
    pub fn answer(self, reply: Response<Bytes>) -> Response<Bytes> {
        self.manner.send(reply)
    }
}

impl Call {
    /// Whether the answer depends on the request's body.
    pub fn wants_body(&self) -> bool {
        matches!(self.task, Task::Trigger(_))
    }
}

impl Route {
    fn of(path: &str) -> Option<Route> {
        let path = path.strip_suffix('/').unwrap_or(path);
        match path.strip_prefix("/api/analytics/")? {
            "trigger-update" => Some(Route::Trigger),
            "content" => Some(Route::Content),
            "performance-config" => Some(Route::Performance),
            _ => None,
        }
    }

    fn methods(self) -> &'static str {
        match self {
            Route::Trigger => "GET, HEAD, POST, OPTIONS",
            Route::Content | Route::Performance => "GET, HEAD, OPTIONS",
        }
    }

    fn knows(self, method: &Method) -> bool {
        self.methods().split(", ").any(|known| known == method.as_str())
    }
}

impl Manner {
    fn send(&self, mut reply: Response<Bytes>) -> Response<Bytes> {
        cors::decorate(reply.headers_mut(), self.origin.as_ref());
        if self.head {
            // The headers stay those of the GET, the length among them (RFC 9110 §9.3.2).
            *reply.body_mut() = Bytes::new();
        }
        reply
    }
}

/// The value of a header that may be there once; `Err` where it is there more often.
fn at_most_once(headers: &HeaderMap, name: http::HeaderName) -> Result<Option<&HeaderValue>, ()> {
    let mut values = headers.get_all(name).iter();
    let first = values.next();
    if values.next().is_some() { Err(()) } else { Ok(first) }
}

#[cfg(test)]
mod generated;
#[cfg(test)]
mod tests;
