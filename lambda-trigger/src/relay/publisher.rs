//! Publishes states. The rule: published means acknowledged by the stream of that name, whatever else listens to the
//! subject.

use std::sync::Arc;

use analytics_shared::CounterState;
use async_nats::header::{HeaderMap, NATS_EXPECTED_STREAM, NATS_MESSAGE_ID};
use async_nats::jetstream::Context;
use async_nats::jetstream::context::{PublishError, PublishErrorKind};
use async_trait::async_trait;
use futures::future::join_all;
use tokio::sync::OnceCell;

use crate::changelog::{Bounds, Changelog, ChangelogError, record::Record};
use crate::streams::{Sink, SinkError};

/// Messages that wait for their acknowledgement at once.
const IN_FLIGHT: usize = 256;

/// The way into the log.
#[derive(Debug, Clone)]
pub struct Publisher {
    jetstream: Context,
    log: Changelog,
    bounds: Bounds,
    /// Set once the log was found fit.
    checked: Arc<OnceCell<()>>,
}

/// Why a state is not known to be in the log.
#[derive(Debug, thiserror::Error)]
pub enum Unpublished {
    /// The message was refused, or nobody said that it was taken.
    #[error("a change was not acknowledged: {0}")]
    Message(#[from] PublishError),
    /// The stream was missing and could not be made.
    #[error(transparent)]
    Log(#[from] ChangelogError),
}

impl Publisher {
    /// A way into a log, which is created with these bounds whenever it is found missing.
    pub fn new(jetstream: Context, log: Changelog, bounds: Bounds) -> Publisher {
        Publisher { jetstream, log, bounds, checked: Arc::default() }
    }

    /// Makes sure that the log exists and is fit.
    ///
    /// # Errors
    /// [`ChangelogError`].
    pub async fn ensure(&self) -> Result<(), ChangelogError> {
        self.log.ensure(&self.jetstream, self.bounds).await.map(drop)
    }

    /// The same, but asks no more once it was so: a stream that somebody made beforehand is published to without an
    /// error, whatever it does with the messages.
    ///
    /// # Errors
    /// [`ChangelogError`].
    pub async fn ensure_once(&self) -> Result<(), ChangelogError> {
        self.checked.get_or_try_init(|| self.ensure()).await.copied()
    }

    /// Publishes states; answers for each, in order, whether it is in the log.
    pub async fn publish(&self, states: &[CounterState]) -> Vec<Result<(), Unpublished>> {
        let mut results = Vec::with_capacity(states.len());
        for some in states.chunks(IN_FLIGHT) {
            let mut acknowledgements = Vec::with_capacity(some.len());
            for state in some {
                acknowledgements.push(self.send(state).await);
            }
            let answers = acknowledgements.into_iter().map(async |sent| match sent {
                Ok(acknowledgement) => acknowledgement.await.map(drop),
                Err(error) => Err(error),
            });
            results.extend(join_all(answers).await);
        }
        let missing = |result: &Result<(), PublishError>| {
            result.as_ref().is_err_and(|error| error.kind() == PublishErrorKind::StreamNotFound)
        };
        if results.iter().any(missing)
            && let Err(error) = self.ensure().await
        {
            tracing::warn!(%error, "the log of changes is missing");
        }
        results.into_iter().map(|result| result.map_err(Unpublished::from)).collect()
    }

    async fn send(
        &self,
        state: &CounterState,
    ) -> Result<async_nats::jetstream::context::PublishAckFuture, PublishError> {
        let Record { subject, id, payload } = self.log.record(state);
        let mut headers = HeaderMap::new();
        headers.insert(NATS_MESSAGE_ID, id);
        headers.insert(NATS_EXPECTED_STREAM, self.log.stream.as_str());
        self.jetstream.publish_with_headers(subject, headers, payload).await
    }
}

#[async_trait]
impl Sink for Publisher {
    async fn take(&self, states: &[CounterState]) -> Result<(), SinkError> {
        // All of them again after an error: what was taken already is dropped as a duplicate.
        let results: Result<(), Unpublished> = self.publish(states).await.into_iter().collect();
        results.map_err(|error| SinkError(error.to_string()))
    }
}
