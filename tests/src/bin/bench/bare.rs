//! The floor of writes to DynamoDB: the SDK's own calls in a loop, with nothing around them. The rule: per update the
//! requests that the store makes, and no more.

use std::time::{Duration, Instant};

use analytics_tests::dynamodb_local;
use anyhow::{Context, Result};
use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::config::retry::RetryConfig;
use aws_sdk_dynamodb::types::{AttributeValue, Put, ReturnValue, TransactWriteItem, Update};
use tokio::task::JoinSet;

use crate::content_id;

/// What is written, and how.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Writes {
    /// The port of DynamoDB on this machine.
    pub(crate) port: u16,
    /// The tables.
    pub(crate) counters: String,
    pub(crate) idempotency: String,
    /// Writes under way at once.
    pub(crate) in_flight: usize,
    /// For how long.
    pub(crate) milliseconds: u64,
    /// With a record of a key beside each, and a read after it.
    #[arg(long)]
    pub(crate) keyed: bool,
    /// All of one counter.
    #[arg(long)]
    pub(crate) hot: bool,
}

/// The other role of this program: writes, and prints how many updates a second that were.
pub(crate) fn run(writes: &Writes) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let config = aws_sdk_dynamodb::config::Builder::from(&dynamodb_local::config(writes.port))
        .retry_config(RetryConfig::disabled())
        .build();
    let client = Client::from_conf(config);
    let start = Instant::now();
    let written = runtime.block_on(async {
        let mut writers = JoinSet::new();
        for writer in 0..writes.in_flight {
            writers.spawn(write(client.clone(), writes.clone(), writer, start));
        }
        let mut written = 0;
        while let Some(count) = writers.join_next().await {
            written += count.context("a writer panicked")??;
        }
        anyhow::Ok(written)
    })?;
    println!("{}", written as f64 / start.elapsed().as_secs_f64());
    Ok(())
}

async fn write(client: Client, writes: Writes, writer: usize, start: Instant) -> Result<u64> {
    let during = Duration::from_millis(writes.milliseconds);
    let mut written = 0;
    while start.elapsed() < during {
        let number = written as usize * writes.in_flight + writer;
        let id = content_id(if writes.hot { 0 } else { number });
        let text = |text: &str| AttributeValue::S(text.to_owned());
        let one = AttributeValue::N("1".to_owned());
        if writes.keyed {
            let update = Update::builder()
                .table_name(&writes.counters)
                .key("pk", text(&id))
                .key("sk", text(":"))
                .update_expression("ADD #views :one, #version :one")
                .expression_attribute_names("#views", "views")
                .expression_attribute_names("#version", "version")
                .expression_attribute_values(":one", one)
                .build()?;
            let put = Put::builder()
                .table_name(&writes.idempotency)
                .item("id", text(&format!("bare-{number}")))
                .condition_expression("attribute_not_exists(id)")
                .build()?;
            let items =
                [TransactWriteItem::builder().update(update).build(), TransactWriteItem::builder().put(put).build()];
            client.transact_write_items().set_transact_items(Some(items.into())).send().await?;
            let read = client.get_item().table_name(&writes.counters).key("pk", text(&id)).key("sk", text(":"));
            read.consistent_read(true).send().await?;
        } else {
            let update = client.update_item().table_name(&writes.counters).key("pk", text(&id)).key("sk", text(":"));
            update
                .update_expression("ADD #views :one, #version :one")
                .expression_attribute_names("#views", "views")
                .expression_attribute_names("#version", "version")
                .expression_attribute_values(":one", one)
                .return_values(ReturnValue::AllNew)
                .send()
                .await?;
        }
        written += 1;
    }
    Ok(written)
}
