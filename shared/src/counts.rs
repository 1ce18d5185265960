//! Counts, their version and their merge. The rule: the higher version wins, never the larger value, because
//! likes and comments go down.

use serde::Serialize;

use crate::{Counter, version::MAX_SAFE};

/// What is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
#[cfg_attr(test, derive(ts_rs::TS))]
pub enum Field {
    /// Times the content was looked at.
    Views,
    /// Likes minus likes taken back.
    Likes,
    /// Times it was passed on.
    Shares,
    /// Comments minus comments removed.
    Comments,
}

impl Field {
    /// Every field, in the order in which [`Counts`] holds them.
    pub const ALL: [Field; 4] = [Field::Views, Field::Likes, Field::Shares, Field::Comments];

    /// The name on the wire.
    pub fn name(self) -> &'static str {
        match self {
            Field::Views => "views",
            Field::Likes => "likes",
            Field::Shares => "shares",
            Field::Comments => "comments",
        }
    }

    /// The field of a name on the wire.
    pub fn named(name: &str) -> Option<Field> {
        Field::ALL.into_iter().find(|field| field.name() == name)
    }

    /// The place within [`Field::ALL`].
    pub fn index(self) -> usize {
        self as usize
    }
}

/// The four counts of a counter, each from 0 to 2^53−1 so that every JavaScript number can hold it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Counts([u64; 4]);

/// An increment would take a count below 0 or above 2^53−1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{} would leave the range 0 to 9007199254740991 (it is {value}, the increment {increment})", field.name())]
pub struct OutOfRange {
    /// The field named by the update.
    pub field: Field,
    /// Its value, unchanged.
    pub value: u64,
    /// What was to be added.
    pub increment: i64,
}

impl Counts {
    /// Counts from values in the order of [`Field::ALL`].
    pub fn from_array(values: [u64; 4]) -> Counts {
        Counts(values)
    }

    /// The values in the order of [`Field::ALL`].
    pub fn to_array(self) -> [u64; 4] {
        self.0
    }

    /// The value of one field.
    pub fn get(&self, field: Field) -> u64 {
        self.0[field.index()]
    }

    /// Adds to one field; on error nothing changes.
    pub fn add(&mut self, field: Field, increment: i64) -> Result<u64, OutOfRange> {
        let value = self.get(field);
        let sum = value.checked_add_signed(increment).filter(|sum| *sum <= MAX_SAFE);
        let sum = sum.ok_or(OutOfRange { field, value, increment })?;
        self.0[field.index()] = sum;
        Ok(sum)
    }
}

/// A counter's state at one version: what stores return, streams carry and hubs merge.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CounterState {
    /// Whose state it is.
    pub counter: Counter,
    /// The counts and their version.
    pub versioned: Versioned,
}

/// Counts at a version. The order is the order of merging: version first.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Versioned {
    /// +1 with every committed change, above the store's base.
    pub version: u64,
    /// When this version was committed, in milliseconds since the Unix epoch.
    pub committed_at: u64,
    /// The counts at this version.
    pub counts: Counts,
}

impl Versioned {
    /// Takes over `other` if it is newer, and says whether it was.
    ///
    /// A version has one state, so equal versions are equal states; should two differ all the same, the total
    /// order of the remaining fields decides, which keeps the merge commutative, associative and idempotent.
    pub fn merge(&mut self, other: &Versioned) -> bool {
        let newer = other > self;
        if newer {
            *self = *other;
        }
        newer
    }
}
