//! The benchmark of the edge on one machine, beside what people use today. The rule: the server has core 0, everything
//! here has core 1, and every figure stands beside what the kernel alone would need, or what others need.
//!
//! `tests/bench/run` builds and starts it. Rows are groups of measurements; [`Row`] says what each is about.

mod bare;
mod charts;
mod contender;
mod delivery;
mod dialect;
mod fanout;
mod figures;
mod floor;
mod functions;
mod http;
mod ingest;
mod link;
mod machine;
mod many;
mod memory;
mod meter;
mod peers;
mod processes;
mod progress;
mod publisher;
mod report;
mod results;
mod rows;
mod server;
mod serverless;
mod slow;
mod subscriber;
mod swarm;
mod targets;
mod unrelated;
mod update;
mod versions;
mod wire;
mod world;
mod zipf;

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use clap::{Parser, Subcommand, ValueEnum};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::contender::{Edge, Manner};
use crate::figures::Figures;
use crate::progress::Progress;
use crate::report::Table;
use crate::results::Results;
use crate::rows::{Bench, COMPLETE, QUICK, Size};

/// Rounds of a complete run; one of fewer is none.
const ROUNDS: usize = 3;

/// Descriptors that are not subscribers': the server's own reserve, which is the larger.
const RESERVED: u64 = 600;

#[derive(Parser)]
#[command(about = "Measures the edge and its peers on two cores", subcommand_negates_reqs = true)]
struct Arguments {
    #[command(subcommand)]
    role: Option<Role>,
    /// The release binary of the proxy.
    #[arg(long, required = true)]
    proxy: Option<PathBuf>,
    /// The folder that a complete run's RESULTS.md and charts go to; any other run's go to `bench-results` beside the
    /// proxy.
    #[arg(long)]
    results: Option<PathBuf>,
    /// One short round of fewer connections: whether everything works, no figures to keep.
    #[arg(long)]
    quick: bool,
    /// How often everything is measured; 3, or 1 if quick.
    #[arg(long, value_parser = clap::value_parser!(u8).range(1..))]
    rounds: Option<u8>,
    /// Only these, comma-separated.
    #[arg(long, value_enum, value_delimiter = ',')]
    rows: Vec<Row>,
}

#[derive(Subcommand)]
enum Role {
    /// The sender of the floor, which this program starts itself.
    #[command(hide = true)]
    FloorServer { subscribers: usize, coalesced: usize },
    /// The floor of writes to DynamoDB, the same.
    #[command(hide = true)]
    BareWrites(bare::Writes),
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Row {
    /// One topic, beside the floor and the peers.
    Fanout,
    /// Sixteen topics at once, the same.
    Burst,
    /// A second hub of the edge.
    Hubs,
    /// Many topics, few of them each.
    Many,
    /// Idle connections' memory.
    Memory,
    /// Connections that come all at once.
    Storm,
    /// Idle connections' CPU time.
    Idle,
    /// An update of the edge beside subscriptions that it does not concern.
    Cost,
    /// Clients of the edge that do not read.
    Slow,
    /// Updates over HTTP.
    Ingest,
    /// The production shape: from a post to its subscriber.
    Feeds,
    /// Posts that end in DynamoDB.
    Writes,
    /// What DynamoDB charges.
    Units,
    /// The Lambda functions.
    Functions,
}

impl Row {
    fn measure(self, bench: &Bench<'_>, figures: &mut Figures) -> Vec<Table> {
        match self {
            Row::Fanout => bench.fanout(figures),
            Row::Burst => bench.burst(figures),
            Row::Hubs => bench.hubs(),
            Row::Many => bench.many(),
            Row::Memory => bench.memory(figures),
            Row::Storm => bench.storm(),
            Row::Idle => bench.idle(),
            Row::Cost => bench.unrelated(figures),
            Row::Slow => bench.slow(figures),
            Row::Ingest => bench.ingest(figures),
            Row::Feeds => vec![bench.feeds()],
            Row::Writes => vec![bench.writes()],
            Row::Units => vec![bench.units()],
            Row::Functions => vec![bench.functions(figures)],
        }
    }

    /// How long it takes in a complete run on the machine that it was written on: how far a run is depends on it, nothing
    /// else.
    fn expected(self) -> Duration {
        Duration::from_secs(match self {
            Row::Fanout => 930,
            Row::Burst => 160,
            Row::Hubs => 40,
            Row::Many => 270,
            Row::Memory => 560,
            Row::Storm => 190,
            Row::Idle => 290,
            Row::Cost => 130,
            Row::Slow => 150,
            Row::Ingest => 140,
            Row::Feeds => 110,
            Row::Writes => 300,
            Row::Units => 20,
            Row::Functions => 10,
        })
    }
}

fn main() -> Result<()> {
    let arguments = Arguments::parse();
    match arguments.role {
        Some(Role::FloorServer { subscribers, coalesced }) => return floor::serve(subscribers, coalesced),
        Some(Role::BareWrites(writes)) => return bare::run(&writes),
        None => {}
    }
    let edge = arguments.proxy.context("--proxy is missing")?;
    let edge = edge.canonicalize().with_context(|| format!("no proxy at {}", edge.display()))?;
    let built = edge.parent().context("the proxy's path has no directory")?;
    let rows: Vec<Row> = Row::value_variants()
        .iter()
        .copied()
        .filter(|row| arguments.rows.is_empty() || arguments.rows.contains(row))
        .collect();
    let (size, rounds, scale) = if arguments.quick { (QUICK, 1, 1) } else { (COMPLETE, ROUNDS, 3) };
    let rounds = arguments.rounds.map_or(rounds, usize::from);
    enough_descriptors(&size)?;
    let bench = Bench {
        edge: Edge { binary: &edge, env: &[], manner: Manner::Usual },
        rounds,
        during: Duration::from_secs(scale),
        idle_for: Duration::from_secs(10 * scale),
        size,
        progress: Progress::new(rows.iter().map(|row| row.expected()).sum()),
    };

    let mut results = Results::new(head(built, rounds)?);
    let unfinished = built.join("bench-results");
    for row in &rows {
        bench.progress.begin(row.expected());
        for table in row.measure(&bench, &mut results.figures) {
            println!("{}", table.markdown());
            results.add(table);
        }
        results.write(&unfinished)?;
    }
    println!("{}", results.targets());
    let complete = !arguments.quick && arguments.rows.is_empty() && rounds >= ROUNDS;
    match arguments.results.filter(|_| complete) {
        Some(folder) => results.write(&folder)?,
        None => eprintln!("what was measured is in {}", unfinished.display()),
    }
    let failures = results.failures();
    ensure!(failures == 0, "{failures} rows failed");
    Ok(())
}

/// The title, the machine, and what holds for all tables.
fn head(data: &Path, rounds: usize) -> Result<String> {
    Ok(format!(
        "# Benchmark results\n\nWritten by `tests/bench/run`. {} {} The server has one core, the load generator the other. \
         Rounds: {rounds}, those of what is compared in turns; figures are medians, in brackets the range. CPU time is what \
         the kernel counts for all threads of a server's processes, to the nanosecond. A row with any incomplete delivery \
         has failed.\n",
        machine::shape(data)?,
        versions::sentence()
    ))
}

/// Raises the limit of descriptors as far as it goes, for this process and the servers, which inherit it.
fn enough_descriptors(size: &Size) -> Result<()> {
    let limit = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum })
        .context("raising the limit of descriptors")?;
    let most = limit.maximum.unwrap_or(u64::MAX).saturating_sub(RESERVED);
    let needed = size.descriptors();
    ensure!(
        most >= needed as u64,
        "{needed} connections need as many descriptors and {RESERVED} more; raise the limit (ulimit -Hn)"
    );
    Ok(())
}

/// The nth content's id, as long as ids usually are.
fn content_id(n: usize) -> String {
    format!("c0a80101-0000-4000-8000-{n:012}")
}
