//! Which pages may call. The rule: a request with an `Origin` is a page's and must be allowed, whatever its token;
//! one without is judged by its token alone; the same list governs HTTP and the WebSocket upgrade.
//!
//! An origin is compared as scheme, host and port. Schemes and hosts are compared in lower case, IPv6 addresses by
//! value, ports after filling in the default of `http`/`ws` (80) and `https`/`wss` (443).

use std::net::Ipv6Addr;
use std::str::FromStr;

use analytics_shared::{Code, Failure};
use bytes::Bytes;
use http::header::{
    ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN,
    ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE, ALLOW, HOST, ORIGIN, VARY,
};
use http::{HeaderMap, HeaderValue, Response, StatusCode};

use crate::auth::Mode;

/// How long a browser may remember a preflight's answer: the longest that Chromium honours. An origin that is taken
/// off the list is refused all the same, by the call that follows.
const MAX_AGE: HeaderValue = HeaderValue::from_static("7200");
const ALLOW_HEADERS: HeaderValue = HeaderValue::from_static("Authorization, Content-Type, Idempotency-Key");
const EXPOSE_HEADERS: HeaderValue = HeaderValue::from_static("Retry-After, Idempotency-Replayed");

/// The allowed origins.
///
/// Parsed from a comma-separated list of
/// - `scheme://host[:port]`: this origin; without a port, the scheme's default one;
/// - `scheme://*.domain[:port]`: every subdomain of the domain at any depth, not the domain itself; the port as above;
/// - `*`: every origin, `null` among them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Origins(Rule);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Rule {
    Any,
    /// Only pages that come from where the request goes.
    SameHost,
    Listed(Vec<Allowed>),
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Allowed {
    Exactly(Site),
    /// Hosts that end in `.` and the site's host.
    Below(Site),
}

/// A parsed origin. Schemes that have no default port may go without one (`capacitor://localhost`).
#[derive(Debug, Clone, PartialEq, Eq)]
struct Site {
    scheme: String,
    host: String,
    port: Option<u16>,
}

/// An entry of the list is none of the allowed forms.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{entry:?} must be scheme://host[:port], scheme://*.domain[:port] (hosts in ASCII, no path) or *")]
pub struct InvalidOrigin {
    /// The entry as it was given, without surrounding blanks.
    pub entry: String,
}

impl FromStr for Origins {
    type Err = InvalidOrigin;

    fn from_str(list: &str) -> Result<Origins, InvalidOrigin> {
        let mut allowed = Vec::new();
        let mut any = false;
        for entry in list.split(',').map(str::trim) {
            if entry == "*" {
                any = true;
            } else {
                allowed.push(Allowed::parse(entry).ok_or_else(|| InvalidOrigin { entry: entry.to_owned() })?);
            }
        }
        Ok(Origins(if any { Rule::Any } else { Rule::Listed(allowed) }))
    }
}

impl Origins {
    /// What is allowed where nothing is configured: in development every origin; in production pages whose host and
    /// port are those of the request's `Host`.
    ///
    /// A `Host` without a port has the default port of the page's scheme, since the request's own scheme may have
    /// ended in front of this process.
    pub fn unset(mode: Mode) -> Origins {
        Origins(match mode {
            Mode::Development => Rule::Any,
            Mode::Production => Rule::SameHost,
        })
    }

    /// Judges a request by its `Origin` and `Host`: no `Origin` is `None`, an allowed one is returned to be named in
    /// the answer ([`decorate`]), a foreign one is a [`Code::Forbidden`] to be answered without CORS headers.
    pub fn check(&self, headers: &HeaderMap) -> Result<Option<HeaderValue>, Failure> {
        self.check_at(headers, only(headers, HOST).and_then(|host| host.to_str().ok()))
    }

    /// [`Origins::check`] for a request whose host is known otherwise (`:authority` in HTTP/2).
    pub fn check_at(&self, headers: &HeaderMap, host: Option<&str>) -> Result<Option<HeaderValue>, Failure> {
        if !headers.contains_key(ORIGIN) {
            return Ok(None);
        }
        // Browsers send one; with two, whoever judges by the first and whoever judges by the last would differ.
        let origin = only(headers, ORIGIN).filter(|origin| self.allow(origin, host));
        origin.cloned().map(Some).ok_or_else(|| {
            Failure::new(Code::Forbidden, "pages of this origin may not call here (see ANALYTICS_ALLOWED_ORIGINS)")
        })
    }

    fn allow(&self, origin: &HeaderValue, host: Option<&str>) -> bool {
        let site = || origin.to_str().ok().and_then(Site::parse);
        match &self.0 {
            Rule::Any => true,
            Rule::SameHost => site().is_some_and(|site| host.is_some_and(|host| site.is_at(host))),
            Rule::Listed(allowed) => site().is_some_and(|site| allowed.iter().any(|allowed| allowed.matches(&site))),
        }
    }
}

impl Allowed {
    fn parse(entry: &str) -> Option<Allowed> {
        match entry.split_once("://*.") {
            None => Site::parse(entry).map(Allowed::Exactly),
            Some((scheme, rest)) => Site::parse(&format!("{scheme}://{rest}"))
                .filter(|site| !site.host.starts_with('['))
                .map(Allowed::Below),
        }
    }

    fn matches(&self, site: &Site) -> bool {
        match self {
            Allowed::Exactly(allowed) => allowed == site,
            Allowed::Below(domain) => {
                let below = site.host.strip_suffix(&domain.host).and_then(|rest| rest.strip_suffix('.'));
                site.scheme == domain.scheme && site.port == domain.port && below.is_some_and(|name| !name.is_empty())
            }
        }
    }
}

impl Site {
    /// Reads `scheme://host[:port]`; a path, a user or anything else is none.
    fn parse(origin: &str) -> Option<Site> {
        let (scheme, authority) = origin.split_once("://")?;
        let valid = scheme.starts_with(|first: char| first.is_ascii_alphabetic())
            && scheme.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte));
        let scheme = valid.then(|| scheme.to_ascii_lowercase())?;
        let (host, port) = host_and_port(authority)?;
        let port = port.or_else(|| default_port(&scheme));
        Some(Site { scheme, host, port })
    }

    /// Whether a `Host` names this site's host and port.
    fn is_at(&self, host: &str) -> bool {
        let default = default_port(&self.scheme);
        default.is_some()
            && host_and_port(host).is_some_and(|(host, port)| host == self.host && port.or(default) == self.port)
    }
}

fn default_port(scheme: &str) -> Option<u16> {
    match scheme {
        "http" | "ws" => Some(80),
        "https" | "wss" => Some(443),
        _ => None,
    }
}

/// Reads `host[:port]`, the host a name, an IPv4 address or an IPv6 one in brackets.
fn host_and_port(authority: &str) -> Option<(String, Option<u16>)> {
    let (host, port) = match authority.rsplit_once(':') {
        Some((host, port)) if !port.ends_with(']') => (host, Some(port)),
        _ => (authority, None),
    };
    // `parse` alone would take "+80".
    let digits = |port: &&str| port.bytes().all(|byte| byte.is_ascii_digit());
    let port = match port {
        None => None,
        Some(port) => Some(Some(port).filter(digits)?.parse().ok().filter(|port| *port != 0)?),
    };
    let host = match host.strip_prefix('[') {
        Some(address) => format!("[{}]", address.strip_suffix(']')?.parse::<Ipv6Addr>().ok()?),
        None => {
            let valid = |byte: u8| byte.is_ascii_alphanumeric() || b"-._".contains(&byte);
            let name = !host.is_empty() && !host.starts_with('.') && !host.contains("..") && host.bytes().all(valid);
            name.then(|| host.to_ascii_lowercase())?
        }
    };
    Some((host, port))
}

/// The value of a header that is there exactly once.
fn only(headers: &HeaderMap, name: http::HeaderName) -> Option<&HeaderValue> {
    let mut values = headers.get_all(name).iter();
    values.next().filter(|_| values.next().is_none())
}

/// Adds what lets an allowed page read the answer; without an origin only `Vary`, since another origin may get
/// another answer.
pub fn decorate(headers: &mut HeaderMap, origin: Option<&HeaderValue>) {
    headers.append(VARY, HeaderValue::from_static("Origin"));
    if let Some(origin) = origin {
        headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin.clone());
        headers.insert(ACCESS_CONTROL_EXPOSE_HEADERS, EXPOSE_HEADERS);
    }
}

/// The answer to `OPTIONS`, before any token is asked for: 204 with the methods of the path. Not yet decorated.
pub fn preflight(methods: &'static str) -> Response<Bytes> {
    let mut reply = Response::new(Bytes::new());
    *reply.status_mut() = StatusCode::NO_CONTENT;
    let headers = reply.headers_mut();
    headers.insert(ALLOW, HeaderValue::from_static(methods));
    headers.insert(ACCESS_CONTROL_ALLOW_METHODS, HeaderValue::from_static(methods));
    headers.insert(ACCESS_CONTROL_ALLOW_HEADERS, ALLOW_HEADERS);
    headers.insert(ACCESS_CONTROL_MAX_AGE, MAX_AGE);
    reply
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(headers: &[(http::HeaderName, &str)]) -> HeaderMap {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.append(name, value.parse().expect("a test's header is valid"));
        }
        map
    }

    fn allowed(origins: &Origins, origin: &str, host: &str) -> bool {
        match origins.check(&request(&[(ORIGIN, origin), (HOST, host)])) {
            Ok(echo) => {
                assert_eq!(echo.expect("an allowed origin is returned"), origin);
                true
            }
            Err(failure) => {
                assert_eq!(failure.code, Code::Forbidden);
                false
            }
        }
    }

    fn origins(list: &str) -> Origins {
        list.parse().expect("a test's list is valid")
    }

    #[test]
    fn a_list_allows_what_it_names() {
        for (list, origin, expected) in [
            ("https://a.example", "https://a.example", true),
            ("https://a.example", "HTTPS://A.Example", true),
            ("HTTPS://A.EXAMPLE:443", "https://a.example", true),
            ("https://a.example", "https://a.example:443", true),
            ("https://a.example", "http://a.example", false),
            ("https://a.example", "http://a.example:443", false),
            ("https://a.example", "https://a.example:8443", false),
            ("https://a.example:8443", "https://a.example", false),
            ("https://a.example", "https://b.a.example", false),
            ("https://a.example", "https://a.example.evil", false),
            ("https://a.example", "https://a.example@evil", false),
            ("https://a.example", "https://a.example/", false),
            ("https://a.example", "null", false),
            ("https://a.example", "", false),
            ("https://x.example , http://localhost:5173", "http://localhost:5173", true),
            ("https://x.example,http://localhost:5173", "http://localhost", false),
            ("https://*.a.example", "https://b.a.example", true),
            ("https://*.A.example", "https://c.B.a.example", true),
            ("https://*.a.example", "https://a.example", false),
            ("https://*.a.example", "https://.a.example", false),
            ("https://*.a.example", "https://evila.example", false),
            ("https://*.a.example", "http://b.a.example", false),
            ("https://*.a.example", "https://b.a.example:444", false),
            ("https://*.a.example:444", "https://b.a.example:444", true),
            ("http://[::1]:3000", "http://[0:0::1]:3000", true),
            ("http://[::1]", "http://[::1]:80", true),
            ("http://[::1]", "http://[::2]", false),
            ("capacitor://localhost", "capacitor://localhost", true),
            ("*", "null", true),
            ("*", "anything at all", true),
            ("https://a.example,*", "https://b.example", true),
        ] {
            assert_eq!(allowed(&origins(list), origin, "edge.example"), expected, "{list} {origin}");
        }
    }

    #[test]
    fn what_is_no_origin_is_refused_by_name() {
        for entry in [
            "",
            "a.example",
            "https://",
            "https://a.example/",
            "https://a.example/path",
            "https://user@a.example",
            "https://*",
            "https://*.",
            "https://*.*.example",
            "https://a.*.example",
            "https://*.[::1]",
            "*://a.example",
            "https://a.example:",
            "https://a.example:0",
            "https://a.example:+1",
            "https://a.example:65536",
            "https://exämple.org",
            "http://[::1",
            "http://::1",
            "1http://a",
            "null",
            "**",
        ] {
            let error = format!("https://good.example, {entry} ").parse::<Origins>().expect_err(entry);
            assert_eq!(error.entry, entry);
            assert!(error.to_string().contains("scheme://host[:port]"), "{error}");
        }
    }

    #[test]
    fn unset_in_production_allows_pages_of_the_same_host_and_port() {
        let origins = Origins::unset(Mode::Production);
        for (origin, host, expected) in [
            ("https://edge.example", "edge.example", true),
            ("http://edge.example", "edge.example", true),
            ("https://edge.example", "EDGE.example", true),
            ("https://edge.example", "edge.example:443", true),
            ("https://edge.example", "edge.example:80", false),
            ("http://edge.example", "edge.example:443", false),
            ("http://edge.example:3001", "edge.example:3001", true),
            ("http://edge.example:3001", "edge.example", false),
            ("http://edge.example", "edge.example:3001", false),
            ("https://other.example", "edge.example", false),
            ("https://a.edge.example", "edge.example", false),
            ("http://[::1]:3001", "[::1]:3001", true),
            ("http://[::1]:3001", "[::0001]:3001", true),
            ("http://[::1]", "[::1]", true),
            ("http://127.0.0.1:3001", "localhost:3001", false),
            ("capacitor://localhost", "localhost", false),
            ("null", "edge.example", false),
            ("null", "null", false),
            ("https://edge.example", "", false),
        ] {
            assert_eq!(allowed(&origins, origin, host), expected, "{origin} {host}");
        }
        let no_host = request(&[(ORIGIN, "https://edge.example")]);
        assert!(origins.check(&no_host).is_err());
        assert!(origins.check_at(&no_host, Some("edge.example")).is_ok());
        let two_hosts = [(ORIGIN, "https://edge.example"), (HOST, "edge.example"), (HOST, "evil.example")];
        assert!(origins.check(&request(&two_hosts)).is_err());
    }

    #[test]
    fn unset_in_development_allows_every_origin() {
        for origin in ["null", "http://localhost:5173", "https://a.example"] {
            assert!(allowed(&Origins::unset(Mode::Development), origin, "edge.example"));
        }
    }

    #[test]
    fn a_request_without_an_origin_is_no_page() {
        for origins in [origins("https://a.example"), Origins::unset(Mode::Production), origins("*")] {
            assert_eq!(origins.check(&HeaderMap::new()), Ok(None));
        }
    }

    #[test]
    fn two_origins_are_foreign() {
        let two = request(&[(ORIGIN, "https://a.example"), (ORIGIN, "https://a.example")]);
        assert!(origins("https://a.example").check(&two).is_err());
    }

    #[test]
    fn answers_name_the_origin_and_vary_by_it() {
        let mut headers = request(&[(VARY, "Accept")]);
        decorate(&mut headers, Some(&HeaderValue::from_static("https://a.example")));
        assert_eq!(headers[ACCESS_CONTROL_ALLOW_ORIGIN], "https://a.example");
        assert_eq!(headers[ACCESS_CONTROL_EXPOSE_HEADERS], "Retry-After, Idempotency-Replayed");
        assert_eq!(headers.get_all(VARY).iter().collect::<Vec<_>>(), ["Accept", "Origin"]);

        let mut headers = HeaderMap::new();
        decorate(&mut headers, None);
        assert_eq!(headers, request(&[(VARY, "Origin")]));
    }

    #[test]
    fn a_preflight_is_answered_without_a_body() {
        let reply = preflight("GET, HEAD, OPTIONS");
        assert_eq!(reply.status(), StatusCode::NO_CONTENT);
        assert!(reply.body().is_empty());
        assert_eq!(reply.headers()[ACCESS_CONTROL_ALLOW_METHODS], "GET, HEAD, OPTIONS");
        assert_eq!(reply.headers()[ACCESS_CONTROL_ALLOW_HEADERS], "Authorization, Content-Type, Idempotency-Key");
    }
}
