//! Items of the counters table as states. The rule: what the table returns, what a failed condition shows and what the
//! stream carries are decoded here and nowhere else.
//!
//! | attribute | type | meaning |
//! |---|---|---|
//! | `pk`, `sk` | S | whose counter (`key`) |
//! | `views`, `likes`, `shares`, `comments` | N | the counts; absent is 0 |
//! | `version` | N | the counter's version, as written: a reader presents at least its store's base |
//! | `committed_at` | N | when this version was written, in milliseconds since the Unix epoch |

use std::collections::HashMap;

use analytics_shared::counts::Versioned;
use analytics_shared::{CounterState, Counts, Field};
use aws_sdk_dynamodb::types::AttributeValue;

use super::key;

/// The partition key's attribute.
pub(super) const PARTITION: &str = "pk";
/// The sort key's attribute.
pub(super) const SORT: &str = "sk";
/// The version's attribute.
pub(super) const VERSION: &str = "version";
/// The attribute of the time of the last change.
pub(super) const COMMITTED_AT: &str = "committed_at";

/// An item by whatever client it came: DynamoDB, DynamoDB Streams and Lambda events each have a type of their own.
pub trait Attributes {
    /// The text of a string attribute (S).
    fn string(&self, name: &str) -> Option<&str>;

    /// The digits of a number attribute (N).
    fn number(&self, name: &str) -> Option<&str>;
}

/// An item as the DynamoDB client returns it.
pub(super) type Item = HashMap<String, AttributeValue>;

/// The item holds what this program never writes.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("an item of the table is damaged: its attribute {0} is malformed")]
pub struct Damaged(pub &'static str);

/// The state that an item (an image of the stream) holds, its version presented for a store with this base.
pub fn counter_state(item: &impl Attributes, base: u64) -> Result<CounterState, Damaged> {
    let partition = item.string(PARTITION).ok_or(Damaged(PARTITION))?;
    let counter = key::counter(partition, item.string(SORT).ok_or(Damaged(SORT))?).ok_or(Damaged(PARTITION))?;
    let mut counts = [0; Field::ALL.len()];
    for field in Field::ALL {
        counts[field.index()] = count(item, field)?;
    }
    let versioned = Versioned {
        version: version(item)?.unwrap_or(0).max(base),
        committed_at: number(item, COMMITTED_AT)?.unwrap_or(0),
        counts: Counts::from_array(counts),
    };
    Ok(CounterState { counter, versioned })
}

/// One count of an item.
pub(super) fn count(item: &impl Attributes, field: Field) -> Result<u64, Damaged> {
    Ok(number(item, field.name())?.unwrap_or(0))
}

/// The version of an item as it was written.
pub(super) fn version(item: &impl Attributes) -> Result<Option<u64>, Damaged> {
    number(item, VERSION)
}

/// A number that may be absent.
pub(super) fn number(item: &impl Attributes, name: &'static str) -> Result<Option<u64>, Damaged> {
    item.number(name).map(|digits| digits.parse().map_err(|_| Damaged(name))).transpose()
}

impl Attributes for Item {
    fn string(&self, name: &str) -> Option<&str> {
        self.get(name).and_then(|value| value.as_s().ok()).map(String::as_str)
    }

    fn number(&self, name: &str) -> Option<&str> {
        self.get(name).and_then(|value| value.as_n().ok()).map(String::as_str)
    }
}

/// A string attribute.
pub(super) fn s(text: impl Into<String>) -> AttributeValue {
    AttributeValue::S(text.into())
}

/// A number attribute.
pub(super) fn n(number: impl ToString) -> AttributeValue {
    AttributeValue::N(number.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn item(attributes: &[(&str, AttributeValue)]) -> Item {
        attributes.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect()
    }

    #[test]
    fn an_item_is_a_state_and_absent_counts_are_zero() {
        let item =
            item(&[("pk", s("1:o/a")), ("sk", s(":c")), ("likes", n(3)), ("version", n(7)), ("committed_at", n(9))]);
        let state = counter_state(&item, 0).expect("a whole item");
        assert_eq!(state.counter, key::counter("1:o/a", ":c").expect("a counter's keys"));
        assert_eq!((state.versioned.version, state.versioned.committed_at), (7, 9));
        assert_eq!(state.versioned.counts.to_array(), [0, 3, 0, 0]);
        assert_eq!(counter_state(&item, 100).expect("a whole item").versioned.version, 100, "presented at the base");
    }

    #[test]
    fn a_damaged_item_names_its_attribute() {
        let whole = [("pk", s("0:/a")), ("sk", s(":")), ("version", n(1))];
        assert!(counter_state(&item(&whole), 0).is_ok());
        for (name, value) in [("pk", s("a")), ("pk", n(1)), ("sk", n(1)), ("version", n(-1)), ("views", n("1.5"))] {
            let mut item = item(&whole);
            item.insert(name.to_owned(), value);
            assert_eq!(counter_state(&item, 0), Err(Damaged(if name == "sk" { SORT } else { name })), "{name}");
        }
    }
}
