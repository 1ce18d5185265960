//! What others' subscriptions cost an update: nothing, it should be.

use super::{Bench, figures, ratios};
use crate::figures::{Figures, Measure};
use crate::report::{Table, grouped, grouped_with_range, median, with_range};
use crate::unrelated::{self, Others};

pub(super) use crate::unrelated::OWN;

impl Bench<'_> {
    /// The same update beside more and more that it does not concern.
    pub(crate) fn unrelated(&self, kept: &mut Figures) -> Vec<Table> {
        let others = self.size.others;
        let ids = |connections: usize, each: usize| {
            let name = format!("{} subscriptions to other ids", grouped((connections * each) as f64));
            (name, Others::OtherIds { connections, each })
        };
        let tenants = 10 * others;
        let variants = [
            // A tenth of them, so that the connections are few too.
            ids(others / 10, 1),
            ids(others, 10),
            ids(others, 1_000),
            (
                format!("{} subscribers of the id, of others", grouped(tenants as f64)),
                Others::OtherTenants { connections: tenants },
            ),
        ];
        let method = format!(
            "One id of a client of an organization, {OWN} subscribers, the next update when all have the one before: CPU time \
             of the server per update, from the POST over the durable commit to the last frame, without what it uses \
             while nothing happens (which is the reading again of what is watched). The last row's others are of \
             other clients of the organization and of other organizations. Nobody else is told anything."
        );
        let columns = &["beside", "server CPU µs per update", "ratio to the first", "p99 ms", "% of a core while idle"];
        let mut table = Table::new("Cost of an update", method, columns).with_charts(&[Measure::UpdateCost]);
        let at: Vec<Others> = variants.iter().map(|(_, others)| *others).collect();
        let outcomes =
            self.variants("Cost of an update", &at, |others| unrelated::measure(self.edge, others, 2 * self.during));
        let cost = |rounds: &[unrelated::Measured]| figures(rounds, |measured| measured.cpu_micros);
        let first = outcomes.first().and_then(|first| first.as_ref().ok()).map(|first| cost(first));
        for (index, ((name, _), outcome)) in variants.iter().zip(&outcomes).enumerate() {
            match outcome {
                Ok(rounds) => {
                    let costs = cost(rounds);
                    let ratio = first.as_deref().map(|first| ratios(&costs, first)).unwrap_or_default();
                    kept.note(Measure::UpdateCost, name, costs.iter().copied());
                    if index > 0 {
                        kept.note(Measure::UpdateCostRatio, name, ratio.iter().copied());
                    }
                    table.row(vec![
                        name.clone(),
                        grouped_with_range(&costs),
                        with_range(&ratio),
                        format!("{:.2}", median(rounds.iter().map(|measured| measured.p99_ms))),
                        format!("{:.2}", median(rounds.iter().map(|measured| measured.idle_percent))),
                    ]);
                }
                Err(gap) => {
                    kept.lack(Measure::UpdateCostRatio, name);
                    gap.tell(&mut table, name);
                }
            }
        }
        vec![table]
    }
}
