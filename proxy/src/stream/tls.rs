//! TLS over a TCP stream, for as long as a connection speaks HTTP. The rule: nothing is encrypted while something that
//! was waits for the socket, so at most one record waits; and a session can be taken out between any two calls.

use std::mem::MaybeUninit;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use pingora::protocols::l4::stream::Stream as TcpStream;
use tokio::io::{self, AsyncRead, AsyncWrite, ReadBuf};

use crate::tls::{RECORD, Session};

/// Bytes of one read from the socket.
const READ: usize = 8 * 1024;

/// A session and the socket under it.
#[derive(Debug)]
pub(super) struct TlsStream {
    pub(super) inner: TcpStream,
    session: Session,
    /// Decrypted, and read up to here.
    plain: Vec<u8>,
    read: usize,
}

impl TlsStream {
    pub(super) fn new(inner: TcpStream, session: Session) -> TlsStream {
        TlsStream { inner, session, plain: Vec::new(), read: 0 }
    }

    pub(super) fn session(&self) -> &Session {
        &self.session
    }

    /// The session as it is. What was decrypted and not read is lost, so all of it must have been read.
    pub(super) fn into_session(self) -> Session {
        debug_assert_eq!(self.read, self.plain.len());
        self.session
    }

    /// Ends when the handshake has, and what the server says last in it is on its way.
    pub(super) fn poll_handshake(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        loop {
            ready!(self.poll_send(cx))?;
            if !self.session.is_handshaking() {
                return Poll::Ready(Ok(()));
            }
            if !ready!(self.poll_receive(cx))? {
                return Poll::Ready(Err(io::ErrorKind::UnexpectedEof.into()));
            }
        }
    }

    /// Reads what came into `plain`; `false` if nothing more comes.
    fn poll_receive(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<bool>> {
        let mut room = [MaybeUninit::uninit(); READ];
        let mut read = ReadBuf::uninit(&mut room);
        ready!(Pin::new(&mut self.inner).poll_read(cx, &mut read))?;
        if read.filled().is_empty() {
            return Poll::Ready(Ok(false));
        }
        let mut wire = Vec::new();
        self.session.begin(&mut wire);
        wire.extend_from_slice(read.filled());
        let taken = self.session.take(&mut wire, &mut self.plain);
        if let Err(error) = taken {
            // The alert that says why, if the socket takes it.
            let _ = self.poll_send(cx)?;
            return Poll::Ready(Err(io::Error::new(io::ErrorKind::InvalidData, error)));
        }
        Poll::Ready(Ok(!self.session.has_ended() || !self.plain.is_empty()))
    }

    /// Ends when everything that was encrypted is with the socket.
    fn poll_send(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.session.outgoing().is_empty() {
            match ready!(Pin::new(&mut self.inner).poll_write(cx, self.session.outgoing()))? {
                0 => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                taken => self.session.took(taken),
            }
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncRead for TlsStream {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        // A reader waits for an answer to what is still on its way out.
        if let Poll::Ready(sent) = self.poll_send(cx) {
            sent?;
        }
        while self.read == self.plain.len() {
            self.plain.clear();
            self.read = 0;
            if self.session.has_ended() || !ready!(self.poll_receive(cx))? {
                return Poll::Ready(Ok(()));
            }
        }
        let take = buf.remaining().min(self.plain.len() - self.read);
        buf.put_slice(&self.plain[self.read..self.read + take]);
        self.read += take;
        if self.read == self.plain.len() {
            (self.plain, self.read) = (Vec::new(), 0);
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for TlsStream {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        ready!(self.poll_send(cx))?;
        let part = &buf[..buf.len().min(RECORD)];
        let mut wire = Vec::new();
        self.session.encrypt(part, &mut wire).map_err(io::Error::other)?;
        self.session.keep(&wire);
        // What is encrypted is written as far as the caller is concerned; a flush waits for the socket.
        if let Poll::Ready(sent) = self.poll_send(cx) {
            sent?;
        }
        Poll::Ready(Ok(part.len()))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_send(cx))?;
        Pin::new(&mut self.inner).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if !self.session.is_handshaking() {
            self.session.say_goodbye().map_err(io::Error::other)?;
        }
        ready!(self.poll_send(cx))?;
        Pin::new(&mut self.inner).poll_shutdown(cx)
    }
}
