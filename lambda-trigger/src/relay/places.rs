//! Places in shards, kept in a NATS bucket. The rule: of all places known for a shard the furthest one counts, for
//! each of them was true when it was written.
//!
//! An entry lives for two days: DynamoDB keeps records for one, so when an entry goes, the shard has nothing left that
//! it would still tell. What this process has kept itself, it also remembers: a server that lost its files does not
//! make it read a whole day again.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

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
    own: Mutex<Own>,
}

/// What this process has put into the bucket and when, for as long as it stays there.
#[derive(Debug, Default)]
struct Own(HashMap<ShardKey, (Place, Instant)>);

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
        let mut places = lock(&self.own).places();
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
        lock(&self.own).put(shard.clone(), place.clone(), Instant::now());
        let store = self.store().await?;
        let entry = Entry { stream: shard.stream.to_string(), shard: shard.shard.clone(), place: place.clone() };
        let value = serde_json::to_vec(&entry).map_err(|error| KeepError(error.to_string()))?;
        let key = format!("{}.{}", subject::token(&shard.stream), subject::token(&shard.shard));
        store.put(key, value.into()).await.map(drop).map_err(|error| self.failed(error))
    }
}

impl Own {
    fn places(&self) -> HashMap<ShardKey, Place> {
        self.0.iter().map(|(shard, (place, _))| (shard.clone(), place.clone())).collect()
    }

    fn put(&mut self, shard: ShardKey, place: Place, now: Instant) {
        self.0.retain(|_, (_, put)| now.saturating_duration_since(*put) < LIFETIME);
        self.0.insert(shard, (place, now));
    }
}

/// A bucket, created if there is none.
///
/// # Errors
/// It cannot be looked up or made, or its entries live for another time than the configuration's: a text for a person.
pub(super) async fn bucket(jetstream: &Context, config: kv::Config) -> Result<kv::Store, String> {
    let (name, max_age) = (config.bucket.clone(), config.max_age);
    let store = match jetstream.get_key_value(&name).await {
        Ok(store) => store,
        // Also when it merely was not found: creating it says what is wrong, and takes one that is equal.
        Err(_) => jetstream.create_key_value(config).await.map_err(|error| format!("the bucket {name}: {error}"))?,
    };
    let there = store.stream.cached_info().config.max_age;
    if there != max_age {
        return Err(format!("the bucket {name} has a max_age of {there:?}; it must be {max_age:?}"));
    }
    Ok(store)
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_bucket_has_let_go_is_not_remembered_either() {
        let key = |name: &str| ShardKey { stream: "s".into(), shard: name.into() };
        let (begun, mut own) = (Instant::now(), Own::default());
        own.put(key("ended"), Place::Finished, begun);
        own.put(key("live"), Place::After("1".into()), begun);
        own.put(key("live"), Place::After("2".into()), begun + LIFETIME / 2);
        assert_eq!(own.places().len(), 2);
        own.put(key("new"), Place::Oldest, begun + LIFETIME);
        let places = HashMap::from([(key("live"), Place::After("2".into())), (key("new"), Place::Oldest)]);
        assert_eq!(own.places(), places);
    }
}
