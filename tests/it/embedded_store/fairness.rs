//! Promise: who posts much does not keep those waiting who post little, nor the other way round.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::Sender;
use std::task::Poll;

use analytics_proxy::store::EmbeddedOptions;
use analytics_shared::Field;
use futures::future::BoxFuture;
use lambda_trigger::store::{Announce, CounterStore, Outcome, Write};

use super::{Gate, open};
use crate::store_suite::{counter, keyed, stored, write};

/// The most that one call may hold.
const FULL: usize = 100;

/// Stops the writer after each commit, before it is answered, until the test says so; dropped, it stops no more.
struct Turnstile {
    passes: Sender<()>,
    gate: Arc<Gate>,
}

impl Turnstile {
    fn before(store: &dyn CounterStore) -> Turnstile {
        let (passes, gate) = Gate::new();
        assert!(store.announce_to(Arc::clone(&gate) as Arc<dyn Announce>));
        Turnstile { passes, gate }
    }

    /// Lets a commit be answered, and waits until the next one is made.
    async fn pass(&self) {
        let commits = self.gate.1.load(Ordering::SeqCst);
        self.passes.send(()).expect("the writer listens");
        let next = || self.gate.1.load(Ordering::SeqCst) > commits;
        analytics_tests::wait::holds("the next commit", next).await.expect("the writer commits");
    }
}

/// A call that is on its way.
type Call<'s> = BoxFuture<'s, Vec<Outcome>>;

/// Makes a call; `None` if it is refused.
async fn call<'s>(store: &'s dyn CounterStore, writes: Vec<Write>) -> Option<Call<'s>> {
    let mut call = store.apply(writes);
    match futures::poll!(&mut call) {
        Poll::Pending => Some(call),
        Poll::Ready(outcomes) => {
            assert!(outcomes.iter().all(Result::is_err));
            None
        }
    }
}

/// A full batch under a key, of contents of its own.
fn full_batch(number: usize) -> Vec<Write> {
    let write = |member: usize| {
        let counter = counter("", &format!("batch {number} {member}"), "");
        keyed(write(&counter, Field::Views, 1), &format!("batch {number}"), u8::try_from(member).ok())
    };
    (0..FULL).map(write).collect()
}

async fn answered(calls: &mut Vec<Call<'_>>) -> usize {
    let mut answered = 0;
    let mut at = 0;
    while at < calls.len() {
        if let Poll::Ready(outcomes) = futures::poll!(&mut calls[at]) {
            assert!(outcomes.iter().all(Result::is_ok));
            drop(calls.swap_remove(at));
            answered += 1;
        } else {
            at += 1;
        }
    }
    answered
}

/// A thousand full batches come before ten single writes: these are neither refused nor behind them, they are in the
/// very next commit.
#[tokio::test]
async fn single_writes_are_committed_next_however_many_full_batches_wait() {
    let home = tempfile::tempdir().expect("a directory");
    let options = EmbeddedOptions::new(home.path());
    let (room, at_once) = (options.queued_writes, options.transaction_writes);
    let store = open(options);
    let turnstile = Turnstile::before(&store);
    let own = counter("", "own", "");
    let single = || vec![write(&own, Field::Views, 1)];
    let mut first = vec![call(&store, single()).await.expect("an empty queue")];
    turnstile.gate.reached().await;

    let mut flood = Vec::new();
    for number in 0..1000 {
        flood.extend(call(&store, full_batch(number)).await);
    }
    assert!((room / 2 / FULL..1000).contains(&flood.len()), "{} batches wait", flood.len());
    let mut singles = Vec::new();
    for _ in 0..10 {
        singles.push(call(&store, single()).await.expect("there is room for a single write"));
    }
    // What the first commit is answered for, then the next commit, then its answers.
    turnstile.pass().await;
    assert_eq!(answered(&mut first).await, 1);
    turnstile.pass().await;
    assert_eq!(answered(&mut singles).await, 10);
    let committed = answered(&mut flood).await;
    assert!((1..=at_once / FULL).contains(&committed), "{committed} batches were before or beside them");

    drop(turnstile);
    for batch in flood {
        assert!(batch.await.iter().all(Result::is_ok));
    }
    let views = stored(&store, &own).await.map(|state| state.versioned.counts.get(Field::Views));
    assert_eq!(views, Some(11));
}

/// Thousands of single writes come before a full batch: it is in the next commit all the same.
#[tokio::test]
async fn a_full_batch_is_committed_next_however_many_single_writes_wait() {
    let home = tempfile::tempdir().expect("a directory");
    let store = open(EmbeddedOptions::new(home.path()));
    let turnstile = Turnstile::before(&store);
    let own = counter("", "own", "");
    let single = || vec![write(&own, Field::Views, 1)];
    let _first = call(&store, single()).await.expect("an empty queue");
    turnstile.gate.reached().await;
    let mut flood = Vec::new();
    for _ in 0..5000 {
        flood.push(call(&store, single()).await.expect("there is room"));
    }
    let mut batch = vec![call(&store, full_batch(0)).await.expect("there is room for a batch")];
    turnstile.pass().await;
    turnstile.pass().await;
    assert_eq!(answered(&mut batch).await, 1);
    assert!(answered(&mut flood).await < 5000);
}
