//! Updates to many subscribers. The rule: a figure counts only if every subscriber got every update; CPU time is
//! taken from the first update sent to the last frame received.

use std::io::Write;
use std::net::TcpStream;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};

use crate::content_id;
use crate::http::{Http, post_update};
use crate::server::{self, Edge, Server};
use crate::swarm::{STALLED, Swarm};

/// Who sends.
#[derive(Clone, Copy)]
pub(crate) enum Sender<'a> {
    /// The bare loop of [`crate::floor`].
    Floor,
    /// The proxy.
    Edge(Edge<'a>),
}

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

/// One measurement.
pub(crate) struct Measured {
    pub(crate) updates_per_second: f64,
    pub(crate) frames_per_cpu_second: f64,
    pub(crate) p50_ms: f64,
    pub(crate) p99_ms: f64,
    /// CPU time of the load generator for each second of the server's.
    pub(crate) load_share: f64,
    pub(crate) frame_bytes: usize,
    /// Why the figures do not count.
    pub(crate) failed: Option<String>,
}

/// Connects `subscribers`, each to `topics` topics, and measures at each pace; every update is one of every topic,
/// all at once.
pub(crate) fn measure(sender: Sender<'_>, subscribers: usize, topics: usize, paces: &[Pace]) -> Result<Vec<Measured>> {
    let server = match sender {
        Sender::Floor => Server::floor(subscribers, topics)?,
        Sender::Edge(edge) => Server::edge(edge)?,
    };
    let mut swarm = Swarm::new()?;
    let publisher = Publisher::connect(sender, &server, topics)?;
    swarm.await_also(publisher.stream())?;
    swarm.grow(server.address(), subscribers, &mut |_| (0..topics).map(content_id).collect())?;
    // The first update creates the counters and warms every path. It is too little for the server's CPU time to count.
    let warm_up = Pace::Apart { longest: Duration::ZERO, updates: 1 };
    let mut run = Run { server, swarm, publisher, subscribers, topics };
    if let Some(reason) = run.at(warm_up)?.failed {
        bail!("the first update did not reach everyone: {reason}");
    }
    paces.iter().map(|pace| run.at(*pace)).collect()
}

struct Run {
    server: Server,
    swarm: Swarm,
    publisher: Publisher,
    subscribers: usize,
    topics: usize,
}

impl Run {
    fn at(&mut self, pace: Pace) -> Result<Measured> {
        let per_update = (self.subscribers * self.topics) as u64;
        self.swarm.begin(self.publisher.fired + 1);
        let (cpu, load) = (self.server.cpu()?, server::own_cpu()?);
        let start = Instant::now();
        let mut sent = 0;
        let mut seen = (0, Instant::now());
        let mut pause: Option<Instant> = None;
        loop {
            let now = Instant::now();
            let frames = self.swarm.delivery().frames();
            let complete = frames >= sent * per_update && !self.publisher.waiting;
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
                Pace::Every { .. } => !self.publisher.waiting,
                Pace::Sustained { .. } | Pace::Apart { .. } => complete,
            };
            if !last && free && now >= due {
                self.publisher.fire()?;
                self.swarm.delivery().sent(due);
                sent += 1;
                pause = None;
            }
            if frames > seen.0 || complete {
                seen = (frames, now);
            }
            if seen.1.elapsed() > STALLED {
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
        let load = (server::own_cpu()? - load).as_secs_f64();
        let counts_delays_only = matches!(pace, Pace::Apart { .. });
        let too_little = "too little was measured: the server used no CPU time that the kernel counts";
        ensure!(cpu > 0.0 || counts_delays_only, "{too_little}");
        let failed = self.swarm.shortfall(sent * self.topics as u64, self.publisher.fired);
        let frame_bytes = self.swarm.frame_bytes();
        let delivery = self.swarm.delivery();
        Ok(Measured {
            updates_per_second: (sent * self.topics as u64) as f64 / elapsed.as_secs_f64(),
            frames_per_cpu_second: delivery.frames() as f64 / cpu,
            p50_ms: delivery.delays().milliseconds(0.50),
            p99_ms: delivery.delays().milliseconds(0.99),
            load_share: load / cpu,
            frame_bytes,
            failed,
        })
    }
}

/// Sends updates; the nth makes every topic's value n.
struct Publisher {
    way: Way,
    fired: u64,
    /// The last update is not acknowledged.
    waiting: bool,
}

enum Way {
    Floor(TcpStream),
    Edge { http: Http, request: Vec<u8> },
}

impl Publisher {
    fn connect(sender: Sender<'_>, server: &Server, topics: usize) -> Result<Publisher> {
        let way = match sender {
            Sender::Floor => Way::Floor(TcpStream::connect(server.address()).context("connecting to the floor")?),
            Sender::Edge(_) => {
                let update = |n| format!(r#"{{"contentId":"{}","field":"views","increment":1}}"#, content_id(n));
                let body = match topics {
                    1 => update(0),
                    _ => format!(r#"{{"updates":[{}]}}"#, (0..topics).map(update).collect::<Vec<_>>().join(",")),
                };
                Way::Edge {
                    http: Http::connect(server.address())?,
                    request: post_update(server.address(), None, &body),
                }
            }
        };
        Ok(Publisher { way, fired: 0, waiting: false })
    }

    fn stream(&self) -> &TcpStream {
        match &self.way {
            Way::Floor(control) => control,
            Way::Edge { http, .. } => http.stream(),
        }
    }

    fn fire(&mut self) -> Result<()> {
        match &mut self.way {
            Way::Floor(control) => control.write_all(b"!").context("the floor's sender is gone")?,
            Way::Edge { http, request } => {
                http.send(request)?;
                self.waiting = true;
            }
        }
        self.fired += 1;
        Ok(())
    }

    /// Reads what came back.
    fn settle(&mut self) -> Result<()> {
        match &mut self.way {
            // It never answers: readable means closed.
            Way::Floor(_) => bail!("the floor's sender ended: a subscriber's socket was full"),
            Way::Edge { http, .. } => {
                let Some(answer) = http.receive()? else { return Ok(()) };
                let body = String::from_utf8_lossy(answer.body);
                ensure!(answer.status == 200 && !body.contains(r#""success":false"#), "an update was refused: {body}");
                self.waiting = false;
                Ok(())
            }
        }
    }
}
