//! Records of the idempotency table. The rule: a record is written once, together with what it records, and holds for
//! [`KEY_LIFETIME`]; one that has expired counts as absent, whether or not DynamoDB has deleted it yet.
//!
//! | attribute | type | meaning |
//! |---|---|---|
//! | `id` | S | organization, batch member and key ([`key::record`]) |
//! | `update` | B | fingerprint of the update that the key was used for |
//! | `outcome` | S | `applied` or `out_of_range` |
//! | `writer` | B | the call that wrote the record, so that it knows its own after an answer was lost |
//! | `expires` | N | when it ends, in seconds since the Unix epoch (the TTL attribute) |
//!
//! The record does what a ClientRequestToken would: a transaction that is sent again finds its own record and is
//! cancelled, whatever became of the first one, and not only for the ten minutes for which DynamoDB keeps tokens.

use aws_sdk_dynamodb::types::AttributeValue;

use super::item::{Attributes, Damaged, Item, n, s};
use super::key::{self, Fingerprint};
use super::tables::EXPIRES;
use crate::store::{KEY_LIFETIME, Write, WriteKey};

/// The key's attribute.
pub(super) const ID: &str = "id";
const UPDATE: &str = "update";
const OUTCOME: &str = "outcome";
const WRITER: &str = "writer";

/// Refuses to overwrite a record that is alive.
pub(super) const UNLESS_ALIVE: &str = "attribute_not_exists(#id) OR #expires <= :now";

/// What a record remembers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kept {
    /// The update counted.
    Applied,
    /// It would have left the range.
    OutOfRange,
}

/// The record that one call writes, whichever way it ends.
#[derive(Debug)]
pub(super) struct Record {
    id: String,
    update: Fingerprint,
    writer: [u8; 16],
    now: u64,
}

/// What a record that was there tells a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Found {
    /// The key was used for another update.
    Mismatch,
    /// The update was decided before, or (`replayed` false) by this very call.
    Decided { kept: Kept, replayed: bool },
}

impl Kept {
    fn name(self) -> &'static str {
        match self {
            Kept::Applied => "applied",
            Kept::OutOfRange => "out_of_range",
        }
    }
}

impl Record {
    /// The record of a call at this time, in milliseconds since the Unix epoch.
    pub(super) fn new(write: &Write, key: &WriteKey, now_ms: u64) -> Record {
        Record {
            id: key::record(write.counter.organization(), key),
            update: key::fingerprint(write),
            writer: fastrand::u128(..).to_be_bytes(),
            now: now_ms / 1_000,
        }
    }

    /// The item to be written.
    pub(super) fn item(&self, kept: Kept) -> Item {
        // The running second does not count: a key lives no shorter than promised.
        let expires = self.now + 1 + KEY_LIFETIME.as_secs();
        let attributes = [
            (ID, s(&self.id)),
            (UPDATE, bytes(&self.update)),
            (OUTCOME, s(kept.name())),
            (WRITER, bytes(&self.writer)),
            (EXPIRES, n(expires)),
        ];
        attributes.map(|(name, value)| (name.to_owned(), value)).into()
    }

    /// The names in [`UNLESS_ALIVE`].
    pub(super) fn names(&self) -> [(String, String); 2] {
        [("#id".to_owned(), ID.to_owned()), ("#expires".to_owned(), EXPIRES.to_owned())]
    }

    /// The value in [`UNLESS_ALIVE`].
    pub(super) fn now(&self) -> (String, AttributeValue) {
        (":now".to_owned(), n(self.now))
    }

    /// What the record that is there instead says.
    pub(super) fn judge(&self, there: &Item) -> Result<Found, Damaged> {
        let update = there.get(UPDATE).and_then(|value| value.as_b().ok()).ok_or(Damaged(UPDATE))?;
        if update.as_ref() != self.update {
            return Ok(Found::Mismatch);
        }
        let outcome = there.string(OUTCOME).ok_or(Damaged(OUTCOME))?;
        let kept = [Kept::Applied, Kept::OutOfRange].into_iter().find(|kept| kept.name() == outcome);
        let writer = there.get(WRITER).and_then(|value| value.as_b().ok());
        let own = writer.is_some_and(|writer| writer.as_ref() == self.writer);
        Ok(Found::Decided { kept: kept.ok_or(Damaged(OUTCOME))?, replayed: !own })
    }
}

fn bytes(bytes: &[u8]) -> AttributeValue {
    AttributeValue::B(bytes.into())
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use analytics_shared::{Counter, Field, Id, Scope};

    use super::*;

    fn record(increment: i64) -> Record {
        let counter = Counter::new(Id::new("a").expect("a valid id"), Scope::public());
        let key = WriteKey { key: Arc::from("k"), member: None };
        Record::new(&Write { counter, field: Field::Views, increment, key: Some(key.clone()) }, &key, 5_999)
    }

    #[test]
    fn a_record_tells_its_writer_from_a_repeat_and_from_another_update() {
        for kept in [Kept::Applied, Kept::OutOfRange] {
            let first = record(1);
            let item = first.item(kept);
            assert_eq!(first.judge(&item), Ok(Found::Decided { kept, replayed: false }));
            assert_eq!(record(1).judge(&item), Ok(Found::Decided { kept, replayed: true }));
            assert_eq!(record(2).judge(&item), Ok(Found::Mismatch));
        }
    }

    #[test]
    fn a_record_lives_for_no_less_than_promised() {
        let expires = record(1).item(Kept::Applied).number(EXPIRES).map(str::to_owned);
        assert_eq!(expires, Some((5 + 1 + 86_400).to_string()));
    }

    #[test]
    fn a_damaged_record_is_not_taken_for_an_outcome() {
        let first = record(1);
        for name in [UPDATE, OUTCOME] {
            let mut item = first.item(Kept::Applied);
            item.insert(name.to_owned(), s("else"));
            assert_eq!(first.judge(&item), Err(Damaged(name)));
        }
    }
}
