//! The design's targets beside what this run measured. The rule: the verdict is computed from the run, and what the run
//! did not measure completely is neither met nor missed.

use crate::contender::{EDGE, EDGE_TLS};
use crate::figures::{Figures, Measure};
use crate::peers::Peer;
use crate::report::{Table, grouped};

/// The same, for two measurements of one thing: their medians differ by less than this factor.
const SAME: f64 = 1.1;

struct Target {
    what: &'static str,
    target: &'static str,
    /// What was measured, and whether it is enough.
    judge: fn(&Figures) -> Option<(String, bool)>,
    /// What the figure has in it that the target's measure has not; told where it is missed.
    against: &'static str,
}

const TARGETS: [Target; 11] = [
    Target {
        what: "fan-out of one id, frames per server-CPU-second",
        target: "≥ 0.95 of the floor",
        judge: |figures| at_least(figures, Measure::FanoutRatio, 0.95),
        against: "the edge's CPU time has the POST in it, its durable commit, and the hub's waking; the floor's only sends",
    },
    Target {
        what: "16 updates at once of different ids, frames per server-CPU-second",
        target: "≥ 0.8 of the coalesced floor",
        judge: |figures| at_least(figures, Measure::BurstRatio, 0.8),
        against: "the edge's CPU time has the POST of 16 updates in it and their durable commit, which many frames per send make weigh more",
    },
    Target {
        what: "memory per idle connection, one shared topic",
        target: "≤ 300 bytes",
        judge: |figures| bytes(figures, Measure::SharedBytes, EDGE, 300.0),
        against: "what the allocator keeps between is in the resident set too",
    },
    Target {
        what: "memory per idle connection, 20 of 10 000 topics",
        target: "≤ 800 bytes",
        judge: |figures| bytes(figures, Measure::SpreadBytes, EDGE, 800.0),
        against: "what the allocator keeps between is in the resident set too",
    },
    Target {
        what: "memory per idle TLS connection, one shared topic",
        target: "≤ 10 000 bytes",
        judge: |figures| bytes(figures, Measure::SharedBytes, EDGE_TLS, 10_000.0),
        against: "what handshakes needed and the allocator keeps is in the resident set too",
    },
    Target {
        what: "delivery p99 at 10 updates/s of one id",
        target: "lower than every peer",
        judge: delivery,
        against: "the edge's delay has a durable commit in it; the peers keep their counts in memory",
    },
    Target {
        what: "durable POSTs, most in flight",
        target: "≥ `ws` in memory",
        judge: posts,
        against: "the edge's are on disk before they are answered",
    },
    Target {
        what: "cost of an update beside more subscriptions, of other ids, clients and organizations",
        target: "the same (within 10 %)",
        judge: cost,
        against: "the POST and its durable commit are most of an update's cost, and differ from round to round",
    },
    Target {
        what: "neighbours of clients that do not read",
        target: "as without them (within 10 %)",
        judge: slow,
        against: "delays of few ms differ by more than that from round to round",
    },
    Target {
        what: "Lambda packages, zipped",
        target: "≤ 6 MB",
        judge: |figures| largest(figures, Measure::ZippedMegabytes, 6.0, "MB"),
        against: "the SDK is most of it",
    },
    Target {
        what: "Lambda functions, start to first `next`",
        target: "≤ 15 ms",
        judge: |figures| largest(figures, Measure::StartMillis, 15.0, "ms"),
        against: "the program is read from the disk",
    },
];

/// Every target with its verdict.
pub(crate) fn table(figures: &Figures) -> Table {
    let mut method =
        "The targets of the design. Measured: medians of this run, from the tables below; two figures are the \
                      same if they differ by less than a tenth."
            .to_owned();
    let mut rows = Vec::new();
    for Target { what, target, judge, against } in &TARGETS {
        let (measured, verdict) = match judge(figures) {
            Some((measured, true)) => (measured, "met"),
            Some((measured, false)) => {
                method += &format!(" Missed: {what}; {against}.");
                (measured, "**missed**")
            }
            None => ("—".to_owned(), "not measured"),
        };
        rows.push([what, target, measured.as_str(), verdict].map(str::to_owned));
    }
    let mut table = Table::new("Targets", method, &["what", "target", "measured", "verdict"]);
    rows.into_iter().for_each(|row| table.row(row.into()));
    table
}

fn at_least(figures: &Figures, measure: Measure, least: f64) -> Option<(String, bool)> {
    let ratio = figures.median(measure, EDGE)?;
    Some((format!("{ratio:.2}"), ratio >= least))
}

fn bytes(figures: &Figures, measure: Measure, who: &str, most: f64) -> Option<(String, bool)> {
    let bytes = figures.median(measure, who)?;
    Some((format!("{} bytes", grouped(bytes)), bytes <= most))
}

fn delivery(figures: &Figures) -> Option<(String, bool)> {
    let own = figures.median(Measure::FanoutP99, EDGE)?;
    let peers = Peer::ALL.map(Peer::name).map(|name| Some((name, figures.median(Measure::FanoutP99, name)?)));
    let peers: Vec<_> = peers.into_iter().collect::<Option<_>>()?;
    let (name, best) = peers.into_iter().min_by(|(_, one), (_, other)| one.total_cmp(other))?;
    Some((format!("{own:.1} ms, the quickest peer ({name}) {best:.1} ms"), own < best))
}

fn posts(figures: &Figures) -> Option<(String, bool)> {
    let own = figures.median(Measure::Posts, EDGE)?;
    let peer = figures.median(Measure::Posts, Peer::Ws.name())?;
    Some((format!("{}/s, `ws` {}/s", grouped(own), grouped(peer)), own >= peer))
}

fn cost(figures: &Figures) -> Option<(String, bool)> {
    let ratios = figures.medians(Measure::UpdateCostRatio)?;
    let told: Vec<String> = ratios.iter().map(|(beside, ratio)| format!("{ratio:.2} beside {beside}")).collect();
    Some((told.join(", "), ratios.iter().all(|(_, ratio)| *ratio < SAME)))
}

fn slow(figures: &Figures) -> Option<(String, bool)> {
    let mut told = Vec::new();
    let mut met = true;
    for (pace, delay) in figures.medians(Measure::SlowDelayRatio)? {
        let cost = figures.median(Measure::SlowCostRatio, pace)?;
        told.push(format!("{pace}: p99 × {delay:.2}, CPU × {cost:.2}"));
        met &= delay < SAME && cost < SAME;
    }
    Some((told.join("; "), met))
}

fn largest(figures: &Figures, measure: Measure, most: f64, unit: &str) -> Option<(String, bool)> {
    let medians = figures.medians(measure)?.into_iter().map(|(_, median)| median);
    let largest = medians.max_by(f64::total_cmp)?;
    Some((format!("{largest:.2} {unit}"), largest <= most))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn verdict(figures: &Figures, what: &str) -> String {
        let text = table(figures).markdown();
        let line =
            text.lines().find(|line| line.starts_with('|') && line.contains(what)).expect("the target is in the table");
        line.rsplit('|').nth(1).expect("a last cell").trim().to_owned()
    }

    #[test]
    fn a_target_is_met_at_its_bound_and_missed_beyond_it() {
        for (ratio, expected) in [(0.95, "met"), (0.94, "**missed**")] {
            let mut figures = Figures::default();
            figures.note(Measure::FanoutRatio, EDGE, [ratio]);
            figures.note(Measure::FanoutRatio, "floor", [1.0]);
            assert_eq!(verdict(&figures, "fan-out of one id"), expected);
            let told = table(&figures).markdown().contains("Missed: fan-out of one id");
            assert_eq!(told, expected != "met", "a missed target says what it is up against");
        }
        for (bytes, expected) in [(300.0, "met"), (301.0, "**missed**")] {
            let mut figures = Figures::default();
            figures.note(Measure::SharedBytes, EDGE, [bytes]);
            assert_eq!(verdict(&figures, "idle connection, one shared topic"), expected);
            assert_eq!(verdict(&figures, "idle TLS connection"), "not measured");
        }
    }

    #[test]
    fn only_peers_are_compared_with_and_all_of_them() {
        let mut figures = Figures::default();
        figures.note(Measure::FanoutP99, "floor", [1.0]);
        figures.note(Measure::FanoutP99, EDGE_TLS, [2.0]);
        figures.note(Measure::FanoutP99, EDGE, [20.0]);
        assert_eq!(verdict(&figures, "delivery p99"), "not measured", "there was no peer");
        let (last, others) = Peer::ALL.split_last().expect("peers");
        others.iter().for_each(|peer| figures.note(Measure::FanoutP99, peer.name(), [30.0]));
        assert_eq!(verdict(&figures, "delivery p99"), "not measured", "one may be the quickest");
        for (delay, expected) in [(21.0, "met"), (19.0, "**missed**")] {
            let mut figures = figures.clone();
            figures.note(Measure::FanoutP99, last.name(), [delay]);
            assert_eq!(verdict(&figures, "delivery p99"), expected);
        }
    }

    #[test]
    fn the_worst_of_several_decides() {
        let mut figures = Figures::default();
        figures.note(Measure::UpdateCostRatio, "10 000", [1.0]);
        assert_eq!(verdict(&figures, "cost of an update"), "met");
        figures.note(Measure::UpdateCostRatio, "1 000 000", [1.2]);
        assert_eq!(verdict(&figures, "cost of an update"), "**missed**");
        figures.lack(Measure::UpdateCostRatio, "others");
        assert_eq!(verdict(&figures, "cost of an update"), "not measured");
        figures.note(Measure::StartMillis, "trigger-update", [3.0]);
        figures.note(Measure::StartMillis, "stream-relay", [16.0]);
        assert_eq!(verdict(&figures, "start to first"), "**missed**");
    }

    #[test]
    fn a_slow_client_is_judged_at_every_pace() {
        let mut figures = Figures::default();
        figures.note(Measure::SlowDelayRatio, "10 updates/s", [1.05]);
        assert_eq!(verdict(&figures, "do not read"), "not measured", "half of it is missing");
        figures.note(Measure::SlowCostRatio, "10 updates/s", [0.99]);
        assert_eq!(verdict(&figures, "do not read"), "met");
        let mut failed = figures.clone();
        failed.lack(Measure::SlowDelayRatio, "sustained");
        assert_eq!(verdict(&failed, "do not read"), "not measured", "a pace failed");
        figures.note(Measure::SlowDelayRatio, "sustained", [1.0]);
        figures.note(Measure::SlowCostRatio, "sustained", [1.5]);
        assert_eq!(verdict(&figures, "do not read"), "**missed**");
    }
}
