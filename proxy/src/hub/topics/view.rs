//! Who sees what. The rule: both directions, from a counter to its buckets and from a bucket to its counters, follow
//! `Scope::shows` and touch nothing that is not shown.

use analytics_shared::Id;

use super::{Bucket, PUBLIC_MARK, Told, Topics};
use crate::hub::slab::NONE;

impl Topics {
    /// Appends the buckets that see a counter.
    pub(in crate::hub) fn buckets_of(&self, counter: u32, buckets: &mut Vec<u32>) {
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

    /// A walk over a bucket that has told this counter last.
    pub(in crate::hub) fn told(&self, counter: u32) -> Told {
        let entry = &self.counters[counter];
        Told { mark: if entry.organization == NONE { PUBLIC_MARK } else { entry.born }, place: counter }
    }

    /// Up to `limit` counters that a bucket sees, in the order of a walk: the public one first, then the others by
    /// birth; only those after `told`.
    pub(in crate::hub) fn counters_of(&self, bucket: u32, told: Told, limit: usize, counters: &mut Vec<u32>) {
        let Bucket { content, organization, ref client, .. } = self.buckets[bucket];
        let public = self.contents[content].public_counter;
        if told.mark < PUBLIC_MARK && public != NONE {
            counters.push(public);
        }
        if organization == NONE {
            return;
        }
        if let Some(client) = client {
            let own = [self.find_counter(organization, None), self.find_counter(organization, Some(client))];
            let born = |place: u32| self.counters.get(place).map(|entry| entry.born);
            let mut own = own.map(|place| (born(place), place));
            own.sort_unstable();
            counters.extend(
                own.iter().filter(|(born, _)| born.is_some_and(|born| born > told.mark)).map(|(_, place)| place),
            );
            return;
        }
        let mut counter = match self.counters.get(told.place) {
            Some(entry) if entry.born == told.mark && entry.organization == organization => entry.next,
            _ => self.organizations[organization].counters,
        };
        while counter != NONE && counters.len() < limit {
            let entry = &self.counters[counter];
            if entry.born > told.mark {
                counters.push(counter);
            }
            counter = entry.next;
        }
    }
}
