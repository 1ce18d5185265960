//! Many ids to many connections that each want a few of them. The rule: everyone must end with the last value of each of
//! its ids; a server may skip values in between, and what it skipped is told beside its figures.

use std::time::{Duration, Instant};

use anyhow::{Result, bail, ensure};

use crate::contender::Contender;
use crate::fanout::Pace;
use crate::processes::own_cpu;
use crate::publisher::Publisher;
use crate::server::Server;
use crate::swarm::{HANDSHAKES, STALLED, Swarm};
use crate::zipf::Zipf;

/// The most ids that one message publishes.
const TOGETHER: usize = 100;
/// Silence after which it is looked whether something was skipped; until then all of it is awaited.
const SILENCE: Duration = Duration::from_millis(20);
/// What is subscribed to, and what is updated, are two draws of the same law.
const WATCHED: u64 = 1;
const UPDATED: u64 = 2;

/// Who is there.
#[derive(Clone, Copy)]
pub(crate) struct Crowd {
    pub(crate) connections: usize,
    /// Different ids of each.
    pub(crate) each: usize,
    pub(crate) of: usize,
}

/// One measurement.
pub(crate) struct Measured {
    pub(crate) updates_per_second: f64,
    /// Frames that came per second of the server's CPU time.
    pub(crate) frames_per_cpu_second: f64,
    /// Frames that came for each that was due: one for each update and connection that watches its id, in whose place a newer
    /// value may have come.
    pub(crate) delivered: f64,
    pub(crate) p50_ms: f64,
    pub(crate) p99_ms: f64,
    pub(crate) p999_ms: f64,
    pub(crate) load_share: f64,
}

/// Connects the crowd and measures, each time with so many ids updated at once, at a pace.
pub(crate) fn measure(contender: Contender<'_>, crowd: Crowd, paces: &[(usize, Pace)]) -> Result<Vec<Measured>> {
    let server = contender.start(crowd.connections, crowd.of)?;
    let mut swarm = Swarm::new(server.front())?;
    let publisher = Publisher::connect(&server)?;
    swarm.await_also(publisher.stream())?;
    let mut watchers = vec![0; crowd.of];
    let mut watched = Zipf::new(crowd.of, WATCHED);
    swarm.grow(crowd.connections, HANDSHAKES, &mut |_| {
        let ids = watched.distinct(crowd.each);
        ids.iter().for_each(|id| watchers[*id] += 1);
        numbers(&ids)
    })?;
    let mut run = Run { server, swarm, publisher, watchers, updated: Zipf::new(crowd.of, UPDATED) };
    run.create()?;
    paces.iter().map(|(together, pace)| run.at(*together, *pace)).collect()
}

struct Run {
    server: Server,
    swarm: Swarm,
    publisher: Publisher,
    /// How many connections watch each id.
    watchers: Vec<u64>,
    updated: Zipf,
}

impl Run {
    /// Updates every id once: what comes into being is told with all its fields.
    fn create(&mut self) -> Result<()> {
        self.swarm.begin(&[]);
        let all: Vec<usize> = (0..self.watchers.len()).collect();
        for ids in all.chunks(TOGETHER) {
            self.publisher.fire(&numbers(ids))?;
            self.until(|run| !run.publisher.is_waiting())?;
        }
        self.until(|run| run.swarm.shortfall(run.publisher.values(), false).is_none())
    }

    /// Takes in what comes until something is so.
    fn until(&mut self, is: impl Fn(&Run) -> bool) -> Result<()> {
        let start = Instant::now();
        while !is(self) {
            ensure!(start.elapsed() < STALLED, "not every id of every connection came into being");
            self.turn(SILENCE)?;
        }
        Ok(())
    }

    fn turn(&mut self, patience: Duration) -> Result<()> {
        if self.swarm.turn(patience)? {
            self.publisher.settle()?;
        }
        Ok(())
    }

    fn at(&mut self, together: usize, pace: Pace) -> Result<Measured> {
        self.swarm.begin(self.publisher.values());
        let (cpu, load, start) = (self.server.cpu()?, own_cpu()?, Instant::now());
        let (mut sent, mut expected) = (0_u64, 0_u64);
        let mut seen = (0, Instant::now());
        loop {
            let now = Instant::now();
            let frames = self.swarm.delivery().frames();
            if frames > seen.0 {
                seen = (frames, now);
            }
            let silent = now - seen.1;
            let waiting = self.publisher.is_waiting();
            let current = || self.swarm.shortfall(self.publisher.values(), false).is_none();
            let complete = !waiting && (frames >= expected || (silent > SILENCE && current()));
            let (due, last, free) = match pace {
                Pace::Every { interval, updates } => (start + interval.mul_f64(sent as f64), sent == updates, !waiting),
                Pace::Sustained { during } => (now, now - start >= during && sent > 0, complete),
                Pace::Apart { .. } => bail!("many ids are measured at fixed times or as fast as sustained"),
            };
            if complete && last && now >= due {
                break;
            }
            if !last && free && now >= due {
                let ids = self.updated.distinct(together);
                expected += ids.iter().map(|id| self.watchers[*id]).sum::<u64>();
                let ids = numbers(&ids);
                self.publisher.fire(&ids)?;
                ids.iter().for_each(|id| self.swarm.delivery().sent(*id, due));
                sent += 1;
                seen.1 = now;
            }
            if silent > STALLED {
                let short = self.swarm.shortfall(self.publisher.values(), false);
                bail!(short.unwrap_or_else(|| "an update was not acknowledged".to_owned()));
            }
            self.turn(due.saturating_duration_since(Instant::now()).clamp(Duration::from_millis(1), SILENCE))?;
        }
        let elapsed = start.elapsed().as_secs_f64();
        let cpu = (self.server.cpu()? - cpu).as_secs_f64();
        let load = (own_cpu()? - load).as_secs_f64();
        if let Some(reason) = self.swarm.shortfall(self.publisher.values(), false) {
            bail!(reason);
        }
        let delivery = self.swarm.delivery();
        Ok(Measured {
            updates_per_second: (sent * together as u64) as f64 / elapsed,
            frames_per_cpu_second: delivery.frames() as f64 / cpu,
            delivered: delivery.frames() as f64 / expected as f64,
            p50_ms: delivery.delays().milliseconds(0.50),
            p99_ms: delivery.delays().milliseconds(0.99),
            p999_ms: delivery.delays().milliseconds(0.999),
            load_share: load / cpu,
        })
    }
}

/// As [`crate::content_id`]'s numbers, which are fewer than a u32 counts.
fn numbers(ids: &[usize]) -> Vec<u32> {
    ids.iter().filter_map(|id| u32::try_from(*id).ok()).collect()
}
