//! Which hub watches what. The rule: the hubs of a counter are found by two or three look-ups, whatever else is
//! watched on the same content.
//!
//! A hub names a topic once when its first subscriber joins and once when its last one leaves; the masks on the way
//! down to the topic (content, organization) are taken back when the hub says that nothing below them is left.

use std::collections::{BTreeSet, HashMap};

use indexmap::IndexMap;

use analytics_shared::{Counter, Id, Scope, Topic};

/// The most hubs: one bit each.
pub(crate) const MAX_HUBS: usize = 64;

/// A hub's last subscriber left a topic.
#[derive(Debug)]
pub(crate) struct Departure {
    pub(crate) topic: Topic,
    /// The hub watches nothing else of this organization on this content.
    pub(crate) last_of_organization: bool,
    /// The hub watches nothing else on this content.
    pub(crate) last_of_content: bool,
}

/// Topics and the hubs that watch them, as bit masks.
#[derive(Debug, Default)]
pub(super) struct Interest {
    /// In an order that [`Interest::before`] walks.
    contents: IndexMap<Id, Content>,
    /// How many contents each organization is watched on.
    organizations: HashMap<Id, usize>,
}

#[derive(Debug, Default)]
struct Content {
    /// Hubs with any bucket here: who sees the public counter.
    hubs: u64,
    /// Hubs with a public bucket.
    public: u64,
    organizations: HashMap<Id, Organization>,
}

#[derive(Debug, Default)]
struct Organization {
    /// Hubs with any bucket of this organization: who sees its client-less counter.
    hubs: u64,
    /// Hubs with a bucket of all its clients.
    any: u64,
    clients: HashMap<Id, u64>,
}

impl Interest {
    pub(super) fn add(&mut self, hub: usize, topic: &Topic) {
        let bit = 1 << hub;
        let content = self.contents.entry(topic.content.clone()).or_default();
        content.hubs |= bit;
        let Some(organization) = topic.scope.organization() else {
            content.public |= bit;
            return;
        };
        if !content.organizations.contains_key(organization) {
            *self.organizations.entry(organization.clone()).or_default() += 1;
        }
        let organization = content.organizations.entry(organization.clone()).or_default();
        organization.hubs |= bit;
        match topic.scope.client() {
            None => organization.any |= bit,
            Some(client) => *organization.clients.entry(client.clone()).or_default() |= bit,
        }
    }

    pub(super) fn remove(&mut self, hub: usize, departure: &Departure) {
        let keep = !(1u64 << hub);
        let topic = &departure.topic;
        let Some(content) = self.contents.get_mut(&topic.content) else { return };
        if let Some(id) = topic.scope.organization() {
            if let Some(organization) = content.organizations.get_mut(id) {
                organization.remove(keep, topic.scope.client(), departure.last_of_organization);
                if organization.hubs == 0 {
                    content.organizations.remove(id);
                    if let Some(contents) = self.organizations.get_mut(id) {
                        *contents -= 1;
                        if *contents == 0 {
                            self.organizations.remove(id);
                        }
                    }
                }
            }
        } else {
            content.public &= keep;
        }
        if departure.last_of_content {
            content.hubs &= keep;
            if content.hubs == 0 {
                self.contents.swap_remove(&topic.content);
            }
        }
    }

    /// The hubs that have a subscriber who sees the counter.
    pub(super) fn hubs(&self, counter: &Counter) -> u64 {
        let Some(content) = self.contents.get(counter.content()) else { return 0 };
        let Some(id) = counter.organization() else { return content.hubs };
        let Some(organization) = content.organizations.get(id) else { return 0 };
        match counter.client() {
            None => organization.hubs,
            Some(client) => organization.any | organization.clients.get(client).copied().unwrap_or_default(),
        }
    }

    /// The hubs that watch a topic.
    pub(super) fn hubs_of(&self, topic: &Topic) -> u64 {
        let Some(content) = self.contents.get(&topic.content) else { return 0 };
        let Some(id) = topic.scope.organization() else { return content.public };
        let Some(organization) = content.organizations.get(id) else { return 0 };
        match topic.scope.client() {
            None => organization.any,
            Some(client) => organization.clients.get(client).copied().unwrap_or_default(),
        }
    }

    /// The scopes, in words, with which a content is watched, a few of them; `None` if it is not watched.
    pub(super) fn other_scopes(&self, content: &Id) -> Option<String> {
        const SHOWN: usize = 3;
        let content = self.contents.get(content)?;
        let public = (content.public != 0).then(|| "no organization".to_owned());
        let organizations = content.organizations.iter().flat_map(|(id, organization)| {
            let any = (organization.any != 0).then(|| format!("organization {id}"));
            any.into_iter().chain(organization.clients.keys().map(move |client| format!("{id}, client {client}")))
        });
        let mut scopes: Vec<String> = public.into_iter().chain(organizations).take(SHOWN + 1).collect();
        if scopes.len() > SHOWN {
            scopes[SHOWN] = "…".to_owned();
        }
        Some(scopes.join("; "))
    }

    /// The organizations that are watched, unless they are more than `limit`.
    pub(super) fn organizations(&self, limit: usize) -> Option<BTreeSet<Id>> {
        (self.organizations.len() <= limit).then(|| self.organizations.keys().cloned().collect())
    }

    /// Up to `limit` watched topics, from a random place in the table.
    pub(super) fn sample(&self, limit: usize) -> Vec<Topic> {
        let skip = fastrand::usize(..self.contents.len().saturating_sub(limit) + 1);
        let rest = self.contents.get_range(skip..).into_iter().flatten();
        rest.flat_map(|(id, content)| content.topics(id)).take(limit).collect()
    }

    /// How many contents are watched.
    pub(super) fn contents(&self) -> usize {
        self.contents.len()
    }

    /// The topics of up to `count` contents before a place in the table, and the place to go on from; 0 is its start.
    ///
    /// Whoever walks from the table's end to its start passes over nothing that is watched all the while: a content
    /// that leaves is replaced by the last one, which was seen before, and new ones are added at the end.
    pub(super) fn before(&self, place: usize, count: usize) -> (Vec<Topic>, usize) {
        let end = place.min(self.contents.len());
        let start = end.saturating_sub(count);
        let contents = self.contents.get_range(start..end).into_iter().flatten();
        (contents.flat_map(|(id, content)| content.topics(id)).collect(), start)
    }
}

impl Content {
    /// What is watched of this content.
    fn topics<'c>(&'c self, id: &'c Id) -> impl Iterator<Item = Topic> + 'c {
        let public = (self.public != 0).then(Scope::public);
        let organizations = self.organizations.iter().flat_map(|(organization, node)| {
            let any = (node.any != 0).then_some(None);
            let clients = any.into_iter().chain(node.clients.keys().map(|client| Some(client.clone())));
            clients.filter_map(|client| Scope::new(Some(organization.clone()), client).ok())
        });
        public.into_iter().chain(organizations).map(|scope| Topic { content: id.clone(), scope })
    }
}

impl Organization {
    fn remove(&mut self, keep: u64, client: Option<&Id>, last: bool) {
        match client {
            None => self.any &= keep,
            Some(id) => {
                if let Some(hubs) = self.clients.get_mut(id) {
                    *hubs &= keep;
                    if *hubs == 0 {
                        self.clients.remove(id);
                    }
                }
            }
        }
        if last {
            self.hubs &= keep;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixtures::{id, scopes};

    /// The table against a set of (hub, topic) and `Topic::shows`.
    #[test]
    fn a_counter_goes_to_the_hubs_that_watch_it_and_to_no_other() {
        let seed = fastrand::u64(..);
        println!("seed {seed}");
        fastrand::seed(seed);
        let mut interest = Interest::default();
        let mut watched: BTreeSet<(usize, Topic)> = BTreeSet::new();
        for _ in 0..3000 {
            let content = id(if fastrand::bool() { "x" } else { "y" });
            let scope = fastrand::choice(scopes()).expect("not empty");
            let (hub, topic) = (fastrand::usize(..3), Topic { content, scope });
            if watched.insert((hub, topic.clone())) {
                interest.add(hub, &topic);
            } else {
                watched.remove(&(hub, topic.clone()));
                let mine = || watched.iter().filter(|(other, _)| *other == hub).map(|(_, topic)| topic);
                let organization = topic.scope.organization();
                let departure = Departure {
                    last_of_organization: organization.is_some()
                        && !mine()
                            .any(|other| other.content == topic.content && other.scope.organization() == organization),
                    last_of_content: !mine().any(|other| other.content == topic.content),
                    topic,
                };
                interest.remove(hub, &departure);
            }
            for content in ["x", "y"].map(id) {
                for scope in scopes() {
                    let counter = Counter::new(content.clone(), scope.clone());
                    let topic = Topic { content: content.clone(), scope };
                    let bits = |fits: &dyn Fn(&Topic) -> bool| {
                        watched.iter().filter(|(_, topic)| fits(topic)).fold(0u64, |bits, (hub, _)| bits | 1 << hub)
                    };
                    assert_eq!(interest.hubs(&counter), bits(&|watched| watched.shows(&counter)));
                    assert_eq!(interest.hubs_of(&topic), bits(&|watched| *watched == topic));
                }
            }
            let organizations = watched.iter().filter_map(|(_, topic)| topic.scope.organization().cloned());
            assert_eq!(interest.organizations(2), Some(organizations.collect()));
            let sampled: BTreeSet<Topic> = interest.sample(usize::MAX).into_iter().collect();
            assert_eq!(sampled, watched.iter().map(|(_, topic)| topic.clone()).collect());
        }
    }

    #[test]
    fn a_walk_over_the_table_passes_over_nothing_that_stays() {
        let topic = |name: u32| Topic { content: id(&name.to_string()), scope: Scope::public() };
        for _ in 0..200 {
            let mut interest = Interest::default();
            let mut others: Vec<u32> = (0..50).collect();
            (0..100).for_each(|name| interest.add(0, &topic(name)));
            let (mut place, mut seen, mut fresh) = (usize::MAX, BTreeSet::new(), 100..);
            while place > 0 {
                let (topics, next) = interest.before(place, fastrand::usize(1..9));
                seen.extend(topics);
                place = next;
                for name in fresh.by_ref().take(fastrand::usize(..3)) {
                    interest.add(0, &topic(name));
                    others.push(name);
                }
                for _ in 0..fastrand::usize(..3).min(others.len()) {
                    let topic = topic(others.swap_remove(fastrand::usize(..others.len())));
                    interest.remove(0, &Departure { topic, last_of_organization: false, last_of_content: true });
                }
            }
            assert!((50..100).all(|name| seen.contains(&topic(name))));
        }
    }
}
