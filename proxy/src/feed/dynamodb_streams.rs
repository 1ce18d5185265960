//! DynamoDB Streams read directly, for a single proxy. The rule: it begins with what is committed from now on, for
//! everything else is read from the store.

use std::convert::Infallible;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use analytics_shared::CounterState;
use async_trait::async_trait;
use lambda_trigger::streams::source::{Cursor, Page};
use lambda_trigger::streams::{
    Forgetful, Place, Shard, ShardKey, ShardSource, Sink, SinkError, SourceError, Start, StreamReader,
};

use super::{Feed, Reach, lock};

/// How long nothing may succeed before the stream counts as cut; a call that fails is tried again meanwhile.
const CUT: Duration = Duration::from_secs(3);

impl Feed {
    /// Announces what the stream says, until dropped. `base` is the store's.
    pub(crate) async fn follow_dynamodb(self: Arc<Self>, source: Arc<dyn ShardSource>, base: u64) -> Infallible {
        let line = Arc::new(Line {
            feed: self.clone(),
            source,
            caught_up: AtomicBool::new(false),
            succeeded: Mutex::new(Instant::now()),
        });
        let sink = Arc::new(IntoFeed { feed: self.clone(), line: line.clone(), base });
        let reader = StreamReader::new(line, Arc::new(Forgetful), sink, Start::Newest);
        // It is followed once in the life of a feed.
        let _ = self.shards.set(reader.gauges());
        reader.run().await
    }
}

struct IntoFeed {
    feed: Arc<Feed>,
    line: Arc<Line>,
    base: u64,
}

#[async_trait]
impl Sink for IntoFeed {
    async fn take(&self, states: &[CounterState]) -> Result<(), SinkError> {
        self.feed.announce_streamed(states.to_vec(), self.base);
        Ok(())
    }

    fn gap(&self) {
        self.feed.reread();
    }

    fn caught_up(&self) {
        self.line.caught_up.store(true, Ordering::Relaxed);
        self.feed.stream_is_there();
        self.feed.cover(Reach::Everything);
    }
}

/// The source, and whether anything comes through from it.
struct Line {
    feed: Arc<Feed>,
    source: Arc<dyn ShardSource>,
    /// Before that, the stream counts as cut anyway.
    caught_up: AtomicBool,
    succeeded: Mutex<Instant>,
}

impl Line {
    fn note<T>(&self, result: Result<T, SourceError>) -> Result<T, SourceError> {
        match &result {
            Err(SourceError::Failed(_) | SourceError::Throttled) => {
                let silent = lock(&self.succeeded).elapsed() > CUT;
                if silent && self.feed.stream_is_cut() {
                    tracing::warn!("the stream of changes is cut; trying again");
                }
            }
            _ => {
                *lock(&self.succeeded) = Instant::now();
                let was_cut = self.feed.cut.load(Ordering::Relaxed);
                if was_cut && self.caught_up.load(Ordering::Relaxed) && self.feed.stream_is_there() {
                    tracing::info!("following the stream of changes again");
                }
            }
        }
        result
    }
}

#[async_trait]
impl ShardSource for Line {
    async fn shards(&self) -> Result<Vec<Shard>, SourceError> {
        self.note(self.source.shards().await)
    }

    async fn cursor(&self, shard: &ShardKey, place: &Place) -> Result<Cursor, SourceError> {
        self.note(self.source.cursor(shard, place).await)
    }

    async fn read(&self, cursor: &Cursor) -> Result<Page, SourceError> {
        self.note(self.source.read(cursor).await)
    }
}
