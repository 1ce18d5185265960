//! Thousands of subscribers on one epoll. The rule: a frame costs one read and one comparison, for a generator that
//! is dearer than the server measures itself.
//!
//! All subscribers of a topic receive the same bytes, so what was read is compared with what was understood last;
//! only bytes that differ are looked into. There is no task, timer or buffer per connection.

use std::io::ErrorKind;
use std::net::TcpStream;
use std::ops::Range;
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use rustix::buffer::spare_capacity;
use rustix::event::{Timespec, epoll};

use crate::delivery::Delivery;
use crate::dialect::{Dialect, Scope};
use crate::link::Link;
use crate::server::Front;
use crate::subscriber::{Stage, Subscriber, Topic};
use crate::update::Update;

/// Handshakes under way at once. More would leave memory in a server's allocator that idle connections do not need.
pub(crate) const HANDSHAKES: usize = 64;
/// Nothing at all for this long while something is awaited: it will not come.
pub(crate) const STALLED: Duration = Duration::from_secs(10);
/// The largest read.
const CHUNK: usize = 64 * 1024;
/// The token of the one socket that is not a subscriber.
const OUTSIDER: u64 = u64::MAX;

/// Subscribers, and one other socket that is awaited with them.
pub(crate) struct Swarm {
    front: Front,
    /// Whose counters the nth subscribes to, where that is not left out.
    scope: Option<fn(usize) -> Scope>,
    epoll: OwnedFd,
    events: Vec<epoll::Event>,
    chunk: Box<[u8]>,
    subscribers: Vec<Subscriber>,
    /// What they asked for, one after another, and where each one's ends; each one's is in the order of its ids.
    topics: Vec<Topic>,
    ends: Vec<usize>,
    /// Not yet subscribed.
    pending: usize,
    gone: usize,
    memo: Memo,
    /// The value of each topic when the measurement began.
    began: Vec<u64>,
    delivery: Delivery,
}

/// Bytes that were whole updates and nothing else, and those updates.
#[derive(Default)]
struct Memo {
    bytes: Vec<u8>,
    updates: Vec<Update>,
}

impl Swarm {
    /// No subscribers yet, of this server.
    pub(crate) fn new(front: &Front) -> Result<Swarm> {
        Ok(Swarm {
            front: front.clone(),
            scope: None,
            epoll: epoll::create(epoll::CreateFlags::CLOEXEC)?,
            events: Vec::with_capacity(1024),
            chunk: vec![0; CHUNK].into_boxed_slice(),
            subscribers: Vec::new(),
            topics: Vec::new(),
            ends: Vec::new(),
            pending: 0,
            gone: 0,
            memo: Memo::default(),
            began: Vec::new(),
            delivery: Delivery::new(&[]),
        })
    }

    /// The nth subscribes to the counters of a scope. Only the edge knows such.
    pub(crate) fn within(mut self, scope: fn(usize) -> Scope) -> Swarm {
        self.scope = Some(scope);
        self
    }

    /// Awaits one more socket; [`Swarm::turn`] tells when it is readable.
    pub(crate) fn await_also(&self, stream: &TcpStream) -> Result<()> {
        let token = epoll::EventData::new_u64(OUTSIDER);
        epoll::add(&self.epoll, stream, token, epoll::EventFlags::IN).context("awaiting a socket")
    }

    /// Connects until there are `count` subscribers, all of them confirmed, with at most so many handshakes under way.
    /// `ids` names what the nth subscribes to, as [`crate::content_id`]'s numbers.
    pub(crate) fn grow(
        &mut self,
        count: usize,
        handshakes: usize,
        ids: &mut dyn FnMut(usize) -> Vec<u32>,
    ) -> Result<()> {
        let mut progress = Instant::now();
        while self.subscribers.len() < count || self.pending > 0 {
            while self.subscribers.len() < count && self.pending < handshakes {
                let ids = ids(self.subscribers.len());
                self.connect(&ids)?;
            }
            let pending = self.pending;
            self.turn(Duration::from_millis(100))?;
            ensure!(self.gone == 0, "the server closed a connection that had just subscribed");
            if self.pending < pending {
                progress = Instant::now();
            }
            ensure!(progress.elapsed() < STALLED, "{} subscriptions were not confirmed", self.pending);
        }
        Ok(())
    }

    fn connect(&mut self, ids: &[u32]) -> Result<()> {
        let Front { address, dialect, tls } = &self.front;
        let link = Link::connect(*address, tls.as_ref())?;
        let token = epoll::EventData::new_u64(self.subscribers.len() as u64);
        epoll::add(&self.epoll, link.stream(), token, epoll::EventFlags::IN)?;
        let confirmations = dialect.confirmations(ids.len());
        let subscribe = match self.scope {
            None => dialect.subscribe(ids),
            Some(scope) => Dialect::subscribe_within(&scope(self.subscribers.len()), ids),
        };
        let stage = Stage::Upgrading { subscribe, confirmations };
        self.subscribers.push(Subscriber::begin(link, &dialect.upgrade(*address, ids), stage)?);
        self.pending += 1;
        let mut ids = ids.to_vec();
        ids.sort_unstable();
        self.topics.extend(ids.into_iter().map(|id| Topic { id, value: 0 }));
        self.ends.push(self.topics.len());
        Ok(())
    }

    /// Where the topics of a subscriber are.
    fn topics_of(&self, index: usize) -> Range<usize> {
        let from = index.checked_sub(1).map_or(0, |before| self.ends[before]);
        from..self.ends[index]
    }

    /// Begins a measurement: topics have these values (0 beyond the last), and what leads further is counted from now on.
    pub(crate) fn begin(&mut self, values: &[u64]) {
        self.delivery = Delivery::new(values);
        self.began = values.to_vec();
        for subscriber in &mut self.subscribers {
            subscriber.updates = 0;
        }
    }

    /// The deliveries of the measurement.
    pub(crate) fn delivery(&mut self) -> &mut Delivery {
        &mut self.delivery
    }

    /// How long an update's frame is, as last received.
    pub(crate) fn frame_bytes(&self) -> usize {
        self.memo.bytes.len() / self.memo.updates.len().max(1)
    }

    /// What is wrong when topics have these values now (0 beyond the last). Every subscriber should have the last value of
    /// each of its topics that was updated during the measurement, and, if `each_update`, have got every one of them.
    pub(crate) fn shortfall(&self, values: &[u64], each_update: bool) -> Option<String> {
        if self.gone > 0 {
            return Some(format!("connections that were closed: {}", self.gone));
        }
        let at = |values: &[u64], id: u32| values.get(id as usize).copied().unwrap_or(0);
        let (mut stale, mut short, mut expected) = (0, 0, 0);
        for (index, subscriber) in self.subscribers.iter().enumerate() {
            let (mut due, mut current) = (0, true);
            for topic in &self.topics[self.topics_of(index)] {
                let now = at(values, topic.id);
                let updates = now - at(&self.began, topic.id);
                due += updates;
                current &= updates == 0 || topic.value == now;
            }
            stale += usize::from(!current);
            short += usize::from(subscriber.updates != due);
            expected += due;
        }
        if stale > 0 {
            return Some(format!("subscribers without the last value: {stale}"));
        }
        (each_update && short > 0).then(|| format!("{} of {expected} frames", self.delivery.frames()))
    }

    /// Waits for input up to `patience`, takes it in, and says whether the other socket is readable.
    pub(crate) fn turn(&mut self, patience: Duration) -> Result<bool> {
        let patience = Timespec { tv_sec: patience.as_secs() as i64, tv_nsec: patience.subsec_nanos().into() };
        let mut events = std::mem::take(&mut self.events);
        events.clear();
        match epoll::wait(&self.epoll, spare_capacity(&mut events), Some(&patience)) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error).context("waiting for input"),
        }
        let mut outsider = false;
        for event in &events {
            match event.data.u64() {
                OUTSIDER => outsider = true,
                index => self.read(index as usize)?,
            }
        }
        self.events = events;
        Ok(outsider)
    }

    fn read(&mut self, index: usize) -> Result<()> {
        let own = self.topics_of(index);
        let Some(subscriber) = self.subscribers.get_mut(index) else { return Ok(()) };
        let bytes = match subscriber.link.read(&mut self.chunk) {
            Ok(0) => return self.lose(index),
            Ok(count) => &self.chunk[..count],
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => return Ok(()),
            Err(error) => {
                eprintln!("a subscriber's connection failed: {error}");
                return self.lose(index);
            }
        };
        let now = Instant::now();
        if bytes == self.memo.bytes && subscriber.is_between_frames() {
            let delivery = &mut self.delivery;
            return subscriber.note(&mut self.topics[own], &self.memo.updates, |update| delivery.record(update, now));
        }
        let taken = subscriber.take_in(self.front.dialect, bytes)?;
        let delivery = &mut self.delivery;
        subscriber.note(&mut self.topics[own], &taken.updates, |update| delivery.record(update, now))?;
        self.pending -= usize::from(taken.confirmed);
        if taken.updates_only {
            self.memo.bytes.clear();
            self.memo.bytes.extend_from_slice(bytes);
            self.memo.updates = taken.updates;
        }
        if taken.closed {
            return self.lose(index);
        }
        Ok(())
    }

    #[cold]
    fn lose(&mut self, index: usize) -> Result<()> {
        let subscriber = &mut self.subscribers[index];
        match subscriber.stage {
            Stage::Live => {}
            Stage::Gone => return Ok(()),
            _ => bail!("the server closed a connection during its handshake"),
        }
        subscriber.stage = Stage::Gone;
        self.gone += 1;
        epoll::delete(&self.epoll, subscriber.link.stream()).context("forgetting a connection")
    }
}
