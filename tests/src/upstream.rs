//! The platform that stands behind the edge. The rule: it records the head of every request that reaches it, and
//! answers so that the caller knows who answered.

use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Context, Result};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

/// The body of every answer.
pub const BODY: &str = "answered by the platform";

/// The most heads kept, and the most bytes of one.
const MAX_HEADS: usize = 1000;
const MAX_HEAD_BYTES: usize = 64 * 1024;

/// A server on a free port; it ends when it is dropped.
#[derive(Debug)]
pub struct Upstream {
    /// Its URL, without a trailing slash.
    pub url: String,
    heads: Arc<Mutex<Vec<String>>>,
    accepting: JoinHandle<()>,
}

impl Upstream {
    /// Starts it. A plain request gets 200 and [`BODY`]; an upgrade gets 101, then its own bytes back.
    pub async fn start() -> Result<Upstream> {
        let listener = TcpListener::bind("127.0.0.1:0").await.context("bind the upstream")?;
        let url = format!("http://{}", listener.local_addr().context("the upstream's address")?);
        let heads = Arc::new(Mutex::new(Vec::new()));
        let record = heads.clone();
        let accepting = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let record = record.clone();
                // A peer that goes away ends its own exchange only.
                tokio::spawn(async move { serve(stream, &record).await });
            }
        });
        Ok(Upstream { url, heads, accepting })
    }

    /// The heads of the requests so far, in order.
    pub fn heads(&self) -> Vec<String> {
        self.heads.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Drop for Upstream {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

async fn serve(mut stream: TcpStream, record: &Mutex<Vec<String>>) -> std::io::Result<()> {
    let mut bytes = Vec::new();
    let end = loop {
        if let Some(at) = bytes.windows(4).position(|window| window == b"\r\n\r\n") {
            break at + 4;
        }
        if bytes.len() > MAX_HEAD_BYTES || stream.read_buf(&mut bytes).await? == 0 {
            return Ok(());
        }
    };
    let head = String::from_utf8_lossy(&bytes[..end]).into_owned();
    let upgrade = head.to_ascii_lowercase().contains("\r\nupgrade: ");
    {
        let mut heads = record.lock().unwrap_or_else(PoisonError::into_inner);
        if heads.len() < MAX_HEADS {
            heads.push(head);
        }
    }
    if upgrade {
        stream.write_all(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: echo\r\nConnection: Upgrade\r\n\r\n").await?;
        stream.write_all(&bytes[end..]).await?;
        let (mut read, mut write) = stream.split();
        tokio::io::copy(&mut read, &mut write).await?;
        return Ok(());
    }
    let length = BODY.len();
    let answer = format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{BODY}");
    stream.write_all(answer.as_bytes()).await
}
