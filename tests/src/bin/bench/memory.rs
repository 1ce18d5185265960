//! What a connection costs that only waits. The rule: a slope between two counts, never a total divided by a count,
//! so what the process needs anyway does not weigh on its connections.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};

use crate::contender::Contender;
use crate::processes::own_cpu;
use crate::server::Server;
use crate::swarm::{HANDSHAKES, Swarm};

/// Memory counts as settled when it moved by less than this, in KiB, for [`QUIET`].
const STILL: u64 = 64;
const QUIET: Duration = Duration::from_secs(1);
const SETTLE_WITHIN: Duration = Duration::from_secs(15);

/// Handshakes under way at once when everyone comes at once: as many as the smallest backlog among the servers (511, that
/// of Node.js and nginx) lets wait without a loss.
pub(crate) const STORM: usize = 500;

/// What each connection subscribes to.
#[derive(Clone, Copy)]
pub(crate) enum Topics {
    /// All to the same one.
    Shared,
    /// Each to one that nobody else has.
    Own,
    /// To `each` of `of`, drawn evenly, the same draw in every run.
    Spread { each: usize, of: u32 },
}

impl Topics {
    fn chooser(self) -> impl FnMut(usize) -> Vec<u32> {
        let mut random = fastrand::Rng::with_seed(20);
        move |nth| match self {
            Topics::Shared => vec![0],
            // There are fewer connections than a u32 counts.
            Topics::Own => vec![u32::try_from(nth).unwrap_or(u32::MAX)],
            Topics::Spread { each, of } => {
                let mut drawn = Vec::with_capacity(each);
                while drawn.len() < each {
                    let id = random.u32(..of);
                    if !drawn.contains(&id) {
                        drawn.push(id);
                    }
                }
                drawn
            }
        }
    }
}

/// Bytes of resident memory per connection, over the connections from the first count to the second, and the
/// resident memory, in KiB, at the second.
pub(crate) fn slope(contender: Contender<'_>, topics: Topics, from: usize, to: usize) -> Result<(f64, u64)> {
    let server = contender.start(to, 1)?;
    let mut swarm = Swarm::new(server.front())?;
    let mut ids = topics.chooser();
    swarm.grow(from, HANDSHAKES, &mut ids)?;
    let low = settled(&server, &mut swarm)?;
    swarm.grow(to, HANDSHAKES, &mut ids)?;
    let high = settled(&server, &mut swarm)?;
    let grown = high as f64 - low as f64;
    Ok((grown * 1024.0 / (to - from) as f64, high))
}

/// How a server takes everyone at once.
pub(crate) struct Storm {
    /// Until all are subscribed.
    pub(crate) seconds: f64,
    pub(crate) per_cpu_second: f64,
    /// The most resident memory on the way.
    pub(crate) peak_kib: u64,
    /// CPU time of the load generator for each second of the server's.
    pub(crate) load_share: f64,
}

/// Connects so many, each to one shared topic, with many handshakes under way all the time.
pub(crate) fn storm(contender: Contender<'_>, connections: usize) -> Result<Storm> {
    let server = contender.start(connections, 1)?;
    let mut swarm = Swarm::new(server.front())?;
    let (cpu, load, start) = (server.cpu()?, own_cpu()?, Instant::now());
    swarm.grow(connections, STORM, &mut Topics::Shared.chooser())?;
    let seconds = start.elapsed().as_secs_f64();
    let cpu = (server.cpu()? - cpu).as_secs_f64();
    Ok(Storm {
        seconds,
        per_cpu_second: connections as f64 / cpu,
        peak_kib: server.peak()?,
        load_share: (own_cpu()? - load).as_secs_f64() / cpu,
    })
}

/// The share of one core, in percent, that connections cost while nothing happens but heartbeats.
pub(crate) fn idle(contender: Contender<'_>, connections: usize, during: Duration) -> Result<f64> {
    let server = contender.start(connections, 1)?;
    let mut swarm = Swarm::new(server.front())?;
    swarm.grow(connections, HANDSHAKES, &mut Topics::Shared.chooser())?;
    settled(&server, &mut swarm)?;
    let (cpu, start) = (server.cpu()?, Instant::now());
    wait(&mut swarm, during)?;
    Ok((server.cpu()? - cpu).as_secs_f64() / start.elapsed().as_secs_f64() * 100.0)
}

fn settled(server: &Server, swarm: &mut Swarm) -> Result<u64> {
    let start = Instant::now();
    let mut before = server.rss()?;
    loop {
        wait(swarm, QUIET)?;
        let now = server.rss()?;
        if now.abs_diff(before) < STILL {
            return Ok(now);
        }
        ensure!(start.elapsed() < SETTLE_WITHIN, "the server's memory does not settle: {before} then {now} KiB");
        before = now;
    }
}

/// Answers pings meanwhile.
fn wait(swarm: &mut Swarm, during: Duration) -> Result<()> {
    let end = Instant::now() + during;
    while let Some(left) = end.checked_duration_since(Instant::now()).filter(|left| !left.is_zero()) {
        swarm.turn(left)?;
    }
    match swarm.shortfall(&[], true) {
        Some(reason) => anyhow::bail!("idle connections did not stay idle: {reason}"),
        None => Ok(()),
    }
}
