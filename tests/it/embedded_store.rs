//! What only the embedded store promises: it survives its process, keeps its epoch, and bounds what it remembers.

mod fairness;

use std::io::{BufRead, BufReader, Write as _};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc::{self, Receiver};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use analytics_proxy::store::{Clock, EmbeddedOptions, EmbeddedStore, OpenError};
use analytics_shared::{CounterState, Field, version};
use futures::FutureExt;
use futures::future::BoxFuture;
use lambda_trigger::store::{Announce, Applied, CounterStore, KEY_LIFETIME, Outcome, Refusal, Write};

use crate::store_suite::{Fixture, applied, apply, counter, keyed, store_suite, stored, topic, write};

store_suite!(fresh);

const DAY: u64 = KEY_LIFETIME.as_millis() as u64;
const START: u64 = 1_800_000_000_000;

fn fresh() -> BoxFuture<'static, Fixture> {
    async {
        let home = tempfile::tempdir().expect("a directory");
        let store = Arc::new(open(EmbeddedOptions::new(home.path())));
        Fixture { store, exact_keyed_answers: true, _home: Box::new(home) }
    }
    .boxed()
}

fn open(options: EmbeddedOptions) -> EmbeddedStore {
    EmbeddedStore::open(options).expect("the store opens")
}

/// A clock that a test sets.
struct Hands(Arc<AtomicU64>);

impl Hands {
    fn new() -> Hands {
        Hands(Arc::new(AtomicU64::new(START)))
    }

    fn set(&self, unix_ms: u64) {
        self.0.store(unix_ms, Ordering::SeqCst);
    }

    fn clock(&self) -> Clock {
        let hands = Arc::clone(&self.0);
        Arc::new(move || hands.load(Ordering::SeqCst))
    }
}

fn unavailable(outcome: &Outcome) -> bool {
    matches!(outcome, Err(Refusal::Unavailable { retry_after, .. }) if !retry_after.is_zero())
}

#[tokio::test]
async fn a_store_opened_again_continues_where_it_was() {
    let home = tempfile::tempdir().expect("a directory");
    let of_client = counter("o", "a", "c");
    let once = keyed(write(&of_client, Field::Likes, 7), "key", None);
    let store = open(EmbeddedOptions::new(home.path()));
    let base = store.base();
    let first = applied(&store, once.clone()).await.state;
    drop(store);
    let store = open(EmbeddedOptions::new(home.path()));
    assert_eq!(store.base(), base);
    assert_eq!(stored(&store, &of_client).await.as_ref(), Some(&first));
    assert_eq!(applied(&store, once).await, Applied { state: first, replayed: true });
    let next = applied(&store, write(&of_client, Field::Likes, -7)).await.state.versioned;
    assert_eq!((next.version, next.counts.get(Field::Likes)), (base + 2, 0));
}

#[tokio::test]
async fn a_new_epoch_lifts_every_version_and_keeps_counts_and_keys() {
    let home = tempfile::tempdir().expect("a directory");
    let (one, other) = (counter("o", "a", ""), counter("o", "b", ""));
    let once = keyed(write(&one, Field::Views, 3), "key", None);
    let store = open(EmbeddedOptions::new(home.path()));
    let old_base = store.base();
    applied(&store, once.clone()).await;
    drop(store);
    let store = open(EmbeddedOptions { new_epoch: true, ..EmbeddedOptions::new(home.path()) });
    let base = store.base();
    assert!(base > old_base + 1, "above all that the old epoch handed out");
    let state = stored(&store, &one).await.expect("it was counted").versioned;
    assert_eq!((state.version, state.counts.get(Field::Views)), (base, 3), "presented at the base");
    let repeat = applied(&store, once).await;
    assert!(repeat.replayed);
    assert_eq!(repeat.state.versioned, state);
    for counter in [one, other] {
        let next = applied(&store, write(&counter, Field::Views, 1)).await.state.versioned;
        assert_eq!(next.version, base + 1);
    }
}

#[tokio::test]
async fn a_wiped_directory_gives_a_higher_base() {
    let home = tempfile::tempdir().expect("a directory");
    let hands = Hands::new();
    let options = EmbeddedOptions { clock: hands.clock(), ..EmbeddedOptions::new(home.path().join("data")) };
    let counter = counter("", "a", "");
    let store = open(options.clone());
    assert_eq!(Some(store.base()), version::base_of_epoch(version::epoch_at(START / 1000)));
    let known = applied(&store, write(&counter, Field::Views, 9)).await.state.versioned;
    drop(store);
    std::fs::remove_dir_all(&options.dir).expect("the directory is wiped");
    hands.set(START + 1_000);
    let store = open(options);
    assert!(store.base() > known.version);
    assert_eq!(stored(&store, &counter).await, None);
}

#[tokio::test]
async fn a_key_lives_for_a_day() {
    let home = tempfile::tempdir().expect("a directory");
    let hands = Hands::new();
    let store = open(EmbeddedOptions { clock: hands.clock(), ..EmbeddedOptions::new(home.path()) });
    let counter = counter("o", "a", "");
    let once = keyed(write(&counter, Field::Views, 1), "key", None);
    let views = |applied: Applied| (applied.replayed, applied.state.versioned.counts.get(Field::Views));
    assert_eq!(views(applied(&store, once.clone()).await), (false, 1));
    hands.set(START + DAY - 1);
    assert_eq!(views(applied(&store, once.clone()).await), (true, 1));
    // The repeat was not a use of its own: the day counts from the first.
    hands.set(START + DAY);
    assert_eq!(views(applied(&store, once.clone()).await), (false, 2));
    hands.set(START + DAY + DAY - 1);
    assert_eq!(views(applied(&store, once).await), (true, 2));
}

#[tokio::test]
async fn a_clock_that_goes_backwards_forgets_no_key_and_takes_no_time_back() {
    let home = tempfile::tempdir().expect("a directory");
    let hands = Hands::new();
    let store = open(EmbeddedOptions { clock: hands.clock(), ..EmbeddedOptions::new(home.path()) });
    let counter = counter("o", "a", "");
    let once = keyed(write(&counter, Field::Views, 1), "key", None);
    let first = applied(&store, once.clone()).await.state;
    for back in [1, START - 1, START] {
        hands.set(START - back);
        assert!(applied(&store, once.clone()).await.replayed);
        let later = applied(&store, write(&counter, Field::Views, 1)).await.state.versioned;
        assert_eq!(later.committed_at, first.versioned.committed_at);
    }
    hands.set(START + 5);
    let later = applied(&store, write(&counter, Field::Views, 1)).await.state.versioned;
    assert_eq!(later.committed_at, START + 5);
}

#[tokio::test]
async fn keys_beyond_the_bound_are_refused_until_others_expire() {
    let home = tempfile::tempdir().expect("a directory");
    let hands = Hands::new();
    let store = open(EmbeddedOptions { clock: hands.clock(), keys: 3, ..EmbeddedOptions::new(home.path()) });
    let counter = counter("o", "a", "");
    let once = |key: &str| keyed(write(&counter, Field::Views, 1), key, None);
    let refused = keyed(write(&counter, Field::Likes, -1), "second", None);
    applied(&store, once("first")).await;
    assert!(matches!(apply(&store, refused.clone()).await, Err(Refusal::OutOfRange { replayed: false, .. })));
    hands.set(START + 1);
    // The bound also holds within one batch.
    let outcomes = store.apply(vec![once("third"), once("fourth"), write(&counter, Field::Views, 1)]).await;
    assert!(outcomes[0].is_ok() && unavailable(&outcomes[1]) && outcomes[2].is_ok(), "{outcomes:?}");
    assert!(applied(&store, once("first")).await.replayed, "live keys are still answered");
    assert!(matches!(apply(&store, refused).await, Err(Refusal::OutOfRange { replayed: true, .. })));
    assert!(unavailable(&apply(&store, once("fourth")).await));
    hands.set(START + DAY);
    let outcomes = store.apply(vec![once("fourth"), once("fifth"), once("sixth")]).await;
    assert!(outcomes[0].is_ok() && outcomes[1].is_ok() && unavailable(&outcomes[2]), "two had expired: {outcomes:?}");
    assert!(applied(&store, once("third")).await.replayed);
    let views = stored(&store, &counter).await.map(|state| state.versioned.counts.get(Field::Views));
    assert_eq!(views, Some(5), "first, third, the one without a key, fourth, fifth");
}

#[tokio::test]
async fn an_open_store_is_refused_to_others_until_it_is_closed() {
    let home = tempfile::tempdir().expect("a directory");
    let store = open(EmbeddedOptions::new(home.path()));
    applied(&store, write(&counter("", "a", ""), Field::Views, 1)).await;
    let Err(refused) = EmbeddedStore::open(EmbeddedOptions::new(home.path())) else { panic!("opened twice") };
    assert!(matches!(&refused, OpenError::InUse { path } if path.starts_with(home.path())));
    assert!(refused.to_string().contains("open in another process"), "{refused}");
    // A successor that waits gets it as soon as the first lets go.
    let options = EmbeddedOptions { lock_wait: Duration::from_secs(60), ..EmbeddedOptions::new(home.path()) };
    let successor = std::thread::spawn(move || open(options));
    store.close();
    let successor = successor.join().expect("the successor opens");
    assert!(unavailable(&apply(&store, write(&counter("", "a", ""), Field::Views, 1)).await), "closed for good");
    assert!(store.read(&[topic(&counter("", "a", ""))]).await.is_err());
    let next = applied(&successor, write(&counter("", "a", ""), Field::Views, 1)).await;
    assert_eq!(next.state.versioned.counts.get(Field::Views), 2);
}

/// A listener that holds the writer back until it is let go.
struct Gate(Mutex<Receiver<()>>, AtomicUsize);

impl Gate {
    fn new() -> (mpsc::Sender<()>, Arc<Gate>) {
        let (let_go, gate) = mpsc::channel();
        (let_go, Arc::new(Gate(Mutex::new(gate), AtomicUsize::new(0))))
    }

    async fn reached(&self) {
        let arrived = async {
            while self.1.load(Ordering::SeqCst) == 0 {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(60), arrived).await.expect("the writer announces");
    }
}

impl Announce for Gate {
    fn announce(&self, _: &[CounterState]) {
        self.1.fetch_add(1, Ordering::SeqCst);
        // Once the sender is gone, every announcement passes.
        let _ = self.0.lock().expect("one writer").recv();
    }
}

#[tokio::test]
async fn a_full_queue_refuses_and_a_caller_that_goes_away_loses_and_doubles_nothing() {
    let home = tempfile::tempdir().expect("a directory");
    let store = open(EmbeddedOptions { queued_writes: 3, ..EmbeddedOptions::new(home.path()) });
    let (let_go, gate) = Gate::new();
    assert!(store.announce_to(Arc::clone(&gate) as Arc<dyn Announce>));
    let counter = counter("o", "a", "");
    let one = || store.apply(vec![write(&counter, Field::Views, 1)]);
    assert!(one().now_or_never().is_none(), "queued, and the caller goes away");
    gate.reached().await;
    let mut waiting = vec![one(), one(), one()];
    for queued in &mut waiting {
        assert!(futures::poll!(queued).is_pending());
    }
    assert!(unavailable(&one().await[0]), "the queue is full");
    drop(waiting.pop());
    drop(let_go);
    for queued in waiting {
        assert!(queued.await[0].is_ok());
    }
    let views = stored(&store, &counter).await.map(|state| state.versioned.counts.get(Field::Views));
    assert_eq!(views, Some(4), "the first and three queued ones, two of them without their callers");
}

#[tokio::test]
async fn closing_finishes_what_is_queued() {
    let home = tempfile::tempdir().expect("a directory");
    let store = open(EmbeddedOptions { transaction_writes: 1, ..EmbeddedOptions::new(home.path()) });
    let (let_go, gate) = Gate::new();
    assert!(store.announce_to(Arc::clone(&gate) as Arc<dyn Announce>));
    let counter = counter("o", "a", "");
    let mut queued: Vec<_> = (0..20).map(|_| store.apply(vec![write(&counter, Field::Views, 1)])).collect();
    for one in &mut queued {
        assert!(futures::poll!(one).is_pending());
    }
    gate.reached().await;
    drop(let_go);
    store.close();
    for one in queued {
        assert!(one.await[0].is_ok());
    }
    drop(store);
    let store = open(EmbeddedOptions::new(home.path()));
    let views = stored(&store, &counter).await.map(|state| state.versioned.counts.get(Field::Views));
    assert_eq!(views, Some(20));
}

/// Where the process that is to be killed keeps its store; set only for that process.
const CHILD_DIR: &str = "ANALYTICS_TEST_KILLED_STORE";

/// The write of a number, the same in every process.
fn numbered(number: u64) -> Write {
    let counter = counter("o", &format!("content {}", number % 5), "");
    let increment = 1 + (number % 9) as i64;
    keyed(write(&counter, Field::ALL[(number % 4) as usize], increment), &format!("key {number}"), None)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_process_loses_nothing_it_acknowledged_and_doubles_nothing() {
    let home = tempfile::tempdir().expect("a directory");
    let mut acknowledged = 0;
    for round in 1..=3 {
        acknowledged = acknowledged.max(run_and_kill(home.path(), round * 400));
    }
    let store = open(EmbeddedOptions::new(home.path()));
    for number in 0..=acknowledged {
        assert!(applied(&store, numbered(number)).await.replayed, "write {number} was acknowledged");
    }
    // Whatever was under way when it was killed is settled by repeating it.
    let all = acknowledged + 200;
    for number in 0..all {
        applied(&store, numbered(number)).await;
    }
    for content in 0..5 {
        let mut expected = [0; 4];
        for number in (0..all).filter(|number| number % 5 == content) {
            expected[(number % 4) as usize] += 1 + number % 9;
        }
        let state = stored(&store, &numbered(content).counter).await.expect("it was counted");
        assert_eq!(state.versioned.counts.to_array(), expected);
        let changes = (0..all).filter(|number| number % 5 == content).count() as u64;
        assert_eq!(state.versioned.version, store.base() + changes);
    }
}

/// Runs the writing process until so many writes are acknowledged, kills it, and returns the last one acknowledged.
fn run_and_kill(dir: &Path, writes: u64) -> u64 {
    let (_, module) = module_path!().split_once("::").expect("a module within the crate");
    let mut child = Killed(
        Command::new(std::env::current_exe().expect("this test"))
            .args(["--exact", &format!("{module}::the_process_that_is_killed"), "--nocapture"])
            .env(CHILD_DIR, dir)
            .stdout(Stdio::piped())
            .spawn()
            .expect("the process starts"),
    );
    let output = BufReader::new(child.0.stdout.take().expect("a pipe"));
    let mut last = 0;
    for line in output.lines() {
        let line = line.expect("text");
        let Some(number) = line.strip_prefix("acknowledged ") else { continue };
        last = number.parse().expect("a number");
        if last >= writes {
            child.0.kill().expect("it is killed");
        }
    }
    assert!(last >= writes, "it ended by itself after {last}");
    last
}

struct Killed(Child);

impl Drop for Killed {
    fn drop(&mut self) {
        // It may be gone already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Not a test by itself: the body of the process that [`run_and_kill`] starts.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_process_that_is_killed() {
    let Some(dir) = std::env::var_os(CHILD_DIR) else { return };
    let store = Arc::new(open(EmbeddedOptions::new(dir)));
    // Eight at a time, so that the kill meets writes in every stage.
    for first in (0..100_000).step_by(8) {
        let tasks: Vec<_> = (first..first + 8)
            .map(|number| {
                let store = Arc::clone(&store);
                tokio::spawn(async move { applied(&*store, numbered(number)).await })
            })
            .collect();
        for (number, task) in (first..).zip(tasks) {
            task.await.expect("the write is applied");
            writeln!(std::io::stdout(), "acknowledged {number}").expect("the parent listens");
        }
    }
}
