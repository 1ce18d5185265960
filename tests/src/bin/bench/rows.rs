//! What is measured, how often, and how it is tabulated. The rule: the rounds of things that are compared alternate,
//! so a change of the machine's mood meets all of them, and ratios are taken within a round.

use std::time::Duration;

use anyhow::Result;

use crate::contender::{Contender, Edge};
use crate::fanout::{self, Pace};
use crate::ingest::{self, Contents, Load};
use crate::memory::{self, Topics};
use crate::peers::Peer;
use crate::report::{Table, grouped, median, with_range};

/// What all rows share.
pub(crate) struct Bench<'a> {
    /// The proxy, in one process with its store.
    pub(crate) edge: Edge<'a>,
    /// How often each row is measured.
    pub(crate) rounds: usize,
    /// How long a sustained measurement lasts.
    pub(crate) during: Duration,
    /// How long idling is watched: in a full run the default heartbeat interval, so each connection is asked once.
    pub(crate) idle_for: Duration,
    /// What the descriptors allow.
    pub(crate) most_connections: usize,
}

const SUBSCRIBERS: usize = 5_000;
const BURST: usize = 16;
const SLOPE: (usize, usize) = (3_000, 15_000);
const FANOUT: &[&str] = &[
    "row",
    "updates/s",
    "frames per server-CPU-s",
    "ratio to the floor",
    "p50 ms",
    "p99 ms",
    "p99.9 ms",
    "load/server CPU",
];

impl Bench<'_> {
    /// Frames to many subscribers beside the floor, one topic at three paces.
    pub(crate) fn fanout(&self) -> Table {
        let seconds = self.during.as_secs();
        let every = |millis, updates| Pace::Every { interval: Duration::from_millis(millis), updates };
        let paces = [
            ("1 update/s", every(1000, 2 * seconds)),
            ("10 updates/s", every(100, 10 * seconds)),
            ("sustained", Pace::Sustained { during: self.during }),
        ];
        self.beside_floor("Fan-out: one topic", "one update at a time of one topic", 1, &paces)
    }

    /// The same with sixteen topics that change at once.
    pub(crate) fn burst(&self) -> Table {
        let paces = [("sustained", Pace::Sustained { during: self.during })];
        let what =
            "batches of 16 updates, each of another topic, to subscribers of all 16 (floor: one `send` of 16 frames)";
        self.beside_floor("Fan-out: bursts of 16", what, BURST, &paces)
    }

    fn beside_floor(&self, title: &'static str, what: &str, topics: usize, paces: &[(&str, Pace)]) -> Table {
        let subscribers = SUBSCRIBERS.min(self.most_connections);
        let (names, paces): (Vec<&str>, Vec<Pace>) = paces.iter().copied().unzip();
        let contenders = self.contenders();
        let mut rounds: Vec<Vec<_>> = contenders.iter().map(|_| Vec::new()).collect();
        for _ in 0..self.rounds {
            for (contender, rounds) in contenders.iter().zip(&mut rounds) {
                if contender.missing().is_none() {
                    rounds.push(fanout::measure(*contender, subscribers, topics, &paces).map_err(told));
                }
            }
        }
        let bytes = |(contender, rounds): (&Contender<'_>, &Vec<Result<Vec<fanout::Measured>, String>>)| {
            let measured = rounds.iter().flatten().flatten().next()?;
            Some(format!("{} {}", contender.name(), measured.frame_bytes))
        };
        let bytes: Vec<String> = contenders.iter().zip(&rounds).filter_map(bytes).collect();
        let method = format!(
            "{} subscribers, {what}; bytes of a frame: {}. Delays run from the time an update was due to its receipt, on \
             the edge through a durable commit. Sustained: the next update when everyone has the one before.",
            grouped(subscribers as f64),
            bytes.join(", "),
        );
        let mut table = Table::new(title, method, FANOUT);
        for (index, name) in names.iter().enumerate() {
            let rate = |measured: &[&fanout::Measured]| measured.iter().map(|m| m.frames_per_cpu_second).collect();
            // The floor comes first.
            let floor = rounds.first().map(|floor| column(floor, index));
            let floor: Vec<f64> = floor.and_then(Result::ok).as_deref().map(rate).unwrap_or_default();
            for (contender, rounds) in contenders.iter().zip(&rounds) {
                let name = format!("{}, {name}", contender.name());
                if let Some(reason) = contender.missing() {
                    table.skipped(&name, &reason);
                    continue;
                }
                match column(rounds, index) {
                    Ok(measured) => {
                        let rates: Vec<f64> = rate(&measured);
                        let ratios: Vec<f64> = rates.iter().zip(&floor).map(|(own, floor)| own / floor).collect();
                        let ratio = match ratios.as_slice() {
                            [] => "no floor".to_owned(),
                            _ if matches!(contender, Contender::Floor) => "1".to_owned(),
                            ratios => with_range(ratios),
                        };
                        table.row(fanout_cells(name, &measured, &rates, ratio));
                    }
                    Err(reason) => table.failed(&name, &reason),
                }
            }
        }
        table
    }

    /// Everyone, the floor first.
    fn contenders(&self) -> Vec<Contender<'_>> {
        let peers = Peer::ALL.into_iter().map(Contender::Peer);
        [Contender::Floor, Contender::Edge(self.edge)].into_iter().chain(peers).collect()
    }

    /// Memory per connection that only waits.
    pub(crate) fn memory(&self) -> Table {
        let to = SLOPE.1.min(self.most_connections);
        let from = to * SLOPE.0 / SLOPE.1;
        let scaled = if to < SLOPE.1 { " (scaled down: the limit of descriptors allows no more)" } else { "" };
        let method = format!(
            "Slope of the resident set between {} and {} subscribed connections{scaled}, each time when it has settled.",
            grouped(from as f64),
            grouped(to as f64)
        );
        let mut table = Table::new("Memory", method, &["row", "bytes per connection", "KiB in all at the end"]);
        let spread = Topics::Spread { each: 20, of: 10_000 };
        for (name, topics) in [("one shared topic", Topics::Shared), ("20 of 10 000 topics", spread)] {
            match self.each_round(|| memory::slope(Contender::Edge(self.edge), topics, from, to)) {
                Ok(rounds) => table.row(vec![
                    name.to_owned(),
                    grouped(median(rounds.iter().map(|(slope, _)| *slope))),
                    grouped(median(rounds.iter().map(|(_, total)| *total as f64))),
                ]),
                Err(reason) => table.failed(name, &reason),
            }
        }
        table
    }

    /// CPU time while only heartbeats pass.
    pub(crate) fn idle(&self) -> Table {
        let connections = SLOPE.1.min(self.most_connections);
        let method = format!("Subscribed to one topic that does not change, over {} s.", self.idle_for.as_secs());
        let mut table = Table::new("Idle", method, &["row", "% of one core"]);
        for count in [0, connections] {
            let name = format!("{} connections", grouped(count as f64));
            match self.each_round(|| memory::idle(Contender::Edge(self.edge), count, self.idle_for)) {
                Ok(rounds) => table.row(vec![name, format!("{:.2}", median(rounds))]),
                Err(reason) => table.failed(&name, &reason),
            }
        }
        table
    }

    /// Durable updates over HTTP.
    pub(crate) fn ingest(&self) -> Table {
        let method = "Single keyless updates on keep-alive connections, each followed by the next when it is \
                      answered, on a fresh store. Afterwards the store holds what was acknowledged.";
        let columns = &["row", "POSTs/s", "POSTs per server-CPU-s", "p50 ms", "p99 ms"];
        let mut table = Table::new("Durable POSTs", method, columns);
        for (what, contents) in [("each another content", Contents::Distinct), ("one hot content", Contents::Hot)] {
            for in_flight in [1, 16, 256] {
                let name = format!("{in_flight} in flight, {what}");
                let load = Load { contents, keyed: false, in_flight };
                match self.each_round(|| ingest::measure(Contender::Edge(self.edge), load, self.during)) {
                    Ok(rounds) => table.row(vec![
                        name,
                        grouped(median(rounds.iter().map(|m| m.posts_per_second))),
                        grouped(median(rounds.iter().map(|m| m.posts_per_cpu_second))),
                        format!("{:.2}", median(rounds.iter().map(|m| m.p50_ms))),
                        format!("{:.2}", median(rounds.iter().map(|m| m.p99_ms))),
                    ]),
                    Err(reason) => table.failed(&name, &reason),
                }
            }
        }
        table
    }

    pub(crate) fn each_round<T>(&self, measure: impl Fn() -> Result<T>) -> Result<Vec<T>, String> {
        (0..self.rounds).map(|_| measure().map_err(told)).collect()
    }
}

fn fanout_cells(name: String, measured: &[&fanout::Measured], rates: &[f64], ratio: String) -> Vec<String> {
    let of = |figure: fn(&fanout::Measured) -> f64| median(measured.iter().map(|m| figure(m)));
    vec![
        name,
        format!("{:.1}", of(|m| m.updates_per_second)),
        grouped(median(rates.iter().copied())),
        ratio,
        format!("{:.2}", of(|m| m.p50_ms)),
        format!("{:.2}", of(|m| m.p99_ms)),
        format!("{:.2}", of(|m| m.p999_ms)),
        format!("{:.2}", of(|m| m.load_share)),
    ]
}

/// The rounds of one pace; the first failure of any round instead, for a median over the rest would hide it.
fn column(rounds: &[Result<Vec<fanout::Measured>, String>], index: usize) -> Result<Vec<&fanout::Measured>, String> {
    rounds
        .iter()
        .map(|round| match round {
            Ok(paces) => match &paces[index].failed {
                None => Ok(&paces[index]),
                Some(reason) => Err(reason.clone()),
            },
            Err(reason) => Err(reason.clone()),
        })
        .collect()
}

/// An error in one line for the table; all of it, the server's log included, for whoever watches.
pub(crate) fn told(error: anyhow::Error) -> String {
    eprintln!("failed: {error:#}");
    format!("{error:#}")
}
