//! A hop in front of DynamoDB that fails on demand. The rule: every request is counted by its operation, and either
//! passes untouched or meets exactly the fault that was asked for.
//!
//! | file | subject |
//! |---|---|
//! | `exchange` | whole HTTP messages |
//! | `records` | pages of the stream that come duplicated, reordered and late |

mod exchange;
mod records;

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use anyhow::{Context, Result};
use tokio::io::AsyncReadExt;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{JoinHandle, JoinSet};

use exchange::{Message, settle};
use records::Disturbance;

pub use records::Disturbed;

/// The operations that change something.
const WRITES: [&str; 3] = ["TransactWriteItems", "UpdateItem", "PutItem"];

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
    storms: HashMap<String, VecDeque<Option<Fault>>>,
    disturbance: Option<Disturbance>,
    settles: bool,
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
        self.storm(operation, [Some(fault)]);
    }

    /// Requests of this operation meet these one after the other from now on, over and over; `None` passes.
    pub fn storm(&self, operation: &str, faults: impl IntoIterator<Item = Option<Fault>>) {
        self.state().storms.insert(operation.to_owned(), faults.into_iter().collect());
    }

    /// From now on the stream's records come duplicated, reordered and late, as this seed has it.
    pub fn disturb_records(&self, seed: u64) {
        self.state().disturbance = Some(Disturbance::new(seed));
    }

    /// What was done to the stream's records so far.
    pub fn disturbed(&self) -> Disturbed {
        self.state().disturbance.as_ref().map_or(Disturbed::default(), |disturbance| disturbance.done)
    }

    /// From now on no write is answered before it is in the server's file, so that the server may be killed: DynamoDB
    /// Local itself answers a transaction a moment earlier.
    pub fn settle_writes(&self) {
        self.state().settles = true;
    }

    /// No request meets a fault any more.
    pub fn heal(&self) {
        let mut state = self.state();
        state.faults.clear();
        state.storms.clear();
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
    let mut unasked = [0; 1];
    loop {
        let request = tokio::select! {
            request = Message::read(&mut client) => request?,
            // A server says nothing unasked; it can only leave.
            _ = server.read(&mut unasked) => None,
        };
        let Some(request) = request else { return Ok(()) };
        let operation = request.operation();
        let fault = lock(state).meet(&operation);
        match &fault {
            Some(Fault::Close) => return Ok(()),
            Some(Fault::Answer(status, body)) => {
                Message::answer(*status, body.as_bytes()).write(&mut client).await?;
                continue;
            }
            Some(Fault::Silence | Fault::Cut) | None => {}
        }
        request.write(&mut server).await?;
        let Some(answer) = Message::read(&mut server).await? else { return Ok(()) };
        if lock(state).settles && WRITES.contains(&operation.as_str()) {
            settle(&mut server).await?;
        }
        match fault {
            None => {
                let changed = (operation == "GetRecords").then(|| lock(state).page(answer.body())).flatten();
                let answer = changed.map_or(answer, |body| Message::answer(200, &body));
                answer.write(&mut client).await?;
            }
            Some(Fault::Silence) => {
                // Until the client has had enough.
                while Message::read(&mut client).await?.is_some() {}
                return Ok(());
            }
            Some(_) => return Ok(()),
        }
    }
}

impl State {
    fn meet(&mut self, operation: &str) -> Option<Fault> {
        *self.seen.entry(operation.to_owned()).or_default() += 1;
        let queued = self.faults.get_mut(operation).filter(|faults| !faults.is_empty());
        if let Some(faults) = queued {
            return Some(faults.remove(0));
        }
        let storm = self.storms.get_mut(operation)?;
        storm.rotate_left(1);
        storm.back().cloned().flatten()
    }

    /// The body of a page of records, changed; `None` where it stays as it is.
    fn page(&mut self, body: &[u8]) -> Option<Vec<u8>> {
        self.disturbance.as_mut()?.page(body)
    }
}

fn lock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}
