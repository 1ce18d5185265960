//! The counter store in DynamoDB. The rule: a counter changes by one conditional write, which is also what the stream
//! announces; nothing on the way repeats a write unless the repetition cannot count twice.
//!
//! | file | subject |
//! |---|---|
//! | `client` | the connection: sends every request once |
//! | `options` | limits and their defaults |
//! | `tables` | names and shapes of the tables; making and checking them |
//! | `key` | keys of items, safe for any id |
//! | `item` | items and images of the stream as states |
//! | `update` | the conditional update |
//! | `chain` | which writes of a list must keep their order |
//! | `unkeyed` | at most once |
//! | `keyed`, `record` | exactly once |
//! | `read` | consistent reads of topics |
//! | `share` | one read for many who ask at once |
//! | `failure`, `patience` | what an error proves, and when to try again |
//! | `presence` | the sum of the proxies' open sockets |

mod chain;
mod client;
mod complaint;
mod failure;
mod item;
mod key;
mod keyed;
mod options;
mod patience;
mod presence;
mod read;
mod record;
mod share;
mod tables;
mod unkeyed;
mod update;

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use analytics_shared::counts::Versioned;
use analytics_shared::{Counter, CounterState, OutOfRange, Topic, version};
use async_trait::async_trait;
use futures::StreamExt;
use futures::stream;
use tokio::sync::Semaphore;
use tokio::time::{Instant, timeout_at};

use self::chain::Chain;
use self::client::Lost;
use self::patience::{Limits, Patience};
use crate::deadline;
use crate::store::{Applied, CounterStore, Outcome, Refusal, Unreadable, Write};

pub use self::client::DynamoClient;
pub use self::item::{Attributes, Damaged, counter_state};
pub use self::options::{Clock, DynamoOptions};
pub use self::presence::{DynamoPresence, PRESENCE_LIFETIME, PresenceError};
pub use self::tables::{InvalidPrefix, Tables, TablesError, check_tables, create_tables};

/// When to come again after a write that was not applied.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// Counters in DynamoDB.
pub struct DynamoStore {
    inner: Arc<Inner>,
    deadline: Duration,
    queue: Arc<Semaphore>,
    reads: Arc<share::Reads>,
}

struct Inner {
    client: DynamoClient,
    tables: Tables,
    base: u64,
    limits: Limits,
    concurrency: usize,
    clock: Clock,
}

/// The epoch's versions would leave what a JavaScript number holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the store's epoch must be at most {}", version::MAX_EPOCH)]
pub struct EpochTooLarge;

/// What became of a write, as far as the write itself told.
enum Verdict {
    /// All of it.
    Known(Outcome),
    /// It is applied; the counter's state is still to be read.
    Applied { replayed: bool },
    /// A record says that it was refused; the counter's value is still to be read.
    OutOfRange { replayed: bool },
}

impl DynamoStore {
    /// A store over tables that exist ([`check_tables`]). Starts nothing and asks nothing.
    pub fn new(client: DynamoClient, options: DynamoOptions) -> Result<DynamoStore, EpochTooLarge> {
        let DynamoOptions { tables, epoch, deadline, attempt, attempts, concurrency, queued_writes, clock } = options;
        let base = version::base_of_epoch(epoch).ok_or(EpochTooLarge)?;
        let limits = Limits { attempt, attempts };
        let inner = Inner { client, tables, base, limits, concurrency: concurrency.max(1), clock };
        let (queue, reads) = (Arc::new(Semaphore::new(queued_writes)), Arc::default());
        Ok(DynamoStore { inner: Arc::new(inner), deadline, queue, reads })
    }
}

#[async_trait]
impl CounterStore for DynamoStore {
    fn base(&self) -> u64 {
        self.inner.base
    }

    async fn apply(&self, writes: Vec<Write>) -> Vec<Outcome> {
        let deadline = deadline::of_call(self.deadline);
        let count = writes.len();
        let room = u32::try_from(count).ok().and_then(|n| Arc::clone(&self.queue).try_acquire_many_owned(n).ok());
        let Some(room) = room else { return vec![Err(unavailable("too many updates are waiting")); count] };
        let inner = Arc::clone(&self.inner);
        let work = async move {
            let _room = room;
            inner.apply(writes, deadline).await
        };
        match self.inner.client.run(work).await {
            Ok(outcomes) => outcomes,
            Err(Lost::Never) => vec![Err(unavailable("the process is out of threads")); count],
            Err(Lost::Midway) => vec![Err(Refusal::OutcomeUnknown("the process is ending".into())); count],
        }
    }

    async fn read(&self, topics: &[Topic]) -> Result<Vec<CounterState>, Unreadable> {
        let end = deadline::of_call(self.deadline);
        // Those who join a read that waits have come later, and may wait as long from its beginning on.
        let time = end.saturating_duration_since(Instant::now());
        let share::Plan { reads, request } = self.reads.plan(topics);
        for mut read in reads {
            let inner = Arc::clone(&self.inner);
            let work = async move {
                let plan = read::Plan::of(read.begin().await);
                let brought = inner.read(plan, &inner.patience(Instant::now() + time)).await;
                read.end(brought);
            };
            // It goes on without this request; what is not begun tells those who wait by its end.
            let _ = self.inner.client.spawn(work);
        }
        let late = |_| Err(Unreadable("DynamoDB did not answer in time".into()));
        timeout_at(end, request.states()).await.unwrap_or_else(late)
    }
}

impl fmt::Debug for DynamoStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DynamoStore").field("tables", &self.inner.tables).finish_non_exhaustive()
    }
}

impl Inner {
    fn patience(&self, deadline: Instant) -> Patience {
        Patience::new(self.limits, deadline)
    }

    async fn apply(&self, writes: Vec<Write>, deadline: Instant) -> Vec<Outcome> {
        let chains = stream::iter(chain::chains(writes)).map(|chain| self.apply_in_order(chain, deadline));
        let mut outcomes: Vec<(usize, Outcome)> = chains.buffer_unordered(self.concurrency).concat().await;
        outcomes.sort_unstable_by_key(|(place, _)| *place);
        outcomes.into_iter().map(|(_, outcome)| outcome).collect()
    }

    async fn apply_in_order(&self, chain: Chain, deadline: Instant) -> Vec<(usize, Outcome)> {
        let mut told = Vec::with_capacity(chain.writes.len());
        for (place, write) in chain.writes {
            let patience = self.patience(deadline);
            let verdict = match &write.key {
                None => Verdict::Known(self.apply_unkeyed(&write, patience).await),
                Some(key) => self.apply_keyed(&write, key, patience).await,
            };
            told.push((place, write, verdict));
        }
        // One read for all that a transaction does not tell: each state is then at or after its write.
        let open = told.iter().filter(|(_, _, verdict)| !matches!(verdict, Verdict::Known(_)));
        let counters: HashSet<Counter> = open.map(|(_, write, _)| write.counter.clone()).collect();
        let states = self.states(counters, &self.patience(deadline)).await;
        told.into_iter().map(|(place, write, verdict)| (place, self.outcome(write, verdict, &states))).collect()
    }

    async fn states(
        &self,
        counters: HashSet<Counter>,
        patience: &Patience,
    ) -> Result<HashMap<Counter, Versioned>, Unreadable> {
        let states = self.read(read::Plan::exactly(counters), patience).await?;
        Ok(states.into_iter().map(|state| (state.counter, state.versioned)).collect())
    }

    fn outcome(
        &self,
        write: Write,
        verdict: Verdict,
        states: &Result<HashMap<Counter, Versioned>, Unreadable>,
    ) -> Outcome {
        let Write { counter, field, increment, .. } = write;
        let state = states.as_ref().map(|states| {
            let absent = Versioned { version: self.base, ..Versioned::default() };
            states.get(&counter).copied().unwrap_or(absent)
        });
        match (verdict, state) {
            (Verdict::Known(outcome), _) => outcome,
            (Verdict::Applied { replayed }, Ok(versioned)) => {
                Ok(Applied { state: CounterState { counter, versioned }, replayed })
            }
            (Verdict::OutOfRange { replayed }, Ok(versioned)) => {
                let reason = OutOfRange { field, value: versioned.counts.get(field), increment };
                Err(Refusal::OutOfRange { reason, replayed })
            }
            // It is applied, so it must not be called unavailable; the repeat under its key tells the state.
            (Verdict::Applied { .. }, Err(error)) => {
                Err(Refusal::OutcomeUnknown(format!("what it made of the counter cannot be read ({})", error.0)))
            }
            (Verdict::OutOfRange { .. }, Err(error)) => Err(unavailable(&error.0)),
        }
    }
}

/// The write was not applied, for this reason.
fn unavailable(reason: impl fmt::Display) -> Refusal {
    Refusal::Unavailable { reason: reason.to_string(), retry_after: RETRY_AFTER }
}
