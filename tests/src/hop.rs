//! A TCP hop between two parts of the system. The rule: it forwards every byte, or it is cut: then what is open ends or
//! falls silent, as it was asked to, and nothing new gets through.

use std::net::SocketAddr;
use std::sync::Arc;

use anyhow::{Context, Result};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// How the hop is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Line {
    /// It forwards.
    Whole,
    /// It closes what is open and refuses what comes, as a server that is down.
    Broken,
    /// It takes and keeps every byte for itself, as a network that drops packets: nobody is told.
    Silent,
}

/// A hop on a free port to an address; it ends when it is dropped.
#[derive(Debug)]
pub struct Hop {
    /// Where it listens.
    pub address: SocketAddr,
    line: Arc<watch::Sender<Line>>,
    accepting: JoinHandle<()>,
}

impl Hop {
    /// Starts a whole one.
    pub async fn start(to: SocketAddr) -> Result<Hop> {
        let listener = TcpListener::bind("127.0.0.1:0").await.context("bind the hop")?;
        let address = listener.local_addr().context("the hop's address")?;
        let line = Arc::new(watch::Sender::new(Line::Whole));
        let of_accepting = line.clone();
        let accepting = tokio::spawn(async move {
            while let Ok((near, _)) = listener.accept().await {
                let line = of_accepting.subscribe();
                // A connection that fails ends itself only.
                tokio::spawn(async move { join(near, to, line).await });
            }
        });
        Ok(Hop { address, line, accepting })
    }

    /// Sets how the hop is from now on.
    pub fn set(&self, line: Line) {
        self.line.send_replace(line);
    }
}

impl Drop for Hop {
    fn drop(&mut self) {
        self.accepting.abort();
        self.set(Line::Broken);
    }
}

async fn join(near: TcpStream, to: SocketAddr, mut line: watch::Receiver<Line>) -> std::io::Result<()> {
    let now = *line.borrow_and_update();
    match now {
        Line::Whole => {}
        Line::Broken => return Ok(()),
        Line::Silent => return silence(near, line).await,
    }
    let far = TcpStream::connect(to).await?;
    near.set_nodelay(true)?;
    far.set_nodelay(true)?;
    let ((near_read, near_write), (far_read, far_write)) = (near.into_split(), far.into_split());
    let there = tokio::spawn(forward(near_read, far_write, line.clone()));
    let back = tokio::spawn(forward(far_read, near_write, line));
    // Each ends with its own side or the line; a panic in one is the other's end too.
    let _ = tokio::join!(there, back);
    Ok(())
}

/// Forwards until an end, or until the line is no longer whole; what was kept silent once is never heard again.
async fn forward(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, mut line: watch::Receiver<Line>) {
    let mut bytes = vec![0; 16 * 1024];
    let mut was_silent = false;
    loop {
        tokio::select! {
            biased;
            changed = line.changed() => {
                let now = *line.borrow_and_update();
                // After silence a stream has a hole, which no byte may follow.
                if changed.is_err() || now == Line::Broken || was_silent {
                    return;
                }
                was_silent = now == Line::Silent;
            }
            read = from.read(&mut bytes) => match read {
                Ok(0) | Err(_) => return,
                Ok(_) if was_silent => {}
                Ok(count) => if to.write_all(&bytes[..count]).await.is_err() {
                    return;
                },
            },
        }
    }
}

/// Takes a connection and says nothing for as long as the line is silent.
async fn silence(near: TcpStream, mut line: watch::Receiver<Line>) -> std::io::Result<()> {
    let _open = near;
    // Whatever comes next, this connection has not been heard: its end is the best news.
    let _ = line.changed().await;
    Ok(())
}
