//! Takes a connection out of a Pingora session. The rule: every byte that came stays in order, the host's session
//! is left inert, and its `logging()` sees a 101 and no token.
//!
//! The session is replaced by a husk over memory. The real one gives its stream and what it read too much; the
//! descriptor is duplicated, what Pingora's own read buffer still holds is read out, and Pingora's stream is
//! dropped. The duplicate shares the socket, which stays open and nonblocking.

use std::io::Cursor;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use analytics_shared::{Code, Failure};
use pingora::http::ResponseHeader;
use pingora::protocols::http::ServerSession;
use pingora::protocols::l4::stream::Stream as TcpStream;
use pingora::protocols::{IO, Stream, UniqueID};
use pingora::proxy::Session;
use tokio::io::{AsyncRead, ReadBuf};

use crate::stream::EdgeStream;

/// Unsent bytes above which the kernel says that a socket takes no more. Without it the kernel queues thousands of
/// stale frames for a client that does not read.
const NOTSENT_LOWAT: u32 = 16 * 1024;

/// Bytes that may come with a handshake: what Pingora's buffer holds and as much again, far more than a client has to
/// say before our first message. One that sends on and on must not keep us reading.
const MAX_EARLY: usize = 128 * 1024;

/// A connection that is out of Pingora's hands.
#[derive(Debug)]
pub(crate) struct Taken {
    pub(crate) socket: OwnedFd,
    /// Bytes that came after the handshake.
    pub(crate) early: Vec<u8>,
}

/// What keeps a session from being taken over, before anything was changed.
pub(crate) fn check(session: &mut Session) -> Result<(), Failure> {
    // A limit on requests per connection does not concern a request after which there are none.
    session.set_keepalive_reuses_remaining(None);
    let Some(http1) = session.as_downstream().as_http1() else {
        return Err(Failure::new(Code::InvalidField, "a WebSocket upgrade must be HTTP/1.1"));
    };
    // What Pingora will not keep alive it closes instead of giving it back.
    if !http1.will_keepalive() {
        let text = "Connection must not hold \"close\" beside \"Upgrade\"";
        return Err(Failure::new(Code::InvalidField, text));
    }
    if descriptor(http1.stream().as_ref()).is_none() {
        return Err(Failure::new(Code::Internal, "this kind of connection cannot be upgraded"));
    }
    Ok(())
}

/// Takes the connection. An error says that the connection is lost; the session is inert either way.
pub(crate) async fn take(session: &mut Session) -> pingora::Result<Taken> {
    let mut husk = husk().await?;
    if let (Some(husk), Some(real)) = (husk.digest_mut(), session.as_downstream().digest()) {
        *husk = real.clone();
    }
    let mut real = std::mem::replace(session.as_downstream_mut(), husk);
    // Without keep-alive `finish` would close the socket; without pipelining it would refuse what was read too much.
    real.set_keepalive(Some(60));
    real.set_pipelining_enabled(true);
    let lost =
        || pingora::Error::explain(pingora::ErrorType::ConnectionClosed, "the connection ended in its handshake");
    let (mut stream, read_too_much) = real.finish().await?.ok_or_else(lost)?.into_parts();
    let socket = descriptor(stream.as_ref()).ok_or_else(lost)?.map_err(|error| {
        pingora::Error::because(pingora::ErrorType::InternalError, "the descriptor cannot be duplicated", error)
    })?;
    let mut early = read_too_much.map(Vec::from).unwrap_or_default();
    read_buffered(&mut stream, &mut early)?;
    let socket_ref = socket2::SockRef::from(&socket);
    let set = socket_ref.set_tcp_nodelay(true).and_then(|()| socket_ref.set_tcp_notsent_lowat(NOTSENT_LOWAT));
    if let Err(error) = set {
        tracing::debug!(%error, "a socket refused an option");
    }
    Ok(Taken { socket, early })
}

/// A session over memory that has read a bare request and answered 101.
async fn husk() -> pingora::Result<ServerSession> {
    let request = format!("GET {} HTTP/1.1\r\nHost: edge\r\n\r\n", crate::handshake::PATH);
    let mut husk = ServerSession::new_http1(Box::new(Cursor::new(request.into_bytes())));
    husk.read_request().await?;
    husk.write_response_header(Box::new(ResponseHeader::build(101, Some(0))?)).await?;
    husk.set_keepalive(None);
    Ok(husk)
}

/// Reads what lies in the stream's own buffer, and with it what the socket holds already, without waiting.
fn read_buffered(stream: &mut Stream, early: &mut Vec<u8>) -> pingora::Result<()> {
    let mut context = Context::from_waker(Waker::noop());
    let mut chunk = [0; 4096];
    loop {
        let mut read = ReadBuf::new(&mut chunk);
        match Pin::new(&mut *stream).poll_read(&mut context, &mut read) {
            Poll::Ready(Ok(())) if !read.filled().is_empty() => early.extend_from_slice(read.filled()),
            // Nothing more for now, or the end, which the hub will see for itself.
            _ => return Ok(()),
        }
        if early.len() > MAX_EARLY {
            let text = "too much came before the handshake's answer";
            return pingora::Error::e_explain(pingora::ErrorType::InvalidHTTPHeader, text);
        }
    }
}

/// A duplicate of the descriptor under a stream that reads and writes it directly; `None` for any other stream,
/// whose bytes on the socket are not those of the protocol (TLS).
fn descriptor(stream: &dyn IO) -> Option<std::io::Result<OwnedFd>> {
    let any = stream.as_any();
    let direct = any
        .downcast_ref::<EdgeStream>()
        .map(UniqueID::id)
        .or_else(|| any.downcast_ref::<TcpStream>().map(UniqueID::id));
    direct.map(duplicate)
}

#[expect(unsafe_code, reason = "Pingora names a stream's descriptor by its number only")]
fn duplicate(descriptor: i32) -> std::io::Result<OwnedFd> {
    // SAFETY: the number is that of an open socket owned by the stream it was just asked of, and the stream outlives
    // this call, which does nothing but duplicate.
    let borrowed = unsafe { BorrowedFd::borrow_raw(descriptor) };
    borrowed.try_clone_to_owned()
}
