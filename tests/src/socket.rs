//! A WebSocket client as the contract wants it. The rule: it reads on a task of its own, checks every update against
//! the promises of one connection, and keeps the newest value of everything.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use anyhow::{Context, Result, bail, ensure};
use futures::stream::{SplitSink, SplitStream};
use futures::{SinkExt, StreamExt};
use serde_json::Value;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::handshake::client::Response;
use tokio_tungstenite::tungstenite::http::{HeaderName, HeaderValue};
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;

use crate::edge::Edge;
use crate::line::Line;
use crate::memory::{Counter, Memory, Shown, Shows};
use crate::wait;

/// The most messages kept for a test that has not asked for them yet.
const MAX_KEPT: usize = 1_000_000;

/// How a connection is made.
#[derive(Debug, Default)]
pub struct Dial {
    /// The path and query; empty means `/analytics`.
    pub path: String,
    /// Further headers of the handshake.
    pub headers: Vec<(&'static str, String)>,
    /// What the client remembers of earlier connections.
    pub memory: Memory,
    /// The socket's receive buffer in bytes; a small one makes a client that does not read felt soon.
    pub receive_buffer: Option<u32>,
    /// Whether updates are kept in order as well, for [`Socket::take_messages`].
    pub keep_updates: bool,
}

/// An open connection.
#[derive(Debug)]
pub struct Socket {
    sink: SplitSink<WebSocketStream<Line>, Message>,
    shared: Arc<Mutex<Seen>>,
    reading: watch::Sender<bool>,
    reader: JoinHandle<()>,
    /// The subprotocol that the edge chose.
    pub protocol: Option<String>,
}

/// What a connection has been told.
#[derive(Debug, Default)]
pub struct Seen {
    /// The newest value of everything, over this and earlier connections.
    pub memory: Memory,
    /// The `base` of `connected`.
    pub base: u64,
    /// The `clientId` of `connected`.
    pub connection: String,
    /// How many updates came.
    pub updates: u64,
    /// How it ended, once it has.
    pub end: Option<End>,
    messages: VecDeque<Value>,
    shows: Shows,
    keep_updates: bool,
    broken: Option<String>,
}

/// How a connection ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct End {
    /// The close code; `None` where the connection ended without a Close frame.
    pub code: Option<u16>,
    /// The reason of the Close frame, or the error.
    pub reason: String,
}

impl Socket {
    /// Connects to an edge with nothing special.
    pub async fn open(edge: &Edge) -> Result<Socket> {
        Dial::default().open(edge).await
    }

    /// Connects with a token in the subprotocol, as a browser does.
    pub async fn open_with_token(edge: &Edge, token: &str) -> Result<Socket> {
        Dial::default().header("sec-websocket-protocol", format!("bearer, {token}")).open(edge).await
    }

    /// Sends a JSON message.
    pub async fn send(&mut self, message: &Value) -> Result<()> {
        self.send_text(&message.to_string()).await
    }

    /// Sends a text message.
    pub async fn send_text(&mut self, text: &str) -> Result<()> {
        self.send_message(Message::text(text)).await
    }

    /// Sends any message.
    pub async fn send_message(&mut self, message: Message) -> Result<()> {
        wait::within("room for a message", self.sink.send(message)).await?.context("send a message")
    }

    /// Sends a message and awaits its reply, which must have this type. Updates do not count as replies.
    pub async fn ask(&mut self, message: &Value, reply_type: &str) -> Result<Value> {
        self.send(message).await?;
        self.reply(reply_type).await
    }

    /// Awaits the next message other than an update; it must have this type.
    pub async fn reply(&mut self, reply_type: &str) -> Result<Value> {
        let what = format!("a message of type {reply_type}");
        let reply = wait::until(&what, async || {
            let mut seen = self.seen();
            let at = seen.messages.iter().position(|message| message["type"] != "analytics_update");
            match at.and_then(|at| seen.messages.remove(at)) {
                Some(message) => Some(Ok(message)),
                None => seen.end.clone().map(Err),
            }
        });
        match reply.await? {
            Ok(message) if message["type"] == reply_type => Ok(message),
            Ok(message) => bail!("expected {what}, got {message}"),
            Err(end) => bail!("expected {what}, but the connection ended: {end:?}"),
        }
    }

    /// What it has been told so far. Panics if an update broke the promises of a connection.
    pub fn seen(&self) -> MutexGuard<'_, Seen> {
        let seen = lock(&self.shared);
        assert!(seen.broken.is_none(), "the connection's promise is broken: {:?}", seen.broken);
        seen
    }

    /// The value last shown of a public counter.
    pub fn public(&self, content: &str, field: &str) -> Option<u64> {
        self.value(&Counter::public(content), field)
    }

    /// The value last shown.
    pub fn value(&self, counter: &Counter, field: &str) -> Option<u64> {
        self.seen().memory.value(counter, field)
    }

    /// Takes the messages kept and not yet taken, in order.
    pub fn take_messages(&self) -> Vec<Value> {
        self.seen().messages.drain(..).collect()
    }

    /// Stops reading, or reads again. At most one message is read after it has stopped.
    pub fn read(&self, reading: bool) {
        self.reading.send_replace(reading);
    }

    /// Waits until the value last shown is this one.
    pub async fn shows(&self, counter: &Counter, field: &str, value: u64) -> Result<()> {
        wait::holds(&format!("{counter:?} {field} = {value}"), || self.value(counter, field) == Some(value))
            .await
            .with_context(|| format!("the last value is {:?}", self.value(counter, field)))
    }

    /// Waits for the end of the connection.
    pub async fn ended(&self) -> Result<End> {
        wait::until("the connection to end", async || self.seen().end.clone()).await
    }

    /// Says goodbye (1000), waits for the end, and gives back what the client remembers.
    pub async fn close(mut self) -> Result<Memory> {
        wait::within("room for a Close frame", self.sink.close()).await?.context("close")?;
        self.ended().await?;
        Ok(self.into_memory())
    }

    /// What the client remembers; the connection is cut without a word.
    pub fn into_memory(self) -> Memory {
        std::mem::take(&mut self.seen().memory)
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        self.reader.abort();
    }
}

impl Dial {
    /// Adds a header.
    pub fn header(mut self, name: &'static str, value: impl Into<String>) -> Dial {
        self.headers.push((name, value.into()));
        self
    }

    /// Connects, upgrades and awaits `connected`.
    pub async fn open(self, edge: &Edge) -> Result<Socket> {
        self.open_at(&edge.authority()?).await
    }

    /// The same with whatever listens at `host:port`.
    pub async fn open_at(self, authority: &str) -> Result<Socket> {
        wait::within("a connection", self.connect(authority)).await?
    }

    async fn connect(self, authority: &str) -> Result<Socket> {
        let path = if self.path.is_empty() { "/analytics" } else { &self.path };
        let mut request = format!("ws://{authority}{path}").into_client_request().context("build the handshake")?;
        for (name, value) in &self.headers {
            let name = HeaderName::from_static(name);
            request.headers_mut().insert(name, HeaderValue::from_str(value).context("a header's value")?);
        }
        let stream = Line::connect(authority, self.receive_buffer).await?;
        // The default read buffer (128 KiB) is a burden with many clients, and hides one that does not read.
        let config = WebSocketConfig::default().read_buffer_size(4096);
        let (stream, response) =
            tokio_tungstenite::client_async_with_config(request, stream, Some(config)).await.context("upgrade")?;
        let (sink, mut source) = stream.split();
        let seen = first_message(&mut source, self.memory, self.keep_updates).await?;
        let shared = Arc::new(Mutex::new(seen));
        let (reading, may_read) = watch::channel(true);
        let reader = tokio::spawn(read(source, may_read, shared.clone()));
        Ok(Socket { sink, shared, reading, reader, protocol: protocol(&response) })
    }
}

fn protocol(response: &Response) -> Option<String> {
    Some(response.headers().get("sec-websocket-protocol")?.to_str().ok()?.to_owned())
}

async fn first_message(
    source: &mut SplitStream<WebSocketStream<Line>>,
    mut memory: Memory,
    keep_updates: bool,
) -> Result<Seen> {
    let first = source.next().await.context("the connection ended before `connected`")?.context("read")?;
    let first: Value = serde_json::from_str(first.to_text().context("`connected` is no text")?)?;
    ensure!(first["type"] == "connected", "the first message is {first}");
    ensure!(first["timestamp"].is_u64(), "no timestamp in {first}");
    let base = first["base"].as_u64().with_context(|| format!("no base in {first}"))?;
    let connection = first["clientId"].as_str().with_context(|| format!("no clientId in {first}"))?.to_owned();
    memory.forget_below(base);
    Ok(Seen { memory, base, connection, shows: Shows::above(base), keep_updates, ..Seen::default() })
}

async fn read(
    mut source: SplitStream<WebSocketStream<Line>>,
    mut may_read: watch::Receiver<bool>,
    shared: Arc<Mutex<Seen>>,
) {
    loop {
        if may_read.wait_for(|may| *may).await.is_err() {
            return;
        }
        let message = source.next().await;
        let mut seen = lock(&shared);
        match message {
            Some(Ok(Message::Text(text))) => match serde_json::from_str(&text) {
                Ok(message) => seen.take(message),
                Err(error) => seen.breaks(format!("a message is not JSON ({error}): {text}")),
            },
            Some(Ok(Message::Close(frame))) => {
                let (code, reason) =
                    frame.map_or((1005, String::new()), |frame| (frame.code.into(), frame.reason.as_str().to_owned()));
                seen.end = Some(End { code: Some(code), reason });
            }
            Some(Ok(Message::Binary(_) | Message::Frame(_))) => seen.breaks("a binary message".to_owned()),
            Some(Ok(Message::Ping(_) | Message::Pong(_))) => {}
            Some(Err(error)) => {
                seen.end.get_or_insert(End { code: None, reason: error.to_string() });
                return;
            }
            None => {
                seen.end.get_or_insert(End { code: None, reason: "the stream ended".to_owned() });
                return;
            }
        }
    }
}

impl Seen {
    fn take(&mut self, message: Value) {
        if message["type"] == "analytics_update" {
            self.updates += 1;
            if let Err(broken) = self.take_update(&message) {
                self.breaks(broken);
            }
            if !self.keep_updates {
                return;
            }
        }
        if self.messages.len() == MAX_KEPT {
            self.breaks(format!("more than {MAX_KEPT} messages that no test asked for"));
            return;
        }
        self.messages.push_back(message);
    }

    fn take_update(&mut self, message: &Value) -> Result<(), String> {
        let counter = Counter::of_message(message);
        let field = message["field"].as_str().ok_or_else(|| format!("no field in {message}"))?;
        let number = |name: &str| message[name].as_u64().ok_or_else(|| format!("no {name} in {message}"));
        let shown = Shown { value: number("value")?, version: number("version")? };
        number("timestamp")?;
        self.shows.check(&counter, field, shown)?;
        self.memory.take(&counter, field, shown);
        Ok(())
    }

    /// The first broken promise stays; what follows may only be its consequence.
    fn breaks(&mut self, what: String) {
        self.broken.get_or_insert(what);
    }
}

fn lock(shared: &Mutex<Seen>) -> MutexGuard<'_, Seen> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}
