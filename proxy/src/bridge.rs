//! Joins a stream that cannot be taken apart, a host's TLS, to a hub by a pair of sockets. The rule: nothing is read for
//! the peer while anything that was read before waits for it, so what a slow peer is behind by stays with the hub, where
//! newer values replace it.
//!
//! Each direction ends by itself: the hub's end of writing becomes the stream's shutdown, the peer's end becomes the
//! hub's end of file; a failure of either side ends both. Between two reads a bridge owns no buffer.

use std::io;
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream as StdUnixStream;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use pingora::protocols::Stream;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::UnixStream;
use tokio::time::{Sleep, sleep};

/// Bytes of one read.
const READ: usize = 4 * 1024;

/// The send buffer of each of the two sockets. The kernel doubles it and counts its own records, so that about a dozen
/// small frames fit.
const SEND_BUFFER: usize = 8 * 1024;

/// How long one direction may outlive the other. A hub waits less for its peer's end, and then drops its socket, which a
/// bridge cannot tell from the end of writing.
const LINGER: Duration = Duration::from_secs(10);

/// A descriptor for the hub, whose bytes go to the stream and come from it. A peer that does not take all of
/// what was read for it in the time `stall` is given up.
pub(crate) fn over(stream: Stream, stall: Duration) -> io::Result<OwnedFd> {
    let (near, far) = StdUnixStream::pair()?;
    for end in [&near, &far] {
        end.set_nonblocking(true)?;
        socket2::SockRef::from(end).set_send_buffer_size(SEND_BUFFER)?;
    }
    let hub = UnixStream::from_std(far)?;
    let (to_peer, to_hub) = (Way::new(stall), Way::new(stall));
    tokio::spawn(Bridge { stream, hub, to_peer, to_hub, linger: None });
    Ok(near.into())
}

/// Both directions, until both have ended or one has failed.
struct Bridge {
    stream: Stream,
    hub: UnixStream,
    to_peer: Way,
    to_hub: Way,
    linger: Option<Pin<Box<Sleep>>>,
}

impl Future for Bridge {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let Bridge { stream, hub, to_peer, to_hub, linger } = self.get_mut();
        let to_peer = to_peer.poll(cx, hub, stream);
        let to_hub = to_hub.poll(cx, stream, hub);
        match (to_peer, to_hub) {
            (Poll::Ready(Ok(())), Poll::Ready(Ok(()))) => Poll::Ready(()),
            (Poll::Ready(Err(error)), _) | (_, Poll::Ready(Err(error))) => {
                tracing::debug!(%error, "a bridged connection ended");
                Poll::Ready(())
            }
            (Poll::Pending, Poll::Pending) => Poll::Pending,
            _ => linger.get_or_insert_with(|| Box::pin(sleep(LINGER))).as_mut().poll(cx),
        }
    }
}

/// One direction.
struct Way {
    state: State,
    /// Read and not written yet.
    rest: Vec<u8>,
    written: usize,
    stall: Duration,
    /// When the other side is given up; only while it is waited for.
    patience: Option<Pin<Box<Sleep>>>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    Reading,
    /// What was read is on its way.
    Writing,
    /// Nothing more comes.
    Ending,
    Ended,
}

impl Way {
    fn new(stall: Duration) -> Way {
        Way { state: State::Reading, rest: Vec::new(), written: 0, stall, patience: None }
    }

    fn poll<R, W>(&mut self, cx: &mut Context<'_>, from: &mut R, to: &mut W) -> Poll<io::Result<()>>
    where
        R: AsyncRead + Unpin,
        W: AsyncWrite + Unpin,
    {
        loop {
            match self.state {
                State::Reading => {
                    let mut room = [MaybeUninit::uninit(); READ];
                    let mut read = ReadBuf::uninit(&mut room);
                    ready!(Pin::new(&mut *from).poll_read(cx, &mut read))?;
                    if read.filled().is_empty() {
                        self.state = State::Ending;
                        continue;
                    }
                    self.state = State::Writing;
                    // Written from the stack where it is taken at once, as it mostly is.
                    let taken = match Pin::new(&mut *to).poll_write(cx, read.filled()) {
                        Poll::Ready(taken) => taken?,
                        Poll::Pending => 0,
                    };
                    self.rest.extend_from_slice(&read.filled()[taken..]);
                }
                State::Writing => {
                    ready!(self.patiently(cx, |way, cx| way.write(cx, to)))?;
                    (self.rest, self.written) = (Vec::new(), 0);
                    self.state = State::Reading;
                }
                State::Ending => {
                    ready!(self.patiently(cx, |_, cx| Pin::new(&mut *to).poll_shutdown(cx)))?;
                    self.state = State::Ended;
                }
                State::Ended => return Poll::Ready(Ok(())),
            }
        }
    }

    fn write<W: AsyncWrite + Unpin>(&mut self, cx: &mut Context<'_>, to: &mut W) -> Poll<io::Result<()>> {
        while self.written < self.rest.len() {
            match ready!(Pin::new(&mut *to).poll_write(cx, &self.rest[self.written..]))? {
                0 => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                taken => self.written += taken,
            }
        }
        Pin::new(to).poll_flush(cx)
    }

    /// Does something that waits for the other side, for as long as there is patience.
    fn patiently(
        &mut self,
        cx: &mut Context<'_>,
        wait: impl FnOnce(&mut Way, &mut Context<'_>) -> Poll<io::Result<()>>,
    ) -> Poll<io::Result<()>> {
        if let Poll::Ready(done) = wait(self, cx) {
            self.patience = None;
            return Poll::Ready(done);
        }
        let stall = self.stall;
        let patience = self.patience.get_or_insert_with(|| Box::pin(sleep(stall)));
        ready!(patience.as_mut().poll(cx));
        Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
    }
}
