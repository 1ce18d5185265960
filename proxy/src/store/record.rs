//! The values of the store's tables, of fixed width and little-endian. The rule: any change here is a new format
//! version of the file.

use analytics_shared::Counts;
use analytics_shared::counts::Versioned;

use super::key::Fingerprint;

/// A counter: version, time of commit, and the four counts.
pub(super) type CounterBytes = [u8; 48];

/// An idempotency key's outcome: whether it was applied, the update's fingerprint, and when.
pub(super) type OutcomeBytes = [u8; 25];

/// An idempotency key's place in the order of time: its milliseconds big-endian, so that bytes sort as times do.
pub(super) type TimeBytes = [u8; 24];

/// What is remembered of a keyed write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Remembered {
    /// It was applied; otherwise it was out of range.
    pub(super) applied: bool,
    /// Of the update it was used for.
    pub(super) update: Fingerprint,
    /// When, in milliseconds since the Unix epoch.
    pub(super) at: u64,
}

/// A counter as bytes.
pub(super) fn counter_bytes(state: &Versioned) -> CounterBytes {
    let [views, likes, shares, comments] = state.counts.to_array();
    let mut bytes = [0; 48];
    let words = [state.version, state.committed_at, views, likes, shares, comments];
    for (place, word) in bytes.as_chunks_mut().0.iter_mut().zip(words) {
        *place = word.to_le_bytes();
    }
    bytes
}

/// The counter that [`counter_bytes`] wrote.
pub(super) fn counter(bytes: &CounterBytes) -> Versioned {
    let mut words = [0; 6];
    for (word, place) in words.iter_mut().zip(bytes.as_chunks().0) {
        *word = u64::from_le_bytes(*place);
    }
    let [version, committed_at, counts @ ..] = words;
    Versioned { version, committed_at, counts: Counts::from_array(counts) }
}

impl Remembered {
    /// The record as bytes.
    pub(super) fn bytes(&self) -> OutcomeBytes {
        let mut bytes = [0; 25];
        bytes[0] = u8::from(self.applied);
        bytes[1..17].copy_from_slice(&self.update);
        bytes[17..].copy_from_slice(&self.at.to_le_bytes());
        bytes
    }

    /// The record that [`Remembered::bytes`] wrote.
    pub(super) fn of(bytes: &OutcomeBytes) -> Remembered {
        let mut update = [0; 16];
        update.copy_from_slice(&bytes[1..17]);
        let mut at = [0; 8];
        at.copy_from_slice(&bytes[17..]);
        Remembered { applied: bytes[0] != 0, update, at: u64::from_le_bytes(at) }
    }
}

/// Where a key stands in the order of time.
pub(super) fn time_bytes(at: u64, place: &Fingerprint) -> TimeBytes {
    let mut bytes = [0; 24];
    bytes[..8].copy_from_slice(&at.to_be_bytes());
    bytes[8..].copy_from_slice(place);
    bytes
}

/// The key's place out of [`time_bytes`].
pub(super) fn place_of(bytes: &TimeBytes) -> Fingerprint {
    let mut place = [0; 16];
    place.copy_from_slice(&bytes[8..]);
    place
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_survive_their_bytes() {
        let state = Versioned { version: 1, committed_at: 2, counts: Counts::from_array([3, 4, 5, u64::MAX]) };
        assert_eq!(counter(&counter_bytes(&state)), state);
        for applied in [true, false] {
            let record = Remembered { applied, update: [7; 16], at: u64::MAX - 1 };
            assert_eq!(Remembered::of(&record.bytes()), record);
        }
        assert_eq!(place_of(&time_bytes(9, &[8; 16])), [8; 16]);
        assert!(time_bytes(255, &[9; 16]) < time_bytes(256, &[0; 16]));
    }
}
