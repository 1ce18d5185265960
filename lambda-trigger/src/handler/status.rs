//! `GET trigger-update`. The rule: what the handler knows of the process around it, it asks through [`Status`].

use analytics_shared::{Code, Failure};
use async_trait::async_trait;
use bytes::Bytes;
use http::{Response, StatusCode};
use serde::Serialize;

use super::Handler;
use crate::reply;
use crate::store::Unreadable;

/// The state of the process that runs a handler.
#[async_trait]
pub trait Status: Send + Sync + 'static {
    /// Whether plausible increments are being made up.
    fn simulation_running(&self) -> bool;

    /// Open sockets of every proxy seen in the last 30 seconds.
    async fn connected_clients(&self) -> Result<u64, Unreadable>;

    /// Now, in milliseconds since the Unix epoch.
    fn now_ms(&self) -> u64;
}

/// The answer to `GET trigger-update`.
#[derive(Serialize)]
#[cfg_attr(test, derive(ts_rs::TS), ts(rename = "StatusAnswer"))]
pub(super) struct Body {
    status: Report,
}

/// The state of the process that answers.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(test, derive(ts_rs::TS), ts(rename = "StatusReport"))]
pub(super) struct Report {
    /// Whether plausible increments are being made up.
    simulation_running: bool,
    /// Open sockets of every proxy seen in the last 30 seconds.
    connected_clients: u64,
    /// Now, in milliseconds since the Unix epoch.
    timestamp: u64,
}

impl Handler {
    pub(super) async fn status(&self) -> Response<Bytes> {
        let status = &self.config.status;
        match status.connected_clients().await {
            Ok(connected_clients) => {
                let simulation_running = status.simulation_running();
                let status = Report { simulation_running, connected_clients, timestamp: status.now_ms() };
                reply::json(StatusCode::OK, &Body { status })
            }
            Err(unreadable) => reply::failure(&Failure::new(Code::Unavailable, unreadable.to_string())),
        }
    }
}
