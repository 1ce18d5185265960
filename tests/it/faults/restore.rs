//! Promise: a store that was put back to an older state wins, once its epoch is raised: clients that were cut and polls
//! end at the restored values, and what is counted from then on reaches everybody.

use analytics_tests::api::update;
use analytics_tests::dynamodb_local;
use analytics_tests::edge::Edge;
use analytics_tests::fault_hop::FaultHop;
use analytics_tests::memory::Counter;
use analytics_tests::stack::{Stack, ready};
use analytics_tests::viewer::Viewer;
use analytics_tests::wait;
use anyhow::{Context, Result, ensure};
use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::types::{StreamSpecification, StreamViewType};

use super::settled_database;

/// What an operator raises after a restore: base and versions then lie above all that was ever shown.
const RAISED: (&str, &str) = ("ANALYTICS_STORE_EPOCH", "1");

const CONTENTS: [&str; 3] = ["counted again", "never counted again", "counted after the backup only"];

/// A stack whose tables were backed up with likes of 5, 7 and none, whose viewers were then shown 25, 27 and 20, and whose
/// files were put back since.
async fn restored() -> Result<(Stack, FaultHop, Vec<Viewer>)> {
    let (parts, hop) = settled_database().await?;
    let mut stack = Stack::start(parts).await?;
    let mut viewers = Vec::new();
    for proxy in &stack.proxies {
        viewers.push(Viewer::start(&proxy.authority()?, None, &CONTENTS).await?);
    }
    for (content, times) in CONTENTS.into_iter().zip([5, 7, 0]) {
        count(&stack, content, times).await?;
    }
    stack.database.kill()?;
    let backup = stack.database.back_up()?;
    stack.database.start_again().await?;
    for content in CONTENTS {
        count(&stack, content, 20).await?;
    }
    show(&viewers, [Some(25), Some(27), Some(20)]).await?;

    stack.relays[0].kill()?;
    stack.database.kill()?;
    stack.database.restore(backup)?;
    stack.database.start_again().await?;
    renew_stream(&stack).await?;
    stack.set(RAISED.0, RAISED.1);
    Ok((stack, hop, viewers))
}

/// Counts likes at the first proxy, each exactly once: a database that has just started may be slow to answer.
async fn count(stack: &Stack, content: &str, times: u64) -> Result<()> {
    let mut api = stack.proxies[0].api()?;
    for _ in 0..times {
        let key = format!("{:016x}", fastrand::u64(..));
        wait::until("the increment to be acknowledged", async || {
            let reply = api.trigger(&update(&Counter::public(content), "likes", 1), Some(&key)).await.ok()?;
            reply.status.is_success().then_some(())
        })
        .await?;
    }
    Ok(())
}

/// Gives the table a stream of its own, as a restored table on AWS has none until it is given one: under the old one's
/// name, numbers that were told already would come again.
async fn renew_stream(stack: &Stack) -> Result<()> {
    let client = Client::new(&dynamodb_local::config(stack.database.port()));
    let table = stack.tables.counters();
    let off = StreamSpecification::builder().stream_enabled(false).build()?;
    client.update_table().table_name(table).stream_specification(off).send().await.context("switch the stream off")?;
    let on = StreamSpecification::builder().stream_enabled(true).stream_view_type(StreamViewType::NewImage).build()?;
    client.update_table().table_name(table).stream_specification(on).send().await.context("switch the stream on")?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn clients_converge_to_a_restored_store() -> Result<()> {
    let (mut stack, _hop, viewers) = restored().await?;
    for proxy in &mut stack.proxies {
        proxy.kill()?;
        proxy.start_again().await?;
        ready(proxy).await?;
    }
    stack.relays[0].start_again()?;
    show(&viewers, [Some(5), Some(7), None]).await?;
    for proxy in &stack.proxies {
        ensure!(polled(proxy).await? == [5, 7, 0], "a poll tells what was lost");
    }
    for (round, proxy) in [0, 1, 0, 1].into_iter().enumerate() {
        let (value, _) = stack.proxies[proxy].api()?.count(&Counter::public(CONTENTS[0]), "likes", 1).await?;
        ensure!(value == 6 + round as u64, "it counts from the restored value, and is {value}");
        show(&viewers, [Some(value), Some(7), None]).await?;
    }
    Ok(())
}

/// A proxy that was left running with the old epoch shows what is counted from then on, for its version is above all that
/// was; of everything else it keeps showing what was lost, until it is restarted too.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_proxy_that_was_not_restarted_shows_news_and_the_rest_after_its_restart() -> Result<()> {
    let (mut stack, _hop, viewers) = restored().await?;
    let other = &mut stack.proxies[1];
    other.kill()?;
    other.start_again().await?;
    ready(other).await?;
    stack.relays[0].start_again()?;
    stack.proxies[1].api()?.count(&Counter::public(CONTENTS[0]), "likes", 1).await?;
    show(&viewers[1..], [Some(6), Some(7), None]).await?;
    show(&viewers[..1], [Some(6), Some(27), Some(20)]).await?;
    ensure!(viewers[0].connections() == 1, "the viewer stayed connected");

    let left = &mut stack.proxies[0];
    left.terminate()?;
    left.ended().await?;
    left.start_again().await?;
    show(&viewers, [Some(6), Some(7), None]).await
}

/// Waits until every viewer was last shown these likes.
async fn show(viewers: &[Viewer], likes: [Option<u64>; 3]) -> Result<()> {
    for viewer in viewers {
        for (content, likes) in CONTENTS.iter().zip(likes) {
            let shown = || viewer.value(&Counter::public(content), "likes");
            wait::holds(&format!("{content:?} = {likes:?}"), || shown() == likes)
                .await
                .with_context(|| format!("it is {:?}", shown()))?;
        }
    }
    Ok(())
}

async fn polled(proxy: &Edge) -> Result<Vec<u64>> {
    let content = proxy.api()?.content(&CONTENTS, None, None).await?;
    content.iter().map(|entry| entry["likes"].as_u64().context("no likes")).collect()
}
