//! Whose answer it is. The rule: only what has the shape of the contract is the handler's word; whatever else may stand in
//! its place (the platform's own errors, a balancer's page, a redirect) says nothing about the update.
//!
//! One of these does prove something: Lambda answers 429 without having run the function
//! (<https://docs.aws.amazon.com/lambda/latest/dg/lambda-concurrency.html>).

use analytics_shared::Code;
use bytes::Bytes;
use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use http::{Response, StatusCode};
use lambda_trigger::handler::trigger::IDEMPOTENCY_REPLAYED;
use serde::Deserialize;

/// When to come again where the answer does not say.
const RETRY_AFTER: HeaderValue = HeaderValue::from_static("1");

/// What was answered.
pub(super) enum Heard {
    /// By the handler.
    Ours(Box<Ours>),
    /// By Lambda, which did not run the function.
    Throttled,
    /// By something else.
    Foreign(StatusCode),
}

/// An answer of the handler.
pub(super) struct Ours {
    response: Response<Bytes>,
    said: Said,
}

/// What of an answer's body tells whose it is.
#[derive(Deserialize)]
struct Said {
    success: Option<bool>,
    code: Option<Code>,
    value: Option<u64>,
    version: Option<u64>,
    #[serde(default)]
    results: Vec<Member>,
}

#[derive(Deserialize)]
struct Member {
    code: Option<Code>,
}

/// Judges an answer to a call that counts, or to one that asks.
pub(super) fn hear(response: Response<Bytes>, writes: bool) -> Heard {
    let status = response.status();
    match serde_json::from_slice::<Said>(response.body()) {
        Ok(said) if said.is_ours(status, writes) => Heard::Ours(Box::new(Ours { response, said })),
        _ if status == StatusCode::TOO_MANY_REQUESTS => Heard::Throttled,
        _ => Heard::Foreign(status),
    }
}

impl Said {
    fn is_ours(&self, status: StatusCode, writes: bool) -> bool {
        if status == StatusCode::OK {
            // Whatever else may answer `success`, it does not say what was counted.
            let says_what = !self.results.is_empty() || (self.value.is_some() && self.version.is_some());
            return self.code.is_none()
                && if writes { self.success == Some(true) && says_what } else { self.success != Some(false) };
        }
        let of_code = self.code.and_then(Code::http_status);
        self.success == Some(false) && of_code == Some(status.as_u16())
    }
}

impl Ours {
    /// Whether it says all about the updates even if an earlier try under the same key was carried out: it is the key's
    /// outcome, or holds whatever came before. "Not applied" does not: it speaks of one try.
    pub(super) fn settles(&self) -> bool {
        let of_one_try = |code: &Code| {
            matches!(
                code,
                Code::Unavailable | Code::RateLimited | Code::Unauthorized | Code::Forbidden | Code::Internal
            )
        };
        !self.said.results.iter().filter_map(|member| member.code.as_ref()).chain(&self.said.code).any(of_one_try)
    }

    /// The answer for the caller, without what the way here has added.
    pub(super) fn reply(self) -> Response<Bytes> {
        let (parts, body) = self.response.into_parts();
        let mut headers = HeaderMap::new();
        let mut keep = |name: HeaderName| {
            if let Some(value) = parts.headers.get(&name) {
                headers.insert(name, value.clone());
            }
        };
        keep(header::RETRY_AFTER);
        keep(IDEMPOTENCY_REPLAYED);
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        headers.insert(header::CONTENT_LENGTH, HeaderValue::from(body.len()));
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        match self.said.code {
            // A function URL renames this header.
            Some(Code::Unauthorized) => {
                headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
            }
            Some(Code::Unavailable | Code::RateLimited) => {
                headers.entry(header::RETRY_AFTER).or_insert(RETRY_AFTER);
            }
            _ => {}
        }
        let mut reply = Response::new(body);
        *reply.status_mut() = parts.status;
        *reply.headers_mut() = headers;
        reply
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn heard(status: u16, body: &str, writes: bool) -> Heard {
        hear(Response::builder().status(status).body(Bytes::from(body.to_owned())).expect("a response"), writes)
    }

    #[test]
    fn only_the_contract_s_shapes_are_the_handler_s() {
        let counted = r#"{"success":true,"contentId":"a","field":"views","value":1,"version":1,"timestamp":1}"#;
        let refused = r#"{"success":false,"error":"why","code":"out_of_range"}"#;
        let status = r#"{"status":{"simulationRunning":false,"connectedClients":0,"timestamp":1}}"#;
        for (code, body, writes, ours) in [
            (200, counted, true, true),
            (200, r#"{"success":true,"results":[{"success":false,"error":"","code":"internal"}]}"#, true, true),
            (200, r#"{"success":true}"#, true, false),
            (200, r#"{"success":true,"results":[]}"#, true, false),
            (409, refused, true, true),
            (200, status, false, true),
            (200, r#"{"thresholds":{}}"#, false, true),
            (200, status, true, false),
            (200, refused, true, false),
            (500, refused, true, false),
            (409, counted, true, false),
            (409, r#"{"success":false,"error":"why","code":"another"}"#, true, false),
            (502, r#"{"Message":"Internal Server Error"}"#, true, false),
            (403, r#"{"Message":"Forbidden"}"#, true, false),
            (200, "<html>", false, false),
            (200, "", false, false),
            (301, "", false, false),
            (200, "[]", false, false),
        ] {
            assert_eq!(matches!(heard(code, body, writes), Heard::Ours(_)), ours, "{code} {body} {writes}");
        }
        let throttled = heard(429, r#"{"Reason":"ReservedFunctionConcurrentInvocationLimitExceeded"}"#, true);
        assert!(matches!(throttled, Heard::Throttled));
        let limited = heard(429, r#"{"success":false,"error":"","code":"rate_limited"}"#, true);
        assert!(matches!(limited, Heard::Ours(_)));
    }

    #[test]
    fn not_applied_is_a_word_about_one_try() {
        for (status, body, settles) in [
            (200, r#"{"success":true,"value":1,"version":1}"#, true),
            (200, r#"{"success":true,"results":[{"code":"out_of_range"},{}]}"#, true),
            (200, r#"{"success":true,"results":[{},{"code":"unavailable"}]}"#, false),
            (200, r#"{"success":true,"results":[{"code":"outcome_unknown"}]}"#, true),
            (409, r#"{"success":false,"code":"out_of_range"}"#, true),
            (422, r#"{"success":false,"code":"idempotency_mismatch"}"#, true),
            (503, r#"{"success":false,"code":"unavailable"}"#, false),
            (503, r#"{"success":false,"code":"outcome_unknown"}"#, true),
            (401, r#"{"success":false,"code":"unauthorized"}"#, false),
        ] {
            let Heard::Ours(ours) = heard(status, body, true) else { panic!("{body} is the handler's") };
            assert_eq!(ours.settles(), settles, "{body}");
        }
    }
}
