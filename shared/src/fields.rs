//! Named fields out of a JSON object. The rule: whatever is wrong with a field, the error names it and says what
//! is allowed; `null` means absent and fields nobody asks for are ignored.

use crate::id::{self, Id};
use crate::json::{Node, Object};
use crate::{Code, Failure, Field};

/// A JSON object whose fields are asked for by name.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Fields<'a>(&'a Object<'a>);

/// A [`Code::InvalidField`] that names the field and what it must be.
pub fn invalid(field: &str, must_be: &str) -> Failure {
    Failure::new(Code::InvalidField, format!("{field} must be {must_be}"))
}

impl<'a> Fields<'a> {
    /// The fields of a value if it is an object.
    pub(crate) fn of(value: &'a Node<'a>) -> Option<Fields<'a>> {
        value.as_object().map(Fields)
    }

    /// The value of a field; `None` where it is absent or `null`.
    pub(crate) fn get(&self, name: &str) -> Option<&'a Node<'a>> {
        self.0.get(name).filter(|value| **value != Node::Null)
    }

    /// A string that may be absent.
    pub(crate) fn optional_str(&self, name: &str) -> Result<Option<&'a str>, Failure> {
        self.get(name).map(|value| value.as_str().ok_or_else(|| invalid(name, "a string"))).transpose()
    }

    /// An id that may be absent.
    pub(crate) fn optional_id(&self, name: &str) -> Result<Option<Id>, Failure> {
        self.get(name).map(|value| id_of(value, name)).transpose()
    }

    /// An id that must be there.
    pub(crate) fn id(&self, name: &str) -> Result<Id, Failure> {
        self.optional_id(name)?.ok_or_else(|| invalid(name, id::ALLOWED))
    }

    /// A list of ids that may be absent: duplicates dropped, order kept.
    pub(crate) fn optional_ids(&self, name: &str, max: usize) -> Result<Option<Vec<Id>>, Failure> {
        let Some(value) = self.get(name) else { return Ok(None) };
        let values = value.as_list().ok_or_else(|| invalid(name, "an array of ids"))?;
        let mut ids = UniqueIds::new(name, max);
        for (index, value) in values.iter().enumerate() {
            let id = value.as_str().and_then(|text| Id::new(text).ok());
            ids.push(id.ok_or_else(|| invalid(&format!("{name}[{index}]"), id::ALLOWED))?)?;
        }
        Ok(Some(ids.into_vec()))
    }

    /// One of the four fields; it must be there.
    pub(crate) fn field(&self, name: &str) -> Result<Field, Failure> {
        let field = self.get(name).and_then(Node::as_str).and_then(Field::named);
        field.ok_or_else(|| invalid(name, "one of views, likes, shares, comments"))
    }
}

fn id_of(value: &Node<'_>, name: &str) -> Result<Id, Failure> {
    value.as_str().and_then(|text| Id::new(text).ok()).ok_or_else(|| invalid(name, id::ALLOWED))
}

/// Collects ids in order, each once, up to a limit.
#[derive(Debug)]
pub struct UniqueIds<'n> {
    name: &'n str,
    max: usize,
    ids: Vec<Id>,
    seen: std::collections::HashSet<Id>,
}

impl<'n> UniqueIds<'n> {
    /// An empty list for the field of this name, to hold at most `max` different ids.
    pub fn new(name: &'n str, max: usize) -> UniqueIds<'n> {
        UniqueIds { name, max, ids: Vec::new(), seen: Default::default() }
    }

    /// Adds an id unless it is there; the limit counts different ids.
    pub fn push(&mut self, id: Id) -> Result<(), Failure> {
        if !self.seen.insert(id.clone()) {
            return Ok(());
        }
        if self.ids.len() == self.max {
            return Err(too_many_ids(self.name, self.max));
        }
        self.ids.push(id);
        Ok(())
    }

    /// The ids in the order in which they were first seen.
    pub fn into_vec(self) -> Vec<Id> {
        self.ids
    }
}

/// A [`Code::TooManyIds`] that names the field and the limit.
pub fn too_many_ids(field: &str, max: usize) -> Failure {
    Failure::new(Code::TooManyIds, format!("{field} must name at most {max} different ids"))
}
