//! Idempotency keys within one transaction. The rule: a live key is never forgotten; keys end by age alone, and when
//! there is no room for a new one its write is refused.

use lambda_trigger::store::KEY_LIFETIME;
use redb::{ReadableTable, ReadableTableMetadata, Table, WriteTransaction};

use super::file::{KEYS, KEYS_BY_TIME};
use super::handle::Fault;
use super::key::Fingerprint;
use super::record::{OutcomeBytes, Remembered, TimeBytes, place_of, time_bytes};

/// Expired keys removed in one transaction: more than a transaction adds, so that they never pile up, and few enough
/// to take a few milliseconds when a day's worth of them ends at once.
const EXPIRED_AT_ONCE: usize = 2_048;

/// [`KEY_LIFETIME`] in milliseconds.
const LIFETIME: u64 = KEY_LIFETIME.as_millis() as u64;

/// The tables of keys, open in one transaction.
pub(super) struct Keys<'txn> {
    outcomes: Table<'txn, &'static Fingerprint, &'static OutcomeBytes>,
    by_time: Table<'txn, &'static TimeBytes, ()>,
    now: u64,
    room: u64,
}

impl<'txn> Keys<'txn> {
    /// Opens the tables and removes some of what has expired; at most `limit` keys are kept.
    pub(super) fn open(transaction: &'txn WriteTransaction, now: u64, limit: u64) -> Result<Keys<'txn>, Fault> {
        let outcomes = transaction.open_table(KEYS)?;
        let by_time = transaction.open_table(KEYS_BY_TIME)?;
        let mut keys = Keys { outcomes, by_time, now, room: 0 };
        keys.remove_expired()?;
        keys.room = limit.saturating_sub(keys.outcomes.len()?);
        Ok(keys)
    }

    /// What is remembered under a key, unless it has expired.
    pub(super) fn find(&self, place: &Fingerprint) -> Result<Option<Remembered>, Fault> {
        let found = self.outcomes.get(place)?.map(|bytes| Remembered::of(bytes.value()));
        Ok(found.filter(|outcome| !self.expired(outcome.at)))
    }

    /// Whether another key can be remembered.
    pub(super) fn has_room(&self) -> bool {
        self.room > 0
    }

    /// Remembers the outcome of an update under a key that [`Keys::find`] did not find.
    pub(super) fn remember(&mut self, place: &Fingerprint, update: Fingerprint, applied: bool) -> Result<(), Fault> {
        let outcome = Remembered { applied, update, at: self.now };
        let expired = self.outcomes.insert(place, &outcome.bytes())?.map(|bytes| Remembered::of(bytes.value()).at);
        match expired {
            Some(at) => drop(self.by_time.remove(&time_bytes(at, place))?),
            None => self.room = self.room.saturating_sub(1),
        }
        self.by_time.insert(&time_bytes(self.now, place), ())?;
        Ok(())
    }

    fn remove_expired(&mut self) -> Result<(), Fault> {
        let Some(end) = self.now.checked_sub(LIFETIME) else { return Ok(()) };
        let end = time_bytes(end, &[u8::MAX; 16]);
        let mut expired: Vec<TimeBytes> = Vec::new();
        for entry in self.by_time.range::<&TimeBytes>(..=&end)?.take(EXPIRED_AT_ONCE) {
            expired.push(*entry?.0.value());
        }
        for bytes in &expired {
            self.by_time.remove(bytes)?;
            self.outcomes.remove(&place_of(bytes))?;
        }
        Ok(())
    }

    /// A clock that went backwards makes a key live longer, never shorter.
    fn expired(&self, at: u64) -> bool {
        self.now.saturating_sub(at) >= LIFETIME
    }
}
