//! The hub's loop. The rule: every part gets a bounded turn, then the sockets are looked at again.

use std::time::Duration;

use rustix::buffer::spare_capacity;
use rustix::event::{Timespec, epoll};
use rustix::io::Errno;

use super::Hub;
use super::assembler::Event;
use super::connection::Phase;
use super::frame::{self, Opcode};
use super::transport::Received;
use crate::events::ConnId;

/// Bytes of one read.
pub(super) const READ_BYTES: usize = 16 * 1024;

/// Events taken from the kernel at once.
pub(super) const EVENTS: usize = 256;

/// The doorbell's token: no connection has this place.
const DOORBELL: u64 = u64::MAX;

/// A connection's token in the epoll set: its place, and enough of its id to tell it from a later one there.
pub(super) fn token(place: u32, id: ConnId) -> u64 {
    u64::from(place) | (id.0 << 32)
}

impl Hub {
    pub(super) fn run(&mut self) {
        self.listen();
        let mut events = Vec::with_capacity(EVENTS);
        while !self.is_done() {
            self.turn(&mut events);
        }
    }

    /// Has the doorbell end a wait for the sockets.
    pub(super) fn listen(&self) {
        let doorbell = epoll::EventData::new_u64(DOORBELL);
        if let Err(error) = epoll::add(&self.epoll, &self.port.doorbell, doorbell, epoll::EventFlags::IN) {
            panic!("the doorbell cannot be polled: {error}");
        }
    }

    /// One round of the loop. Without work it waits for some, until the next tick at most.
    pub(super) fn turn(&mut self, events: &mut Vec<epoll::Event>) {
        self.poll(events);
        self.adopt_arrivals();
        if !self.flush.active() {
            self.begin_flush();
        }
        self.deliver_turn();
        self.walk_turns();
        self.sweep();
        self.drain_turn();
    }

    /// Whether there is work besides what the sockets bring.
    pub(super) fn has_work(&self) -> bool {
        self.flush.active()
            || !self.walkers.is_empty()
            || !self.changes.is_empty()
            || self.mailbox.has_mail()
            || self.port.wants_resync()
    }

    fn poll(&mut self, events: &mut Vec<epoll::Event>) {
        let mut timeout = Duration::ZERO;
        if !self.has_work() {
            self.port.doorbell.about_to_sleep();
            if !self.has_work() {
                timeout = self.clock.until_next_tick();
            }
        }
        events.clear();
        let timeout = Timespec { tv_sec: timeout.as_secs() as i64, tv_nsec: timeout.subsec_nanos().into() };
        match epoll::wait(&self.epoll, spare_capacity(events), Some(&timeout)) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(error) => panic!("the sockets cannot be polled: {error}"),
        }
        self.port.doorbell.awake();
        for event in events.iter() {
            let token = event.data.u64();
            if token == DOORBELL {
                self.port.doorbell.clear();
                continue;
            }
            let place = token as u32;
            let current =
                self.connections.get(place).is_some_and(|connection| self::token(place, connection.id) == token);
            if current {
                self.on_event(place, event.flags);
            }
        }
    }

    fn on_event(&mut self, place: u32, flags: epoll::EventFlags) {
        let ended = flags.intersects(epoll::EventFlags::ERR | epoll::EventFlags::HUP);
        if self.connections[place].blocked {
            if ended {
                return self.remove(place, 1006, "connection lost");
            }
            if flags.contains(epoll::EventFlags::OUT) {
                self.unblock(place);
            }
            let closing = self.connections.get(place).is_some_and(|connection| connection.phase == Phase::Closing);
            if !closing {
                return;
            }
        }
        if ended || flags.contains(epoll::EventFlags::IN) {
            self.read(place);
        }
    }

    fn read(&mut self, place: u32) {
        let mut input = std::mem::take(&mut self.input);
        input.clear();
        let connection = &mut self.connections[place];
        let (id, received) = (connection.id, connection.transport.receive(&mut input));
        // What comes after our Close frame is discarded until the peer ends.
        if !input.is_empty() && connection.phase == Phase::Open {
            self.take_input(place, &mut input);
        }
        self.input = input;
        if self.connections.get(place).is_none_or(|connection| connection.id != id) {
            return;
        }
        match received {
            Received::Open => {}
            Received::Ended => {
                self.connections[place].transport.answer_end();
                self.remove(place, 1006, "ended without a close frame");
            }
            Received::Gone => self.remove(place, 1006, "connection lost"),
        }
    }

    /// Input that waited while output did.
    pub(super) fn take_stash(&mut self, place: u32) {
        let stash = self.connections.get_mut(place).and_then(|connection| connection.input.as_mut());
        let Some(stash) = stash.filter(|assembler| !assembler.stash.is_empty()) else { return };
        let mut input = std::mem::take(&mut stash.stash);
        self.take_input(place, &mut input);
    }

    /// Reads messages out of input, as long as the connection is open and its output flows.
    pub(super) fn take_input(&mut self, place: u32, input: &mut [u8]) {
        let Some(connection) = self.connections.get_mut(place) else { return };
        let id = connection.id;
        connection.heard = self.clock.now();
        if std::mem::take(&mut connection.pinged) {
            // The deadline was set for the pong; the next silence is counted from here.
            self.deadlines[place as usize] = self.next_deadline(place);
        }
        let Some(connection) = self.connections.get_mut(place) else { return };
        let mut assembler = connection.input.take().or_else(|| self.spare.take()).unwrap_or_default();
        let (mut at, mut broken) = (0, false);
        // A message may have ended its own connection.
        while let Some(connection) = self.connections.get(place).filter(|connection| connection.id == id) {
            if connection.phase == Phase::Closing {
                break;
            }
            if connection.blocked {
                assembler.stash.extend_from_slice(&input[at..]);
                break;
            }
            match assembler.next(input, &mut at, self.settings.max_message_bytes) {
                Ok(None) => break,
                Ok(Some(event)) => self.take_event(place, event),
                Err(violation) => {
                    broken = true;
                    self.close(place, violation.code, violation.reason);
                    break;
                }
            }
        }
        // Whatever it holds is of a message that nobody will have: it must not reach another connection.
        if broken {
            return;
        }
        assembler.trim();
        let open = self.connections.get_mut(place);
        match open.filter(|connection| connection.id == id && connection.phase == Phase::Open) {
            Some(connection) if !assembler.is_idle() => connection.input = Some(assembler),
            _ if assembler.is_idle() => self.spare = Some(assembler),
            _ => {}
        }
    }

    fn take_event(&mut self, place: u32, event: Event<'_>) {
        match event {
            Event::Pong => {}
            Event::Close(code) => self.close_with(place, code, ""),
            _ if !self.allow(place) => {}
            Event::Text(text) => self.take_message(place, text),
            Event::Binary => self.refuse_binary(place),
            Event::Ping(payload) => {
                let mut pong = Vec::with_capacity(payload.len() + 2);
                frame::push(&mut pong, Opcode::Pong, payload);
                self.send_whole(place, &pong);
            }
        }
    }
}
