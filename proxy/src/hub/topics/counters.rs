//! The counters of the tree. The rule: a counter is kept exactly while a bucket here sees it, and its state only ever
//! moves to a newer version.

use std::hash::BuildHasher;

use analytics_shared::{CounterState, Field, Id, Topic};

use super::{Entry, Told, Topics};
use crate::hub::slab::NONE;

impl Topics {
    /// Merges a state into the table as part of flush `number`.
    ///
    /// Answers the counter if a field changed; `None` if none did, it is not newer, or no bucket here sees it. Every
    /// field of a counter that is new to the hub counts as changed: a snapshot includes zeros.
    pub(in crate::hub) fn merge(&mut self, state: &CounterState, number: u64) -> Option<u32> {
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

    /// A topic was read after the watch of this stamp: from flush `number` on its members are told. Answers the bucket
    /// unless it was loaded before, or awaits a later read.
    ///
    /// Every field of what it sees counts as changed in this flush: for members that are behind, that is their snapshot.
    pub(in crate::hub) fn load(&mut self, topic: &Topic, stamp: u64, number: u64) -> Option<u32> {
        let place = self.find_bucket(topic)?;
        self.buckets[place].awaited.filter(|awaited| *awaited <= stamp)?;
        self.buckets[place].awaited = None;
        let mut counters = Vec::new();
        self.counters_of(place, Told::NOTHING, usize::MAX, &mut counters);
        for counter in counters {
            self.counters[counter].changed = [number; 4];
        }
        Some(place)
    }

    pub(super) fn find_counter(&self, organization: u32, client: Option<&Id>) -> u32 {
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

    pub(super) fn remove_counter(&mut self, place: u32) {
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
}
