//! The log of changes in NATS, followed by one ordered consumer. The rule: a change is announced, or everything watched
//! is read again; a gap is noticed by numbers and by silence, never guessed away.
//!
//! The consumer lives at the hub (its JetStream domain), so that a partition anywhere on the way falls silent here. It
//! is replaced, from the last sequence + 1, when the organizations watched become more, when a number is missing, when
//! not even a heartbeat came, or when the connection is a new one. Core subscriptions would lose changes unseen; so
//! would a consumer that the log overtakes, for its numbers have no hole: therefore the look at the log now and then.

mod delivery;

use std::collections::BTreeSet;
use std::convert::Infallible;
use std::fmt::Display;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use analytics_shared::Id;
use async_nats::jetstream::consumer::{AckPolicy, DeliverPolicy, push};
use async_nats::jetstream::stream::Info;
use async_nats::jetstream::{self, Context};
use async_nats::{Client, Subscriber};
use futures::StreamExt;
use lambda_trigger::changelog::Changelog;
use lambda_trigger::nats::NatsOptions;
use tokio::time::{Instant, sleep, timeout};

use super::{Feed, Reach};
use delivery::Delivery;

/// How often the server says that it is there when it has nothing else to say.
const HEARTBEAT: Duration = Duration::from_secs(1);

/// Silence after which the consumer counts as lost.
const SILENCE: Duration = Duration::from_millis(2500);

/// How long the server keeps a consumer that nobody listens to.
const ABANDONED: Duration = Duration::from_secs(10);

/// How often the place in the log is compared with what the log still has; far more often than the log forgets.
const LOOK: Duration = Duration::from_secs(20);

/// Messages announced at once.
const BATCH: usize = 512;

/// Between two tries; doubled up to [`MAX_PAUSE`].
const PAUSE: Duration = Duration::from_millis(50);
const MAX_PAUSE: Duration = Duration::from_secs(2);

/// Follows the log for a feed.
pub(crate) struct Follower {
    feed: Arc<Feed>,
    client: Client,
    jetstream: Context,
    log: Changelog,
    base: u64,
    place: Option<Place>,
}

/// How far the log was announced.
#[derive(Debug, Clone, PartialEq)]
struct Place {
    /// When the stream was created: tells it from another one of the same name.
    created: String,
    /// The last sequence whose changes are announced, as far as they concern this feed.
    sequence: u64,
}

/// A consumer that was just made.
struct Listening {
    messages: Subscriber,
    consumer: Consumer,
    /// The connection that it was made over.
    connection: u64,
    /// Where it begins after.
    place: Place,
    /// Changes may have been dropped between what was announced and there.
    missed: bool,
    /// The stream's last sequence, after the consumer was made.
    seen: u64,
}

type Consumer = jetstream::consumer::Consumer<push::Config>;

/// Why a consumer is replaced.
#[derive(Debug, thiserror::Error)]
enum Ended {
    /// More organizations are watched than it carries.
    #[error("more organizations are watched")]
    Grown,
    /// It was lost, or could not be made.
    #[error("{0}")]
    Lost(String),
}

impl Feed {
    /// Announces what the log says, until dropped. `base` is the store's.
    pub(crate) async fn follow_nats(self: Arc<Self>, nats: NatsOptions, log: Changelog, base: u64) -> Infallible {
        let client = loop {
            match nats.connect().await {
                Ok(client) => break client,
                Err(error) => tracing::error!(%error, "the log of changes cannot be followed; trying again"),
            }
            sleep(MAX_PAUSE).await;
        };
        let jetstream = nats.jetstream(client.clone());
        Follower { feed: self, client, jetstream, log, base, place: None }.run().await
    }
}

impl Follower {
    async fn run(mut self) -> Infallible {
        let mut pause = PAUSE;
        loop {
            let began = Instant::now();
            match self.follow().await {
                Ended::Grown => tracing::debug!("more organizations are watched"),
                Ended::Lost(reason) => {
                    if self.feed.stream_is_cut() {
                        tracing::warn!(reason, "the log of changes is cut; trying again");
                    } else {
                        tracing::debug!(reason, "the log of changes is still cut");
                    }
                    pause = if began.elapsed() > MAX_PAUSE * 2 { PAUSE } else { (pause * 2).min(MAX_PAUSE) };
                    sleep(pause.mul_f64(0.5 + fastrand::f64() / 2.0)).await;
                }
            }
        }
    }

    /// One consumer, from its creation to its end.
    async fn follow(&mut self) -> Ended {
        let reach = self.feed.plan();
        let Listening { messages, mut consumer, connection, place, missed, mut seen } = match self.listen(&reach).await
        {
            Ok(listening) => listening,
            Err(ended) => return ended,
        };
        self.place = Some(place);
        self.feed.cover(reach);
        if missed {
            tracing::warn!("changes may have been missed; reading everything watched anew");
            self.feed.reread();
        }
        if self.feed.stream_is_there() {
            tracing::info!(stream = self.log.stream, "following the log of changes");
        }
        let mut messages = messages.ready_chunks(BATCH);
        let mut delivery = Delivery::default();
        let mut look = Instant::now() + LOOK;
        loop {
            let batch = tokio::select! {
                batch = timeout(SILENCE, messages.next()) => batch,
                () = self.feed.uncovered() => return Ended::Grown,
            };
            let batch = match batch {
                Ok(Some(batch)) => batch,
                Ok(None) => return Ended::Lost("the subscription ended".to_owned()),
                Err(_) => return Ended::Lost("not even a heartbeat came".to_owned()),
            };
            // What came before a gap is announced all the same.
            let (taken, answers) = delivery.take(batch, &self.log);
            self.announce(&mut delivery);
            for answer in answers {
                if let Err(error) = self.client.publish(answer, Vec::new().into()).await {
                    return lost(error);
                }
            }
            if let Err(gap) = taken {
                return Ended::Lost(gap);
            }
            if connection != self.connection() {
                return Ended::Lost("the connection was lost in between".to_owned());
            }
            if Instant::now() >= look {
                look = Instant::now() + LOOK;
                match self.look(&mut consumer, delivery.last_consumer(), &mut seen).await {
                    Ok(()) => {}
                    Err(ended) => return ended,
                }
            }
        }
    }

    /// Which connection of the client this is.
    fn connection(&self) -> u64 {
        self.client.statistics().connects.load(Ordering::Relaxed)
    }

    /// Makes a consumer that goes on where the log was left.
    async fn listen(&self, reach: &Reach) -> Result<Listening, Ended> {
        let before = self.stream().await?;
        let connection = self.connection();
        let (place, missed) = resume(self.place.as_ref(), &before);
        let inbox = self.client.new_inbox();
        // The subscription first: a consumer begins to deliver as soon as it is made.
        let messages = self.client.subscribe(inbox.clone()).await.map_err(lost)?;
        let config = self.consumer(reach, inbox, place.sequence + 1);
        let consumer = self.jetstream.create_consumer_on_stream(config, &self.log.stream).await.map_err(lost)?;
        // Meanwhile the stream may have been replaced by another one, with other numbers, or have dropped more.
        let after = self.stream().await?;
        if after.created != before.created {
            return Err(Ended::Lost("the stream was replaced".to_owned()));
        }
        let missed = missed || after.state.first_sequence > place.sequence + 1;
        Ok(Listening { messages, consumer, connection, place, missed, seen: after.state.last_sequence })
    }

    fn announce(&mut self, delivery: &mut Delivery) {
        let states = delivery.take_states();
        if !states.is_empty() {
            self.feed.announce_streamed(states, self.base);
        }
        if let (Some(place), Some(sequence)) = (&mut self.place, delivery.last_sequence()) {
            place.sequence = place.sequence.max(sequence);
        }
    }

    /// Whether the log has dropped what was not delivered; if not, brings the place up to date although nothing came
    /// that concerns this feed: everything up to the last sequence of the look before this one has been delivered, if
    /// nothing is pending now. (The last sequence of this look may be ahead of what the consumer's own server has.)
    async fn look(&mut self, consumer: &mut Consumer, last_consumer: u64, seen: &mut u64) -> Result<(), Ended> {
        let stream = self.stream().await?;
        let info = consumer.info().await.map_err(lost)?;
        let is_current = info.num_pending == 0 && info.delivered.consumer_sequence == last_consumer;
        if let Some(place) = &mut self.place {
            if place.created != stream.created.to_string() {
                return Err(Ended::Lost("the stream was replaced".to_owned()));
            }
            if stream.state.first_sequence > place.sequence + 1 {
                return Err(Ended::Lost("the log has dropped changes before they came".to_owned()));
            }
            if is_current {
                place.sequence = place.sequence.max(*seen);
            }
        }
        *seen = stream.state.last_sequence;
        Ok(())
    }

    async fn stream(&self) -> Result<Info, Ended> {
        let stream = self.jetstream.get_stream(&self.log.stream).await.map_err(lost)?;
        Ok(stream.cached_info().clone())
    }

    fn consumer(&self, reach: &Reach, deliver_subject: String, start_sequence: u64) -> push::Config {
        let filter_subjects = match reach {
            Reach::Everything => vec![self.log.everything()],
            Reach::Organizations(organizations) => self.filters(organizations),
        };
        push::Config {
            deliver_subject,
            description: Some("a proxy's ordered consumer".to_owned()),
            filter_subjects,
            deliver_policy: DeliverPolicy::ByStartSequence { start_sequence },
            ack_policy: AckPolicy::None,
            max_deliver: 1,
            flow_control: true,
            idle_heartbeat: HEARTBEAT,
            inactive_threshold: ABANDONED,
            memory_storage: true,
            num_replicas: 1,
            ..push::Config::default()
        }
    }

    fn filters(&self, organizations: &BTreeSet<Id>) -> Vec<String> {
        let organizations = std::iter::once(None).chain(organizations.iter().map(Some));
        organizations.map(|organization| self.log.of_organization(organization)).collect()
    }
}

/// Where to go on in a stream, and whether changes were missed on the way there.
fn resume(place: Option<&Place>, stream: &Info) -> (Place, bool) {
    let created = stream.created.to_string();
    let (first, last) = (stream.state.first_sequence, stream.state.last_sequence);
    match place {
        // Nothing was read yet, so there is nothing to miss.
        None => (Place { created, sequence: last }, false),
        Some(place) if place.created != created || place.sequence > last => (Place { created, sequence: last }, true),
        Some(place) => (place.clone(), first > place.sequence + 1),
    }
}

fn lost(error: impl Display) -> Ended {
    Ended::Lost(error.to_string())
}
