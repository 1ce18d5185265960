//! What a run measured, as far as targets and charts are made of it. The rule: only what was measured completely has figures
//! in here, round by round; what was tried and failed is named without any, so that nobody takes the rest for all.

use std::collections::BTreeMap;

use crate::report::median;

/// What a figure says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Measure {
    /// Frames per second of the server's CPU time to the most subscribers of one id, as fast as sustained.
    FanoutRate,
    /// The same, divided by the floor's.
    FanoutRatio,
    /// Bursts of different ids, divided by the floor's coalesced sends.
    BurstRatio,
    /// Delay in ms that 99 % of frames stay within at ten updates a second to the most subscribers.
    FanoutP99,
    /// Bytes of resident memory per subscribed connection: all of one topic, each of 20 of 10 000, each of its own.
    SharedBytes,
    SpreadBytes,
    OwnBytes,
    /// Acknowledged updates per second with the most calls in flight.
    Posts,
    /// CPU time in µs that one update costs, by what else is subscribed.
    UpdateCost,
    /// The same, divided by what it costs beside the fewest.
    UpdateCostRatio,
    /// 99 % delay, and CPU time per frame, of neighbours of clients that do not read, divided by those without them.
    SlowDelayRatio,
    SlowCostRatio,
    /// Of a Lambda function: zipped megabytes, and ms from its start to its first question.
    ZippedMegabytes,
    StartMillis,
}

/// Figures by measure, then by who was measured, in the order in which they were noted.
#[derive(Debug, Clone, Default)]
pub(crate) struct Figures(BTreeMap<Measure, Vec<(String, Vec<f64>)>>);

impl Figures {
    /// Keeps the rounds of one measurement.
    pub(crate) fn note(&mut self, measure: Measure, who: &str, rounds: impl IntoIterator<Item = f64>) {
        self.0.entry(measure).or_default().push((who.to_owned(), rounds.into_iter().collect()));
    }

    /// Says that this was to be measured and was not.
    pub(crate) fn lack(&mut self, measure: Measure, who: &str) {
        self.note(measure, who, []);
    }

    /// Everyone of whom this was to be measured.
    pub(crate) fn of(&self, measure: Measure) -> &[(String, Vec<f64>)] {
        self.0.get(&measure).map_or(&[], Vec::as_slice)
    }

    /// The median of one.
    pub(crate) fn median(&self, measure: Measure, who: &str) -> Option<f64> {
        let (_, rounds) = self.of(measure).iter().find(|(name, _)| name == who)?;
        (!rounds.is_empty()).then(|| median(rounds.iter().copied()))
    }

    /// The median of each of whom this was to be measured; `None` if one is missing, or all.
    pub(crate) fn medians(&self, measure: Measure) -> Option<Vec<(&str, f64)>> {
        let all = self.of(measure).iter().map(|(name, _)| Some((name.as_str(), self.median(measure, name)?)));
        all.collect::<Option<Vec<_>>>().filter(|all| !all.is_empty())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_not_measured_is_not_there() {
        let mut figures = Figures::default();
        figures.note(Measure::Posts, "edge", [3.0, 1.0, 2.0]);
        assert_eq!(figures.median(Measure::Posts, "edge"), Some(2.0));
        assert_eq!(figures.median(Measure::Posts, "floor"), None);
        assert!(figures.of(Measure::FanoutRate).is_empty());
        assert_eq!(figures.medians(Measure::FanoutRate), None);
        assert_eq!(figures.medians(Measure::Posts), Some(vec![("edge", 2.0)]));
        figures.lack(Measure::Posts, "ws");
        assert_eq!(figures.medians(Measure::Posts), None, "one of them is missing");
    }
}
