//! What the handler asks of a counter store. The rule: an outcome says exactly what is known: applied, refused
//! without a trace, or (only when it truly is) unknown.

use std::sync::Arc;
use std::time::Duration;

use analytics_shared::{Counter, CounterState, Field, OutOfRange, Topic};
use async_trait::async_trait;

/// How long an outcome under an idempotency key is remembered.
pub const KEY_LIFETIME: Duration = Duration::from_secs(24 * 60 * 60);

/// Counters, kept durably.
#[async_trait]
pub trait CounterStore: Send + Sync + 'static {
    /// The lowest version that this store presents (`analytics_shared::version`).
    fn base(&self) -> u64;

    /// Applies increments in order, each by itself, and answers with one outcome per write, in order.
    ///
    /// An applied outcome is durable when this returns. Writes under a key that was used within [`KEY_LIFETIME`]
    /// count nothing and repeat the first outcome.
    async fn apply(&self, writes: Vec<Write>) -> Vec<Outcome>;

    /// Reads every existing counter that the topics show, each once, as of now or later: whatever was acknowledged
    /// before the call is seen. Versions are presented, that is never below [`CounterStore::base`].
    async fn read(&self, topics: &[Topic]) -> Result<Vec<CounterState>, Unreadable>;

    /// From now on hands every committed change to `listener`, and says so; a store whose changes travel by a
    /// stream of their own does nothing and answers `false`. Called once, after the process has forked for good.
    fn announce_to(&self, listener: Arc<dyn Announce>) -> bool {
        let _ = listener;
        false
    }
}

/// Takes new states of counters, the newest of each.
pub trait Announce: Send + Sync + 'static {
    /// Called once per commit, from the store's writer; must not block on anything that waits for the store.
    fn announce(&self, states: &[CounterState]);
}

/// One increment of one counter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Write {
    /// Whose count.
    pub counter: Counter,
    /// Which of the four.
    pub field: Field,
    /// Not 0; may be negative.
    pub increment: i64,
    /// Makes the write safe to repeat.
    pub key: Option<WriteKey>,
}

/// An idempotency key as it belongs to one write. Its namespace is the counter's organization.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct WriteKey {
    /// The `Idempotency-Key` of the call.
    pub key: Arc<str>,
    /// The write's place in its batch; `None` for a single call, which never meets a batch's keys.
    pub member: Option<u8>,
}

/// What became of one write.
pub type Outcome = Result<Applied, Refusal>;

/// The write is durable.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Applied {
    /// The counter right after the write; after a replay, its current state.
    pub state: CounterState,
    /// The write had been applied before, under the same key.
    pub replayed: bool,
}

/// The write was not applied, or (only [`Refusal::OutcomeUnknown`]) may have been.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The count would leave its range. Remembered under a key: the repeat is refused the same way.
    #[error("{reason}")]
    OutOfRange {
        /// The field, its value and the increment.
        reason: OutOfRange,
        /// The refusal repeats an earlier one under the same key.
        replayed: bool,
    },
    /// The key was used with another update.
    #[error("this Idempotency-Key was used with another update")]
    KeyMismatch,
    /// Not applied; worth coming again.
    #[error("the store cannot take the update now: {reason}")]
    Unavailable {
        /// What is in the way, for a person.
        reason: String,
        /// When to come again.
        retry_after: Duration,
    },
    /// The store may or may not have applied it.
    #[error("the store did not say whether it applied the update: {0}")]
    OutcomeUnknown(String),
}

/// The store could not be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the store cannot be read: {0}")]
pub struct Unreadable(pub String);
