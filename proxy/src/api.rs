//! HTTP calls over a Pingora session. The rule: a body is kept only for a call that was admitted, up to its limit and
//! within a time; what nobody wants is read and dropped, so that the answer arrives; and an answer says all that there
//! is to say.

use std::time::Duration;

use analytics_shared::{Code, Failure};
use bytes::{Bytes, BytesMut};
use http::{Response, request};
use lambda_trigger::handler::{Admission, Call, Handler, Passage, Screening};
use lambda_trigger::reply;
use pingora::http::ResponseHeader;
use pingora::proxy::Session;

use crate::forward::Forwarder;

/// How much of a body that nobody wants is read all the same, in largest bodies, and for how long.
const DISCARDED_BODIES: usize = 4;
const DISCARD_TIME: Duration = Duration::from_secs(5);

/// How long a body may take to come, and an answer to be taken, in all.
const BODY_TIME: Duration = Duration::from_secs(30);

/// Who answers the calls that the handler of this process lets through.
pub(crate) enum Calls {
    /// The same handler.
    Here,
    /// That of a function elsewhere.
    Forwarded(Forwarder),
}

/// A call that was let through.
enum Ticket<'c> {
    Here(Call),
    Forwarded(&'c Forwarder, Passage),
}

/// Answers a request for one of the handler's paths.
pub(crate) async fn answer(
    calls: &Calls,
    handler: &Handler,
    session: &mut Session,
    head: &request::Parts,
) -> pingora::Result<()> {
    let response = match calls.admit(handler, head) {
        Err(response) => {
            discard_body(session, handler.max_body_bytes()).await;
            *response
        }
        Ok(ticket) => {
            let body = match ticket.wants_body() {
                true => read_body(session, handler.max_body_bytes()).await,
                false => Ok(Bytes::new()),
            };
            match (body, ticket) {
                (Ok(body), Ticket::Here(call)) => handler.answer(call, body).await,
                (Ok(body), Ticket::Forwarded(forwarder, passage)) => {
                    passage.answer(forwarder.forward(head, body).await)
                }
                (Err(failure), _) => {
                    discard_body(session, handler.max_body_bytes()).await;
                    session.set_keepalive(None);
                    handler.refuse(head, &failure)
                }
            }
        }
    };
    send(session, response).await
}

impl Calls {
    /// Lets a call through, or answers it.
    fn admit(&self, handler: &Handler, head: &request::Parts) -> Result<Ticket<'_>, Box<Response<Bytes>>> {
        match self {
            Calls::Here => match handler.admit(head) {
                Admission::Answered(response) => Err(Box::new(response)),
                Admission::Admitted(call) => Ok(Ticket::Here(call)),
            },
            Calls::Forwarded(forwarder) => match handler.screen(head) {
                Screening::Answered(response) => Err(Box::new(response)),
                Screening::Passed(passage) => Ok(Ticket::Forwarded(forwarder, passage)),
            },
        }
    }
}

impl Ticket<'_> {
    fn wants_body(&self) -> bool {
        match self {
            Ticket::Here(call) => call.wants_body(),
            Ticket::Forwarded(_, passage) => passage.wants_body(),
        }
    }
}

/// Reads what is left of a body that nobody wants, within reason: closing on a sender who is still at it would reset
/// the connection, and the answer with it.
async fn discard_body(session: &mut Session, max: usize) {
    // Who asks whether to send is answered without being sent for.
    if session.get_header(http::header::EXPECT).is_some() {
        return session.set_keepalive(None);
    }
    let reading = async {
        let mut read = 0;
        while let Some(chunk) = session.read_request_body().await? {
            read += chunk.len();
            if read > DISCARDED_BODIES * max {
                return Ok(false);
            }
        }
        Ok::<_, Box<pingora::Error>>(true)
    };
    if !matches!(tokio::time::timeout(DISCARD_TIME, reading).await, Ok(Ok(true))) {
        session.set_keepalive(None);
    }
}

/// Writes an answer.
pub(crate) async fn send(session: &mut Session, response: Response<Bytes>) -> pingora::Result<()> {
    session.set_write_timeout(Some(BODY_TIME));
    let (parts, body) = response.into_parts();
    let header = ResponseHeader::from(parts);
    session.write_response_header(Box::new(header), body.is_empty()).await?;
    if !body.is_empty() {
        session.write_response_body(Some(body), true).await?;
    }
    Ok(())
}

/// The body, unless it is larger than `max` bytes, broken, or too long in coming.
async fn read_body(session: &mut Session, max: usize) -> Result<Bytes, Failure> {
    let reading = async {
        // RFC 9110 §10.1.1: whoever asks waits for it.
        if session.get_header("expect").is_some_and(|expect| expect.as_bytes().eq_ignore_ascii_case(b"100-continue")) {
            session.write_continue_response().await?;
        }
        let mut first = None;
        let mut body = BytesMut::new();
        while let Some(chunk) = session.read_request_body().await? {
            if body.len() + chunk.len() + first.as_ref().map_or(0, Bytes::len) > max {
                return Ok(Err(reply::too_large(max)));
            }
            // Nearly every body comes in one piece, which is not copied.
            match first.take() {
                None if body.is_empty() => first = Some(chunk),
                piece => {
                    body.extend_from_slice(&piece.unwrap_or_default());
                    body.extend_from_slice(&chunk);
                }
            }
        }
        Ok::<_, Box<pingora::Error>>(Ok(first.unwrap_or_else(|| body.freeze())))
    };
    match tokio::time::timeout(BODY_TIME, reading).await {
        Ok(Ok(body)) => body,
        Ok(Err(error)) => {
            tracing::debug!(%error, "a body could not be read");
            Err(Failure::new(Code::InvalidJson, "the body is cut short or broken"))
        }
        Err(_) => Err(Failure::new(Code::InvalidJson, "the body did not come in time")),
    }
}
