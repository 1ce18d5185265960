//! Reads what hubs begin to watch. The rule: a read ends in the rings or is repeated; nothing that was asked for is
//! given up while the process lives; and what cannot be read keeps nothing else waiting.

use std::collections::VecDeque;
use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant};

use analytics_shared::Topic;
use lambda_trigger::CounterStore;

use super::{Feed, Item, lock};

/// Topics per read.
const BATCH: usize = 128;

/// Between the beginnings of two reads, unless a whole batch waits: a crowd that comes back comes one by one, and is
/// gathered into a hundred reads per second at most. Whoever comes alone waits for nothing.
const GATHER: Duration = Duration::from_millis(10);

/// Between two tries of a store that cannot be read; doubled up to [`MAX_PAUSE`].
const PAUSE: Duration = Duration::from_millis(100);
const MAX_PAUSE: Duration = Duration::from_secs(5);

/// Between two looks at a ring that is full of states that were read; the hub behind it is at work.
const RING_PAUSE: Duration = Duration::from_millis(1);
const RING_TRIES: u32 = 1000;

impl Feed {
    /// The reader thread's work until [`Feed::close_reads`].
    pub(crate) fn read_on(self: &Arc<Self>, store: &dyn CounterStore, runtime: &tokio::runtime::Runtime) {
        let mut pause = PAUSE;
        let mut not_before = Instant::now();
        // Halved by a failure, doubled by a success: so one topic that cannot be read is soon tried alone.
        let mut size = BATCH;
        // What cannot be read alone, and when it is tried again.
        let mut aside: VecDeque<(Instant, Topic)> = VecDeque::new();
        while let Some(topics) = self.next_reads(not_before, size, aside.front().map(|(due, _)| *due)) {
            while aside.front().is_some_and(|(due, _)| *due <= Instant::now()) {
                // Unless nobody watches it any more.
                self.read(aside.pop_front().map(|(_, topic)| topic).into_iter().collect());
            }
            if topics.is_empty() {
                continue;
            }
            not_before = Instant::now() + GATHER;
            // After the topics were taken: every watch that asked for one of them has its stamp already.
            let stamp = lock(&self.routing).stamp;
            self.metrics.store_reads.inc();
            match runtime.block_on(store.read(&topics)) {
                Ok(states) => {
                    pause = PAUSE;
                    size = (size * 2).min(BATCH);
                    self.unreadable.store(false, Ordering::Relaxed);
                    let loaded = topics.into_iter().map(|topic| Item::Loaded { topic, stamp });
                    let mut items: Vec<Item> = states.into_iter().map(Item::State).chain(loaded).collect();
                    // A hub that is only busy makes room soon; one that is stuck must not keep the others waiting.
                    for patience in (0..RING_TRIES).rev() {
                        items = self.deliver(items, patience == 0);
                        if items.is_empty() {
                            break;
                        }
                        std::thread::park_timeout(RING_PAUSE);
                    }
                }
                Err(error) => {
                    self.metrics.store_read_failures.inc();
                    if !self.unreadable.swap(true, Ordering::Relaxed) {
                        tracing::warn!(%error, "watched counters cannot be read; trying again");
                    }
                    size = (topics.len() / 2).max(1);
                    if let [topic] = &topics[..] {
                        aside.push_back((Instant::now() + MAX_PAUSE, topic.clone()));
                        std::thread::park_timeout(PAUSE);
                        continue;
                    }
                    // Unless nobody watches them any more.
                    self.read(topics);
                    std::thread::park_timeout(pause);
                    pause = (pause * 2).min(MAX_PAUSE);
                }
            }
        }
    }

    /// Ends the threads of the reader and of the stream after what they are doing.
    pub(crate) fn close_reads(&self) {
        lock(&self.reads).closed = true;
        self.reads_wanted.notify_all();
        self.closing.notify_waiters();
    }

    /// The next topics to read, up to `size`; waits for some, and for a time or so many, and ends with the feed. An
    /// empty list says that something else is `due` and nothing has come.
    fn next_reads(&self, not_before: Instant, size: usize, due: Option<Instant>) -> Option<Vec<Topic>> {
        let mut reads = lock(&self.reads);
        loop {
            if reads.closed {
                return None;
            }
            let count = reads.len();
            let until = if count == 0 { due } else { Some(not_before) };
            let left = until.map(|until| until.saturating_duration_since(Instant::now()));
            if count >= size || left.is_some_and(|left| left.is_zero()) {
                return Some(std::iter::from_fn(|| reads.take()).take(size).collect());
            }
            reads = match left {
                None => self.reads_wanted.wait(reads).unwrap_or_else(PoisonError::into_inner),
                Some(left) => self.reads_wanted.wait_timeout(reads, left).unwrap_or_else(PoisonError::into_inner).0,
            };
        }
    }
}
