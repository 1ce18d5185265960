//! The vocabulary of the live-counts edge, shared by the proxy, the Lambda, the tests and (by its generated
//! vectors and golden files) the TypeScript client.
//!
//! Pure by rule: no I/O, no runtime, no clock. Whatever needs the time is told it ([`token::Verifier::verify`] alone
//! asks the system, for `verify_at`). One file, one subject:
//!
//! | file | subject |
//! |---|---|
//! | [`id`] | what an id may be |
//! | [`tenant`] | counters, scopes, authorities: who sees what |
//! | [`counts`] | the four counts, their version and their merge |
//! | [`version`] | epochs, bases and the versions above them |
//! | [`message`] | the WebSocket messages |
//! | [`update`] | the body of `trigger-update` |
//! | [`fields`] | reading named fields out of JSON (`json`) with errors that name them |
//! | [`code`] | the closed list of error codes |
//! | [`close`] | WebSocket close codes and what a client does after them |
//! | [`token`] | token claims and their verification |
//! | [`performance`] | thresholds, score, rating, trending |

pub mod close;
pub mod code;
pub mod counts;
pub mod fields;
pub mod id;
mod json;
pub mod message;
pub mod performance;
pub mod tenant;
pub mod token;
pub mod update;
pub mod version;

#[cfg(test)]
mod generated;
#[cfg(test)]
mod typescript;

pub use code::{Code, Failure};
pub use counts::{CounterState, Counts, Field, OutOfRange};
pub use id::Id;
pub use tenant::{Authority, Counter, Scope, Topic};
