//! Reads of the same topics at once. The rule: a read is shared by whoever asks before it is sent, and by nobody who asks
//! later, for it may not have what was acknowledged in between. So of one topic one read is under way and one waits for
//! its end; but no longer than [`PATIENCE`], for a read that hangs must not fail all who come after it.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use analytics_shared::{Counter, CounterState, Id, Topic};
use tokio::sync::watch;
use tokio::time::timeout;

use crate::store::Unreadable;

/// How long a read waits for the one before it: many times what DynamoDB takes. Of a topic that many ask for, four reads
/// per second begin while none of them ends.
const PATIENCE: Duration = Duration::from_millis(250);

/// What a read brought.
type Brought = Result<Arc<[CounterState]>, Unreadable>;

/// Which reads there are.
#[derive(Default)]
pub(super) struct Reads(Mutex<Table>);

#[derive(Default)]
struct Table {
    topics: HashMap<Topic, Slot>,
    next: u64,
}

/// The reads of one topic.
#[derive(Default)]
struct Slot {
    under_way: Option<Ticket>,
    waiting: Option<Ticket>,
}

/// A read that somebody waits for.
#[derive(Debug, Clone)]
struct Ticket {
    read: u64,
    brought: watch::Receiver<Option<Brought>>,
}

/// What is to be done for a request.
pub(super) struct Plan {
    /// Reads that nobody else makes; each is to be made whatever becomes of the request.
    pub(super) reads: Vec<Read>,
    /// Where the request gets its states from.
    pub(super) request: Request,
}

/// A request, and the reads that answer it.
pub(super) struct Request {
    topics: HashSet<Topic>,
    tickets: Vec<Ticket>,
}

/// A read to be made. Dropped before it is made, it fails for all who share it.
pub(super) struct Read {
    reads: Arc<Reads>,
    read: u64,
    topics: Vec<Topic>,
    after: Vec<Ticket>,
    brought: Option<Brought>,
    tell: watch::Sender<Option<Brought>>,
}

impl Reads {
    /// Shares what may be shared, and makes reads for the rest.
    pub(super) fn plan(self: &Arc<Self>, topics: &[Topic]) -> Plan {
        let topics: HashSet<Topic> = topics.iter().cloned().collect();
        let (mut tickets, mut now, mut later, mut after) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        let mut table = self.lock();
        for topic in &topics {
            match table.topics.get(topic) {
                Some(Slot { waiting: Some(ticket), .. }) => add(&mut tickets, ticket),
                Some(Slot { under_way: Some(ticket), .. }) => {
                    later.push(topic.clone());
                    add(&mut after, ticket);
                }
                _ => now.push(topic.clone()),
            }
        }
        let mut reads = Vec::new();
        for (topics, after) in [(now, Vec::new()), (later, after)] {
            if topics.is_empty() {
                continue;
            }
            let (tell, brought) = watch::channel(None);
            let ticket = Ticket { read: table.next, brought };
            table.next += 1;
            for topic in &topics {
                let slot = table.topics.entry(topic.clone()).or_default();
                let place = if after.is_empty() { &mut slot.under_way } else { &mut slot.waiting };
                *place = Some(ticket.clone());
            }
            let read = Read { reads: self.clone(), read: ticket.read, topics, after, brought: None, tell };
            tickets.push(ticket);
            reads.push(read);
        }
        drop(table);
        Plan { reads, request: Request { topics, tickets } }
    }

    /// A panic under this lock leaves no topic half changed.
    fn lock(&self) -> MutexGuard<'_, Table> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Read {
    /// Returns when it may be sent; from then on nobody joins it.
    pub(super) async fn begin(&mut self) -> &[Topic] {
        let before = async {
            for ticket in &mut self.after {
                // An error says that it has ended too.
                let _ = ticket.brought.wait_for(Option::is_some).await;
            }
        };
        // Whether it has ended or takes too long, this one goes on.
        let _ = timeout(PATIENCE, before).await;
        let mut table = self.reads.lock();
        for topic in &self.topics {
            if let Some(slot) = table.topics.get_mut(topic)
                && slot.waiting.as_ref().is_some_and(|ticket| ticket.read == self.read)
            {
                slot.under_way = slot.waiting.take();
            }
        }
        &self.topics
    }

    /// Gives all who share it what it brought.
    pub(super) fn end(mut self, brought: Result<Vec<CounterState>, Unreadable>) {
        self.brought = Some(brought.map(Arc::from));
    }
}

impl Drop for Read {
    fn drop(&mut self) {
        let mut table = self.reads.lock();
        for topic in &self.topics {
            let Some(slot) = table.topics.get_mut(topic) else { continue };
            for place in [&mut slot.under_way, &mut slot.waiting] {
                place.take_if(|ticket| ticket.read == self.read);
            }
            if slot.under_way.is_none() && slot.waiting.is_none() {
                table.topics.remove(topic);
            }
        }
        drop(table);
        let brought = self.brought.take().unwrap_or_else(|| Err(Unreadable("the process is ending".into())));
        self.tell.send_replace(Some(brought));
    }
}

impl Request {
    /// Every state that the topics show, each counter once, as the last read has it.
    pub(super) async fn states(mut self) -> Result<Vec<CounterState>, Unreadable> {
        let mut contents: HashMap<&Id, Vec<&Topic>> = HashMap::new();
        for topic in &self.topics {
            contents.entry(&topic.content).or_default().push(topic);
        }
        let shown = |counter: &Counter| {
            contents.get(counter.content()).is_some_and(|topics| topics.iter().any(|topic| topic.shows(counter)))
        };
        let mut states: HashMap<Counter, CounterState> = HashMap::new();
        for ticket in &mut self.tickets {
            let brought = ticket.brought.wait_for(Option::is_some).await;
            let brought = brought.ok().and_then(|brought| (*brought).clone());
            let brought = brought.unwrap_or_else(|| Err(Unreadable("the process is ending".into())))?;
            for state in brought.iter().filter(|state| shown(&state.counter)) {
                match states.get_mut(&state.counter) {
                    Some(known) => {
                        known.versioned.merge(&state.versioned);
                    }
                    None => {
                        states.insert(state.counter.clone(), state.clone());
                    }
                }
            }
        }
        Ok(states.into_values().collect())
    }
}

fn add(tickets: &mut Vec<Ticket>, ticket: &Ticket) {
    if !tickets.iter().any(|known| known.read == ticket.read) {
        tickets.push(ticket.clone());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use analytics_shared::Scope;
    use analytics_shared::counts::Versioned;
    use futures::FutureExt;

    fn topic(content: &str) -> Topic {
        Topic { content: Id::new(content).expect("a valid id"), scope: Scope::public() }
    }

    fn state(content: &str, version: u64) -> CounterState {
        let counter = Counter::new(Id::new(content).expect("a valid id"), Scope::public());
        CounterState { counter, versioned: Versioned { version, ..Versioned::default() } }
    }

    fn versions(request: Request) -> Option<Result<Vec<u64>, Unreadable>> {
        let states = request.states().now_or_never()?;
        Some(states.map(|states| {
            let mut versions: Vec<u64> = states.iter().map(|state| state.versioned.version).collect();
            versions.sort_unstable();
            versions
        }))
    }

    /// One read to be made, and the request that it is made for.
    fn one(mut plan: Plan) -> (Read, Request) {
        assert_eq!(plan.reads.len(), 1);
        (plan.reads.remove(0), plan.request)
    }

    #[tokio::test]
    async fn a_read_that_was_sent_is_never_joined_and_one_that_waits_always() {
        let reads = Arc::new(Reads::default());
        let (mut first, asked_first) = one(reads.plan(&[topic("a")]));
        assert_eq!(first.begin().now_or_never().expect("nothing is in its way"), [topic("a")]);
        let (mut second, asked_second) = one(reads.plan(&[topic("a")]));
        assert!(second.begin().now_or_never().is_none(), "the first one is under way");
        let joined: Vec<Request> = (0..50)
            .map(|_| {
                let plan = reads.plan(&[topic("a")]);
                assert!(plan.reads.is_empty());
                plan.request
            })
            .collect();
        first.end(Ok(vec![state("a", 1)]));
        assert_eq!(versions(asked_first), Some(Ok(vec![1])));
        // Still not sent: it may be joined.
        assert!(reads.plan(&[topic("a")]).reads.is_empty());
        assert_eq!(second.begin().now_or_never().expect("nothing is in its way"), [topic("a")]);
        let (third, asked_third) = one(reads.plan(&[topic("a")]));
        second.end(Ok(vec![state("a", 2)]));
        for request in joined.into_iter().chain([asked_second]) {
            assert_eq!(versions(request), Some(Ok(vec![2])));
        }
        third.end(Ok(vec![state("a", 3)]));
        assert_eq!(versions(asked_third), Some(Ok(vec![3])));
        assert!(reads.lock().topics.is_empty());
    }

    #[tokio::test]
    async fn a_request_is_answered_from_several_reads_and_shows_its_own_topics_only() {
        let reads = Arc::new(Reads::default());
        let (mut first, _) = one(reads.plan(&[topic("a"), topic("b")]));
        assert!(first.begin().now_or_never().is_some());
        let (waiting, _) = one(reads.plan(&[topic("a"), topic("b")]));
        let (fresh, request) = one(reads.plan(&[topic("a"), topic("c"), topic("c")]));
        first.end(Ok(vec![state("a", 1), state("b", 2)]));
        waiting.end(Ok(vec![state("a", 4), state("b", 5)]));
        fresh.end(Ok(vec![state("c", 6)]));
        assert_eq!(versions(request), Some(Ok(vec![4, 6])));
    }

    #[test]
    fn a_read_that_fails_or_is_given_up_fails_those_who_share_it_and_no_later_one() {
        let reads = Arc::new(Reads::default());
        let (first, request) = one(reads.plan(&[topic("a")]));
        first.end(Err(Unreadable("why".into())));
        assert_eq!(versions(request), Some(Err(Unreadable("why".into()))));
        let (second, request) = one(reads.plan(&[topic("a")]));
        let (third, asked_third) = one(reads.plan(&[topic("a")]));
        drop(second);
        assert!(versions(request).is_some_and(|outcome| outcome.is_err()));
        third.end(Ok(vec![state("a", 1)]));
        assert_eq!(versions(asked_third), Some(Ok(vec![1])));
        assert!(reads.lock().topics.is_empty());
    }

    #[tokio::test]
    async fn a_read_that_hangs_keeps_later_ones_for_a_moment_only() {
        let reads = Arc::new(Reads::default());
        let (mut hangs, _) = one(reads.plan(&[topic("a")]));
        hangs.begin().await;
        let (mut second, asked_second) = one(reads.plan(&[topic("a")]));
        second.begin().await;
        let (mut third, asked_third) = one(reads.plan(&[topic("a")]));
        second.end(Ok(vec![state("a", 2)]));
        assert_eq!(versions(asked_second), Some(Ok(vec![2])));
        third.begin().now_or_never().expect("what it waited for has ended");
        // The end of the first one changes nothing for those who came later.
        drop(hangs);
        assert_eq!(reads.lock().topics.len(), 1);
        third.end(Ok(vec![state("a", 3)]));
        assert_eq!(versions(asked_third), Some(Ok(vec![3])));
        assert!(reads.lock().topics.is_empty());
    }
}
