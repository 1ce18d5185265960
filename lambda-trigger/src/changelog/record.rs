//! A counter's state as a message of the log. The rule: whose state it is, the subject says; the message says the
//! rest, and two messages with one id are equal.

use analytics_shared::counts::Versioned;
use analytics_shared::{CounterState, Counts};
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::Changelog;

/// The payload, in JSON. Readers ignore fields that they do not know.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Payload {
    version: u64,
    /// Milliseconds since the Unix epoch.
    committed_at: u64,
    /// In the order of `Field::ALL`.
    counts: [u64; 4],
}

/// A message of the log, ready to be published.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// Where it is published.
    pub subject: String,
    /// `Nats-Msg-Id`: 128 bits of a hash over subject and payload. What differs in anything is never dropped as a
    /// duplicate, not even after a store was wiped and counts from one again.
    pub id: String,
    /// The state.
    pub payload: Bytes,
}

impl Changelog {
    /// The message of a state.
    pub fn record(&self, state: &CounterState) -> Record {
        let Versioned { version, committed_at, counts } = state.versioned;
        let payload = Payload { version, committed_at, counts: counts.to_array() };
        let subject = self.subject(&state.counter);
        // A struct of integers has no value that JSON cannot hold.
        let payload = serde_json::to_vec(&payload).unwrap_or_default();
        let hash = Sha256::new().chain_update(&subject).chain_update([0]).chain_update(&payload).finalize();
        let id = hash.iter().take(16).map(|byte| format!("{byte:02x}")).collect();
        Record { subject, id, payload: payload.into() }
    }

    /// The state of a message; `None` if it is none of ours.
    pub fn state(&self, subject: &str, payload: &[u8]) -> Option<CounterState> {
        let Payload { version, committed_at, counts } = serde_json::from_slice(payload).ok()?;
        let versioned = Versioned { version, committed_at, counts: Counts::from_array(counts) };
        Some(CounterState { counter: self.counter(subject)?, versioned })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use analytics_shared::{Counter, Id, Scope};

    #[test]
    fn a_state_comes_back_and_a_different_one_has_another_id() {
        let log = Changelog::of_tables("analytics");
        let counter = Counter::new(Id::new("a.b").expect("a valid id"), Scope::public());
        let versioned = Versioned { version: 7, committed_at: 1, counts: Counts::from_array([1, 2, 3, 4]) };
        let state = CounterState { counter, versioned };
        let record = log.record(&state);
        assert_eq!(log.state(&record.subject, &record.payload), Some(state.clone()));
        assert_eq!(log.record(&state), record);
        let mut other = state;
        other.versioned.counts = Counts::from_array([1, 2, 3, 5]);
        assert_ne!(log.record(&other).id, record.id);
        assert_eq!(log.state(&record.subject, b"{}"), None);
        assert_eq!(log.state("elsewhere", &record.payload), None);
    }
}
