//! A page that stays. The rule: cut by whatever, it connects again and remembers, as the contract asks of a client; what
//! any of its connections was shown against their promises, whoever asks for a value is told.

use std::mem;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::{Result, ensure};
use serde_json::{Value, json};
use tokio::task::JoinHandle;
use tokio::time::sleep;

use crate::memory::{Counter, Memory};
use crate::socket::{Dial, Socket};
use crate::wait;

/// Between two looks at a connection, and between two tries to make one.
const INTERVAL: Duration = Duration::from_millis(20);

/// The page; it leaves when it is dropped.
#[derive(Debug)]
pub struct Viewer {
    place: Arc<Place>,
    task: JoinHandle<()>,
}

#[derive(Debug)]
struct Place {
    authority: String,
    subscribe: Value,
    state: Mutex<State>,
    connections: AtomicU64,
}

#[derive(Debug)]
enum State {
    Watching(Socket),
    Away(Memory),
}

impl Viewer {
    /// Connects to `host:port` and subscribes; then stays there.
    pub async fn start(authority: &str, organization: Option<&str>, contents: &[&str]) -> Result<Viewer> {
        let subscribe = json!({"type": "subscribe", "contentIds": contents, "organizationId": organization});
        let place = Place {
            authority: authority.to_owned(),
            subscribe,
            state: Mutex::new(State::Away(Memory::default())),
            connections: AtomicU64::new(0),
        };
        place.connect(Memory::default()).await?;
        let place = Arc::new(place);
        let task = tokio::spawn(stay(Arc::clone(&place)));
        Ok(Viewer { place, task })
    }

    /// The value last shown, over all connections. Panics if a promise of any of them was broken.
    pub fn value(&self, counter: &Counter, field: &str) -> Option<u64> {
        assert!(!self.task.is_finished(), "a connection's promise was broken; what it was is printed above");
        match &*self.place.state() {
            State::Watching(socket) => socket.value(counter, field),
            State::Away(memory) => memory.value(counter, field),
        }
    }

    /// How many connections it has had.
    pub fn connections(&self) -> u64 {
        self.place.connections.load(Ordering::Relaxed)
    }
}

impl Drop for Viewer {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn stay(place: Arc<Place>) {
    loop {
        sleep(INTERVAL).await;
        let memory = match &mut *place.state() {
            State::Watching(socket) if socket.seen().end.is_none() => continue,
            state => match mem::replace(state, State::Away(Memory::default())) {
                State::Watching(socket) => {
                    let memory = socket.into_memory();
                    *state = State::Away(memory.clone());
                    memory
                }
                State::Away(memory) => {
                    *state = State::Away(memory.clone());
                    memory
                }
            },
        };
        // A refusal is as good as a cut: it tries again.
        let _ = place.connect(memory).await;
    }
}

async fn subscribed(socket: &Socket) -> Result<()> {
    while !socket.take_messages().iter().any(|message| message["type"] == "subscribed") {
        let end = socket.seen().end.clone();
        ensure!(end.is_none(), "the connection ended: {end:?}");
        sleep(INTERVAL).await;
    }
    Ok(())
}

impl Place {
    async fn connect(&self, memory: Memory) -> Result<()> {
        let mut socket = Dial { memory, ..Dial::default() }.open_at(&self.authority).await?;
        socket.send(&self.subscribe).await?;
        wait::within("`subscribed`", subscribed(&socket)).await??;
        *self.state() = State::Watching(socket);
        self.connections.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
