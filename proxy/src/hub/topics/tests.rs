//! The tree against a model that knows only `Topic::shows`: random joins, leaves and changes.

use std::collections::{BTreeMap, BTreeSet};

use analytics_shared::counts::{Counts, Versioned};
use analytics_shared::{Counter, CounterState, Id, Scope, Topic};

use super::*;
use crate::fixtures::{id, scopes};

/// Two contents, each with every scope: topics and counters alike.
fn universe() -> Vec<(Id, Scope)> {
    ["x", "y"].into_iter().flat_map(|content| scopes().into_iter().map(move |scope| (id(content), scope))).collect()
}

#[derive(Default)]
struct Model {
    /// Subscriptions by connection, as the hub keeps them.
    subscriptions: BTreeMap<u32, Vec<(Topic, Seat)>>,
}

impl Model {
    fn topics(&self) -> impl Iterator<Item = &(Topic, Seat)> {
        self.subscriptions.values().flatten()
    }
}

/// What the feed would hold: states, and the topics watched.
struct World {
    topics: Topics,
    model: Model,
    states: BTreeMap<Counter, Versioned>,
    watched: BTreeSet<Topic>,
    flush: u64,
}

impl World {
    fn join(&mut self, connection: u32, topic: Topic) {
        let subscription = self.model.subscriptions.entry(connection).or_default();
        if subscription.iter().any(|(other, _)| *other == topic) {
            return;
        }
        let joined = self.topics.join(&topic, Member { connection, position: subscription.len() as u32 });
        subscription.push((topic.clone(), joined.seat));
        assert_eq!(joined.first, self.watched.insert(topic.clone()));
        if joined.first {
            // The read that follows a first watcher.
            self.flush += 1;
            for (counter, versioned) in &self.states {
                if topic.shows(counter) {
                    self.topics.merge(&CounterState { counter: counter.clone(), versioned: *versioned }, self.flush);
                }
            }
        }
    }

    fn leave(&mut self, connection: u32) {
        let Some((topic, place)) = self.model.subscriptions.get_mut(&connection).and_then(Vec::pop) else { return };
        let left = self.topics.leave(place);
        if let Some(Member { connection, position }) = left.moved {
            let subscription = self.model.subscriptions.get_mut(&connection).expect("a known connection");
            subscription[position as usize].1.slot = place.slot;
        }
        let others = self.model.topics().filter(|(other, _)| *other == topic).count();
        assert_eq!(left.departure.is_some(), others == 0);
        let Some(departure) = left.departure else { return };
        assert_eq!(departure.topic, topic);
        self.watched.remove(&topic);
        let content = |other: &Topic| other.content == topic.content;
        let organization = |other: &Topic| content(other) && other.scope.organization() == topic.scope.organization();
        assert_eq!(departure.last_of_content, !self.watched.iter().any(content));
        let last = topic.scope.organization().is_some() && !self.watched.iter().any(organization);
        assert_eq!(departure.last_of_organization, last);
    }

    fn change(&mut self, counter: Counter) {
        self.flush += 1;
        let versioned = self.states.entry(counter.clone()).or_default();
        versioned.version += 1;
        versioned.counts = Counts::from_array([fastrand::u64(..3), 0, 1, fastrand::u64(..3)]);
        let state = CounterState { counter: counter.clone(), versioned: *versioned };
        let merged = self.topics.merge(&state, self.flush);
        let Some(place) = merged else { return };
        let mut buckets = Vec::new();
        self.topics.buckets_of(place, &mut buckets);
        let seen: BTreeSet<Topic> =
            buckets.iter().map(|&bucket| self.topics.topic_of(self.topics.bucket(bucket))).collect();
        assert_eq!(seen.len(), buckets.len(), "a bucket stands once");
        let shown: BTreeSet<Topic> = self.watched.iter().filter(|topic| topic.shows(&counter)).cloned().collect();
        assert_eq!(seen, shown);
        assert!(self.topics.merge(&state, self.flush).is_none(), "the same version is no news");
    }

    /// Every bucket sees exactly the states that its topic shows.
    fn check(&self) {
        for (topic, place) in self.model.topics() {
            let mut counters = Vec::new();
            self.topics.counters_of(place.bucket, Told::NOTHING, usize::MAX, &mut counters);
            let seen: BTreeMap<Counter, Versioned> = counters
                .iter()
                .map(|&counter| (self.topics.counter(counter).counter.clone(), self.topics.counter(counter).state))
                .collect();
            assert_eq!(seen.len(), counters.len(), "a counter stands once");
            let shown = self.states.iter().filter(|(counter, _)| topic.shows(counter));
            assert_eq!(seen, shown.map(|(counter, state)| (counter.clone(), *state)).collect());
            // A walk that is interrupted after any counter goes on with the next.
            for (index, &counter) in counters.iter().enumerate() {
                let mut rest = Vec::new();
                self.topics.counters_of(place.bucket, self.topics.told(counter), usize::MAX, &mut rest);
                assert_eq!(rest, counters[index + 1..]);
                let lost = Told { place: NONE, ..self.topics.told(counter) };
                rest.clear();
                self.topics.counters_of(place.bucket, lost, usize::MAX, &mut rest);
                assert_eq!(rest, counters[index + 1..], "also when the short cut is lost");
            }
        }
    }
}

#[test]
fn the_tree_shows_what_the_scopes_show() {
    let seed = fastrand::u64(..);
    println!("seed {seed}");
    fastrand::seed(seed);
    let universe = universe();
    let pick = || fastrand::choice(&universe).cloned().expect("not empty");
    for _ in 0..30 {
        let mut world = World {
            topics: Topics::new(),
            model: Model::default(),
            states: BTreeMap::new(),
            watched: BTreeSet::new(),
            flush: 0,
        };
        for _ in 0..300 {
            let (content, scope) = pick();
            match fastrand::u8(..3) {
                0 => world.join(fastrand::u32(..5), Topic { content, scope }),
                1 => world.leave(fastrand::u32(..5)),
                _ => world.change(Counter::new(content, scope)),
            }
            world.check();
        }
        for connection in 0..5 {
            while world.model.subscriptions.get(&connection).is_some_and(|entries| !entries.is_empty()) {
                world.leave(connection);
            }
        }
        assert!(world.topics.is_empty(), "nothing is kept of what nobody watches");
    }
}

#[test]
fn a_topic_is_told_only_after_a_read_that_began_after_its_watch() {
    let mut topics = Topics::new();
    let topic = Topic { content: id("x"), scope: Scope::public() };
    let counter = Counter::new(id("x"), Scope::public());
    let state = |version| {
        let versioned = Versioned { version, committed_at: 0, counts: Counts::from_array([version, 0, 0, 0]) };
        CounterState { counter: counter.clone(), versioned }
    };
    let Joined { seat: place, first } = topics.join(&topic, Member { connection: 0, position: 0 });
    assert!(first);
    topics.await_read(place.bucket, 7);
    // A read that an earlier watcher had asked for, and a change that the stream brings late.
    topics.merge(&state(5), 1);
    assert_eq!(topics.load(&topic, 6, 1), None);
    assert!(!topics.bucket(place.bucket).is_loaded());
    topics.merge(&state(9), 2);
    assert_eq!(topics.load(&topic, 7, 2), Some(place.bucket));
    assert!(topics.bucket(place.bucket).is_loaded());
    assert_eq!(topics.load(&topic, 8, 3), None, "loaded once");
    let mut counters = Vec::new();
    topics.counters_of(place.bucket, Told::NOTHING, 10, &mut counters);
    assert_eq!(topics.counter(counters[0]).changed, [2; 4], "members that are behind are told everything");
}
