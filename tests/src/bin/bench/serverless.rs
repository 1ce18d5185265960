//! The rows of the production shape. The rule: DynamoDB Local stands in for DynamoDB, so what counts are ratios to the
//! bare SDK, units, and what the feeds add; not the stand-in's own speed.

use std::process::Command;
use std::time::Duration;

use analytics_tests::api::{Api, update};
use analytics_tests::memory::Counter;
use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

use crate::contender::{Contender, Edge, Manner};
use crate::fanout::{self, Pace};
use crate::ingest::{self, Contents, Load};
use crate::meter::Meter;
use crate::report::{Table, grouped, median, with_range};
use crate::rows::{Bench, told_of};
use crate::server::pinned;
use crate::world::{Feed, World};

/// Longer than any feed's rhythm (the stream is looked at every 250 ms).
const LONGEST_PAUSE: Duration = Duration::from_millis(400);

/// Writes at once.
const IN_FLIGHT: usize = 32;

/// Calls over which units are averaged.
const METERED: u32 = 20;

impl Bench<'_> {
    /// From a post to its subscriber, on each feed.
    pub(crate) fn feeds(&self) -> Table {
        let updates = 40 * self.during.as_secs();
        let method = format!(
            "One subscriber and {updates} posts, each after a random pause of up to {} ms: from the post to the frame \
             that shows it. A stream in DynamoDB may be looked at four times a second, which is most of the way. DynamoDB \
             Local shares the load's core.",
            LONGEST_PAUSE.as_millis()
        );
        let mut table = Table::new("From a post to its subscriber", method, &["feed", "p50 ms", "p99 ms"]);
        let of = |edge: Edge<'_>| -> Result<fanout::Measured> {
            let pace = Pace::Apart { longest: LONGEST_PAUSE, updates };
            let measured = fanout::measure(Contender::Edge(edge), 1, 1, &[pace])?;
            let measured = measured.into_iter().next().context("nothing was measured")?;
            ensure!(measured.failed.is_none(), "{}", measured.failed.unwrap_or_default());
            Ok(measured)
        };
        let streamed = |feed| -> Result<fanout::Measured> {
            let world = World::start()?;
            let shape = world.shape(feed, world.dynamodb())?;
            of(Edge { env: &shape.env, ..self.edge })
        };
        for (name, measured) in [
            ("embedded (redb, in one process)", of(self.edge)),
            ("dynamodb-streams", streamed(Feed::Streams)),
            ("nats, by stream-relay", streamed(Feed::Nats)),
        ] {
            match measured {
                Ok(m) => table.row(vec![name.to_owned(), format!("{:.1}", m.p50_ms), format!("{:.1}", m.p99_ms)]),
                Err(error) => table.failed(name, &told_of(&error)),
            }
        }
        table
    }

    /// Posts that end in DynamoDB, beside the bare SDK.
    pub(crate) fn writes(&self) -> Table {
        let method = format!(
            "{IN_FLIGHT} in flight; the floor is the SDK alone making the same requests (keyed: a transaction, then a \
             consistent read), on the edge's core. DynamoDB Local shares the other core with the load."
        );
        let columns = &["row", "floor, writes/s", "POSTs/s", "ratio to the floor", "p50 ms", "p99 ms"];
        let mut table = Table::new("Posts into DynamoDB", method, columns);
        let rows = [
            ("keyless, each another content", Contents::Distinct, false),
            ("keyless, one hot content", Contents::Hot, false),
            ("keyed, each another content", Contents::Distinct, true),
            ("keyed, one hot content", Contents::Hot, true),
        ];
        for (index, (name, contents, keyed)) in rows.into_iter().enumerate() {
            self.progress.part(index, rows.len());
            let load = Load { contents, keyed, in_flight: IN_FLIGHT };
            let round = || {
                let world = World::start()?;
                // Java becomes several times as fast in its first seconds.
                self.bare(&world, load)?;
                let floor = self.bare(&world, load)?;
                let shape = world.shape(Feed::Streams, world.dynamodb())?;
                let edge = Edge { env: &shape.env, ..self.edge };
                Ok((floor, ingest::measure(Contender::Edge(edge), load, self.during)?))
            };
            match self.each_round(&format!("Posts into DynamoDB, {name}"), round) {
                Ok(rounds) => {
                    let ratios: Vec<f64> = rounds.iter().map(|(floor, own)| own.posts_per_second / floor).collect();
                    table.row(vec![
                        name.to_owned(),
                        grouped(median(rounds.iter().map(|(floor, _)| *floor))),
                        grouped(median(rounds.iter().map(|(_, own)| own.posts_per_second))),
                        with_range(&ratios),
                        format!("{:.1}", median(rounds.iter().map(|(_, own)| own.p50_ms))),
                        format!("{:.1}", median(rounds.iter().map(|(_, own)| own.p99_ms))),
                    ]);
                }
                Err(reason) => table.failed(name, &reason),
            }
        }
        table
    }

    /// Writes per second of the bare SDK.
    fn bare(&self, world: &World, load: Load) -> Result<f64> {
        let shape = world.shape(Feed::Streams, world.dynamodb())?;
        let mut command: Command = pinned(&std::env::current_exe().context("finding this program")?);
        command.arg("bare-writes").arg(world.dynamodb().to_string());
        command.args([shape.tables.counters(), shape.tables.idempotency(), &load.in_flight.to_string()]);
        command.arg(self.during.as_millis().to_string());
        command.args(load.keyed.then_some("--keyed"));
        command.args((load.contents == Contents::Hot).then_some("--hot"));
        let output = command.output().context("starting the bare writers")?;
        ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let figure = String::from_utf8_lossy(&output.stdout).into_owned();
        figure.trim().parse().with_context(|| format!("the bare writers printed {figure:?}"))
    }

    /// What DynamoDB charges for a call.
    pub(crate) fn units(&self) -> Table {
        let method = "Capacity units as DynamoDB Local tells them, per call; a write unit is 1 KB written, a read unit \
                      4 KB read consistently. Averages over some calls on fresh tables. AWS also charges for the transaction \
                      that a repeat cancels, which DynamoDB Local does not tell.";
        let mut table = Table::new("DynamoDB units", method, &["call", "units"]);
        match self.metered() {
            Ok(rows) => rows.into_iter().for_each(|(name, units)| table.row(vec![name, format!("{units:.1}")])),
            Err(error) => table.failed("units", &told_of(&error)),
        }
        table
    }

    fn metered(&self) -> Result<Vec<(String, f64)>> {
        let world = World::start()?;
        let meter = world.block_on(Meter::start(world.dynamodb()))?;
        let shape = world.shape(Feed::Streams, meter.port())?;
        // The meter runs on the world's runtime, so whoever waits for the edge has to be on it too.
        let (binary, env) = (self.edge.binary.to_owned(), shape.env.clone());
        world.block_on(async {
            let start =
                tokio::task::spawn_blocking(move || Edge { binary: &binary, env: &env, manner: Manner::Usual }.start());
            let server = start.await.context("starting the edge")??;
            let mut api = Api::new(server.address().to_string());
            let mut rows = Vec::new();
            let one = update(&Counter::new(Some("org"), Some("client"), "article-1"), "views", 1);
            let members: Vec<Value> =
                (0..100).map(|n| update(&Counter::public(&format!("article-{n}")), "views", 1)).collect();
            let batch = json!({ "updates": members });
            for (name, body, key) in [
                ("a post without a key", &one, None),
                ("a post with a key", &one, Some("k")),
                ("its repeat", &one, Some("k")),
                ("a batch of 100 without a key", &batch, None),
                ("a batch of 100 with a key", &batch, Some("b")),
            ] {
                let warm_up = api.trigger(body, None).await?;
                ensure!(warm_up.status.is_success(), "{}", warm_up.text());
                meter.take();
                for call in 0..METERED {
                    let key = key.map(|key| format!("{key}{call}"));
                    let reply = api.trigger(body, key.as_deref()).await?;
                    ensure!(reply.status.is_success(), "{}", reply.text());
                }
                rows.push((name.to_owned(), meter.take() / f64::from(METERED)));
            }
            for _ in 0..METERED {
                api.content(&["article-1"], None, None).await?;
            }
            rows.push(("a poll of one public content".to_owned(), meter.take() / f64::from(METERED)));
            Ok(rows)
        })
    }
}
