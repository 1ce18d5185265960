//! `POST trigger-update`. The rule: an answer says about each update exactly what the store said, and a member of a
//! batch that fails does not touch the others.
//!
//! The valid members of a batch reach the store in one call and in order. A batch's Idempotency-Key gives its update
//! *i* the key (key, *i*), *i* counted among all members, so that a repeat meets the same keys whatever failed.

use std::sync::Arc;
use std::time::Duration;

use analytics_shared::tenant::Refused;
use analytics_shared::update::{Body, Update};
use analytics_shared::{Authority, Code, CounterState, Failure, Field, Id, fields};
use bytes::Bytes;
use http::header::{CONTENT_LENGTH, CONTENT_TYPE};
use http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode};
use serde::Serialize;

use super::{Handler, at_most_once};
use crate::store::{Applied, Outcome, Refusal, Write, WriteKey};
use crate::{auth, reply};

/// Makes a call safe to repeat.
pub const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");

/// `true` on an answer that repeats an earlier outcome.
pub const IDEMPOTENCY_REPLAYED: HeaderName = HeaderName::from_static("idempotency-replayed");

const KEY_ALLOWED: &str = "1 to 128 characters from ! to ~, given once";

/// Why an update was not applied, or may not have been.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TriggerError {
    /// The authority may not write this counter; the store was not asked.
    #[error(transparent)]
    Refused(#[from] Refused),
    /// The store's word.
    #[error(transparent)]
    Store(#[from] Refusal),
}

impl TriggerError {
    /// The failure that a caller of the contract sees.
    pub fn failure(&self) -> Failure {
        let code = match self {
            TriggerError::Refused(refused) => return auth::refused(*refused),
            TriggerError::Store(Refusal::OutOfRange { .. }) => Code::OutOfRange,
            TriggerError::Store(Refusal::KeyMismatch) => Code::IdempotencyMismatch,
            TriggerError::Store(Refusal::Unavailable { .. }) => Code::Unavailable,
            TriggerError::Store(Refusal::OutcomeUnknown(_)) => Code::OutcomeUnknown,
        };
        Failure::new(code, self.to_string())
    }

    /// Whether the error repeats an earlier outcome under the same key.
    pub fn replayed(&self) -> bool {
        matches!(self, TriggerError::Store(Refusal::OutOfRange { replayed: true, .. }))
    }

    fn retry_after(&self) -> Option<Duration> {
        match self {
            TriggerError::Store(Refusal::Unavailable { retry_after, .. }) => Some(*retry_after),
            _ => None,
        }
    }
}

/// A POST whose headers are in order.
pub(super) struct Post {
    authority: Authority,
    key: Option<Arc<str>>,
}

impl Post {
    pub(super) fn admit(authority: Authority, headers: &HeaderMap, max_body_bytes: usize) -> Result<Post, Failure> {
        if !is_json(headers) {
            let text = "the body must be declared once as Content-Type: application/json";
            return Err(Failure::new(Code::UnsupportedMediaType, text));
        }
        let declared = headers.get(CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse::<u64>().ok());
        if declared.is_some_and(|length| length > max_body_bytes as u64) {
            return Err(reply::too_large(max_body_bytes));
        }
        Ok(Post { authority, key: idempotency_key(headers)? })
    }
}

impl Handler {
    /// Applies one update for an authority: what a POST does, for hosts that count by themselves.
    pub async fn trigger(
        &self,
        authority: &Authority,
        update: Update,
        key: Option<WriteKey>,
    ) -> Result<Applied, TriggerError> {
        let write = write(authority, update, key)?;
        let mut outcomes = self.config.store.apply(vec![write]).await.into_iter();
        Ok(next(&mut outcomes)?)
    }

    pub(super) async fn post(&self, post: Post, body: Bytes) -> Response<Bytes> {
        if body.len() > self.config.max_body_bytes {
            return reply::failure(&reply::too_large(self.config.max_body_bytes));
        }
        let parsed = Body::parse(&body);
        // What waits for the store is bounded by the store; the bodies that it came in are not.
        drop(body);
        match parsed {
            Err(failure) => reply::failure(&failure),
            Ok(Body::Single(update)) => self.single(post, update).await,
            Ok(Body::Batch(members)) => self.batch(&post, members).await,
        }
    }

    async fn single(&self, post: Post, update: Update) -> Response<Bytes> {
        let field = update.field;
        let key = post.key.map(|key| WriteKey { key, member: None });
        let (mut reply, replayed) = match self.trigger(&post.authority, update, key).await {
            Ok(applied) => (reply::json(StatusCode::OK, &Counted::new(&applied.state, field)), applied.replayed),
            Err(error) => {
                let failure = error.failure();
                let reply = match error.retry_after() {
                    Some(retry_after) => reply::failure_after(&failure, retry_after),
                    None => reply::failure(&failure),
                };
                (reply, error.replayed())
            }
        };
        if replayed {
            reply.headers_mut().insert(IDEMPOTENCY_REPLAYED, HeaderValue::from_static("true"));
        }
        reply
    }

    async fn batch(&self, post: &Post, members: Vec<Result<Update, Failure>>) -> Response<Bytes> {
        let mut writes = Vec::with_capacity(members.len());
        // Per member, the field of its write or why there is none.
        let checked: Vec<Result<Field, Failure>> = members
            .into_iter()
            .enumerate()
            .map(|(index, update)| {
                let update = update?;
                let field = update.field;
                writes.push(write(&post.authority, update, post.member_key(index)).map_err(|refused| {
                    let Failure { code, text } = auth::refused(refused);
                    Failure::new(code, format!("updates[{index}]: {text}"))
                })?);
                Ok(field)
            })
            .collect();
        let outcomes = if writes.is_empty() { Vec::new() } else { self.config.store.apply(writes).await };
        let mut outcomes = outcomes.into_iter();
        let results: Vec<Member> = checked
            .into_iter()
            .map(|field| match field {
                Ok(field) => Member::of(field, next(&mut outcomes)),
                Err(failure) => Member::Failed { failure, replayed: false },
            })
            .collect();
        reply::json(StatusCode::OK, &Results { success: true, results })
    }
}

impl Post {
    fn member_key(&self, index: usize) -> Option<WriteKey> {
        // A batch has at most 100 members, so every index fits.
        let member = u8::try_from(index).ok()?;
        self.key.as_ref().map(|key| WriteKey { key: Arc::clone(key), member: Some(member) })
    }
}

fn write(authority: &Authority, update: Update, key: Option<WriteKey>) -> Result<Write, Refused> {
    let counter = authority.writable(update.content, update.organization, update.client)?;
    Ok(Write { counter, field: update.field, increment: update.increment, key })
}

/// A store that answers less than it was asked has said nothing about the rest.
fn next(outcomes: &mut impl Iterator<Item = Outcome>) -> Outcome {
    outcomes.next().unwrap_or_else(|| Err(Refusal::OutcomeUnknown("it gave no outcome".to_owned())))
}

/// Whether the body is declared, once, as JSON. Parameters are ignored: JSON is UTF-8 whatever a `charset` says
/// (RFC 8259 §8.1, §11).
fn is_json(headers: &HeaderMap) -> bool {
    let declared = at_most_once(headers, CONTENT_TYPE).ok().flatten().and_then(|value| value.to_str().ok());
    let essence = declared.and_then(|value| value.split(';').next());
    essence.is_some_and(|essence| essence.trim().eq_ignore_ascii_case("application/json"))
}

fn idempotency_key(headers: &HeaderMap) -> Result<Option<Arc<str>>, Failure> {
    let invalid = || fields::invalid("Idempotency-Key", KEY_ALLOWED);
    let Some(value) = at_most_once(headers, IDEMPOTENCY_KEY).map_err(|()| invalid())? else { return Ok(None) };
    let valid = |key: &&str| (1..=128).contains(&key.len()) && key.bytes().all(|byte| (b'!'..=b'~').contains(&byte));
    value.to_str().ok().filter(valid).map(|key| Some(Arc::from(key))).ok_or_else(invalid)
}

/// What was counted, as a single answer.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(test, derive(ts_rs::TS), ts(rename = "TriggerAnswer", optional_fields))]
pub(super) struct Counted<'a> {
    #[cfg_attr(test, ts(type = "true"))]
    success: bool,
    #[cfg_attr(test, ts(as = "String"))]
    content_id: &'a Id,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(test, ts(as = "Option<String>"))]
    organization_id: Option<&'a Id>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(test, ts(as = "Option<String>"))]
    client_id: Option<&'a Id>,
    #[cfg_attr(test, ts(type = "Field"))]
    field: Field,
    /// The absolute count.
    value: u64,
    version: u64,
    /// When the version was committed, in milliseconds since the Unix epoch.
    timestamp: u64,
}

impl<'a> Counted<'a> {
    fn new(state: &'a CounterState, field: Field) -> Counted<'a> {
        Counted {
            success: true,
            content_id: state.counter.content(),
            organization_id: state.counter.organization(),
            client_id: state.counter.client(),
            field,
            value: state.versioned.counts.get(field),
            version: state.versioned.version,
            timestamp: state.versioned.committed_at,
        }
    }
}

/// The answer to a batch.
#[derive(Serialize)]
#[cfg_attr(test, derive(ts_rs::TS), ts(rename = "BatchAnswer"))]
pub(super) struct Results {
    #[cfg_attr(test, ts(type = "true"))]
    success: bool,
    /// In the order of the updates.
    #[cfg_attr(test, ts(type = "Array<Replayable<TriggerAnswer | ErrorBody>>"))]
    results: Vec<Member>,
}

/// An answer as it would stand alone, and what a single call says in a header.
#[derive(Serialize)]
#[cfg_attr(test, derive(ts_rs::TS))]
pub(super) struct Replayable<T> {
    #[serde(flatten)]
    answer: T,
    /// The outcome is that of an earlier call under the same key.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    #[cfg_attr(test, ts(as = "Option<bool>", optional))]
    replayed: bool,
}

/// What became of one member of a batch.
enum Member {
    Applied { field: Field, applied: Applied },
    Failed { failure: Failure, replayed: bool },
}

impl Member {
    fn of(field: Field, outcome: Outcome) -> Member {
        match outcome {
            Ok(applied) => Member::Applied { field, applied },
            Err(refusal) => {
                let error = TriggerError::from(refusal);
                Member::Failed { failure: error.failure(), replayed: error.replayed() }
            }
        }
    }
}

impl Serialize for Member {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Member::Applied { field, applied } => {
                Replayable { answer: Counted::new(&applied.state, *field), replayed: applied.replayed }
                    .serialize(serializer)
            }
            Member::Failed { failure, replayed } => {
                Replayable { answer: failure, replayed: *replayed }.serialize(serializer)
            }
        }
    }
}
