//! Failures in the log. The rule: however many requests fail, they write at most one line per [`INTERVAL`].

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Between two lines.
const INTERVAL: Duration = Duration::from_secs(10);

/// Counts failures between lines.
#[derive(Debug, Default)]
pub(super) struct Complaint(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    last: Option<Instant>,
    unsaid: u64,
}

impl Complaint {
    /// Takes note of a failure and, unless that was done lately, says so.
    pub(super) fn note(&self, error: &str) {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        state.unsaid += 1;
        if state.last.is_none_or(|last| last.elapsed() >= INTERVAL) {
            tracing::warn!(error, failures = state.unsaid, "requests to DynamoDB fail");
            *state = State { last: Some(Instant::now()), unsaid: 0 };
        }
    }
}
