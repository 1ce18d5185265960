//! Faults between the store and DynamoDB. The rule: what was answered as applied is counted once; what was answered as
//! unavailable is not counted; and only a write whose answer was lost is unknown.

use std::sync::Arc;
use std::time::Duration;

use analytics_shared::Field;
use analytics_tests::dynamodb_local::{self, fresh_tables};
use analytics_tests::fault_hop::Fault;
use analytics_tests::wait;
use lambda_trigger::CounterStore;
use lambda_trigger::dynamodb::{DynamoClient, DynamoOptions};
use lambda_trigger::store::{Refusal, Write};
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::timeout;

use super::{Hopped, open, options, unavailable};
use crate::store_suite::{applied, apply, counter, keyed, stored, topic, write};

/// Attempts that a silent hop makes fail soon.
fn impatient(options: &mut DynamoOptions) {
    options.attempt = Duration::from_millis(300);
}

fn views() -> Write {
    write(&counter("o", "a", ""), Field::Views, 1)
}

#[tokio::test]
async fn an_unkeyed_write_whose_answer_is_lost_is_unknown_and_not_repeated() {
    for fault in [Fault::Silence, Fault::Cut, Fault::internal()] {
        let hopped = Hopped::start(impatient).await;
        // A connection that has worked before is the one that is trusted most.
        applied(&hopped.store, write(&counter("o", "b", ""), Field::Views, 1)).await;
        hopped.hop.inject("UpdateItem", fault.clone());
        let outcome = apply(&hopped.store, views()).await;
        assert!(matches!(outcome, Err(Refusal::OutcomeUnknown(_))), "{fault:?}: {outcome:?}");
        assert_eq!(hopped.hop.seen("UpdateItem"), 2, "{fault:?}: sent once");
        let count = u64::from(!matches!(fault, Fault::Answer(..)));
        assert_eq!(hopped.count(&views().counter, Field::Views).await, count, "{fault:?}");
    }
}

#[tokio::test]
async fn an_unkeyed_write_is_repeated_only_after_proof_that_it_was_not_applied() {
    let hopped = Hopped::start(|_| {}).await;
    let proofs = [
        "ThrottlingException",
        "ProvisionedThroughputExceededException",
        "RequestLimitExceeded",
        "TransactionConflictException",
    ];
    for proof in proofs {
        hopped.hop.inject("UpdateItem", Fault::refusal(proof));
    }
    assert!(!applied(&hopped.store, views()).await.replayed);
    assert_eq!(hopped.hop.seen("UpdateItem"), proofs.len() + 1);
    assert_eq!(hopped.count(&views().counter, Field::Views).await, 1);
}

#[tokio::test]
async fn an_error_that_does_not_pass_is_not_repeated() {
    let hopped = Hopped::start(|_| {}).await;
    for write in [views(), keyed(views(), "key", None)] {
        for operation in ["UpdateItem", "TransactWriteItems"] {
            hopped.hop.inject(operation, Fault::refusal("AccessDeniedException"));
        }
        let outcome = apply(&hopped.store, write).await;
        assert!(unavailable(&outcome), "{outcome:?}");
        hopped.hop.heal();
    }
    assert_eq!((hopped.hop.seen("UpdateItem"), hopped.hop.seen("TransactWriteItems")), (1, 1));
    hopped.hop.inject("BatchGetItem", Fault::refusal("AccessDeniedException"));
    assert!(hopped.store.read(&[topic(&counter("", "a", ""))]).await.is_err());
    assert_eq!(hopped.hop.seen("BatchGetItem"), 1);
}

#[tokio::test]
async fn throttling_without_end_is_unavailable_and_changes_nothing() {
    let hopped = Hopped::start(|options| options.attempts = 4).await;
    for operation in ["UpdateItem", "TransactWriteItems", "BatchGetItem", "Query"] {
        hopped.hop.always(operation, Fault::refusal("ThrottlingException"));
    }
    let outcomes = hopped.store.apply(vec![views(), keyed(views(), "key", None)]).await;
    assert!(outcomes.iter().all(unavailable), "{outcomes:?}");
    assert_eq!((hopped.hop.seen("UpdateItem"), hopped.hop.seen("TransactWriteItems")), (4, 4));
    assert!(hopped.store.read(&[topic(&counter("o", "a", ""))]).await.is_err());
    assert_eq!(stored(&hopped.beside, &views().counter).await, None);
    hopped.hop.heal();
    assert!(!applied(&hopped.store, keyed(views(), "key", None)).await.replayed, "the key was not used");
}

#[tokio::test]
async fn a_keyed_write_whose_answer_is_lost_is_repeated_and_counts_once() {
    for fault in [Fault::Silence, Fault::Cut, Fault::internal(), Fault::Close] {
        let hopped = Hopped::start(impatient).await;
        hopped.hop.inject("TransactWriteItems", fault.clone());
        hopped.hop.inject("TransactWriteItems", fault.clone());
        let once = keyed(views(), "key", None);
        let first = applied(&hopped.store, once.clone()).await;
        assert!(!first.replayed, "{fault:?}: the call itself counted it");
        assert!(hopped.hop.seen("TransactWriteItems") >= 3, "{fault:?}");
        assert!(applied(&hopped.store, once).await.replayed, "{fault:?}");
        assert_eq!(hopped.count(&views().counter, Field::Views).await, 1, "{fault:?}");
    }
}

#[tokio::test]
async fn a_keyed_refusal_whose_record_is_lost_on_the_way_back_is_still_the_first() {
    let hopped = Hopped::start(impatient).await;
    let once = keyed(write(&counter("o", "a", ""), Field::Likes, -1), "key", None);
    for (fault, replayed) in [(Some(Fault::Silence), false), (None, true)] {
        if let Some(fault) = fault {
            hopped.hop.inject("PutItem", fault);
        }
        let outcome = apply(&hopped.store, once.clone()).await;
        let Err(Refusal::OutOfRange { reason, replayed: is }) = outcome else { panic!("{outcome:?}") };
        assert_eq!((reason.value, reason.increment, is), (0, -1, replayed));
    }
}

#[tokio::test]
async fn a_keyed_refusal_that_cannot_be_remembered_is_not_given() {
    let hopped = Hopped::start(|options| options.attempts = 4).await;
    let once = keyed(write(&counter("o", "a", ""), Field::Likes, -1), "key", None);
    hopped.hop.always("PutItem", Fault::refusal("ThrottlingException"));
    let outcome = apply(&hopped.store, once.clone()).await;
    assert!(unavailable(&outcome), "{outcome:?}");
    hopped.hop.heal();
    applied(&hopped.store, write(&counter("o", "a", ""), Field::Likes, 5)).await;
    assert!(!applied(&hopped.store, once).await.replayed, "no answer was given that a repeat could contradict");
}

#[tokio::test]
async fn a_keyed_write_never_heard_of_again_is_unknown_and_its_repeat_tells() {
    let hopped = Hopped::start(|options| {
        impatient(options);
        options.attempts = 3;
    })
    .await;
    let once = keyed(views(), "key", None);
    hopped.hop.always("TransactWriteItems", Fault::Silence);
    let outcome = apply(&hopped.store, once.clone()).await;
    assert!(matches!(outcome, Err(Refusal::OutcomeUnknown(_))), "{outcome:?}");
    hopped.hop.heal();
    assert!(applied(&hopped.store, once).await.replayed);
    assert_eq!(hopped.count(&views().counter, Field::Views).await, 1);
}

#[tokio::test]
async fn a_keyed_write_that_is_applied_but_cannot_be_read_is_not_called_unavailable() {
    let hopped = Hopped::start(|options| options.attempts = 3).await;
    let once = keyed(views(), "key", None);
    hopped.hop.always("BatchGetItem", Fault::refusal("ThrottlingException"));
    for _ in 0..2 {
        let outcome = apply(&hopped.store, once.clone()).await;
        assert!(matches!(outcome, Err(Refusal::OutcomeUnknown(_))), "{outcome:?}");
    }
    hopped.hop.heal();
    assert!(applied(&hopped.store, once).await.replayed);
    assert_eq!(hopped.count(&views().counter, Field::Views).await, 1);
}

#[tokio::test]
async fn conflicts_and_throttles_of_a_transaction_are_repeated() {
    let hopped = Hopped::start(|_| {}).await;
    let faults = [
        Fault::cancelled(&["TransactionConflict", "None"]),
        Fault::cancelled(&["None", "TransactionConflict"]),
        Fault::cancelled(&["ThrottlingError", "None"]),
        Fault::cancelled(&["None", "ProvisionedThroughputExceeded"]),
        Fault::refusal("TransactionInProgressException"),
        Fault::refusal("ThrottlingException"),
    ];
    for fault in &faults {
        hopped.hop.inject("TransactWriteItems", fault.clone());
    }
    assert!(!applied(&hopped.store, keyed(views(), "key", None)).await.replayed);
    assert_eq!(hopped.hop.seen("TransactWriteItems"), faults.len() + 1);
    assert_eq!(hopped.count(&views().counter, Field::Views).await, 1);
}

#[tokio::test]
async fn what_a_read_leaves_over_is_read_again() {
    let hopped = Hopped::start(|_| {}).await;
    for fault in [Fault::refusal("ThrottlingException"), Fault::Close, Fault::internal()] {
        hopped.hop.inject("BatchGetItem", fault.clone());
        hopped.hop.inject("Query", fault);
    }
    applied(&hopped.beside, views()).await;
    assert_eq!(stored(&hopped.store, &views().counter).await.map(|state| state.versioned.version), Some(1));
    assert_eq!((hopped.hop.seen("BatchGetItem"), hopped.hop.seen("Query")), (4, 4));
}

#[tokio::test]
async fn an_unreachable_dynamodb_is_unavailable_within_the_deadline() {
    let mut hopped = Hopped::start(|options| options.attempts = 3).await;
    applied(&hopped.store, views()).await;
    hopped.hop.refuse().await;
    // First a read, which may be sent again when it finds the old connection cut; for a write that would be unknown.
    let read = wait::within("the store to give up", hopped.store.read(&[topic(&views().counter)])).await;
    assert!(read.expect("it gives up").is_err());
    let batch = vec![views(), keyed(views(), "key", None), write(&counter("p", "a", ""), Field::Views, 1)];
    let outcomes = wait::within("the store to give up", hopped.store.apply(batch.clone())).await.expect("it gives up");
    assert!(outcomes.iter().all(unavailable), "{outcomes:?}");
    hopped.hop.accept().await.expect("the port is free again");
    assert!(hopped.store.apply(batch).await.iter().all(Result::is_ok), "it heals without a restart");
    assert_eq!(hopped.count(&views().counter, Field::Views).await, 3);
}

#[tokio::test]
async fn a_connection_that_is_never_made_proves_that_nothing_was_sent() {
    // A listener that accepts nothing and whose queue is full: the kernel drops further attempts, as a dead host does.
    let socket = TcpSocket::new_v4().expect("a socket");
    socket.bind(([127, 0, 0, 1], 0).into()).expect("a free port");
    let listener = socket.listen(0).expect("it listens");
    let address = listener.local_addr().expect("its address");
    let mut queued = Vec::new();
    while let Ok(Ok(stream)) = timeout(Duration::from_millis(200), TcpStream::connect(address)).await {
        queued.push(stream);
    }
    let client = dynamodb_local::client(address.port());
    let store = open(&client, DynamoOptions { attempts: 2, ..options(fresh_tables()) });
    let batch = vec![views(), keyed(write(&counter("p", "a", ""), Field::Views, 1), "key", None)];
    let outcomes = wait::within("the store to give up", store.apply(batch)).await.expect("it gives up");
    assert!(outcomes.iter().all(unavailable), "{outcomes:?}");
}

#[tokio::test]
async fn credentials_that_cannot_be_had_prove_that_nothing_was_sent() {
    let local = dynamodb_local::shared().await.expect("DynamoDB Local runs");
    let mut config = dynamodb_local::config(local.port()).into_builder();
    config.set_credentials_provider(None);
    let store = open(&DynamoClient::new(&config.build()), DynamoOptions { attempts: 2, ..options(fresh_tables()) });
    let outcome = apply(&store, views()).await;
    assert!(unavailable(&outcome), "{outcome:?}");
}

#[tokio::test]
async fn a_silent_dynamodb_holds_no_call_beyond_its_deadline() {
    let hopped = Hopped::start(|options| options.deadline = Duration::from_millis(700)).await;
    for operation in ["UpdateItem", "TransactWriteItems", "BatchGetItem", "Query"] {
        hopped.hop.always(operation, Fault::Silence);
    }
    // One counter's writes follow each other: the deadline is the call's, not each write's.
    let batch: Vec<Write> = (0..50).map(|member| keyed(views(), "key", Some(member))).collect();
    let outcomes = wait::within("the store to give up", hopped.store.apply(batch)).await.expect("it gives up");
    assert!(matches!(outcomes.first(), Some(Err(Refusal::OutcomeUnknown(_)))), "{outcomes:?}");
    assert!(outcomes.iter().skip(1).all(unavailable), "{outcomes:?}");
    let read = wait::within("the store to give up", hopped.store.read(&[topic(&views().counter)])).await;
    assert!(read.expect("it gives up").is_err());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn keyed_writes_repeated_through_a_storm_of_faults_count_once_each() {
    let hopped = Arc::new(Hopped::start(impatient).await);
    let posters: Vec<_> = (0..8_u8)
        .map(|poster| {
            let hopped = Arc::clone(&hopped);
            tokio::spawn(async move {
                for number in 0..10_u8 {
                    let fault = match (poster + number) % 5 {
                        0 => Fault::Cut,
                        1 => Fault::cancelled(&["TransactionConflict", "None"]),
                        2 => Fault::Close,
                        3 => Fault::internal(),
                        _ => Fault::Silence,
                    };
                    hopped.hop.inject("TransactWriteItems", fault);
                    let once = keyed(views(), &format!("{poster} {number}"), None);
                    let acknowledged = async { while apply(&hopped.store, once.clone()).await.is_err() {} };
                    wait::within("the write to be acknowledged", acknowledged).await.expect("it is acknowledged");
                }
            })
        })
        .collect();
    for poster in posters {
        poster.await.expect("the poster ends");
    }
    let state = stored(&hopped.beside, &views().counter).await.expect("it was counted").versioned;
    assert_eq!((state.version, state.counts.get(Field::Views)), (80, 80));
}
