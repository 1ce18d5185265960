//! Idempotency keys. The rule: under one key, one update counts once, and every repeat tells the first outcome.

use analytics_shared::{Field, OutOfRange};
use lambda_trigger::store::{Applied, Refusal};

use super::{Fixture, applied, apply, counter, keyed, stored, write};

pub(crate) async fn a_repeat_counts_nothing_and_shows_the_current_state(Fixture { store, .. }: Fixture) {
    let counter = counter("o", "a", "");
    let once = keyed(write(&counter, Field::Views, 5), "key", None);
    let first = applied(&*store, once.clone()).await;
    assert!(!first.replayed);
    let repeat = applied(&*store, once.clone()).await;
    assert_eq!(repeat, Applied { state: first.state, replayed: true });
    let later = applied(&*store, write(&counter, Field::Likes, 1)).await;
    let repeat = applied(&*store, once).await;
    assert_eq!(repeat, Applied { state: later.state, replayed: true });
}

pub(crate) async fn a_refusal_is_repeated_even_when_the_write_would_fit_now(Fixture { store, .. }: Fixture) {
    let counter = counter("o", "a", "");
    let once = keyed(write(&counter, Field::Likes, -2), "key", None);
    let refused = |value, replayed| {
        let reason = OutOfRange { field: Field::Likes, value, increment: -2 };
        Err(Refusal::OutOfRange { reason, replayed })
    };
    assert_eq!(apply(&*store, once.clone()).await, refused(0, false));
    assert_eq!(apply(&*store, once.clone()).await, refused(0, true));
    let now = applied(&*store, write(&counter, Field::Likes, 9)).await.state;
    assert_eq!(apply(&*store, once).await, refused(9, true));
    assert_eq!(stored(&*store, &counter).await, Some(now));
}

pub(crate) async fn another_update_under_a_key_is_refused_and_leaves_the_key_as_it_was(Fixture { store, .. }: Fixture) {
    let first = counter("o", "a", "");
    let once = keyed(write(&first, Field::Views, 5), "key", None);
    let state = applied(&*store, once.clone()).await.state;
    let others = [
        write(&first, Field::Views, 6),
        write(&first, Field::Likes, 5),
        write(&counter("o", "b", ""), Field::Views, 5),
        write(&counter("o", "a", "c"), Field::Views, 5),
    ];
    for other in others {
        assert_eq!(apply(&*store, keyed(other, "key", None)).await, Err(Refusal::KeyMismatch));
    }
    assert_eq!(applied(&*store, once).await, Applied { state, replayed: true });
    assert_eq!(stored(&*store, &counter("o", "b", "")).await, None);
    assert_eq!(stored(&*store, &counter("o", "a", "c")).await, None);
}

pub(crate) async fn organizations_never_share_keys_and_clients_of_one_do(Fixture { store, .. }: Fixture) {
    for organization in ["", "o", "p", "op"] {
        let counter = counter(organization, "a", "");
        let first = applied(&*store, keyed(write(&counter, Field::Views, 1), "key", None)).await;
        assert!(!first.replayed, "{organization:?} has its own keys");
    }
    let of_client = counter("o", "a", "c");
    let outcome = apply(&*store, keyed(write(&of_client, Field::Views, 1), "key", None)).await;
    assert_eq!(outcome, Err(Refusal::KeyMismatch));
}

pub(crate) async fn keys_of_single_calls_and_of_batch_members_never_meet(Fixture { store, .. }: Fixture) {
    let counter = counter("o", "a", "");
    let members = [None, Some(0), Some(1), Some(99), Some(255)];
    for member in members {
        let first = applied(&*store, keyed(write(&counter, Field::Views, 1), "key", member)).await;
        assert!(!first.replayed, "{member:?} is a key of its own");
    }
    for member in members {
        let repeat = applied(&*store, keyed(write(&counter, Field::Views, 1), "key", member)).await;
        assert!(repeat.replayed);
        assert_eq!(repeat.state.versioned.counts.get(Field::Views), members.len() as u64);
    }
}

pub(crate) async fn a_repeated_batch_counts_nothing(Fixture { store, .. }: Fixture) {
    let counters = ["a", "b", "c"].map(|content| counter("o", content, "c"));
    let batch: Vec<_> = (0_u8..100)
        .map(|index| {
            let increment = if index % 10 == 9 { -1_000 } else { 1 };
            keyed(write(&counters[usize::from(index) % 3], Field::Shares, increment), "batch", Some(index))
        })
        .collect();
    let first = store.apply(batch.clone()).await;
    let mut before = Vec::new();
    for counter in &counters {
        before.push(stored(&*store, counter).await.expect("it was counted"));
    }
    let repeat = store.apply(batch).await;
    for (first, repeat) in first.into_iter().zip(repeat) {
        match (first, repeat) {
            (Ok(first), Ok(repeat)) => {
                assert!(!first.replayed && repeat.replayed);
                assert!(before.contains(&repeat.state), "a repeat shows the current state");
            }
            (
                Err(Refusal::OutOfRange { reason: first, replayed: false }),
                Err(Refusal::OutOfRange { reason: repeat, replayed: true }),
            ) => assert_eq!((first.field, first.increment), (repeat.field, repeat.increment)),
            pair => panic!("a repeat answers as the first did: {pair:?}"),
        }
    }
    for state in before {
        assert_eq!(stored(&*store, &state.counter).await, Some(state));
    }
}
