//! The work of one transaction. The rule: counters are read once, changed in memory in the order of the writes, and
//! written once at the end; nothing of it holds before the commit.

use analytics_shared::counts::Versioned;
use analytics_shared::{Counter, CounterState, version};
use hashbrown::HashMap;
use lambda_trigger::store::{Applied, Outcome, Refusal, Write};
use redb::{Database, ReadableTable, Table, WriteTransaction};

use super::file::COUNTERS;
use super::handle::Fault;
use super::keys::Keys;
use super::record::{self, CounterBytes};
use super::{KEYS_RETRY_AFTER, key};

/// The newest state of every counter that a transaction changes.
pub(super) type Changed = HashMap<Counter, Versioned>;

/// What does not change from batch to batch.
pub(super) struct Rules {
    /// The store's lowest version.
    pub(super) base: u64,
    /// The most idempotency keys kept.
    pub(super) keys: u64,
}

/// Applies batches, keeping its buffers from one to the next.
pub(super) struct Batches {
    rules: Rules,
    changed: Changed,
    key: Vec<u8>,
}

impl Batches {
    /// Ready for the first batch.
    pub(super) fn new(rules: Rules) -> Batches {
        Batches { rules, changed: Changed::new(), key: Vec::new() }
    }

    /// Takes lists of writes, applies them in one transaction and commits it: one list of outcomes for each.
    pub(super) fn commit(
        &mut self,
        database: &Database,
        lists: &mut Vec<Vec<Write>>,
        now: u64,
    ) -> Result<Vec<Vec<Outcome>>, Fault> {
        self.changed.clear();
        let transaction = database.begin_write()?;
        let outcomes = {
            let mut batch = Batch {
                rules: &self.rules,
                transaction: &transaction,
                counters: transaction.open_table(COUNTERS)?,
                keys: None,
                changed: &mut self.changed,
                key: &mut self.key,
                now,
            };
            let mut outcomes = Vec::with_capacity(lists.len());
            for list in lists.drain(..) {
                outcomes.push(list.into_iter().map(|write| batch.apply(write)).collect::<Result<_, Fault>>()?);
            }
            batch.write_counters()?;
            outcomes
        };
        match transaction.commit() {
            Ok(()) => Ok(outcomes),
            // redb has rolled it back for certain.
            Err(error @ redb::CommitError::TransactionPoisoned) => Err(error.into()),
            Err(error) => Err(Fault::Commit(error)),
        }
    }

    /// The counters that the last batch changed, or (after a failed commit) may have.
    pub(super) fn changed(&self) -> &Changed {
        &self.changed
    }
}

struct Batch<'txn, 'b> {
    rules: &'b Rules,
    transaction: &'txn WriteTransaction,
    counters: Table<'txn, &'static [u8], &'static CounterBytes>,
    keys: Option<Keys<'txn>>,
    changed: &'b mut Changed,
    key: &'b mut Vec<u8>,
    now: u64,
}

impl<'txn> Batch<'txn, '_> {
    fn apply(&mut self, write: Write) -> Result<Outcome, Fault> {
        match &write.key {
            None => self.add(write),
            Some(key) => {
                let place = key::idempotency(write.counter.organization(), key);
                self.apply_once(place, write)
            }
        }
    }

    fn apply_once(&mut self, place: key::Fingerprint, write: Write) -> Result<Outcome, Fault> {
        let update = key::update(&write, self.key);
        let keys = self.keys()?;
        match keys.find(&place)? {
            Some(first) if first.update != update => return Ok(Err(Refusal::KeyMismatch)),
            Some(first) => return self.replay(first.applied, write),
            None if !keys.has_room() => return Ok(Err(no_room())),
            None => {}
        }
        let outcome = self.add(write)?;
        self.keys()?.remember(&place, update, outcome.is_ok())?;
        Ok(outcome)
    }

    /// The tables of keys, opened for the first keyed write: batches without one do not pay for them.
    fn keys(&mut self) -> Result<&mut Keys<'txn>, Fault> {
        let keys = match self.keys.take() {
            Some(keys) => keys,
            None => Keys::open(self.transaction, self.now, self.rules.keys)?,
        };
        Ok(self.keys.insert(keys))
    }

    fn add(&mut self, write: Write) -> Result<Outcome, Fault> {
        let Write { counter, field, increment, .. } = write;
        let mut versioned = self.current(&counter)?;
        if let Err(reason) = versioned.counts.add(field, increment) {
            return Ok(Err(Refusal::OutOfRange { reason, replayed: false }));
        }
        versioned.version = version::next(versioned.version, self.rules.base);
        versioned.committed_at = versioned.committed_at.max(self.now);
        match self.changed.get_mut(&counter) {
            Some(place) => *place = versioned,
            None => drop(self.changed.insert(counter.clone(), versioned)),
        }
        Ok(Ok(Applied { state: CounterState { counter, versioned }, replayed: false }))
    }

    /// The first outcome's status, with the counter as it is now.
    fn replay(&mut self, applied: bool, write: Write) -> Result<Outcome, Fault> {
        let Write { counter, field, increment, .. } = write;
        let versioned = presented(self.current(&counter)?, self.rules.base);
        Ok(if applied {
            Ok(Applied { state: CounterState { counter, versioned }, replayed: true })
        } else {
            let reason = analytics_shared::OutOfRange { field, value: versioned.counts.get(field), increment };
            Err(Refusal::OutOfRange { reason, replayed: true })
        })
    }

    fn current(&mut self, counter: &Counter) -> Result<Versioned, Fault> {
        if let Some(versioned) = self.changed.get(counter) {
            return Ok(*versioned);
        }
        key::counter(counter, self.key);
        let stored = self.counters.get(self.key.as_slice())?;
        Ok(stored.map(|bytes| record::counter(bytes.value())).unwrap_or_default())
    }

    fn write_counters(&mut self) -> Result<(), Fault> {
        for (counter, versioned) in &*self.changed {
            key::counter(counter, self.key);
            self.counters.insert(self.key.as_slice(), &record::counter_bytes(versioned))?;
        }
        Ok(())
    }
}

/// A state as readers see it: never below the base.
pub(super) fn presented(versioned: Versioned, base: u64) -> Versioned {
    Versioned { version: versioned.version.max(base), ..versioned }
}

#[cold]
fn no_room() -> Refusal {
    Refusal::Unavailable { reason: "too many idempotency keys are live".into(), retry_after: KEYS_RETRY_AFTER }
}
