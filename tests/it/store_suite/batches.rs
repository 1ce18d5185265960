//! Batches. The rule: a batch is a list of writes that stand or fall one by one, in order.

use std::collections::HashMap;

use analytics_shared::version::MAX_SAFE;
use analytics_shared::{Counts, Field, OutOfRange};
use lambda_trigger::store::Refusal;

use super::{Fixture, applied, apply, counter, stored, write};

pub(crate) async fn each_write_is_answered_in_order(Fixture { store, .. }: Fixture) {
    let counters = ["a", "b", "c", "d", "e", "f", "g"].map(|content| counter("o", content, ""));
    // Every third write takes away more than there may be, so some members fail amid others of the same counter.
    let writes: Vec<_> = (0_usize..100)
        .map(|index| {
            let increment = if index % 3 == 2 { -4 } else { 1 + (index % 4) as i64 };
            write(&counters[index % counters.len()], Field::ALL[index % 2], increment)
        })
        .collect();
    let outcomes = store.apply(writes.clone()).await;
    assert_eq!(outcomes.len(), writes.len());
    let mut expected: HashMap<_, (u64, Counts)> = HashMap::new();
    let mut refused = 0;
    for (write, outcome) in writes.iter().zip(outcomes) {
        let (version, counts) = expected.entry(&write.counter).or_insert((store.base(), Counts::default()));
        match counts.add(write.field, write.increment) {
            Ok(_) => {
                *version += 1;
                let applied = outcome.expect("it fits");
                assert!(!applied.replayed);
                assert_eq!(applied.state.counter, write.counter);
                assert_eq!((applied.state.versioned.version, applied.state.versioned.counts), (*version, *counts));
            }
            Err(reason) => {
                refused += 1;
                assert_eq!(outcome, Err(Refusal::OutOfRange { reason, replayed: false }));
            }
        }
    }
    assert!((1..100).contains(&refused), "{refused} members failed");
    for (counter, (version, counts)) in expected {
        let state = stored(&*store, counter).await.expect("it was counted").versioned;
        assert_eq!((state.version, state.counts), (version, counts));
    }
}

pub(crate) async fn counts_stay_in_range_and_a_refusal_changes_nothing(Fixture { store, .. }: Fixture) {
    let counter = counter("", "a", "");
    let below = OutOfRange { field: Field::Likes, value: 0, increment: -1 };
    let above = OutOfRange { field: Field::Likes, value: MAX_SAFE, increment: 1 };
    let refused = |reason| Err(Refusal::OutOfRange { reason, replayed: false });
    assert_eq!(apply(&*store, write(&counter, Field::Likes, -1)).await, refused(below));
    assert_eq!(stored(&*store, &counter).await, None, "a refusal does not make a counter");
    let full = applied(&*store, write(&counter, Field::Likes, MAX_SAFE as i64)).await.state;
    assert_eq!(full.versioned.counts.get(Field::Likes), MAX_SAFE);
    assert_eq!(apply(&*store, write(&counter, Field::Likes, 1)).await, refused(above));
    assert_eq!(stored(&*store, &counter).await.as_ref(), Some(&full), "neither counts nor version moved");
    let empty = applied(&*store, write(&counter, Field::Likes, -(MAX_SAFE as i64))).await.state;
    assert_eq!(empty.versioned.counts.get(Field::Likes), 0);
    assert_eq!(apply(&*store, write(&counter, Field::Likes, -1)).await, refused(below));
    assert_eq!(stored(&*store, &counter).await, Some(empty));
}

pub(crate) async fn an_empty_batch_has_no_outcomes(Fixture { store, .. }: Fixture) {
    assert_eq!(store.apply(Vec::new()).await, Vec::new());
}
