//! The `trigger-update` handler: counts increments exactly once and answers what was counted.
//!
//! A plain function from request to response over a [`CounterStore`]. It has two homes, chosen by configuration
//! alone: the proxy process (over the embedded store) and AWS Lambda (over DynamoDB). Nothing here knows which.
//!
//! | file | subject |
//! |---|---|
//! | [`store`] | what the handler asks of a store, and what a store promises |
//! | [`presence`] | what the handler asks of a table of proxies |
//! | [`auth`] | from a request's token to an authority |
//! | [`cors`] | which pages may call |
//! | [`handler`] | routes, and what they answer |
//! | [`dynamodb`] | the store in DynamoDB |
//! | [`reply`] | JSON answers and errors |
//! | [`streams`] | the DynamoDB Stream of the counters' table, read shard by shard |
//! | [`changelog`] | the log of changes in NATS JetStream: names, subjects, messages |
//! | [`relay`] | from the one into the other |
//! | [`nats`] | how a process reaches NATS |
//! | [`settings`] | settings that several programs have in common |
//! | [`function`], [`invocation`], [`deadline`] | the handler as a Lambda function; how long one call may take |
//! | [`logging`] | the log in a Lambda |
//! | [`home`] | a runtime of one's own, where connections live |

pub mod auth;
pub mod changelog;
pub mod cors;
pub mod deadline;
pub mod dynamodb;
pub mod function;
pub mod handler;
pub mod home;
pub mod invocation;
pub mod logging;
pub mod nats;
pub mod presence;
pub mod relay;
pub mod reply;
pub mod settings;
pub mod store;
pub mod streams;

pub use handler::Handler;
pub use presence::Presence;
pub use store::{Announce, CounterStore};
