//! Reads everything that is watched again, slowly. The rule: whatever was lost anywhere between the store and here, even
//! unseen, is healed within one round.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, MissedTickBehavior, interval};

use super::{Feed, lock};

/// Between two steps.
const STEP: Duration = Duration::from_millis(250);

/// Reads that may wait already when a step adds its own: a store that is behind gets no more to do.
const QUEUED: usize = 256;

/// How fast a sweep goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Pace {
    /// A round takes this long,
    pub(crate) round: Duration,
    /// or longer, if it would read more topics per second than this.
    pub(crate) topics_per_second: u32,
}

impl Feed {
    /// Sweeps until dropped.
    pub(crate) async fn sweep(self: Arc<Self>, pace: Pace) {
        let mut steps = interval(STEP);
        steps.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let share = STEP.as_secs_f64() / pace.round.as_secs_f64();
        let most = (f64::from(pace.topics_per_second) * STEP.as_secs_f64()).ceil() as usize;
        let (mut place, mut pending) = (usize::MAX, Vec::new());
        let mut began = Instant::now();
        // Contents that are due, of which a step is often only a part.
        let mut due = 0.0;
        loop {
            steps.tick().await;
            if lock(&self.reads).len() > QUEUED {
                continue;
            }
            if pending.len() < most {
                let (topics, next) = {
                    let routing = lock(&self.routing);
                    due += routing.interest.contents() as f64 * share;
                    routing.interest.before(place, due as usize)
                };
                due = due.fract();
                pending.extend(topics);
                place = next;
            }
            self.read(pending.drain(..pending.len().min(most)).collect());
            if place == 0 && pending.is_empty() {
                if began.elapsed() > pace.round * 2 {
                    tracing::warn!(took = ?began.elapsed(), "there is more watched than one round can read again");
                }
                (place, began) = (usize::MAX, Instant::now());
            }
        }
    }
}
