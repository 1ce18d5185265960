//! A replay in the production shape, with viewers of everything at both proxies. The rule: a fault comes when a part of
//! the posts is answered and others are under way, and what is promised after it is held in one place.

use std::collections::BTreeMap;
use std::sync::Arc;

use analytics_tests::input::{File, Increment};
use analytics_tests::memory::{Counter, FIELDS};
use analytics_tests::replay::{self, Plan, Progress, Summary};
use analytics_tests::stack::{Database, Parts, Stack, ready};
use analytics_tests::viewer::Viewer;
use analytics_tests::wait;
use anyhow::{Context, Result, ensure};
use tokio::task::JoinHandle;

use crate::totals::{self, Totals};

/// Posts that are under way at once.
const POSTERS: usize = 32;

/// The part of the input that is replayed: these first page views, and the videos of the channels that have the most.
const PAGEVIEWS: usize = 900;
const CHANNELS: usize = 12;

/// Channels that are watched at a proxy: more than the log is filtered for, fewer than there are.
const WATCHED: usize = 120;

/// Ids of one viewer.
const IDS: usize = 200;

/// A stack, its viewers, and the replay that goes on.
pub(crate) struct Scene {
    pub(crate) stack: Stack,
    /// Of each proxy, each with the counters that it is shown.
    viewers: Vec<Vec<(Viewer, Vec<Counter>)>>,
    expected: Totals,
    rows: u64,
    progress: Arc<Progress>,
    replay: JoinHandle<Result<Summary>>,
}

impl Scene {
    /// The usual parts.
    pub(crate) async fn start() -> Result<Scene> {
        Scene::of(Parts::over(Database::start().await?)).await
    }

    /// Starts the parts, lets viewers watch everything, and begins to post a part of the input.
    pub(crate) async fn of(parts: Parts) -> Result<Scene> {
        let increments = part()?;
        let expected = totals::of(&increments)?;
        Scene::replaying(parts, increments, expected).await
    }

    /// The same with all of the input.
    pub(crate) async fn whole(parts: Parts) -> Result<Scene> {
        let increments = [File::Pageviews.increments()?, File::VideoCounts.increments()?].concat();
        Scene::replaying(parts, increments, totals::of_both_files()?).await
    }

    async fn replaying(parts: Parts, increments: Vec<Increment>, expected: Totals) -> Result<Scene> {
        let stack = Stack::start(parts).await?;
        let mut viewers = Vec::new();
        for proxy in &stack.proxies {
            viewers.push(viewers_of_all(&proxy.authority()?, &expected).await?);
        }
        let progress = Arc::new(Progress::default());
        let plan = Plan {
            urls: stack.urls()?,
            posters: POSTERS,
            batch: 1,
            run_id: "faults".to_owned(),
            token: None,
            give_up_after: wait::LIMIT,
        };
        let rows = increments.len() as u64;
        let replay = tokio::spawn(replay::run(plan, increments, progress.clone()));
        Ok(Scene { stack, viewers, expected, rows, progress, replay })
    }

    /// Returns once this part of the posts is answered, and others are under way.
    pub(crate) async fn answered(&self, percent: u64) -> Result<()> {
        let enough = self.rows * percent / 100;
        let reached = || self.progress.answered() >= enough || self.replay.is_finished();
        wait::holds("a part of the replay", reached).await?;
        ensure!(!self.replay.is_finished(), "the replay was over before the fault");
        Ok(())
    }

    /// Returns once each of these proxies says that it hears nothing of the log.
    pub(crate) async fn degraded(&self, proxies: &[usize]) -> Result<()> {
        for proxy in proxies {
            let mut api = self.stack.proxies[*proxy].api()?;
            wait::until("the proxy to notice the cut", async || {
                let reply = api.http.get("/ready").await.ok()?;
                reply.text().contains("degraded").then_some(())
            })
            .await?;
        }
        Ok(())
    }

    /// Which of several relays reads.
    pub(crate) async fn reading_relay(&self) -> Result<usize> {
        wait::until("a relay to read", async || {
            self.stack.relays.iter().position(|relay| relay.log().contains("this process reads the stream"))
        })
        .await
    }

    /// Holds the promise: every post was answered and counted once, every viewer ends at the store's values, and those of
    /// these proxies, which nothing happened to, were never cut.
    pub(crate) async fn ends_well(self, untouched: &[usize]) -> Result<()> {
        let Scene { stack, viewers, expected, replay, .. } = self;
        let summary = replay.await.context("the replay panicked")??;
        ensure!(summary.refused == 0 && summary.posted + summary.replayed == summary.rows, "{summary}");
        for (number, (proxy, viewers)) in stack.proxies.iter().zip(&viewers).enumerate() {
            ready(proxy).await?;
            let authority = proxy.authority()?;
            // A database that still refuses much may keep a read from ending in its time: then it is asked again.
            let stored = wait::until("the store to be read", async || {
                let stored = totals::in_the_store(&authority, &expected).await;
                stored.inspect_err(|error| eprintln!("the store cannot be read yet: {error:#}")).ok()
            });
            totals::same(&expected, &stored.await?)?;
            for (viewer, counters) in viewers {
                converges(viewer, counters, &expected).await.with_context(|| format!("at proxy {number}"))?;
                ensure!(
                    !untouched.contains(&number) || viewer.connections() == 1,
                    "a viewer of proxy {number} was cut"
                );
            }
        }
        Ok(())
    }
}

/// Waits until a viewer was last shown these values of its counters.
async fn converges(viewer: &Viewer, counters: &[Counter], expected: &Totals) -> Result<()> {
    for counter in counters {
        for (field, value) in FIELDS.iter().zip(expected[counter]) {
            let what = format!("{counter:?} {field} = {value}");
            let shown = || viewer.value(counter, field);
            wait::holds(&what, || shown() == Some(value)).await.with_context(|| format!("it is {:?}", shown()))?;
        }
    }
    Ok(())
}

fn part() -> Result<Vec<Increment>> {
    let mut increments: Vec<Increment> = File::Pageviews.increments()?.into_iter().take(PAGEVIEWS).collect();
    let videos = File::VideoCounts.increments()?;
    let mut sizes: BTreeMap<Option<&str>, usize> = BTreeMap::new();
    for increment in &videos {
        *sizes.entry(increment.counter.organization.as_deref()).or_default() += 1;
    }
    let mut largest: Vec<(Option<&str>, usize)> = sizes.into_iter().collect();
    largest.sort_by_key(|(_, size)| std::cmp::Reverse(*size));
    largest.truncate(CHANNELS);
    let chosen = |increment: &&Increment| {
        largest.iter().any(|(channel, _)| *channel == increment.counter.organization.as_deref())
    };
    increments.extend(videos.iter().filter(chosen).cloned());
    Ok(increments)
}

/// Viewers of all public contents, and one for each of the first channels.
async fn viewers_of_all(authority: &str, expected: &Totals) -> Result<Vec<(Viewer, Vec<Counter>)>> {
    let mut scopes: BTreeMap<Option<&str>, Vec<&Counter>> = BTreeMap::new();
    for counter in expected.keys() {
        scopes.entry(counter.organization.as_deref()).or_default().push(counter);
    }
    let mut viewers = Vec::new();
    for (organization, counters) in scopes.into_iter().take(1 + WATCHED) {
        for counters in counters.chunks(IDS) {
            let contents: Vec<&str> = counters.iter().map(|counter| counter.content.as_str()).collect();
            let viewer = Viewer::start(authority, organization, &contents).await?;
            viewers.push((viewer, counters.iter().map(|counter| (*counter).clone()).collect()));
        }
    }
    Ok(viewers)
}
