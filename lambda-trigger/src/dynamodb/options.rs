//! How a DynamoDB store is set up. The rule: every bound has a default, and the default says what it costs.

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::tables::Tables;

/// Tells the time in milliseconds since the Unix epoch. It may jump or run backwards.
pub type Clock = Arc<dyn Fn() -> u64 + Send + Sync>;

/// Which tables a store has, and its limits.
#[derive(Clone)]
pub struct DynamoOptions {
    /// The names of its tables.
    pub tables: Tables,
    /// The epoch whose base is the store's lowest version, raised after a restore. Default 0.
    pub epoch: u64,
    /// How long one call of `apply` or `read` may take, its waiting included. Default 8 s.
    pub deadline: Duration,
    /// How long one request may take. Default 2 s: hundreds of times what DynamoDB needs, and the time after which a
    /// keyless write is answered as unknown.
    pub attempt: Duration,
    /// How often one write or one page of a read is tried. Default 10, with pauses of up to 2 s in all: enough for
    /// 32 transactions at once on one counter.
    pub attempts: u32,
    /// Requests that one call has under way at once. Default 16.
    pub concurrency: usize,
    /// Writes that may be under way or wait; beyond, they are refused as unavailable. Default 65 536, about 20 MB.
    pub queued_writes: usize,
    /// The time. Default: the system's.
    pub clock: Clock,
}

impl DynamoOptions {
    /// The defaults, for a store in these tables.
    pub fn new(tables: Tables) -> DynamoOptions {
        DynamoOptions {
            tables,
            epoch: 0,
            deadline: Duration::from_secs(8),
            attempt: Duration::from_secs(2),
            attempts: 10,
            concurrency: 16,
            queued_writes: 65_536,
            clock: Arc::new(system_clock),
        }
    }
}

/// The system's time.
pub(super) fn system_clock() -> u64 {
    // A clock before 1970 is as good as one that says 1970: nothing that hangs on it loses or doubles a count.
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |age| age.as_millis() as u64)
}
