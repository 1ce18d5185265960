//! Updates over HTTP.

use super::{Bench, figures};
use crate::contender::Contender;
use crate::figures::{Figures, Measure};
use crate::ingest::{self, Contents, Load};
use crate::peers::Peer;
use crate::report::{Table, grouped, grouped_with_range, median};

const IN_FLIGHT: [usize; 3] = [1, 16, 256];

impl Bench<'_> {
    /// Durable ones, beside what Node.js does in memory.
    pub(crate) fn ingest(&self, kept: &mut Figures) -> Vec<Table> {
        let method = "Single keyless updates on keep-alive connections, each followed by the next when it is \
                      answered, on a fresh store, after a second of the same; on the edge answered once it is durable, on the peers counted in memory, \
                      which a crash would lose. Afterwards the store holds what was acknowledged.";
        let columns = &["row", "POSTs/s", "POSTs per server-CPU-s", "p50 ms", "p99 ms", "load/server CPU"];
        let mut table = Table::new("Durable POSTs", method, columns).with_charts(&[Measure::Posts]);
        let edge = Contender::Edge(self.edge);
        let rows = [
            (edge, Contents::Distinct, "each another content"),
            (edge, Contents::Hot, "one hot content"),
            (Contender::Peer(Peer::Ws), Contents::Distinct, "in memory, each another content"),
            (Contender::Peer(Peer::Uws), Contents::Distinct, "in memory, each another content"),
        ];
        let contenders = rows.map(|(contender, ..)| contender);
        for (part, in_flight) in IN_FLIGHT.into_iter().enumerate() {
            self.progress.part(part, IN_FLIGHT.len());
            let what = format!("Durable POSTs, {in_flight} in flight");
            let indexes: Vec<usize> = (0..rows.len()).collect();
            let outcomes = self.in_turns(
                &what,
                self.rounds,
                &indexes,
                |index| contenders[index].missing(),
                |index| {
                    let (contender, contents, _) = rows[index];
                    ingest::measure(contender, Load { contents, keyed: false, in_flight }, self.during)
                },
            );
            for ((contender, contents, what), outcome) in rows.into_iter().zip(outcomes) {
                let name = format!("{}, {in_flight} in flight, {what}", contender.name());
                let rounds = match outcome {
                    Ok(rounds) => rounds,
                    Err(gap) => {
                        gap.tell(&mut table, &name);
                        continue;
                    }
                };
                let rates = figures(&rounds, |m| m.posts_per_second);
                if contents == Contents::Distinct && Some(&in_flight) == IN_FLIGHT.last() {
                    kept.note(Measure::Posts, contender.name(), rates.iter().copied());
                }
                table.row(vec![
                    name,
                    grouped_with_range(&rates),
                    grouped(median(rounds.iter().map(|m| m.posts_per_cpu_second))),
                    format!("{:.2}", median(rounds.iter().map(|m| m.p50_ms))),
                    format!("{:.2}", median(rounds.iter().map(|m| m.p99_ms))),
                    format!("{:.2}", median(rounds.iter().map(|m| m.load_share))),
                ]);
            }
        }
        vec![table]
    }
}
