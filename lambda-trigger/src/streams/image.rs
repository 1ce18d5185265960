//! Images of the stream as items. The rule: an image is an item as the store wrote it, so what it means is decided in
//! one place for both, and only how its attributes are written down differs.

use std::collections::HashMap;

use aws_sdk_dynamodbstreams::types::AttributeValue;
use serde::Deserialize;

use crate::dynamodb::Attributes;

/// An image of the Streams API.
pub type StreamImage = HashMap<String, AttributeValue>;

/// An image of a Lambda event: `{"views":{"N":"3"},…}`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(transparent)]
pub struct EventImage(HashMap<String, EventValue>);

/// A value of a Lambda event; of the ten types that there are, those that a counter has.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
struct EventValue {
    #[serde(rename = "S")]
    string: Option<String>,
    #[serde(rename = "N")]
    number: Option<String>,
}

impl Attributes for StreamImage {
    fn string(&self, name: &str) -> Option<&str> {
        self.get(name).and_then(|value| value.as_s().ok()).map(String::as_str)
    }

    fn number(&self, name: &str) -> Option<&str> {
        self.get(name).and_then(|value| value.as_n().ok()).map(String::as_str)
    }
}

impl Attributes for EventImage {
    fn string(&self, name: &str) -> Option<&str> {
        self.0.get(name)?.string.as_deref()
    }

    fn number(&self, name: &str) -> Option<&str> {
        self.0.get(name)?.number.as_deref()
    }
}
