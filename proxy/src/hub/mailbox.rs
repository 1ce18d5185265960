//! What comes to a hub from outside besides changes. The rule: a place is reserved before a connection is taken
//! over, so a connection that was answered is never lost to a full queue.

use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::PoisonError;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering, fence};
use std::time::Duration;

use analytics_shared::Authority;
use crossbeam_queue::ArrayQueue;

use crate::admission::Permit;
use crate::events::ConnId;
use crate::feed::Port;
use crate::tls::Session;

/// Handshakes that may wait for a hub at once. Beyond it, upgrades are refused with 503.
const WAITING: usize = 1024;

/// A connection on its way from Pingora to a hub.
#[derive(Debug)]
pub(crate) struct Arrival {
    pub(crate) id: ConnId,
    pub(crate) socket: OwnedFd,
    /// The session of TLS over the socket, if there is one.
    pub(crate) session: Option<Box<Session>>,
    /// The 101 answer, to be written first.
    pub(crate) answer: Vec<u8>,
    /// Bytes that came after the handshake.
    pub(crate) early: Vec<u8>,
    pub(crate) authority: Authority,
    /// When the token ends, in milliseconds since the Unix epoch.
    pub(crate) expires_at: Option<u64>,
    pub(crate) permit: Permit,
    pub(crate) peer: Option<SocketAddr>,
    /// The host's own mark on the connection.
    pub(crate) tag: u64,
}

/// The way into a hub.
#[derive(Debug)]
pub(crate) struct Mailbox {
    arrivals: ArrayQueue<Arrival>,
    reserved: AtomicUsize,
    port: Arc<Port>,
    drain: Mutex<Option<Duration>>,
    drain_asked: AtomicBool,
    pub(super) connections: AtomicUsize,
}

/// A place in a hub's queue; freed when dropped, or used by [`Reservation::send`].
#[derive(Debug)]
pub(crate) struct Reservation {
    mailbox: Arc<Mailbox>,
    sent: bool,
}

impl Mailbox {
    pub(crate) fn new(port: Arc<Port>) -> Arc<Mailbox> {
        Arc::new(Mailbox {
            arrivals: ArrayQueue::new(WAITING),
            reserved: AtomicUsize::new(0),
            port,
            drain: Mutex::default(),
            drain_asked: AtomicBool::new(false),
            connections: AtomicUsize::new(0),
        })
    }

    /// Connections that the hub owns or that are on their way to it.
    pub(crate) fn load(&self) -> usize {
        self.connections.load(Ordering::Relaxed) + self.reserved.load(Ordering::Relaxed)
    }

    /// Connections that the hub owns.
    pub(crate) fn connections(&self) -> usize {
        self.connections.load(Ordering::Relaxed)
    }

    /// A place for one arrival, unless the queue is full.
    pub(crate) fn reserve(self: &Arc<Self>) -> Option<Reservation> {
        if self.reserved.fetch_add(1, Ordering::Relaxed) >= WAITING {
            self.reserved.fetch_sub(1, Ordering::Relaxed);
            return None;
        }
        Some(Reservation { mailbox: self.clone(), sent: false })
    }

    /// Asks the hub to close its connections, spread over a time, and to end.
    pub(crate) fn drain(&self, over: Duration) {
        *self.drain.lock().unwrap_or_else(PoisonError::into_inner) = Some(over);
        self.drain_asked.store(true, Ordering::Release);
        self.ring();
    }

    pub(super) fn take(&self) -> Option<Arrival> {
        let arrival = self.arrivals.pop()?;
        self.reserved.fetch_sub(1, Ordering::Release);
        Some(arrival)
    }

    pub(super) fn has_mail(&self) -> bool {
        !self.arrivals.is_empty() || self.drain_asked.load(Ordering::Acquire)
    }

    pub(super) fn take_drain(&self) -> Option<Duration> {
        if !self.drain_asked.swap(false, Ordering::AcqRel) {
            return None;
        }
        self.drain.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    /// Whether an arrival may still come.
    pub(super) fn expects(&self) -> bool {
        self.reserved.load(Ordering::Acquire) > 0
    }

    fn ring(&self) {
        fence(Ordering::SeqCst);
        self.port.doorbell.ring();
    }
}

impl Reservation {
    /// Hands a connection over.
    pub(crate) fn send(mut self, arrival: Arrival) {
        // Cannot be full: what is reserved and what is queued together are never more than the queue holds.
        let pushed = self.mailbox.arrivals.push(arrival);
        debug_assert!(pushed.is_ok());
        self.mailbox.ring();
        // The place is now the arrival's; it is freed when the hub takes it.
        self.sent = true;
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        if !self.sent {
            self.mailbox.reserved.fetch_sub(1, Ordering::Release);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::fd::AsFd;

    use super::*;
    use crate::admission::Admission;
    use crate::feed::Feed;
    use crate::metrics::Metrics;

    #[test]
    fn a_place_is_taken_until_the_hub_takes_the_arrival() {
        let (_, ends) = Feed::new(1, 16, false, Metrics::new()).expect("a feed");
        let mailbox = Mailbox::new(ends[0].0.clone());
        let admission = Admission::new(WAITING * 2, None);
        let arrival = || Arrival {
            id: ConnId::next(),
            socket: std::io::stderr().as_fd().try_clone_to_owned().expect("a descriptor"),
            session: None,
            answer: Vec::new(),
            early: Vec::new(),
            authority: Authority::unrestricted(),
            expires_at: None,
            permit: admission.admit(None).expect("room"),
            peer: None,
            tag: 0,
        };
        for _ in 0..3 {
            for _ in 0..WAITING {
                mailbox.reserve().expect("room").send(arrival());
            }
            assert!(mailbox.reserve().is_none());
            assert!(mailbox.take().is_some());
            drop(mailbox.reserve().expect("room for one"));
            mailbox.reserve().expect("a place that was not used is free again").send(arrival());
            assert_eq!(mailbox.load(), WAITING);
            while mailbox.take().is_some() {}
            assert!(!mailbox.expects());
        }
    }
}
