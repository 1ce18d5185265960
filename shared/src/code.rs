//! The closed list of error codes, each with its HTTP status. The rule: whatever goes wrong towards a caller is
//! one of these, and [`Failure`] is how it travels there.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

/// A machine-readable error code, on the socket and over HTTP.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[cfg_attr(test, derive(ts_rs::TS))]
pub enum Code {
    /// The body or frame is not JSON.
    InvalidJson,
    /// Socket only: no object, or no known `type`.
    InvalidMessage,
    /// A field is missing, of the wrong type or outside its range; the text names it.
    InvalidField,
    /// Socket only: a binary message.
    BinaryUnsupported,
    /// More ids than one call or connection may name.
    TooManyIds,
    /// No token, or none that verifies.
    Unauthorized,
    /// The token does not cover what was named, or the page's origin is not allowed.
    Forbidden,
    /// Nothing lives at that path.
    NotFound,
    /// The path knows other methods.
    MethodNotAllowed,
    /// The count would leave its range; nothing changed.
    OutOfRange,
    /// The body is larger than allowed.
    TooLarge,
    /// A plain request to the WebSocket's path.
    UpgradeRequired,
    /// The body is not declared as `application/json`.
    UnsupportedMediaType,
    /// The idempotency key was used with another update.
    IdempotencyMismatch,
    /// Too many requests, connections or messages.
    RateLimited,
    /// Not applied; come again later.
    Unavailable,
    /// Applied or not: nobody knows.
    OutcomeUnknown,
    /// A fault of ours.
    Internal,
}

impl Code {
    /// Every code, for documentation and tests.
    pub const ALL: [Code; 18] = [
        Code::InvalidJson,
        Code::InvalidMessage,
        Code::InvalidField,
        Code::BinaryUnsupported,
        Code::TooManyIds,
        Code::Unauthorized,
        Code::Forbidden,
        Code::NotFound,
        Code::MethodNotAllowed,
        Code::OutOfRange,
        Code::TooLarge,
        Code::UpgradeRequired,
        Code::UnsupportedMediaType,
        Code::IdempotencyMismatch,
        Code::RateLimited,
        Code::Unavailable,
        Code::OutcomeUnknown,
        Code::Internal,
    ];

    /// The HTTP status that carries the code; `None` for codes that exist on the socket only.
    pub fn http_status(self) -> Option<u16> {
        Some(match self {
            Code::InvalidMessage | Code::BinaryUnsupported => return None,
            Code::InvalidJson | Code::InvalidField | Code::TooManyIds => 400,
            Code::Unauthorized => 401,
            Code::Forbidden => 403,
            Code::NotFound => 404,
            Code::MethodNotAllowed => 405,
            Code::OutOfRange => 409,
            Code::TooLarge => 413,
            Code::UnsupportedMediaType => 415,
            Code::IdempotencyMismatch => 422,
            Code::UpgradeRequired => 426,
            Code::RateLimited => 429,
            Code::Internal => 500,
            Code::Unavailable | Code::OutcomeUnknown => 503,
        })
    }
}

/// A refusal: a code for programs, a text for people. Serializes as the HTTP error body.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text}")]
pub struct Failure {
    /// The machine-readable code.
    pub code: Code,
    /// What went wrong and what is allowed, naming the field if there is one.
    pub text: Cow<'static, str>,
}

impl Failure {
    /// A refusal with its text.
    pub fn new(code: Code, text: impl Into<Cow<'static, str>>) -> Failure {
        Failure { code, text: text.into() }
    }
}

/// A refusal over HTTP.
#[derive(Serialize)]
#[cfg_attr(test, derive(ts_rs::TS))]
pub(crate) struct ErrorBody<'a> {
    #[cfg_attr(test, ts(type = "false"))]
    success: bool,
    /// For a person.
    error: &'a str,
    /// For a program.
    code: Code,
}

impl Serialize for Failure {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        ErrorBody { success: false, error: &self.text, code: self.code }.serialize(serializer)
    }
}
