//! The development page: the dashboard, as `client/demo` makes it. The rule: three files, embedded whole and made of
//! nothing from elsewhere, and the browser is told to load nothing else and to speak to nobody but this edge.

use bytes::Bytes;
use http::{HeaderName, HeaderValue, Response, header, request};

const HTML: &str = include_str!("page/index.html");
const SCRIPT: &str = include_str!("page/app.js");
const STYLE: &str = include_str!("page/app.css");

/// What the page may load and speak to.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; \
    base-uri 'none'; form-action 'none'; frame-ancestors 'none'; connect-src 'self'";

/// The file at a path that was stripped of its trailing slash, for the page of whoever asks; `None` for any other path.
pub(crate) fn at(path: &str, head: &request::Parts) -> Option<Response<Bytes>> {
    let (kind, body) = match path {
        "" => ("text/html; charset=utf-8", HTML),
        "/app.js" => ("text/javascript; charset=utf-8", SCRIPT),
        "/app.css" => ("text/css; charset=utf-8", STYLE),
        _ => return None,
    };
    let mut response = file(kind, body);
    response.headers_mut().insert(header::CONTENT_SECURITY_POLICY, policy(host(head)));
    Some(response)
}

/// To older browsers `'self'` is HTTP only: the socket's address is named, too.
fn policy(host: Option<&str>) -> HeaderValue {
    let named = host.filter(|host| can_be_named(host)).map(|host| format!("{POLICY} ws://{host} wss://{host}"));
    let value = named.and_then(|policy| HeaderValue::try_from(policy).ok());
    value.unwrap_or(HeaderValue::from_static(POLICY))
}

/// The host and the port that the page was asked of.
fn host(head: &request::Parts) -> Option<&str> {
    match head.uri.authority() {
        Some(authority) => Some(authority.as_str()),
        None => head.headers.get(header::HOST)?.to_str().ok(),
    }
}

/// Whether a host is one that a policy has words for: none in brackets, nor one that would begin another directive
/// (CSP 3, §2.3.1, `host-part`).
fn can_be_named(host: &str) -> bool {
    !host.is_empty() && host.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-.:".contains(&byte))
}

fn file(kind: &'static str, body: &'static str) -> Response<Bytes> {
    let mut response = Response::new(Bytes::from_static(body.as_bytes()));
    let headers: [(HeaderName, &'static str); 4] = [
        (header::CONTENT_TYPE, kind),
        // The names never change: another build of the edge must not meet the files of this one.
        (header::CACHE_CONTROL, "no-store"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::REFERRER_POLICY, "no-referrer"),
    ];
    for (name, value) in headers {
        response.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    response.headers_mut().insert(header::CONTENT_LENGTH, HeaderValue::from(body.len()));
    response
}
