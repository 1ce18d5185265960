//! Waiting for a condition. The rule: whoever waits names what for, and never longer than a deadline that only a
//! fault can reach.

use std::time::Duration;

use anyhow::{Context, Result, bail};
use tokio::time::{Instant, sleep, timeout};

/// The deadline of every wait: far beyond what a loaded machine needs, so that reaching it means a fault.
pub const LIMIT: Duration = Duration::from_secs(180);

/// Between two looks at a condition.
const INTERVAL: Duration = Duration::from_millis(5);

/// Waits until `probe` gives a value. Fails after [`LIMIT`], naming `what`.
pub async fn until<T>(what: &str, mut probe: impl AsyncFnMut() -> Option<T>) -> Result<T> {
    let deadline = Instant::now() + LIMIT;
    loop {
        if let Some(value) = probe().await {
            return Ok(value);
        }
        if Instant::now() > deadline {
            bail!("waited {LIMIT:?} in vain for: {what}");
        }
        sleep(INTERVAL).await;
    }
}

/// Waits until a condition holds. Fails after [`LIMIT`], naming `what`.
pub async fn holds(what: &str, mut condition: impl FnMut() -> bool) -> Result<()> {
    until(what, async || condition().then_some(())).await
}

/// Awaits a future that must end. Fails after [`LIMIT`], naming `what`.
pub async fn within<T>(what: &str, future: impl Future<Output = T>) -> Result<T> {
    timeout(LIMIT, future).await.with_context(|| format!("waited {LIMIT:?} in vain for: {what}"))
}
