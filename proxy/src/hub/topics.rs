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

use std::hash::BuildHasher;

use analytics_shared::counts::Versioned;
use analytics_shared::{Counter, CounterState, Field, Id, Topic};
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

/// A place in a bucket: what a subscription holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) bucket: u32,
    pub(super) slot: u32,
}

/// What joining a topic did.
#[derive(Debug)]
pub(super) struct Joined {
    pub(super) place: Place,
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

    /// The topics of all buckets.
    pub(super) fn watched(&self) -> Vec<Topic> {
        self.buckets.iter().map(|(_, bucket)| self.topic_of(bucket)).collect()
    }

    /// The content of a bucket.
    pub(super) fn content_of(&self, bucket: u32) -> &Id {
        &self.contents[self.buckets[bucket].content].id
    }

    // ---- joining and leaving -------------------------------------------------------------------------------

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
        Joined { place: Place { bucket, slot: (members.len() - 1) as u32 }, first }
    }

    pub(super) fn leave(&mut self, place: Place) -> Left {
        let bucket = &mut self.buckets[place.bucket];
        bucket.members.swap_remove(place.slot as usize);
        if bucket.members.capacity() > 64 && bucket.members.len() * 4 < bucket.members.capacity() {
            bucket.members.shrink_to(bucket.members.len() * 2);
        }
        let moved = bucket.members.get(place.slot as usize).copied();
        let departure = bucket.members.is_empty().then(|| self.remove_bucket(place.bucket));
        Left { moved, departure }
    }

    fn find_or_add_content(&mut self, id: &Id) -> u32 {
        let hash = self.hasher.hash_one(id);
        let (contents, hasher) = (&self.contents, &self.hasher);
        if let Some(&content) = self.by_content.find(hash, |&content| contents[content].id == *id) {
            return content;
        }
        let content = Content { id: id.clone(), public_bucket: NONE, public_counter: NONE, organizations: NONE };
        let content = self.contents.insert(content);
        let contents = &self.contents;
        self.by_content.insert_unique(hash, content, |&content| hasher.hash_one(&contents[content].id));
        content
    }

    fn organization_hash(hasher: &DefaultHashBuilder, content: u32, id: &Id) -> u64 {
        hasher.hash_one((content, id))
    }

    fn find_organization(&self, content: u32, id: &Id) -> u32 {
        let hash = Topics::organization_hash(&self.hasher, content, id);
        let found = self.by_organization.find(hash, |&organization| {
            let organization = &self.organizations[organization];
            organization.content == content && organization.id == *id
        });
        found.copied().unwrap_or(NONE)
    }

    fn find_or_add_organization(&mut self, content: u32, id: &Id) -> u32 {
        let found = self.find_organization(content, id);
        if found != NONE {
            return found;
        }
        let next = self.contents[content].organizations;
        let organization = self.organizations.insert(Organization {
            id: id.clone(),
            content,
            previous: NONE,
            next,
            any_bucket: NONE,
            client_buckets: NONE,
            counters: NONE,
            last_counter: NONE,
        });
        if next != NONE {
            self.organizations[next].previous = organization;
        }
        self.contents[content].organizations = organization;
        let (organizations, hasher) = (&self.organizations, &self.hasher);
        let hash = Topics::organization_hash(hasher, content, id);
        self.by_organization.insert_unique(hash, organization, |&organization| {
            let organization = &organizations[organization];
            Topics::organization_hash(hasher, organization.content, &organization.id)
        });
        organization
    }

    fn find_client_bucket(&self, organization: u32, client: &Id) -> u32 {
        let hash = self.hasher.hash_one((organization, Some(client)));
        let found = self.by_client.find(hash, |&bucket| {
            let bucket = &self.buckets[bucket];
            bucket.organization == organization && bucket.client.as_ref() == Some(client)
        });
        found.copied().unwrap_or(NONE)
    }

    /// The bucket of an organization's client, or of the whole organization, and whether it is new.
    fn find_or_add_bucket(&mut self, content: u32, organization: u32, client: Option<&Id>) -> (u32, bool) {
        let Some(client) = client else {
            let mut bucket = self.organizations[organization].any_bucket;
            let first = bucket == NONE;
            if first {
                bucket = self.buckets.insert(Bucket::new(content, organization, None));
                self.organizations[organization].any_bucket = bucket;
            }
            return (bucket, first);
        };
        let found = self.find_client_bucket(organization, client);
        if found != NONE {
            return (found, false);
        }
        let next = self.organizations[organization].client_buckets;
        let mut bucket = Bucket::new(content, organization, Some(client.clone()));
        bucket.next = next;
        let bucket = self.buckets.insert(bucket);
        if next != NONE {
            self.buckets[next].previous = bucket;
        }
        self.organizations[organization].client_buckets = bucket;
        let (buckets, hasher) = (&self.buckets, &self.hasher);
        let hash = hasher.hash_one((organization, Some(client)));
        self.by_client.insert_unique(hash, bucket, |&bucket| {
            let bucket = &buckets[bucket];
            hasher.hash_one((bucket.organization, bucket.client.as_ref()))
        });
        (bucket, true)
    }

    fn topic_of(&self, bucket: &Bucket) -> Topic {
        let organization = self.organizations.get(bucket.organization).map(|organization| organization.id.clone());
        // A bucket with a client has an organization by construction; were it not so, the topic shows less.
        let scope = analytics_shared::Scope::new(organization, bucket.client.clone()).unwrap_or_default();
        Topic { content: self.contents[bucket.content].id.clone(), scope }
    }

    fn remove_bucket(&mut self, place: u32) -> Departure {
        let topic = self.topic_of(&self.buckets[place]);
        let Bucket { content, organization, ref client, previous, next, .. } = self.buckets[place];
        if organization == NONE {
            self.contents[content].public_bucket = NONE;
        } else if let Some(client) = client {
            let hash = self.hasher.hash_one((organization, Some(client)));
            if let Ok(entry) = self.by_client.find_entry(hash, |&bucket| bucket == place) {
                entry.remove();
            }
            match previous {
                NONE => self.organizations[organization].client_buckets = next,
                previous => self.buckets[previous].next = next,
            }
            if next != NONE {
                self.buckets[next].previous = previous;
            }
        } else {
            self.organizations[organization].any_bucket = NONE;
        }
        self.buckets.remove(place);
        let last_of_organization = organization != NONE && self.drop_unseen(organization);
        let last_of_content = self.drop_content_if_unwatched(content);
        Departure { topic, last_of_organization, last_of_content }
    }

    /// Forgets the counters of an organization that no bucket sees any more, and the organization itself if it has
    /// no bucket left; answers whether it is gone.
    fn drop_unseen(&mut self, organization: u32) -> bool {
        let (any, clients) =
            (self.organizations[organization].any_bucket, self.organizations[organization].client_buckets);
        let empty = any == NONE && clients == NONE;
        if any != NONE {
            return false;
        }
        let mut counter = self.organizations[organization].counters;
        while counter != NONE {
            let next = self.counters[counter].next;
            let seen = match self.counters[counter].counter.client() {
                None => !empty,
                Some(client) => self.find_client_bucket(organization, client) != NONE,
            };
            if !seen {
                self.remove_counter(counter);
            }
            counter = next;
        }
        if empty {
            let Organization { content, previous, next, .. } = self.organizations[organization];
            match previous {
                NONE => self.contents[content].organizations = next,
                previous => self.organizations[previous].next = next,
            }
            if next != NONE {
                self.organizations[next].previous = previous;
            }
            let hash = Topics::organization_hash(&self.hasher, content, &self.organizations[organization].id);
            if let Ok(entry) = self.by_organization.find_entry(hash, |&place| place == organization) {
                entry.remove();
            }
            self.organizations.remove(organization);
        }
        empty
    }

    fn drop_content_if_unwatched(&mut self, place: u32) -> bool {
        let Content { ref id, public_bucket, public_counter, organizations } = self.contents[place];
        if public_bucket != NONE || organizations != NONE {
            return false;
        }
        let hash = self.hasher.hash_one(id);
        if let Ok(entry) = self.by_content.find_entry(hash, |&content| content == place) {
            entry.remove();
        }
        if public_counter != NONE {
            self.remove_counter(public_counter);
        }
        self.contents.remove(place);
        true
    }

    // ---- counters ------------------------------------------------------------------------------------------

    /// Merges a state into the table as part of flush `number`.
    ///
    /// Answers the counter and whether any field changed; `None` if no bucket here sees it or it is not newer. Every
    /// field of a counter that is new to the hub counts as changed: a snapshot includes zeros.
    pub(super) fn merge(&mut self, state: &CounterState, number: u64) -> Option<u32> {
        let hash = self.hasher.hash_one(state.counter.content());
        let contents = &self.contents;
        let content = *self.by_content.find(hash, |&content| contents[content].id == *state.counter.content())?;
        let organization = match state.counter.organization() {
            None => NONE,
            Some(id) => match self.find_organization(content, id) {
                NONE => return None,
                organization => organization,
            },
        };
        let known = match organization {
            NONE => self.contents[content].public_counter,
            organization => self.find_counter(organization, state.counter.client()),
        };
        if known == NONE {
            return self.add_counter(content, organization, state, number);
        }
        let entry = &mut self.counters[known];
        let before = entry.state.counts;
        if !entry.state.merge(&state.versioned) {
            return None;
        }
        let mut changed = false;
        for field in Field::ALL {
            if before.get(field) != entry.state.counts.get(field) {
                entry.changed[field.index()] = number;
                changed = true;
            }
        }
        changed.then_some(known)
    }

    fn find_counter(&self, organization: u32, client: Option<&Id>) -> u32 {
        let hash = self.hasher.hash_one((organization, client));
        let found = self.by_counter.find(hash, |&counter| {
            let entry = &self.counters[counter];
            entry.organization == organization && entry.counter.client() == client
        });
        found.copied().unwrap_or(NONE)
    }

    fn add_counter(&mut self, content: u32, organization: u32, state: &CounterState, number: u64) -> Option<u32> {
        let client = state.counter.client();
        if let (Some(client), true) = (client, organization != NONE) {
            let any = self.organizations[organization].any_bucket;
            if any == NONE && self.find_client_bucket(organization, client) == NONE {
                return None;
            }
        }
        self.births += 1;
        let previous = if organization == NONE { NONE } else { self.organizations[organization].last_counter };
        let counter = self.counters.insert(Entry {
            counter: state.counter.clone(),
            state: state.versioned,
            changed: [number; 4],
            born: self.births,
            content,
            organization,
            previous,
            next: NONE,
        });
        if organization == NONE {
            self.contents[content].public_counter = counter;
            return Some(counter);
        }
        match previous {
            NONE => self.organizations[organization].counters = counter,
            previous => self.counters[previous].next = counter,
        }
        self.organizations[organization].last_counter = counter;
        let (counters, hasher) = (&self.counters, &self.hasher);
        let hash = hasher.hash_one((organization, client));
        self.by_counter.insert_unique(hash, counter, |&counter| {
            let entry = &counters[counter];
            hasher.hash_one((entry.organization, entry.counter.client()))
        });
        Some(counter)
    }

    fn remove_counter(&mut self, place: u32) {
        let Some(entry) = self.counters.remove(place) else { return };
        if entry.organization == NONE {
            return;
        }
        match entry.previous {
            NONE => self.organizations[entry.organization].counters = entry.next,
            previous => self.counters[previous].next = entry.next,
        }
        match entry.next {
            NONE => self.organizations[entry.organization].last_counter = entry.previous,
            next => self.counters[next].previous = entry.previous,
        }
        let hash = self.hasher.hash_one((entry.organization, entry.counter.client()));
        if let Ok(found) = self.by_counter.find_entry(hash, |&counter| counter == place) {
            found.remove();
        }
    }

    // ---- who sees what -------------------------------------------------------------------------------------

    /// Appends the buckets that see a counter.
    pub(super) fn buckets_of(&self, counter: u32, buckets: &mut Vec<u32>) {
        let entry = &self.counters[counter];
        if entry.organization != NONE {
            return self.buckets_in(entry.organization, entry.counter.client(), buckets);
        }
        let content = &self.contents[entry.content];
        if content.public_bucket != NONE {
            buckets.push(content.public_bucket);
        }
        let mut organization = content.organizations;
        while organization != NONE {
            self.buckets_in(organization, None, buckets);
            organization = self.organizations[organization].next;
        }
    }

    fn buckets_in(&self, organization: u32, client: Option<&Id>, buckets: &mut Vec<u32>) {
        let node = &self.organizations[organization];
        if node.any_bucket != NONE {
            buckets.push(node.any_bucket);
        }
        match client {
            None => {
                let mut bucket = node.client_buckets;
                while bucket != NONE {
                    buckets.push(bucket);
                    bucket = self.buckets[bucket].next;
                }
            }
            Some(client) => match self.find_client_bucket(organization, client) {
                NONE => {}
                bucket => buckets.push(bucket),
            },
        }
    }

    /// The mark of a counter in a walk over a bucket: grows along the walk, above 0.
    pub(super) fn mark_of(&self, counter: u32) -> u64 {
        let entry = &self.counters[counter];
        if entry.organization == NONE { PUBLIC_MARK } else { entry.born }
    }

    /// Up to `limit` counters that a bucket sees, in the order of a walk: the public one first, then the others by
    /// birth; only those whose mark lies above `after`.
    pub(super) fn counters_of(&self, bucket: u32, after: u64, limit: usize, counters: &mut Vec<u32>) {
        let Bucket { content, organization, ref client, .. } = self.buckets[bucket];
        let public = self.contents[content].public_counter;
        if after < PUBLIC_MARK && public != NONE {
            counters.push(public);
        }
        if organization == NONE {
            return;
        }
        if let Some(client) = client {
            let own = [self.find_counter(organization, None), self.find_counter(organization, Some(client))];
            let mut own: Vec<u32> =
                own.into_iter().filter(|&place| place != NONE && self.counters[place].born > after).collect();
            own.sort_unstable_by_key(|&place| self.counters[place].born);
            counters.append(&mut own);
            return;
        }
        let mut counter = self.organizations[organization].counters;
        while counter != NONE && counters.len() < limit {
            let entry = &self.counters[counter];
            if entry.born > after {
                counters.push(counter);
            }
            counter = entry.next;
        }
    }
}

impl Bucket {
    fn new(content: u32, organization: u32, client: Option<Id>) -> Bucket {
        Bucket {
            content,
            organization,
            client,
            previous: NONE,
            next: NONE,
            members: Vec::new(),
            flush: 0,
            first_segment: NONE,
            last_segment: NONE,
        }
    }
}
