//! Frames to many subscribers of the same ids, beside the floor.

use std::time::Duration;

use anyhow::{Result, bail};

use super::{Bench, Gap, Rounds, figures, ratios};
use crate::contender::{Contender, EDGE, Edge, FLOOR};
use crate::fanout::{self, Measured, Pace};
use crate::figures::{Figures, Measure};
use crate::report::{Table, grouped, median, with_range};

const BURST: usize = 16;
const COLUMNS: &[&str] = &[
    "row",
    "updates/s",
    "frames per server-CPU-s",
    "ratio to the floor",
    "p50 ms",
    "p99 ms",
    "p99.9 ms",
    "load/server CPU",
];
const DELAYS: &str = "Delays run from the time an update was due to its receipt, on the edge through a durable commit. \
                      Sustained: the next when everyone has the one before. centrifuge gathers messages for a \
                      millisecond, as its makers recommend. At 1 update/s so few are measured that the highest \
                      percentiles are the slowest updates.";

/// What is asked of everyone.
struct Question<'q> {
    title: String,
    /// How an update looks.
    what: &'q str,
    subscribers: usize,
    topics: usize,
    paces: Vec<AtPace>,
}

/// One pace, and what its figures are kept as.
struct AtPace {
    name: &'static str,
    pace: Pace,
    rate: Option<Measure>,
    ratio: Option<Measure>,
    p99: Option<Measure>,
}

impl AtPace {
    fn every(name: &'static str, millis: u64, updates: u64) -> AtPace {
        let pace = Pace::Every { interval: Duration::from_millis(millis), updates };
        AtPace { name, pace, rate: None, ratio: None, p99: None }
    }

    fn sustained(during: Duration) -> AtPace {
        AtPace { name: "sustained", pace: Pace::Sustained { during }, rate: None, ratio: None, p99: None }
    }

    fn keep(&self, who: &str, measured: &[&Measured], ratios: &[f64], kept: &mut Figures) {
        if let Some(measure) = self.rate {
            kept.note(measure, who, figures(measured, |m| m.frames_per_cpu_second));
        }
        if let Some(measure) = self.p99 {
            kept.note(measure, who, figures(measured, |m| m.p99_ms));
        }
        if let Some(measure) = self.ratio.filter(|_| !ratios.is_empty()) {
            kept.note(measure, who, ratios.iter().copied());
        }
    }
}

impl Bench<'_> {
    /// One topic at three paces, to few, more and many.
    pub(crate) fn fanout(&self, kept: &mut Figures) -> Vec<Table> {
        let most = self.size.subscribers.into_iter().max();
        let sizes = self.size.subscribers.into_iter().enumerate();
        let of = |(index, subscribers)| {
            self.progress.part(index, self.size.subscribers.len());
            let seconds = self.during.as_secs();
            // 99 % of few updates is the worst of them: the delay that a target is about is of more.
            let longer = if Some(subscribers) == most { 2 } else { 1 };
            let mut ten = AtPace::every("10 updates/s", 100, longer * 10 * seconds);
            let mut sustained = AtPace::sustained(self.during);
            let mut charts: &[Measure] = &[];
            if Some(subscribers) == most {
                ten.p99 = Some(Measure::FanoutP99);
                (sustained.rate, sustained.ratio) = (Some(Measure::FanoutRate), Some(Measure::FanoutRatio));
                charts = &[Measure::FanoutRate, Measure::FanoutP99];
            }
            let question = Question {
                title: format!("Fan-out: one topic, {} subscribers", grouped(subscribers as f64)),
                what: "one update at a time",
                subscribers,
                topics: 1,
                paces: vec![AtPace::every("1 update/s", 1000, seconds), ten, sustained],
            };
            self.beside_floor(question, kept).with_charts(charts)
        };
        sizes.map(of).collect()
    }

    /// The same with sixteen topics that change at once.
    pub(crate) fn burst(&self, kept: &mut Figures) -> Vec<Table> {
        let [.., subscribers] = self.size.subscribers;
        let question = Question {
            title: format!("Fan-out: bursts of {BURST}, {} subscribers", grouped(subscribers as f64)),
            what: "batches of 16 updates, each of another topic, to subscribers of all 16 (floor: one `send` of 16 frames)",
            subscribers,
            topics: BURST,
            paces: vec![AtPace { ratio: Some(Measure::BurstRatio), ..AtPace::sustained(self.during) }],
        };
        vec![self.beside_floor(question, kept)]
    }

    fn beside_floor(&self, question: Question<'_>, kept: &mut Figures) -> Table {
        let Question { title, what, subscribers, topics, paces } = question;
        let contenders = self.everyone();
        let at: Vec<Pace> = paces.iter().map(|at| at.pace).collect();
        let outcomes = self.contest(&title, self.rounds, &contenders, |contender| {
            fanout::measure(contender, subscribers, topics, &at)
        });
        let bytes = |(contender, outcome): (&Contender<'_>, &Rounds<Vec<Measured>>)| {
            let measured = outcome.as_ref().ok()?.first()?.first()?;
            Some(format!("{} {}", contender.name(), measured.frame_bytes))
        };
        let bytes: Vec<String> = contenders.iter().zip(&outcomes).filter_map(bytes).collect();
        let method = format!("Measured with {what}; bytes of a frame: {}. {DELAYS}", bytes.join(", "));
        let mut table = Table::new(title, method, COLUMNS);
        for (index, at) in paces.iter().enumerate() {
            let columns: Vec<_> = outcomes.iter().map(|outcome| column(outcome, index)).collect();
            let rate = |measured: &[&Measured]| figures(measured, |m| m.frames_per_cpu_second);
            // The floor comes first.
            let floor = columns.first().and_then(|floor| floor.as_ref().ok()).map(|floor| rate(floor));
            for (contender, column) in contenders.iter().zip(&columns) {
                let name = format!("{}, {}", contender.name(), at.name);
                let measured = match column {
                    Ok(measured) => measured,
                    Err(gap) => {
                        gap.tell(&mut table, &name);
                        continue;
                    }
                };
                let rates = rate(measured);
                let ratios = floor.as_deref().map(|floor| ratios(&rates, floor)).unwrap_or_default();
                at.keep(contender.name(), measured, &ratios, kept);
                table.row(cells(name, measured, contender.name(), &ratios));
            }
        }
        table
    }

    /// What a second hub costs where there is one core for both.
    pub(crate) fn hubs(&self) -> Vec<Table> {
        let [.., subscribers] = self.size.subscribers;
        let method = format!(
            "{} subscribers of one topic, as fast as sustained, with `ANALYTICS_WORKERS` 1 and 2 on the server's one core: \
             what the second hub costs. What it gains on a second core cannot be measured beside a load generator that \
             needs the other one.",
            grouped(subscribers as f64)
        );
        let columns =
            &["hubs", "updates/s", "frames per server-CPU-s", "ratio to one hub", "p50 ms", "p99 ms", "p99.9 ms"];
        let mut table = Table::new("Hubs", method, columns);
        let sustained = Pace::Sustained { during: self.during };
        let outcomes = self.variants("Hubs", &["1", "2"], |hubs: &str| {
            let env = [("ANALYTICS_WORKERS", hubs.to_owned())];
            let edge = Contender::Edge(Edge { env: &env, ..self.edge });
            let measured = fanout::measure(edge, subscribers, 1, &[sustained])?.pop();
            match measured {
                Some(Measured { failed: Some(reason), .. }) => bail!(reason),
                Some(measured) => Ok(measured),
                None => bail!("nothing was measured"),
            }
        });
        let rate = |measured: &[Measured]| figures(measured, |m| m.frames_per_cpu_second);
        let one = outcomes.first().and_then(|one| one.as_ref().ok()).map(|one| rate(one)).unwrap_or_default();
        for (hubs, outcome) in ["1", "2"].into_iter().zip(&outcomes) {
            match outcome {
                Ok(rounds) => {
                    let all: Vec<&Measured> = rounds.iter().collect();
                    let ratio = ratios(&rate(rounds), &one);
                    let mut cells = cells(hubs.to_owned(), &all, EDGE, &ratio);
                    // The load's share is in the other tables.
                    cells.pop();
                    table.row(cells);
                }
                Err(gap) => gap.tell(&mut table, hubs),
            }
        }
        vec![table]
    }
}

/// The rounds of one pace; the first failure of any round instead, for a median over the rest would hide it.
fn column(rounds: &Rounds<Vec<Measured>>, index: usize) -> Rounds<&Measured> {
    rounds.as_ref().map_err(Clone::clone)?.iter().map(|paces| counted(paces, index)).collect()
}

/// What was measured at one pace, if its figures count.
pub(super) fn counted(paces: &[Measured], index: usize) -> Result<&Measured, Gap> {
    match paces.get(index) {
        Some(Measured { failed: Some(reason), .. }) => Err(Gap::Failed(reason.clone())),
        Some(measured) => Ok(measured),
        None => Err(Gap::Failed("nothing was measured".to_owned())),
    }
}

fn cells(name: String, measured: &[&Measured], who: &str, ratios: &[f64]) -> Vec<String> {
    let of = |figure: fn(&Measured) -> f64| median(measured.iter().map(|m| figure(m)));
    let ratio = match ratios {
        [] => "no floor".to_owned(),
        _ if who == FLOOR => "1".to_owned(),
        ratios => with_range(ratios),
    };
    vec![
        name,
        format!("{:.1}", of(|m| m.updates_per_second)),
        grouped(of(|m| m.frames_per_cpu_second)),
        ratio,
        format!("{:.2}", of(|m| m.p50_ms)),
        format!("{:.2}", of(|m| m.p99_ms)),
        format!("{:.2}", of(|m| m.p999_ms)),
        format!("{:.2}", of(|m| m.load_share)),
    ]
}
