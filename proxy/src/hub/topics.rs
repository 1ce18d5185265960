//! What a hub watches: contents, their organizations, buckets of subscribers, counters. The rule: a change finds
//! exactly the buckets that may see it, and a bucket exactly the counters that it may see, without looking at any
//! other.
//!
//! ```text
//! content ─┬─ public bucket            sees the public counter
//!          ├─ public counter
//!          └─ organization ─┬─ any bucket      sees the public counter and all of the organization's
//!                           ├─ client bucket   sees the public one, the client-less one and its client's
//!                           └─ counters        in the order in which the hub first saw them
//! ```
//! A node lives as long as a bucket below it; a counter as long as a bucket that sees it.

mod counters;
mod nodes;
#[cfg(test)]
mod tests;
mod view;

use analytics_shared::counts::Versioned;
use analytics_shared::{Counter, Id, Topic};
use hashbrown::{DefaultHashBuilder, HashTable};

use super::slab::{NONE, Slab};
use crate::feed::Departure;

/// One content that somebody watches.
#[derive(Debug)]
struct Content {
    id: Id,
    public_bucket: u32,
    public_counter: u32,
    /// First of the organizations watched on this content.
    organizations: u32,
}

/// One organization on one content.
#[derive(Debug)]
struct Organization {
    id: Id,
    content: u32,
    previous: u32,
    next: u32,
    any_bucket: u32,
    /// First of the client buckets.
    client_buckets: u32,
    /// First and last of the counters, oldest first.
    counters: u32,
    last_counter: u32,
}

/// The subscribers of one topic.
#[derive(Debug)]
pub(super) struct Bucket {
    content: u32,
    organization: u32,
    client: Option<Id>,
    previous: u32,
    next: u32,
    pub(super) members: Vec<Member>,
    /// The stamp of the watch, while the read that must follow it is awaited; until then nothing here is told. What
    /// the stream brings meanwhile may be older than what a connection was told before it came here.
    awaited: Option<u64>,
    /// What the flush of this number has for the members: a list in the flush's segments.
    pub(super) flush: u64,
    pub(super) first_segment: u32,
    pub(super) last_segment: u32,
}

/// A subscriber in a bucket, and where in its subscription the bucket stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Member {
    pub(super) connection: u32,
    pub(super) position: u32,
}

/// A counter as this hub knows it.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) counter: Counter,
    pub(super) state: Versioned,
    /// Per field, the flush of its last change.
    pub(super) changed: [u64; 4],
    /// Order of arrival: a walk that was interrupted goes on after the last one it sent.
    pub(super) born: u64,
    content: u32,
    organization: u32,
    previous: u32,
    next: u32,
}

/// A seat in a bucket: what a subscription holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Seat {
    pub(super) bucket: u32,
    pub(super) slot: u32,
}

/// The last counter that a walk over a bucket told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Told {
    /// Its mark; grows along the walk, and stays right when counters come and go.
    mark: u64,
    /// Where it was: a short cut to its next, if it is still there.
    place: u32,
}

impl Told {
    /// The walk is at the bucket's beginning.
    pub(super) const NOTHING: Told = Told { mark: 0, place: NONE };
}

/// What joining a topic did.
#[derive(Debug)]
pub(super) struct Joined {
    pub(super) seat: Seat,
    /// The bucket is new: its topic must be watched and read.
    pub(super) first: bool,
}

/// What leaving a bucket did.
#[derive(Debug, Default)]
pub(super) struct Left {
    /// The member that took the freed slot; its subscription must learn of it.
    pub(super) moved: Option<Member>,
    /// The bucket is gone.
    pub(super) departure: Option<Departure>,
}

/// The mark of a public counter; births are counted from above it.
const PUBLIC_MARK: u64 = 1;

#[derive(Debug)]
pub(super) struct Topics {
    contents: Slab<Content>,
    organizations: Slab<Organization>,
    buckets: Slab<Bucket>,
    counters: Slab<Entry>,
    by_content: HashTable<u32>,
    by_organization: HashTable<u32>,
    by_client: HashTable<u32>,
    by_counter: HashTable<u32>,
    hasher: DefaultHashBuilder,
    births: u64,
}

impl Topics {
    pub(super) fn new() -> Topics {
        Topics {
            contents: Slab::new(),
            organizations: Slab::new(),
            buckets: Slab::new(),
            counters: Slab::new(),
            by_content: HashTable::new(),
            by_organization: HashTable::new(),
            by_client: HashTable::new(),
            by_counter: HashTable::new(),
            hasher: DefaultHashBuilder::default(),
            births: PUBLIC_MARK,
        }
    }

    pub(super) fn bucket_mut(&mut self, bucket: u32) -> &mut Bucket {
        &mut self.buckets[bucket]
    }

    pub(super) fn bucket(&self, bucket: u32) -> &Bucket {
        &self.buckets[bucket]
    }

    pub(super) fn counter(&self, counter: u32) -> &Entry {
        &self.counters[counter]
    }

    /// Whether nothing is left: no node, no counter, no entry of a table.
    #[cfg(test)]
    fn is_empty(&self) -> bool {
        self.contents.len() + self.organizations.len() + self.buckets.len() + self.counters.len() == 0
            && self.by_content.is_empty()
            && self.by_organization.is_empty()
            && self.by_client.is_empty()
            && self.by_counter.is_empty()
    }

    /// Records looked at since the last call: contents, organizations, buckets, counters.
    #[cfg(test)]
    pub(super) fn take_touched(&self) -> [usize; 4] {
        let Topics { contents, organizations, buckets, counters, .. } = self;
        [contents.take_touched(), organizations.take_touched(), buckets.take_touched(), counters.take_touched()]
    }

    /// The topics of all buckets.
    pub(super) fn watched(&self) -> Vec<Topic> {
        self.buckets.iter().map(|(_, bucket)| self.topic_of(bucket)).collect()
    }

    /// A new bucket's topic is watched since this stamp.
    pub(super) fn await_read(&mut self, bucket: u32, stamp: u64) {
        self.buckets[bucket].awaited = Some(stamp);
    }

    /// The content of a bucket.
    pub(super) fn content_of(&self, bucket: u32) -> &Id {
        &self.contents[self.buckets[bucket].content].id
    }

    pub(super) fn join(&mut self, topic: &Topic, member: Member) -> Joined {
        let content = self.find_or_add_content(&topic.content);
        let (bucket, first) = match topic.scope.organization() {
            None => match self.contents[content].public_bucket {
                NONE => {
                    let bucket = self.buckets.insert(Bucket::new(content, NONE, None));
                    self.contents[content].public_bucket = bucket;
                    (bucket, true)
                }
                bucket => (bucket, false),
            },
            Some(id) => {
                let organization = self.find_or_add_organization(content, id);
                self.find_or_add_bucket(content, organization, topic.scope.client())
            }
        };
        let members = &mut self.buckets[bucket].members;
        members.push(member);
        Joined { seat: Seat { bucket, slot: (members.len() - 1) as u32 }, first }
    }

    pub(super) fn leave(&mut self, seat: Seat) -> Left {
        let bucket = &mut self.buckets[seat.bucket];
        bucket.members.swap_remove(seat.slot as usize);
        if bucket.members.capacity() > 64 && bucket.members.len() * 4 < bucket.members.capacity() {
            bucket.members.shrink_to(bucket.members.len() * 2);
        }
        let moved = bucket.members.get(seat.slot as usize).copied();
        let departure = bucket.members.is_empty().then(|| self.remove_bucket(seat.bucket));
        Left { moved, departure }
    }
}

impl Bucket {
    /// Whether everything that the bucket sees is known, so that its members may be told.
    pub(super) fn is_loaded(&self) -> bool {
        self.awaited.is_none()
    }

    fn new(content: u32, organization: u32, client: Option<Id>) -> Bucket {
        Bucket {
            content,
            organization,
            client,
            previous: NONE,
            next: NONE,
            members: Vec::new(),
            awaited: Some(u64::MAX),
            flush: 0,
            first_segment: NONE,
            last_segment: NONE,
        }
    }
}
