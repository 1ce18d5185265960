//! The embedded counter store: one redb file, one writer thread, one reader thread. The rule: an answer is given only
//! after the commit that it speaks of, and a commit is announced before it is answered.
//!
//! ```text
//! apply ──▶ queue ──▶ writer: one transaction for all that wait ──▶ commit ──▶ announce ──▶ answer
//! read  ──▶ queue ──▶ reader: one transaction for all that wait ──────────────────────────▶ answer
//! ```
//!
//! | file | subject |
//! |---|---|
//! | `options` | where the store lives, and its limits |
//! | `file` | tables, format, epoch: opening |
//! | `handle` | the open database, and opening it again after a failure |
//! | `queue` | the bounded queue before each thread |
//! | `writer`, `reader` | the threads |
//! | `batch`, `keys` | the work of one transaction: counters, idempotency keys |
//! | `key`, `record` | bytes of keys and values |

mod batch;
mod file;
mod handle;
mod key;
mod keys;
mod options;
mod queue;
mod reader;
mod record;
mod writer;

#[cfg(test)]
mod damage;
#[cfg(test)]
mod faults;

use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use analytics_shared::{CounterState, Topic, version};
use async_trait::async_trait;
use lambda_trigger::store::{Announce, CounterStore, Outcome, Refusal, Unreadable, Write};
use once_cell::sync::OnceCell;
use tokio::sync::oneshot;

pub use file::OpenError;
pub use options::{Clock, EmbeddedOptions};

use batch::Rules;
use file::Opened;
use handle::{Handle, Reopen};
use queue::{Queue, Refused};
use writer::Writer;

/// When a refused write is worth sending again: a full queue is worked off within a second, and a file that failed
/// is tried again twice in one.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// The same when no idempotency key has room: keys expire by the minute at best.
const KEYS_RETRY_AFTER: Duration = Duration::from_secs(60);

/// A counter store in a file of this process.
///
/// Opening starts no thread, so a process may open it and then fork to become a daemon; the threads start with the
/// first use. The process that opened it must then leave without dropping it, as `exit` does. Dropping closes.
pub struct EmbeddedStore {
    shared: Arc<Shared>,
    writer: Worker,
    reader: Worker,
}

struct Shared {
    handle: Handle,
    base: u64,
    options: EmbeddedOptions,
    writes: Queue<writer::Request>,
    reads: Queue<reader::Request>,
    listener: OnceLock<Arc<dyn Announce>>,
}

impl EmbeddedStore {
    /// Opens the store in `options.dir`, creating it if there is none. Blocks on the disk, and for up to
    /// `options.lock_wait` on another process.
    ///
    /// # Errors
    /// [`OpenError`] names the file and what is wrong with it.
    pub fn open(options: EmbeddedOptions) -> Result<EmbeddedStore, OpenError> {
        let (path, opened) = file::open(&options)?;
        let cache_bytes = options.cache_bytes;
        Ok(EmbeddedStore::over(opened, Box::new(move || file::database(&path, cache_bytes)), options))
    }

    fn over(opened: Opened, reopen: Reopen, options: EmbeddedOptions) -> EmbeddedStore {
        let base = opened.base;
        let shared = Shared {
            handle: Handle::new(opened, reopen),
            base,
            writes: Queue::new(options.queued_writes),
            reads: Queue::new(options.queued_topics),
            listener: OnceLock::new(),
            options,
        };
        EmbeddedStore { shared: Arc::new(shared), writer: Worker::default(), reader: Worker::default() }
    }

    /// Takes no more work, finishes what is queued, closes the file for another process to open, and returns when
    /// that is done. Afterwards writes are refused as unavailable. Blocks; a second call does nothing.
    pub fn close(&self) {
        self.shared.writes.close();
        self.shared.reads.close();
        self.writer.join();
        self.reader.join();
        self.shared.handle.close();
    }

    /// Lets the second pass in which the epoch began: a file that is wiped and made anew within it would have the same
    /// base, and would not win over what clients remember of the first one.
    fn outlive_second(&self) {
        let now = (self.shared.options.clock)();
        if version::base_of_epoch(version::epoch_at(now / 1000)) == Some(self.shared.base) {
            thread::sleep(Duration::from_millis(1000 - now % 1000));
        }
    }

    fn start_writer(&self) -> Result<(), String> {
        let shared = Arc::clone(&self.shared);
        self.writer.start("store-writer", move || shared.write())
    }

    fn start_reader(&self) -> Result<(), String> {
        let shared = Arc::clone(&self.shared);
        self.reader.start("store-reader", move || shared.read())
    }

    fn submit(&self, writes: Vec<Write>) -> Result<oneshot::Receiver<Vec<Outcome>>, Refusal> {
        let unavailable = |reason: String| Refusal::Unavailable { reason, retry_after: RETRY_AFTER };
        self.start_writer().map_err(unavailable)?;
        let (answer, answered) = oneshot::channel();
        // An empty request takes its place, too: the queue is bounded whatever callers send.
        let weight = writes.len().max(1);
        let pushed = self.shared.writes.push(writer::Request { writes, answer }, weight);
        pushed.map_err(|refused| unavailable(why(refused).into()))?;
        Ok(answered)
    }
}

#[async_trait]
impl CounterStore for EmbeddedStore {
    fn base(&self) -> u64 {
        self.shared.base
    }

    /// Once polled, the writes are in the queue, and dropping the future takes nothing back.
    async fn apply(&self, writes: Vec<Write>) -> Vec<Outcome> {
        let count = writes.len();
        match self.submit(writes) {
            Ok(answered) => answered.await.unwrap_or_else(|_| vec![Err(writer_gone()); count]),
            Err(refusal) => vec![Err(refusal); count],
        }
    }

    async fn read(&self, topics: &[Topic]) -> Result<Vec<CounterState>, Unreadable> {
        self.start_reader().map_err(Unreadable)?;
        let (answer, answered) = oneshot::channel();
        let request = reader::Request { topics: topics.to_vec(), answer };
        self.shared.reads.push(request, topics.len().max(1)).map_err(|refused| Unreadable(why(refused).into()))?;
        answered.await.unwrap_or_else(|_| Err(Unreadable("the store's reader stopped".into())))
    }

    /// Blocks for up to a second after the file's epoch began.
    fn announce_to(&self, listener: Arc<dyn Announce>) -> bool {
        self.outlive_second();
        // First, so that nothing the writer commits goes unannounced.
        let taken = self.shared.listener.set(listener).is_ok();
        if let Err(error) = self.start_writer() {
            tracing::error!(error, "the first write tries again");
        }
        taken
    }
}

impl Drop for EmbeddedStore {
    fn drop(&mut self) {
        self.close();
    }
}

impl Shared {
    fn write(&self) {
        let writer = Writer {
            queue: &self.writes,
            handle: &self.handle,
            listener: &self.listener,
            clock: &self.options.clock,
            transaction_writes: self.options.transaction_writes,
            rules: Rules { base: self.base, keys: self.options.keys },
        };
        writer.run();
    }

    fn read(&self) {
        reader::run(&self.reads, &self.handle, self.base);
    }
}

/// A thread that starts with its first use.
#[derive(Default)]
struct Worker(OnceCell<Mutex<Option<JoinHandle<()>>>>);

impl Worker {
    fn start(&self, name: &str, run: impl FnOnce() + Send + 'static) -> Result<(), String> {
        let spawn = || thread::Builder::new().name(name.into()).spawn(run).map(|handle| Mutex::new(Some(handle)));
        self.0.get_or_try_init(spawn).map(|_| ()).map_err(|error| format!("thread {name} did not start: {error}"))
    }

    /// Waits for the thread to end, if it ever started.
    fn join(&self) {
        let Some(handle) = self.0.get() else { return };
        let Some(handle) = handle.lock().unwrap_or_else(PoisonError::into_inner).take() else { return };
        // A listener that held the last reference drops it on the writer's own thread, which cannot join itself.
        if handle.thread().id() != thread::current().id() && handle.join().is_err() {
            tracing::error!("a thread of the store had panicked");
        }
    }
}

fn why(refused: Refused) -> &'static str {
    match refused {
        Refused::Full => "too much is queued",
        Refused::Closed => "the store is closed",
    }
}

#[cold]
fn writer_gone() -> Refusal {
    Refusal::OutcomeUnknown("the store's writer stopped".into())
}
