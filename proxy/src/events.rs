//! What a host learns of its connections. The rule: every connection that was taken over is opened once and closed
//! once.

use std::fmt;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// A connection's id, unique within the process; shown as 16 hexadecimal digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct ConnId(pub u64);

impl ConnId {
    /// The next id. Ids start at a random place, so that those of two processes seldom meet in a log.
    pub(crate) fn next() -> ConnId {
        static NEXT: once_cell::sync::Lazy<AtomicU64> =
            once_cell::sync::Lazy::new(|| AtomicU64::new(fastrand::u64(..)));
        ConnId(NEXT.fetch_add(1, Ordering::Relaxed))
    }
}

impl fmt::Display for ConnId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

/// A connection was taken over and answered.
#[derive(Debug)]
pub struct Opened {
    /// The connection.
    pub id: ConnId,
    /// The peer's address as the host knew it.
    pub peer: Option<SocketAddr>,
    /// What the host passed to [`crate::EdgeHandle::handle`].
    pub tag: u64,
}

/// A connection's session ended.
#[derive(Debug)]
pub struct Closed<'a> {
    /// The connection.
    pub id: ConnId,
    /// The close code that was sent or received; 1006 if the connection ended without one.
    pub code: u16,
    /// Why, for a person.
    pub reason: &'a str,
    /// How long it was open, to a quarter of a second.
    pub open: Duration,
    /// Frames sent to it.
    pub frames_out: u64,
    /// What the host passed to [`crate::EdgeHandle::handle`].
    pub tag: u64,
}

/// Hears of connections. Called on the hubs' threads: must return at once and must not wait for anything.
pub trait Events: Send + Sync + 'static {
    /// A connection was taken over.
    fn opened(&self, opened: &Opened) {
        let _ = opened;
    }

    /// A connection's session ended.
    fn closed(&self, closed: &Closed<'_>) {
        let _ = closed;
    }
}

/// Hears nothing: the default.
#[derive(Debug)]
pub(crate) struct NoEvents;

impl Events for NoEvents {}
