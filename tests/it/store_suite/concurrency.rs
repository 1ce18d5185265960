//! Many callers at once. The rule: the sum is exact, every version is handed out once, and nothing goes back.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use analytics_shared::counts::Versioned;
use analytics_shared::{Counter, CounterState, Field};
use lambda_trigger::store::Announce;

use super::{Fixture, applied, counter, keyed, stored, topic, write};

/// How long a stream may take to bring what was committed.
const DEADLINE: Duration = Duration::from_secs(60);

pub(crate) async fn repeats_of_one_key_at_once_count_once(Fixture { store, .. }: Fixture) {
    for round in 0..5 {
        let counter = counter("o", &format!("content {round}"), "");
        let tasks: Vec<_> = (0..32)
            .map(|_| {
                let (store, once) = (Arc::clone(&store), keyed(write(&counter, Field::Views, 3), "same", Some(round)));
                tokio::spawn(async move { applied(&*store, once).await })
            })
            .collect();
        let mut fresh = 0;
        for task in tasks {
            let applied = task.await.expect("the task ends");
            assert_eq!(applied.state.versioned.counts.get(Field::Views), 3);
            fresh += u32::from(!applied.replayed);
        }
        assert_eq!(fresh, 1, "one call counted, the others repeated it");
    }
}

pub(crate) async fn increments_at_once_sum_exactly_and_leave_no_gap_in_versions(Fixture { store, .. }: Fixture) {
    let counters = [counter("", "a", ""), counter("o", "a", ""), counter("o", "a", "c")];
    let tasks: Vec<_> = (0..16_usize)
        .map(|task| {
            let (store, counters) = (Arc::clone(&store), counters.clone());
            tokio::spawn(async move {
                let mut answers = Vec::new();
                for step in 0..30 {
                    let index = (task + step) % counters.len();
                    let increment = 1 + (step % 5) as i64;
                    let applied = applied(&*store, write(&counters[index], Field::ALL[step % 4], increment)).await;
                    answers.push((applied.state, increment as u64));
                }
                answers
            })
        })
        .collect();
    let mut by_counter: HashMap<Counter, Vec<(Versioned, u64)>> = HashMap::new();
    for task in tasks {
        for (state, increment) in task.await.expect("the task ends") {
            by_counter.entry(state.counter).or_default().push((state.versioned, increment));
        }
    }
    for (counter, mut answers) in by_counter {
        answers.sort();
        // In the order of versions, each answer is the one before it plus its own increment.
        let (mut version, mut total) = (store.base(), 0);
        for (versioned, increment) in &answers {
            version += 1;
            total += increment;
            assert_eq!(versioned.version, version, "versions are distinct and leave no gap");
            assert_eq!(versioned.counts.to_array().iter().sum::<u64>(), total);
        }
        let last = answers.last().map(|(versioned, _)| *versioned);
        assert_eq!(stored(&*store, &counter).await.map(|state| state.versioned), last);
    }
}

pub(crate) async fn reads_see_what_was_acknowledged_and_versions_only_rise(Fixture { store, .. }: Fixture) {
    let counter = counter("o", "a", "c");
    let tasks: Vec<_> = (0..8)
        .map(|_| {
            let (store, counter) = (Arc::clone(&store), counter.clone());
            tokio::spawn(async move {
                let mut seen = store.base();
                for _ in 0..25 {
                    let written = applied(&*store, write(&counter, Field::Views, 1)).await.state.versioned.version;
                    assert!(written > seen);
                    let read = stored(&*store, &counter).await.expect("it was counted").versioned.version;
                    assert!(read >= written, "read version {read} after {written} was acknowledged");
                    seen = read;
                }
            })
        })
        .collect();
    for task in tasks {
        task.await.expect("the task ends");
    }
}

pub(crate) async fn every_final_state_is_announced_and_versions_only_rise(Fixture { store, .. }: Fixture) {
    let announced = Arc::new(Announced::default());
    if !store.announce_to(Arc::clone(&announced) as Arc<dyn Announce>) {
        return; // Its changes travel by a stream of their own.
    }
    let counters: Vec<Counter> = (0..5).map(|index| counter("o", &format!("content {index}"), "")).collect();
    let tasks: Vec<_> = (0..8_usize)
        .map(|task| {
            let (store, counters) = (Arc::clone(&store), counters.clone());
            tokio::spawn(async move {
                for step in 0..10 {
                    // Some members fail and some are repeats: neither is a change.
                    let batch = (0..10).map(|member| {
                        let increment = if member == 3 { -1_000 } else { 1 };
                        let write = write(&counters[(task + step + member) % 5], Field::Likes, increment);
                        if member == 4 { keyed(write, &format!("{task}"), None) } else { write }
                    });
                    store.apply(batch.collect()).await;
                }
            })
        })
        .collect();
    for task in tasks {
        task.await.expect("the task ends");
    }
    let topics: Vec<_> = counters.iter().map(topic).collect();
    let is = store.read(&topics).await.expect("the store is readable");
    assert_eq!(is.len(), counters.len());
    let all_announced = async {
        while !is.iter().all(|state| announced.newest(&state.counter) == Some(state.versioned)) {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(DEADLINE, all_announced).await.expect("every final state is announced");
    assert_eq!(*announced.went_back.lock().expect("no announcement panicked"), None);
}

#[derive(Default)]
struct Announced {
    newest: Mutex<HashMap<Counter, Versioned>>,
    went_back: Mutex<Option<CounterState>>,
}

impl Announced {
    fn newest(&self, counter: &Counter) -> Option<Versioned> {
        self.newest.lock().expect("no announcement panicked").get(counter).copied()
    }
}

impl Announce for Announced {
    fn announce(&self, states: &[CounterState]) {
        let mut newest = self.newest.lock().expect("no announcement panicked");
        for state in states {
            let before = newest.insert(state.counter.clone(), state.versioned);
            if before.is_some_and(|before| before.version >= state.versioned.version) {
                *self.went_back.lock().expect("no announcement panicked") = Some(state.clone());
            }
        }
    }
}
