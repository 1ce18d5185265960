//! Places in shards, kept in a NATS bucket. The rule: of all places known for a shard the furthest one counts, for
//! each of them was true when it was written.
//!
//! An entry lives for two days: DynamoDB keeps records for one, so when an entry goes, the shard has nothing left that
//! it would still tell. What this process has kept itself, it also remembers: a server that lost its files does not
//! make it read a whole day again.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_nats::jetstream::{Context, kv};
use async_trait::async_trait;
use futures::TryStreamExt;
use serde::{Deserialize, Serialize};

use crate::changelog::{Changelog, subject};
use crate::streams::{Checkpoints, KeepError, Place, ShardKey};

/// Twice what DynamoDB keeps records for.
const LIFETIME: Duration = Duration::from_secs(2 * 24 * 60 * 60);

/// The bucket, and what was put into it.
#[derive(Debug)]
pub struct Places {
    jetstream: Context,
    bucket: String,
    replicas: usize,
    store: Mutex<Option<kv::Store>>,
    own: Mutex<HashMap<ShardKey, Place>>,
}

/// An entry's value, in JSON.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Entry {
    stream: String,
    shard: String,
    place: Place,
}

impl Places {
    /// The bucket that belongs to a log.
    pub fn new(jetstream: Context, log: &Changelog, replicas: usize) -> Places {
        let bucket = format!("{}-places", log.name);
        Places { jetstream, bucket, replicas, store: Mutex::default(), own: Mutex::default() }
    }

    async fn store(&self) -> Result<kv::Store, KeepError> {
        if let Some(store) = lock(&self.store).clone() {
            return Ok(store);
        }
        let config = kv::Config {
            bucket: self.bucket.clone(),
            description: "how far stream-relay has read each shard".to_owned(),
            history: 1,
            max_age: LIFETIME,
            num_replicas: self.replicas,
            ..kv::Config::default()
        };
        let store = bucket(&self.jetstream, config).await.map_err(KeepError)?;
        *lock(&self.store) = Some(store.clone());
        Ok(store)
    }

    /// After a failure the bucket is looked up anew: it may have to be made again.
    fn failed(&self, error: impl std::fmt::Display) -> KeepError {
        *lock(&self.store) = None;
        KeepError(format!("the bucket {}: {error}", self.bucket))
    }
}

#[async_trait]
impl Checkpoints for Places {
    async fn load(&self) -> Result<HashMap<ShardKey, Place>, KeepError> {
        let store = self.store().await?;
        let mut places = lock(&self.own).clone();
        let mut keys = store.keys().await.map_err(|error| self.failed(error))?;
        while let Some(key) = keys.try_next().await.map_err(|error| self.failed(error))? {
            let Some(value) = store.get(&key).await.map_err(|error| self.failed(error))? else { continue };
            let Ok(Entry { stream, shard, place }) = serde_json::from_slice(&value) else {
                tracing::warn!(key, "an entry that is no place is left out");
                continue;
            };
            let key = ShardKey { stream: stream.into(), shard };
            let known = places.remove(&key);
            places.insert(key, known.map_or(place.clone(), |known| known.further(place)));
        }
        Ok(places)
    }

    async fn keep(&self, shard: &ShardKey, place: &Place) -> Result<(), KeepError> {
        lock(&self.own).insert(shard.clone(), place.clone());
        let store = self.store().await?;
        let entry = Entry { stream: shard.stream.to_string(), shard: shard.shard.clone(), place: place.clone() };
        let value = serde_json::to_vec(&entry).map_err(|error| KeepError(error.to_string()))?;
        let key = format!("{}.{}", subject::token(&shard.stream), subject::token(&shard.shard));
        store.put(key, value.into()).await.map(drop).map_err(|error| self.failed(error))
    }
}

/// A bucket, created if there is none.
pub(super) async fn bucket(jetstream: &Context, config: kv::Config) -> Result<kv::Store, String> {
    let name = config.bucket.clone();
    match jetstream.get_key_value(&name).await {
        Ok(store) => Ok(store),
        // Also when it merely was not found: creating it says what is wrong, and takes one that is equal.
        Err(_) => jetstream.create_key_value(config).await.map_err(|error| format!("the bucket {name}: {error}")),
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
