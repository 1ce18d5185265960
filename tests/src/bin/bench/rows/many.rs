//! Many ids to many connections.

use std::time::Duration;

use super::{Bench, figures};
use crate::fanout::Pace;
use crate::many::{self, Crowd, Measured};
use crate::report::{Table, grouped, grouped_with_range, median};

const EACH: usize = 20;
const OF: usize = 10_000;
/// Of one id each: a rate that every server keeps up with, or delays would tell nothing but how long it was.
const FIXED: Duration = Duration::from_millis(40);
/// Ids updated at once where it is about the highest rate.
const BATCH: usize = 16;
const COLUMNS: &[&str] = &[
    "row",
    "updates/s",
    "frames per server-CPU-s",
    "frames per frame due",
    "p50 ms",
    "p99 ms",
    "p99.9 ms",
    "load/server CPU",
];

impl Bench<'_> {
    /// Popular ids and others, as pages are.
    pub(crate) fn many(&self) -> Vec<Table> {
        let rate = 1.0 / FIXED.as_secs_f64();
        let updates = (self.during.as_secs_f64() * rate) as u64;
        let paces = [
            (format!("{rate:.0} updates/s"), (1, Pace::Every { interval: FIXED, updates })),
            ("sustained".to_owned(), (BATCH, Pace::Sustained { during: self.during })),
        ];
        let crowd = Crowd { connections: self.size.crowd, each: EACH, of: OF };
        let method = format!(
            "{} connections, each with {EACH} different ids of {}, and updates of these ids, both drawn by Zipf's law \
             (exponent 1), the same draws for everyone. Everyone must end with the last value of each of its ids; a frame is \
             due for each update and connection that watches its id, and may be replaced by a newer one. Sustained: \
             {BATCH} ids at once, the next when everyone is current.",
            grouped(crowd.connections as f64),
            grouped(OF as f64)
        );
        let mut table = Table::new("Many ids", method, COLUMNS);
        let contenders = self.servers();
        let at: Vec<(usize, Pace)> = paces.iter().map(|(_, pace)| *pace).collect();
        let outcomes =
            self.contest("Many ids", self.rounds, &contenders, |contender| many::measure(contender, crowd, &at));
        for (index, (pace, _)) in paces.iter().enumerate() {
            for (contender, outcome) in contenders.iter().zip(&outcomes) {
                let name = format!("{}, {pace}", contender.name());
                match outcome {
                    Ok(rounds) => table.row(cells(name, rounds, index)),
                    Err(gap) => gap.tell(&mut table, &name),
                }
            }
        }
        vec![table]
    }
}

fn cells(name: String, rounds: &[Vec<Measured>], pace: usize) -> Vec<String> {
    let of = |figure: fn(&Measured) -> f64| figures(rounds, |paces| paces.get(pace).map_or(f64::NAN, figure));
    let middle = |figure| median(of(figure));
    vec![
        name,
        format!("{:.1}", middle(|m| m.updates_per_second)),
        grouped_with_range(&of(|m| m.frames_per_cpu_second)),
        format!("{:.2}", middle(|m| m.delivered)),
        format!("{:.2}", middle(|m| m.p50_ms)),
        format!("{:.2}", middle(|m| m.p99_ms)),
        format!("{:.2}", middle(|m| m.p999_ms)),
        format!("{:.2}", middle(|m| m.load_share)),
    ]
}
