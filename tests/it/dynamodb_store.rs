//! What only the DynamoDB store promises: no fault between it and DynamoDB counts twice or loses a count, every call
//! ends in bounded time, and a raised epoch wins. The rule: DynamoDB Local is real, and so is the hop that fails.

mod epochs;
mod faults;
mod presence;
mod reads;
mod sharing;
mod tables;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use analytics_shared::version::base_of_epoch;
use analytics_shared::{Counter, Field};
use analytics_tests::dynamodb_local::{self, DynamoLocal, fresh_tables};
use analytics_tests::fault_hop::FaultHop;
use analytics_tests::wait;
use futures::FutureExt;
use futures::future::BoxFuture;
use lambda_trigger::CounterStore;
use lambda_trigger::dynamodb::{Clock, DynamoClient, DynamoOptions, DynamoStore, Tables, create_tables};
use lambda_trigger::store::{Applied, KEY_LIFETIME, Outcome, Refusal};

use crate::store_suite::{Fixture, applied, apply, counter, keyed, store_suite, stored, topic, write};

mod epoch_0 {
    use super::*;

    store_suite!(fresh);

    fn fresh() -> BoxFuture<'static, Fixture> {
        fixture(0).boxed()
    }
}

mod epoch_raised {
    use super::*;

    store_suite!(fresh);

    fn fresh() -> BoxFuture<'static, Fixture> {
        fixture(9).boxed()
    }
}

async fn fixture(epoch: u64) -> Fixture {
    let (client, tables) = made_tables().await;
    let store = open(&client, DynamoOptions { epoch, ..options(tables) });
    assert_eq!(Some(store.base()), base_of_epoch(epoch));
    Fixture { store: Arc::new(store), exact_keyed_answers: false, _home: Box::new(()) }
}

/// Tables of a test's own, and a client that meets no faults.
async fn made_tables() -> (DynamoClient, Tables) {
    let client = dynamodb_local::shared().await.expect("DynamoDB Local runs").client();
    let tables = fresh_tables();
    create_tables(&client, &tables).await.expect("the tables are made");
    (client, tables)
}

/// Bounds that only a fault can reach on a loaded machine.
fn options(tables: Tables) -> DynamoOptions {
    let patient = Duration::from_secs(60);
    DynamoOptions { deadline: patient, attempt: patient, attempts: 50, ..DynamoOptions::new(tables) }
}

fn open(client: &DynamoClient, options: DynamoOptions) -> DynamoStore {
    DynamoStore::new(client.clone(), options).expect("a valid epoch")
}

/// A store whose requests pass a hop, and one beside it that sees what is in the tables.
struct Hopped {
    hop: FaultHop,
    tables: Tables,
    store: DynamoStore,
    beside: DynamoStore,
}

impl Hopped {
    async fn start(adjust: impl FnOnce(&mut DynamoOptions)) -> Hopped {
        let local = dynamodb_local::shared().await.expect("DynamoDB Local runs");
        let hop = FaultHop::start(local.port()).await.expect("the hop starts");
        let (client, tables) = made_tables().await;
        let mut options = options(tables.clone());
        let beside = open(&client, options.clone());
        adjust(&mut options);
        Hopped { store: open(&dynamodb_local::client(hop.port()), options), hop, tables, beside }
    }

    /// A count as it is in the table.
    async fn count(&self, counter: &Counter, field: Field) -> u64 {
        stored(&self.beside, counter).await.map_or(0, |state| state.versioned.counts.get(field))
    }
}

/// A clock that a test moves.
fn clock() -> (Arc<AtomicU64>, Clock) {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("a time after 1970").as_millis() as u64;
    let hands = Arc::new(AtomicU64::new(now));
    let clock: Clock = {
        let hands = Arc::clone(&hands);
        Arc::new(move || hands.load(Ordering::SeqCst))
    };
    (hands, clock)
}

fn unavailable(outcome: &Outcome) -> bool {
    matches!(outcome, Err(Refusal::Unavailable { retry_after, .. }) if !retry_after.is_zero())
}

#[tokio::test]
async fn a_key_lives_for_a_day() {
    let (client, tables) = made_tables().await;
    let (hands, clock) = clock();
    let store = open(&client, DynamoOptions { clock, ..options(tables) });
    let counter = counter("o", "a", "");
    for (member, increment) in [(0, 1), (1, -9)] {
        let once = keyed(write(&counter, Field::Views, increment), "key", Some(member));
        let first = apply(&store, once.clone()).await;
        let replayed = |outcome: &Outcome| match outcome {
            Ok(Applied { replayed, .. }) | Err(Refusal::OutOfRange { replayed, .. }) => Some(*replayed),
            Err(_) => None,
        };
        assert_eq!(replayed(&first), Some(false));
        let day = KEY_LIFETIME.as_millis() as u64;
        hands.fetch_add(day, Ordering::SeqCst);
        assert_eq!(replayed(&apply(&store, once.clone()).await), Some(true), "a day to the millisecond is within");
        hands.fetch_add(2_000, Ordering::SeqCst);
        assert_eq!(replayed(&apply(&store, once).await), Some(false), "the record is still there, and has expired");
    }
    let state = stored(&store, &counter).await.expect("it was counted").versioned;
    assert_eq!((state.version, state.counts.get(Field::Views)), (2, 2));
}

#[tokio::test]
async fn more_writes_than_may_wait_are_refused_at_once() {
    let (client, tables) = made_tables().await;
    let store = open(&client, DynamoOptions { queued_writes: 2, ..options(tables) });
    let one = write(&counter("o", "a", ""), Field::Views, 1);
    let outcomes = store.apply(vec![one.clone(); 3]).await;
    assert!(outcomes.len() == 3 && outcomes.iter().all(unavailable), "{outcomes:?}");
    assert!(store.apply(vec![one; 2]).await.iter().all(Result::is_ok), "what was refused took no room");
}

#[tokio::test]
async fn acknowledged_writes_outlive_a_kill_of_dynamodb() {
    let files = tempfile::tempdir().expect("a directory");
    let local = DynamoLocal::start(Some(files.path())).await.expect("DynamoDB Local starts");
    let (port, tables) = (local.port(), fresh_tables());
    create_tables(&local.client(), &tables).await.expect("the tables are made");
    let store = open(&local.client(), DynamoOptions { attempts: 5, ..options(tables.clone()) });
    let counter = counter("o", "a", "");
    let once = |member| keyed(write(&counter, Field::Views, 1), "key", Some(member));
    for member in 0..20 {
        assert!(!applied(&store, once(member)).await.replayed);
    }
    local.kill().expect("it is killed");
    assert!(apply(&store, once(20)).await.is_err());
    let local = DynamoLocal::start_at(port, Some(files.path())).await.expect("DynamoDB Local starts again");
    for member in 0..40 {
        assert_eq!(applied(&store, once(member)).await.replayed, member < 20, "member {member}");
    }
    let state = stored(&store, &counter).await.expect("it was counted").versioned;
    assert_eq!((state.version, state.counts.get(Field::Views)), (40, 40));
    drop(local);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_write_goes_on_when_its_caller_goes_away() {
    let Hopped { hop: _hop, store, beside, .. } = Hopped::start(|_| {}).await;
    let counter = counter("o", "a", "");
    let once = keyed(write(&counter, Field::Views, 1), "key", None);
    // Polled once, so that it has begun; then dropped, and the store with it.
    let mut begun = store.apply(vec![once.clone()]);
    assert!(futures::poll!(&mut begun).is_pending());
    drop(begun);
    drop(store);
    let counted = wait::until("the write to be applied", async || stored(&beside, &counter).await);
    assert_eq!(counted.await.expect("it is applied").versioned.version, 1);
    assert!(applied(&beside, once).await.replayed);
}

#[test]
fn a_store_is_used_from_any_runtime() {
    let start = || tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let (first, second) = (start(), start());
    let (client, tables) = first.block_on(made_tables());
    let store = open(&client, options(tables));
    let counter = counter("o", "a", "");
    // A connection opened from the first runtime must serve the second while the first one rests.
    for _ in 0..3 {
        first.block_on(applied(&store, write(&counter, Field::Views, 1)));
        second.block_on(applied(&store, write(&counter, Field::Views, 1)));
    }
    drop(first);
    let read = second.block_on(store.read(&[topic(&counter)])).expect("the store is readable");
    assert_eq!(read.first().map(|state| state.versioned.version), Some(6));
}
