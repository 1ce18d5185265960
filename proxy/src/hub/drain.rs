//! The end of a hub. The rule: connections are closed evenly over the drain time, each with a delay of its own, so
//! that their clients do not all come back at once.

use std::time::{Duration, Instant};

use analytics_shared::close::CloseCode;

use super::Hub;
use super::connection::Phase;

/// The longest delay that a client is asked for before it comes back.
const RETRY_AFTER: Duration = Duration::from_secs(5);

#[derive(Debug)]
pub(super) struct Drain {
    began: Instant,
    over: Duration,
    /// Places below this one were closed.
    next: u32,
}

impl Hub {
    /// Closes the connections whose time has come.
    pub(super) fn drain_turn(&mut self) {
        if let Some(over) = self.mailbox.take_drain() {
            self.drain = Some(Drain { began: Instant::now(), over, next: 0 });
        }
        let Some(drain) = &mut self.drain else { return };
        // Places are closed from the first to the last; when the time is over, all of them, those too that were
        // taken behind the front.
        let places = self.connections.places() as u32;
        let part = drain.began.elapsed().as_secs_f64() / drain.over.as_secs_f64().max(f64::MIN_POSITIVE);
        let (from, until) = if part < 1.0 { (drain.next, (f64::from(places) * part) as u32) } else { (0, places) };
        drain.next = until;
        for place in from..until {
            if self.connections.get(place).is_some_and(|connection| connection.phase == Phase::Open) {
                let delay = fastrand::u64(0..=RETRY_AFTER.as_millis() as u64);
                self.close(place, CloseCode::Restart, &format!("retry-after={delay}"));
            }
        }
    }

    /// Drained, and nobody is left or on the way.
    pub(super) fn is_done(&self) -> bool {
        self.drain.as_ref().is_some_and(|drain| drain.began.elapsed() >= drain.over)
            && self.connections.len() == 0
            && !self.mailbox.expects()
    }
}
