//! The WebSocket messages: one JSON object per text frame. The rule: parsing is total, and a message that is not
//! understood becomes a [`Failure`] for an `error` reply, never the end of a connection.

use std::fmt;

use serde::Serialize;

use crate::counts::Field;
use crate::fields::{self, Fields};
use crate::json::{self, Node};
use crate::{Code, Failure, Id};

/// What a client sends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ClientMessage {
    /// Replaces the subscription, or adds to it.
    Subscribe(Subscribe),
    /// Drops the named ids from the subscription, or all of it.
    Unsubscribe {
        /// The ids to drop; `None` drops all.
        content_ids: Option<Vec<Id>>,
    },
    /// Asks for a `pong`.
    Ping,
    /// Renews the token of the connection.
    Authenticate {
        /// The new token.
        token: Token,
    },
}

/// A token as it came; its `Debug` does not show it.
#[derive(Clone, PartialEq, Eq)]
pub struct Token(pub String);

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(…)")
    }
}

/// The ids and the scope of a `subscribe`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Subscribe {
    /// Each once, in the order named.
    pub content_ids: Vec<Id>,
    /// The organization named, if any.
    pub organization: Option<Id>,
    /// The client named, if any.
    pub client: Option<Id>,
    /// `mode: "add"`: keep what is subscribed.
    pub add: bool,
}

impl ClientMessage {
    /// Reads a text frame. `max_ids` bounds the different ids that one message may name.
    pub fn parse(text: &[u8], max_ids: usize) -> Result<ClientMessage, Failure> {
        let value = json::parse(text)
            .map_err(|error| Failure::new(Code::InvalidJson, format!("the message is not JSON: {error}")))?;
        let fields = Fields::of(&value)
            .ok_or_else(|| Failure::new(Code::InvalidMessage, "the message must be a JSON object"))?;
        match fields.get("type").and_then(Node::as_str) {
            Some("subscribe") => Ok(ClientMessage::Subscribe(Subscribe {
                content_ids: fields
                    .optional_ids("contentIds", max_ids)?
                    .ok_or_else(|| fields::invalid("contentIds", "an array of ids"))?,
                organization: fields.optional_id("organizationId")?,
                client: fields.optional_id("clientId")?,
                add: match fields.optional_str("mode")? {
                    None => false,
                    Some("add") => true,
                    Some(_) => return Err(fields::invalid("mode", "\"add\" or absent")),
                },
            })),
            Some("unsubscribe") => {
                Ok(ClientMessage::Unsubscribe { content_ids: fields.optional_ids("contentIds", max_ids)? })
            }
            Some("ping") => Ok(ClientMessage::Ping),
            Some("authenticate") => {
                let token = fields.optional_str("token")?.filter(|token| !token.is_empty());
                let token = token.ok_or_else(|| fields::invalid("token", "a token as a string"))?;
                Ok(ClientMessage::Authenticate { token: Token(token.to_owned()) })
            }
            _ => Err(Failure::new(
                Code::InvalidMessage,
                "type must be one of subscribe, unsubscribe, ping, authenticate",
            )),
        }
    }
}

/// What the edge sends. Timestamps are milliseconds since the Unix epoch.
#[derive(Debug, Clone, Copy, Serialize)]
#[serde(tag = "type", rename_all = "snake_case", rename_all_fields = "camelCase")]
#[cfg_attr(test, derive(ts_rs::TS), ts(optional_fields))]
pub enum ServerMessage<'a> {
    /// First on every connection.
    Connected {
        /// The connection's id.
        client_id: &'a str,
        /// Now.
        timestamp: u64,
        /// The store's lowest possible version; what a client remembers below it is void.
        base: u64,
    },
    /// The answer to `subscribe`.
    Subscribed {
        /// The ids that the message named.
        content_ids: &'a [Id],
        /// The organization in force.
        #[serde(skip_serializing_if = "Option::is_none")]
        organization_id: Option<&'a Id>,
        /// The client in force.
        #[serde(skip_serializing_if = "Option::is_none")]
        client_id: Option<&'a Id>,
        /// Now.
        timestamp: u64,
    },
    /// A counter's field has this value.
    AnalyticsUpdate {
        /// The content counted.
        content_id: &'a Id,
        /// What is counted.
        field: Field,
        /// The absolute count.
        value: u64,
        /// When the version was committed.
        timestamp: u64,
        /// The counter's organization.
        #[serde(skip_serializing_if = "Option::is_none")]
        organization_id: Option<&'a Id>,
        /// The counter's client.
        #[serde(skip_serializing_if = "Option::is_none")]
        client_id: Option<&'a Id>,
        /// The version of the counter.
        version: u64,
    },
    /// The answer to `ping`.
    Pong {
        /// Now.
        timestamp: u64,
    },
    /// The message before was not understood or is refused.
    Error {
        /// For a person.
        error: &'a str,
        /// For a program.
        code: Code,
        /// Now.
        timestamp: u64,
    },
    /// The answer to `authenticate`.
    Authenticated {
        /// When the new token ends.
        expires_at: u64,
        /// Now.
        timestamp: u64,
    },
}

impl ServerMessage<'_> {
    /// Appends the message's JSON to a buffer.
    pub fn write_to(&self, buffer: &mut Vec<u8>) {
        // Writing plain data into memory cannot fail: no map keys, no foreign `Serialize`, no I/O.
        let written = serde_json::to_writer(buffer, self);
        debug_assert!(written.is_ok());
    }
}
