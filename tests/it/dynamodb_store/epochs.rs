//! Epochs. The rule: after a raise every version handed out lies above the new base, once each, whatever is stored.

use std::collections::BTreeSet;
use std::sync::Arc;

use analytics_shared::Field;
use analytics_shared::version::{MAX_EPOCH, base_of_epoch};
use lambda_trigger::CounterStore;
use lambda_trigger::dynamodb::{DynamoOptions, DynamoStore, EpochTooLarge};
use lambda_trigger::store::{Refusal, Write};

use super::{made_tables, open, options};
use crate::store_suite::{applied, apply, counter, keyed, stored, write};

#[tokio::test]
async fn a_raised_epoch_lifts_every_version_and_keeps_counts_and_keys() {
    let (client, tables) = made_tables().await;
    let low = open(&client, options(tables.clone()));
    let high = open(&client, DynamoOptions { epoch: 3, ..options(tables) });
    let base = high.base();
    assert_eq!((low.base(), Some(base)), (0, base_of_epoch(3)));
    let (one, other) = (counter("o", "a", ""), counter("o", "b", ""));
    let once = keyed(write(&one, Field::Views, 3), "key", None);
    applied(&low, once.clone()).await;
    applied(&low, write(&one, Field::Likes, 2)).await;
    let state = stored(&high, &one).await.expect("it was counted").versioned;
    assert_eq!((state.version, state.counts.to_array()), (base, [3, 2, 0, 0]), "presented at the base");
    let repeat = applied(&high, once).await;
    assert!(repeat.replayed);
    assert_eq!(repeat.state.versioned, state, "a repeat under an older epoch's key counts nothing");
    for counter in [&one, &other] {
        let next = applied(&high, write(counter, Field::Views, 1)).await.state.versioned;
        assert_eq!(next.version, base + 1);
    }
    assert_eq!(stored(&high, &one).await.expect("it was counted").versioned.counts.to_array(), [4, 2, 0, 0]);
    // A process that still has the old epoch takes nothing back.
    assert_eq!(applied(&low, write(&one, Field::Views, 1)).await.state.versioned.version, base + 2);
}

#[tokio::test]
async fn a_refusal_is_a_refusal_on_either_side_of_the_base() {
    let (client, tables) = made_tables().await;
    let low = open(&client, options(tables.clone()));
    let high = open(&client, DynamoOptions { epoch: 3, ..options(tables) });
    let below = counter("o", "below", "");
    applied(&low, write(&below, Field::Likes, 2)).await;
    for key in [None, Some("key")] {
        let refused = write(&below, Field::Likes, -3);
        let refused = key.map_or(refused.clone(), |key| keyed(refused, key, None));
        let outcome = apply(&high, refused).await;
        let Err(Refusal::OutOfRange { reason, replayed: false }) = outcome else { panic!("{outcome:?}") };
        assert_eq!((reason.value, reason.increment), (2, -3));
    }
    assert_eq!(stored(&low, &below).await.map(|state| state.versioned.version), Some(1), "nothing was written");
    let outcome = apply(&high, keyed(write(&below, Field::Likes, -2), "fits", None)).await;
    assert_eq!(outcome.expect("it fits").state.versioned.version, high.base() + 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_first_writes_of_an_epoch_at_once_hand_out_each_version_once() {
    let (client, tables) = made_tables().await;
    let low = open(&client, options(tables.clone()));
    let high: Arc<DynamoStore> = Arc::new(open(&client, DynamoOptions { epoch: 3, ..options(tables) }));
    for round in 0..8 {
        let counter = counter("o", &format!("content {round}"), "");
        applied(&low, write(&counter, Field::Views, 10)).await;
        let tasks: Vec<_> = (0..12)
            .map(|task| {
                let (store, write) = (Arc::clone(&high), write(&counter, Field::Views, 1));
                let write: Write =
                    if task % 3 == 0 { keyed(write, &format!("key {round}"), Some(task)) } else { write };
                tokio::spawn(async move { (write.key.is_none(), applied(&*store, write).await.state.versioned) })
            })
            .collect();
        let mut exact = BTreeSet::new();
        for task in tasks {
            let (unkeyed, versioned) = task.await.expect("the task ends");
            assert!(versioned.version > high.base());
            if unkeyed {
                assert!(exact.insert(versioned.version), "version {} twice", versioned.version);
            }
        }
        let state = stored(&*high, &counter).await.expect("it was counted").versioned;
        assert_eq!((state.version, state.counts.get(Field::Views)), (high.base() + 12, 22));
    }
}

#[tokio::test]
async fn an_epoch_beyond_the_last_is_refused() {
    let (client, tables) = made_tables().await;
    let with = |epoch| DynamoStore::new(client.clone(), DynamoOptions { epoch, ..options(tables.clone()) });
    assert!(with(MAX_EPOCH).is_ok());
    assert_eq!(with(MAX_EPOCH + 1).err(), Some(EpochTooLarge));
}
