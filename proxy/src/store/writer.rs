//! The thread that writes. The rule: gather, apply in one transaction, commit, announce, and only then answer.
//!
//! While one transaction is synced to the disk the next one gathers, so the cost of a sync is shared by as many
//! writes as come during it, and a lone write waits for nothing but its own.

use std::sync::{Arc, OnceLock};

use analytics_shared::{Counter, CounterState};
use lambda_trigger::store::{Announce, Outcome, Refusal, Write};
use tokio::sync::oneshot;

use super::RETRY_AFTER;
use super::batch::{Batches, Rules};
use super::handle::{Fault, Handle};
use super::options::Clock;
use super::queue::Queue;
use super::reader::Counters;

/// Writes of one call.
pub(super) struct Request {
    pub(super) writes: Vec<Write>,
    pub(super) answer: oneshot::Sender<Vec<Outcome>>,
}

/// The writer's state.
pub(super) struct Writer<'s> {
    pub(super) queue: &'s Queue<Request>,
    pub(super) handle: &'s Handle,
    pub(super) listener: &'s OnceLock<Arc<dyn Announce>>,
    pub(super) clock: &'s Clock,
    pub(super) transaction_writes: usize,
    pub(super) rules: Rules,
}

impl Writer<'_> {
    /// Serves requests until the queue is closed and empty.
    pub(super) fn run(self) {
        let _consumer = self.queue.consumer();
        let base = self.rules.base;
        let mut batches = Batches::new(self.rules);
        let mut announcer = Announcer { listener: self.listener, handle: self.handle, base, unsettled: Vec::new() };
        let mut requests: Vec<Request> = Vec::new();
        let mut lists: Vec<Vec<Write>> = Vec::new();
        let mut answers: Vec<(usize, oneshot::Sender<Vec<Outcome>>)> = Vec::new();
        while self.queue.take(self.transaction_writes, &mut requests) {
            for Request { writes, answer } in requests.drain(..) {
                answers.push((writes.len(), answer));
                lists.push(writes);
            }
            let now = (self.clock)();
            let result = announcer
                .settle()
                .and_then(|()| self.handle.with(|database| batches.commit(database, &mut lists, now)));
            lists.clear();
            match result {
                Ok(outcomes) => {
                    announcer.announce(
                        batches.changed().iter().map(|(counter, versioned)| CounterState {
                            counter: counter.clone(),
                            versioned: *versioned,
                        }),
                    );
                    for ((_, answer), outcomes) in answers.drain(..).zip(outcomes) {
                        // A caller that went away needs no answer; its writes count all the same.
                        let _ = answer.send(outcomes);
                    }
                }
                Err(fault) => {
                    if matches!(fault, Fault::Commit(_)) {
                        announcer.unsettled.extend(batches.changed().keys().cloned());
                    }
                    let refusal = refusal(&fault);
                    for (writes, answer) in answers.drain(..) {
                        let _ = answer.send(vec![Err(refusal.clone()); writes]);
                    }
                    if let Err(fault) = announcer.settle() {
                        tracing::warn!(error = %fault, "what a failed commit changed is announced later");
                    }
                }
            }
        }
    }
}

/// Tells the listener, also of changes whose commit failed and yet came to hold.
struct Announcer<'s> {
    listener: &'s OnceLock<Arc<dyn Announce>>,
    handle: &'s Handle,
    base: u64,
    unsettled: Vec<Counter>,
}

impl Announcer<'_> {
    fn announce(&self, states: impl Iterator<Item = CounterState>) {
        if let Some(listener) = self.listener.get() {
            let states: Vec<CounterState> = states.collect();
            if !states.is_empty() {
                listener.announce(&states);
            }
        }
    }

    /// Announces what became of the counters of a failed commit. Nothing else is written before that succeeded, so
    /// they never number more than one transaction's.
    fn settle(&mut self) -> Result<(), Fault> {
        if self.unsettled.is_empty() {
            return Ok(());
        }
        let mut states = Vec::with_capacity(self.unsettled.len());
        self.handle.with(|database| {
            let mut counters = Counters::open(database, self.base)?;
            self.unsettled.iter().try_for_each(|counter| counters.get(counter.clone(), &mut states))
        })?;
        self.unsettled.clear();
        self.announce(states.into_iter());
        Ok(())
    }
}

#[cold]
fn refusal(fault: &Fault) -> Refusal {
    match fault {
        Fault::Commit(_) => Refusal::OutcomeUnknown(fault.to_string()),
        _ => Refusal::Unavailable { reason: fault.to_string(), retry_after: RETRY_AFTER },
    }
}
