//! What the store does when its disk fails, shown on a file that fails when told to. The rule: whatever fails, an
//! answer claims no more than is known, and once the disk works again so does the store, with every key and count.

use std::fs::OpenOptions;
use std::io;
use std::ops::Bound;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use analytics_shared::{Counter, CounterState, Field, Id, Scope, Topic};
use lambda_trigger::store::{Announce, CounterStore, Outcome, Refusal, Write, WriteKey};
use redb::backends::FileBackend;
use redb::{BackendError, Database, DatabaseError, StorageBackend};

use super::{EmbeddedOptions, EmbeddedStore, file};

const WORKS: u8 = 0;
const FAILS_TO_SYNC: u8 = 1;
const FAILS_TO_READ: u8 = 2;
const FAILS: u8 = 3;

type Switch = Arc<AtomicU8>;

/// A file that fails as its switch says.
#[derive(Debug)]
struct Faulty {
    file: FileBackend,
    switch: Switch,
}

impl Faulty {
    fn unless(&self, faults: &[u8]) -> io::Result<()> {
        let fails = faults.contains(&self.switch.load(Ordering::SeqCst));
        if fails { Err(io::Error::other("the disk is broken")) } else { Ok(()) }
    }
}

impl StorageBackend for Faulty {
    fn len(&self) -> io::Result<u64> {
        self.file.len()
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.unless(&[FAILS_TO_READ, FAILS])?;
        self.file.read(offset, out)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.file.set_len(len)
    }

    fn sync_data(&self) -> io::Result<()> {
        self.unless(&[FAILS_TO_SYNC, FAILS])?;
        self.file.sync_data()
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.unless(&[FAILS])?;
        self.file.write(offset, data)
    }

    fn close(&self) -> io::Result<()> {
        self.file.close()
    }

    fn try_lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<bool, BackendError> {
        self.file.try_lock_range(start, end)
    }

    fn unlock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<(), BackendError> {
        self.file.unlock_range(start, end)
    }
}

/// A store on a faulty file, and what it announced.
struct Bench {
    store: EmbeddedStore,
    switch: Switch,
    announced: Arc<Announced>,
    path: PathBuf,
    _home: tempfile::TempDir,
}

#[derive(Default)]
struct Announced(Mutex<Vec<CounterState>>);

impl Announced {
    fn newest(&self) -> Option<CounterState> {
        self.0.lock().expect("no announcement panicked").last().cloned()
    }
}

impl Announce for Announced {
    fn announce(&self, states: &[CounterState]) {
        self.0.lock().expect("no announcement panicked").extend_from_slice(states);
    }
}

impl Bench {
    fn new() -> Bench {
        let home = tempfile::tempdir().expect("a directory");
        // Without a cache every read reaches the file, so that reads can fail.
        let options = EmbeddedOptions { cache_bytes: 0, ..EmbeddedOptions::new(home.path()) };
        let (path, opened) = file::open(&options).expect("the store opens");
        let base = opened.base;
        drop(opened);
        let switch = Switch::default();
        let (on, named) = (Arc::clone(&switch), path.clone());
        let open = move || -> Result<Database, DatabaseError> {
            let file = FileBackend::new(OpenOptions::new().read(true).write(true).open(&named)?)?;
            Database::builder().set_cache_size(0).create_with_backend(Faulty { file, switch: Arc::clone(&on) })
        };
        let opened = file::Opened { database: open().expect("it opens"), base };
        let store = EmbeddedStore::over(opened, Box::new(open), options);
        let announced = Arc::new(Announced::default());
        assert!(store.announce_to(Arc::clone(&announced) as Arc<dyn Announce>));
        Bench { store, switch, announced, path, _home: home }
    }

    fn disk(&self, state: u8) {
        self.switch.store(state, Ordering::SeqCst);
    }

    async fn apply(&self, key: &str) -> Outcome {
        let key = Some(WriteKey { key: Arc::from(key), member: None });
        let write = Write { counter: counter(), field: Field::Views, increment: 1, key };
        self.store.apply(vec![write]).await.remove(0)
    }

    /// Applies until the store works again: a file that could not be opened is left alone for a while.
    async fn apply_when_it_works(&self, key: &str) -> CounterState {
        let deadline = Instant::now() + Duration::from_secs(60);
        loop {
            match self.apply(key).await {
                Ok(applied) => return applied.state,
                Err(Refusal::Unavailable { .. }) if Instant::now() < deadline => {
                    tokio::time::sleep(Duration::from_millis(10)).await;
                }
                Err(refusal) => panic!("{refusal}"),
            }
        }
    }

    async fn read(&self) -> Option<CounterState> {
        let topics = [Topic { content: counter().content().clone(), scope: Scope::public() }];
        self.store.read(&topics).await.expect("the store is readable").pop()
    }
}

fn counter() -> Counter {
    Counter::new(Id::new("a").expect("an id"), Scope::public())
}

fn views(state: &CounterState) -> u64 {
    state.versioned.counts.get(Field::Views)
}

#[test]
fn opening_starts_no_thread() {
    let home = tempfile::tempdir().expect("a directory");
    let store = EmbeddedStore::open(EmbeddedOptions::new(home.path())).expect("the store opens");
    assert!(store.writer.0.get().is_none() && store.reader.0.get().is_none());
}

#[tokio::test]
async fn a_commit_that_fails_is_unknown_and_settled_by_its_key() {
    let bench = Bench::new();
    bench.apply("first").await.expect("the disk works");
    bench.disk(FAILS_TO_SYNC);
    assert!(matches!(bench.apply("second").await, Err(Refusal::OutcomeUnknown(_))));
    bench.disk(WORKS);
    let settled = bench.apply_when_it_works("second").await;
    assert_eq!(views(&settled), 2, "counted once, whether the failed commit held or not");
    assert_eq!(bench.announced.newest(), Some(settled.clone()), "and announced either way");
    assert_eq!(bench.read().await, Some(settled));
}

#[tokio::test]
async fn a_failure_before_the_commit_applied_nothing() {
    let bench = Bench::new();
    let first = bench.apply("first").await.expect("the disk works").state;
    bench.disk(FAILS_TO_READ);
    let (one, two, three) = tokio::join!(bench.apply("second"), bench.apply("third"), bench.apply("fourth"));
    for outcome in [one, two, three] {
        assert!(matches!(outcome, Err(Refusal::Unavailable { .. })), "{outcome:?}");
    }
    bench.disk(WORKS);
    // A read opens the file again just as a write does.
    let deadline = Instant::now() + Duration::from_secs(60);
    let topics = [Topic { content: counter().content().clone(), scope: Scope::public() }];
    while bench.store.read(&topics).await.is_err() && Instant::now() < deadline {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert_eq!(bench.read().await, Some(first));
    assert_eq!(views(&bench.apply_when_it_works("second").await), 2);
}

#[tokio::test]
async fn a_dead_disk_refuses_everything_and_loses_nothing() {
    let bench = Bench::new();
    bench.apply("first").await.expect("the disk works");
    bench.disk(FAILS);
    for attempt in 0..20 {
        let refused = bench.apply(&format!("in vain {attempt}")).await;
        assert!(matches!(refused, Err(Refusal::OutcomeUnknown(_) | Refusal::Unavailable { .. })), "{refused:?}");
    }
    bench.disk(WORKS);
    for key in ["first", "second"] {
        bench.apply_when_it_works(key).await;
    }
    // Nothing of what was refused as unavailable counts; the one commit that failed may.
    let state = bench.read().await.expect("it was counted");
    assert!((2..=3).contains(&views(&state)), "{state:?}");
    assert_eq!(bench.announced.newest(), Some(state));
}

#[tokio::test]
async fn a_file_that_was_replaced_meanwhile_is_not_taken_for_the_old_one() {
    let bench = Bench::new();
    bench.apply("first").await.expect("the disk works");
    bench.disk(FAILS_TO_SYNC);
    assert!(matches!(bench.apply("second").await, Err(Refusal::OutcomeUnknown(_))));
    let elsewhere = tempfile::tempdir().expect("a directory");
    let other = EmbeddedOptions { clock: Arc::new(|| 2_000_000_000_000), ..EmbeddedOptions::new(elsewhere.path()) };
    let (path, opened) = file::open(&other).expect("another store opens");
    drop(opened);
    std::fs::copy(path, &bench.path).expect("the file is replaced");
    bench.disk(WORKS);
    let deadline = Instant::now() + Duration::from_secs(60);
    loop {
        match bench.apply("third").await {
            Err(Refusal::Unavailable { reason, .. }) if reason.contains("was replaced") => return,
            refused => assert!(refused.is_err() && Instant::now() < deadline, "{refused:?}"),
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}
