//! The one kind of message that is measured: a content's views have a new value. The rule: every server sends the same
//! JSON, byte for byte what the edge would send, and it is read by its places, not parsed.

use std::time::{SystemTime, UNIX_EPOCH};

use analytics_shared::message::ServerMessage;
use analytics_shared::{Field, Id, version};
use anyhow::{Context, Result};

use crate::content_id;

/// How every update of a measured content begins, up to the number that its id ends with.
const HEAD: &[u8] = br#"{"type":"analytics_update","contentId":"c0a80101-0000-4000-8000-"#;

/// What follows the id where it is about views. A counter that comes into being is told with all its fields.
const VIEWS: &[u8] = br#"","field":"views","value":"#;

/// The nth content's views have this value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Update {
    /// The n of [`content_id`].
    pub(crate) id: u32,
    pub(crate) value: u64,
}

impl Update {
    /// The update that a JSON text begins with.
    pub(crate) fn read(json: &[u8]) -> Option<Update> {
        let (id, rest) = digits(json.strip_prefix(HEAD)?)?;
        let (value, _) = digits(rest.strip_prefix(VIEWS)?)?;
        Some(Update { id: u32::try_from(id).ok()?, value })
    }
}

/// Writes updates as the edge does.
pub(crate) struct Writer {
    /// Versions are above it, as long as those of a store that is made now.
    base: u64,
}

impl Writer {
    pub(crate) fn new() -> Result<Writer> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs();
        let base = version::base_of_epoch(version::epoch_at(now)).context("the clock is beyond any epoch")?;
        Ok(Writer { base })
    }

    /// Appends an update that happened now.
    pub(crate) fn append(&self, json: &mut Vec<u8>, update: Update) -> Result<()> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH)?.as_millis();
        let message = ServerMessage::AnalyticsUpdate {
            content_id: &Id::new(&content_id(update.id as usize))?,
            field: Field::Views,
            value: update.value,
            timestamp: u64::try_from(now)?,
            organization_id: None,
            client_id: None,
            version: self.base + update.value,
        };
        message.write_to(json);
        Ok(())
    }
}

/// The whole number at the beginning, and what follows it.
fn digits(bytes: &[u8]) -> Option<(u64, &[u8])> {
    let length = bytes.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let (digits, rest) = bytes.split_at(length);
    let number = |number: u64, digit: &u8| number.checked_mul(10)?.checked_add(u64::from(digit - b'0'));
    if digits.is_empty() { None } else { Some((digits.iter().try_fold(0, number)?, rest)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        let mut json = Vec::new();
        let update = Update { id: 9_999, value: 42 };
        Writer::new().expect("a clock").append(&mut json, update).expect("a valid id");
        assert_eq!(Update::read(&json), Some(update));
        let cut = json.windows(2).position(|window| window == b"42").expect("the value is there");
        assert_eq!(Update::read(&json[..cut]), None, "no value, no update");
    }

    #[test]
    fn only_updates_of_views_are_read() {
        let likes = [HEAD, br#"000000000001","field":"likes","value":42}"#].concat();
        assert_eq!(Update::read(&likes), None);
        assert_eq!(Update::read(br#"{"type":"pong","field":"views","value":42}"#), None);
        let endless = [HEAD, b"000000000001", VIEWS, &[b'9'; 30]].concat();
        assert_eq!(Update::read(&endless), None, "no number of 64 bits");
    }
}
