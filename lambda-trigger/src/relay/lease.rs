//! Who of several processes reads. The rule: the holder stops by its own clock before the server lets go of the lease,
//! so that two hold it only if a clock runs wrongly, and then versions still sort out what both publish.
//!
//! The lease is one entry of a NATS bucket whose entries live for [`LIFETIME`]. It is taken by creating the entry, and
//! renewed by updating the revision that the holder wrote last. An answer that was lost on the way may have been a yes:
//! then the entry has the holder's own name, and is its own.

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

/// Between two tries of a renewal that failed.
const RETRY: Duration = Duration::from_millis(200);

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
    /// Waits until nobody else holds the lease of a log, and takes it. `owner` is this holder's name and nobody else's.
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
                    if let Some(revision) = own_revision(&store, owner).await {
                        // Whenever it was written, it is renewed before anything is read.
                        let mut lease = Lease { store, owner: owner.to_owned(), revision, trusted_until: asked };
                        lease.renew(asked + TRUSTED).await?;
                        return Ok(lease);
                    }
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
            if let Err(reason) = self.renew(self.trusted_until).await {
                return reason;
            }
        }
    }

    /// Renews the lease, trying until `deadline`; answers why it is lost.
    async fn renew(&mut self, deadline: Instant) -> Result<(), String> {
        loop {
            let asked = Instant::now();
            let renewal = self.store.update(KEY, self.owner.clone().into(), self.revision);
            let error = match timeout_at(deadline, renewal).await {
                Ok(Ok(revision)) => {
                    (self.revision, self.trusted_until) = (revision, asked + TRUSTED);
                    return Ok(());
                }
                Ok(Err(error)) => error,
                Err(_) => return Err("it could not be renewed in time".to_owned()),
            };
            if error.kind() == kv::UpdateErrorKind::WrongLastRevision {
                match timeout_at(deadline, own_revision(&self.store, &self.owner)).await {
                    Ok(Some(revision)) if revision != self.revision => self.revision = revision,
                    Ok(_) => return Err("it was taken by another process, or the server forgot it".to_owned()),
                    Err(_) => return Err("whose it is could not be found out in time".to_owned()),
                }
                continue;
            }
            if Instant::now() >= deadline {
                return Err(error.to_string());
            }
            tracing::warn!(%error, "the lease cannot be renewed; trying again");
            sleep_until((Instant::now() + RETRY).min(deadline)).await;
        }
    }

    /// Lets the next process go on at once.
    pub async fn release(self) {
        // If this fails, the lease runs out by itself.
        let _ = self.store.delete_expect_revision(KEY, Some(self.revision)).await;
    }
}

/// The revision of the lease if it is in this owner's name; `None` also if that cannot be found out.
async fn own_revision(store: &kv::Store, owner: &str) -> Option<u64> {
    let entry = store.entry(KEY).await.ok()??;
    (entry.operation == kv::Operation::Put && entry.value == owner.as_bytes()).then_some(entry.revision)
}
