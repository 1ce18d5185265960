//! What the hub's parts cost, and the parsing of what is posted, for `tests/bench/instructions`. The rule: a case prepares
//! outside of [`measured`], and does inside it what the edge does for one message or one change, so many times that
//! single look-ups do not matter.

use std::hint::black_box;

use analytics_shared::counts::{Counts, Versioned};
use analytics_shared::message::ClientMessage;
use analytics_shared::update::{Body, MAX_UPDATES};
use analytics_shared::{Counter, CounterState, Scope, Topic};

use super::assembler::{Assembler, Event};
use super::flush::push_changes;
use super::stage::{MAX_IDS, Stage, id, subscribe};
use super::topics::{Member, Topics};

/// Something whose instructions are counted.
pub struct Case {
    /// Its name in the table.
    pub name: &'static str,
    /// How often one run of it does its work.
    pub times: u64,
    run: fn(u64),
}

/// Every case. Of two that share their name up to a `+` the second does the same work beside more that is unrelated.
pub const CASES: &[Case] = &[
    Case { name: "parse: subscribe, 20 ids", times: 200, run: parse },
    Case { name: "parse: post of one update", times: 1000, run: |times| post(times, one_update) },
    Case { name: "parse: post of 100 updates", times: 20, run: |times| post(times, full_batch) },
    Case { name: "merge: newer", times: 1000, run: |times| merge(times, |n| n + 2) },
    Case { name: "merge: older", times: 1000, run: |times| merge(times, |_| 0) },
    Case { name: "merge: equal", times: 1000, run: |times| merge(times, |_| 1) },
    Case { name: "encode: one field", times: 1000, run: encode },
    Case { name: "route: one counter + 100 subscriptions", times: 1000, run: |times| route(times, 100) },
    Case { name: "route: one counter + 100 000 subscriptions", times: 1000, run: |times| route(times, 100_000) },
    Case { name: "fan out: 1 000 members + no subscriptions", times: 20, run: |times| fan_out(times, 0) },
    Case { name: "fan out: 1 000 members + 100 000 subscriptions", times: 20, run: |times| fan_out(times, 100_000) },
];

impl Case {
    /// Does its work so many times.
    pub fn run(&self) {
        (self.run)(self.times);
    }
}

/// The one function that is counted, with all that it calls.
#[inline(never)]
fn measured<T>(work: impl FnOnce() -> T) -> T {
    black_box(work())
}

/// An id as long as ids usually are.
fn content(n: u64) -> String {
    format!("c0a80101-0000-4000-8000-{n:012}")
}

fn state(counter: &Counter, version: u64) -> CounterState {
    let versioned =
        Versioned { version, committed_at: 1_800_000_000_000, counts: Counts::from_array([version, 1, 2, 3]) };
    CounterState { counter: counter.clone(), versioned }
}

/// A client's frame into the ids that it names: header, mask, UTF-8, JSON.
fn parse(times: u64) {
    let ids: Vec<String> = (0..20).map(content).collect();
    let mut frames: Vec<Vec<u8>> = (0..times).map(|_| subscribe(&ids, "")).collect();
    let mut assembler = Assembler::default();
    let named = measured(|| {
        let mut named = 0;
        for frame in &mut frames {
            let mut at = 0;
            let Ok(Some(Event::Text(text))) = assembler.next(frame, &mut at, 65_536) else { continue };
            if let Ok(ClientMessage::Subscribe(message)) = ClientMessage::parse(text, MAX_IDS) {
                named += black_box(message).content_ids.len() as u64;
            }
        }
        named
    });
    assert_eq!(named, 20 * times);
}

fn one_update(n: u64) -> String {
    format!(r#"{{"contentId":"{}","field":"views","increment":1}}"#, content(n))
}

fn full_batch(n: u64) -> String {
    let members: Vec<String> = (0..MAX_UPDATES as u64).map(|member| one_update(n + member)).collect();
    format!(r#"{{"updates":[{}]}}"#, members.join(","))
}

/// A call's body into its updates.
fn post(times: u64, body: fn(u64) -> String) {
    let bodies: Vec<String> = (0..times).map(body).collect();
    let parsed = measured(|| bodies.iter().filter(|body| black_box(Body::parse(body.as_bytes())).is_ok()).count());
    assert_eq!(parsed as u64, times);
}

/// A table where these topics are watched, each by one member.
fn watched(topics: impl Iterator<Item = Topic>) -> Topics {
    let mut table = Topics::new();
    for (position, topic) in topics.enumerate() {
        table.join(&topic, Member { connection: 0, position: position as u32 });
    }
    table
}

/// A state into a table that knows version 1 of its counter.
fn merge(times: u64, version: fn(u64) -> u64) {
    let counter = Counter::new(id(&content(0)), Scope::public());
    let topic = Topic { content: counter.content().clone(), scope: Scope::public() };
    let mut table = watched(std::iter::once(topic));
    table.merge(&state(&counter, 1), 1);
    let states: Vec<CounterState> = (0..times).map(|n| state(&counter, version(n))).collect();
    measured(|| {
        for (state, number) in states.iter().zip(2..) {
            black_box(table.merge(state, number));
        }
    });
}

/// A changed field into its frame.
fn encode(times: u64) {
    let scope = Scope::new(Some(id("acme")), None).expect("a valid scope");
    let counter = Counter::new(id(&content(0)), scope.clone());
    let mut table = watched(std::iter::once(Topic { content: counter.content().clone(), scope }));
    table.merge(&state(&counter, 1), 1);
    let place = table.merge(&state(&counter, 2), 2).expect("it is newer");
    let (mut frames, mut json) = (Vec::with_capacity(1024), Vec::with_capacity(1024));
    let count: u32 = measured(|| {
        (0..times)
            .map(|_| {
                frames.clear();
                push_changes(&mut frames, &mut json, black_box(table.counter(place)), 1)
            })
            .sum()
    });
    assert_eq!(u64::from(count), times);
}

/// A state of each of many counters into the table, and on to the buckets that see it.
fn route(times: u64, unrelated: u64) {
    let scope = |organization: &str, client: Option<&str>| {
        Scope::new(Some(id(organization)), client.map(id)).expect("a valid scope")
    };
    let own = scope("acme", Some("one"));
    let own_topics = (0..times)
        .flat_map(|n| [own.clone(), scope("acme", None)].map(|scope| Topic { content: id(&content(n)), scope }));
    // Other contents, other organizations of the same ones, other clients of the same organization.
    let others = (0..unrelated).map(|n| match n % 3 {
        0 => Topic { content: id(&content(times + n)), scope: Scope::public() },
        1 => Topic { content: id(&content(n % times)), scope: scope(&format!("other {n}"), None) },
        _ => Topic { content: id(&content(n % times)), scope: scope("acme", Some(&format!("other {n}"))) },
    });
    let mut table = watched(own_topics.chain(others));
    let counters: Vec<Counter> = (0..times).map(|n| Counter::new(id(&content(n)), own.clone())).collect();
    for counter in &counters {
        table.merge(&state(counter, 1), 1);
    }
    let states: Vec<CounterState> = counters.iter().map(|counter| state(counter, 2)).collect();
    let mut buckets = Vec::with_capacity(64);
    let seen = measured(|| {
        let mut seen = 0;
        for state in &states {
            buckets.clear();
            if let Some(counter) = table.merge(state, 2) {
                table.buckets_of(counter, &mut buckets);
            }
            seen += buckets.len() as u64;
        }
        seen
    });
    assert_eq!(seen, 2 * times);
}

/// A change of one counter out of the ring, and onto each of its subscribers: all of a flush but the writing.
fn fan_out(times: u64, unrelated: usize) {
    const MEMBERS: usize = 1000;
    let counter = Counter::new(id(&content(0)), Scope::public());
    let mut stage = Stage::set(false);
    let own = [counter.content().as_str().to_owned()];
    let mut clients: Vec<_> = (0..MEMBERS).map(|_| stage.subscribe(&own, "", None)).collect();
    for connection in 0..unrelated / MAX_IDS {
        let ids: Vec<String> = (0..MAX_IDS).map(|n| content((1 + connection * MAX_IDS + n) as u64)).collect();
        clients.push(stage.subscribe(&ids, "", None));
    }
    // The first change makes the counter known.
    for version in 1..=times + 1 {
        stage.announce(&[state(&counter, version)]);
        if version > 1 {
            measured(|| stage.hub.begin_flush());
            assert!(stage.hub.flush.active());
        }
        stage.settle();
    }
}
