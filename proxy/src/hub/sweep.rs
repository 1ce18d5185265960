//! What comes with time: tokens end, silent peers are pinged and then given up, lingering sockets are cut. The
//! rule: one pass over a dense list of deadlines per tick, and only what is due is looked at.

use analytics_shared::close::CloseCode;

use super::Hub;
use super::clock::Clock;
use super::connection::Phase;
use super::frame::{self, Opcode};

/// Ticks between two prunings of shared values.
const PRUNE: u32 = 240;

impl Hub {
    /// Looks at what is due, once per tick.
    pub(super) fn sweep(&mut self) {
        let now = self.clock.now();
        if now == self.swept {
            return;
        }
        self.swept = now;
        for place in 0..self.deadlines.len() {
            if self.deadlines[place] <= now {
                self.on_deadline(place as u32, now);
            }
        }
        if now.is_multiple_of(PRUNE) {
            self.authorities.prune();
            self.scopes.prune();
        }
    }

    fn on_deadline(&mut self, place: u32, now: u32) {
        let interval = Clock::ticks(self.settings.heartbeat_interval);
        let timeout = Clock::ticks(self.settings.heartbeat_timeout);
        let Some(connection) = self.connections.get_mut(place) else { return };
        let silent = now.saturating_sub(connection.heard);
        if connection.phase == Phase::Closing {
            return self.remove(place, 1006, "did not end");
        }
        if connection.expires <= now {
            return self.close(place, CloseCode::TokenExpired, "the token has expired");
        }
        if silent >= timeout {
            self.settings.metrics.reaped.inc();
            return self.close(place, CloseCode::Policy, "no heartbeat");
        }
        if silent >= interval && !connection.pinged {
            connection.pinged = true;
            // A peer whose output waits shows by taking it that it lives; a ping would only join the queue.
            if !connection.blocked {
                let mut ping = Vec::new();
                frame::push(&mut ping, Opcode::Ping, &[]);
                self.send_whole(place, &ping);
            }
        }
        if self.connections.get(place).is_some() {
            self.deadlines[place as usize] = self.next_deadline(place);
        }
    }

    /// When an open connection must be looked at next.
    pub(super) fn next_deadline(&self, place: u32) -> u32 {
        let connection = &self.connections[place];
        let patience =
            if connection.pinged { self.settings.heartbeat_timeout } else { self.settings.heartbeat_interval };
        connection.expires.min(connection.heard.saturating_add(Clock::ticks(patience)))
    }
}
