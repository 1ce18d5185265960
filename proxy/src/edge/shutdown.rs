//! The end. The rule: first the connections go, spread over the drain time, while the listener still answers; then
//! what is in flight finishes; only then may the server stop.

use std::time::Duration;

use async_trait::async_trait;
use pingora::server::{ShutdownSignal, ShutdownSignalWatch};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::time::{Instant, sleep};

use super::{EdgeHandle, Inner, Stage};

/// How long connections may linger after the last one was closed.
const LINGER: Duration = Duration::from_secs(6);

/// How long requests in flight may take to finish.
const FINISH: Duration = Duration::from_secs(10);

/// Between two looks at what is left.
const LOOK: Duration = Duration::from_millis(20);

pub(super) async fn drain(inner: &Inner, over: Duration) {
    inner.enter(Stage::Draining);
    let connections = inner.admission.open();
    tracing::info!(connections, seconds = over.as_secs_f64(), "draining");
    for mailbox in &inner.mailboxes {
        mailbox.drain(over);
    }
    let until = Instant::now() + over + LINGER;
    while inner.admission.open() > 0 && Instant::now() < until {
        sleep(LOOK).await;
    }
    inner.enter(Stage::Stopped);
    let until = Instant::now() + FINISH;
    while inner.in_flight.load(std::sync::atomic::Ordering::SeqCst) > 0 && Instant::now() < until {
        sleep(LOOK).await;
    }
    if let Some(membership) = &inner.membership {
        membership.leave().await;
    }
    inner.feed.close_reads();
    tracing::info!(left = inner.admission.open(), "drained");
}

/// Waits for a signal, drains, and then tells Pingora to end. Pingora would stop its listeners at once and sleep
/// through its grace period, so the server's `grace_period_seconds` is best 0.
pub(super) struct DrainFirst(pub(super) EdgeHandle);

#[async_trait]
impl ShutdownSignalWatch for DrainFirst {
    async fn recv(&self) -> ShutdownSignal {
        let inner = &self.0.inner;
        let mut terminate = signal(SignalKind::terminate());
        let mut interrupt = signal(SignalKind::interrupt());
        let mut quit = signal(SignalKind::quit());
        let over = tokio::select! {
            () = received(&mut terminate) => inner.drain,
            () = received(&mut quit) => inner.drain,
            () = received(&mut interrupt) => Duration::ZERO,
        };
        // A second signal does not wait.
        tokio::select! {
            () = drain(inner, over) => ShutdownSignal::GracefulTerminate,
            () = received(&mut terminate) => ShutdownSignal::FastShutdown,
            () = received(&mut interrupt) => ShutdownSignal::FastShutdown,
        }
    }
}

/// A signal came; never, if the system gave no way to learn of it.
async fn received(signal: &mut std::io::Result<Signal>) {
    match signal {
        Ok(signal) => {
            signal.recv().await;
        }
        Err(_) => std::future::pending().await,
    }
}
