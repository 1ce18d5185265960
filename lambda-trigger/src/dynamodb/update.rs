//! The one write that counts. The rule: a single conditional update adds to the count, keeps it in range, and makes
//! the version `max(version, base) + 1`.
//!
//! DynamoDB's expressions know no maximum, so there are two forms of the update, each with a condition on the version.
//! For every state of the item exactly one form's condition holds, so at most one of them is applied, and a form that
//! was refused by its condition was not applied at all. Which one to use is guessed ([`Form::Above`] but for the first
//! write to a counter after the base was raised); a wrong guess is refused with the item as it is, and the other form
//! is used. An update takes a version from below the base to above it and none takes it back, so nobody guesses wrong
//! more than twice.

use std::collections::HashMap;

use analytics_shared::version::MAX_SAFE;
use analytics_shared::{Counter, OutOfRange};
use aws_sdk_dynamodb::types::AttributeValue;

use super::item::{self, COMMITTED_AT, Damaged, Item, PARTITION, SORT, VERSION, n, s};
use super::key;
use crate::store::Write;

/// On which side of the base a counter's version is taken to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    /// There is none yet, or it is at least the base: one more, starting at the base.
    Above,
    /// It is below the base: the base's next.
    Below,
}

/// An update as its request names it.
#[derive(Debug, Clone)]
pub(super) struct Expression {
    pub(super) key: Item,
    pub(super) update: &'static str,
    pub(super) condition: String,
    pub(super) names: HashMap<String, String>,
    pub(super) values: Item,
}

/// Why the condition of an update does not hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Unmet {
    /// The version is on the other side of the base.
    Form(Form),
    /// The count would leave its range.
    Range(OutOfRange),
}

impl Form {
    fn fits(self, version: Option<u64>, base: u64) -> bool {
        match self {
            Form::Above => version.is_none_or(|version| version >= base),
            Form::Below => version.is_some_and(|version| version < base),
        }
    }

    fn other(self) -> Form {
        match self {
            Form::Above => Form::Below,
            Form::Below => Form::Above,
        }
    }
}

/// The update that applies a write to an item of the given form.
pub(super) fn expression(write: &Write, form: Form, base: u64, now: u64) -> Expression {
    let Write { counter, field, increment, .. } = write;
    let (update, version, step) = match form {
        Form::Above => (
            "SET #version = if_not_exists(#version, :base) + :step, #at = :now ADD #field :increment",
            "(attribute_not_exists(#version) OR #version >= :base)",
            1,
        ),
        Form::Below => ("SET #version = :step, #at = :now ADD #field :increment", "#version < :base", base + 1),
    };
    let (range, bound) = range(*increment);
    let names = [("#version", VERSION), ("#at", COMMITTED_AT), ("#field", field.name())];
    let values =
        [(":base", n(base)), (":step", n(step)), (":now", n(now)), (":increment", n(increment)), (":bound", n(bound))];
    Expression {
        key: key_of(counter),
        update,
        condition: format!("{version} AND {range}"),
        names: names.map(|(placeholder, name)| (placeholder.to_owned(), name.to_owned())).into(),
        values: values.map(|(placeholder, value)| (placeholder.to_owned(), value)).into(),
    }
}

/// What is in the way of a refused update, given the item as it was then; `None` is an item that does not exist.
pub(super) fn unmet(write: &Write, form: Form, base: u64, item: Option<&Item>) -> Result<Unmet, Damaged> {
    let (version, value) = match item {
        Some(item) => (item::version(item)?, item::count(item, write.field)?),
        None => (None, 0),
    };
    Ok(if form.fits(version, base) {
        Unmet::Range(OutOfRange { field: write.field, value, increment: write.increment })
    } else {
        Unmet::Form(form.other())
    })
}

/// The key of a counter's item.
pub(super) fn key_of(counter: &Counter) -> HashMap<String, AttributeValue> {
    let partition = key::partition(counter.organization(), counter.content());
    [(PARTITION.to_owned(), s(partition)), (SORT.to_owned(), s(key::sort(counter.client())))].into()
}

/// The condition that keeps a count in range, and its `:bound`.
fn range(increment: i64) -> (&'static str, i128) {
    let bound = if increment < 0 { -i128::from(increment) } else { i128::from(MAX_SAFE) - i128::from(increment) };
    // A count that is not there is 0.
    let condition = match increment {
        ..0 => "#field >= :bound",
        0.. if bound >= 0 => "(attribute_not_exists(#field) OR #field <= :bound)",
        0.. => "#field <= :bound",
    };
    (condition, bound)
}

#[cfg(test)]
mod tests {
    use analytics_shared::{Field, Id, Scope};

    use super::*;

    fn write(increment: i64) -> Write {
        let counter = Counter::new(Id::new("a").expect("a valid id"), Scope::public());
        Write { counter, field: Field::Likes, increment, key: None }
    }

    fn item(version: u64, likes: u64) -> Item {
        [(VERSION.to_owned(), n(version)), ("likes".to_owned(), n(likes))].into()
    }

    #[test]
    fn exactly_one_form_fits_any_version() {
        for base in [0, 1, 100] {
            for version in [None, Some(0), Some(1), Some(99), Some(100), Some(101)] {
                assert_ne!(Form::Above.fits(version, base), Form::Below.fits(version, base), "{version:?} {base}");
            }
        }
    }

    #[test]
    fn an_unmet_condition_is_explained_by_the_item() {
        let range = |value, increment| Unmet::Range(OutOfRange { field: Field::Likes, value, increment });
        assert_eq!(unmet(&write(-1), Form::Above, 9, None), Ok(range(0, -1)));
        assert_eq!(unmet(&write(-1), Form::Below, 9, None), Ok(Unmet::Form(Form::Above)));
        assert_eq!(unmet(&write(-3), Form::Above, 9, Some(&item(9, 2))), Ok(range(2, -3)));
        assert_eq!(unmet(&write(-3), Form::Above, 9, Some(&item(8, 2))), Ok(Unmet::Form(Form::Below)));
        assert_eq!(unmet(&write(-3), Form::Below, 9, Some(&item(8, 2))), Ok(range(2, -3)));
    }

    #[test]
    fn every_value_of_a_request_is_used() {
        // DynamoDB refuses a request with a value or a name that no expression uses.
        for (form, increment) in [(Form::Above, 1), (Form::Above, -1), (Form::Below, 1), (Form::Below, i64::MAX)] {
            let expression = expression(&write(increment), form, 5, 6);
            let text = format!("{} {}", expression.update, expression.condition);
            for placeholder in expression.names.keys().chain(expression.values.keys()) {
                assert!(text.contains(placeholder.as_str()), "{placeholder} in {text}");
            }
        }
    }
}
