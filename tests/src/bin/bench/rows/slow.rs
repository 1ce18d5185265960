//! Neighbours of clients that do not read, and those clients.

use std::time::Duration;

use super::{Bench, Rounds, figures, ratios};
use crate::fanout::{self, Pace};
use crate::figures::{Figures, Measure};
use crate::report::{Table, grouped, grouped_with_range, median, with_range};
use crate::slow::{self, Measured};

const COLUMNS: &[&str] = &[
    "row",
    "frames per server-CPU-s",
    "CPU per frame, ratio to none",
    "p50 ms",
    "p99 ms",
    "p99.9 ms",
    "p99, ratio to none",
];

impl Bench<'_> {
    /// With none of them and with some.
    pub(crate) fn slow(&self, kept: &mut Figures) -> Vec<Table> {
        let (neighbours, slow) = self.size.neighbours;
        // 99 % of few updates is the worst of them.
        let during = 3 * self.during;
        let paces = [
            ("10 updates/s", Pace::Every { interval: Duration::from_millis(100), updates: 10 * during.as_secs() }),
            ("sustained", Pace::Sustained { during }),
        ];
        let at = paces.map(|(_, pace)| pace);
        let counts = [0, slow];
        let outcomes = self.variants("Slow clients", &counts, |slow| slow::measure(self.edge, neighbours, slow, &at));
        let method = format!(
            "{} neighbours of one topic, beside clients of the same topic that never read; their sockets were filled before \
             by updates of topics of their own. Frames are the neighbours'.",
            grouped(neighbours as f64)
        );
        let mut table = Table::new("Slow clients: their neighbours", method, COLUMNS);
        for (index, (pace, _)) in paces.iter().enumerate() {
            let none = outcomes.first().and_then(|none| at_pace(none, index).ok());
            for (count, outcome) in counts.iter().zip(&outcomes) {
                let name = format!("{count} slow, {pace}");
                match at_pace(outcome, index) {
                    Ok(measured) => {
                        let beside = Beside::of(&measured, none.as_deref().unwrap_or_default());
                        if *count > 0 {
                            kept.note(Measure::SlowCostRatio, pace, beside.costs.iter().copied());
                            kept.note(Measure::SlowDelayRatio, pace, beside.delays.iter().copied());
                        }
                        table.row(beside.cells(name, &measured));
                    }
                    Err(gap) => {
                        kept.lack(Measure::SlowCostRatio, pace);
                        kept.lack(Measure::SlowDelayRatio, pace);
                        gap.tell(&mut table, &name);
                    }
                }
            }
        }
        vec![table, back(slow, outcomes.last())]
    }
}

/// What neighbours have, divided by what they have without slow clients, round by round.
struct Beside {
    /// Of the server's CPU time per frame.
    costs: Vec<f64>,
    /// Of the delay that 99 % stay within.
    delays: Vec<f64>,
}

impl Beside {
    fn of(measured: &[&fanout::Measured], none: &[&fanout::Measured]) -> Beside {
        let costs = |measured: &[&fanout::Measured]| figures(measured, |m| 1.0 / m.frames_per_cpu_second);
        let delays = |measured: &[&fanout::Measured]| figures(measured, |m| m.p99_ms);
        Beside { costs: ratios(&costs(measured), &costs(none)), delays: ratios(&delays(measured), &delays(none)) }
    }

    fn cells(&self, name: String, measured: &[&fanout::Measured]) -> Vec<String> {
        let of = |figure: fn(&fanout::Measured) -> f64| median(measured.iter().map(|m| figure(m)));
        vec![
            name,
            grouped_with_range(&figures(measured, |m| m.frames_per_cpu_second)),
            with_range(&self.costs),
            format!("{:.2}", of(|m| m.p50_ms)),
            format!("{:.2}", of(|m| m.p99_ms)),
            format!("{:.2}", of(|m| m.p999_ms)),
            with_range(&self.delays),
        ]
    }
}

fn at_pace(outcome: &Rounds<Measured>, index: usize) -> Rounds<&fanout::Measured> {
    let rounds = outcome.as_ref().map_err(Clone::clone)?;
    rounds.iter().map(|measured| super::fanout::counted(&measured.paces, index)).collect()
}

/// How those who did not read become current.
fn back(slow: usize, outcome: Option<&Rounds<Measured>>) -> Table {
    let method = "The same clients, once they read: until each has the last value of each of its 101 topics.";
    let columns = &[
        "row",
        "ms until all are current",
        "server CPU ms",
        "frames each got",
        "frames that were due",
        "load/server CPU",
    ];
    let mut table = Table::new("Slow clients: back again", method, columns);
    let name = format!("{slow} clients");
    match outcome {
        Some(Ok(rounds)) => {
            let back: Vec<_> = rounds.iter().filter_map(|measured| measured.back.as_ref()).collect();
            table.row(vec![
                name,
                with_range(&figures(&back, |back| back.millis)),
                with_range(&figures(&back, |back| back.cpu_millis)),
                grouped(median(back.iter().map(|back| back.frames))),
                grouped(median(back.iter().map(|back| back.due))),
                format!("{:.2}", median(back.iter().map(|back| back.load_share))),
            ]);
        }
        Some(Err(gap)) => gap.tell(&mut table, &name),
        None => table.failed(&name, "nothing was measured"),
    }
    table
}
