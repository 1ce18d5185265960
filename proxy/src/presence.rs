//! Tells the table of proxies how many sockets this one has open. The rule: it is a statistic, so it is told beside
//! everything else: nothing waits for it, and a table out of reach is a line in the log and no more.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use lambda_trigger::Presence;
use rustix::rand::{GetRandomFlags, getrandom};
use tokio::sync::Mutex;
use tokio::time::{MissedTickBehavior, interval, timeout};

use crate::admission::Admission;
use crate::metrics::Metrics;

/// Between two beats: two may be lost before the proxy stops counting.
const BEAT: Duration = Duration::from_secs(10);

/// How long the end of this process waits to be told to the others; untold, they learn it from its silence.
const LEAVE: Duration = Duration::from_secs(2);

/// This process's place in the table.
pub(crate) struct Membership {
    table: Arc<dyn Presence>,
    name: String,
    admission: Arc<Admission>,
    metrics: Metrics,
    /// Whether it has left; held while the table is written, so that no beat comes after the end was told.
    left: Mutex<bool>,
    failing: AtomicBool,
}

impl Membership {
    /// Tells nothing yet. An error is the system's, which had no random numbers.
    pub(crate) fn new(
        table: Arc<dyn Presence>,
        admission: Arc<Admission>,
        metrics: Metrics,
    ) -> std::io::Result<Membership> {
        let (left, failing) = (Mutex::new(false), AtomicBool::new(false));
        Ok(Membership { table, name: fresh_name()?, admission, metrics, left, failing })
    }

    /// The table.
    pub(crate) fn table(&self) -> &dyn Presence {
        &*self.table
    }

    /// Beats at once and from then on, until it has left.
    pub(crate) async fn beat_on(&self) {
        let mut beats = interval(BEAT);
        beats.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            beats.tick().await;
            let left = self.left.lock().await;
            if *left {
                return;
            }
            match self.table.beat(&self.name, self.admission.open() as u64).await {
                Ok(()) => {
                    if self.failing.swap(false, Ordering::Relaxed) {
                        tracing::info!("the other proxies are told of this one's connections again");
                    }
                }
                Err(error) => {
                    self.metrics.presence_failures.inc();
                    if !self.failing.swap(true, Ordering::Relaxed) {
                        tracing::warn!(%error, "the other proxies are not told of this one's connections; trying again");
                    }
                }
            }
        }
    }

    /// Tells that this proxy has ended, in bounded time.
    pub(crate) async fn leave(&self) {
        let leaving = async {
            let mut left = self.left.lock().await;
            *left = true;
            self.table.leave(&self.name).await
        };
        if !matches!(timeout(LEAVE, leaving).await, Ok(Ok(()))) {
            tracing::debug!("the other proxies were not told of this one's end");
        }
    }
}

/// A name that no other process has or guesses: 128 random bits.
fn fresh_name() -> std::io::Result<String> {
    let mut bytes = [0; 16];
    let mut filled = 0;
    while filled < bytes.len() {
        filled += getrandom(&mut bytes[filled..], GetRandomFlags::empty())?;
    }
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_new_each_time() {
        let (one, other) = (fresh_name().expect("random numbers"), fresh_name().expect("random numbers"));
        assert!(one.len() == 32 && other.len() == 32 && one != other);
    }
}
