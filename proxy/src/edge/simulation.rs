//! Simulation: in development, plausible increments for what is watched. The rule: they go through the real handler,
//! so what is seen to work does work.

use std::time::Duration;

use analytics_shared::update::Update;
use analytics_shared::{Authority, Field, Topic};

use super::Inner;

/// Contents that move at once.
const TOPICS: usize = 32;

/// Counts for some of what is watched, once per interval.
pub(super) async fn run(inner: &Inner, interval: Duration) {
    let mut ticks = tokio::time::interval(interval);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Skip);
    ticks.tick().await;
    loop {
        ticks.tick().await;
        for topic in inner.feed.sample(TOPICS) {
            let Some(update) = plausible(&topic) else { continue };
            if let Err(error) = inner.handler.trigger(&Authority::unrestricted(), update, None).await {
                tracing::debug!(%error, "a simulated update was not counted");
            }
        }
    }
}

/// Mostly views, some likes, few shares and comments, as pages see them.
fn plausible(topic: &Topic) -> Option<Update> {
    let (field, most) = match fastrand::u8(..100) {
        0..70 => (Field::Views, 25),
        70..88 => (Field::Likes, 5),
        88..95 => (Field::Comments, 2),
        _ => (Field::Shares, 2),
    };
    let (organization, client) = (topic.scope.organization(), topic.scope.client());
    let increment = fastrand::i64(1..=most);
    let name = |id: &analytics_shared::Id| id.to_string();
    let (organization, client) = (organization.map(name), client.map(name));
    Update::new(topic.content.as_str(), field, increment, organization.as_deref(), client.as_deref()).ok()
}
