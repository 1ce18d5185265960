//! DynamoDB Streams read directly, for a single proxy. The rule: it begins with what is committed from now on, for
//! everything else is read from the store.

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use analytics_shared::CounterState;
use async_trait::async_trait;
use lambda_trigger::streams::{Forgetful, ShardSource, Sink, SinkError, Start, StreamReader};

use super::{Feed, Reach};

impl Feed {
    /// Announces what the stream says, until dropped. `base` is the store's.
    pub(crate) async fn follow_dynamodb(self: Arc<Self>, source: Arc<dyn ShardSource>, base: u64) -> Infallible {
        let sink = Arc::new(IntoFeed { feed: self, base });
        StreamReader::new(source, Arc::new(Forgetful), sink, Start::Newest).run().await
    }
}

struct IntoFeed {
    feed: Arc<Feed>,
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
        self.feed.cut.store(false, Ordering::Relaxed);
        self.feed.cover(Reach::Everything);
    }
}
