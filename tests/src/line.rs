//! A connection to whatever listens at an authority. The rule: it is by TLS where a certificate for that authority is
//! known, and plain elsewhere, so that one test runs over both.

use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context as Poller, Poll};

use anyhow::{Context, Result};
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpSocket, TcpStream};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

/// What is known of certificates, by `host:port`.
static TRUSTED: Mutex<Option<HashMap<String, Arc<ClientConfig>>>> = Mutex::new(None);

/// While this lives, connections to an authority are by TLS; afterwards its port may be another server's.
#[derive(Debug)]
pub struct Trust {
    authority: String,
}

impl Trust {
    /// From now on.
    pub fn new(authority: SocketAddr, client: Arc<ClientConfig>) -> Trust {
        let authority = authority.to_string();
        let mut trusted = TRUSTED.lock().unwrap_or_else(PoisonError::into_inner);
        trusted.get_or_insert_default().insert(authority.clone(), client);
        Trust { authority }
    }
}

impl Drop for Trust {
    fn drop(&mut self) {
        let mut trusted = TRUSTED.lock().unwrap_or_else(PoisonError::into_inner);
        trusted.get_or_insert_default().remove(&self.authority);
    }
}

fn trusted(authority: &str) -> Option<Arc<ClientConfig>> {
    TRUSTED.lock().unwrap_or_else(PoisonError::into_inner).as_ref()?.get(authority).cloned()
}

/// An open connection.
#[derive(Debug)]
pub enum Line {
    /// Bare TCP.
    Plain(TcpStream),
    /// TLS over it.
    Tls(Box<TlsStream<TcpStream>>),
}

impl Line {
    /// Connects to `host:port`, with a receive buffer of this many bytes if it is given.
    pub async fn connect(authority: &str, receive_buffer: Option<u32>) -> Result<Line> {
        let tcp = match receive_buffer {
            None => TcpStream::connect(authority).await,
            Some(bytes) => {
                let socket = TcpSocket::new_v4().context("create a socket")?;
                socket.set_recv_buffer_size(bytes).context("set SO_RCVBUF")?;
                socket.connect(authority.parse().context("the address")?).await
            }
        };
        let tcp = tcp.context("connect")?;
        tcp.set_nodelay(true).context("set TCP_NODELAY")?;
        match trusted(authority) {
            None => Ok(Line::Plain(tcp)),
            Some(client) => Line::over(tcp, client).await,
        }
    }

    /// Makes the handshake of TLS over a connection.
    pub async fn over(tcp: TcpStream, client: Arc<ClientConfig>) -> Result<Line> {
        let name = ServerName::from(tcp.peer_addr().context("the peer's address")?.ip());
        let tls = TlsConnector::from(client).connect(name, tcp).await.context("the handshake of TLS")?;
        Ok(Line::Tls(Box::new(tls)))
    }
}

impl AsyncRead for Line {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Poller<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match &mut *self {
            Line::Plain(tcp) => Pin::new(tcp).poll_read(cx, buf),
            Line::Tls(tls) => Pin::new(tls.as_mut()).poll_read(cx, buf),
        }
    }
}

impl AsyncWrite for Line {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Poller<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        match &mut *self {
            Line::Plain(tcp) => Pin::new(tcp).poll_write(cx, buf),
            Line::Tls(tls) => Pin::new(tls.as_mut()).poll_write(cx, buf),
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Poller<'_>) -> Poll<io::Result<()>> {
        match &mut *self {
            Line::Plain(tcp) => Pin::new(tcp).poll_flush(cx),
            Line::Tls(tls) => Pin::new(tls.as_mut()).poll_flush(cx),
        }
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Poller<'_>) -> Poll<io::Result<()>> {
        match &mut *self {
            Line::Plain(tcp) => Pin::new(tcp).poll_shutdown(cx),
            Line::Tls(tls) => Pin::new(tls.as_mut()).poll_shutdown(cx),
        }
    }
}
