//! Reads DynamoDB Streams. The rule: a record is handed over before its place is kept, its shard's parents before the
//! shard; so whatever breaks, records come twice or late, and none is passed over.
//!
//! Every image carries its counter's version, so repeats and reordering are harmless to whoever merges them.
//!
//! | file | subject |
//! |---|---|
//! | [`source`] | the calls to DynamoDB, and what their errors mean for a reader |
//! | [`image`] | from a record's image to a counter's state |
//! | `lineage` | which shards may be read now |
//! | `shard` | one shard, from its place to its end |
//! | [`progress`] | places, and where they are kept |
//! | [`gauges`] | what operators learn |

pub mod gauges;
pub mod image;
mod lineage;
pub mod progress;
mod shard;
pub mod source;

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use analytics_shared::CounterState;
use async_trait::async_trait;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, sleep_until, timeout_at};

pub use gauges::Gauges;
pub use progress::{Checkpoints, Forgetful, KeepError, Place};
pub use source::{DynamoDbStreams, Shard, ShardKey, ShardSource, SourceError};

use lineage::Lineage;
use shard::ShardReader;
pub(crate) use shard::newest;

/// Between two looks at the list of shards. A shard lives for some four hours, and its end asks for a look at once.
const DISCOVERY: Duration = Duration::from_secs(10);

/// Pages in hand at once, each at most 1 MB and 1 000 records: what bounds the memory, whatever the number of shards.
const PAGES_IN_HAND: usize = 16;

/// Between two tries of something that failed; doubled up to [`MAX_PAUSE`], with jitter.
const PAUSE: Duration = Duration::from_millis(100);
const MAX_PAUSE: Duration = Duration::from_secs(5);

/// Takes what the stream says.
#[async_trait]
pub trait Sink: Send + Sync + 'static {
    /// Takes the newest states of counters, each counter once. After an error the same states come again, all of
    /// them: nothing is read past them meanwhile.
    ///
    /// # Errors
    /// What is in the way, for a person; it is taken to heal with time.
    async fn take(&self, states: &[CounterState]) -> Result<(), SinkError>;

    /// Records were lost to the stream's age (24 h) before they could be read: only the store knows them.
    fn gap(&self) {}

    /// Every shard that was open when the reader began has been read once: with [`Start::Newest`], what is committed
    /// from now on will come. Said once.
    fn caught_up(&self) {}
}

/// The sink could not take states now.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct SinkError(pub String);

/// Where a reader begins that has no place in a shard.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Start {
    /// With the oldest record that DynamoDB still has.
    Oldest,
    /// With what is committed from now on; a shard that opens later is read whole.
    Newest,
}

/// Reads every shard of a table's streams into a sink.
pub struct StreamReader {
    source: Arc<dyn ShardSource>,
    checkpoints: Arc<dyn Checkpoints>,
    sink: Arc<dyn Sink>,
    gauges: Arc<Gauges>,
    start: Start,
}

impl StreamReader {
    /// A reader that goes on where the checkpoints say.
    pub fn new(
        source: Arc<dyn ShardSource>,
        checkpoints: Arc<dyn Checkpoints>,
        sink: Arc<dyn Sink>,
        start: Start,
    ) -> StreamReader {
        StreamReader { source, checkpoints, sink, gauges: Arc::default(), start }
    }

    /// How the reader is doing.
    pub fn gauges(&self) -> Arc<Gauges> {
        self.gauges.clone()
    }

    /// Reads until dropped. Dropping it loses nothing: what was not handed over and kept comes again.
    pub async fn run(&self) -> Infallible {
        let places = persist("the places in the stream cannot be read", || self.checkpoints.load()).await;
        let mut lineage = Lineage::new(places, self.start);
        // Dropping the set ends every task in it.
        let mut reading = JoinSet::new();
        let pages = Arc::new(Semaphore::new(PAGES_IN_HAND));
        let mut caught_up = Some(Arc::new(CaughtUp(self.sink.clone())));
        loop {
            let listed = persist("the shards cannot be listed", || self.source.shards()).await;
            lineage.observe(&listed);
            self.gauges.retain(|key| lineage.is_read(key));
            self.begin(&mut lineage, &mut reading, &pages, caught_up.take());
            let next_look = Instant::now() + DISCOVERY;
            while let Ok(ended) = timeout_at(next_look, reading.join_next()).await {
                match ended {
                    Some(Ok(key)) => lineage.finish(&key),
                    Some(Err(failure)) => match failure.try_into_panic() {
                        Ok(panic) => std::panic::resume_unwind(panic),
                        Err(_) => continue,
                    },
                    None => sleep_until(next_look).await,
                }
                // The shards that come after one are often listed only once it has ended.
                if self.begin(&mut lineage, &mut reading, &pages, None) == 0 {
                    break;
                }
            }
        }
    }

    /// Starts to read what may be read; answers how many shards that are.
    fn begin(
        &self,
        lineage: &mut Lineage,
        reading: &mut JoinSet<ShardKey>,
        pages: &Arc<Semaphore>,
        caught_up: Option<Arc<CaughtUp>>,
    ) -> usize {
        let ready = lineage.ready();
        let count = ready.len();
        for (key, place) in ready {
            tracing::debug!(shard = %key.shard, ?place, "reading a shard");
            let shard = ShardReader {
                key,
                place,
                source: self.source.clone(),
                checkpoints: self.checkpoints.clone(),
                sink: self.sink.clone(),
                gauges: self.gauges.clone(),
                pages: pages.clone(),
                caught_up: caught_up.clone(),
                kept: true,
            };
            reading.spawn(shard.run());
        }
        count
    }
}

/// Tells the sink when the last shard that was open at the start has been read once.
struct CaughtUp(Arc<dyn Sink>);

impl Drop for CaughtUp {
    fn drop(&mut self) {
        self.0.caught_up();
    }
}

/// Pauses between tries.
struct Backoff(Duration);

impl Default for Backoff {
    fn default() -> Backoff {
        Backoff(PAUSE)
    }
}

impl Backoff {
    async fn pause(&mut self) {
        sleep(self.0.mul_f64(0.5 + fastrand::f64() / 2.0)).await;
        self.0 = (self.0 * 2).min(MAX_PAUSE);
    }
}

/// Tries until it succeeds; says once in a while that it does not.
async fn persist<T, E, F>(what: &str, mut attempt: impl FnMut() -> F) -> T
where
    E: std::fmt::Display,
    F: Future<Output = Result<T, E>>,
{
    let mut backoff = Backoff::default();
    loop {
        match attempt().await {
            Ok(value) => return value,
            Err(error) => tracing::warn!(%error, "{what}; trying again"),
        }
        backoff.pause().await;
    }
}
