//! What the host runs. The rule: threads are started here and nowhere else, because Pingora forks to daemonise
//! before its services start.

use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use pingora::server::ShutdownWatch;
use pingora::services::background::{BackgroundService, background_service};
use pingora::services::{ServiceReadyNotifier, ServiceWithDependents};

use super::{Edge, Inner, simulation};
use crate::feed::{Feed, FeedSource, HubEnd};
use crate::hub;

impl Edge {
    /// The services that the host's server must run. Its proxy service should depend on them
    /// (`ServiceHandle::add_dependency`): then no request comes before the edge is ready.
    pub fn services(self) -> Vec<Box<dyn ServiceWithDependents>> {
        let engine = Engine { inner: self.inner, ends: Mutex::new(self.ends) };
        vec![Box::new(background_service("live counts", engine))]
    }
}

/// Hubs, the feed's reader, the store's announcements, presence and the simulation.
struct Engine {
    inner: Arc<Inner>,
    ends: Mutex<Vec<HubEnd>>,
}

#[async_trait]
impl BackgroundService for Engine {
    async fn start_with_ready_notifier(&self, mut shutdown: ShutdownWatch, ready: ServiceReadyNotifier) {
        if let Err(error) = self.start_threads() {
            tracing::error!(%error, "the edge cannot start its threads");
            // Nothing that depends on this service would ever start, and nobody would know.
            std::process::exit(1);
        }
        // Calls are answered at once; upgrades are refused until the stream carries what would be watched.
        let streamed = !matches!(self.inner.source, FeedSource::Embedded);
        if !streamed {
            self.inner.enter_ready();
        }
        ready.notify_ready();
        let work = async {
            if streamed {
                self.inner.feed.first_covered().await;
                self.inner.enter_ready();
            }
            let simulate = async {
                if let Some(interval) = self.inner.simulation {
                    simulation::run(&self.inner, interval).await;
                }
            };
            let tell = async {
                if let Some(membership) = &self.inner.membership {
                    membership.beat_on().await;
                }
            };
            tokio::join!(simulate, tell);
            std::future::pending().await
        };
        tokio::select! {
            () = work => {}
            _ = shutdown.wait_for(|stopping| *stopping) => {}
        }
    }
}

impl Engine {
    fn start_threads(&self) -> std::io::Result<()> {
        let ends = std::mem::take(&mut *self.ends.lock().unwrap_or_else(PoisonError::into_inner));
        for (index, end) in ends.into_iter().enumerate() {
            let mailbox = self.inner.mailboxes[index].clone();
            // Detached: a hub ends by its drain, and its failure ends the process.
            hub::spawn(index, self.inner.settings.clone(), self.inner.feed.clone(), end, mailbox)?;
        }
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let inner = self.inner.clone();
        std::thread::Builder::new()
            .name("feed-reader".into())
            .spawn(move || inner.feed.read_on(&*inner.store, &runtime))?;
        let feed: Arc<Feed> = self.inner.feed.clone();
        if let FeedSource::Embedded = self.inner.source {
            if !self.inner.store.announce_to(feed) {
                tracing::error!("this store announces no changes; give the edge the stream that they travel by");
            }
            return Ok(());
        }
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let inner = self.inner.clone();
        std::thread::Builder::new().name("feed-stream".into()).spawn(move || {
            runtime.block_on(async {
                let base = inner.store.base();
                let sweep = feed.clone().sweep(inner.sweep);
                let follow = async {
                    match inner.source.clone() {
                        FeedSource::Embedded => std::future::pending().await,
                        FeedSource::Nats { nats, log } => feed.clone().follow_nats(nats, log, base).await,
                        FeedSource::DynamoDbStreams(source) => feed.clone().follow_dynamodb(source, base).await,
                    }
                };
                tokio::select! {
                    () = sweep => {}
                    never = follow => match never {},
                    () = feed.closed() => {}
                }
            })
        })?;
        Ok(())
    }
}
