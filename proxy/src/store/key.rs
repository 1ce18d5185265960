//! The keys of the store's tables. The rule: every part carries its length, so no two different identities share a
//! key and no identity's key is a prefix of another's.
//!
//! A counter's key is `organization, content, client`, each as a big-endian u16 of its length (0: absent, since ids
//! are never empty) and its bytes. All counters of one content within one organization lie side by side.

use std::ops::Range;

use analytics_shared::{Counter, Id};
use lambda_trigger::store::{Write, WriteKey};
use sha2::{Digest, Sha256};

/// 128 bits of a SHA-256.
pub(super) type Fingerprint = [u8; 16];

/// Puts a counter's key into `key`, replacing what is there.
pub(super) fn counter(counter: &Counter, key: &mut Vec<u8>) {
    let parts = [counter.organization(), Some(counter.content()), counter.client()];
    encode(&parts, key);
}

/// The keys of every counter of a content within an organization, the client-less one first.
pub(super) fn clients(organization: &Id, content: &Id) -> Range<Vec<u8>> {
    let mut first = Vec::new();
    encode(&[Some(organization), Some(content)], &mut first);
    let mut end = first.clone();
    // What follows is a client's length, at most 256: its first byte is 0 or 1.
    end.push(2);
    first..end
}

/// The client's text in a key out of [`clients`], given where that range starts; `None` if the key is malformed.
/// An empty text is the client-less counter.
pub(super) fn client_of<'k>(key: &'k [u8], start: &[u8]) -> Option<&'k str> {
    let (length, text) = key.strip_prefix(start)?.split_first_chunk()?;
    let text = std::str::from_utf8(text).ok()?;
    (text.len() == usize::from(u16::from_be_bytes(*length))).then_some(text)
}

/// The place of an idempotency key: the organization is its namespace, the member tells a batch's keys apart.
///
/// 128 bits suffice: among ten million live keys the chance of any collision is below 10⁻²⁴, and meeting a given
/// key of another tenant on purpose takes 2¹²⁸ tries.
pub(super) fn idempotency(organization: Option<&Id>, key: &WriteKey) -> Fingerprint {
    let member = key.member.map_or(0, |member| u16::from(member) + 1);
    let mut hash = Sha256::new();
    for part in [organization.map_or("", Id::as_str), &key.key] {
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part);
    }
    hash.update(member.to_be_bytes());
    shorten(hash)
}

/// What a write asks for, so that the same key with another update is noticed.
pub(super) fn update(write: &Write, buffer: &mut Vec<u8>) -> Fingerprint {
    counter(&write.counter, buffer);
    let mut hash = Sha256::new();
    hash.update(&buffer);
    hash.update([write.field.index() as u8]);
    hash.update(write.increment.to_be_bytes());
    shorten(hash)
}

fn encode(parts: &[Option<&Id>], key: &mut Vec<u8>) {
    key.clear();
    for part in parts {
        let text = part.map_or("", Id::as_str);
        key.extend_from_slice(&(text.len() as u16).to_be_bytes());
        key.extend_from_slice(text.as_bytes());
    }
}

fn shorten(hash: Sha256) -> Fingerprint {
    let mut short = [0; 16];
    short.copy_from_slice(&hash.finalize()[..16]);
    short
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use analytics_shared::{Field, Scope};

    use super::*;

    fn id(text: &str) -> Id {
        Id::new(text).expect("a valid id")
    }

    fn key_of(organization: Option<&str>, content: &str, client: Option<&str>) -> Vec<u8> {
        let owner = Scope::new(organization.map(id), client.map(id)).expect("no client without organization");
        let mut key = Vec::new();
        counter(&Counter::new(id(content), owner), &mut key);
        key
    }

    #[test]
    fn no_two_counters_share_a_key_or_a_prefix() {
        let long = "x".repeat(256);
        let texts = ["a", "ab", "b", "\u{100}", "a\u{e9}", "\u{10ffff}", " ", long.as_str()];
        let mut keys = Vec::new();
        for content in texts {
            keys.push(key_of(None, content, None));
            for organization in texts {
                keys.push(key_of(Some(organization), content, None));
                keys.extend(texts.map(|client| key_of(Some(organization), content, Some(client))));
            }
        }
        keys.sort();
        // In order, a prefix would stand right before what it is a prefix of.
        for pair in keys.windows(2) {
            assert!(!pair[1].starts_with(&pair[0]), "{pair:?}");
        }
    }

    #[test]
    fn a_range_holds_exactly_its_counters() {
        let long = "c".repeat(256);
        let range = clients(&id("o"), &id("a"));
        for client in ["c", "\u{10ffff}", long.as_str()] {
            let key = key_of(Some("o"), "a", Some(client));
            assert!(range.contains(&key));
            assert_eq!(client_of(&key, &range.start), Some(client));
        }
        let alone = key_of(Some("o"), "a", None);
        assert!(range.contains(&alone));
        assert_eq!(client_of(&alone, &range.start), Some(""));
        let others = [key_of(Some("o"), "aa", None), key_of(Some("oo"), "a", None), key_of(None, "a", None)];
        for key in others.iter().chain(&[key_of(Some("o"), "b", Some("c")), key_of(Some("a"), "o", None)]) {
            assert!(!range.contains(key));
        }
    }

    #[test]
    fn keys_of_organizations_batches_and_single_calls_never_meet() {
        let key = |text: &str, member| WriteKey { key: Arc::from(text), member };
        let places = [
            idempotency(None, &key("k", None)),
            idempotency(None, &key("k", Some(0))),
            idempotency(None, &key("k", Some(255))),
            idempotency(Some(&id("k")), &key("k", None)),
            idempotency(Some(&id("a")), &key("bk", None)),
            idempotency(Some(&id("ab")), &key("k", None)),
        ];
        for (index, place) in places.iter().enumerate() {
            assert!(!places[..index].contains(place), "{index}");
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
        .map(|write| update(&write, &mut Vec::new()));
        for (index, print) in prints.iter().enumerate() {
            assert!(!prints[..index].contains(print), "{index}");
        }
    }
}
