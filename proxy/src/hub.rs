//! A hub: one thread that owns its connections and everything that it sends them. The rule: nothing outside the
//! thread touches a connection, and nothing inside it waits for anything but its sockets.
//!
//! ```text
//! takeover ──Mailbox──▶ adopt ─▶ Connection ─▶ session (messages) ─▶ Topics (who watches what)
//! feed ─────ring──────▶ flush (merge, mark) ─▶ deliver ─▶ sockets
//!                       walk  (snapshot, conflation, catch-up) ─▶ sockets that are behind
//!                       sweep (tokens, heartbeats, lingering)   drain (the end)
//! ```
//! What lies between a connection and its socket is its `transport`, plain or a TLS session; the session comes from
//! `stream` by way of `takeover::Taken` and `Arrival`, and `adopt` puts it there. `Hub::new` opens the `Ring` by which
//! `deliver` sends where the kernel gives io_uring.
//!
//! Pingora's runtimes accept in one place and schedule anywhere, hosts choose work stealing, and a runtime's
//! shutdown drops its tasks: a hub depends on none of it. A panic here aborts the process for its supervisor: half
//! a hub is worse than a restart.

mod adopt;
mod assembler;
mod clock;
mod connection;
mod deliver;
mod drain;
mod flush;
mod frame;
#[cfg(feature = "instructions")]
pub mod instructions;
mod intern;
mod mailbox;
mod output;
mod ring;
mod run;
mod session;
mod slab;
#[cfg(any(test, feature = "instructions"))]
mod stage;
mod sweep;
#[cfg(test)]
mod tests;
mod topics;
mod transport;
mod utf8;
mod walk;

use std::collections::VecDeque;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::Duration;

use analytics_shared::{Authority, Scope};
use lambda_trigger::auth::Auth;

use self::assembler::Assembler;
use self::clock::Clock;
use self::connection::Connection;
use self::drain::Drain;
use self::flush::Flush;
use self::intern::Interner;
pub(crate) use self::mailbox::{Arrival, Mailbox, Reservation};
use self::ring::Ring;
use self::slab::Slab;
use self::topics::Topics;
use self::transport::Wire;
use crate::events::Events;
use crate::feed::{Changes, Feed, HubEnd, Port};
use crate::metrics::Metrics;

/// What all hubs of a process have in common.
pub(crate) struct Settings {
    /// The store's base, told to every client.
    pub(crate) base: u64,
    pub(crate) auth: Auth,
    pub(crate) max_ids: usize,
    pub(crate) max_message_bytes: usize,
    /// Messages a connection may send per second, with as many again at once.
    pub(crate) messages_per_second: u32,
    /// Whether to send by io_uring where the kernel lets it.
    pub(crate) io_uring: bool,
    /// Silence after which a connection is pinged, and after which it is closed.
    pub(crate) heartbeat_interval: Duration,
    pub(crate) heartbeat_timeout: Duration,
    pub(crate) events: Arc<dyn Events>,
    pub(crate) metrics: Metrics,
}

/// The state of one hub; see the file's first lines.
struct Hub {
    index: usize,
    settings: Arc<Settings>,
    feed: Arc<Feed>,
    port: Arc<Port>,
    changes: Changes,
    mailbox: Arc<Mailbox>,
    epoll: OwnedFd,
    clock: Clock,
    connections: Slab<Connection>,
    /// When to look at a connection next, by its place: dense, so that a sweep reads memory in a line.
    deadlines: Vec<u32>,
    topics: Topics,
    flush: Flush,
    /// Sends for many at once, where the kernel lets it.
    ring: Option<Ring>,
    /// Connections that have a turn of their walk coming, each at most once.
    walkers: VecDeque<u32>,
    drain: Option<Drain>,
    /// The tick of the last sweep.
    swept: u32,
    /// The tick of the last warning of an overflow.
    warned: u32,
    authorities: Interner<Authority>,
    scopes: Interner<Scope>,
    /// Lent to whoever reads; a connection between messages owns none.
    spare: Option<Box<Assembler>>,
    /// Buffers of one read, of TLS on the wire, one message's JSON, and one write, used again and again.
    input: Vec<u8>,
    wire: Wire,
    json: Vec<u8>,
    out: Vec<u8>,
    marks: Vec<walk::Mark>,
    visible: Vec<u32>,
}

/// Starts a hub's thread.
pub(crate) fn spawn(
    index: usize,
    settings: Arc<Settings>,
    feed: Arc<Feed>,
    end: HubEnd,
    mailbox: Arc<Mailbox>,
) -> std::io::Result<std::thread::JoinHandle<()>> {
    let epoll = rustix::event::epoll::create(rustix::event::epoll::CreateFlags::CLOEXEC)?;
    std::thread::Builder::new().name(format!("hub-{index}")).spawn(move || {
        let guard = AbortOnPanic;
        let mut hub = Hub::new(index, settings, feed, end, mailbox, epoll);
        hub.run();
        std::mem::forget(guard);
    })
}

impl Hub {
    /// A hub that the calling thread will run.
    fn new(
        index: usize,
        settings: Arc<Settings>,
        feed: Arc<Feed>,
        (port, changes): HubEnd,
        mailbox: Arc<Mailbox>,
        epoll: OwnedFd,
    ) -> Hub {
        // Here, not before: a ring belongs to the thread that made it.
        let ring = if settings.io_uring { Ring::open_or_tell(index) } else { None };
        settings.metrics.io_uring_hubs.add(ring.is_some().into());
        Hub {
            index,
            settings,
            feed,
            port,
            changes,
            mailbox,
            epoll,
            clock: Clock::start(),
            connections: Slab::new(),
            deadlines: Vec::new(),
            topics: Topics::new(),
            flush: Flush::new(),
            ring,
            walkers: VecDeque::new(),
            drain: None,
            swept: 0,
            warned: 0,
            authorities: Interner::new(),
            scopes: Interner::new(),
            spare: None,
            input: Vec::with_capacity(run::READ_BYTES),
            wire: Wire::default(),
            json: Vec::new(),
            out: Vec::new(),
            marks: Vec::new(),
            visible: Vec::new(),
        }
    }
}

/// Ends the process if a hub's thread unwinds.
struct AbortOnPanic;

impl Drop for AbortOnPanic {
    fn drop(&mut self) {
        tracing::error!("a hub failed; the process ends so that its supervisor can start it anew");
        std::process::abort();
    }
}
