//! Places in shards, and where they are kept. The rule: a place is kept only after everything up to it was handed
//! over; a place that is lost or old costs repeats, nothing else.

use std::collections::HashMap;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use super::ShardKey;

/// How far a shard was read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Place {
    /// Not at all: begins with the oldest record there is.
    Oldest,
    /// Not at all: begins with the next record to come.
    Newest,
    /// Up to and including the record of this sequence number, a decimal integer of up to 40 digits.
    After(String),
    /// To its end; it gets no more records.
    Finished,
}

/// Keeps places across restarts.
#[async_trait]
pub trait Checkpoints: Send + Sync + 'static {
    /// Every place that is known.
    ///
    /// # Errors
    /// [`KeepError`]; the reader tries again and does not begin without an answer.
    async fn load(&self) -> Result<HashMap<ShardKey, Place>, KeepError>;

    /// Keeps the place of a shard.
    ///
    /// # Errors
    /// [`KeepError`]; the reader goes on, for the next place makes up for this one.
    async fn keep(&self, shard: &ShardKey, place: &Place) -> Result<(), KeepError>;
}

/// Places cannot be kept or looked up now.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct KeepError(pub String);

/// Keeps nothing: for a reader that begins anew with every start, because it reads the store besides.
#[derive(Debug, Clone, Copy, Default)]
pub struct Forgetful;

#[async_trait]
impl Checkpoints for Forgetful {
    async fn load(&self) -> Result<HashMap<ShardKey, Place>, KeepError> {
        Ok(HashMap::new())
    }

    async fn keep(&self, _: &ShardKey, _: &Place) -> Result<(), KeepError> {
        Ok(())
    }
}

impl Place {
    /// The one of two places of a shard that is further on.
    pub fn further(self, other: Place) -> Place {
        let rank = |place: &Place| match place {
            Place::Oldest | Place::Newest => (0, 0, String::new()),
            Place::After(sequence) => {
                // Decimal integers of any length: compared by their digits, the longer one being larger.
                let digits = sequence.trim_start_matches('0');
                (1, digits.len(), digits.to_owned())
            }
            Place::Finished => (2, 0, String::new()),
        };
        if rank(&other) > rank(&self) { other } else { self }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_further_place_is_the_one_with_the_larger_number() {
        let after = |sequence: &str| Place::After(sequence.to_owned());
        let rising = [Place::Oldest, after("9"), after("0010"), after("11"), after("100"), Place::Finished];
        for (low, one) in rising.iter().enumerate() {
            for (high, other) in rising.iter().enumerate() {
                assert_eq!(one.clone().further(other.clone()), rising[low.max(high)]);
            }
        }
    }
}
