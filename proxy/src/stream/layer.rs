//! What lies under the binary's own stream. The rule: plain TCP costs nothing more for TLS being there.

use std::io::IoSlice;
use std::pin::Pin;
use std::task::{Context, Poll};

use pingora::protocols::l4::stream::Stream as TcpStream;
use tokio::io::{self, AsyncRead, AsyncWrite, ReadBuf};

use super::tls::TlsStream;

/// A TCP stream, or TLS over one.
#[derive(Debug)]
#[expect(clippy::large_enum_variant, reason = "most connections are plain, and those need no allocation of their own")]
pub(super) enum Layer {
    Plain(TcpStream),
    Tls(Box<TlsStream>),
}

impl Layer {
    /// The TCP stream.
    pub(super) fn tcp(&self) -> &TcpStream {
        match self {
            Layer::Plain(tcp) => tcp,
            Layer::Tls(tls) => &tls.inner,
        }
    }

    /// The TCP stream.
    pub(super) fn tcp_mut(&mut self) -> &mut TcpStream {
        match self {
            Layer::Plain(tcp) => tcp,
            Layer::Tls(tls) => &mut tls.inner,
        }
    }
}

impl AsyncRead for Layer {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match &mut *self {
            Layer::Plain(tcp) => Pin::new(tcp).poll_read(cx, buf),
            Layer::Tls(tls) => Pin::new(tls.as_mut()).poll_read(cx, buf),
        }
    }
}

impl AsyncWrite for Layer {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        match &mut *self {
            Layer::Plain(tcp) => Pin::new(tcp).poll_write(cx, buf),
            Layer::Tls(tls) => Pin::new(tls.as_mut()).poll_write(cx, buf),
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut *self {
            Layer::Plain(tcp) => Pin::new(tcp).poll_flush(cx),
            Layer::Tls(tls) => Pin::new(tls.as_mut()).poll_flush(cx),
        }
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut *self {
            Layer::Plain(tcp) => Pin::new(tcp).poll_shutdown(cx),
            Layer::Tls(tls) => Pin::new(tls.as_mut()).poll_shutdown(cx),
        }
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match &mut *self {
            Layer::Plain(tcp) => Pin::new(tcp).poll_write_vectored(cx, bufs),
            Layer::Tls(tls) => Pin::new(tls.as_mut()).poll_write_vectored(cx, bufs),
        }
    }

    fn is_write_vectored(&self) -> bool {
        match self {
            Layer::Plain(tcp) => tcp.is_write_vectored(),
            Layer::Tls(_) => false,
        }
    }
}
