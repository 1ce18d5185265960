//! The bytes of one connection, to its peer and from it. The rule: plain is a bare descriptor, TLS is boxed, and nothing
//! else of the hub knows which; a call does what the socket allows at once and never waits.

mod tls;

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::buffer::spare_capacity;
use rustix::io::Errno;
use rustix::net::{RecvFlags, SendFlags, Shutdown};

use self::tls::Tls;
pub(super) use self::tls::Wire;
use super::output::Taken;
use crate::tls::Session;

/// What a connection's bytes go through.
#[derive(Debug)]
pub(super) enum Transport {
    /// A bare descriptor of a nonblocking socket.
    Plain(OwnedFd),
    Tls(Box<Tls>),
}

/// What is left of a connection after a look at its input.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Received {
    /// More may come.
    Open,
    /// The peer has said that nothing more comes.
    Ended,
    /// The connection is gone.
    Gone,
}

impl Transport {
    /// A transport over a socket, with the session of TLS if there is one.
    pub(super) fn new(socket: OwnedFd, session: Option<Box<Session>>, wire: &Wire) -> Transport {
        match session {
            None => Transport::Plain(socket),
            Some(session) => Transport::Tls(Box::new(Tls::new(socket, *session, wire.clone()))),
        }
    }

    /// Sends what the socket takes. Of TLS a part was taken also when it is encrypted and waits in the transport: then
    /// it goes out before anything else, and the socket is full.
    pub(super) fn send(&mut self, bytes: &[u8]) -> Taken {
        match self {
            Transport::Plain(socket) => send(socket.as_fd(), bytes),
            Transport::Tls(tls) => tls.send(bytes),
        }
    }

    /// The socket, if what is sent is what goes through it: then others may send on it.
    pub(super) fn plain(&self) -> Option<BorrowedFd<'_>> {
        match self {
            Transport::Plain(socket) => Some(socket.as_fd()),
            Transport::Tls(_) => None,
        }
    }

    /// Whether the transport itself holds bytes that must still go out.
    pub(super) fn holds_output(&self) -> bool {
        match self {
            Transport::Plain(_) => false,
            Transport::Tls(tls) => tls.holds_output(),
        }
    }

    /// Sends what the transport itself holds; a part is in bytes of the wire.
    pub(super) fn flush(&mut self) -> Taken {
        match self {
            Transport::Plain(_) => Taken::All,
            Transport::Tls(tls) => tls.flush(),
        }
    }

    /// Appends what came to `input`, at most its spare capacity; of TLS, at most what one read and the rest of a record
    /// before it hold. What was appended counts whatever is answered.
    pub(super) fn receive(&mut self, input: &mut Vec<u8>) -> Received {
        match self {
            Transport::Plain(socket) => receive(socket.as_fd(), input),
            Transport::Tls(tls) => tls.receive(input),
        }
    }

    /// Answers the peer's end, after everything else that is said to it, as far as the socket takes it.
    pub(super) fn answer_end(&mut self) {
        if let Transport::Tls(tls) = self {
            // Nobody waits for it: a peer that takes nothing any more does not miss it.
            let _ = tls.say_goodbye();
        }
    }

    /// Says that nothing more will be sent. A part: the socket is full, and this must be called again when it is not.
    pub(super) fn finish(&mut self) -> Taken {
        let said = match self {
            Transport::Plain(_) => Taken::All,
            Transport::Tls(tls) => tls.say_goodbye(),
        };
        if said == Taken::All {
            // An error means that the peer is gone, which the next look at the input will show.
            let _ = rustix::net::shutdown(self.as_fd(), Shutdown::Write);
        }
        said
    }
}

/// To be polled, and for nothing else.
impl AsFd for Transport {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Transport::Plain(socket) => socket.as_fd(),
            Transport::Tls(tls) => tls.as_fd(),
        }
    }
}

fn send(socket: BorrowedFd<'_>, bytes: &[u8]) -> Taken {
    loop {
        return match rustix::net::send(socket, bytes, SendFlags::DONTWAIT | SendFlags::NOSIGNAL) {
            Ok(taken) if taken == bytes.len() => Taken::All,
            Ok(taken) => Taken::Part(taken),
            Err(Errno::INTR) => continue,
            Err(error) => Taken::by(error),
        };
    }
}

fn receive(socket: BorrowedFd<'_>, input: &mut Vec<u8>) -> Received {
    match rustix::net::recv(socket, spare_capacity(input), RecvFlags::DONTWAIT) {
        Ok((_, 0)) => Received::Ended,
        Ok(_) | Err(Errno::AGAIN | Errno::INTR) => Received::Open,
        Err(_) => Received::Gone,
    }
}
