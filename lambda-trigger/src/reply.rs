//! JSON answers and errors. The rule: every answer is complete here (status, type, length, and the headers that its
//! code demands), so that whoever carries it only copies it out.

use std::time::Duration;

use analytics_shared::{Code, Failure};
use bytes::Bytes;
use http::header::{
    ALLOW, CACHE_CONTROL, CONNECTION, CONTENT_LENGTH, CONTENT_TYPE, RETRY_AFTER, UPGRADE, WWW_AUTHENTICATE,
};
use http::{HeaderValue, Response, StatusCode};
use serde::Serialize;

/// When to come again where nothing better is known.
const RETRY_AFTER_DEFAULT: Duration = Duration::from_secs(1);

/// A JSON answer; counts are never cached.
pub fn json(status: StatusCode, body: &impl Serialize) -> Response<Bytes> {
    match serde_json::to_vec(body) {
        Ok(body) => with_body(status, body.into()),
        Err(error) => {
            tracing::error!(%error, "an answer could not be written as JSON");
            let body =
                Bytes::from_static(br#"{"success":false,"error":"the answer could not be written","code":"internal"}"#);
            with_body(StatusCode::INTERNAL_SERVER_ERROR, body)
        }
    }
}

/// The error answer of a failure, with what its code demands: `Retry-After` (one second where the caller knows
/// nothing better, see [`failure_after`]), `WWW-Authenticate` (RFC 9110 §15.5.2), `Upgrade` (§15.5.22).
pub fn failure(failure: &Failure) -> Response<Bytes> {
    failure_after(failure, RETRY_AFTER_DEFAULT)
}

/// [`failure()`] that names when to come again, in whole seconds, rounded up.
pub fn failure_after(failure: &Failure, retry_after: Duration) -> Response<Bytes> {
    // Codes without a status exist on the socket only; one that strays here is a fault of ours.
    let status = failure.code.http_status().and_then(|status| StatusCode::from_u16(status).ok());
    let mut reply = json(status.unwrap_or(StatusCode::INTERNAL_SERVER_ERROR), failure);
    let headers = reply.headers_mut();
    match failure.code {
        Code::RateLimited | Code::Unavailable => {
            let seconds = retry_after.as_secs() + u64::from(retry_after.subsec_nanos() > 0);
            headers.insert(RETRY_AFTER, HeaderValue::from(seconds.max(1)));
        }
        Code::Unauthorized => {
            headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        Code::UpgradeRequired => {
            headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
            headers.insert(CONNECTION, HeaderValue::from_static("Upgrade"));
        }
        _ => {}
    }
    reply
}

/// The 405 of a path that knows only the methods named.
pub fn method_not_allowed(allow: &'static str) -> Response<Bytes> {
    let mut reply = failure(&Failure::new(Code::MethodNotAllowed, format!("the method must be one of {allow}")));
    reply.headers_mut().insert(ALLOW, HeaderValue::from_static(allow));
    reply
}

/// The failure of a body above a limit in bytes.
pub fn too_large(max_bytes: usize) -> Failure {
    Failure::new(Code::TooLarge, format!("the body must be at most {max_bytes} bytes"))
}

fn with_body(status: StatusCode, body: Bytes) -> Response<Bytes> {
    let length = body.len();
    let mut reply = Response::new(body);
    *reply.status_mut() = status;
    let headers = reply.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(CONTENT_LENGTH, HeaderValue::from(length));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    reply
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_has_an_answer_with_the_headers_it_demands() {
        for code in Code::ALL {
            let reply = failure(&Failure::new(code, "why"));
            let headers = reply.headers();
            assert_eq!(reply.status().as_u16(), code.http_status().unwrap_or(500), "{code:?}");
            assert_eq!(headers[CONTENT_TYPE], "application/json");
            assert_eq!(headers[CONTENT_LENGTH], reply.body().len().to_string().as_str());
            assert_eq!(headers[CACHE_CONTROL], "no-store");
            assert_eq!(headers.contains_key(RETRY_AFTER), matches!(code, Code::RateLimited | Code::Unavailable));
            assert_eq!(headers.contains_key(WWW_AUTHENTICATE), code == Code::Unauthorized);
            assert_eq!(headers.contains_key(UPGRADE), code == Code::UpgradeRequired);
        }
    }

    #[test]
    fn error_bodies_are_those_of_the_contract() {
        let reply = failure(&Failure::new(Code::InvalidField, "field must be named"));
        assert_eq!(reply.body(), r#"{"success":false,"error":"field must be named","code":"invalid_field"}"#);
    }

    #[test]
    fn retry_after_is_in_whole_seconds_rounded_up() {
        for (duration, header) in [(0, "1"), (1, "1"), (1_000, "1"), (1_001, "2"), (30_000, "30")] {
            let reply = failure_after(&Failure::new(Code::Unavailable, ""), Duration::from_millis(duration));
            assert_eq!(reply.headers()[RETRY_AFTER], header, "{duration} ms");
        }
    }

    #[test]
    fn a_405_names_the_methods() {
        assert_eq!(method_not_allowed("GET, HEAD").headers()[ALLOW], "GET, HEAD");
    }
}
