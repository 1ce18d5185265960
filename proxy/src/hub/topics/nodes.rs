//! Finding, adding and removing the nodes of the tree. The rule: a node is found by one look-up in a table of places,
//! and goes when the last bucket below it does.

use std::hash::BuildHasher;

use analytics_shared::{Id, Topic};
use hashbrown::DefaultHashBuilder;

use super::{Bucket, Content, Organization, Topics};
use crate::feed::Departure;
use crate::hub::slab::NONE;

impl Topics {
    pub(super) fn find_or_add_content(&mut self, id: &Id) -> u32 {
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

    /// The bucket of a topic, if it is watched.
    pub(super) fn find_bucket(&self, topic: &Topic) -> Option<u32> {
        let hash = self.hasher.hash_one(&topic.content);
        let content = *self.by_content.find(hash, |&content| self.contents[content].id == topic.content)?;
        let bucket = match (topic.scope.organization(), topic.scope.client()) {
            (None, _) => self.contents[content].public_bucket,
            (Some(id), client) => match (self.find_organization(content, id), client) {
                (NONE, _) => NONE,
                (organization, None) => self.organizations[organization].any_bucket,
                (organization, Some(client)) => self.find_client_bucket(organization, client),
            },
        };
        (bucket != NONE).then_some(bucket)
    }

    pub(super) fn find_organization(&self, content: u32, id: &Id) -> u32 {
        let hash = Topics::organization_hash(&self.hasher, content, id);
        let found = self.by_organization.find(hash, |&organization| {
            let organization = &self.organizations[organization];
            organization.content == content && organization.id == *id
        });
        found.copied().unwrap_or(NONE)
    }

    pub(super) fn find_or_add_organization(&mut self, content: u32, id: &Id) -> u32 {
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

    pub(super) fn find_client_bucket(&self, organization: u32, client: &Id) -> u32 {
        let hash = self.hasher.hash_one((organization, Some(client)));
        let found = self.by_client.find(hash, |&bucket| {
            let bucket = &self.buckets[bucket];
            bucket.organization == organization && bucket.client.as_ref() == Some(client)
        });
        found.copied().unwrap_or(NONE)
    }

    /// The bucket of an organization's client, or of the whole organization, and whether it is new.
    pub(super) fn find_or_add_bucket(&mut self, content: u32, organization: u32, client: Option<&Id>) -> (u32, bool) {
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

    pub(super) fn topic_of(&self, bucket: &Bucket) -> Topic {
        let organization = self.organizations.get(bucket.organization).map(|organization| organization.id.clone());
        // A bucket with a client has an organization by construction; were it not so, the topic shows less.
        let scope = analytics_shared::Scope::new(organization, bucket.client.clone()).unwrap_or_default();
        Topic { content: self.contents[bucket.content].id.clone(), scope }
    }

    pub(super) fn remove_bucket(&mut self, place: u32) -> Departure {
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
}
