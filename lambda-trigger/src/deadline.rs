//! How long a caller can wait. The rule: a call of a store ends by the store's own deadline or its caller's, whichever
//! comes first.
//!
//! A Lambda is stopped in the middle of whatever it does when its time is over, and its caller then learns nothing; the
//! time that is left differs from call to call.

use std::time::Duration;

use tokio::task_local;
use tokio::time::Instant;

task_local! {
    static DEADLINE: Instant;
}

/// Does work whose calls of a store must have ended by then.
pub async fn within<T>(deadline: Instant, work: impl Future<Output = T>) -> T {
    DEADLINE.scope(deadline, work).await
}

/// When a call must have ended that may take so long, and that begins now on the caller's own task.
pub(crate) fn of_call(own: Duration) -> Instant {
    let own = Instant::now() + own;
    DEADLINE.try_with(|callers| own.min(*callers)).unwrap_or(own)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_earlier_deadline_counts() {
        let (short, long) = (Duration::from_secs(5), Duration::from_secs(50));
        let soon = Instant::now() + Duration::from_secs(20);
        assert!(of_call(long) > soon);
        within(soon, async {
            assert_eq!(of_call(long), soon);
            assert!(of_call(short) < soon);
        })
        .await;
        assert!(of_call(long) > soon);
    }
}
