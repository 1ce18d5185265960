//! Promise: in the production shape, whatever is killed or cut in the middle of a replay, nothing acknowledged is lost,
//! nothing counts twice, and whoever watches ends at the store's values without ever going back.
//!
//! Every test begins with [`Scene::start`] and ends with [`Scene::ends_well`], which holds that promise; between them it
//! breaks something while posts are under way.

mod database;
mod restore;
pub(crate) mod scene;

use analytics_tests::fault_hop::{Fault, FaultHop};
use analytics_tests::hop::Line;
use analytics_tests::stack::{Database, Parts, ready};
use anyhow::{Context, Result};

use scene::Scene;

/// Parts over a database that may be killed, and the hop before it that lets it answer only what is in its files.
async fn settled_database() -> Result<(Parts, FaultHop)> {
    let database = Database::start().await?;
    let hop = FaultHop::start(database.port()).await?;
    hop.settle_writes();
    let port = hop.port();
    Ok((Parts { store: port, ..Parts::over(database) }, hop))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_proxy_costs_nothing_and_its_viewers_come_back() -> Result<()> {
    let mut scene = Scene::start().await?;
    scene.answered(20).await?;
    scene.stack.proxies[1].kill()?;
    // Its posters go on at the other one.
    scene.answered(50).await?;
    scene.stack.proxies[1].start_again().await?;
    scene.ends_well(&[0]).await
}

/// It is killed with many changes in hand that the log did not take: its place must still be before them.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_relay_goes_on_where_it_was() -> Result<()> {
    let database = Database::start().await?;
    let hop = FaultHop::start(database.port()).await?;
    let mut scene = Scene::of(Parts { streams: hop.port(), ..Parts::over(database) }).await?;
    scene.answered(20).await?;
    // What it may not read meanwhile comes in one page.
    hop.always("GetRecords", Fault::refusal("ProvisionedThroughputExceededException"));
    scene.answered(60).await?;
    scene.stack.refuse_changes(true).await?;
    hop.heal();
    scene.stack.relays[0].refused().await?;
    scene.stack.relays[0].kill()?;
    scene.stack.refuse_changes(false).await?;
    scene.stack.relays[0].start_again()?;
    scene.ends_well(&[0, 1]).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_two_relays_one_is_killed_and_the_other_goes_on() -> Result<()> {
    let mut parts = Parts::over(Database::start().await?);
    parts.relays = 2;
    let mut scene = Scene::of(parts).await?;
    scene.answered(20).await?;
    let reading = scene.reading_relay().await?;
    scene.stack.relays[reading].kill()?;
    scene.ends_well(&[0, 1]).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_nats_server_comes_back_with_its_files() -> Result<()> {
    let mut scene = Scene::start().await?;
    scene.answered(20).await?;
    scene.stack.server.kill();
    scene.answered(50).await?;
    scene.stack.server.start_again().await?;
    scene.ends_well(&[0, 1]).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_nats_server_comes_back_without_its_files() -> Result<()> {
    let mut scene = Scene::start().await?;
    scene.answered(20).await?;
    scene.stack.server.kill();
    scene.stack.server.wipe()?;
    scene.answered(50).await?;
    scene.stack.server.start_again().await?;
    scene.ends_well(&[0, 1]).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_database_keeps_what_was_acknowledged() -> Result<()> {
    let (parts, _hop) = settled_database().await?;
    let mut scene = Scene::of(parts).await?;
    for percent in [20, 50] {
        scene.answered(percent).await?;
        scene.stack.database.kill()?;
        scene.stack.database.start_again().await?;
    }
    scene.ends_well(&[0, 1]).await
}

/// The line between the first proxy and the hub, and between the second one and its leaf, is cut both ways that there
/// are: with and without a word.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_partition_between_proxies_and_nats_heals() -> Result<()> {
    let scene = Scene::start().await?;
    for (percent, line) in [(10, Line::Silent), (50, Line::Broken)] {
        scene.answered(percent).await?;
        for hop in &scene.stack.lines {
            hop.set(line);
        }
        scene.degraded(&[0, 1]).await?;
        scene.answered(percent + 20).await?;
        for hop in &scene.stack.lines {
            hop.set(Line::Whole);
        }
    }
    scene.ends_well(&[0, 1]).await
}

/// The proxy behind the leaf stays connected to it, and must find out all the same that nothing comes.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_partition_between_leaf_and_hub_heals() -> Result<()> {
    let scene = Scene::start().await?;
    for (percent, line) in [(10, Line::Silent), (50, Line::Broken)] {
        scene.answered(percent).await?;
        scene.stack.trunk.set(line);
        scene.degraded(&[1]).await?;
        scene.answered(percent + 20).await?;
        scene.stack.trunk.set(Line::Whole);
    }
    scene.ends_well(&[0, 1]).await
}

/// Nothing is acknowledged while it is gone, and nothing is known of the calls that it had in hand.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_function_comes_back() -> Result<()> {
    let mut scene = Scene::of(Parts { function: true, ..Parts::over(Database::start().await?) }).await?;
    for percent in [20, 50] {
        scene.answered(percent).await?;
        let function = scene.stack.function.as_mut().context("the stack has a function")?;
        function.kill()?;
        function.start_again().await?;
    }
    scene.ends_well(&[0, 1]).await
}

/// Everything is gone at once, as in a power cut, and comes back.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn when_everything_is_killed_at_once_nothing_acknowledged_is_lost() -> Result<()> {
    let (parts, _hop) = settled_database().await?;
    let mut scene = Scene::of(Parts { function: true, ..parts }).await?;
    scene.answered(30).await?;
    let stack = &mut scene.stack;
    for proxy in &mut stack.proxies {
        proxy.kill()?;
    }
    let function = stack.function.as_mut().context("the stack has a function")?;
    function.kill()?;
    stack.relays[0].kill()?;
    stack.leaf.kill();
    stack.server.kill();
    stack.database.kill()?;
    stack.database.start_again().await?;
    stack.server.start_again().await?;
    stack.leaf.start_again().await?;
    stack.relays[0].start_again()?;
    function.start_again().await?;
    for proxy in &mut stack.proxies {
        proxy.start_again().await?;
        ready(proxy).await?;
    }
    scene.ends_well(&[]).await
}
