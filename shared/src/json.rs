//! JSON as it comes from outside, as far as anybody asks. The rule: of a field that no message and no body knows nothing
//! is kept, and texts are borrowed where they stand.
//!
//! `serde_json::Value` would do; it copies every text and every name, and keeps whatever a caller adds.

use std::borrow::Cow;
use std::fmt;

use serde::de::{self, Deserialize, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};

/// The names that are known. Other members of an object are skipped.
const NAMES: [&str; 10] =
    ["type", "contentId", "contentIds", "organizationId", "clientId", "field", "increment", "updates", "mode", "token"];

/// A value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Node<'t> {
    Null,
    Text(Cow<'t, str>),
    Integer(i64),
    List(Vec<Node<'t>>),
    Object(Object<'t>),
    /// What no field of ours may be: a truth value, a fraction, an integer beyond 64 bits.
    Other,
}

/// The known members of an object; of several with one name the last counts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Object<'t>(Vec<(&'static str, Node<'t>)>);

/// Reads a text.
pub(crate) fn parse(text: &[u8]) -> Result<Node<'_>, serde_json::Error> {
    // At once, for what is skipped is not looked at closely.
    let text = str::from_utf8(text).map_err(de::Error::custom)?;
    serde_json::from_str(text)
}

impl<'t> Node<'t> {
    pub(crate) fn as_str(&self) -> Option<&str> {
        match self {
            Node::Text(text) => Some(text),
            _ => None,
        }
    }

    pub(crate) fn as_integer(&self) -> Option<i64> {
        match self {
            Node::Integer(integer) => Some(*integer),
            _ => None,
        }
    }

    pub(crate) fn as_list(&self) -> Option<&[Node<'t>]> {
        match self {
            Node::List(list) => Some(list),
            _ => None,
        }
    }

    pub(crate) fn as_object(&self) -> Option<&Object<'t>> {
        match self {
            Node::Object(object) => Some(object),
            _ => None,
        }
    }
}

impl<'t> Object<'t> {
    /// A member, by a known name.
    pub(crate) fn get(&self, name: &str) -> Option<&Node<'t>> {
        debug_assert!(NAMES.contains(&name), "{name} is skipped: add it to the names");
        self.0.iter().find(|(known, _)| *known == name).map(|(_, node)| node)
    }
}

impl<'de: 't, 't> Deserialize<'de> for Node<'t> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Node<'t>, D::Error> {
        deserializer.deserialize_any(OfNode)
    }
}

/// A member's name, if it is known.
struct Name(Option<&'static str>);

impl<'de> Deserialize<'de> for Name {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Name, D::Error> {
        deserializer.deserialize_str(OfName)
    }
}

struct OfName;

impl Visitor<'_> for OfName {
    type Value = Name;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a name")
    }

    fn visit_str<E>(self, name: &str) -> Result<Name, E> {
        Ok(Name(NAMES.into_iter().find(|known| *known == name)))
    }
}

struct OfNode;

impl<'de> Visitor<'de> for OfNode {
    type Value = Node<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any JSON value")
    }

    fn visit_unit<E>(self) -> Result<Node<'de>, E> {
        Ok(Node::Null)
    }

    fn visit_bool<E>(self, _: bool) -> Result<Node<'de>, E> {
        Ok(Node::Other)
    }

    fn visit_i64<E>(self, integer: i64) -> Result<Node<'de>, E> {
        Ok(Node::Integer(integer))
    }

    fn visit_u64<E>(self, integer: u64) -> Result<Node<'de>, E> {
        Ok(i64::try_from(integer).map_or(Node::Other, Node::Integer))
    }

    fn visit_f64<E>(self, _: f64) -> Result<Node<'de>, E> {
        Ok(Node::Other)
    }

    fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Node<'de>, E> {
        Ok(Node::Text(Cow::Borrowed(text)))
    }

    fn visit_str<E>(self, text: &str) -> Result<Node<'de>, E> {
        Ok(Node::Text(Cow::Owned(text.to_owned())))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Node<'de>, A::Error> {
        let mut nodes = Vec::new();
        while let Some(node) = list.next_element()? {
            nodes.push(node);
        }
        Ok(Node::List(nodes))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Node<'de>, A::Error> {
        let mut known = Vec::new();
        while let Some(Name(name)) = members.next_key()? {
            match name {
                Some(name) => {
                    let value = members.next_value()?;
                    // In the place of an earlier one, so that repeats take no room.
                    match known.iter_mut().find(|(earlier, _)| *earlier == name) {
                        Some(member) => member.1 = value,
                        None => known.push((name, value)),
                    }
                }
                None => drop(members.next_value::<IgnoredAny>()?),
            }
        }
        Ok(Node::Object(Object(known)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn object(text: &str) -> Object<'_> {
        match parse(text.as_bytes()) {
            Ok(Node::Object(object)) => object,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn known_members_are_kept_and_others_skipped() {
        let object =
            object(r#" {"type":"a\n","x":{"type":[1,{}]},"increment":-7,"updates":[null,{"y":0}],"token":true} "#);
        assert_eq!(object.get("type").and_then(Node::as_str), Some("a\n"));
        assert_eq!(object.get("increment").and_then(Node::as_integer), Some(-7));
        assert_eq!(object.get("updates"), Some(&Node::List(vec![Node::Null, Node::Object(Object(Vec::new()))])));
        assert_eq!(object.get("token"), Some(&Node::Other));
        assert_eq!(object.get("mode"), None);
        assert_eq!(object.0.len(), 4);
    }

    #[test]
    fn of_several_members_with_one_name_the_last_counts() {
        let object = object(r#"{"type":1,"type":"b"}"#);
        assert_eq!(object.get("type").and_then(Node::as_str), Some("b"));
        assert_eq!(object.0.len(), 1, "the one before takes no room");
    }

    #[test]
    fn only_integers_of_64_bits_are_integers() {
        for (text, integer) in [
            ("9223372036854775807", Some(i64::MAX)),
            ("-9223372036854775808", Some(i64::MIN)),
            ("9223372036854775808", None),
            ("1.0", None),
            ("1e2", None),
            ("\"1\"", None),
        ] {
            assert_eq!(parse(text.as_bytes()).expect("valid JSON").as_integer(), integer, "{text}");
        }
    }

    #[test]
    fn what_is_no_json_is_refused_in_what_is_skipped_too() {
        for text in [
            &b""[..],
            b"{",
            b"{\"x\":}",
            b"{\"x\":tru}",
            b"{\"x\":\"\\q\"}",
            b"{\"x\":[1,]}",
            b"{} {}",
            b"{\"x\":\"\xff\"}",
            b"{\"\xff\":1}",
        ] {
            assert!(parse(text).is_err(), "{}", String::from_utf8_lossy(text));
        }
        let deep = "[".repeat(100_000);
        assert!(parse(deep.as_bytes()).is_err());
        assert!(parse(format!("{{\"x\":{deep}").as_bytes()).is_err());
    }
}
