//! Live content counts at the edge: WebSocket connections taken out of Pingora, every change of a content's counts
//! pushed to whoever watches it.
//!
//! A plugin for any Pingora service ([`Edge`], [`EdgeHandle`]); the binary beside it is a ready-made edge built from
//! nothing but this library. The files are the way of a connection, in order:
//!
//! | file | what happens there |
//! |---|---|
//! | `listener`, `stream`, `tls` | the binary accepts, plain and TLS, with a deadline for every request's head |
//! | `edge` | the plugin: what is built, what the host calls |
//! | `handshake` | is it ours, is it valid? |
//! | `admission` | is there room? |
//! | `takeover`, `bridge` | out of Pingora's hands, every byte in order |
//! | `hub` | the thread that owns it from then on |
//! | `feed` | committed changes on their way to the hubs |
//! | `store` | the embedded counter store |
//! | `api` | HTTP calls, answered by `lambda_trigger` |
//! | `forward` | or by a function elsewhere |
//! | `presence` | the other proxies learn how many sockets are open here |
//! | `events`, `metrics` | what hosts and operators learn |
//! | `config`, `host`, `logging` | the binary's settings, its `ProxyHttp`, its log |

mod admission;
mod api;
mod bridge;
mod edge;
mod events;
mod feed;
#[cfg(test)]
mod fixtures;
mod forward;
mod handshake;
mod hub;
mod metrics;
mod page;
mod presence;
mod stream;
mod takeover;

pub mod config;
pub mod host;
pub mod listener;
pub mod logging;
pub mod store;
pub mod tls;

pub use edge::{
    ConfigError, Edge, EdgeBuilder, EdgeConfig, EdgeHandle, EdgeStatus, Handled, InFlight, InvalidNetwork, Stage,
    TrustedProxies, UpdateError, Updated,
};
// What a host needs of the crates below, so that it depends on one.
pub use analytics_shared::performance::PerformanceConfig;
pub use analytics_shared::token::{Expectations, Verifier};
pub use analytics_shared::{Code, Failure, Field};
pub use lambda_trigger::auth::Mode;
pub use lambda_trigger::cors::Origins;
pub use lambda_trigger::handler::TriggerError;
pub use lambda_trigger::{CounterStore, Presence};

pub use events::{Closed, ConnId, Events, Opened};
pub use feed::FeedSource;
pub use forward::{InvalidTarget, Target, Trigger};
pub use handshake::PATH;

#[cfg(feature = "instructions")]
#[doc(hidden)]
pub use hub::instructions;
