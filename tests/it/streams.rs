//! DynamoDB Streams, read from the real DynamoDB Local: every change of the store arrives, whatever the calls answer in
//! between, and by whatever stream it travels a subscriber ends at the store's value.

mod fixture;

use std::sync::Arc;

use analytics_proxy::FeedSource;
use analytics_shared::Field;
use analytics_tests::hosted::Hosted;
use analytics_tests::nats::NatsServer;
use analytics_tests::wait;
use anyhow::Result;
use aws_sdk_dynamodb::types::AttributeValue;
use lambda_trigger::changelog::{Bounds, Changelog};
use lambda_trigger::dynamodb::create_tables;
use lambda_trigger::relay::{Relay, RelayOptions};
use lambda_trigger::store::CounterStore;
use lambda_trigger::streams::{SourceError, Start};
use serde_json::json;

use crate::store_suite::{applied, counter, write};
use fixture::{Collector, Fixture, Kept};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_change_of_the_store_arrives() -> Result<()> {
    let fixture = Fixture::start().await?;
    let collector = Collector::new();
    let _running = fixture.read(&collector, &Kept::new(), Start::Oldest);
    let counters = [counter("", "a", ""), counter("o/1", "a", ""), counter("o/1", "b", ":c"), counter("é", "*", "")];
    for round in 0..10 {
        for (index, counter) in counters.iter().enumerate() {
            let field = Field::ALL[(round + index) % 4];
            applied(&*fixture.store, write(counter, field, 1 + index as i64)).await;
        }
    }
    fixture.arrived(&collector, &counters).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn removed_and_foreign_items_are_left_out_and_nothing_else() -> Result<()> {
    let fixture = Fixture::start().await?;
    let collector = Collector::new();
    let reader = fixture.read(&collector, &Kept::new(), Start::Oldest);
    let (kept, removed) = (counter("", "kept", ""), counter("", "removed", ""));
    applied(&*fixture.store, write(&removed, Field::Likes, 1)).await;
    let s = |text: &str| AttributeValue::S(text.to_owned());
    let table = fixture.tables.counters();
    fixture.sdk.delete_item().table_name(table).key("pk", s("0:/removed")).key("sk", s(":")).send().await?;
    fixture.sdk.put_item().table_name(table).item("pk", s("foreign")).item("sk", s("item")).send().await?;
    applied(&*fixture.store, write(&kept, Field::Likes, 1)).await;
    fixture.arrived(&collector, &[kept]).await?;
    assert_eq!(collector.states().len(), 2, "the removed counter stays as it was told last");
    assert_eq!(reader.gauges.unreadable(), 1);
    wait::holds("nothing to wait", || reader.gauges.lag().is_zero()).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reader_goes_on_where_it_was() -> Result<()> {
    let fixture = Fixture::start().await?;
    let kept = Kept::new();
    let counters: Vec<_> = (0..5).map(|index| counter("o", &index.to_string(), "")).collect();
    for counter in &counters {
        let collector = Collector::new();
        let reader = fixture.read(&collector, &kept, Start::Oldest);
        applied(&*fixture.store, write(counter, Field::Views, 1)).await;
        fixture.arrived(&collector, std::slice::from_ref(counter)).await?;
        wait::holds("the place to be kept", || kept.has_place_after(1)).await?;
        // The place lies behind this record as soon as the next page is asked for.
        wait::holds("the next page", || reader.gauges.lag().is_zero()).await?;
        assert_eq!(collector.states().len(), 1, "earlier records do not come again");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn faults_of_calls_and_of_the_sink_cost_nothing() -> Result<()> {
    let fixture = Fixture::start().await?;
    let collector = Collector::new();
    let reader = fixture.read(&collector, &Kept::new(), Start::Oldest);
    let counter = counter("o", "a", "c");
    for fault in [
        SourceError::Expired,
        SourceError::Throttled,
        SourceError::Failed("cut".to_owned()),
        SourceError::Expired,
        SourceError::Trimmed,
    ] {
        fixture.faults.next(fault);
        collector.refuse(2);
        applied(&*fixture.store, write(&counter, Field::Likes, 3)).await;
        fixture.arrived(&collector, std::slice::from_ref(&counter)).await?;
    }
    wait::holds("every fault to have happened", || fixture.faults.left() == 0).await?;
    assert_eq!(reader.gauges.gaps(), 1, "of these only trimmed records are a gap");
    assert_eq!(collector.gaps(), 1);
    assert_eq!(reader.gauges.refused(), 10);
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_wants_only_news_is_told_from_when_on_they_come() -> Result<()> {
    let fixture = Fixture::start().await?;
    let (old, new) = (counter("", "old", ""), counter("", "new", ""));
    applied(&*fixture.store, write(&old, Field::Likes, 1)).await;
    let collector = Collector::new();
    let _reader = fixture.read(&collector, &Kept::new(), Start::Newest);
    wait::holds("the reader to have caught up", || collector.is_caught_up()).await?;
    applied(&*fixture.store, write(&new, Field::Likes, 1)).await;
    fixture.arrived(&collector, &[new]).await?;
    assert_eq!(collector.states().len(), 1);
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_table_that_is_made_anew_is_read_on() -> Result<()> {
    let fixture = Fixture::start().await?;
    let collector = Collector::new();
    let _reader = fixture.read(&collector, &Kept::new(), Start::Oldest);
    let (before, after) = (counter("", "before", ""), counter("", "after", ""));
    applied(&*fixture.store, write(&before, Field::Likes, 1)).await;
    fixture.arrived(&collector, &[before]).await?;
    fixture.sdk.delete_table().table_name(fixture.tables.counters()).send().await?;
    create_tables(&fixture.client, &fixture.tables).await?;
    applied(&*fixture.store, write(&after, Field::Likes, 1)).await;
    fixture.arrived(&collector, &[after]).await
}

/// Posts to an edge and watches at another one, both over the same table.
async fn post_and_watch(here: &Hosted, there: &Hosted) -> Result<()> {
    here.ready().await?;
    there.ready().await?;
    let shown = analytics_tests::memory::Counter::new(Some("o"), None, "x");
    let mut socket = there.socket().await?;
    let subscribe = json!({"type": "subscribe", "contentIds": ["x"], "organizationId": "o"});
    socket.ask(&subscribe, "subscribed").await?;
    for value in 1..=20 {
        let update = analytics_tests::api::update(&shown, "likes", 1);
        let reply = here.api().trigger(&update, None).await?;
        assert_eq!(reply.status, http::StatusCode::OK, "{}", reply.text());
        socket.shows(&shown, "likes", value).await?;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_single_proxy_reads_the_stream_itself() -> Result<()> {
    let fixture = Fixture::start().await?;
    applied(&*fixture.store, write(&counter("o", "y", ""), Field::Likes, 1)).await;
    let store: Arc<dyn CounterStore> = fixture.store.clone();
    let edge = Hosted::start(store, FeedSource::DynamoDbStreams(fixture.source.clone()), |_| {})?;
    post_and_watch(&edge, &edge).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn several_proxies_learn_of_every_change_by_relay_and_log() -> Result<()> {
    let fixture = Fixture::start().await?;
    let server = NatsServer::hub().await?;
    let (nats, log) = (NatsServer::options(server.address), Changelog::of_tables("test"));
    let options =
        RelayOptions { nats: nats.clone(), log: log.clone(), bounds: Bounds::default(), owner: "test".to_owned() };
    let relay = Relay::new(options, fixture.source.clone()).await?;
    let running = tokio::spawn(async move { relay.run_until(std::future::pending()).await });
    let edge = || {
        let store: Arc<dyn CounterStore> = fixture.store.clone();
        Hosted::start(store, FeedSource::Nats { nats: nats.clone(), log: log.clone() }, |_| {})
    };
    let (one, other) = (edge()?, edge()?);
    post_and_watch(&one, &other).await?;
    running.abort();
    Ok(())
}
