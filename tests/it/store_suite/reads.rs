//! Reads. The rule: a topic reads exactly the existing counters that it shows, each once.

use std::collections::BTreeSet;

use analytics_shared::{Counter, Field, Topic};
use lambda_trigger::CounterStore;

use super::{Fixture, applied, counter, id, scope, stored, topic, write};

pub(crate) async fn a_scope_reads_exactly_what_it_shows(Fixture { store, .. }: Fixture) {
    // Ids that a careless key would confuse: prefixes of each other, separators, the longest, text beyond ASCII.
    let long = "x".repeat(256);
    let names = ["a", "ab", "a/b", "a#", "\u{e9}\u{10ffff}", long.as_str()];
    let mut counters = Vec::new();
    for content in names {
        counters.push(counter("", content, ""));
        for organization in ["a", "ab", long.as_str()] {
            counters.push(counter(organization, content, ""));
            counters.extend(["a", "ab", long.as_str()].map(|client| counter(organization, content, client)));
        }
    }
    // Not all exist, so that a topic without some of its counters is read too.
    let existing: Vec<Counter> =
        counters.iter().enumerate().filter(|(index, _)| index % 5 != 0).map(|(_, c)| c.clone()).collect();
    for chunk in existing.chunks(100) {
        let writes = chunk.iter().map(|counter| write(counter, Field::Views, 1)).collect();
        assert!(store.apply(writes).await.iter().all(Result::is_ok));
    }
    let mut topics = Vec::new();
    for content in names {
        topics.push(Topic { content: id(content), scope: scope("", "") });
        for organization in ["a", "ab", "b", long.as_str()] {
            for client in ["", "a", "ab", "b", long.as_str()] {
                topics.push(Topic { content: id(content), scope: scope(organization, client) });
            }
        }
    }
    for topic in &topics {
        let shown: BTreeSet<&Counter> = existing.iter().filter(|counter| topic.shows(counter)).collect();
        let read = read(&*store, std::slice::from_ref(topic)).await;
        assert_eq!(read.iter().collect::<BTreeSet<_>>(), shown, "{topic:?}");
        assert_eq!(read.len(), shown.len(), "each once");
    }
    let shown: BTreeSet<&Counter> =
        existing.iter().filter(|counter| topics.iter().any(|topic| topic.shows(counter))).collect();
    let all = read(&*store, &topics).await;
    assert_eq!(all.iter().collect::<BTreeSet<_>>(), shown);
    assert_eq!(all.len(), shown.len(), "each once, however many topics show it");
}

pub(crate) async fn a_counter_of_several_topics_comes_once(Fixture { store, .. }: Fixture) {
    let counters = [counter("", "a", ""), counter("o", "a", ""), counter("o", "a", "c")];
    for counter in &counters {
        applied(&*store, write(counter, Field::Views, 1)).await;
    }
    let topics: Vec<Topic> = [("o", ""), ("o", "c"), ("o", "c"), ("", ""), ("p", "c"), ("o", "")]
        .map(|(organization, client)| Topic { content: id("a"), scope: scope(organization, client) })
        .into();
    let mut read = read(&*store, &topics).await;
    read.sort();
    assert_eq!(read, counters);
}

pub(crate) async fn content_that_was_never_counted_has_no_counters(Fixture { store, .. }: Fixture) {
    applied(&*store, write(&counter("o", "a", "c"), Field::Views, 1)).await;
    for missing in [counter("", "a", ""), counter("o", "b", ""), counter("p", "a", "c"), counter("o", "a", "d")] {
        assert_eq!(read(&*store, &[topic(&missing)]).await, []);
    }
    assert_eq!(read(&*store, &[]).await, []);
}

pub(crate) async fn a_state_says_when_it_was_committed(Fixture { store, .. }: Fixture) {
    let counter = counter("o", "a", "");
    let mut before = 0;
    for _ in 0..20 {
        let state = applied(&*store, write(&counter, Field::Views, 1)).await.state;
        assert!(state.versioned.committed_at >= before.max(1_577_836_800_000), "in milliseconds, and never back");
        before = state.versioned.committed_at;
        assert_eq!(stored(&*store, &counter).await, Some(state), "a read tells the same time");
    }
}

async fn read(store: &dyn CounterStore, topics: &[Topic]) -> Vec<Counter> {
    let states = store.read(topics).await.expect("the store is readable");
    states.into_iter().map(|state| state.counter).collect()
}
