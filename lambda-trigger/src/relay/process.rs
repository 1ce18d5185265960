//! The poller's life. The rule: it reads only while it holds the lease, and begins anew with whatever it finds: a
//! server without the stream, without buckets, or without itself.

use std::convert::Infallible;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_nats::Client;
use tokio::time::sleep;

use super::lease::Lease;
use super::places::Places;
use super::publisher::Publisher;
use crate::changelog::{Bounds, Changelog, ChangelogError};
use crate::nats::{ConnectError, NatsOptions};
use crate::streams::{Gauges, ShardSource, Start, StreamReader};

/// Between two lines in the log that say how reading goes.
const REPORT: Duration = Duration::from_secs(60);

/// Between two tries to begin.
const PAUSE: Duration = Duration::from_secs(1);

/// What a relay needs to know.
#[derive(Debug, Clone)]
pub struct RelayOptions {
    /// Where the log is.
    pub nats: NatsOptions,
    /// The log.
    pub log: Changelog,
    /// How large the log is made if there is none.
    pub bounds: Bounds,
    /// Tells this process apart from others.
    pub owner: String,
}

/// A relay as a process. Cloning shares it.
#[derive(Clone)]
pub struct Relay(Arc<Inner>);

struct Inner {
    options: RelayOptions,
    client: Client,
    source: Arc<dyn ShardSource>,
    places: Arc<Places>,
    gauges: Mutex<Option<Arc<Gauges>>>,
}

impl Relay {
    /// A relay from a source. Waits neither for NATS nor for DynamoDB.
    ///
    /// # Errors
    /// [`ConnectError`]: nothing that time would heal.
    pub async fn new(options: RelayOptions, source: Arc<dyn ShardSource>) -> Result<Relay, ConnectError> {
        let client = options.nats.connect().await?;
        let jetstream = options.nats.jetstream(client.clone());
        let places = Arc::new(Places::new(jetstream, &options.log, options.bounds.replicas));
        Ok(Relay(Arc::new(Inner { options, client, source, places, gauges: Mutex::default() })))
    }

    /// Relays until `stop` is done, then lets the next process go on at once.
    pub async fn run_until(&self, stop: impl Future<Output = ()>) {
        tokio::pin!(stop);
        loop {
            match self.term(&mut stop).await {
                Ok(true) => return,
                Ok(false) => {}
                Err(error) => tracing::warn!(error, "the relay cannot begin; trying again"),
            }
            tokio::select! {
                () = sleep(PAUSE) => {}
                () = &mut stop => return,
            }
        }
    }

    /// How reading goes; `None` while another process reads.
    pub fn gauges(&self) -> Option<Arc<Gauges>> {
        self.0.gauges.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// From taking the lease to losing it (`false`) or to `stop` (`true`).
    async fn term(&self, stop: impl Future<Output = ()>) -> Result<bool, String> {
        let Inner { options, client, source, places, gauges } = &*self.0;
        let jetstream = options.nats.jetstream(client.clone());
        let publisher = Publisher::new(jetstream.clone(), options.log.clone(), options.bounds);
        tokio::pin!(stop);
        let ensured = tokio::select! {
            ensured = publisher.ensure() => ensured,
            () = &mut stop => return Ok(true),
        };
        ensured.map_err(|error| match error {
            ChangelogError::Unfit { .. } => format!("{error}; a person has to look at it"),
            ChangelogError::Unreachable { .. } => error.to_string(),
        })?;
        let mut lease = tokio::select! {
            lease = Lease::take(&jetstream, &options.log, options.bounds.replicas, &options.owner) => lease?,
            () = &mut stop => return Ok(true),
        };
        tracing::info!(owner = options.owner, "this process reads the stream");
        let reader = StreamReader::new(source.clone(), places.clone(), Arc::new(publisher), Start::Oldest);
        let show = |shown| *gauges.lock().unwrap_or_else(PoisonError::into_inner) = shown;
        show(Some(reader.gauges()));
        let stopped = tokio::select! {
            reason = lease.hold() => {
                tracing::warn!(reason, "this process lost the lease and stops reading");
                false
            }
            never = reader.run() => match never {},
            never = report(reader.gauges()) => match never {},
            () = &mut stop => true,
        };
        show(None);
        // What was read is dropped with the reader: whoever reads next goes on from the places.
        drop(reader);
        if stopped {
            lease.release().await;
        }
        Ok(stopped)
    }
}

/// Says in the log how reading goes, for alarms on lag and on what was lost.
async fn report(gauges: Arc<Gauges>) -> Infallible {
    loop {
        sleep(REPORT).await;
        tracing::info!(
            shards = gauges.shards(),
            records = gauges.records(),
            published = gauges.delivered(),
            refused = gauges.refused(),
            unreadable = gauges.unreadable(),
            gaps = gauges.gaps(),
            lag_ms = gauges.lag().as_millis() as u64,
            "relaying"
        );
    }
}
