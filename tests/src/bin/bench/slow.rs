//! Clients that do not read, beside neighbours that do. The rule: their sockets are full before anything is measured, and
//! once they read they must end with the last value of each of their ids.

use std::time::{Duration, Instant};

use anyhow::{Result, bail, ensure};

use crate::contender::Edge;
use crate::fanout::{self, Pace, Run};
use crate::processes::own_cpu;
use crate::publisher::Publisher;
use crate::swarm::{HANDSHAKES, STALLED, Swarm};

/// Ids that only they subscribe to, beside the one of all: with these their sockets are filled.
const FILLERS: u32 = 100;
/// How often each filler is updated: several times what a socket of either side holds, in frames of 160 bytes.
const FILLS: usize = 100;

/// One measurement.
pub(crate) struct Measured {
    /// Of the neighbours, at each pace.
    pub(crate) paces: Vec<fanout::Measured>,
    /// Of those who did not read, if there were some.
    pub(crate) back: Option<Back>,
}

/// How those who did not read become current.
pub(crate) struct Back {
    /// From their first read until all are current.
    pub(crate) millis: f64,
    /// The server's CPU time meanwhile, in ms.
    pub(crate) cpu_millis: f64,
    /// Of the load generator for each second of the server's.
    pub(crate) load_share: f64,
    /// Frames that each got, on average, and that were due to each.
    pub(crate) frames: f64,
    pub(crate) due: f64,
}

/// So many neighbours are told one id at each pace, beside so many who do not read.
pub(crate) fn measure(edge: Edge<'_>, neighbours: usize, slow: usize, paces: &[Pace]) -> Result<Measured> {
    let server = edge.start()?;
    let own = Swarm::new(server.front())?;
    let mut run = Run::begin(&server, own, Publisher::connect(&server)?, neighbours, 1)?;
    let fillers: Vec<u32> = (1..=FILLERS).collect();
    let mut blocked = Swarm::new(server.front())?;
    blocked.grow(slow, HANDSHAKES, &mut |_| (0..=FILLERS).collect())?;
    blocked.begin(run.publisher().values());
    if slow > 0 {
        for _ in 0..FILLS {
            run.publisher().fire(&fillers)?;
            run.settle()?;
            let now = Instant::now();
            fillers.iter().for_each(|id| blocked.delivery().sent(*id, now));
        }
    }
    let paces = paces.iter().map(|pace| run.at(*pace)).collect::<Result<Vec<_>>>()?;
    if slow == 0 {
        return Ok(Measured { paces, back: None });
    }

    let values = run.publisher().values().to_vec();
    let (cpu, load, start) = (server.cpu()?, own_cpu()?, Instant::now());
    while let Some(reason) = blocked.shortfall(&values, false) {
        ensure!(start.elapsed() < STALLED, "those who did not read do not become current: {reason}");
        blocked.turn(Duration::from_millis(1))?;
    }
    let millis = start.elapsed().as_secs_f64() * 1e3;
    let cpu = (server.cpu()? - cpu).as_secs_f64();
    let load_share = (own_cpu()? - load).as_secs_f64() / cpu;
    let (frames, due) = (blocked.delivery().frames() as f64 / slow as f64, (FILLERS as usize * FILLS) as f64);
    if frames >= due {
        bail!("their sockets took everything, so nothing of what happens when they are full was measured");
    }
    Ok(Measured { paces, back: Some(Back { millis, cpu_millis: cpu * 1e3, load_share, frames, due }) })
}
