//! The usual reason for "nothing happens" in development: an update went to another organization or client than the ones
//! watched. The rule: it is said at most once a second, for a page that posts to the wrong scope does so in a loop.

use std::sync::Mutex;
use std::time::{Duration, Instant};

use analytics_shared::CounterState;

use super::interest::Interest;
use super::lock;

/// Between two hints.
const INTERVAL: Duration = Duration::from_secs(1);

/// When the last hint was given; `None` if none was.
#[derive(Debug, Default)]
pub(super) struct Hints(Mutex<Option<Instant>>);

impl Hints {
    /// An update that nobody sees: says so if its content is watched with other scopes.
    pub(super) fn unseen(&self, interest: &Interest, state: &CounterState) {
        let mut last = lock(&self.0);
        if last.is_some_and(|last| last.elapsed() < INTERVAL) {
            return;
        }
        let counter = &state.counter;
        let Some(watched) = interest.other_scopes(counter.content()) else { return };
        *last = Some(Instant::now());
        tracing::info!(
            content = %counter.content(),
            organization = counter.organization().map(tracing::field::display),
            client = counter.client().map(tracing::field::display),
            watched_by = %watched,
            "hint: nobody saw this update: its content is watched, but only with other scopes; subscribe with its \
             organizationId and clientId, or post with those that are watched"
        );
    }
}
