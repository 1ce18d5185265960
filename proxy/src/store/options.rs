//! How an embedded store is set up. The rule: every bound has a default, and the default says what it costs.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Tells the time in milliseconds since the Unix epoch. It may jump or run backwards.
pub type Clock = Arc<dyn Fn() -> u64 + Send + Sync>;

/// Where an embedded store lives, and its limits.
#[derive(Clone)]
pub struct EmbeddedOptions {
    /// The directory of the store's file, created if it is missing.
    pub dir: PathBuf,
    /// Starts a new epoch, so that this store wins over everything that browsers and proxies remember: for a file
    /// that was restored from a backup.
    pub new_epoch: bool,
    /// How long [`open`](super::EmbeddedStore::open) waits while another process has the file. Default: not at all.
    /// An upgrade waits, because the old process closes its store only once it drains.
    pub lock_wait: Duration,
    /// Writes that may wait for the writer; beyond, they are refused as unavailable. Those of calls with several may
    /// fill half of it, so that single ones find room. Default 65 536, about one second of work and 20 MB.
    pub queued_writes: usize,
    /// Writes gathered into one transaction. Default 1 024: one sync of the disk is then spread thinly enough, and
    /// a transaction stays within a few milliseconds.
    pub transaction_writes: usize,
    /// Topics that may wait for the reader; beyond, reads are refused. Default 65 536.
    pub queued_topics: usize,
    /// Idempotency keys remembered at once, each for 24 hours; beyond, keyed writes are refused rather than a key
    /// forgotten early. Default 10 000 000, about 1.5 GB of disk and 115 keyed writes per second all day.
    pub keys: u64,
    /// Memory for pages of the file. Default 64 MiB.
    pub cache_bytes: usize,
    /// The time. Default: the system's.
    pub clock: Clock,
}

impl EmbeddedOptions {
    /// The defaults, for a store in `dir`.
    pub fn new(dir: impl Into<PathBuf>) -> EmbeddedOptions {
        EmbeddedOptions {
            dir: dir.into(),
            new_epoch: false,
            lock_wait: Duration::ZERO,
            queued_writes: 65_536,
            transaction_writes: 1_024,
            queued_topics: 65_536,
            keys: 10_000_000,
            cache_bytes: 64 << 20,
            clock: Arc::new(system_clock),
        }
    }
}

fn system_clock() -> u64 {
    // A clock before 1970 is as good as one that says 1970: all that hangs on it tolerates a wrong time.
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |age| age.as_millis() as u64)
}
