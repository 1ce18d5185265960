//! Fan-out, up to the writing. The rule: a change is encoded once, whoever sees it, and a connection is marked at most
//! once for each of its topics that changed.
//!
//! A flush takes what lies in the ring, merges it, encodes what changed and marks the connections that see it;
//! `deliver` then writes to them. It has no timer: under load more changes gather while the one before is written,
//! and they are conflated by the merge.

use super::Hub;
use super::deliver::Parcel;
use super::frame::{self, Opcode};
use super::slab::NONE;
use super::topics::{Bucket, Entry, Told};
use crate::feed::Item;
use analytics_shared::Field;
use analytics_shared::message::ServerMessage;

/// Items taken into one flush.
const ITEMS: usize = 1024;

/// Counters of a bucket that is loaded by the flush itself; members of a larger one walk, turn by turn.
const LOADED_COUNTERS: usize = 64;

/// Ticks between two warnings of an overflow; a metric counts them all.
const WARN_TICKS: u32 = 40;

/// Frames kept allocated between flushes.
const KEEP_BYTES: usize = 1 << 20;

/// The flush under way, and the number of the last one.
#[derive(Debug)]
pub(super) struct Flush {
    number: u64,
    /// Every frame of this flush, back to back; behind them, during a turn, what is laid together for it.
    pub(super) frames: Vec<u8>,
    /// What a bucket's members get: parts of `frames`, as lists.
    pub(super) segments: Vec<Segment>,
    /// What a connection gets: the lists of its buckets, as a list.
    pub(super) links: Vec<Link>,
    /// Connections that get something, and how far the writing is.
    pub(super) dirty: Vec<u32>,
    pub(super) written: usize,
    /// What the turn under way sends.
    pub(super) parcels: Vec<Parcel>,
    counters: Vec<u32>,
    /// Buckets that were loaded in this flush: their members get everything they see.
    loaded: Vec<u32>,
    buckets: Vec<u32>,
    touched: Vec<u32>,
}

/// Frames that lie together, as an entry of a list.
#[derive(Debug, Clone, Copy)]
pub(super) struct Segment {
    /// Where they lie in the flush's frames, and how many they are.
    pub(super) start: u32,
    pub(super) end: u32,
    pub(super) frames: u32,
    pub(super) next: u32,
}

/// A list of segments, as an entry of a list.
#[derive(Debug, Clone, Copy)]
pub(super) struct Link {
    pub(super) segment: u32,
    pub(super) next: u32,
}

impl Flush {
    pub(super) fn new() -> Flush {
        Flush {
            number: 1,
            frames: Vec::new(),
            segments: Vec::new(),
            links: Vec::new(),
            dirty: Vec::new(),
            written: 0,
            parcels: Vec::new(),
            counters: Vec::new(),
            loaded: Vec::new(),
            buckets: Vec::new(),
            touched: Vec::new(),
        }
    }

    /// The last flush that was begun: what is merged carries at most its number.
    pub(super) fn number(&self) -> u64 {
        self.number
    }

    /// The last flush that was written to everybody.
    pub(super) fn delivered(&self) -> u64 {
        if self.active() { self.number - 1 } else { self.number }
    }

    /// Whether a flush is being written.
    pub(super) fn active(&self) -> bool {
        self.written < self.dirty.len()
    }
}

/// Appends the frames of the fields of a counter that changed after a flush; answers how many.
pub(super) fn push_changes(frames: &mut Vec<u8>, json: &mut Vec<u8>, entry: &Entry, after: u64) -> u32 {
    let mut count = 0;
    for field in Field::ALL {
        if entry.changed[field.index()] <= after {
            continue;
        }
        json.clear();
        let update = ServerMessage::AnalyticsUpdate {
            content_id: entry.counter.content(),
            field,
            value: entry.state.counts.get(field),
            timestamp: entry.state.committed_at,
            organization_id: entry.counter.organization(),
            client_id: entry.counter.client(),
            version: entry.state.version,
        };
        update.write_to(json);
        frame::push(frames, Opcode::Text, json);
        count += 1;
    }
    count
}

impl Hub {
    /// Takes what lies in the ring into a new flush.
    pub(super) fn begin_flush(&mut self) {
        if self.port.take_resync() {
            let now = self.clock.now();
            if now.saturating_sub(self.warned) >= WARN_TICKS || self.warned == 0 {
                self.warned = now.max(1);
                tracing::warn!(hub = self.index, "changes may have been lost; reading everything watched anew");
            }
            self.feed.read(self.topics.watched());
        }
        if self.changes.is_empty() {
            return;
        }
        let flush = &mut self.flush;
        flush.number += 1;
        flush.counters.clear();
        flush.loaded.clear();
        for _ in 0..ITEMS {
            match self.changes.pop() {
                Ok(Item::State(state)) => flush.counters.extend(self.topics.merge(&state, flush.number)),
                Ok(Item::Loaded { topic, stamp }) => flush.loaded.extend(self.topics.load(&topic, stamp, flush.number)),
                Err(_) => break,
            }
        }
        flush.counters.sort_unstable();
        flush.counters.dedup();
        self.encode_loaded();
        self.encode_changed();
        self.mark_dirty();
    }

    /// Encodes everything that newly loaded buckets see, or lets their members walk where that is much.
    fn encode_loaded(&mut self) {
        let flush = &mut self.flush;
        flush.frames.clear();
        flush.frames.shrink_to(KEEP_BYTES);
        flush.segments.clear();
        flush.touched.clear();
        let number = flush.number;
        for place in std::mem::take(&mut flush.loaded) {
            let flush = &mut self.flush;
            self.visible.clear();
            self.topics.counters_of(place, Told::NOTHING, LOADED_COUNTERS + 1, &mut self.visible);
            let bucket = self.topics.bucket_mut(place);
            bucket.flush = number;
            bucket.first_segment = NONE;
            // Nothing may be added: its members get everything.
            bucket.last_segment = COMPLETE;
            if self.visible.len() > LOADED_COUNTERS {
                for member in bucket.members.clone() {
                    let connection = &mut self.connections[member.connection];
                    if !connection.is_behind() {
                        connection.start_walk(number - 1);
                        self.queue_walk(member.connection);
                    }
                }
                continue;
            }
            let start = flush.frames.len() as u32;
            let mut frames = 0;
            for &counter in &self.visible {
                frames += push_changes(&mut flush.frames, &mut self.json, self.topics.counter(counter), number - 1);
            }
            if frames > 0 {
                self.topics.bucket_mut(place).first_segment = flush.segments.len() as u32;
                flush.segments.push(Segment { start, end: flush.frames.len() as u32, frames, next: NONE });
                flush.touched.push(place);
            }
        }
    }

    /// Encodes the changed counters and hands the frames to the buckets that see them.
    fn encode_changed(&mut self) {
        let Flush { number, frames, segments, counters, buckets, touched, .. } = &mut self.flush;
        for &counter in counters.iter() {
            let start = frames.len() as u32;
            let count = push_changes(frames, &mut self.json, self.topics.counter(counter), *number - 1);
            let segment = Segment { start, end: frames.len() as u32, frames: count, next: NONE };
            buckets.clear();
            self.topics.buckets_of(counter, buckets);
            for &place in buckets.iter() {
                let bucket = self.topics.bucket_mut(place);
                if !bucket.is_loaded() {
                    continue;
                }
                if bucket.flush != *number {
                    bucket.flush = *number;
                    bucket.first_segment = NONE;
                    bucket.last_segment = NONE;
                    touched.push(place);
                }
                push_segment(segments, bucket, segment);
            }
        }
    }

    /// Marks the connections that get something.
    fn mark_dirty(&mut self) {
        let flush = &mut self.flush;
        flush.links.clear();
        flush.dirty.clear();
        flush.written = 0;
        for &place in &flush.touched {
            let bucket = self.topics.bucket(place);
            for member in &bucket.members {
                let connection = &mut self.connections[member.connection];
                if connection.is_behind() {
                    continue;
                }
                if connection.dirty == NONE {
                    flush.dirty.push(member.connection);
                }
                let link = Link { segment: bucket.first_segment, next: connection.dirty };
                connection.dirty = flush.links.len() as u32;
                flush.links.push(link);
            }
        }
    }
}

/// [`Bucket::last_segment`] of a bucket whose members get everything anyway.
const COMPLETE: u32 = NONE - 1;

/// Adds frames to what a bucket's members get; joins them to the last ones where they follow them.
fn push_segment(segments: &mut Vec<Segment>, bucket: &mut Bucket, segment: Segment) {
    let last = bucket.last_segment;
    if last == COMPLETE {
        return;
    }
    if let Some(last) = segments.get_mut(last as usize).filter(|last| last.end == segment.start) {
        last.end = segment.end;
        last.frames += segment.frames;
        return;
    }
    let place = segments.len() as u32;
    segments.push(segment);
    match last {
        NONE => bucket.first_segment = place,
        last => segments[last as usize].next = place,
    }
    bucket.last_segment = place;
}
