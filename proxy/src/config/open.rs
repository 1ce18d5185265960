//! From valid settings to a store. The rule: nothing here can be wrong for a bad value any more, only for what the
//! machine or the network says.

use std::sync::Arc;

use anyhow::Context;
use aws_config::BehaviorVersion;
use lambda_trigger::dynamodb::{DynamoClient, DynamoOptions, DynamoPresence, DynamoStore};
use lambda_trigger::streams::DynamoDbStreams;
use lambda_trigger::{CounterStore, Presence};

use super::{Changes, Storage};
use crate::FeedSource;
use crate::store::{EmbeddedOptions, EmbeddedStore};

/// A store, open.
pub struct Opened {
    /// The store.
    pub store: Arc<dyn CounterStore>,
    /// How its changes come here.
    pub feed: FeedSource,
    /// Where the other proxies over the same store are.
    pub presence: Option<Arc<dyn Presence>>,
    /// Where counters are kept, for the log.
    pub what: String,
    /// To be called when nothing uses the store any more. Whatever was acknowledged is durable without it.
    pub close: Box<dyn FnOnce()>,
}

impl Storage {
    /// Opens the store. DynamoDB is not asked for anything yet: an edge starts without it, and says that it is degraded.
    ///
    /// # Errors
    /// A sentence that names what cannot be opened.
    pub fn open(self) -> anyhow::Result<Opened> {
        match self {
            Storage::Embedded { data_dir, new_epoch } => {
                let what = data_dir.display().to_string();
                let store = EmbeddedStore::open(EmbeddedOptions { new_epoch, ..EmbeddedOptions::new(&data_dir) })
                    .context("the store of ANALYTICS_DATA_DIR cannot be opened")?;
                let store = Arc::new(store);
                let close = store.clone();
                let close: Box<dyn FnOnce()> = Box::new(move || close.close());
                Ok(Opened { store, feed: FeedSource::Embedded, presence: None, what, close })
            }
            Storage::DynamoDb { tables, epoch, changes } => {
                let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
                let aws = runtime.block_on(aws_config::load_defaults(BehaviorVersion::latest()));
                let what = tables.counters().to_owned();
                let feed = match changes {
                    Changes::Nats { nats, log } => FeedSource::Nats { nats, log },
                    Changes::Streams => FeedSource::DynamoDbStreams(Arc::new(DynamoDbStreams::new(&aws, what.clone()))),
                };
                let options = DynamoOptions { epoch, ..DynamoOptions::new(tables) };
                let client = DynamoClient::new(&aws);
                let presence = Arc::new(DynamoPresence::new(client.clone(), &options));
                let store = Arc::new(DynamoStore::new(client, options)?);
                Ok(Opened { store, feed, presence: Some(presence), what, close: Box::new(|| {}) })
            }
        }
    }
}
