//! Updates to many subscribers. The rule: a figure counts only if every subscriber got every update; CPU time is
//! taken from the first update sent to the last frame received.

use std::time::{Duration, Instant};

use anyhow::{Result, bail, ensure};

use crate::contender::Contender;
use crate::processes::own_cpu;
use crate::publisher::Publisher;
use crate::server::Server;
use crate::swarm::{HANDSHAKES, STALLED, Swarm};

/// When the next update is sent.
#[derive(Clone, Copy)]
pub(crate) enum Pace {
    /// At fixed times; later only while the one before is not acknowledged.
    Every { interval: Duration, updates: u64 },
    /// As soon as every subscriber has the one before: the highest rate at which none is skipped.
    Sustained { during: Duration },
    /// Each after a random pause, once every subscriber has the one before: a stream that is looked at now and then is
    /// met at any moment of its rhythm.
    /// For delays only: it leaves the server idle.
    Apart { longest: Duration, updates: u64 },
}

/// What comes before: it creates the counters, lets buffers grow as far as they will, and meets compilers that wait for work.
const WARM_UP: Pace = Pace::Apart { longest: Duration::ZERO, updates: 5 };

/// A server is at rest when it used less than a fiftieth of this much CPU time in this long.
const CALM: Duration = Duration::from_millis(500);

/// One measurement.
pub(crate) struct Measured {
    pub(crate) updates_per_second: f64,
    pub(crate) frames_per_cpu_second: f64,
    /// CPU time of the server for each update, in µs.
    pub(crate) cpu_micros_per_update: f64,
    pub(crate) p50_ms: f64,
    pub(crate) p99_ms: f64,
    pub(crate) p999_ms: f64,
    /// CPU time of the load generator for each second of the server's.
    pub(crate) load_share: f64,
    pub(crate) frame_bytes: usize,
    /// Why the figures do not count.
    pub(crate) failed: Option<String>,
}

/// Connects `subscribers`, each to `topics` topics, and measures at each pace; every update is one of every topic,
/// all at once.
pub(crate) fn measure(
    contender: Contender<'_>,
    subscribers: usize,
    topics: usize,
    paces: &[Pace],
) -> Result<Vec<Measured>> {
    let server = contender.start(subscribers, topics)?;
    let mut run = Run::begin(&server, Swarm::new(server.front())?, Publisher::connect(&server)?, subscribers, topics)?;
    paces.iter().map(|pace| run.at(*pace)).collect()
}

/// Subscribers who are all told the same.
pub(crate) struct Run<'a> {
    server: &'a Server,
    swarm: Swarm,
    publisher: Publisher,
    subscribers: usize,
    topics: Vec<u32>,
}

impl<'a> Run<'a> {
    /// Connects so many subscribers, each to so many topics, and sends the first updates.
    pub(crate) fn begin(
        server: &'a Server,
        mut swarm: Swarm,
        publisher: Publisher,
        subscribers: usize,
        topics: usize,
    ) -> Result<Run<'a>> {
        swarm.await_also(publisher.stream())?;
        let topics: Vec<u32> = (0..u32::try_from(topics)?).collect();
        swarm.grow(subscribers, HANDSHAKES, &mut |_| topics.clone())?;
        let mut run = Run { server, swarm, publisher, subscribers, topics };
        run.wait(server.front().dialect.greeted_within())?;
        if let Some(reason) = run.at(WARM_UP)?.failed {
            bail!("the first updates did not reach everyone: {reason}");
        }
        run.calm()?;
        Ok(run)
    }

    /// Waits until the server has done what connecting and the first updates left it to do. If it never rests, that is how
    /// it is idle.
    fn calm(&mut self) -> Result<()> {
        let start = Instant::now();
        while start.elapsed() < STALLED {
            let cpu = self.server.cpu()?;
            self.wait(CALM)?;
            if self.server.cpu()? - cpu < CALM / 50 {
                break;
            }
        }
        Ok(())
    }

    /// Takes in what comes meanwhile.
    fn wait(&mut self, during: Duration) -> Result<()> {
        let end = Instant::now() + during;
        while let Some(left) = end.checked_duration_since(Instant::now()).filter(|left| !left.is_zero()) {
            if self.swarm.turn(left)? {
                self.publisher.settle()?;
            }
        }
        Ok(())
    }

    /// What updates other topics meanwhile.
    pub(crate) fn publisher(&mut self) -> &mut Publisher {
        &mut self.publisher
    }

    /// Waits until what was published is acknowledged.
    pub(crate) fn settle(&mut self) -> Result<()> {
        let start = Instant::now();
        while self.publisher.is_waiting() {
            ensure!(start.elapsed() < STALLED, "an update was not acknowledged");
            if self.swarm.turn(Duration::from_millis(100))? {
                self.publisher.settle()?;
            }
        }
        Ok(())
    }

    /// Measures at a pace.
    pub(crate) fn at(&mut self, pace: Pace) -> Result<Measured> {
        let per_update = (self.subscribers * self.topics.len()) as u64;
        self.swarm.begin(self.publisher.values());
        let (cpu, load) = (self.server.cpu()?, own_cpu()?);
        let start = Instant::now();
        let mut sent = 0;
        let mut seen = (0, Instant::now());
        let mut pause: Option<Instant> = None;
        let mut stalled = None;
        loop {
            let now = Instant::now();
            let frames = self.swarm.delivery().frames();
            let complete = frames >= sent * per_update && !self.publisher.is_waiting();
            let (due, last) = match pace {
                Pace::Every { interval, updates } => (start + interval.mul_f64(sent as f64), sent == updates),
                Pace::Sustained { during } => (now, now - start >= during && sent > 0),
                Pace::Apart { longest, updates } => {
                    let after_pause = || now + longest.mul_f64(fastrand::f64());
                    let due = if complete { *pause.get_or_insert_with(after_pause) } else { now };
                    (due, sent == updates)
                }
            };
            // At fixed times the last update has its interval too, or the rate would come out too high.
            if complete && last && now >= due {
                break;
            }
            let free = match pace {
                Pace::Every { .. } => !self.publisher.is_waiting(),
                Pace::Sustained { .. } | Pace::Apart { .. } => complete,
            };
            if !last && free && now >= due {
                self.publisher.fire(&self.topics)?;
                self.topics.iter().for_each(|id| self.swarm.delivery().sent(*id, due));
                sent += 1;
                pause = None;
            }
            if frames > seen.0 || complete {
                seen = (frames, now);
            }
            if seen.1.elapsed() > STALLED {
                stalled = Some("what was due did not come, or an update was not acknowledged".to_owned());
                break;
            }
            let until_due = due.saturating_duration_since(Instant::now());
            let patience = if until_due.is_zero() { Duration::from_millis(100) } else { until_due };
            if self.swarm.turn(patience)? {
                self.publisher.settle()?;
            }
        }
        let elapsed = start.elapsed();
        let cpu = (self.server.cpu()? - cpu).as_secs_f64();
        let load = (own_cpu()? - load).as_secs_f64();
        let counts_delays_only = matches!(pace, Pace::Apart { .. });
        let too_little = "too little was measured: the server used no CPU time that the kernel counts";
        ensure!(cpu > 0.0 || counts_delays_only, "{too_little}");
        // What is short says more than that something was.
        let failed = self.swarm.shortfall(self.publisher.values(), true).or(stalled);
        let frame_bytes = self.swarm.frame_bytes();
        let delivery = self.swarm.delivery();
        Ok(Measured {
            updates_per_second: (sent * self.topics.len() as u64) as f64 / elapsed.as_secs_f64(),
            frames_per_cpu_second: delivery.frames() as f64 / cpu,
            cpu_micros_per_update: cpu * 1e6 / sent.max(1) as f64,
            p50_ms: delivery.delays().milliseconds(0.50),
            p99_ms: delivery.delays().milliseconds(0.99),
            p999_ms: delivery.delays().milliseconds(0.999),
            load_share: load / cpu,
            frame_bytes,
            failed,
        })
    }
}
