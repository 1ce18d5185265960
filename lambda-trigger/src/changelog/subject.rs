//! Subjects of the log: `<prefix>.<organization or _>.<content>.<client or _>`. The rule: any id makes exactly one
//! token, no two ids the same one, and none reads as a wildcard, a separator or "none".
//!
//! Letters, digits and `-` stand for themselves; every other byte of the id's UTF-8 is written `=` and two hexadecimal
//! digits, so also `_`, which alone means "none". A token is at most three times as long as its id, a subject below
//! the 4096 bytes that a NATS server takes on one line.

use std::fmt::Write;

use analytics_shared::{Counter, Id, Scope};

use super::Changelog;

/// Stands for an organization or client that a counter does not have.
const NONE: &str = "_";

impl Changelog {
    /// The subject of a counter's changes.
    pub fn subject(&self, counter: &Counter) -> String {
        let named = |id: Option<&Id>| id.map_or(NONE.to_owned(), |id| token(id.as_str()));
        let (organization, client) = (named(counter.organization()), named(counter.client()));
        format!("{}.{organization}.{}.{client}", self.prefix, token(counter.content().as_str()))
    }

    /// The counter of a subject; `None` if the subject is none of ours.
    pub fn counter(&self, subject: &str) -> Option<Counter> {
        let mut tokens = subject.strip_prefix(self.prefix.as_str())?.strip_prefix('.')?.split('.');
        let (organization, content, client) = (tokens.next()?, tokens.next()?, tokens.next()?);
        if tokens.next().is_some() {
            return None;
        }
        let named = |token: &str| if token == NONE { Some(None) } else { id(token).map(Some) };
        let owner = Scope::new(named(organization)?, named(client)?).ok()?;
        Some(Counter::new(id(content)?, owner))
    }

    /// A filter for the changes of one organization; `None` is the public one.
    pub fn of_organization(&self, organization: Option<&Id>) -> String {
        let organization = organization.map_or(NONE.to_owned(), |id| token(id.as_str()));
        format!("{}.{organization}.>", self.prefix)
    }

    /// A filter for every change.
    pub fn everything(&self) -> String {
        format!("{}.>", self.prefix)
    }
}

/// A text as one token of a subject.
pub fn token(text: &str) -> String {
    let mut token = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || byte == b'-' {
            token.push(char::from(byte));
        } else {
            // Writing to a `String` cannot fail.
            let _ = write!(token, "={byte:02X}");
        }
    }
    token
}

/// The id of a token, if the token is exactly what [`token`] makes of one.
fn id(text: &str) -> Option<Id> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        bytes.push(if byte == b'=' { digit(rest.next()?)? << 4 | digit(rest.next()?)? } else { byte });
    }
    let id = Id::new(std::str::from_utf8(&bytes).ok()?).ok()?;
    (token(id.as_str()) == text).then_some(id)
}

fn digit(byte: u8) -> Option<u8> {
    char::from(byte).to_digit(16).map(|digit| digit as u8)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn any_id() -> impl Strategy<Value = Id> {
        let text = prop_oneof![
            "[_.*>= /\\\\a-zA-Z0-9-]{1,12}",
            "\\PC{1,64}",
            // The longest tokens: every byte is escaped.
            "[\u{e9}\u{4e2d}\u{1f600}]{64}",
        ];
        text.prop_filter_map("not an id", |text| Id::new(&text).ok())
    }

    fn any_counter() -> impl Strategy<Value = Counter> {
        (any_id(), prop::option::of((any_id(), prop::option::of(any_id())))).prop_map(|(content, owner)| {
            let (organization, client) = owner.map_or((None, None), |(id, client)| (Some(id), client));
            Counter::new(content, Scope::new(organization, client).expect("a client has its organization"))
        })
    }

    fn log() -> Changelog {
        Changelog::of_tables("analytics")
    }

    proptest! {
        #[test]
        fn a_counter_comes_back_from_its_subject(counter in any_counter()) {
            let subject = log().subject(&counter);
            prop_assert!(subject.len() < 4096 / 2 || counter.content().as_str().len() > 64);
            prop_assert_eq!(subject.split('.').count(), 4);
            prop_assert!(subject.split('.').all(|token| !token.is_empty()));
            prop_assert!(subject.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'*' && byte != b'>'));
            prop_assert_eq!(log().counter(&subject), Some(counter));
        }

        #[test]
        fn different_counters_have_different_subjects(one in any_counter(), other in any_counter()) {
            prop_assert_eq!(one == other, log().subject(&one) == log().subject(&other));
        }

        #[test]
        fn a_filter_holds_exactly_its_organization(counter in any_counter(), organization in prop::option::of(any_id())) {
            let filter = log().of_organization(organization.as_ref());
            let covers = log().subject(&counter).starts_with(filter.trim_end_matches('>'));
            prop_assert_eq!(covers, counter.organization() == organization.as_ref());
        }

        #[test]
        fn no_subject_is_read_wrongly(subject in "analytics\\.[_.=a-fA-F0-9]{0,20}") {
            if let Some(counter) = log().counter(&subject) {
                prop_assert_eq!(log().subject(&counter), subject);
            }
        }
    }

    #[test]
    fn an_id_of_only_an_underscore_is_not_none() {
        let id = Id::new("_").expect("a valid id");
        let counter = Counter::new(id.clone(), Scope::new(Some(id.clone()), Some(id)).expect("a valid scope"));
        assert_eq!(log().subject(&counter), "analytics.=5F.=5F.=5F");
    }
}
