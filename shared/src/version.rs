//! Epochs and versions. The rule: a store's versions lie above its base, and a later epoch's base lies above
//! everything that an earlier epoch could reach.
//!
//! `base = epoch × 2^22`. A counter's first version is `base + 1`; a reader presents `max(version, base)`; a client
//! forgets what it remembers below the base. So a store that was wiped, or restored to an older state under a
//! raised epoch, wins over what browsers and proxies remember. With one epoch a second since 2020-01-01, versions
//! stay below 2^53 until 2088.

/// The largest integer that every JavaScript number holds exactly, 2^53−1.
pub const MAX_SAFE: u64 = (1 << 53) - 1;

/// Versions per epoch.
const SPAN: u64 = 1 << 22;

/// 2020-01-01T00:00:00Z in seconds since the Unix epoch.
const FIRST_EPOCH: u64 = 1_577_836_800;

/// The largest epoch whose versions stay within [`MAX_SAFE`].
pub const MAX_EPOCH: u64 = MAX_SAFE / SPAN - 1;

/// The base of an epoch, or `None` beyond [`MAX_EPOCH`].
pub fn base_of_epoch(epoch: u64) -> Option<u64> {
    (epoch <= MAX_EPOCH).then_some(epoch * SPAN)
}

/// The epoch of a store created at a time given in seconds since the Unix epoch.
pub fn epoch_at(unix_seconds: u64) -> u64 {
    unix_seconds.saturating_sub(FIRST_EPOCH).min(MAX_EPOCH)
}

/// The version after `current` in a store with this base.
pub fn next(current: u64, base: u64) -> u64 {
    current.max(base) + 1
}
