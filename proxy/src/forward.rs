//! Calls that are answered by a function elsewhere (`ANALYTICS_TRIGGER_URL`). The rule: a keyless increment is sent again
//! only after proof that it was not sent; and a caller is told "not applied" only where that is known.
//!
//! | failure | keyless POST | POST with a key | GET |
//! |---|---|---|---|
//! | no connection, or closed before the request began | again; then `unavailable` | the same | the same |
//! | cut, no answer in time, an answer that is not the handler's | `outcome_unknown` | again; then `outcome_unknown` | again; then `unavailable` |
//! | 429 that is not the handler's: the function did not run | `unavailable` | the same | the same |
//! | too many calls under way | `unavailable` | the same | the same |
//!
//! What the handler itself answers is passed on, its refusals included, with one exception: when an earlier try under
//! the same key may have counted, "not applied" would say too much, and `outcome_unknown` is answered.
//!
//! | file | subject |
//! |---|---|
//! | `target` | where the function is |
//! | `request` | what of a call is passed on |
//! | `pool` | the connections |
//! | `answer` | whose answer it is, and what it proves |

mod answer;
mod pool;
mod request;
mod target;

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use analytics_shared::{Code, Failure};
use bytes::Bytes;
use http::{Method, Response, request::Parts};
use lambda_trigger::handler::trigger::IDEMPOTENCY_KEY;
use lambda_trigger::home::Home;
use lambda_trigger::reply;
use tokio::sync::Semaphore;
use tokio::time::{Instant, sleep};

use self::answer::{Heard, Ours};
use self::pool::{Pool, Trouble};
use self::request::Outgoing;
pub use self::target::{InvalidTarget, Target};
use crate::metrics::{Forwarded, Metrics};

/// Tries of one call.
const TRIES: u32 = 3;

/// Before a call is tried again; doubled each time. Each pause is a random part of it.
const PAUSE: Duration = Duration::from_millis(100);

const NO_ANSWER: &str = "the function gave no answer";

/// The threads of the runtime that the connections live in: TLS and copying take well below 0.1 ms of a core per call.
const THREADS: usize = 1;

/// Where calls are passed on to, and how long one may take.
#[derive(Debug, Clone)]
pub struct Trigger {
    /// The function's URL.
    pub target: Target,
    /// How long one try of a call that may be repeated may take. Default 4 s.
    pub attempt: Duration,
    /// How long a call may take in all; a keyless POST, which has only one try, too. Default 9 s: longer than the
    /// function's own store tries, and within the time that a drain gives to what is in flight.
    pub deadline: Duration,
    /// Calls under way at once; beyond, they are refused as unavailable. Default 256.
    pub in_flight: usize,
}

impl Trigger {
    /// The defaults, for a function.
    pub fn at(target: Target) -> Trigger {
        Trigger { target, attempt: Duration::from_secs(4), deadline: Duration::from_secs(9), in_flight: 256 }
    }
}

/// Passes calls on. Cloning shares it.
#[derive(Clone)]
pub(crate) struct Forwarder(Arc<Inner>);

struct Inner {
    trigger: Trigger,
    pool: Pool,
    room: Arc<Semaphore>,
    metrics: Metrics,
    /// The last call found trouble.
    troubled: AtomicBool,
    home: Home,
}

/// Why a call has no answer.
enum Unanswered {
    /// It was certainly not carried out.
    Not(&'static str),
    /// Nobody knows.
    Unknown,
}

impl Forwarder {
    /// Starts and opens nothing. An error says that this machine has no certificates to check the function's with.
    pub(crate) fn new(trigger: Trigger, metrics: Metrics) -> io::Result<Forwarder> {
        let pool = Pool::new(&trigger.target)?;
        let room = Arc::new(Semaphore::new(trigger.in_flight));
        let inner = Inner {
            trigger,
            pool,
            room,
            metrics,
            troubled: AtomicBool::new(false),
            home: Home::new("forward", THREADS),
        };
        Ok(Forwarder(Arc::new(inner)))
    }

    /// The function's answer to a call, or why there is none. The call goes on to its end even if the caller goes away.
    pub(crate) async fn forward(&self, head: &Parts, body: Bytes) -> Response<Bytes> {
        let inner = self.0.clone();
        let Ok(room) = inner.room.clone().try_acquire_owned() else {
            inner.metrics.forwarded(Forwarded::Refused);
            return unavailable("too many calls are under way");
        };
        let outgoing = Outgoing::of(head, body, &inner.trigger.target);
        let work = self.0.home.spawn(async move {
            let _room = room;
            inner.call(&outgoing).await
        });
        match work {
            Ok(work) => work.await.unwrap_or_else(|_| unknown()),
            Err(error) => {
                tracing::error!(%error, "the thread that passes calls on cannot be started");
                unavailable("this edge cannot pass calls on")
            }
        }
    }
}

impl Inner {
    async fn call(&self, outgoing: &Outgoing) -> Response<Bytes> {
        let result = self.try_on(outgoing).await;
        let (label, reply) = match result {
            Ok(ours) => (Forwarded::Answered, ours.reply()),
            // Reading twice harms nobody, so a read that may have been made is as good as one that was not.
            Err(Unanswered::Unknown) if outgoing.writes() => (Forwarded::Unknown, unknown()),
            Err(Unanswered::Unknown) => (Forwarded::Unavailable, unavailable(NO_ANSWER)),
            Err(Unanswered::Not(text)) => (Forwarded::Unavailable, unavailable(text)),
        };
        self.metrics.forwarded(label);
        reply
    }

    /// Tries a call until it is answered, or may not be tried again.
    async fn try_on(&self, outgoing: &Outgoing) -> Result<Ours, Unanswered> {
        let deadline = Instant::now() + self.trigger.deadline;
        let (mut pause, mut left) = (PAUSE, TRIES);
        // An earlier try may have been carried out.
        let mut uncertain = false;
        loop {
            left -= 1;
            let attempt = if outgoing.may_be_repeated() { self.trigger.attempt } else { self.trigger.deadline };
            let end = deadline.min(Instant::now() + attempt);
            let (again, text) = match self.pool.exchange(outgoing, end).await {
                Ok(answer) => match answer::hear(answer, outgoing.writes()) {
                    Heard::Ours(ours) if !uncertain || ours.settles() => {
                        self.well();
                        return Ok(*ours);
                    }
                    // The handler's word is about this try; about the earlier one nothing is known still.
                    Heard::Ours(_) => return Err(Unanswered::Unknown),
                    Heard::Throttled => {
                        self.note("it is throttled");
                        (false, "the function takes no more calls now")
                    }
                    Heard::Foreign(status) => {
                        uncertain = true;
                        self.note(&format!("something else answered in its place, with status {status}"));
                        (outgoing.may_be_repeated(), NO_ANSWER)
                    }
                },
                Err(Trouble::NotSent(reason)) => {
                    self.note(&reason);
                    (true, "the function cannot be reached")
                }
                Err(Trouble::Unknown(reason)) => {
                    uncertain = true;
                    self.note(&reason);
                    (outgoing.may_be_repeated(), NO_ANSWER)
                }
            };
            let wait = pause.mul_f64(fastrand::f64());
            if !again || left == 0 || Instant::now() + wait >= deadline {
                return Err(if uncertain { Unanswered::Unknown } else { Unanswered::Not(text) });
            }
            pause *= 2;
            sleep(wait).await;
            self.metrics.forward_repeats.inc();
        }
    }

    /// Says once that calls are not answered.
    fn note(&self, reason: &str) {
        if !self.troubled.swap(true, Ordering::Relaxed) {
            tracing::warn!(reason, "the function at ANALYTICS_TRIGGER_URL does not answer calls as it should");
        } else {
            tracing::debug!(reason, "the function still does not answer calls as it should");
        }
    }

    /// Says once that they are again.
    fn well(&self) {
        if self.troubled.load(Ordering::Relaxed) && self.troubled.swap(false, Ordering::Relaxed) {
            tracing::info!("the function at ANALYTICS_TRIGGER_URL answers calls again");
        }
    }
}

impl Outgoing {
    /// Whether it changes something.
    fn writes(&self) -> bool {
        self.head.method == Method::POST
    }

    /// Whether it may be sent again although it may have been carried out.
    fn may_be_repeated(&self) -> bool {
        !self.writes() || self.head.headers.contains_key(IDEMPOTENCY_KEY)
    }
}

fn unavailable(text: &'static str) -> Response<Bytes> {
    reply::failure(&Failure::new(Code::Unavailable, text))
}

fn unknown() -> Response<Bytes> {
    let text = "the function did not say whether it applied the update";
    reply::failure(&Failure::new(Code::OutcomeUnknown, text))
}
