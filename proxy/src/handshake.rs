//! Is this request an upgrade of ours, and a valid one? The rule: pure; a request is not ours, refused, or accepted
//! with its answer (RFC 6455 §4.2).

use analytics_shared::{Code, Failure};
use http::header::{
    CONNECTION, CONTENT_LENGTH, HOST, SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_VERSION, TRANSFER_ENCODING, UPGRADE,
};
use http::{HeaderMap, Method, Version, request};
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;

/// The WebSocket's path.
pub const PATH: &str = "/analytics";

/// What a request is to the WebSocket endpoint.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Handshake {
    /// Another path, or a plain request.
    NotOurs,
    /// An upgrade of our path with this accept key.
    Upgrade(String),
}

/// Whether a path is the WebSocket's; one trailing slash is fine.
pub(crate) fn is_ours(path: &str) -> bool {
    path.strip_suffix('/').unwrap_or(path) == PATH
}

/// Judges a request by its head alone.
pub(crate) fn judge(head: &request::Parts) -> Result<Handshake, Failure> {
    if !is_ours(head.uri.path()) || !has_token(&head.headers, UPGRADE, "websocket") {
        return Ok(Handshake::NotOurs);
    }
    let invalid = |text: &'static str| Err(Failure::new(Code::InvalidField, text));
    if head.method != Method::GET {
        return Err(Failure::new(Code::MethodNotAllowed, "a WebSocket upgrade must be a GET"));
    }
    if head.version != Version::HTTP_11 {
        return invalid("a WebSocket upgrade must be HTTP/1.1");
    }
    if !has_token(&head.headers, CONNECTION, "upgrade") {
        return invalid("Connection must hold \"Upgrade\"");
    }
    if head.headers.get(HOST).is_none() {
        return invalid("Host must be there");
    }
    if head.headers.contains_key(TRANSFER_ENCODING)
        || head.headers.get(CONTENT_LENGTH).is_some_and(|length| length.as_bytes() != b"0")
    {
        return invalid("a WebSocket upgrade must not have a body");
    }
    if single(&head.headers, SEC_WEBSOCKET_VERSION).is_none_or(|version| version != b"13") {
        return Err(Failure::new(Code::UpgradeRequired, "Sec-WebSocket-Version must be 13"));
    }
    // 16 bytes in base64 (RFC 6455 §4.1): 22 digits and two of padding.
    let key = single(&head.headers, SEC_WEBSOCKET_KEY).filter(|key| {
        key.len() == 24
            && key.ends_with(b"==")
            && key[..22].iter().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'/'))
    });
    match key {
        Some(key) => Ok(Handshake::Upgrade(derive_accept_key(key))),
        None => invalid("Sec-WebSocket-Key must be 16 bytes in base64"),
    }
}

/// The 101 answer; `bearer` names the subprotocol that carried a token.
pub(crate) fn answer(accept_key: &str, bearer: bool) -> Vec<u8> {
    let protocol = if bearer { "Sec-WebSocket-Protocol: bearer\r\n" } else { "" };
    format!(
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Accept: {accept_key}\r\n{protocol}\r\n"
    )
    .into_bytes()
}

/// Whether a comma-separated header holds a word, in any case.
fn has_token(headers: &HeaderMap, name: http::HeaderName, word: &str) -> bool {
    let values = headers.get_all(name).into_iter().filter_map(|value| value.to_str().ok());
    values.flat_map(|value| value.split(',')).any(|token| token.trim().eq_ignore_ascii_case(word))
}

/// The value of a header that must stand once.
fn single(headers: &HeaderMap, name: http::HeaderName) -> Option<&[u8]> {
    let mut values = headers.get_all(name).into_iter();
    let value = values.next()?.as_bytes().trim_ascii();
    values.next().is_none().then_some(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head(path: &str, headers: &[(&str, &str)]) -> request::Parts {
        let mut request = http::Request::builder().uri(path);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        request.body(()).expect("a valid request").into_parts().0
    }

    const GOOD: [(&str, &str); 5] = [
        ("host", "edge"),
        ("upgrade", "WebSocket"),
        ("connection", "keep-alive, Upgrade"),
        ("sec-websocket-version", "13"),
        ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ=="),
    ];

    #[test]
    fn the_key_of_the_rfc_is_answered_as_it_says() {
        let accepted = Handshake::Upgrade("s3pPLMBiTxaQ9kYGzzhZRbK+xOo=".into());
        for path in ["/analytics", "/analytics/", "/analytics?token=x"] {
            assert_eq!(judge(&head(path, &GOOD)), Ok(Handshake::Upgrade("s3pPLMBiTxaQ9kYGzzhZRbK+xOo=".into())));
        }
        assert_ne!(judge(&head("/analytics//", &GOOD)), Ok(accepted));
    }

    #[test]
    fn what_is_not_an_upgrade_of_ours_is_left_alone() {
        assert_eq!(judge(&head("/other", &GOOD)), Ok(Handshake::NotOurs));
        assert_eq!(judge(&head("/analytics", &GOOD[..1])), Ok(Handshake::NotOurs));
        assert_eq!(judge(&head("/analytics", &[("upgrade", "h2c")])), Ok(Handshake::NotOurs));
    }

    #[test]
    fn each_missing_or_wrong_part_is_named() {
        for (name, value, named) in [
            ("host", None, "Host"),
            ("connection", Some("close"), "Connection"),
            ("sec-websocket-version", Some("12"), "Sec-WebSocket-Version"),
            ("sec-websocket-key", Some("short"), "Sec-WebSocket-Key"),
            ("sec-websocket-key", None, "Sec-WebSocket-Key"),
            ("content-length", Some("5"), "body"),
        ] {
            let mut headers: Vec<_> = GOOD.into_iter().filter(|(other, _)| *other != name).collect();
            headers.extend(value.map(|value| (name, value)));
            let failure = judge(&head("/analytics", &headers)).expect_err(name);
            assert!(failure.text.contains(named), "{name}: {failure}");
        }
    }
}
