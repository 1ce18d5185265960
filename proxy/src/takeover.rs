//! Takes a connection out of a Pingora session. The rule: every byte that came stays in order, the host's session
//! is left inert, and its `logging()` sees a 101 and no token.
//!
//! The session is replaced by a husk over memory. The real one gives its stream and what it read too much; the
//! descriptor is duplicated, what the stream's own buffers still hold is read out, and the stream is dropped, less the
//! state of TLS where it is the binary's own. The duplicate shares the socket, which stays open and nonblocking. A
//! stream whose bytes are on no socket as they are, a host's TLS, is bridged.

use std::io::Cursor;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::pin::Pin;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use analytics_shared::{Code, Failure};
use pingora::http::ResponseHeader;
use pingora::protocols::http::ServerSession;
use pingora::protocols::l4::stream::Stream as TcpStream;
use pingora::protocols::{IO, SocketDigest, Stream};
use pingora::proxy::Session as HttpSession;
use tokio::io::{AsyncRead, ReadBuf};

use crate::bridge;
use crate::stream::EdgeStream;
use crate::tls::Session;

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
    /// The state of TLS over the socket, if that is in our hands.
    pub(crate) session: Option<Box<Session>>,
    /// Bytes that came after the handshake.
    pub(crate) early: Vec<u8>,
}

/// What keeps a session from being taken over, before anything was changed.
pub(crate) fn check(session: &mut HttpSession) -> Result<(), Failure> {
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
    Ok(())
}

/// Takes the connection. An error says that the connection is lost; the session is inert either way.
///
/// `stall` is how long a bridged peer may take nothing of what was begun.
pub(crate) async fn take(session: &mut HttpSession, stall: Duration) -> pingora::Result<Taken> {
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
    let failed = |error| pingora::Error::because(pingora::ErrorType::InternalError, "no descriptor is left", error);
    let mut early = read_too_much.map(Vec::from).unwrap_or_default();
    if !is_direct(stream.as_ref()) {
        if has_its_socket(stream.as_ref()) {
            prepare(&duplicate(stream.id()).map_err(failed)?);
        }
        let socket = bridge::over(stream, stall).map_err(failed)?;
        return Ok(Taken { socket, session: None, early });
    }
    let socket = duplicate(stream.id()).map_err(failed)?;
    prepare(&socket);
    read_buffered(&mut stream, &mut early)?;
    let session = stream.into_any().downcast::<EdgeStream>().ok().and_then(|stream| stream.into_session());
    if session.as_ref().is_some_and(Session::has_ended) {
        return Err(lost());
    }
    Ok(Taken { socket, session: session.map(Box::new), early })
}

/// A socket that says soon that it takes no more, and sends at once what it took.
fn prepare(socket: &OwnedFd) {
    let socket = socket2::SockRef::from(socket);
    let set = socket.set_tcp_nodelay(true).and_then(|()| socket.set_tcp_notsent_lowat(NOTSENT_LOWAT));
    if let Err(error) = set {
        tracing::debug!(%error, "a socket refused an option");
    }
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
            // Nothing more for now, or the end: the hub reads that of a socket itself, and a session of TLS knows of its own.
            Poll::Ready(Ok(())) | Poll::Pending => return Ok(()),
            // What was decrypted before it may be lost, and a session that failed must not be used again.
            Poll::Ready(Err(error)) => {
                let text = "the connection failed in its handshake";
                return Err(pingora::Error::because(pingora::ErrorType::ConnectionClosed, text, error));
            }
        }
        if early.len() > MAX_EARLY {
            let text = "too much came before the handshake's answer";
            return pingora::Error::e_explain(pingora::ErrorType::InvalidHTTPHeader, text);
        }
    }
}

/// Whether the hub can read and write what is under a stream itself: plain TCP, or TLS whose state is ours.
fn is_direct(stream: &dyn IO) -> bool {
    let any = stream.as_any();
    any.is::<EdgeStream>() || any.is::<TcpStream>()
}

/// Whether the number that a host's stream is known by is that of the socket under it. A stream may answer any number; that
/// of Pingora's own TLS is a socket whose peer is the one that the stream was accepted from.
fn has_its_socket(stream: &dyn IO) -> bool {
    let digest = stream.get_socket_digest();
    let peer = digest.as_ref().and_then(|digest| digest.peer_addr()).and_then(|peer| peer.as_inet());
    let found = SocketDigest::from_raw_fd(stream.id());
    peer.is_some() && found.peer_addr().and_then(|peer| peer.as_inet()) == peer
}

#[expect(unsafe_code, reason = "Pingora names a stream's descriptor by its number only")]
fn duplicate(descriptor: i32) -> std::io::Result<OwnedFd> {
    // SAFETY: the number is that of the open socket under the stream it was just asked of, which is of a kind that is known
    // or was looked at by `has_its_socket`; and the stream outlives this call, which does nothing but duplicate.
    let borrowed = unsafe { BorrowedFd::borrow_raw(descriptor) };
    borrowed.try_clone_to_owned()
}
