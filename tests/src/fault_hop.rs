//! A hop in front of DynamoDB that fails on demand. The rule: every request is counted by its operation, and either
//! passes untouched or meets exactly the fault that was asked for.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use anyhow::{Context, Result};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{JoinHandle, JoinSet};

/// What happens to a request.
#[derive(Debug, Clone)]
pub enum Fault {
    /// It is answered by the hop with this status and JSON body, and not forwarded.
    Answer(u16, String),
    /// It is forwarded; its answer is dropped, and nothing more is heard on the connection.
    Silence,
    /// It is forwarded; its answer is dropped together with the connection.
    Cut,
    /// The connection is closed before anything is forwarded.
    Close,
}

impl Fault {
    /// DynamoDB's refusal of this name.
    pub fn refusal(name: &str) -> Fault {
        let body = format!(r#"{{"__type":"com.amazonaws.dynamodb.v20120810#{name}","message":"injected"}}"#);
        Fault::Answer(400, body)
    }

    /// A transaction cancelled for these reasons, one for each of its items.
    pub fn cancelled(reasons: &[&str]) -> Fault {
        let reasons: Vec<String> = reasons.iter().map(|reason| format!(r#"{{"Code":"{reason}"}}"#)).collect();
        let kind = "com.amazonaws.dynamodb.v20120810#TransactionCanceledException";
        let body =
            format!(r#"{{"__type":"{kind}","Message":"injected","CancellationReasons":[{}]}}"#, reasons.join(","));
        Fault::Answer(400, body)
    }

    /// The server's own failure, which does not tell whether the request was carried out.
    pub fn internal() -> Fault {
        let body = r#"{"__type":"com.amazonaws.dynamodb.v20120810#InternalServerError","message":"injected"}"#;
        Fault::Answer(500, body.to_owned())
    }
}

/// The hop, on a free port; it ends when it is dropped.
#[derive(Debug)]
pub struct FaultHop {
    port: u16,
    upstream: u16,
    state: Arc<Mutex<State>>,
    accepting: Option<JoinHandle<()>>,
}

#[derive(Debug, Default)]
struct State {
    seen: HashMap<String, usize>,
    faults: HashMap<String, Vec<Fault>>,
    always: HashMap<String, Fault>,
}

impl FaultHop {
    /// Starts it in front of a port of this machine.
    pub async fn start(upstream: u16) -> Result<FaultHop> {
        let listener = TcpListener::bind("127.0.0.1:0").await.context("bind the hop")?;
        let port = listener.local_addr().context("the hop's address")?.port();
        let mut hop = FaultHop { port, upstream, state: Arc::default(), accepting: None };
        hop.accept_on(listener);
        Ok(hop)
    }

    /// Where it listens.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The next request of this operation (`UpdateItem`) meets the fault; faults of one operation queue up.
    pub fn inject(&self, operation: &str, fault: Fault) {
        self.state().faults.entry(operation.to_owned()).or_default().push(fault);
    }

    /// Every request of this operation meets the fault from now on, after those that were injected one by one.
    pub fn always(&self, operation: &str, fault: Fault) {
        self.state().always.insert(operation.to_owned(), fault);
    }

    /// No request meets a fault any more.
    pub fn heal(&self) {
        let mut state = self.state();
        state.faults.clear();
        state.always.clear();
    }

    /// How many requests of this operation came so far, whatever became of them.
    pub fn seen(&self, operation: &str) -> usize {
        self.state().seen.get(operation).copied().unwrap_or(0)
    }

    /// Closes every connection and refuses new ones.
    pub async fn refuse(&mut self) {
        if let Some(accepting) = self.accepting.take() {
            accepting.abort();
            // Aborted on purpose: what it returns tells nothing.
            let _ = accepting.await;
        }
    }

    /// Accepts connections again, on the same port.
    pub async fn accept(&mut self) -> Result<()> {
        let listener = TcpListener::bind(("127.0.0.1", self.port)).await.context("bind the hop again")?;
        self.accept_on(listener);
        Ok(())
    }

    fn accept_on(&mut self, listener: TcpListener) {
        let (state, upstream) = (Arc::clone(&self.state), self.upstream);
        self.accepting = Some(tokio::spawn(async move {
            // Dropped with this task, and every connection with it.
            let mut connections = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                let state = Arc::clone(&state);
                // A peer that goes away ends its own connection only.
                connections.spawn(async move { serve(stream, upstream, &state).await });
            }
        }));
    }

    fn state(&self) -> MutexGuard<'_, State> {
        lock(&self.state)
    }
}

impl Drop for FaultHop {
    fn drop(&mut self) {
        if let Some(accepting) = &self.accepting {
            accepting.abort();
        }
    }
}

/// Passes requests on, one after the other, as HTTP/1.1 without pipelining has them.
async fn serve(mut client: TcpStream, upstream: u16, state: &Mutex<State>) -> std::io::Result<()> {
    let mut server = TcpStream::connect(("127.0.0.1", upstream)).await?;
    let mut answer = vec![0; 64 * 1024];
    loop {
        let mut request = Vec::new();
        // Whatever the server still sends belongs to the last answer; the next request comes after it.
        let operation = loop {
            if let Some(operation) = whole(&request) {
                break operation;
            }
            tokio::select! {
                read = client.read_buf(&mut request) => if read? == 0 { return Ok(()) },
                read = server.read(&mut answer) => match read? {
                    0 => return Ok(()),
                    count => client.write_all(&answer[..count]).await?,
                },
            }
        };
        let fault = lock(state).meet(operation);
        match fault {
            None => server.write_all(&request).await?,
            Some(Fault::Close) => return Ok(()),
            Some(Fault::Answer(status, body)) => {
                let head = format!(
                    "HTTP/1.1 {status} Injected\r\nContent-Type: application/x-amz-json-1.0\r\nContent-Length: {}\r\n\r\n",
                    body.len()
                );
                client.write_all(head.as_bytes()).await?;
                client.write_all(body.as_bytes()).await?;
            }
            Some(fault @ (Fault::Silence | Fault::Cut)) => {
                server.write_all(&request).await?;
                // Once the answer has begun, the request was carried out.
                if server.read(&mut answer).await? == 0 {
                    return Ok(());
                }
                if matches!(fault, Fault::Silence) {
                    let mut rest = Vec::new();
                    while client.read_buf(&mut rest).await? > 0 {
                        rest.clear();
                    }
                }
                return Ok(());
            }
        }
    }
}

impl State {
    fn meet(&mut self, operation: String) -> Option<Fault> {
        *self.seen.entry(operation.clone()).or_default() += 1;
        let queued = self.faults.get_mut(&operation).filter(|faults| !faults.is_empty());
        queued.map(|faults| faults.remove(0)).or_else(|| self.always.get(&operation).cloned())
    }
}

/// The operation of a request that has arrived as a whole.
fn whole(request: &[u8]) -> Option<String> {
    let end = request.windows(4).position(|window| window == b"\r\n\r\n")? + 4;
    let head = String::from_utf8_lossy(&request[..end]).into_owned();
    let header = |name: &str| {
        let mut lines = head.lines().filter_map(|line| line.split_once(':'));
        lines.find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value.trim().to_owned())
    };
    let length: usize = header("content-length").and_then(|length| length.parse().ok()).unwrap_or(0);
    let target = header("x-amz-target").unwrap_or_default();
    let operation = target.rsplit('.').next().unwrap_or_default().to_owned();
    (request.len() >= end + length).then_some(operation)
}

fn lock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}
