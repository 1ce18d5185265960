//! What the handler asks of a table of proxies. The rule: it tells a statistic; nothing waits for it that counts or shows
//! counts.

use async_trait::async_trait;

/// Which proxies live, and how many sockets each has open.
#[async_trait]
pub trait Presence: Send + Sync + 'static {
    /// Says that a proxy lives and has this many sockets open. `proxy` is its name for itself, 1 to 1 024 bytes, which no
    /// other process has.
    ///
    /// # Errors
    /// What is in the way; it may have been written all the same.
    async fn beat(&self, proxy: &str, connections: u64) -> Result<(), PresenceError>;

    /// Says that a proxy has ended. One that does not say so stops counting by itself.
    ///
    /// # Errors
    /// What is in the way.
    async fn leave(&self, proxy: &str) -> Result<(), PresenceError>;

    /// The open sockets of all proxies seen in the last 30 seconds.
    ///
    /// # Errors
    /// What is in the way.
    async fn connected(&self) -> Result<u64, PresenceError>;
}

/// The table could not be written or read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the table of proxies is out of reach: {0}")]
pub struct PresenceError(pub String);
