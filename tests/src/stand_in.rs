//! What may stand in the place of the function that calls are forwarded to. The rule: it keeps every request that came
//! as a whole, and does with each exactly what was asked for.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use anyhow::{Context, Result};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{JoinHandle, JoinSet};

/// What happens to a request that came as a whole.
#[derive(Debug, Clone)]
pub enum Act {
    /// It is answered with this status, these headers (each with its line end) and this body.
    Answer(u16, &'static str, &'static str),
    /// The same, and the connection is closed without a word of it in the answer.
    AnswerAndClose(u16, &'static str),
    /// The answer begins, and the connection ends in its middle.
    Break,
    /// The connection is closed.
    Cut,
    /// Nothing more is heard.
    Silence,
}

/// What the handler answers to an update.
pub const COUNTED: &str =
    r#"{"success":true,"contentId":"a","field":"views","value":1,"version":1,"timestamp":1700000000000}"#;

/// A server on a free port; it ends when it is dropped.
#[derive(Debug)]
pub struct StandIn {
    /// Its URL, without a trailing slash.
    pub url: String,
    state: Arc<Mutex<State>>,
    accepting: JoinHandle<()>,
}

#[derive(Debug, Default)]
struct State {
    script: VecDeque<Act>,
    requests: Vec<String>,
    connections: usize,
    closed: usize,
}

impl StandIn {
    /// Starts it. A request that no act was asked for gets 200 and [`COUNTED`].
    pub async fn start() -> Result<StandIn> {
        let listener = TcpListener::bind("127.0.0.1:0").await.context("bind the stand-in")?;
        let url = format!("http://{}", listener.local_addr().context("the stand-in's address")?);
        let state = Arc::new(Mutex::new(State::default()));
        let of_accepting = state.clone();
        let accepting = tokio::spawn(async move {
            // Dropped with this task, and every connection with it.
            let mut connections = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                let state = of_accepting.clone();
                lock(&state).connections += 1;
                connections.spawn(async move {
                    // A peer that goes away ends its own connection only.
                    let _ = serve(stream, &state).await;
                    lock(&state).closed += 1;
                });
            }
        });
        Ok(StandIn { url, state, accepting })
    }

    /// The next requests meet these, in order.
    pub fn script(&self, acts: impl IntoIterator<Item = Act>) {
        lock(&self.state).script.extend(acts);
    }

    /// The requests so far, head and body, the head in lower case.
    pub fn requests(&self) -> Vec<String> {
        lock(&self.state).requests.clone()
    }

    /// The connections so far, and how many of them have ended.
    pub fn connections(&self) -> (usize, usize) {
        let state = lock(&self.state);
        (state.connections, state.closed)
    }
}

impl Drop for StandIn {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

async fn serve(mut stream: TcpStream, state: &Mutex<State>) -> std::io::Result<()> {
    loop {
        let mut bytes = Vec::new();
        let request = loop {
            if let Some(request) = whole(&bytes) {
                break request;
            }
            if stream.read_buf(&mut bytes).await? == 0 {
                return Ok(());
            }
        };
        let act = {
            let mut state = lock(state);
            state.requests.push(request);
            state.script.pop_front().unwrap_or(Act::Answer(200, "", COUNTED))
        };
        let (status, headers, body, goes_on) = match act {
            Act::Answer(status, headers, body) => (status, headers, body, true),
            Act::AnswerAndClose(status, body) => (status, "", body, false),
            Act::Break => {
                return stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{\"success\":").await;
            }
            Act::Cut => return Ok(()),
            Act::Silence => {
                while stream.read_buf(&mut bytes).await? > 0 {
                    bytes.clear();
                }
                return Ok(());
            }
        };
        let length = body.len();
        let answer = format!("HTTP/1.1 {status} Said\r\nContent-Length: {length}\r\n{headers}\r\n{body}");
        stream.write_all(answer.as_bytes()).await?;
        if !goes_on {
            return Ok(());
        }
    }
}

/// A request that has come as a whole, its head in lower case.
fn whole(bytes: &[u8]) -> Option<String> {
    let end = bytes.windows(4).position(|window| window == b"\r\n\r\n")? + 4;
    let head = String::from_utf8_lossy(&bytes[..end]).to_ascii_lowercase();
    let length = head.lines().find_map(|line| line.strip_prefix("content-length:"));
    let length: usize = length.and_then(|length| length.trim().parse().ok()).unwrap_or(0);
    let body = bytes.get(end..end + length)?;
    Some(head + &String::from_utf8_lossy(body))
}

fn lock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}
