//! The log of changes in NATS JetStream, as its writer (the relay) and its readers (the proxies) both know it.
//! The rule: it is bounded, and whatever it no longer holds is read from the store, never guessed.
//!
//! | file | subject |
//! |---|---|
//! | [`subject`] | from a counter to a subject and back |
//! | [`record`] | a counter's state as a message |

pub mod record;
pub mod subject;

use std::time::Duration;

use async_nats::jetstream::stream::{Config, DiscardPolicy, Info, RetentionPolicy, StorageType};
use async_nats::jetstream::{self, context::GetStreamErrorKind};

/// How long a change stays in the log.
pub const MAX_AGE: Duration = Duration::from_secs(60 * 60);

/// What the log may hold unless the relay is told otherwise: some 5 million changes.
pub const MAX_BYTES: i64 = 1 << 30;

/// How long the server remembers what was published, to take it once: longer than the relay repeats anything.
const DUPLICATE_WINDOW: Duration = Duration::from_secs(120);

/// Names of the log that belongs to one set of tables.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Changelog {
    /// The name of the stream.
    pub stream: String,
    /// What the names of other things that belong to it begin with: letters, digits, `-` and `_`.
    pub name: String,
    /// The first token of every subject.
    pub prefix: String,
}

/// How large the log may become, and on how many servers it is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bounds {
    /// Bytes of all messages.
    pub max_bytes: i64,
    /// Copies, 1 to 5; more than 1 needs a cluster.
    pub replicas: usize,
}

impl Default for Bounds {
    fn default() -> Bounds {
        Bounds { max_bytes: MAX_BYTES, replicas: 1 }
    }
}

/// The log is not there, or is not what it should be.
#[derive(Debug, thiserror::Error)]
pub enum ChangelogError {
    /// JetStream did not answer as it should.
    #[error("the stream {stream} cannot be looked up or created: {reason}")]
    Unreachable {
        /// The stream.
        stream: String,
        /// What JetStream said.
        reason: String,
    },
    /// Somebody made a stream of this name with settings under which changes get lost or reordered.
    #[error("the stream {stream} is not a log of changes: {problem}")]
    Unfit {
        /// The stream.
        stream: String,
        /// The setting, and what it must be.
        problem: String,
    },
}

impl Changelog {
    /// The log beside the tables of a prefix (`ANALYTICS_TABLE_PREFIX`).
    pub fn of_tables(prefix: &str) -> Changelog {
        let prefix = subject::token(prefix);
        // Names of buckets may not hold the `=` of a token; `_` is escaped in it, so this stays unambiguous.
        let name = prefix.replace('=', "_");
        Changelog { stream: format!("{name}-changes"), name, prefix }
    }

    /// Makes sure that the log exists and is fit for its purpose; creates it if there is none.
    ///
    /// # Errors
    /// [`ChangelogError::Unfit`] if a person has to look at it, else worth trying again.
    pub async fn ensure(&self, jetstream: &jetstream::Context, bounds: Bounds) -> Result<Info, ChangelogError> {
        let unreachable = |reason: String| ChangelogError::Unreachable { stream: self.stream.clone(), reason };
        let info = match jetstream.get_stream(&self.stream).await {
            Ok(stream) => stream.cached_info().clone(),
            Err(error) => {
                let absent = matches!(error.kind(), GetStreamErrorKind::JetStream(said)
                    if said.error_code() == jetstream::ErrorCode::STREAM_NOT_FOUND);
                if !absent {
                    return Err(unreachable(error.to_string()));
                }
                let created = jetstream.create_stream(self.config(bounds)).await;
                let created = created.map_err(|error| unreachable(error.to_string()))?.cached_info().clone();
                tracing::info!(stream = %self.stream, "created the log of changes");
                created
            }
        };
        self.check(&info.config)?;
        Ok(info)
    }

    fn config(&self, bounds: Bounds) -> Config {
        Config {
            name: self.stream.clone(),
            description: Some("newest states of counters; readers that fall behind read the store".to_owned()),
            subjects: vec![self.everything()],
            max_age: MAX_AGE,
            max_bytes: bounds.max_bytes,
            discard: DiscardPolicy::Old,
            retention: RetentionPolicy::Limits,
            storage: StorageType::File,
            duplicate_window: DUPLICATE_WINDOW,
            num_replicas: bounds.replicas,
            ..Config::default()
        }
    }

    fn check(&self, config: &Config) -> Result<(), ChangelogError> {
        let bounded = config.max_age > Duration::ZERO || config.max_bytes > 0;
        let problem = [
            (config.subjects == [self.everything()], format!("its subjects must be {:?}", [self.everything()])),
            (config.retention == RetentionPolicy::Limits, "its retention must be limits".to_owned()),
            (config.discard == DiscardPolicy::Old, "it must discard old messages".to_owned()),
            // It would keep the last arrival of each subject, and a repeated older state can be that.
            (config.max_messages_per_subject <= 0, "max_msgs_per_subject must be unset".to_owned()),
            (bounded, "max_age or max_bytes must bound it".to_owned()),
            (config.subject_transform.is_none(), "it must not transform subjects".to_owned()),
            (!config.no_ack, "it must acknowledge what it takes (no_ack must be unset)".to_owned()),
            (config.max_consumers <= 0, "max_consumers must be unset: each proxy has one".to_owned()),
        ];
        match problem.into_iter().find(|(fine, _)| !fine) {
            None => Ok(()),
            Some((_, problem)) => Err(ChangelogError::Unfit { stream: self.stream.clone(), problem }),
        }
    }
}
