//! Presence. The rule: a proxy counts while it was seen within 30 seconds, with what it said last.

use std::sync::atomic::Ordering;

use analytics_tests::dynamodb_local;
use analytics_tests::fault_hop::{Fault, FaultHop};
use lambda_trigger::Presence;
use lambda_trigger::dynamodb::{DynamoOptions, DynamoPresence, PRESENCE_LIFETIME};

use super::{clock, made_tables, options};

#[tokio::test]
async fn open_sockets_are_summed_over_the_proxies_seen_lately() {
    let (client, tables) = made_tables().await;
    let (hands, clock) = clock();
    let presence = DynamoPresence::new(client, &DynamoOptions { clock, ..options(tables) });
    let connected = async || presence.connected().await.expect("the table is readable");
    assert_eq!(connected().await, 0);
    presence.beat("one", 5).await.expect("a beat");
    presence.beat("two", 7).await.expect("a beat");
    assert_eq!(connected().await, 12);
    presence.beat("one", 6).await.expect("a beat");
    assert_eq!(connected().await, 13, "the last word of each counts");
    hands.fetch_add(PRESENCE_LIFETIME.as_millis() as u64, Ordering::SeqCst);
    assert_eq!(connected().await, 13, "30 s ago is within the last 30 s");
    presence.beat("two", 1).await.expect("a beat");
    hands.fetch_add(1, Ordering::SeqCst);
    assert_eq!(connected().await, 1, "a proxy that fell silent does not count");
    presence.leave("two").await.expect("it leaves");
    presence.leave("two").await.expect("leaving twice is leaving");
    assert_eq!(connected().await, 0);
}

#[tokio::test]
async fn presence_outlives_faults_and_says_when_it_cannot() {
    let local = dynamodb_local::shared().await.expect("DynamoDB Local runs");
    let hop = FaultHop::start(local.port()).await.expect("the hop starts");
    let (_, tables) = made_tables().await;
    let options = DynamoOptions { attempts: 3, ..options(tables) };
    let presence = DynamoPresence::new(dynamodb_local::client(hop.port()), &options);
    for fault in [Fault::refusal("ThrottlingException"), Fault::Cut] {
        hop.inject("PutItem", fault.clone());
        hop.inject("Query", fault);
    }
    presence.beat("one", 5).await.expect("a beat");
    assert_eq!(presence.connected().await, Ok(5));
    hop.always("Query", Fault::internal());
    assert!(presence.connected().await.is_err());
}
