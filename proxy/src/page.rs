//! The development page: the dashboard, as `client/demo` makes it. The rule: three files, embedded whole and made of
//! nothing from elsewhere, and the browser is told to load nothing else.

use bytes::Bytes;
use http::{HeaderName, HeaderValue, Response, header};

const HTML: &str = include_str!("page/index.html");
const SCRIPT: &str = include_str!("page/app.js");
const STYLE: &str = include_str!("page/app.css");

/// What the page may load and speak to. `ws:` and `wss:` are named for browsers to which `'self'` is HTTP only.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; \
    connect-src 'self' ws: wss:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// The file at a path that was stripped of its trailing slash; `None` for any other path.
pub(crate) fn at(path: &str) -> Option<Response<Bytes>> {
    let (kind, body) = match path {
        "" => ("text/html; charset=utf-8", HTML),
        "/app.js" => ("text/javascript; charset=utf-8", SCRIPT),
        "/app.css" => ("text/css; charset=utf-8", STYLE),
        _ => return None,
    };
    Some(file(kind, body))
}

fn file(kind: &'static str, body: &'static str) -> Response<Bytes> {
    let mut response = Response::new(Bytes::from_static(body.as_bytes()));
    let headers: [(HeaderName, &'static str); 5] = [
        (header::CONTENT_TYPE, kind),
        // The names never change: another build of the edge must not meet the files of this one.
        (header::CACHE_CONTROL, "no-store"),
        (header::CONTENT_SECURITY_POLICY, POLICY),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::REFERRER_POLICY, "no-referrer"),
    ];
    for (name, value) in headers {
        response.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    response.headers_mut().insert(header::CONTENT_LENGTH, HeaderValue::from(body.len()));
    response
}
