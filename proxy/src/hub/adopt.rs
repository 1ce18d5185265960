//! How connections come and go. The rule: whatever ends a connection, its places, its permit and its `closed` event
//! go through here, each once.

use std::os::fd::AsFd;
use std::time::Duration;

use analytics_shared::close::CloseCode;
use analytics_shared::message::ServerMessage;
use rustix::event::epoll;

use super::clock::{Clock, NEVER, unix_millis};
use super::connection::{CURRENT, Connection, Phase};
use super::frame::{self, Opcode};
use super::mailbox::Arrival;
use super::output::Taken;
use super::session::full_allowance;
use super::slab::NONE;
use super::topics::Told;
use super::transport::Transport;
use super::{Hub, run};
use crate::events::{Closed, Opened};

/// How long a closed connection may take to end from the peer's side. Closing with unread input would reset it, and
/// the Close frame with it.
const LINGER: Duration = Duration::from_secs(5);

impl Hub {
    /// Takes the connections that wait.
    pub(super) fn adopt_arrivals(&mut self) {
        while let Some(arrival) = self.mailbox.take() {
            self.adopt(arrival);
        }
    }

    fn adopt(&mut self, arrival: Arrival) {
        let now = self.clock.now();
        let expires = arrival.expires_at.map_or(NEVER, |at| self.clock.tick_at(at));
        let authority = self.authorities.share(arrival.authority);
        let id = arrival.id;
        let place = self.connections.insert(Connection {
            id,
            transport: Transport::new(arrival.socket, arrival.session, &self.wire),
            phase: Phase::Open,
            blocked: false,
            queued: false,
            pinged: false,
            polled: (true, false),
            authority,
            scope: None,
            subscription: Vec::new(),
            behind: CURRENT,
            pass: 0,
            cursor: 0,
            told: Told::NOTHING,
            dirty: NONE,
            input: None,
            output: None,
            opened: now,
            heard: now,
            expires,
            refilled: now,
            allowance: full_allowance(self.settings.messages_per_second),
            frames_out: 0,
            tag: arrival.tag,
            _permit: arrival.permit,
        });
        if self.deadlines.len() <= place as usize {
            self.deadlines.resize(place as usize + 1, NEVER);
        }
        self.deadlines[place as usize] = self.next_deadline(place);
        self.mailbox.connections.store(self.connections.len(), std::sync::atomic::Ordering::Relaxed);
        let settings = self.settings.clone();
        settings.metrics.opened.inc();
        settings.events.opened(&Opened { id, peer: arrival.peer, tag: arrival.tag });
        tracing::debug!(connection = %id, peer = arrival.peer.map(tracing::field::display), "opened");

        let socket = self.connections[place].transport.as_fd();
        let token = epoll::EventData::new_u64(run::token(place, id));
        if let Err(error) = epoll::add(&self.epoll, socket, token, epoll::EventFlags::IN) {
            tracing::error!(%error, "a socket cannot be polled");
            return self.remove(place, 1006, "not polled");
        }
        // One write for the handshake's answer and the first message.
        let client_id = id.to_string();
        let connected =
            ServerMessage::Connected { client_id: &client_id, timestamp: unix_millis(), base: settings.base };
        self.json.clear();
        connected.write_to(&mut self.json);
        let mut out = arrival.answer;
        frame::push(&mut out, Opcode::Text, &self.json);
        self.send_whole(place, &out);
        let mut early = arrival.early;
        if !early.is_empty() {
            self.take_input(place, &mut early);
        }
    }

    /// Starts the closing handshake: the subscription ends, a Close frame goes out, then the peer has its time to end.
    pub(super) fn close(&mut self, place: u32, code: CloseCode, reason: &str) {
        self.close_with(place, code.number(), reason);
    }

    pub(super) fn close_with(&mut self, place: u32, code: u16, reason: &str) {
        if self.connections[place].phase == Phase::Closing {
            return;
        }
        self.end_session(place, code, reason);
        let mut out = Vec::new();
        // 1005 stands for "no code" and must not be sent (RFC 6455 §7.4.1).
        if code == 1005 {
            frame::push(&mut out, Opcode::Close, &[]);
        } else {
            frame::push_close(&mut out, code, reason);
        }
        self.connections[place].phase = Phase::Closing;
        self.deadlines[place as usize] = self.clock.now() + Clock::ticks(LINGER);
        self.send_whole(place, &out);
        if self.connections.get(place).is_some_and(|connection| connection.output.is_none()) {
            self.finish_writing(place);
        }
    }

    /// Everything was sent to a closing connection: says so, and waits for the peer's end.
    pub(super) fn finish_writing(&mut self, place: u32) {
        match self.connections[place].transport.finish() {
            Taken::All => self.poll_for(place, true, false),
            Taken::Part(_) => self.block(place, &[]),
            Taken::Gone => self.remove(place, 1006, "connection lost"),
        }
    }

    /// Ends a connection at once, without a word to the peer.
    pub(super) fn remove(&mut self, place: u32, code: u16, reason: &str) {
        if self.connections[place].phase == Phase::Open {
            self.end_session(place, code, reason);
        }
        // Closing the descriptor takes it out of the epoll set: no other descriptor of this socket is left.
        self.connections.remove(place);
        self.deadlines[place as usize] = NEVER;
        self.mailbox.connections.store(self.connections.len(), std::sync::atomic::Ordering::Relaxed);
    }

    fn end_session(&mut self, place: u32, code: u16, reason: &str) {
        self.unsubscribe_all(place);
        let connection = &mut self.connections[place];
        connection.input = None;
        let open = self.clock.now().saturating_sub(connection.opened);
        let closed = Closed {
            id: connection.id,
            code,
            reason,
            open: Clock::duration(open),
            frames_out: connection.frames_out.into(),
            tag: connection.tag,
        };
        self.settings.metrics.closed(code).inc();
        self.settings.events.closed(&closed);
        tracing::debug!(connection = %closed.id, code, reason, "closed");
    }
}
