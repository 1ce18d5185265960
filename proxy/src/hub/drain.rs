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
    /// Connections that were open then, and how many of them were closed since.
    open: usize,
    closed: usize,
    /// Places below this one were looked at.
    next: u32,
}

impl Hub {
    /// Closes the connections whose time has come.
    pub(super) fn drain_turn(&mut self) {
        if let Some(over) = self.mailbox.take_drain() {
            self.drain_over(over);
        }
        let Some(drain) = &self.drain else { return };
        self.drain_part(drain.began.elapsed().as_secs_f64() / drain.over.as_secs_f64().max(f64::MIN_POSITIVE));
    }

    /// Begins the end.
    pub(super) fn drain_over(&mut self, over: Duration) {
        let open = self.connections.iter().filter(|(_, connection)| connection.phase == Phase::Open).count();
        self.drain = Some(Drain { began: Instant::now(), over, open, closed: 0, next: 0 });
    }

    /// Closes what is to be closed when this part of the time is over.
    pub(super) fn drain_part(&mut self, part: f64) {
        let places = self.connections.places() as u32;
        let Some(drain) = &mut self.drain else { return };
        let due = if part < 1.0 {
            (drain.open as f64 * part) as usize
        } else {
            // All of them, those too that were taken behind the front.
            drain.next = 0;
            usize::MAX
        };
        // From the first place to the last. It is connections that are counted: after a crowd has left, those that stayed
        // may all be near to one another.
        let (mut place, mut closed) = (drain.next, drain.closed);
        while closed < due && place < places {
            if self.connections.get(place).is_some_and(|connection| connection.phase == Phase::Open) {
                let delay = fastrand::u64(0..=RETRY_AFTER.as_millis() as u64);
                self.close(place, CloseCode::Restart, &format!("retry-after={delay}"));
                closed += 1;
            }
            place += 1;
        }
        if let Some(drain) = &mut self.drain {
            (drain.next, drain.closed) = (place, closed);
        }
    }

    /// Drained, and nobody is left or on the way.
    pub(super) fn is_done(&self) -> bool {
        self.drain.as_ref().is_some_and(|drain| drain.began.elapsed() >= drain.over)
            && self.connections.len() == 0
            && !self.mailbox.expects()
    }
}

#[cfg(test)]
mod tests {
    use super::super::stage::Stage;
    use super::*;

    /// Promise: connections end evenly however many more there once were.
    #[test]
    fn those_who_stayed_of_a_crowd_end_evenly() {
        let mut stage = Stage::set(false);
        let mut crowd: Vec<_> = (0..100).map(|_| stage.connect(Vec::new(), None).1).collect();
        let stayed = crowd.split_off(90);
        drop(crowd);
        stage.settle();
        let open = |stage: &Stage| stage.hub.connections.iter().filter(|(_, one)| one.phase == Phase::Open).count();
        assert_eq!(open(&stage), stayed.len());
        stage.hub.drain_over(Duration::from_secs(1000));
        for (part, left) in [(0.05, 10), (0.5, 5), (0.5, 5), (0.9, 1), (1.0, 0)] {
            stage.hub.drain_part(part);
            assert_eq!(open(&stage), left, "when {part} of the time is over");
        }
    }
}
