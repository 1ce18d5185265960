//! A hub's time in ticks of 250 ms since it started: 4 bytes a deadline, 34 years. The rule: ticks come from the
//! monotonic clock; only what is said to clients comes from the wall clock.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// The length of a tick.
const TICK: Duration = Duration::from_millis(250);

/// Ticks in a second.
pub(super) const TICKS_PER_SECOND: u32 = 4;

/// A deadline that never comes.
pub(super) const NEVER: u32 = u32::MAX;

#[derive(Debug)]
pub(super) struct Clock {
    started: Instant,
}

impl Clock {
    pub(super) fn start() -> Clock {
        Clock { started: Instant::now() }
    }

    /// Ticks since the start.
    pub(super) fn now(&self) -> u32 {
        (self.started.elapsed().as_millis() / TICK.as_millis()) as u32
    }

    /// How long until the next tick.
    pub(super) fn until_next_tick(&self) -> Duration {
        let elapsed = self.started.elapsed();
        TICK - Duration::from_nanos((elapsed.as_nanos() % TICK.as_nanos()) as u64)
    }

    /// Ticks in a duration, rounded up, at least one.
    pub(super) fn ticks(duration: Duration) -> u32 {
        duration.as_millis().div_ceil(TICK.as_millis()).clamp(1, u128::from(NEVER) / 2) as u32
    }

    /// The length of a number of ticks.
    pub(super) fn duration(ticks: u32) -> Duration {
        TICK * ticks
    }

    /// The first tick that begins at or after a wall-clock time in milliseconds.
    pub(super) fn tick_at(&self, unix_ms: u64) -> u32 {
        let left = Duration::from_millis(unix_ms.saturating_sub(unix_millis()));
        Clock::ticks(self.started.elapsed().saturating_add(left))
    }
}

/// The wall clock in milliseconds since the Unix epoch.
pub(crate) fn unix_millis() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_millis() as u64
}
