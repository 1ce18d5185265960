//! What a failed request proves. The rule: only a refusal by DynamoDB (HTTP 4xx) or a request that was never sent
//! proves that nothing was applied; everything else leaves it open.
//!
//! DynamoDB answers 5xx also to writes that it did apply
//! (<https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/Programming.Errors.html>).

use std::error::Error;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use aws_sdk_dynamodb::config::http::HttpResponse;
use aws_sdk_dynamodb::config::interceptors::BeforeTransmitInterceptorContextRef;
use aws_sdk_dynamodb::config::{ConfigBag, Intercept, RuntimeComponents};
use aws_sdk_dynamodb::error::{BoxError, DisplayErrorContext, ProvideErrorMetadata, SdkError};
use hyper_util::client::legacy::Error as HttpError;

/// Refusals that pass by themselves.
const PASSING: [&str; 9] = [
    "ThrottlingException",
    "ProvisionedThroughputExceededException",
    "RequestLimitExceeded",
    "TransactionConflictException",
    "TransactionInProgressException",
    "ReplicatedWriteConflictException",
    // The same inside a cancelled transaction.
    "ThrottlingError",
    "ProvisionedThroughputExceeded",
    "TransactionConflict",
];

/// Refusals that belong to the work.
const ORDINARY: [&str; 3] =
    ["ConditionalCheckFailedException", "TransactionCanceledException", "TransactionConflictException"];

/// Why a request has no answer, by what that proves.
#[derive(Debug)]
pub(super) enum Failed<E> {
    /// DynamoDB refused it: nothing was applied.
    Refused {
        /// The refusal's name.
        code: String,
        /// The refusal, if it could be read.
        error: Option<E>,
        /// Everything known about it, for the log.
        text: String,
    },
    /// It was never sent: nothing was applied.
    NotSent(String),
    /// It was sent, and may or may not have been applied.
    Unknown(String),
}

/// Notes that a request is about to leave: credentials, endpoint and signature are behind it.
#[derive(Debug, Clone, Default)]
pub(super) struct Sent(Arc<AtomicBool>);

impl Sent {
    /// Whether the request may have left.
    pub(super) fn get(&self) -> bool {
        self.0.load(Ordering::Acquire)
    }
}

impl Intercept for Sent {
    fn name(&self) -> &'static str {
        "Sent"
    }

    fn read_before_transmit(
        &self,
        _: &BeforeTransmitInterceptorContextRef<'_>,
        _: &RuntimeComponents,
        _: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        self.0.store(true, Ordering::Release);
        Ok(())
    }
}

impl<E: ProvideErrorMetadata + Error + Send + Sync + 'static> Failed<E> {
    /// What an error of the SDK proves about a request that may have left only if `sent` says so.
    pub(super) fn of(error: SdkError<E, HttpResponse>, sent: &Sent) -> Failed<E> {
        let text = DisplayErrorContext(&error).to_string();
        match error.raw_response().map(|response| response.status().as_u16()) {
            // 408 is an intermediary's word: the request may have gone on.
            Some(400..=407 | 409..=499) => {
                let service = match error {
                    SdkError::ServiceError(context) => Some(context.into_err()),
                    _ => None,
                };
                let code = service.as_ref().and_then(ProvideErrorMetadata::code).unwrap_or("an unknown error");
                Failed::Refused { code: code.to_owned(), error: service, text }
            }
            Some(_) => Failed::Unknown(text),
            None if sent.get() && !never_connected(&error) => Failed::Unknown(text),
            None => Failed::NotSent(text),
        }
    }
}

impl<E> Failed<E> {
    /// Nothing was applied.
    pub(super) fn proves_nothing_applied(&self) -> bool {
        !matches!(self, Failed::Unknown(_))
    }

    /// Everything known about it, for an operator.
    pub(super) fn detail(&self) -> &str {
        match self {
            Failed::Refused { text, .. } | Failed::NotSent(text) | Failed::Unknown(text) => text,
        }
    }

    /// It tells of the data and of callers that meet, not of trouble.
    pub(super) fn is_ordinary(&self) -> bool {
        matches!(self, Failed::Refused { code, .. } if ORDINARY.contains(&code.as_str()))
    }

    /// It may be different next time.
    pub(super) fn passes(&self) -> bool {
        match self {
            Failed::Refused { code, .. } => passing(code),
            Failed::NotSent(_) | Failed::Unknown(_) => true,
        }
    }
}

impl<E> fmt::Display for Failed<E> {
    /// For the caller of the store, who may be anybody: no names of tables, accounts or hosts.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Failed::Refused { code, .. } => write!(f, "DynamoDB answers {code}"),
            Failed::NotSent(_) => f.write_str("DynamoDB cannot be reached"),
            Failed::Unknown(_) => f.write_str("DynamoDB did not answer"),
        }
    }
}

/// Whether a refusal of this name passes by itself.
pub(super) fn passing(code: &str) -> bool {
    PASSING.contains(&code)
}

/// Whether the error says that there was no connection to send the request over.
fn never_connected(error: &(dyn Error + 'static)) -> bool {
    let chain = std::iter::successors(Some(error), |error| (*error).source());
    chain.filter_map(|error| error.downcast_ref::<HttpError>()).any(HttpError::is_connect)
}
