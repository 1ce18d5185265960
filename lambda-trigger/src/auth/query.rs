//! A request's query string, as HTML forms write it. The rule: a name or value that does not decode exactly is
//! nobody's: reading is strict and total, and never guesses.

use std::borrow::Cow;

/// One `name=value` of a query, still encoded.
#[derive(Clone, Copy)]
pub(crate) struct Pair<'q> {
    name: &'q str,
    value: &'q str,
}

/// The pairs of a query (without its `?`) in order; empty segments are skipped, a missing `=` is an empty value.
pub(crate) fn pairs(query: &str) -> impl Iterator<Item = Pair<'_>> {
    query.split('&').filter(|segment| !segment.is_empty()).map(Pair::of)
}

impl<'q> Pair<'q> {
    pub(crate) fn of(segment: &'q str) -> Pair<'q> {
        let (name, value) = segment.split_once('=').unwrap_or((segment, ""));
        Pair { name, value }
    }

    /// The decoded name; `None` where it does not decode.
    pub(crate) fn name(&self) -> Option<Cow<'q, str>> {
        decode(self.name)
    }

    /// The decoded value; `None` where it does not decode.
    pub(crate) fn value(&self) -> Option<Cow<'q, str>> {
        decode(self.value)
    }
}

/// Decodes `%XX` and `+`; `None` for a `%` without two hex digits behind it, and for bytes that are not UTF-8.
fn decode(text: &str) -> Option<Cow<'_, str>> {
    if !text.contains(['%', '+']) {
        return Some(Cow::Borrowed(text));
    }
    let mut decoded = Vec::with_capacity(text.len());
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        decoded.push(match byte {
            b'+' => b' ',
            b'%' => hex(bytes.next()?)? << 4 | hex(bytes.next()?)?,
            _ => byte,
        });
    }
    String::from_utf8(decoded).ok().map(Cow::Owned)
}

fn hex(digit: u8) -> Option<u8> {
    char::from(digit).to_digit(16).map(|value| value as u8)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decodes_like_a_form_and_strictly() {
        for (text, decoded) in [
            ("", Some("")),
            ("a", Some("a")),
            ("a+b%20c", Some("a b c")),
            ("a%2Cb%2cc", Some("a,b,c")),
            ("%C3%A9é", Some("éé")),
            ("%2B", Some("+")),
            ("%00", Some("\0")),
            ("%", None),
            ("%2", None),
            ("%2g", None),
            ("%+1", None),
            ("%FF", None),
            ("%C3", None),
        ] {
            assert_eq!(decode(text).as_deref(), decoded, "{text}");
        }
    }

    #[test]
    fn splits_at_the_first_equals_sign_and_skips_empty_segments() {
        let pairs: Vec<_> = pairs("&a=1=2&&b&=c&").map(|pair| (pair.name, pair.value)).collect();
        assert_eq!(pairs, [("a", "1=2"), ("b", ""), ("", "c")]);
    }
}
