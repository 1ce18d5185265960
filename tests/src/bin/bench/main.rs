//! The benchmark of the edge on one machine. The rule: the server has core 0, everything here has core 1, and every
//! figure stands beside what the kernel alone would need.
//!
//! `tests/bench/run` builds and starts it. Rows are groups of measurements: `fanout`, `burst` (both beside their
//! floor), `memory`, `idle`, `ingest` of the edge alone; `feeds`, `writes`, `units`, `functions` of the production shape.

mod bare;
mod contender;
mod delivery;
mod dialect;
mod fanout;
mod floor;
mod functions;
mod http;
mod ingest;
mod link;
mod machine;
mod memory;
mod meter;
mod peers;
mod processes;
mod publisher;
mod report;
mod rows;
mod server;
mod serverless;
mod subscriber;
mod swarm;
mod update;
mod wire;
mod world;

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use clap::{Parser, Subcommand, ValueEnum};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::contender::Edge;
use crate::rows::Bench;

/// Descriptors that are not subscribers': the server's own reserve, which is the larger.
const RESERVED: u64 = 600;

#[derive(Parser)]
#[command(about = "Measures the edge on two cores", subcommand_negates_reqs = true)]
struct Arguments {
    #[command(subcommand)]
    role: Option<Role>,
    /// The release binary of the proxy.
    #[arg(long, required = true)]
    proxy: Option<PathBuf>,
    /// Where the tables of a complete run go, as Markdown.
    #[arg(long)]
    results: Option<PathBuf>,
    /// One short round: whether everything works, no figures to keep.
    #[arg(long)]
    quick: bool,
    /// Only these, comma-separated; prints, and leaves the results as they are.
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
    Fanout,
    Burst,
    Memory,
    Idle,
    Ingest,
    Feeds,
    Writes,
    Units,
    Functions,
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
    let scale = if arguments.quick { 1 } else { 5 };
    let bench = Bench {
        edge: Edge { binary: &edge, env: &[], tls: false },
        rounds: if arguments.quick { 1 } else { 3 },
        during: Duration::from_secs(scale),
        idle_for: Duration::from_secs(6 * scale),
        most_connections: most_connections()?,
    };

    let data = edge.parent().context("the proxy's path has no directory")?;
    let mut text = format!(
        "# Benchmark results\n\nWritten by `tests/bench/run`. {} The server has one core, the load generator the \
         other. Rounds: {}; figures are medians, in brackets the range. A row with any incomplete delivery has failed.\n",
        machine::shape(data)?,
        bench.rounds
    );
    let mut failures = 0;
    println!("{text}");
    for row in Row::value_variants() {
        if !arguments.rows.is_empty() && !arguments.rows.contains(row) {
            continue;
        }
        let table = match row {
            Row::Fanout => bench.fanout(),
            Row::Burst => bench.burst(),
            Row::Memory => bench.memory(),
            Row::Idle => bench.idle(),
            Row::Ingest => bench.ingest(),
            Row::Feeds => bench.feeds(),
            Row::Writes => bench.writes(),
            Row::Units => bench.units(),
            Row::Functions => bench.functions(),
        };
        failures += table.failures();
        let table = table.markdown();
        println!("{table}");
        text.push('\n');
        text.push_str(&table);
    }
    if let Some(path) = arguments.results.filter(|_| !arguments.quick && arguments.rows.is_empty()) {
        std::fs::write(&path, text).with_context(|| format!("writing {}", path.display()))?;
    }
    ensure!(failures == 0, "{failures} rows failed");
    Ok(())
}

/// How many connections the descriptors of either side allow, after raising their limit as far as it goes. The
/// server inherits it.
fn most_connections() -> Result<usize> {
    let limit = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum })
        .context("raising the limit of descriptors")?;
    let most = limit.maximum.unwrap_or(u64::MAX).saturating_sub(RESERVED);
    ensure!(most >= 100, "the limit of descriptors ({most} after the reserve) leaves nothing to measure");
    Ok(usize::try_from(most).unwrap_or(usize::MAX))
}

/// The nth content's id, as long as ids usually are.
fn content_id(n: usize) -> String {
    format!("c0a80101-0000-4000-8000-{n:012}")
}
