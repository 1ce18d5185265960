//! The `trigger-update` handler: counts increments exactly once and answers what was counted.
//!
//! A plain function from request to response over a [`CounterStore`]. It has two homes, chosen by configuration
//! alone: the proxy process (over the embedded store) and AWS Lambda (over DynamoDB). Nothing here knows which.
//!
//! | file | subject |
//! |---|---|
//! | [`store`] | what the handler asks of a store, and what a store promises |
//! | [`auth`] | from a request's token to an authority |
//! | [`cors`] | which pages may call |
//! | [`handler`] | routes, and what they answer |
//! | [`dynamodb`] | the store in DynamoDB |
//! | [`reply`] | JSON answers and errors |

pub mod auth;
pub mod cors;
pub mod dynamodb;
pub mod handler;
pub mod reply;
pub mod store;

pub use handler::Handler;
pub use store::{Announce, CounterStore};
