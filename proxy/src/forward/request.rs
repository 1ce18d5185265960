//! What of a call is passed on. The rule: everything that a caller may say to the function, and nothing that belongs to
//! the connection it came by, to the page it came from, or that the edge has already dealt with.

use bytes::Bytes;
use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use http::{Method, Request, Version, request};
use http_body_util::Full;
use lambda_trigger::auth;

use super::target::Target;

/// Of the hop alone (RFC 9110 §7.6.1, with those of older programs), besides what `Connection` names.
const OF_THE_HOP: [HeaderName; 8] = [
    header::CONNECTION,
    HeaderName::from_static("keep-alive"),
    header::PROXY_AUTHENTICATE,
    header::PROXY_AUTHORIZATION,
    HeaderName::from_static("proxy-connection"),
    header::TE,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
];

/// What the edge deals with itself: where the call came from and how (the answer must be one that it can read), where
/// it goes, its token, and its body, which is here as a whole. There are no cookies anywhere.
const OF_THE_EDGE: [HeaderName; 13] = [
    header::ORIGIN,
    header::ACCESS_CONTROL_REQUEST_HEADERS,
    header::ACCESS_CONTROL_REQUEST_METHOD,
    header::ACCEPT_ENCODING,
    header::RANGE,
    header::HOST,
    header::AUTHORIZATION,
    header::SEC_WEBSOCKET_PROTOCOL,
    header::CONTENT_LENGTH,
    header::TRAILER,
    header::EXPECT,
    header::COOKIE,
    header::REFERER,
];

/// A call as it is passed on, as often as it takes.
pub(super) struct Outgoing {
    pub(super) head: Head,
    body: Bytes,
}

/// The head of a request.
pub(super) struct Head {
    pub(super) method: Method,
    path: String,
    pub(super) headers: HeaderMap,
}

impl Outgoing {
    /// A call with its body.
    pub(super) fn of(head: &request::Parts, body: Bytes, target: &Target) -> Outgoing {
        let whole = head.uri.path_and_query().map_or("/", |whole| whole.as_str());
        let path = match auth::without_token(whole) {
            Some(without) => target.path(&without),
            None => target.path(whole),
        };
        // The answer to a HEAD is that to the GET without its body, which is left out on the way to the caller.
        let method = if head.method == Method::HEAD { Method::GET } else { head.method.clone() };
        Outgoing { head: Head { method, path, headers: headers(head, target) }, body }
    }

    /// A request to send; `None` if the path is none, which cannot be after it was one of the contract's.
    pub(super) fn request(&self) -> Option<Request<Full<Bytes>>> {
        let mut request = Request::new(Full::new(self.body.clone()));
        *request.method_mut() = self.head.method.clone();
        *request.uri_mut() = self.head.path.parse().ok()?;
        *request.version_mut() = Version::HTTP_11;
        *request.headers_mut() = self.head.headers.clone();
        Some(request)
    }
}

fn headers(head: &request::Parts, target: &Target) -> HeaderMap {
    let mut headers = head.headers.clone();
    let named: Vec<HeaderName> = head
        .headers
        .get_all(header::CONNECTION)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .filter_map(|name| name.trim().parse().ok())
        // Without these it would be another call.
        .filter(|name| ![header::CONTENT_TYPE, super::IDEMPOTENCY_KEY].contains(name))
        .collect();
    for name in OF_THE_HOP.iter().chain(&OF_THE_EDGE).chain(&named) {
        headers.remove(name);
    }
    if let Ok(host) = HeaderValue::from_str(target.authority.as_str()) {
        headers.insert(header::HOST, host);
    }
    let bearer = auth::token(&head.headers, head.uri.query()).map(|token| format!("Bearer {token}"));
    if let Some(mut bearer) = bearer.and_then(|bearer| HeaderValue::from_str(&bearer).ok()) {
        bearer.set_sensitive(true);
        headers.insert(header::AUTHORIZATION, bearer);
    }
    headers
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outgoing(path: &str, headers: &[(&str, &str)]) -> Outgoing {
        let mut request = Request::builder().method(Method::POST).uri(path);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let (head, ()) = request.body(()).expect("a request").into_parts();
        let target = "https://function.example/prefix".parse().expect("a target");
        Outgoing::of(&head, Bytes::from_static(b"{}"), &target)
    }

    #[test]
    fn what_belongs_to_the_call_is_kept_and_nothing_else() {
        let kept = [
            ("content-type", "application/json"),
            ("idempotency-key", "k"),
            ("accept", "*/*"),
            ("user-agent", "a"),
            ("traceparent", "00-1-2-01"),
        ];
        let dropped = [
            ("connection", "close, x-hop, content-type, Idempotency-Key"),
            ("x-hop", "1"),
            ("keep-alive", "timeout=5"),
            ("te", "trailers"),
            ("transfer-encoding", "chunked"),
            ("upgrade", "h2c"),
            ("proxy-authorization", "Basic x"),
            ("origin", "https://page.example"),
            ("host", "edge.example"),
            ("authorization", "Basic x"),
            ("cookie", "a=b"),
            ("content-length", "2"),
            ("accept-encoding", "gzip"),
            ("expect", "100-continue"),
        ];
        let outgoing = outgoing("/api/analytics/trigger-update", &[&kept[..], &dropped[..]].concat());
        let mut left = outgoing.head.headers;
        assert_eq!(left.remove("host").expect("a host"), "function.example");
        for (name, value) in kept {
            assert_eq!(left.remove(name).unwrap_or_else(|| panic!("{name} is kept")), value);
        }
        assert!(left.is_empty(), "{left:?}");
    }

    #[test]
    fn a_token_goes_on_as_bearer_whichever_way_it_came() {
        for (path, headers) in [
            ("/api/analytics/content?id=a%20b&token=t", &[][..]),
            ("/api/analytics/content?id=a%20b", &[("authorization", "bearer t")][..]),
            ("/api/analytics/content?id=a%20b", &[("sec-websocket-protocol", "bearer, t")][..]),
            ("/api/analytics/content?id=a%20b&%74oken=t", &[("authorization", "Bearer t")][..]),
        ] {
            let head = outgoing(path, headers).head;
            assert_eq!(head.path, "/prefix/api/analytics/content?id=a%20b");
            assert_eq!(head.headers.get("authorization").expect("a token"), "Bearer t");
            assert!(!head.headers.contains_key("sec-websocket-protocol"));
            assert!(!format!("{:?}", head.headers).contains("Bearer"));
        }
        assert!(!outgoing("/api/analytics/content?id=a", &[]).head.headers.contains_key("authorization"));
    }
}
