//! Where the function is. The rule: a URL is taken whole or not at all, and an error never repeats it: somebody may have
//! put a password into it.

use std::fmt;
use std::str::FromStr;

use http::Uri;
use http::uri::{Authority, Scheme};

/// `http(s)://host[:port][/prefix]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    scheme: Scheme,
    pub(super) authority: Authority,
    /// Goes before the path of a call: empty, or with a slash before and none behind it.
    prefix: String,
}

/// It is none of the form.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("http(s)://host[:port][/prefix], without a user, a query or a fragment")]
pub struct InvalidTarget;

impl FromStr for Target {
    type Err = InvalidTarget;

    fn from_str(url: &str) -> Result<Target, InvalidTarget> {
        // `Uri` drops a fragment without a word.
        let uri: Uri =
            Some(url).filter(|url| !url.contains('#')).ok_or(InvalidTarget)?.parse().map_err(|_| InvalidTarget)?;
        let parts = uri.into_parts();
        let scheme =
            parts.scheme.filter(|scheme| [Scheme::HTTP, Scheme::HTTPS].contains(scheme)).ok_or(InvalidTarget)?;
        let plain = |authority: &Authority| !authority.as_str().contains('@') && !authority.host().is_empty();
        let authority = parts.authority.filter(plain).ok_or(InvalidTarget)?;
        // `Authority` takes any digits for a port.
        let port = authority.as_str().strip_prefix(authority.host()).unwrap_or_default();
        if !port.is_empty() && authority.port_u16().is_none_or(|port| port == 0) {
            return Err(InvalidTarget);
        }
        let path = parts.path_and_query.filter(|path| path.query().is_none()).ok_or(InvalidTarget)?;
        Ok(Target { scheme, authority, prefix: path.path().trim_end_matches('/').to_owned() })
    }
}

impl Target {
    /// Whether it is reached by TLS.
    pub(super) fn is_tls(&self) -> bool {
        self.scheme == Scheme::HTTPS
    }

    /// The request target of a call, in origin form.
    pub(super) fn path(&self, path_and_query: &str) -> String {
        format!("{}{path_and_query}", self.prefix)
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}{}", self.scheme, self.authority, self.prefix)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_are_taken_whole_or_refused() {
        for (url, path) in [
            ("http://127.0.0.1:9000", "/api?x"),
            ("https://abc.lambda-url.eu-central-1.on.aws/", "/api?x"),
            ("http://[::1]:9000/lambda-url/trigger-update/", "/lambda-url/trigger-update/api?x"),
            ("HTTPS://host/a/b", "/a/b/api?x"),
        ] {
            let target: Target = url.parse().unwrap_or_else(|_| panic!("{url} is one"));
            assert_eq!(target.path("/api?x"), path, "{url}");
        }
        for url in [
            "",
            "host",
            "host:80",
            "/path",
            "ftp://host",
            "http://",
            "http:///path",
            "http://user:secret@host",
            "http://host:0",
            "http://host:99999",
            "http://host:",
            "http://host/?query",
            "http://host/#fragment",
            "http://host/a b",
        ] {
            assert_eq!(url.parse::<Target>(), Err(InvalidTarget), "{url}");
        }
    }
}
