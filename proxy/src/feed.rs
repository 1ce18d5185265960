//! From committed changes to hubs. The rule: register first, read second; then nothing that was committed can pass
//! between the two unseen.
//!
//! One feed per process. It owns the interest (which hub watches what) and is, under one lock, the sole producer of
//! one bounded ring per hub. Changes and the results of reads travel through the same ring, so nothing overtakes
//! anything. A full ring loses nothing for good: it raises the hub's `resync`, and that hub has everything that it
//! watches read again.
//!
//! Where changes travel by a stream, "register" has a second half: the stream must carry the topic's organization
//! before the topic is read ([`coverage`]).
//!
//! | file | subject |
//! |---|---|
//! | `interest` | which hub watches what |
//! | `coverage` | which organizations the stream carries |
//! | `reads`, `reader` | what is to be read, and its reading |
//! | `sweep` | reads everything again, slowly |
//! | `nats`, `dynamodb_streams` | the streams |
//! | `doorbell` | wakes a hub |
//! | `health`, `hints` | how all of this is; why nothing seems to happen |

mod coverage;
mod doorbell;
mod dynamodb_streams;
mod health;
mod hints;
mod interest;
mod nats;
mod reader;
mod reads;
mod sweep;

use std::sync::atomic::{AtomicBool, Ordering, fence};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError};

use analytics_shared::{CounterState, Topic};
use lambda_trigger::Announce;
use lambda_trigger::changelog::Changelog;
use lambda_trigger::nats::NatsOptions;
use lambda_trigger::streams::{Gauges, ShardSource};
use tokio::sync::Notify;

use coverage::Coverage;
pub(crate) use coverage::Reach;
pub(crate) use doorbell::Doorbell;
use hints::Hints;
use interest::Interest;
pub(crate) use interest::{Departure, MAX_HUBS};
use reads::{Cause, Reads};
pub(crate) use sweep::Pace;

use crate::metrics::Metrics;

/// Items that a hub may be behind the stream by before it reads anew. Some 100 bytes each.
pub(crate) const RING: usize = 8192;

/// Organizations that a stream is filtered for; beyond, it is taken whole.
const MAX_FILTERED: usize = 100;

/// What travels in a ring.
#[derive(Debug, Clone)]
pub(crate) enum Item {
    /// A counter has this state.
    State(CounterState),
    /// The states before this one include all that the topic shows, as of a moment after the watch of this stamp.
    Loaded {
        /// What was read.
        topic: Topic,
        /// The last watch before the read began.
        stamp: u64,
    },
}

/// The hub's end of its ring.
pub(crate) type Changes = rtrb::Consumer<Item>;

/// What a hub gets of the feed.
pub(crate) type HubEnd = (Arc<Port>, Changes);

/// What a hub shares with the feed besides its ring.
#[derive(Debug)]
pub(crate) struct Port {
    pub(crate) doorbell: Doorbell,
    resync: AtomicBool,
}

impl Port {
    /// Whether changes were lost since the last call: the hub must have all that it watches read again.
    pub(crate) fn take_resync(&self) -> bool {
        self.wants_resync() && self.resync.swap(false, Ordering::SeqCst)
    }

    /// Whether [`Port::take_resync`] would say yes.
    pub(crate) fn wants_resync(&self) -> bool {
        self.resync.load(Ordering::Relaxed)
    }
}

/// How committed changes come to this process.
#[derive(Clone, Default)]
pub enum FeedSource {
    /// The store of this process hands them over.
    #[default]
    Embedded,
    /// By the log of changes in NATS JetStream.
    Nats {
        /// Where it is.
        nats: NatsOptions,
        /// Which one.
        log: Changelog,
    },
    /// By DynamoDB Streams, read directly. A shard has room for two readers: for a single proxy.
    DynamoDbStreams(Arc<dyn ShardSource>),
}

/// The feed; see the file's first lines.
pub(crate) struct Feed {
    ports: Vec<Arc<Port>>,
    routing: Mutex<Routing>,
    reads: Mutex<Reads>,
    reads_wanted: Condvar,
    /// Set while the store cannot be read.
    unreadable: AtomicBool,
    /// Set while the stream is cut.
    cut: AtomicBool,
    /// How the reading of shards goes, where shards are read.
    shards: OnceLock<Arc<Gauges>>,
    /// Something is watched that the stream does not carry.
    uncovered: Notify,
    /// The stream carries something for the first time.
    covered: Notify,
    closing: Notify,
    metrics: Metrics,
    hints: Option<Hints>,
}

struct Routing {
    interest: Interest,
    rings: Vec<rtrb::Producer<Item>>,
    /// Counts the calls of `watch`: tells a read that began after a watch from one that began before.
    stamp: u64,
    coverage: Coverage,
}

impl Feed {
    /// A feed for a number of hubs, and each hub's end of it. With `hints`, updates that nobody sees although their
    /// content is watched are mentioned in the log.
    ///
    /// A ring holds `ring` items; [`RING`] but in tests.
    pub(crate) fn new(
        hubs: usize,
        ring: usize,
        hints: bool,
        metrics: Metrics,
    ) -> std::io::Result<(Arc<Feed>, Vec<HubEnd>)> {
        let mut rings = Vec::new();
        let mut ends = Vec::new();
        for _ in 0..hubs {
            let (producer, consumer) = rtrb::RingBuffer::new(ring);
            rings.push(producer);
            ends.push((Arc::new(Port { doorbell: Doorbell::new()?, resync: AtomicBool::new(false) }), consumer));
        }
        let feed = Feed {
            ports: ends.iter().map(|(port, _)| port.clone()).collect(),
            routing: Mutex::new(Routing {
                interest: Interest::default(),
                rings,
                stamp: 0,
                coverage: Coverage::everything(),
            }),
            reads: Mutex::default(),
            reads_wanted: Condvar::new(),
            unreadable: AtomicBool::new(false),
            cut: AtomicBool::new(false),
            shards: OnceLock::new(),
            uncovered: Notify::new(),
            covered: Notify::new(),
            closing: Notify::new(),
            metrics,
            hints: hints.then(Hints::default),
        };
        Ok((Arc::new(feed), ends))
    }

    /// A hub starts to watch topics: their changes will come through its ring, and once they were read a
    /// [`Item::Loaded`] of the stamp that is answered, or a later one.
    pub(crate) fn watch(&self, hub: usize, topics: Vec<Topic>) -> u64 {
        let mut routing = lock(&self.routing);
        for topic in &topics {
            routing.interest.add(hub, topic);
        }
        routing.stamp += 1;
        self.read_watched(&mut routing, Cause::Watch, topics);
        routing.stamp
    }

    /// A hub no longer watches a topic.
    pub(crate) fn unwatch(&self, hub: usize, departures: &[Departure]) {
        let mut routing = lock(&self.routing);
        let Routing { interest, coverage, .. } = &mut *routing;
        for departure in departures {
            interest.remove(hub, departure);
            if interest.hubs_of(&departure.topic) == 0 {
                coverage.forget(&departure.topic);
                lock(&self.reads).cancel(&departure.topic);
            }
        }
    }

    /// Asks for watched topics to be read again, each as soon as the stream carries its changes; the states come to every
    /// hub that watches them.
    pub(crate) fn read(&self, mut topics: Vec<Topic>) {
        let mut routing = lock(&self.routing);
        topics.retain(|topic| routing.interest.hubs_of(topic) != 0);
        self.read_watched(&mut routing, Cause::Again, topics);
    }

    /// The same under the lock, so that no hub that leaves a topic meanwhile can cancel another one's read.
    fn read_watched(&self, routing: &mut Routing, cause: Cause, topics: Vec<Topic>) {
        let (covered, others) = routing.coverage.hold_back(topics);
        if !others.is_empty() {
            self.uncovered.notify_one();
        }
        self.queue(cause, covered);
        if self.cut.load(Ordering::SeqCst) {
            self.queue(cause, others);
        }
    }

    fn queue(&self, cause: Cause, topics: Vec<Topic>) {
        let mut reads = lock(&self.reads);
        topics.into_iter().for_each(|topic| reads.add(cause, topic));
        self.reads_wanted.notify_one();
    }

    /// Changes come by a stream: nothing is read before [`Feed::cover`]. Called before anything is watched.
    pub(crate) fn await_stream(&self) {
        lock(&self.routing).coverage = Coverage::nothing();
        self.cut.store(true, Ordering::SeqCst);
    }

    /// What a stream must carry now. What it carries besides may be let go: from here on that is not counted on.
    fn plan(&self) -> Reach {
        let mut routing = lock(&self.routing);
        let Routing { interest, coverage, .. } = &mut *routing;
        let reach = interest.organizations(MAX_FILTERED).map_or(Reach::Everything, Reach::Organizations);
        coverage.narrow(&reach);
        reach
    }

    /// Returns once something is watched that the stream does not carry.
    async fn uncovered(&self) {
        loop {
            // A call that comes before is kept, and what it was about may be carried by now.
            self.uncovered.notified().await;
            if lock(&self.routing).coverage.is_short() {
                return;
            }
        }
    }

    /// Every change within this reach that is committed from now on will be announced, or [`Feed::reread`] called.
    fn cover(&self, reach: Reach) {
        let mut routing = lock(&self.routing);
        let released = routing.coverage.cover(reach);
        self.queue(Cause::Watch, released);
        drop(routing);
        self.covered.notify_waiters();
    }

    /// Returns once a stream carries something, which is at once where there is none.
    pub(crate) async fn first_covered(&self) {
        loop {
            let covered = self.covered.notified();
            tokio::pin!(covered);
            // Enrolled before the look, so that nothing comes between them.
            covered.as_mut().enable();
            if lock(&self.routing).coverage.is_something() {
                return;
            }
            covered.await;
        }
    }

    /// Changes may have been lost: has every hub read all that it watches anew.
    fn reread(&self) {
        self.metrics.rereads.inc();
        for port in &self.ports {
            port.resync.store(true, Ordering::SeqCst);
        }
        self.ring(u64::MAX >> (64 - self.ports.len()));
    }

    /// Returns once the feed was closed.
    pub(crate) async fn closed(&self) {
        loop {
            let closing = self.closing.notified();
            tokio::pin!(closing);
            closing.as_mut().enable();
            if lock(&self.reads).closed {
                return;
            }
            closing.await;
        }
    }

    /// Announces what a stream carried. A version up to the store's base is from an earlier epoch: before a restore the
    /// counter had other values under the same numbers, so what still counts of them only the store can say.
    fn announce_streamed(&self, mut states: Vec<CounterState>, base: u64) {
        let count = states.len();
        states.retain(|state| state.versioned.version > base);
        self.note_earlier_epoch(count - states.len());
        self.announce(&states);
    }

    /// Topics that somebody watches, up to `limit` from a random start.
    pub(crate) fn sample(&self, limit: usize) -> Vec<Topic> {
        lock(&self.routing).interest.sample(limit)
    }

    /// Puts items into the rings of the hubs that watch them, in order; answers what found no room, from the first.
    /// With `lossy` a hub without room is told to have everything read anew instead.
    fn deliver(&self, mut items: Vec<Item>, lossy: bool) -> Vec<Item> {
        let mut touched = 0u64;
        let mut routing = lock(&self.routing);
        let Routing { interest, rings, .. } = &mut *routing;
        let full = |item: &Item| {
            let hubs = match item {
                Item::State(state) => interest.hubs(&state.counter),
                Item::Loaded { topic, .. } => interest.hubs_of(topic),
            };
            touched |= hubs;
            // An item that found room in some rings only comes again to all: states merge.
            each(hubs).any(|hub| rings[hub].push(item.clone()).is_err() && !(lossy && self.overflow(hub)))
        };
        let left = items.split_off(items.iter().position(full).unwrap_or(items.len()));
        drop(routing);
        self.ring(touched);
        left
    }

    /// A ring had no room. Answers `true`: the loss is taken care of.
    #[cold]
    fn overflow(&self, hub: usize) -> bool {
        self.metrics.overflows.inc();
        self.ports[hub].resync.store(true, Ordering::SeqCst);
        true
    }

    /// Wakes hubs after their rings were filled.
    fn ring(&self, hubs: u64) {
        // Orders the pushes before the look at who sleeps: see `Doorbell`.
        fence(Ordering::SeqCst);
        for hub in each(hubs) {
            self.ports[hub].doorbell.ring();
        }
    }
}

impl Announce for Feed {
    fn announce(&self, states: &[CounterState]) {
        self.metrics.updates.inc_by(states.len() as u64);
        self.note_lag(states);
        let mut touched = 0u64;
        let mut routing = lock(&self.routing);
        let Routing { interest, rings, .. } = &mut *routing;
        for state in states {
            let hubs = interest.hubs(&state.counter);
            if let (0, Some(hints)) = (hubs, &self.hints) {
                hints.unseen(interest, state);
            }
            touched |= hubs;
            for hub in each(hubs) {
                if rings[hub].push(Item::State(state.clone())).is_err() {
                    self.overflow(hub);
                }
            }
        }
        drop(routing);
        self.ring(touched);
    }
}

fn each(mut hubs: u64) -> impl Iterator<Item = usize> {
    std::iter::from_fn(move || {
        let hub = hubs.trailing_zeros();
        hubs &= hubs.wrapping_sub(1);
        (hub < u64::BITS).then_some(hub as usize)
    })
}

/// A panic while one of these locks is held aborts the process (the hubs' rule), so there is no poison to respect.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
