//! The bytes of one connection, to its peer and from it. The rule: what lies under the bytes is known here and nowhere
//! else in the hub, and a call does what the socket allows at once and never waits.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::buffer::spare_capacity;
use rustix::io::Errno;
use rustix::net::{RecvFlags, SendFlags, Shutdown};

use super::output::Taken;

/// What a connection's bytes go through.
#[derive(Debug)]
pub(super) enum Transport {
    /// A bare descriptor of a nonblocking socket.
    Plain(OwnedFd),
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
    /// Sends what the socket takes.
    pub(super) fn send(&mut self, bytes: &[u8]) -> Taken {
        match self {
            Transport::Plain(socket) => send(socket.as_fd(), bytes),
        }
    }

    /// The socket, if what is sent is what goes through it: then others may send on it.
    pub(super) fn plain(&self) -> Option<BorrowedFd<'_>> {
        match self {
            Transport::Plain(socket) => Some(socket.as_fd()),
        }
    }

    /// Appends what came to `input`, at most its spare capacity. What was appended counts whatever is answered.
    pub(super) fn receive(&mut self, input: &mut Vec<u8>) -> Received {
        match self {
            Transport::Plain(socket) => receive(socket.as_fd(), input),
        }
    }

    /// Says that nothing more will be sent.
    pub(super) fn finish(&mut self) {
        // An error means that the peer is gone, which the next look at the input will show.
        let _ = rustix::net::shutdown(self.as_fd(), Shutdown::Write);
    }
}

/// To be polled, and for nothing else.
impl AsFd for Transport {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Transport::Plain(socket) => socket.as_fd(),
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
