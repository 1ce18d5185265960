//! Reads of more than one answer holds. The rule: a read ends when everything was returned, or fails.

use std::collections::BTreeSet;

use analytics_shared::{Counter, Field};
use analytics_tests::fault_hop::Fault;
use lambda_trigger::CounterStore;

use super::Hopped;
use crate::store_suite::{applied, counter, stored, topic, write};

#[tokio::test]
async fn an_organization_with_more_clients_than_a_page_holds_is_read_whole() {
    let hopped = Hopped::start(|_| {}).await;
    // A page is 1 MB, and the longest ids make an item of about 1 KB.
    let (organization, content) = ("o".repeat(256), "a".repeat(256));
    let clients = (0..1_600).map(|number| counter(&organization, &content, &format!("{number:0256}")));
    let counters: BTreeSet<Counter> = clients.collect();
    let list: Vec<&Counter> = counters.iter().collect();
    for chunk in list.chunks(100) {
        let writes = chunk.iter().map(|counter| write(counter, Field::Views, 1)).collect();
        assert!(hopped.beside.apply(writes).await.iter().all(Result::is_ok));
    }
    let all = topic(&counter(&organization, &content, ""));
    let read = hopped.store.read(std::slice::from_ref(&all)).await.expect("the store is readable");
    assert!(hopped.hop.seen("Query") > 1, "it took more than one page");
    assert_eq!(read.len(), counters.len());
    assert_eq!(read.into_iter().map(|state| state.counter).collect::<BTreeSet<_>>(), counters);
    // A page that fails is read again, from where it began.
    hopped.hop.inject("Query", Fault::internal());
    assert_eq!(hopped.store.read(&[all]).await.expect("the store is readable").len(), counters.len());
}

#[tokio::test]
async fn more_counters_than_a_request_may_name_are_read_in_several() {
    let hopped = Hopped::start(|_| {}).await;
    let counters: Vec<Counter> = (0..250).map(|number| counter("", &format!("content {number}"), "")).collect();
    for chunk in counters.chunks(100) {
        let writes = chunk.iter().map(|counter| write(counter, Field::Shares, 1)).collect();
        assert!(hopped.beside.apply(writes).await.iter().all(Result::is_ok));
    }
    let topics: Vec<_> = counters.iter().map(topic).collect();
    assert_eq!(hopped.store.read(&topics).await.expect("the store is readable").len(), counters.len());
    assert_eq!(hopped.hop.seen("BatchGetItem"), 3);
}

#[tokio::test]
async fn keys_that_dynamodb_leaves_unprocessed_are_asked_for_again() {
    let hopped = Hopped::start(|options| options.attempts = 3).await;
    let public = counter("", "a", "");
    applied(&hopped.beside, write(&public, Field::Views, 4)).await;
    let table = hopped.tables.counters();
    let left = format!(
        r#"{{"Responses":{{}},"UnprocessedKeys":{{"{table}":{{"ConsistentRead":true,"Keys":[{{"pk":{{"S":"0:/a"}},"sk":{{"S":":"}}}}]}}}}}}"#
    );
    hopped.hop.inject("BatchGetItem", Fault::Answer(200, left.clone()));
    let state = stored(&hopped.store, &public).await.expect("it was counted").versioned;
    assert_eq!(state.counts.get(Field::Views), 4);
    hopped.hop.always("BatchGetItem", Fault::Answer(200, left));
    assert!(hopped.store.read(&[topic(&public)]).await.is_err(), "what was never returned is not taken for absent");
}

#[tokio::test]
async fn a_damaged_item_makes_a_read_fail_instead_of_lie() {
    let hopped = Hopped::start(|_| {}).await;
    let public = counter("", "a", "");
    let table = hopped.tables.counters();
    let damaged = format!(
        r#"{{"Responses":{{"{table}":[{{"pk":{{"S":"0:/a"}},"sk":{{"S":":"}},"version":{{"N":"1"}},"views":{{"N":"1.5"}}}}]}}}}"#
    );
    hopped.hop.inject("BatchGetItem", Fault::Answer(200, damaged));
    let error = hopped.store.read(&[topic(&public)]).await.expect_err("the item is damaged");
    assert!(error.0.contains("views"), "{error}");
}
