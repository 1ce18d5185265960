//! Snapshot, conflation and catch-up in one mechanism. The rule: a connection that is not current walks its
//! subscription and is told, of every counter, the fields that changed after `behind`; when a walk ends and nothing
//! was merged since it began, the connection is current.
//!
//! A subscribe sets `behind` to 0, so the snapshot is a walk; a socket that took no more sets it to the last flush
//! that it was told. Memory is bounded by the subscription, never by traffic: a walk holds its place, and at most
//! the rest of one counter's frames waits for the socket.
//!
//! While a walk goes on, what lies before its cursor is told up to flush `pass` and the rest up to `behind`.

use super::Hub;
use super::connection::{CURRENT, Phase};
use super::flush::push_changes;
use super::output::Taken;
use super::topics::Told;

/// Bytes written at once.
const WRITE: usize = 16 * 1024;

/// Bytes written, and counters looked at, in one turn.
const TURN_BYTES: usize = 64 * 1024;
const TURN_COUNTERS: usize = 8192;

/// Counters of one bucket gathered at once: about what one write takes.
const GATHER: usize = 128;

/// Turns between two looks at the sockets.
const TURNS: usize = 64;

/// Where a counter's frames end in the bytes of one write, and the cursor after it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Mark {
    end: usize,
    cursor: u32,
    told: Told,
    frames: u32,
}

impl Hub {
    /// Gives the connection a turn soon, if it has something to catch up with.
    pub(super) fn queue_walk(&mut self, place: u32) {
        let Some(connection) = self.connections.get_mut(place) else { return };
        if connection.is_behind() && !connection.blocked && !connection.queued {
            connection.queued = true;
            self.walkers.push_back(place);
        }
    }

    /// Gives a turn to some of those who wait for one.
    pub(super) fn walk_turns(&mut self) {
        for _ in 0..TURNS.min(self.walkers.len()) {
            let Some(place) = self.walkers.pop_front() else { break };
            // A place that was left and taken again is queued for whoever is there now; a turn too many is empty.
            if let Some(connection) = self.connections.get_mut(place) {
                connection.queued = false;
                self.walk(place);
            }
        }
    }

    /// One turn of a connection's walk.
    pub(super) fn walk(&mut self, place: u32) {
        let (mut bytes, mut counters) = (0, 0);
        while bytes < TURN_BYTES && counters < TURN_COUNTERS {
            let connection = &mut self.connections[place];
            if !connection.is_behind() || connection.blocked || connection.phase == Phase::Closing {
                return;
            }
            if connection.cursor == 0 && connection.told == Told::NOTHING {
                connection.pass = self.flush.number();
            }
            let (before, at) = (connection.pass, (connection.cursor, connection.told));
            counters += self.gather_walk(place);
            bytes += self.out.len();
            if !self.out.is_empty() && !self.write_walk(place) {
                return;
            }
            let number = self.flush.number();
            let connection = &mut self.connections[place];
            if (connection.cursor as usize) < connection.subscription.len() {
                debug_assert_ne!(at, (connection.cursor, connection.told), "a walk must move");
                continue;
            }
            connection.start_walk(if before == number { CURRENT } else { before });
        }
        self.queue_walk(place);
    }

    /// Encodes what the connection lacks, from its cursor on, up to one write, and moves the cursor past it. Answers
    /// the number of counters looked at.
    fn gather_walk(&mut self, place: u32) -> usize {
        self.out.clear();
        self.marks.clear();
        let connection = &mut self.connections[place];
        let mut looked = 0;
        while let Some(entry) = connection.subscription.get(connection.cursor as usize).copied() {
            self.visible.clear();
            let limit = GATHER;
            // A bucket that awaits its read tells its members by the flush that loads it.
            if self.topics.bucket(entry.bucket).is_loaded() {
                self.topics.counters_of(entry.bucket, connection.told, limit, &mut self.visible);
            }
            let whole = self.visible.len() < limit;
            for &counter in &self.visible {
                let frames =
                    push_changes(&mut self.out, &mut self.json, self.topics.counter(counter), connection.behind);
                connection.told = self.topics.told(counter);
                looked += 1;
                if frames > 0 {
                    let (cursor, told) = (connection.cursor, connection.told);
                    self.marks.push(Mark { end: self.out.len(), cursor, told, frames });
                }
                if self.out.len() >= WRITE {
                    return looked;
                }
            }
            if !whole {
                return looked;
            }
            connection.cursor += 1;
            connection.told = Told::NOTHING;
            looked += 1;
            if looked >= TURN_COUNTERS {
                return looked;
            }
        }
        looked
    }

    /// Writes what was gathered; `false` if the socket took only part of it, and the cursor is set back to there.
    fn write_walk(&mut self, place: u32) -> bool {
        let connection = &mut self.connections[place];
        match connection.transport.send(&self.out) {
            Taken::All => {
                let frames: u32 = self.marks.iter().map(|mark| mark.frames).sum();
                connection.count_frames(frames);
                self.settings.metrics.frames_out.inc_by(frames.into());
                true
            }
            Taken::Part(taken) => {
                // The counter that was cut is finished from the rest, so that every write, however small, gets on.
                let cut = self.marks.partition_point(|mark| mark.end < taken.max(1));
                let mark = self.marks[cut];
                let frames: u32 = self.marks[..=cut].iter().map(|mark| mark.frames).sum();
                connection.count_frames(frames);
                self.settings.metrics.frames_out.inc_by(frames.into());
                connection.cursor = mark.cursor;
                connection.told = mark.told;
                let rest = self.out[taken..mark.end].to_vec();
                self.block(place, &rest);
                false
            }
            Taken::Gone => {
                self.remove(place, 1006, "connection lost");
                false
            }
        }
    }
}
