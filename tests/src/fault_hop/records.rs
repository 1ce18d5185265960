//! Pages of a stream that come duplicated, reordered and late. The rule: every record is told at least once, and the
//! last ones as soon as nothing new comes; only the order, the number and the time are not what they were.

use std::collections::VecDeque;

use fastrand::Rng;
use serde_json::Value;

/// Records that are remembered to be told again.
const PAST: usize = 200;

/// What was done so far.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Disturbed {
    /// Records told again.
    pub duplicated: usize,
    /// Records held back for a later page.
    pub delayed: usize,
    /// Pages whose order was changed.
    pub reordered: usize,
}

/// What lies between pages.
#[derive(Debug)]
pub(super) struct Disturbance {
    held: Vec<Value>,
    past: VecDeque<Value>,
    random: Rng,
    pub(super) done: Disturbed,
}

impl Disturbance {
    pub(super) fn new(seed: u64) -> Disturbance {
        Disturbance {
            held: Vec::new(),
            past: VecDeque::new(),
            random: Rng::with_seed(seed),
            done: Disturbed::default(),
        }
    }

    /// Changes the body of an answer to `GetRecords`; `None` if it is none.
    pub(super) fn page(&mut self, body: &[u8]) -> Option<Vec<u8>> {
        let mut page: Value = serde_json::from_slice(body).ok()?;
        let fresh = std::mem::take(page.get_mut("Records")?.as_array_mut()?);
        let mut told = std::mem::take(&mut self.held);
        for record in fresh.iter().cloned() {
            if self.random.bool() {
                self.held.push(record);
            } else {
                told.push(record);
            }
        }
        self.done.delayed += self.held.len();
        let again: Vec<Value> = self.past.iter().chain(&told).filter(|_| self.random.u8(..4) == 0).cloned().collect();
        if !told.is_empty() {
            self.done.duplicated += again.len();
            self.past.extend(told.iter().cloned());
            self.past.drain(..self.past.len().saturating_sub(PAST));
            told.extend(again);
            self.random.shuffle(&mut told);
            self.done.reordered += usize::from(told.len() > 1);
        }
        page["Records"] = Value::Array(told);
        Some(page.to_string().into_bytes())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use serde_json::json;

    use super::*;

    #[test]
    fn every_record_is_told_by_the_first_page_without_news() {
        let mut disturbance = Disturbance::new(1);
        let mut told = BTreeSet::new();
        let mut count = 0;
        for page in [0..10, 10..20, 20..25, 0..0] {
            let records: Vec<u64> = page.collect();
            let body = json!({"Records": records, "NextShardIterator": "next"}).to_string();
            let page: Value =
                serde_json::from_slice(&disturbance.page(body.as_bytes()).expect("a page")).expect("JSON");
            assert_eq!(page["NextShardIterator"], "next");
            let records = page["Records"].as_array().expect("records").iter().filter_map(Value::as_u64);
            told.extend(records.inspect(|_| count += 1));
        }
        assert_eq!(told, (0..25).collect());
        assert_eq!(count, 25 + disturbance.done.duplicated);
        assert!(disturbance.done.delayed > 0 && disturbance.done.reordered > 0);
        assert_eq!(disturbance.page(b"{\"message\":\"none\"}"), None);
    }
}
