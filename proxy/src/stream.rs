//! The binary's own stream. The rule: the head of a request has one deadline in all, however it drips; Pingora's
//! own time-out starts anew with every byte.

use std::io::IoSlice;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use async_trait::async_trait;
use pingora::protocols::l4::stream::Stream as TcpStream;
use pingora::protocols::raw_connect::ProxyDigest;
use pingora::protocols::{
    GetProxyDigest, GetSocketDigest, GetTimingDigest, Peek, Shutdown, SocketDigest, Ssl, TimingDigest, UniqueID,
    UniqueIDType,
};
use pingora::proxy::Session;
use tokio::io::{self, AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep, sleep};

/// How long a kept-alive connection may wait for its next request.
pub(crate) const IDLE: Duration = Duration::from_secs(60);

/// A TCP stream whose request heads have a deadline.
#[derive(Debug)]
pub(crate) struct EdgeStream {
    inner: TcpStream,
    /// A head is awaited or under way. Cleared through a shared reference once the head was read.
    reading_head: AtomicBool,
    /// The next byte begins a head, and with it the head's time.
    idle: bool,
    head_time: Duration,
    deadline: Pin<Box<Sleep>>,
}

impl EdgeStream {
    /// A stream that awaits its first request; the whole head must come within `head_time`.
    pub(crate) fn new(inner: TcpStream, head_time: Duration) -> EdgeStream {
        EdgeStream {
            inner,
            reading_head: AtomicBool::new(true),
            idle: false,
            head_time,
            deadline: Box::pin(sleep(head_time)),
        }
    }

    /// The stream awaits another request.
    pub(crate) fn await_next(&mut self) {
        self.reading_head.store(true, Ordering::Relaxed);
        self.idle = true;
        self.deadline.as_mut().reset(Instant::now() + IDLE);
    }

    /// The head of a session's request was read: its body has time-outs of its own.
    pub(crate) fn head_was_read(session: &Session) {
        let stream = session.as_downstream().as_http1().map(|http1| http1.stream().as_any());
        if let Some(stream) = stream.and_then(|any| any.downcast_ref::<EdgeStream>()) {
            stream.reading_head.store(false, Ordering::Relaxed);
        }
    }
}

impl AsyncRead for EdgeStream {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let read = Pin::new(&mut self.inner).poll_read(cx, buf);
        if !self.reading_head.load(Ordering::Relaxed) {
            return read;
        }
        if self.idle && read.is_ready() {
            self.idle = false;
            let until = Instant::now() + self.head_time;
            self.deadline.as_mut().reset(until);
        }
        // A head that drips makes every read ready: the deadline is asked first.
        if self.deadline.as_mut().poll(cx).is_ready() {
            return Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, "the request's head took too long")));
        }
        read
    }
}

impl AsyncWrite for EdgeStream {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.inner).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(cx)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.inner).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }
}

#[async_trait]
impl Shutdown for EdgeStream {
    async fn shutdown(&mut self) {
        Shutdown::shutdown(&mut self.inner).await;
    }
}

#[async_trait]
impl Peek for EdgeStream {}

impl Ssl for EdgeStream {}

impl UniqueID for EdgeStream {
    fn id(&self) -> UniqueIDType {
        self.inner.id()
    }
}

impl GetTimingDigest for EdgeStream {
    fn get_timing_digest(&self) -> Vec<Option<TimingDigest>> {
        self.inner.get_timing_digest()
    }
}

impl GetProxyDigest for EdgeStream {
    fn get_proxy_digest(&self) -> Option<Arc<ProxyDigest>> {
        self.inner.get_proxy_digest()
    }
}

impl GetSocketDigest for EdgeStream {
    fn get_socket_digest(&self) -> Option<Arc<SocketDigest>> {
        self.inner.get_socket_digest()
    }

    fn set_socket_digest(&mut self, socket_digest: SocketDigest) {
        self.inner.set_socket_digest(socket_digest);
    }
}
