//! Trying again. The rule: every loop that repeats a request asks a [`Patience`] first, which ends by number of
//! attempts and by time, whichever comes first.

use std::time::Duration;

use tokio::time::{Instant, sleep};

/// The longest pause after the first attempt; doubled after each up to [`MAX_PAUSE`]. Each pause is a random part of
/// it, so that callers that met once do not meet again.
const FIRST_PAUSE: Duration = Duration::from_millis(20);
const MAX_PAUSE: Duration = Duration::from_millis(500);

/// What bounds a request's repetition.
#[derive(Debug, Clone, Copy)]
pub(super) struct Limits {
    /// How long one attempt may take.
    pub(super) attempt: Duration,
    /// How many there may be.
    pub(super) attempts: u32,
}

/// The time of one attempt.
#[derive(Debug, Clone, Copy)]
pub(super) struct Attempt {
    /// How long it may take.
    pub(super) time: Duration,
    /// When the call that it belongs to must have ended.
    pub(super) deadline: Instant,
}

impl Attempt {
    /// When it must have ended if it begins now.
    pub(super) fn end(&self) -> Instant {
        self.deadline.min(Instant::now() + self.time)
    }
}

/// How long a caller still waits for one request.
#[derive(Debug)]
pub(super) struct Patience {
    limits: Limits,
    deadline: Instant,
    left: u32,
    pause: Duration,
}

impl Patience {
    /// For a request of a call that must have ended at the deadline.
    pub(super) fn new(limits: Limits, deadline: Instant) -> Patience {
        Patience { limits, deadline, left: limits.attempts, pause: FIRST_PAUSE }
    }

    /// The next attempt; `None` when there is none left.
    pub(super) fn next(&mut self) -> Option<Attempt> {
        if Instant::now() >= self.deadline {
            return None;
        }
        self.left = self.left.checked_sub(1)?;
        Some(Attempt { time: self.limits.attempt, deadline: self.deadline })
    }

    /// Waits before another attempt.
    pub(super) async fn pause(&mut self) {
        if self.left == 0 {
            return;
        }
        let pause = self.pause.mul_f64(fastrand::f64());
        self.pause = (self.pause * 2).min(MAX_PAUSE);
        sleep(pause.min(self.deadline.saturating_duration_since(Instant::now()))).await;
    }

    /// For the next request of the same call: all attempts again, the same deadline.
    pub(super) fn renewed(&self) -> Patience {
        Patience::new(self.limits, self.deadline)
    }
}
