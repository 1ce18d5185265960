//! A hub on its caller's thread, over socket pairs and a store that is empty: for tests, and for counting what a hub
//! does. The rule: the hub moves only when it is told to, so what is seen between two moves is seen whole.

use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use analytics_shared::{Authority, CounterState, Id, Topic};
use async_trait::async_trait;
use lambda_trigger::auth::{Auth, Mode};
use lambda_trigger::store::{Outcome, Unreadable, Write};
use lambda_trigger::{Announce, CounterStore};
use rustix::event::{PollFd, PollFlags, Timespec, epoll, poll};

use super::{Arrival, Hub, Mailbox, Settings, run};
use crate::admission::Admission;
use crate::events::{ConnId, NoEvents};
use crate::feed::{Feed, RING};
use crate::metrics::Metrics;

/// Ids in one subscription.
pub(super) const MAX_IDS: usize = 1000;

/// How long the hub may take to come to rest, or to hear of what was read: only a fault takes it.
const LIMIT: Duration = Duration::from_secs(60);

/// The hub and what surrounds it.
pub(super) struct Stage {
    pub(super) hub: Hub,
    feed: Arc<Feed>,
    mailbox: Arc<Mailbox>,
    admission: Arc<Admission>,
    events: Vec<epoll::Event>,
    reader: Option<JoinHandle<()>>,
}

impl Stage {
    /// With `io_uring` the hub sends by it, where the kernel lets it.
    pub(super) fn set(io_uring: bool) -> Stage {
        let metrics = Metrics::new();
        let (feed, mut ends) = Feed::new(1, RING, false, metrics.clone()).expect("a feed");
        let end = ends.remove(0);
        let mailbox = Mailbox::new(end.0.clone());
        let settings = Settings {
            base: 0,
            auth: Auth::new(Mode::Development, None),
            max_ids: MAX_IDS,
            max_message_bytes: 65_536,
            messages_per_second: 1_000_000,
            io_uring,
            heartbeat_interval: Duration::from_secs(10_000),
            heartbeat_timeout: Duration::from_secs(20_000),
            events: Arc::new(NoEvents),
            metrics,
        };
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC).expect("an epoll");
        let hub = Hub::new(0, Arc::new(settings), feed.clone(), end, mailbox.clone(), epoll);
        hub.listen();
        let of_reader = feed.clone();
        let reader = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
            of_reader.read_on(&Empty, &runtime);
        });
        let admission = Admission::new(1_000_000, None);
        let events = Vec::with_capacity(run::EVENTS);
        Stage { hub, feed, mailbox, admission, events, reader: Some(reader) }
    }

    /// A connection whose first bytes are these, and its other end, which does not block. `room` is what its socket
    /// takes from the hub, in bytes as the kernel counts them.
    pub(super) fn connect(&mut self, early: Vec<u8>, room: Option<usize>) -> (u32, UnixStream) {
        let (client, server) = UnixStream::pair().expect("sockets");
        for end in [&client, &server] {
            end.set_nonblocking(true).expect("a nonblocking socket");
        }
        if let Some(room) = room {
            socket2::SockRef::from(&server).set_send_buffer_size(room).expect("a buffer's size");
        }
        let id = ConnId::next();
        self.mailbox.reserve().expect("a place").send(Arrival {
            id,
            socket: OwnedFd::from(server),
            session: None,
            answer: Vec::new(),
            early,
            authority: Authority::unrestricted(),
            expires_at: None,
            permit: self.admission.admit(None).expect("room"),
            peer: None,
            tag: 0,
        });
        self.settle();
        let place = self.hub.connections.iter().find(|(_, connection)| connection.id == id).map(|(place, _)| place);
        (place.expect("the connection was taken"), client)
    }

    /// [`Stage::connect`] with a subscription; returns when all of it was read.
    pub(super) fn subscribe(&mut self, ids: &[String], scope: &str, room: Option<usize>) -> (u32, UnixStream) {
        let (place, client) = self.connect(subscribe(ids, scope), room);
        let deadline = Instant::now() + LIMIT;
        let unread = |hub: &Hub| {
            let seats = &hub.connections[place].subscription;
            // What was asked for last is read last.
            seats.iter().rev().any(|seat| !hub.topics.bucket(seat.bucket).is_loaded())
        };
        while unread(&self.hub) {
            assert!(Instant::now() < deadline, "what is watched was not read");
            self.hub.turn(&mut self.events);
        }
        self.settle();
        (place, client)
    }

    /// Lets the hub do all that there is to do.
    pub(super) fn settle(&mut self) {
        let deadline = Instant::now() + LIMIT;
        while self.hub.has_work() || is_readable(self.hub.epoll.as_fd()) {
            assert!(Instant::now() < deadline, "the hub does not come to rest");
            self.hub.turn(&mut self.events);
        }
    }

    /// Puts new states into the hub's ring.
    pub(super) fn announce(&self, states: &[CounterState]) {
        self.feed.announce(states);
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        self.feed.close_reads();
        if let Some(reader) = self.reader.take() {
            // A panic in it has been printed.
            let _ = reader.join();
        }
    }
}

/// A client's text frame, under a mask of zeros.
pub(super) fn text(message: &str) -> Vec<u8> {
    let mut frame = vec![0x81];
    match message.len() {
        length @ 0..126 => frame.push(0x80 | length as u8),
        length => {
            frame.push(0xfe);
            frame.extend(u16::try_from(length).expect("a short message").to_be_bytes());
        }
    }
    frame.extend([0; 4]);
    frame.extend(message.as_bytes());
    frame
}

/// A `subscribe`; `scope` is further JSON of the message, with a comma at its end.
pub(super) fn subscribe(ids: &[String], scope: &str) -> Vec<u8> {
    text(&format!(r#"{{"type":"subscribe",{scope}"contentIds":["{}"]}}"#, ids.join("\",\"")))
}

fn is_readable(descriptor: std::os::fd::BorrowedFd<'_>) -> bool {
    let mut descriptors = [PollFd::from_borrowed_fd(descriptor, PollFlags::IN)];
    poll(&mut descriptors, Some(&Timespec { tv_sec: 0, tv_nsec: 0 })).expect("a descriptor can be polled") > 0
}

/// A store without counters: what is watched is read at once, and changes come from the test alone.
struct Empty;

#[async_trait]
impl CounterStore for Empty {
    fn base(&self) -> u64 {
        0
    }

    async fn apply(&self, _: Vec<Write>) -> Vec<Outcome> {
        Vec::new()
    }

    async fn read(&self, _: &[Topic]) -> Result<Vec<CounterState>, Unreadable> {
        Ok(Vec::new())
    }
}

/// An id that is known to be valid.
pub(super) fn id(text: &str) -> Id {
    Id::new(text).expect("a valid id")
}
