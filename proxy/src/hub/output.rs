//! Writing to one connection. The rule: what was begun is finished before anything else, and a connection whose
//! socket takes no more is read and told nothing until it does.

use std::os::fd::AsFd;

use analytics_shared::Failure;
use analytics_shared::message::ServerMessage;
use rustix::event::epoll;
use rustix::io::Errno;

use super::clock::unix_millis;
use super::connection::{Pending, Phase};
use super::frame::{self, Opcode};
use super::{Hub, run};

/// What a socket took.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Taken {
    All,
    /// This many bytes; then it was full.
    Part(usize),
    /// The connection is gone.
    Gone,
}

impl Taken {
    /// What an error of a nonblocking send says.
    pub(super) fn by(error: Errno) -> Taken {
        match error {
            Errno::AGAIN | Errno::INTR | Errno::NOBUFS | Errno::NOMEM => Taken::Part(0),
            _ => Taken::Gone,
        }
    }
}

impl Hub {
    /// Sends bytes that must arrive whole: an answer to a message, a control frame.
    ///
    /// Bounded although it may append to what waits: while output waits no input is read, so at most the answer to
    /// one message and one Close frame join it.
    pub(super) fn send_whole(&mut self, place: u32, bytes: &[u8]) {
        let connection = &mut self.connections[place];
        connection.count_frames(1);
        if let Some(output) = &mut connection.output {
            output.bytes.extend_from_slice(bytes);
            return;
        }
        match connection.transport.send(bytes) {
            Taken::All => {}
            Taken::Part(taken) => self.block(place, &bytes[taken..]),
            Taken::Gone => self.remove(place, 1006, "connection lost"),
        }
    }

    /// Sends a message.
    pub(super) fn reply(&mut self, place: u32, message: &ServerMessage<'_>) {
        self.json.clear();
        message.write_to(&mut self.json);
        let mut out = std::mem::take(&mut self.out);
        out.clear();
        frame::push(&mut out, Opcode::Text, &self.json);
        self.send_whole(place, &out);
        self.out = out;
    }

    /// Sends an `error`.
    pub(super) fn reply_error(&mut self, place: u32, failure: &Failure) {
        let error = ServerMessage::Error { error: &failure.text, code: failure.code, timestamp: unix_millis() };
        self.reply(place, &error);
    }

    /// The socket takes no more: keeps what must still go out and waits for room.
    ///
    /// What the connection is told from now on is left to its walk, from the last flush that was delivered to all.
    #[cold]
    pub(super) fn block(&mut self, place: u32, rest: &[u8]) {
        let delivered = self.flush.delivered();
        let connection = &mut self.connections[place];
        // It may be full a second time before it had room for all: of what it is told in its end, say.
        if !std::mem::replace(&mut connection.blocked, true) {
            self.settings.metrics.blocked.inc();
        }
        if !rest.is_empty() {
            connection.output = Some(Box::new(Pending { bytes: rest.to_vec(), sent: 0 }));
        }
        if !connection.is_behind() {
            connection.start_walk(delivered);
        }
        let closing = connection.phase == Phase::Closing;
        self.poll_for(place, closing, true);
    }

    /// The socket has room: finishes what was begun, then lets the connection catch up and be heard again.
    pub(super) fn unblock(&mut self, place: u32) {
        let now = self.clock.now();
        let connection = &mut self.connections[place];
        if connection.transport.holds_output() {
            match connection.transport.flush() {
                Taken::All => connection.heard = now,
                Taken::Part(taken) => {
                    if taken > 0 {
                        connection.heard = now;
                    }
                    return;
                }
                Taken::Gone => return self.remove(place, 1006, "connection lost"),
            }
        }
        if let Some(mut output) = connection.output.take() {
            match connection.transport.send(&output.bytes[output.sent..]) {
                Taken::All => connection.heard = now,
                Taken::Part(taken) => {
                    if taken > 0 {
                        connection.heard = now;
                        output.sent += taken;
                    }
                    connection.output = Some(output);
                    return;
                }
                Taken::Gone => return self.remove(place, 1006, "connection lost"),
            }
        }
        connection.blocked = false;
        if connection.phase == Phase::Closing {
            return self.finish_writing(place);
        }
        self.poll_for(place, true, false);
        if self.connections[place].is_behind() {
            self.walk(place);
        }
        self.take_stash(place);
    }

    /// Polls a socket for input, for room, or both.
    pub(super) fn poll_for(&mut self, place: u32, input: bool, room: bool) {
        let connection = &mut self.connections[place];
        if connection.polled == (input, room) {
            return;
        }
        connection.polled = (input, room);
        let mut flags = epoll::EventFlags::empty();
        flags.set(epoll::EventFlags::IN, input);
        flags.set(epoll::EventFlags::OUT, room);
        let token = epoll::EventData::new_u64(run::token(place, connection.id));
        // The descriptor is in the set since it was adopted; modifying it allocates nothing and cannot fail.
        let modified = epoll::modify(&self.epoll, connection.transport.as_fd(), token, flags);
        debug_assert!(modified.is_ok());
    }
}
