//! TLS of one connection in a hub. The rule: at most one record is encrypted beyond what the socket takes, so a peer that
//! does not read costs that record and no more.

use std::cell::RefCell;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::rc::Rc;

use super::{Received, receive, send};
use crate::hub::output::Taken;
use crate::hub::run::READ_BYTES;
use crate::tls::{RECORD, Session};

/// The buffer in which a hub reads and encrypts, one connection after the other.
#[derive(Debug, Clone, Default)]
pub(in crate::hub) struct Wire(Rc<RefCell<Vec<u8>>>);

#[derive(Debug)]
pub(in crate::hub) struct Tls {
    socket: OwnedFd,
    session: Session,
    wire: Wire,
}

impl Tls {
    pub(super) fn new(socket: OwnedFd, session: Session, wire: Wire) -> Tls {
        Tls { socket, session, wire }
    }

    pub(super) fn send(&mut self, bytes: &[u8]) -> Taken {
        match self.flush() {
            Taken::All => {}
            Taken::Part(_) => return Taken::Part(0),
            Taken::Gone => return Taken::Gone,
        }
        let mut wire = self.wire.0.borrow_mut();
        let mut taken = 0;
        for record in bytes.chunks(RECORD) {
            wire.clear();
            if let Err(error) = self.session.encrypt(record, &mut wire) {
                tracing::debug!(%error, "a record cannot be encrypted");
                return Taken::Gone;
            }
            taken += record.len();
            match send(self.socket.as_fd(), &wire) {
                Taken::All => {}
                Taken::Part(sent) => {
                    self.session.keep(&wire[sent..]);
                    return Taken::Part(taken);
                }
                Taken::Gone => return Taken::Gone,
            }
        }
        Taken::All
    }

    pub(super) fn holds_output(&self) -> bool {
        !self.session.outgoing().is_empty()
    }

    pub(super) fn flush(&mut self) -> Taken {
        if !self.holds_output() {
            return Taken::All;
        }
        let taken = send(self.socket.as_fd(), self.session.outgoing());
        match taken {
            Taken::All => self.session.took(self.session.outgoing().len()),
            Taken::Part(sent) => self.session.took(sent),
            Taken::Gone => {}
        }
        taken
    }

    pub(super) fn receive(&mut self, input: &mut Vec<u8>) -> Received {
        let shared = self.wire.clone();
        let mut wire = shared.0.borrow_mut();
        self.session.begin(&mut wire);
        wire.reserve(READ_BYTES);
        let received = receive(self.socket.as_fd(), &mut wire);
        let taken = self.session.take(&mut wire, input);
        // An alert, or an answer of the protocol's own. What the socket does not take goes before the next record.
        let sent = self.flush();
        match taken {
            Err(error) => {
                tracing::debug!(%error, "a TLS connection is broken");
                Received::Gone
            }
            Ok(()) if sent == Taken::Gone => Received::Gone,
            Ok(()) if self.session.has_ended() => Received::Ended,
            Ok(()) => received,
        }
    }

    /// Sends `close_notify`, once, behind everything else.
    pub(super) fn say_goodbye(&mut self) -> Taken {
        match self.session.say_goodbye() {
            Ok(()) => self.flush(),
            Err(error) => {
                tracing::debug!(%error, "a TLS connection is broken");
                Taken::Gone
            }
        }
    }
}

impl AsFd for Tls {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}
