//! Who of several processes reads. The rule: the holder stops by its own clock before the server lets go of the lease,
//! so that two hold it only if a clock runs wrongly, and then versions still sort out what both publish.
//!
//! The lease is one entry of a NATS bucket whose entries live for [`LIFETIME`]. It is taken by creating the entry, and
//! renewed by updating the revision that the holder wrote last.

use std::time::Duration;

use async_nats::jetstream::{Context, kv};
use tokio::time::{Instant, sleep, sleep_until, timeout_at};

use super::places::bucket;
use crate::changelog::Changelog;

/// How long a holder that fell silent keeps the others waiting.
pub const LIFETIME: Duration = Duration::from_secs(10);

/// How long a holder trusts a renewal, from before it was asked for.
const TRUSTED: Duration = Duration::from_secs(7);

/// Between two renewals, and between two tries to get it.
const RENEWAL: Duration = Duration::from_secs(2);

const KEY: &str = "reader";

/// The right to read, until it is lost or released.
#[derive(Debug)]
pub struct Lease {
    store: kv::Store,
    owner: String,
    revision: u64,
    trusted_until: Instant,
}

impl Lease {
    /// Waits until nobody else holds the lease of a log, and takes it. `owner` tells holders apart in the server's
    /// bucket, for a person.
    ///
    /// # Errors
    /// The bucket is out of reach: a text for a person. Worth trying again.
    pub async fn take(jetstream: &Context, log: &Changelog, replicas: usize, owner: &str) -> Result<Lease, String> {
        let config = kv::Config {
            bucket: format!("{}-lease", log.name),
            description: "which stream-relay reads".to_owned(),
            history: 1,
            max_age: LIFETIME,
            num_replicas: replicas,
            ..kv::Config::default()
        };
        let store = bucket(jetstream, config).await?;
        let mut waits = false;
        loop {
            let asked = Instant::now();
            match store.create(KEY, owner.to_owned().into()).await {
                Ok(revision) => {
                    let owner = owner.to_owned();
                    return Ok(Lease { store, owner, revision, trusted_until: asked + TRUSTED });
                }
                Err(error) if error.kind() == kv::CreateErrorKind::AlreadyExists => {
                    if !std::mem::replace(&mut waits, true) {
                        tracing::info!("another process reads the stream; waiting to take over");
                    }
                }
                Err(error) => return Err(error.to_string()),
            }
            sleep(RENEWAL.mul_f64(0.5 + fastrand::f64() / 2.0)).await;
        }
    }

    /// Renews the lease until it is lost, and answers why.
    pub async fn hold(&mut self) -> String {
        loop {
            sleep_until((Instant::now() + RENEWAL).min(self.trusted_until)).await;
            let asked = Instant::now();
            let renewal = self.store.update(KEY, self.owner.clone().into(), self.revision);
            match timeout_at(self.trusted_until, renewal).await {
                Ok(Ok(revision)) => (self.revision, self.trusted_until) = (revision, asked + TRUSTED),
                Ok(Err(error)) if error.kind() == kv::UpdateErrorKind::WrongLastRevision => {
                    return "it was taken by another process, or the server forgot it".to_owned();
                }
                Ok(Err(error)) if Instant::now() >= self.trusted_until => return error.to_string(),
                Ok(Err(error)) => tracing::warn!(%error, "the lease cannot be renewed; trying again"),
                Err(_) => return "it could not be renewed in time".to_owned(),
            }
        }
    }

    /// Lets the next process go on at once.
    pub async fn release(self) {
        // If this fails, the lease runs out by itself.
        let _ = self.store.delete_expect_revision(KEY, Some(self.revision)).await;
    }
}
