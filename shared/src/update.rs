//! The body of `trigger-update`. The rule: a body is a single update or a list of 1–100, and each member of a list
//! stands or falls alone.

use crate::fields::{self, Fields};
use crate::json::{self, Node};
use crate::{Code, Failure, Field, Id};

/// The most updates in one body.
pub const MAX_UPDATES: usize = 100;

/// The largest increment, either way.
pub const MAX_INCREMENT: i64 = 1_000_000_000;

/// One increment as a caller named it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Update {
    /// The content counted.
    pub content: Id,
    /// What is counted.
    pub field: Field,
    /// Not 0, at most [`MAX_INCREMENT`] either way.
    pub increment: i64,
    /// The organization named, if any.
    pub organization: Option<Id>,
    /// The client named, if any.
    pub client: Option<Id>,
}

/// A body that was understood as a whole.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Body {
    /// One update.
    Single(Update),
    /// 1–100 updates, each valid or refused by itself.
    Batch(Vec<Result<Update, Failure>>),
}

impl Body {
    /// Reads a request's body.
    pub fn parse(bytes: &[u8]) -> Result<Body, Failure> {
        let value = json::parse(bytes)
            .map_err(|error| Failure::new(Code::InvalidJson, format!("the body is not JSON: {error}")))?;
        let fields =
            Fields::of(&value).ok_or_else(|| Failure::new(Code::InvalidField, "the body must be a JSON object"))?;
        let Some(updates) = fields.get("updates") else {
            return Update::from_fields(&fields).map(Body::Single);
        };
        let members = updates.as_list().filter(|members| (1..=MAX_UPDATES).contains(&members.len()));
        let members = members.ok_or_else(|| fields::invalid("updates", "an array of 1 to 100 updates"))?;
        Ok(Body::Batch(members.iter().enumerate().map(|(index, member)| Update::member(index, member)).collect()))
    }
}

impl Update {
    /// An update from its parts, validated as if it had come in a body.
    pub fn new(
        content: &str,
        field: Field,
        increment: i64,
        organization: Option<&str>,
        client: Option<&str>,
    ) -> Result<Update, Failure> {
        let id = |name, text| Id::new(text).map_err(|_| fields::invalid(name, crate::id::ALLOWED));
        Ok(Update {
            content: id("contentId", content)?,
            field,
            increment: checked_increment(Some(increment))?,
            organization: organization.map(|text| id("organizationId", text)).transpose()?,
            client: client.map(|text| id("clientId", text)).transpose()?,
        })
    }

    fn member(index: usize, value: &Node<'_>) -> Result<Update, Failure> {
        let named = |failure: Failure| Failure::new(failure.code, format!("updates[{index}]: {}", failure.text));
        let fields = Fields::of(value).ok_or_else(|| fields::invalid(&format!("updates[{index}]"), "an object"))?;
        Update::from_fields(&fields).map_err(named)
    }

    fn from_fields(fields: &Fields<'_>) -> Result<Update, Failure> {
        Ok(Update {
            content: fields.id("contentId")?,
            field: fields.field("field")?,
            increment: match fields.get("increment") {
                None => 1,
                Some(value) => checked_increment(value.as_integer())?,
            },
            organization: fields.optional_id("organizationId")?,
            client: fields.optional_id("clientId")?,
        })
    }
}

fn checked_increment(increment: Option<i64>) -> Result<i64, Failure> {
    increment
        .filter(|increment| *increment != 0 && increment.unsigned_abs() <= MAX_INCREMENT as u64)
        .ok_or_else(|| fields::invalid("increment", "an integer from -1000000000 to 1000000000, not 0"))
}
