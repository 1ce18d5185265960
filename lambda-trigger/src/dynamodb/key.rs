//! Keys of the tables' items. The rule: every part whose end is not the key's end carries its length, so no two
//! different identities share a key, whatever bytes their ids hold.
//!
//! A counter's partition is `<bytes of the organization>:<organization>/<content>` (`0:/<content>` for public ones)
//! and its sort key `:<client>` (`:` for the client-less one, because DynamoDB knows no empty key). So all counters of
//! one content within one organization are one partition. The longest partition key has 517 bytes of the 2 048 that
//! DynamoDB allows, the longest sort key 257 of 1 024.
//! (<https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/Constraints.html>)

use analytics_shared::{Counter, Id, Scope};
use sha2::{Digest, Sha256};

use crate::store::{Write, WriteKey};

/// 128 bits of a SHA-256: a collision would only make two updates of one tenant under one key look alike.
pub(super) type Fingerprint = [u8; 16];

/// The partition key of all counters of a content within an organization.
pub(super) fn partition(organization: Option<&Id>, content: &Id) -> String {
    let organization = organization.map_or("", Id::as_str);
    format!("{}:{organization}/{content}", organization.len())
}

/// The sort key of a client's counter, or of the client-less one.
pub(super) fn sort(client: Option<&Id>) -> String {
    format!(":{}", client.map_or("", Id::as_str))
}

/// The counter that [`partition`] and [`sort`] name; `None` for keys that they never make.
pub(super) fn counter(partition: &str, sort: &str) -> Option<Counter> {
    let (length, rest) = partition.split_once(':')?;
    let (organization, content) = rest.split_at_checked(length.parse().ok()?)?;
    let content = Id::new(content.strip_prefix('/')?).ok()?;
    let owner = Scope::new(optional(organization)?, optional(sort.strip_prefix(':')?)?).ok()?;
    Some(Counter::new(content, owner))
}

/// The key of an idempotency record: `<organization, as above>/<member of the batch or nothing>/<key>`.
pub(super) fn record(organization: Option<&Id>, key: &WriteKey) -> String {
    let organization = organization.map_or("", Id::as_str);
    let member = key.member.map_or_else(String::new, |member| member.to_string());
    format!("{}:{organization}/{member}/{}", organization.len(), key.key)
}

/// What a write asks for, so that the same key with another update is noticed.
pub(super) fn fingerprint(write: &Write) -> Fingerprint {
    let counter = &write.counter;
    let mut hash = Sha256::new();
    for part in [partition(counter.organization(), counter.content()), sort(counter.client())] {
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part);
    }
    hash.update([write.field.index() as u8]);
    hash.update(write.increment.to_be_bytes());
    let mut fingerprint = Fingerprint::default();
    fingerprint.copy_from_slice(&hash.finalize()[..16]);
    fingerprint
}

/// An id that may be absent, written as nothing; `None` if the text is neither.
fn optional(text: &str) -> Option<Option<Id>> {
    if text.is_empty() { Some(None) } else { Id::new(text).ok().map(Some) }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;
    use std::sync::Arc;

    use analytics_shared::Field;

    use super::*;

    fn id(text: &str) -> Id {
        Id::new(text).expect("a valid id")
    }

    #[test]
    fn no_two_counters_share_a_key_and_each_comes_back_from_its_own() {
        let long = "\u{10ffff}".repeat(64);
        let texts = ["a", "ab", "b", "1", "1:", ":", "/", "a/", "/a", "1:a/b", "0:/", " ", "\u{e9}", long.as_str()];
        let mut counters = Vec::new();
        for content in texts.map(id) {
            counters.push(Counter::new(content.clone(), Scope::public()));
            for organization in texts.map(id) {
                for client in texts.map(|text| Some(id(text))).into_iter().chain([None]) {
                    let owner = Scope::new(Some(organization.clone()), client).expect("no client alone");
                    counters.push(Counter::new(content.clone(), owner));
                }
            }
        }
        let mut seen = HashMap::new();
        for of in counters {
            let keys = (partition(of.organization(), of.content()), sort(of.client()));
            assert!(keys.0.len() <= 2_048 && keys.1.len() <= 1_024);
            assert_eq!(counter(&keys.0, &keys.1).as_ref(), Some(&of));
            assert_eq!(seen.insert(keys, of), None);
        }
    }

    #[test]
    fn keys_that_no_counter_has_are_refused() {
        let wrong = [
            ("", ":"),
            ("a", ":"),
            ("1:a", ":"),
            ("1:a/", ":"),
            ("2:\u{e9}", ":"),
            ("9:a/b", ":"),
            ("1:\u{e9}/b", ":"),
        ];
        for (partition, sort) in wrong.into_iter().chain([("1:a/b", ""), ("1:a/b", "c"), ("0:/b", ":c")]) {
            assert_eq!(counter(partition, sort), None, "{partition:?} {sort:?}");
        }
    }

    #[test]
    fn keys_of_organizations_batches_and_single_calls_never_meet() {
        let key = |text: &str, member| WriteKey { key: Arc::from(text), member };
        let records = [
            record(None, &key("k", None)),
            record(None, &key("k", Some(0))),
            record(None, &key("0/k", None)),
            record(None, &key("/k", None)),
            record(Some(&id("k")), &key("k", None)),
            record(Some(&id("a")), &key("bk", None)),
            record(Some(&id("a/0")), &key("k", None)),
            record(Some(&id("a")), &key("k", Some(0))),
        ];
        for (index, one) in records.iter().enumerate() {
            assert!(!records[..index].contains(one), "{one}");
        }
    }

    #[test]
    fn a_fingerprint_depends_on_counter_field_and_increment() {
        let write = |content: &str, field, increment| Write {
            counter: Counter::new(id(content), Scope::public()),
            field,
            increment,
            key: None,
        };
        let prints = [
            write("a", Field::Views, 1),
            write("b", Field::Views, 1),
            write("a", Field::Likes, 1),
            write("a", Field::Views, -1),
        ]
        .map(|write| fingerprint(&write));
        for (index, print) in prints.iter().enumerate() {
            assert!(!prints[..index].contains(print), "{index}");
        }
    }
}
