//! How far a change reaches: what a flush looks at and writes depends on the change's own subscribers alone.

use std::os::unix::net::UnixStream;

use analytics_shared::counts::{Counts, Versioned};
use analytics_shared::{Counter, CounterState, Scope};

use super::super::stage::{MAX_IDS, Stage, id};
use super::pressure::SENDING;
use super::viewer::receive;

/// Subscriptions that have nothing to do with what changes.
const UNRELATED: usize = 100_000;

/// What the hub did for one change.
#[derive(Debug, PartialEq, Eq)]
struct Cost {
    /// Connections looked at, each as often as it was.
    connections: usize,
    frames: u64,
    /// The same of contents, organizations, buckets and counters.
    records: [usize; 4],
}

/// Look-ups in a table may meet a record or two whose short hash is that of the one they look for.
const CHANCE: usize = 8;

/// Has a counter change, and counts what the hub looks at, record by record, and the frames that it writes.
fn cost(stage: &mut Stage, counter: &Counter, version: u64) -> Cost {
    let versioned = Versioned { version, committed_at: 1, counts: Counts::from_array([version, 0, 0, 0]) };
    let frames = stage.hub.settings.metrics.frames_out.get();
    stage.hub.connections.take_touched();
    stage.hub.topics.take_touched();
    stage.announce(&[CounterState { counter: counter.clone(), versioned }]);
    stage.settle();
    let frames = stage.hub.settings.metrics.frames_out.get() - frames;
    Cost { connections: stage.hub.connections.take_touched(), frames, records: stage.hub.topics.take_touched() }
}

/// Promise: a change costs the same beside 100 000 subscriptions to other contents, to other organizations and other
/// clients of its own content, as beside none; and those hear nothing.
#[test]
fn a_change_touches_its_own_subscribers_and_nobody_else() {
    SENDING.into_iter().for_each(touches_its_own_subscribers);
}

fn touches_its_own_subscribers(io_uring: bool) {
    const SUBSCRIBERS: usize = 3;
    let scope =
        |organization: &str, client: &str| Scope::new(Some(id(organization)), Some(id(client))).expect("a valid scope");
    let page = ["page".to_owned()];
    let counters = [Counter::new(id("public"), Scope::public()), Counter::new(id("page"), scope("acme", "one"))];
    let mut stage = Stage::set(io_uring);
    let mut own: Vec<UnixStream> = Vec::new();
    for _ in 0..SUBSCRIBERS {
        own.push(stage.subscribe(&["public".to_owned()], "", None).1);
        own.push(stage.subscribe(&page, r#""organizationId":"acme","clientId":"one","#, None).1);
    }
    // The first change of each makes its counter known; it is the next ones that are counted.
    let costs = |stage: &mut Stage, version| -> [Cost; 2] {
        counters.each_ref().map(|counter| {
            cost(stage, counter, version);
            cost(stage, counter, version + 1)
        })
    };
    let alone = costs(&mut stage, 1);

    let mut others = Vec::new();
    for connection in 0..UNRELATED / MAX_IDS {
        let ids: Vec<String> = (0..MAX_IDS).map(|n| format!("other {connection} {n}")).collect();
        others.push(stage.subscribe(&ids, "", None).1);
    }
    for n in 0..100 {
        others.push(stage.subscribe(&page, &format!(r#""organizationId":"other {n}","#), None).1);
        others.push(stage.subscribe(&page, &format!(r#""organizationId":"acme","clientId":"{n}","#), None).1);
    }
    let mut heard = Vec::new();
    for other in &others {
        while receive(other, 65_536, &mut heard) {}
    }
    heard.clear();

    let crowded = costs(&mut stage, 3);
    for (crowded, alone) in crowded.iter().zip(&alone) {
        assert_eq!((crowded.connections, crowded.frames), (alone.connections, SUBSCRIBERS as u64));
        for (crowded, alone) in crowded.records.iter().zip(&alone.records) {
            assert!(crowded.abs_diff(*alone) <= CHANCE, "{crowded} records were looked at instead of {alone}");
        }
    }
    for other in &others {
        assert!(!receive(other, 65_536, &mut heard), "{}", String::from_utf8_lossy(&heard));
    }
    for own in &own {
        assert!(receive(own, 65_536, &mut heard), "its own subscribers are told");
    }
}
