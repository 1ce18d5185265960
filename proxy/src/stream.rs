//! The binary's own stream, plain or TLS. The rule: the head of a request, and a handshake before the first one, has
//! one deadline in all, however it drips; Pingora's own time-out starts anew with every byte.

mod layer;
mod tls;

use std::io::IoSlice;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use async_trait::async_trait;
use pingora::protocols::l4::stream::Stream as TcpStream;
use pingora::protocols::raw_connect::ProxyDigest;
use pingora::protocols::tls::SslDigest;
use pingora::protocols::{
    GetProxyDigest, GetSocketDigest, GetTimingDigest, Peek, Shutdown, SocketDigest, Ssl, TimingDigest, UniqueID,
    UniqueIDType,
};
use pingora::proxy::Session as HttpSession;
use tokio::io::{self, AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep, sleep};

use self::layer::Layer;
use self::tls::TlsStream;
use crate::tls::Session;

/// How long a kept-alive connection may wait for its next request.
pub(crate) const IDLE: Duration = Duration::from_secs(60);

/// A stream whose request heads have a deadline.
#[derive(Debug)]
pub(crate) struct EdgeStream {
    inner: Layer,
    /// A head is awaited or under way. Cleared through a shared reference once the head was read.
    reading_head: AtomicBool,
    /// The next byte begins a head, and with it the head's time.
    idle: bool,
    head_time: Duration,
    deadline: Pin<Box<Sleep>>,
}

impl EdgeStream {
    /// A stream that awaits its first request, after the handshake of a session if there is one; all of that must come
    /// within `head_time`.
    pub(crate) fn new(tcp: TcpStream, session: Option<Session>, head_time: Duration) -> EdgeStream {
        let inner = match session {
            None => Layer::Plain(tcp),
            Some(session) => Layer::Tls(Box::new(TlsStream::new(tcp, session))),
        };
        EdgeStream {
            inner,
            reading_head: AtomicBool::new(true),
            idle: false,
            head_time,
            deadline: Box::pin(sleep(head_time)),
        }
    }

    /// Ends when the TLS handshake has, if there is one.
    pub(crate) async fn handshake(&mut self) -> io::Result<()> {
        let Layer::Tls(tls) = &mut self.inner else { return Ok(()) };
        let deadline = &mut self.deadline;
        std::future::poll_fn(|cx| match tls.poll_handshake(cx) {
            Poll::Pending => {
                ready!(deadline.as_mut().poll(cx));
                Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, "the handshake took too long")))
            }
            done => done,
        })
        .await
    }

    /// The session of TLS, for whoever has the socket from now on. Everything that was decrypted must have been read.
    pub(crate) fn into_session(self) -> Option<Session> {
        match self.inner {
            Layer::Plain(_) => None,
            Layer::Tls(tls) => Some(tls.into_session()),
        }
    }

    /// The stream awaits another request.
    pub(crate) fn await_next(&mut self) {
        self.reading_head.store(true, Ordering::Relaxed);
        self.idle = true;
        self.deadline.as_mut().reset(Instant::now() + IDLE);
    }

    /// The head of a session's request was read: its body has time-outs of its own.
    pub(crate) fn head_was_read(session: &HttpSession) {
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
        if let Err(error) = io::AsyncWriteExt::shutdown(&mut self.inner).await {
            tracing::debug!(%error, "a connection was not closed in order");
        }
    }
}

#[async_trait]
impl Peek for EdgeStream {}

impl Ssl for EdgeStream {
    fn get_ssl_digest(&self) -> Option<Arc<SslDigest>> {
        let Layer::Tls(tls) = &self.inner else { return None };
        let (cipher, version) = tls.session().agreed()?;
        Some(Arc::new(SslDigest::new(cipher, version, None, None, Vec::new())))
    }
}

impl UniqueID for EdgeStream {
    fn id(&self) -> UniqueIDType {
        self.inner.tcp().id()
    }
}

impl GetTimingDigest for EdgeStream {
    fn get_timing_digest(&self) -> Vec<Option<TimingDigest>> {
        self.inner.tcp().get_timing_digest()
    }
}

impl GetProxyDigest for EdgeStream {
    fn get_proxy_digest(&self) -> Option<Arc<ProxyDigest>> {
        self.inner.tcp().get_proxy_digest()
    }
}

impl GetSocketDigest for EdgeStream {
    fn get_socket_digest(&self) -> Option<Arc<SocketDigest>> {
        self.inner.tcp().get_socket_digest()
    }

    fn set_socket_digest(&mut self, socket_digest: SocketDigest) {
        self.inner.tcp_mut().set_socket_digest(socket_digest);
    }
}
