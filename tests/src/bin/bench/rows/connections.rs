//! Connections that only wait, and connections that come all at once.

use super::{Bench, figures};
use crate::figures::{Figures, Measure};
use crate::memory::{self, Topics};
use crate::report::{Table, grouped, grouped_with_range, median, with_range};

impl Bench<'_> {
    /// Memory per connection that only waits.
    pub(crate) fn memory(&self, kept: &mut Figures) -> Vec<Table> {
        let (from, to) = self.size.connections;
        let variants = [
            ("all of one shared topic", Topics::Shared, Measure::SharedBytes),
            ("each of 20 of 10 000 topics", Topics::Spread { each: 20, of: 10_000 }, Measure::SpreadBytes),
            ("each of a topic of its own", Topics::Own, Measure::OwnBytes),
        ];
        let charts: [&[Measure]; 3] = [&[Measure::SharedBytes], &[Measure::SpreadBytes], &[Measure::OwnBytes]];
        let contenders = self.servers();
        let mut tables = Vec::new();
        // Each takes long.
        let rounds = self.rounds.min(2);
        for (index, ((name, topics, measure), charts)) in variants.into_iter().zip(charts).enumerate() {
            self.progress.part(index, variants.len());
            let title = format!("Memory: {name}");
            let method = format!(
                "Slope of the resident set between {} and {} subscribed connections, each time when it has settled; all \
                 processes of a server together, with what they share in each. Rounds: {rounds}, for a slope differs \
                 little from one to the next.",
                grouped(from as f64),
                grouped(to as f64)
            );
            let columns = &["row", "bytes per connection", "KiB in all at the end"];
            let mut table = Table::new(title.clone(), method, columns).with_charts(charts);
            let outcomes =
                self.contest(&title, rounds, &contenders, |contender| memory::slope(contender, topics, from, to));
            for (contender, outcome) in contenders.iter().zip(outcomes) {
                match outcome {
                    Ok(rounds) => {
                        let slopes = figures(&rounds, |(slope, _)| *slope);
                        kept.note(measure, contender.name(), slopes.iter().copied());
                        table.row(vec![
                            contender.name().to_owned(),
                            grouped_with_range(&slopes),
                            grouped(median(rounds.iter().map(|(_, total)| *total as f64))),
                        ]);
                    }
                    Err(gap) => gap.tell(&mut table, contender.name()),
                }
            }
            tables.push(table);
        }
        tables
    }

    /// Everyone at once.
    pub(crate) fn storm(&self) -> Vec<Table> {
        let (_, connections) = self.size.connections;
        let method = format!(
            "{} connections as fast as they are accepted, up to {} handshakes under way at any time, until all are \
             subscribed to one topic. With TLS each is a full handshake. The seconds are the slower one's of server and load \
             generator; the CPU time is the server's.",
            grouped(connections as f64),
            memory::STORM
        );
        let columns = &["row", "seconds", "connections per server-CPU-s", "peak KiB", "load/server CPU"];
        let mut table = Table::new("Connect storm", method, columns);
        let contenders = self.servers();
        let outcomes =
            self.contest("Connect storm", self.rounds, &contenders, |contender| memory::storm(contender, connections));
        for (contender, outcome) in contenders.iter().zip(outcomes) {
            match outcome {
                Ok(rounds) => table.row(vec![
                    contender.name().to_owned(),
                    with_range(&figures(&rounds, |storm| storm.seconds)),
                    grouped_with_range(&figures(&rounds, |storm| storm.per_cpu_second)),
                    grouped(median(rounds.iter().map(|storm| storm.peak_kib as f64))),
                    format!("{:.2}", median(rounds.iter().map(|storm| storm.load_share))),
                ]),
                Err(gap) => gap.tell(&mut table, contender.name()),
            }
        }
        vec![table]
    }

    /// CPU time while only heartbeats pass.
    pub(crate) fn idle(&self) -> Vec<Table> {
        let (_, connections) = self.size.connections;
        let method = format!(
            "{} connections of one topic that does not change, over {} s; every server asks each of them every 30 s whether it \
             is still there. One round: it is an average over all of them.",
            grouped(connections as f64),
            self.idle_for.as_secs()
        );
        let mut table = Table::new("Idle", method, &["row", "% of one core"]);
        let contenders = self.servers();
        let outcomes =
            self.contest("Idle", 1, &contenders, |contender| memory::idle(contender, connections, self.idle_for));
        for (contender, outcome) in contenders.iter().zip(outcomes) {
            match outcome {
                Ok(rounds) => table.row(vec![contender.name().to_owned(), format!("{:.2}", median(rounds))]),
                Err(gap) => gap.tell(&mut table, contender.name()),
            }
        }
        vec![table]
    }
}
