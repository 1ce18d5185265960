//! From the DynamoDB Stream to the log of changes in NATS. The rule: a record counts as read only after JetStream has
//! acknowledged the state that it leads to.
//!
//! One core, two homes: a process that polls the stream ([`process`]) and a Lambda with an event source mapping
//! ([`event`]). Processes side by side elect one, so that a shard keeps to its two readers; should two ever publish at
//! once, versions sort it out.
//!
//! | file | subject |
//! |---|---|
//! | [`publisher`] | states into the log |
//! | [`places`] | places in shards, kept in a NATS bucket |
//! | [`lease`] | who of several processes reads |
//! | [`process`] | the poller's life |
//! | [`event`] | a Lambda's event, and which of its records come again |

pub mod event;
pub mod lease;
pub mod places;
pub mod process;
pub mod publisher;

pub use process::{Relay, RelayOptions};
pub use publisher::Publisher;
