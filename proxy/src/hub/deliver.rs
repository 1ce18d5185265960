//! Writing a flush to the connections that it marked. The rule: a turn first lays down what each of its connections
//! gets, then sends all of it, and only then looks at what a socket did not take.
//!
//! One write per connection, from buffers that all of them share. Apart, the two passes are faster than together: the
//! first waits for memory once for many records, the second is nothing but the kernel's work, and where the kernel
//! offers it, one system call for all of the turn.

use super::Hub;
use super::connection::Phase;
use super::flush::{Flush, Link};
use super::frame;
use super::output::Taken;
use super::ring;
use super::slab::NONE;

/// Connections that one turn sends to, between two looks at the sockets: what the ring takes at once.
const SENDS: usize = ring::BATCH;

/// Bytes laid together in one turn for connections with several topics, above which it ends early.
const LAID_BYTES: usize = 1 << 20;

/// What one connection gets in this turn.
#[derive(Debug, Clone, Copy)]
pub(super) struct Parcel {
    place: u32,
    /// Where it lies in the flush's frames, and how many frames it is.
    start: u32,
    end: u32,
    frames: u32,
    /// The ring cannot send it.
    alone: bool,
}

impl Hub {
    /// Writes the flush to some of the connections it marked.
    pub(super) fn deliver_turn(&mut self) {
        if !self.flush.active() {
            return;
        }
        let length = self.flush.frames.len();
        let packed = self.pack();
        let left = self.send_together() + self.send_alone();
        self.settings.metrics.frames_out.inc_by(packed - left);
        self.flush.frames.truncate(length);
    }

    /// Sends what the ring can send, if there is one; answers how many frames will not be sent.
    fn send_together(&mut self) -> u64 {
        let Hub { ring: Some(ring), flush, connections, .. } = self else { return 0 };
        let sends =
            flush.parcels.iter().enumerate().filter(|(_, parcel)| !parcel.alone).filter_map(|(index, parcel)| {
                let socket = connections[parcel.place].transport.plain()?;
                Some((index as u32, socket, &flush.frames[parcel.start as usize..parcel.end as usize]))
            });
        // An empty list allocates nothing, and it is empty unless a socket is full or gone.
        let short = ring.send_all(sends).to_vec();
        short.into_iter().map(|(index, taken)| self.settle(self.flush.parcels[index as usize], taken)).sum()
    }

    /// Sends the rest, a call each; answers how many frames will not be sent.
    fn send_alone(&mut self) -> u64 {
        let mut left = 0;
        for index in 0..self.flush.parcels.len() {
            let parcel = self.flush.parcels[index];
            if !parcel.alone {
                continue;
            }
            let bytes = &self.flush.frames[parcel.start as usize..parcel.end as usize];
            let taken = self.connections[parcel.place].transport.send(bytes);
            if taken != Taken::All {
                left += self.settle(parcel, taken);
            }
        }
        left
    }

    /// Lays down what the next connections get, and answers how many frames that is.
    fn pack(&mut self) -> u64 {
        let Hub { flush, connections, ring, .. } = self;
        flush.parcels.clear();
        let (mut frames, enough) = (0, flush.frames.len() + LAID_BYTES);
        while flush.active() && flush.parcels.len() < SENDS && flush.frames.len() < enough {
            let place = flush.dirty[flush.written];
            flush.written += 1;
            let Some(connection) = connections.get_mut(place) else { continue };
            let first = std::mem::replace(&mut connection.dirty, NONE);
            // Marked, but by now gone, subscribed anew, or behind: a walk tells it.
            if first == NONE || connection.is_behind() || connection.phase == Phase::Closing {
                continue;
            }
            let mut parcel = flush.parcel(place, first);
            parcel.alone = ring.is_none() || connection.transport.plain().is_none();
            connection.count_frames(parcel.frames);
            frames += u64::from(parcel.frames);
            flush.parcels.push(parcel);
        }
        frames
    }

    /// A socket did not take all of its parcel; answers how many frames will not be sent.
    #[cold]
    fn settle(&mut self, parcel: Parcel, taken: Taken) -> u64 {
        let connection = &mut self.connections[parcel.place];
        match taken {
            Taken::All => 0,
            Taken::Part(taken) => {
                let bytes = &self.flush.frames[parcel.start as usize..parcel.end as usize];
                // The frame that was cut must be finished; the ones after it are left to the walk.
                let end = frame::end_of_frame(bytes, taken);
                let left = parcel.frames - frame::count(&bytes[..end]);
                let rest = bytes[taken..end].to_vec();
                connection.uncount_frames(left);
                // The walk repeats this whole flush: some of it may have been cut off.
                connection.start_walk(self.flush.number() - 1);
                self.block(parcel.place, &rest);
                left.into()
            }
            Taken::Gone => {
                connection.uncount_frames(parcel.frames);
                self.remove(parcel.place, 1006, "connection lost");
                parcel.frames.into()
            }
        }
    }
}

impl Flush {
    /// What a list of links comes to, laid behind the frames unless it lies together already: one write of 2 KB costs
    /// less than sixteen of 150 bytes.
    fn parcel(&mut self, place: u32, first: u32) -> Parcel {
        let mut link = self.links[first as usize];
        let segment = self.segments[link.segment as usize];
        if link.next == NONE && segment.next == NONE {
            return Parcel { place, start: segment.start, end: segment.end, frames: segment.frames, alone: true };
        }
        let start = self.frames.len() as u32;
        let mut frames = self.lay(link);
        while link.next != NONE {
            link = self.links[link.next as usize];
            frames += self.lay(link);
        }
        Parcel { place, start, end: self.frames.len() as u32, frames, alone: true }
    }

    /// Copies the segments of a link behind the frames, and answers how many frames they are.
    fn lay(&mut self, link: Link) -> u32 {
        let (mut place, mut frames) = (link.segment, 0);
        while place != NONE {
            let segment = self.segments[place as usize];
            self.frames.extend_from_within(segment.start as usize..segment.end as usize);
            frames += segment.frames;
            place = segment.next;
        }
        frames
    }
}
