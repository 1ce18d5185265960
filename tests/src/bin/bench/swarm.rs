//! Thousands of subscribers on one epoll. The rule: a frame costs one read and one comparison, for a generator that
//! is dearer than the server measures itself.
//!
//! All subscribers of a topic receive the same bytes, so what was read is compared with what was understood last;
//! only bytes that differ are parsed. There is no task, timer or buffer per connection.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use rustix::buffer::spare_capacity;
use rustix::event::{Timespec, epoll};

use crate::delivery::Delivery;
use crate::wire;

/// Handshakes under way at once. More would leave memory in a server's allocator that idle connections do not need.
const IN_FLIGHT: usize = 64;
/// Nothing at all for this long while something is awaited: it will not come.
pub(crate) const STALLED: Duration = Duration::from_secs(10);
/// The largest read.
const CHUNK: usize = 64 * 1024;
/// The token of the one socket that is not a subscriber.
const OUTSIDER: u64 = u64::MAX;

/// Subscribers, and one other socket that is awaited with them.
pub(crate) struct Swarm {
    epoll: OwnedFd,
    events: Vec<epoll::Event>,
    chunk: Box<[u8]>,
    subscribers: Vec<Subscriber>,
    /// Not yet subscribed.
    pending: usize,
    gone: usize,
    memo: Memo,
    delivery: Delivery,
}

struct Subscriber {
    stream: TcpStream,
    stage: Stage,
    /// The beginning of a frame whose end has not come.
    held: Vec<u8>,
    /// Updates since the measurement began, and the last value.
    updates: u64,
    last: u64,
}

enum Stage {
    /// The upgrade is not answered; then this `subscribe` goes out.
    Upgrading {
        subscribe: Vec<u8>,
    },
    Subscribing,
    Live,
    Gone,
}

/// Bytes that were whole updates and nothing else, and their values.
#[derive(Default)]
struct Memo {
    bytes: Vec<u8>,
    values: Vec<u64>,
}

impl Swarm {
    pub(crate) fn new() -> Result<Swarm> {
        Ok(Swarm {
            epoll: epoll::create(epoll::CreateFlags::CLOEXEC)?,
            events: Vec::with_capacity(1024),
            chunk: vec![0; CHUNK].into_boxed_slice(),
            subscribers: Vec::new(),
            pending: 0,
            gone: 0,
            memo: Memo::default(),
            delivery: Delivery::new(0),
        })
    }

    /// Awaits one more socket; [`Swarm::turn`] tells when it is readable.
    pub(crate) fn await_also(&self, stream: &TcpStream) -> Result<()> {
        let token = epoll::EventData::new_u64(OUTSIDER);
        epoll::add(&self.epoll, stream, token, epoll::EventFlags::IN).context("awaiting a socket")
    }

    /// Connects until there are `count` subscribers, all of them confirmed. `ids` names what the nth subscribes to.
    pub(crate) fn grow(
        &mut self,
        address: SocketAddr,
        count: usize,
        ids: &mut dyn FnMut(usize) -> Vec<String>,
    ) -> Result<()> {
        let mut progress = Instant::now();
        while self.subscribers.len() < count || self.pending > 0 {
            while self.subscribers.len() < count && self.pending < IN_FLIGHT {
                let ids = ids(self.subscribers.len());
                self.connect(address, &ids)?;
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

    fn connect(&mut self, address: SocketAddr, ids: &[String]) -> Result<()> {
        let subscribe = serde_json::json!({ "type": "subscribe", "contentIds": ids }).to_string();
        // Over loopback the kernel answers at once: a blocking connect costs no waiting.
        let mut stream = TcpStream::connect(address).context("connecting a subscriber")?;
        stream.set_nonblocking(true)?;
        stream.write_all(&wire::upgrade_request(&address.to_string()))?;
        let token = epoll::EventData::new_u64(self.subscribers.len() as u64);
        epoll::add(&self.epoll, &stream, token, epoll::EventFlags::IN)?;
        let stage = Stage::Upgrading { subscribe: wire::masked(wire::TEXT, subscribe.as_bytes()) };
        self.subscribers.push(Subscriber { stream, stage, held: Vec::new(), updates: 0, last: 0 });
        self.pending += 1;
        Ok(())
    }

    /// Begins a measurement: what is counted from now on starts with the update to value `from`.
    pub(crate) fn begin(&mut self, from: u64) {
        self.delivery = Delivery::new(from);
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
        self.memo.bytes.len() / self.memo.values.len().max(1)
    }

    /// What is wrong after every subscriber should have had `updates` updates, the last with value `last`.
    pub(crate) fn shortfall(&self, updates: u64, last: u64) -> Option<String> {
        if self.gone > 0 {
            return Some(format!("connections that were closed: {}", self.gone));
        }
        let stale = self.subscribers.iter().filter(|subscriber| subscriber.last != last).count();
        if stale > 0 {
            return Some(format!("subscribers without the last value: {stale}"));
        }
        let expected = updates * self.subscribers.len() as u64;
        let short = self.subscribers.iter().filter(|subscriber| subscriber.updates != updates).count();
        (short > 0).then(|| format!("{} of {expected} frames", self.delivery.frames()))
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
        let Some(subscriber) = self.subscribers.get_mut(index) else { return Ok(()) };
        let bytes = match subscriber.stream.read(&mut self.chunk) {
            Ok(0) => return self.lose(index),
            Ok(count) => &self.chunk[..count],
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => return Ok(()),
            Err(_) => return self.lose(index),
        };
        let now = Instant::now();
        let whole = subscriber.held.is_empty();
        if whole && matches!(subscriber.stage, Stage::Live) && bytes == self.memo.bytes {
            subscriber.note(&self.memo.values);
            self.delivery.record(&self.memo.values, now);
            return Ok(());
        }
        subscriber.held.extend_from_slice(bytes);
        let taken = subscriber.take_in()?;
        self.delivery.record(&taken.values, now);
        self.pending -= usize::from(taken.confirmed);
        if taken.closed {
            return self.lose(index);
        }
        if whole && taken.updates_only && subscriber.held.is_empty() {
            self.memo = Memo { bytes: bytes.to_vec(), values: taken.values };
        }
        Ok(())
    }

    #[cold]
    fn lose(&mut self, index: usize) -> Result<()> {
        let subscriber = &mut self.subscribers[index];
        if !matches!(subscriber.stage, Stage::Live | Stage::Gone) {
            bail!("the server closed a connection during its handshake");
        }
        if matches!(subscriber.stage, Stage::Live) {
            subscriber.stage = Stage::Gone;
            self.gone += 1;
            epoll::delete(&self.epoll, &subscriber.stream)?;
        }
        Ok(())
    }
}

/// What a slow look at received bytes found.
struct Taken {
    values: Vec<u64>,
    updates_only: bool,
    confirmed: bool,
    closed: bool,
}

impl Subscriber {
    fn note(&mut self, values: &[u64]) {
        self.updates += values.len() as u64;
        self.last = values.last().copied().unwrap_or(self.last);
    }

    /// Understands all that is held but for the beginning of a frame.
    fn take_in(&mut self) -> Result<Taken> {
        let mut taken = Taken { values: Vec::new(), updates_only: true, confirmed: false, closed: false };
        let held = std::mem::take(&mut self.held);
        let mut rest = held.as_slice();
        if let Stage::Upgrading { subscribe } = &self.stage {
            taken.updates_only = false;
            let Some(end) = rest.windows(4).position(|window| window == b"\r\n\r\n") else {
                self.held = held;
                return Ok(taken);
            };
            if !rest.starts_with(b"HTTP/1.1 101") {
                bail!("an upgrade was refused: {}", String::from_utf8_lossy(rest));
            }
            rest = &rest[end + 4..];
            self.stream.write_all(subscribe).context("sending a subscription")?;
            self.stage = Stage::Subscribing;
        }
        while let Some((opcode, payload, after)) = wire::split(rest) {
            rest = after;
            let value = if opcode == wire::TEXT { wire::views_update(payload) } else { None };
            match (value, opcode) {
                (Some(value), _) => taken.values.push(value),
                (None, wire::TEXT) => taken.confirmed |= self.told(payload)?,
                // A pong that the socket does not take means a server that does not read: it will close.
                (None, wire::PING) => _ = self.stream.write(&wire::masked(wire::PONG, payload)),
                (None, wire::CLOSE) => taken.closed = true,
                (None, _) => {}
            }
            taken.updates_only &= value.is_some();
        }
        self.held = rest.to_vec();
        self.note(&taken.values);
        Ok(taken)
    }

    /// Takes a message that is no update, and says whether it confirms the subscription.
    fn told(&mut self, message: &[u8]) -> Result<bool> {
        if wire::is(message, "error") {
            bail!("the server answered {}", String::from_utf8_lossy(message));
        }
        let confirmed = matches!(self.stage, Stage::Subscribing) && wire::is(message, "subscribed");
        if confirmed {
            self.stage = Stage::Live;
        }
        Ok(confirmed)
    }
}
