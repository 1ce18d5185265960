//! Durable updates over HTTP. The rule: a fixed number of calls in flight, each followed by the next as soon as it is
//! answered; afterwards the store must hold exactly what was acknowledged.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use rustix::buffer::spare_capacity;
use rustix::event::{Timespec, epoll};

use crate::contender::Contender;
use crate::content_id;
use crate::delivery::Delays;
use crate::http::{Http, get_content, post_update};
use crate::processes::own_cpu;
use crate::publisher::Way;
use crate::server::Server;
use crate::swarm::STALLED;
use crate::wire;

/// Contents read by one call afterwards: as many as the shortest limit of a request's head lets through.
const READ: usize = 50;

/// What comes before the measurement: files grow, and compilers that wait for work have some.
const WARM_UP: Duration = Duration::from_secs(1);

/// What the calls count.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Contents {
    /// Each another content.
    Distinct,
    /// All the same.
    Hot,
}

/// One measurement.
pub(crate) struct Measured {
    pub(crate) posts_per_second: f64,
    pub(crate) posts_per_cpu_second: f64,
    pub(crate) p50_ms: f64,
    pub(crate) p99_ms: f64,
    /// CPU time of the load generator for each second of the server's.
    pub(crate) load_share: f64,
}

struct Call {
    http: Http,
    sent: Instant,
    request: Vec<u8>,
}

/// What is posted, by how many connections.
#[derive(Clone, Copy)]
pub(crate) struct Load {
    pub(crate) contents: Contents,
    /// Whether each call has a key of its own.
    pub(crate) keyed: bool,
    pub(crate) in_flight: usize,
}

/// Posts to a fresh edge, or to a peer that takes the same calls.
pub(crate) fn measure(contender: Contender<'_>, load: Load, during: Duration) -> Result<Measured> {
    let Load { contents, keyed, in_flight } = load;
    let server = contender.start(0, 0)?;
    ensure!(server.way() == Way::Trigger, "{} counts nothing", contender.name());
    let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
    let mut numbers = 0..;
    let mut request = || {
        let number = numbers.next().unwrap_or(0);
        let id = content_id(if contents == Contents::Hot { 0 } else { number });
        let key = keyed.then(|| format!("post-{number}"));
        let body = format!(r#"{{"contentId":"{id}","field":"views","increment":1}}"#);
        post_update(server.address(), key.as_deref(), &body)
    };
    let mut calls = Vec::with_capacity(in_flight);
    for index in 0..in_flight {
        let http = Http::connect(server.address())?;
        epoll::add(&epoll, http.stream(), epoll::EventData::new_u64(index as u64), epoll::EventFlags::IN)?;
        calls.push(Call { http, sent: Instant::now(), request: request() });
    }

    let mut from = Mark::here(&server, 0)?;
    for call in &mut calls {
        call.send()?;
    }
    let mut delays = Delays::new();
    let mut warm = false;
    let mut open = in_flight;
    let mut acknowledged = 0;
    let mut events: Vec<epoll::Event> = Vec::with_capacity(256);
    let patience = Timespec { tv_sec: STALLED.as_secs() as i64, tv_nsec: 0 };
    while open > 0 {
        events.clear();
        let ready = epoll::wait(&epoll, spare_capacity(&mut events), Some(&patience))?;
        ensure!(ready > 0, "{open} updates were not answered");
        for event in &events {
            let call = calls.get_mut(event.data.u64() as usize).context("an event of no call")?;
            let Some(answer) = call.http.receive()? else { continue };
            let body = String::from_utf8_lossy(answer.body);
            ensure!(answer.status == 200, "an update was answered {} {body}", answer.status);
            delays.add(call.sent.elapsed());
            acknowledged += 1;
            if !warm && from.at.elapsed() >= WARM_UP {
                (warm, delays, from) = (true, Delays::new(), Mark::here(&server, acknowledged)?);
            }
            if !warm || from.at.elapsed() < during {
                call.request = request();
                call.send()?;
            } else {
                open -= 1;
            }
        }
    }
    let to = Mark::here(&server, acknowledged)?;
    match contents {
        Contents::Hot => holds_each(&server, &[content_id(0)], acknowledged)?,
        Contents::Distinct => {
            let posted: Vec<String> = (0..acknowledged as usize).map(content_id).collect();
            holds_each(&server, &posted, 1)?;
        }
    }
    let posts = (to.acknowledged - from.acknowledged) as f64;
    let cpu = (to.server - from.server).as_secs_f64();
    Ok(Measured {
        posts_per_second: posts / (to.at - from.at).as_secs_f64(),
        posts_per_cpu_second: posts / cpu,
        p50_ms: delays.milliseconds(0.50),
        p99_ms: delays.milliseconds(0.99),
        load_share: (to.load - from.load).as_secs_f64() / cpu,
    })
}

/// How far everything is at a moment.
struct Mark {
    at: Instant,
    acknowledged: u64,
    server: Duration,
    load: Duration,
}

impl Mark {
    fn here(server: &Server, acknowledged: u64) -> Result<Mark> {
        Ok(Mark { at: Instant::now(), acknowledged, server: server.cpu()?, load: own_cpu()? })
    }
}

impl Call {
    fn send(&mut self) -> Result<()> {
        self.sent = Instant::now();
        self.http.send(&self.request)
    }
}

/// Asks the store for each content, and fails unless it holds just so many views of each.
fn holds_each(server: &Server, ids: &[String], views: u64) -> Result<()> {
    let mut http = Http::connect(server.address())?;
    let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
    epoll::add(&epoll, http.stream(), epoll::EventData::new_u64(0), epoll::EventFlags::IN)?;
    let patience = Timespec { tv_sec: STALLED.as_secs() as i64, tv_nsec: 0 };
    let mut events: Vec<epoll::Event> = Vec::with_capacity(1);
    for ids in ids.chunks(READ) {
        http.send(&get_content(server.address(), ids))?;
        let held = loop {
            events.clear();
            ensure!(epoll::wait(&epoll, spare_capacity(&mut events), Some(&patience))? > 0, "a read was not answered");
            if let Some(answer) = http.receive()? {
                break wire::numbers(answer.body, "views");
            }
        };
        ensure!(held.len() == ids.len(), "{} contents were read, and {} told", ids.len(), held.len());
        let other = held.iter().zip(ids).find(|(held, _)| **held != views);
        ensure!(other.is_none(), "{views} views were acknowledged, and the store holds {other:?}");
    }
    Ok(())
}
