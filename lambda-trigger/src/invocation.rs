//! One call of a Lambda. The rule: whatever it does ends in time to answer, before Lambda ends it.

use std::time::{Duration, SystemTime};

use lambda_http::Context;

/// What of a call's time is left to answer in.
const TIME_TO_ANSWER: Duration = Duration::from_millis(500);

/// How long a call may take where nobody says.
const ASSUMED: Duration = Duration::from_secs(10);

/// How long the work of this call may still take; a call without a context is one where nobody says.
pub fn time_to_work(context: Option<&Context>) -> Duration {
    // Lambda never hands over a call whose time is over; cargo-lambda's emulator names a time in 1970 for all of them.
    let left = context.and_then(|context| context.deadline().duration_since(SystemTime::now()).ok());
    left.unwrap_or(ASSUMED).saturating_sub(TIME_TO_ANSWER)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_work_ends_before_the_call() {
        let at = |deadline: SystemTime| {
            let mut context = Context::default();
            context.deadline = deadline.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_millis() as u64;
            time_to_work(Some(&context))
        };
        let given = at(SystemTime::now() + Duration::from_secs(3));
        assert!(given > Duration::from_secs(2) && given <= Duration::from_millis(2_500), "{given:?}");
        assert_eq!(at(SystemTime::now() + Duration::from_millis(300)), Duration::ZERO);
        assert_eq!(at(SystemTime::UNIX_EPOCH + Duration::from_secs(600)), ASSUMED - TIME_TO_ANSWER);
        assert_eq!(time_to_work(None), ASSUMED - TIME_TO_ANSWER);
    }
}
