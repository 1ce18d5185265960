//! Wakes a hub that waits for its sockets. The rule: a ring costs a system call only if the hub sleeps.
//!
//! The sleeper announces itself, then looks once more for work; the producer adds work, then looks for a sleeper.
//! Both looks come after a sequentially consistent store or fence, so at least one of them sees the other.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::atomic::{AtomicBool, Ordering, fence};

use rustix::event::{EventfdFlags, eventfd};

/// An event descriptor to be polled beside the sockets, and whether somebody sleeps on it.
#[derive(Debug)]
pub(crate) struct Doorbell {
    event: OwnedFd,
    sleeping: AtomicBool,
}

impl Doorbell {
    pub(crate) fn new() -> std::io::Result<Doorbell> {
        let event = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?;
        Ok(Doorbell { event, sleeping: AtomicBool::new(false) })
    }

    /// Wakes the hub if it sleeps. Call after the work was added and a `fence(SeqCst)`.
    pub(crate) fn ring(&self) {
        if self.sleeping.load(Ordering::Relaxed) && self.sleeping.swap(false, Ordering::SeqCst) {
            // A full event counter has woken the sleeper already; nothing else can fail here.
            let _ = rustix::io::write(&self.event, &1u64.to_ne_bytes());
        }
    }

    /// Before sleeping: after this, work that is not seen by a look will ring.
    pub(crate) fn about_to_sleep(&self) {
        self.sleeping.store(true, Ordering::SeqCst);
        fence(Ordering::SeqCst);
    }

    /// After sleeping, or instead of it.
    pub(crate) fn awake(&self) {
        self.sleeping.store(false, Ordering::Relaxed);
    }

    /// Takes note of the rings that came.
    pub(crate) fn clear(&self) {
        let mut count = [0; 8];
        let _ = rustix::io::read(&self.event, &mut count);
    }
}

impl AsFd for Doorbell {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.event.as_fd()
    }
}
