//! A TLS client whose every byte is the test's to send. The rule: nothing goes out but by [`TlsClient::send`] and the
//! first flight of the handshake, so a test decides what travels together and where it is cut.

use std::io::{Read, Write};
use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::wait;

/// A connection before or after its handshake.
#[derive(Debug)]
pub struct TlsClient {
    tcp: TcpStream,
    /// The client's side of TLS.
    pub tls: ClientConnection,
    plain: Vec<u8>,
}

impl TlsClient {
    /// Connects by TCP and sends nothing yet.
    pub async fn connect(authority: &str, client: Arc<ClientConfig>) -> Result<TlsClient> {
        let tcp = TcpStream::connect(authority).await.context("connect")?;
        tcp.set_nodelay(true).context("set TCP_NODELAY")?;
        let name = ServerName::from(tcp.peer_addr().context("the peer's address")?.ip());
        let tls = ClientConnection::new(client, name).context("begin TLS")?;
        Ok(TlsClient { tcp, tls, plain: Vec::new() })
    }

    /// Makes the handshake. What the client says last in it (TLS 1.3) stays to be sent: see [`TlsClient::wire`].
    pub async fn shake_hands(&mut self) -> Result<()> {
        wait::within("the handshake of TLS", async {
            while self.tls.is_handshaking() {
                let wire = self.wire()?;
                self.send(&wire).await?;
                ensure!(self.more().await?, "the connection ended within the handshake");
            }
            Ok(())
        })
        .await?
    }

    /// Takes what TLS wants to send.
    pub fn wire(&mut self) -> Result<Vec<u8>> {
        let mut wire = Vec::new();
        while self.tls.wants_write() {
            self.tls.write_tls(&mut wire).context("write into memory")?;
        }
        Ok(wire)
    }

    /// One record for each part, as bytes of the wire, behind what TLS wants to send itself.
    pub fn records<'a>(&mut self, parts: impl IntoIterator<Item = &'a [u8]>) -> Result<Vec<u8>> {
        let mut wire = self.wire()?;
        for part in parts {
            self.tls.writer().write_all(part).context("encrypt")?;
            wire.extend(self.wire()?);
        }
        Ok(wire)
    }

    /// Sends bytes of the wire as they are.
    pub async fn send(&mut self, wire: &[u8]) -> Result<()> {
        wait::within("room for bytes", self.tcp.write_all(wire)).await?.context("send bytes")
    }

    /// Reads until the text came; then takes what came up to its end.
    pub async fn until(&mut self, text: &str) -> Result<String> {
        Ok(String::from_utf8_lossy(&self.until_bytes(text.as_bytes()).await?).into_owned())
    }

    /// The same with any bytes.
    pub async fn until_bytes(&mut self, end: &[u8]) -> Result<Vec<u8>> {
        wait::within(&format!("{:?}", String::from_utf8_lossy(end)), async {
            loop {
                if let Some(at) = self.plain.windows(end.len()).position(|window| window == end) {
                    return Ok(self.plain.drain(..at + end.len()).collect());
                }
                let came = String::from_utf8_lossy(&self.plain).into_owned();
                ensure!(self.more().await?, "the connection ended without it, after {came:?}");
            }
        })
        .await?
    }

    /// Reads to the end: whether it was in order, by `close_notify`.
    pub async fn ends_in_order(&mut self) -> Result<bool> {
        wait::within("the end of the connection", async { while let Ok(true) = self.more().await {} }).await?;
        let io = self.tls.process_new_packets();
        Ok(io.is_ok_and(|io| io.peer_has_closed()))
    }

    /// Reads more; `false` at the end of the connection.
    async fn more(&mut self) -> Result<bool> {
        let mut wire = [0; 4096];
        let count = self.tcp.read(&mut wire).await.context("read")?;
        let mut rest = &wire[..count];
        while !rest.is_empty() {
            self.tls.read_tls(&mut rest).context("read from memory")?;
            let io = self.tls.process_new_packets().context("decrypt")?;
            let at = self.plain.len();
            self.plain.resize(at + io.plaintext_bytes_to_read(), 0);
            self.tls.reader().read_exact(&mut self.plain[at..]).context("read what was decrypted")?;
        }
        Ok(count > 0)
    }
}
