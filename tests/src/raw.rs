//! A WebSocket at the level of bytes (RFC 6455 §5.2). The rule: it sends whatever it is told, however wrong, and
//! reads what comes back frame by frame.

use std::io::ErrorKind;

use anyhow::{Context, Result, bail, ensure};
use bytes::{Buf, BytesMut};
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::line::Line;
use crate::wait;

/// Any mask does; a fixed one makes a failure repeatable.
const MASK: [u8; 4] = [0x37, 0xfa, 0x21, 0x3d];

/// Opcodes of RFC 6455 §5.2, as they stand in a first byte with FIN.
pub const TEXT: u8 = 0x81;
/// A final binary frame.
pub const BINARY: u8 = 0x82;
/// A close frame.
pub const CLOSE: u8 = 0x88;
/// A ping frame.
pub const PING: u8 = 0x89;
/// A pong frame.
pub const PONG: u8 = 0x8a;

/// A connection after its handshake, or before it.
#[derive(Debug)]
pub struct Raw {
    stream: Line,
    read: BytesMut,
    cut: bool,
}

/// A frame as it came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Frame {
    /// FIN, RSV1–3 and the opcode.
    pub first: u8,
    /// The payload, unmasked if it was masked.
    pub payload: Vec<u8>,
}

/// The request that opens a WebSocket, with further header lines (each ended by CRLF).
pub fn handshake(authority: &str, path: &str, headers: &str) -> String {
    format!(
        "GET {path} HTTP/1.1\r\nHost: {authority}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n{headers}\r\n"
    )
}

/// A masked frame, as a client must send it.
pub fn masked(first: u8, payload: &[u8]) -> Vec<u8> {
    let mut frame = header(first, 0x80, payload.len() as u64);
    frame.extend(MASK);
    frame.extend(payload.iter().zip(MASK.iter().cycle()).map(|(byte, mask)| byte ^ mask));
    frame
}

/// A frame without a mask, as a client must not send it.
pub fn unmasked(first: u8, payload: &[u8]) -> Vec<u8> {
    let mut frame = header(first, 0, payload.len() as u64);
    frame.extend(payload);
    frame
}

/// The header and mask of a frame that claims `length` bytes of payload.
pub fn masked_header(first: u8, length: u64) -> Vec<u8> {
    let mut frame = header(first, 0x80, length);
    frame.extend(MASK);
    frame
}

fn header(first: u8, mask: u8, length: u64) -> Vec<u8> {
    let mut bytes = vec![first];
    match length {
        0..=125 => bytes.push(mask | length as u8),
        126..=0xffff => {
            bytes.push(mask | 126);
            bytes.extend((length as u16).to_be_bytes());
        }
        _ => {
            bytes.push(mask | 127);
            bytes.extend(length.to_be_bytes());
        }
    }
    bytes
}

impl Raw {
    /// Connects without sending anything.
    pub async fn connect(authority: &str) -> Result<Raw> {
        Ok(Raw::on(Line::connect(authority, None).await?))
    }

    /// A connection that was made before.
    pub fn on(stream: Line) -> Raw {
        Raw { stream, read: BytesMut::new(), cut: false }
    }

    /// Whether the connection ended otherwise than in order: by a reset, or without the `close_notify` of TLS.
    pub fn was_cut(&self) -> bool {
        self.cut
    }

    /// Connects, upgrades, and reads the first message, `connected`.
    pub async fn open(authority: &str) -> Result<Raw> {
        Raw::open_on(Line::connect(authority, None).await?, authority).await
    }

    /// The same on a connection that was made before.
    pub async fn open_on(stream: Line, authority: &str) -> Result<Raw> {
        let mut raw = Raw::on(stream);
        raw.send(handshake(authority, "/analytics", "").as_bytes()).await?;
        let head = raw.head().await?;
        ensure!(head.starts_with("HTTP/1.1 101 "), "the upgrade was refused: {head}");
        let first = raw.message().await?;
        ensure!(first["type"] == "connected", "the first message is {first}");
        Ok(raw)
    }

    /// Sends bytes as they are.
    pub async fn send(&mut self, bytes: &[u8]) -> Result<()> {
        self.stream.write_all(bytes).await.context("send bytes")?;
        self.stream.flush().await.context("send bytes")
    }

    /// Reads an HTTP answer's head, status line and headers.
    pub async fn head(&mut self) -> Result<String> {
        wait::within("the head of an answer", async {
            loop {
                if let Some(at) = self.read.windows(4).position(|window| window == b"\r\n\r\n") {
                    let head = self.read.split_to(at + 4);
                    return Ok(String::from_utf8_lossy(&head).into_owned());
                }
                ensure!(self.more().await?, "the connection ended within the head of an answer");
            }
        })
        .await?
    }

    /// The JSON body of an answer whose head was read.
    pub async fn rest(&mut self) -> Result<String> {
        wait::within("the body of an answer", async {
            while !self.read.ends_with(b"}") && self.more().await? {}
            Ok(String::from_utf8_lossy(&self.read.split()).into_owned())
        })
        .await?
    }

    /// The next frame, or `None` when the connection has ended.
    pub async fn frame(&mut self) -> Result<Option<Frame>> {
        wait::within("a frame", async {
            loop {
                if let Some(frame) = self.whole_frame()? {
                    return Ok(Some(frame));
                }
                if !self.more().await? {
                    return Ok(None);
                }
            }
        })
        .await?
    }

    /// The next text message as JSON; pings are answered on the way, other frames are a failure.
    pub async fn message(&mut self) -> Result<Value> {
        loop {
            let frame = self.frame().await?.context("the connection ended instead of a message")?;
            match frame.first {
                TEXT => return serde_json::from_slice(&frame.payload).context("the message is not JSON"),
                PING => self.send(&masked(PONG, &frame.payload)).await?,
                _ => bail!("expected a text message, got {frame:?}"),
            }
        }
    }

    /// Reads until the peer's Close frame and gives its code (1005 where it has none, RFC 6455 §7.1.5), then until the
    /// connection ends. `None`: it ended without a Close frame.
    pub async fn close_code(&mut self) -> Result<Option<u16>> {
        let mut code = None;
        while let Some(frame) = self.frame().await? {
            if frame.first == CLOSE && code.is_none() {
                let payload = frame.payload.as_slice();
                code = Some(if payload.len() >= 2 { u16::from_be_bytes([payload[0], payload[1]]) } else { 1005 });
            }
        }
        Ok(code)
    }

    /// Reads more bytes; `false` at the end. A cut is an end: what was read before it counts.
    async fn more(&mut self) -> Result<bool> {
        match self.stream.read_buf(&mut self.read).await {
            Ok(count) => Ok(count > 0),
            Err(error) if matches!(error.kind(), ErrorKind::ConnectionReset | ErrorKind::UnexpectedEof) => {
                self.cut = true;
                Ok(false)
            }
            Err(error) => Err(error).context("read"),
        }
    }

    fn whole_frame(&mut self) -> Result<Option<Frame>> {
        let mut rest = &self.read[..];
        if rest.remaining() < 2 {
            return Ok(None);
        }
        let (first, second) = (rest.get_u8(), rest.get_u8());
        ensure!(second & 0x80 == 0, "a server must not mask");
        let extended = match second {
            126 => 2,
            127 => 8,
            _ => 0,
        };
        if rest.remaining() < extended {
            return Ok(None);
        }
        let length = match extended {
            2 => u64::from(rest.get_u16()),
            8 => rest.get_u64(),
            _ => u64::from(second),
        };
        let length = usize::try_from(length).context("a frame beyond memory")?;
        if rest.remaining() < length {
            return Ok(None);
        }
        self.read.advance(2 + extended);
        Ok(Some(Frame { first, payload: self.read.split_to(length).to_vec() }))
    }
}
