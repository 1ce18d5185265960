//! Ids of contents, organizations and clients. The rule: an [`Id`] that exists is valid.
//!
//! 1–256 bytes of UTF-8 without control characters (Unicode category Cc), compared byte by byte, never trimmed.

use std::borrow::Borrow;
use std::fmt;
use std::sync::Arc;

use serde::{Serialize, Serializer};

/// A content, organization or client id. Cloning shares the text.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Id(Arc<str>);

/// What an id may be, for a person; completes "`<field>` must be …".
pub const ALLOWED: &str = "a string of 1 to 256 bytes of UTF-8 without control characters";

/// The text is empty, longer than [`Id::MAX_BYTES`], or holds a control character.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("an id must be {ALLOWED}")]
pub struct InvalidId;

impl Id {
    /// The longest id, in bytes of UTF-8.
    pub const MAX_BYTES: usize = 256;

    /// Takes a text as an id if it is one.
    pub fn new(text: &str) -> Result<Id, InvalidId> {
        let valid = (1..=Id::MAX_BYTES).contains(&text.len()) && !has_control(text);
        if valid { Ok(Id(Arc::from(text))) } else { Err(InvalidId) }
    }

    /// The id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Whether a text holds a control character. Nearly every id is ASCII, and bytes are looked at faster than characters.
fn has_control(text: &str) -> bool {
    if text.is_ascii() { text.bytes().any(|byte| byte.is_ascii_control()) } else { text.chars().any(char::is_control) }
}

impl Borrow<str> for Id {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

impl fmt::Display for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Serialize for Id {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}
