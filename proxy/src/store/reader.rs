//! The thread that reads. The rule: requests that wait are answered together, from one transaction begun after the
//! last of them came, so each sees everything acknowledged before it.

use std::collections::{HashMap, HashSet};
use std::ops::Range;

use analytics_shared::{Counter, CounterState, Id, Scope, Topic};
use lambda_trigger::store::Unreadable;
use redb::{ReadOnlyTable, ReadableDatabase};
use tokio::sync::oneshot;

use super::batch::presented;
use super::file::COUNTERS;
use super::handle::{Fault, Handle};
use super::key;
use super::queue::Queue;
use super::record::{self, CounterBytes};

/// Topics answered from one transaction, so that one crowd does not keep the next request waiting for long.
const TOPICS_AT_ONCE: usize = 4_096;

/// A request to read.
pub(super) struct Request {
    pub(super) topics: Vec<Topic>,
    pub(super) answer: oneshot::Sender<Result<Vec<CounterState>, Unreadable>>,
}

/// Answers requests until the queue is closed and empty.
pub(super) fn run(queue: &Queue<Request>, handle: &Handle, base: u64) {
    let _consumer = queue.consumer();
    let mut requests: Vec<Request> = Vec::new();
    while queue.take(TOPICS_AT_ONCE, &mut requests) {
        let answers = handle.with(|database| {
            let mut reading = Reading::new(Counters::open(database, base)?);
            let answers = requests.iter().map(|request| match reading.answer(&request.topics) {
                // It concerns whoever asked for it; any other fault is the file's.
                Err(fault @ Fault::Damaged) => Ok(Err(Unreadable(fault.to_string()))),
                answer => answer.map(Ok),
            });
            answers.collect::<Result<Vec<_>, Fault>>()
        });
        match answers {
            Ok(answers) => {
                for (request, answer) in requests.drain(..).zip(answers) {
                    // A caller that went away needs no answer.
                    let _ = request.answer.send(answer);
                }
            }
            Err(fault) => {
                for request in requests.drain(..) {
                    let _ = request.answer.send(Err(Unreadable(fault.to_string())));
                }
            }
        }
    }
}

/// The counters as of one moment.
pub(super) struct Counters {
    table: ReadOnlyTable<&'static [u8], &'static CounterBytes>,
    base: u64,
    key: Vec<u8>,
}

impl Counters {
    /// The counters as of now.
    pub(super) fn open(database: &redb::Database, base: u64) -> Result<Counters, Fault> {
        let table = database.begin_read()?.open_table(COUNTERS)?;
        Ok(Counters { table, base, key: Vec::new() })
    }

    /// Appends a counter's state if it exists.
    pub(super) fn get(&mut self, counter: Counter, states: &mut Vec<CounterState>) -> Result<(), Fault> {
        key::counter(&counter, &mut self.key);
        if let Some(bytes) = self.table.get(self.key.as_slice())? {
            states.push(self.state(counter, bytes.value()));
        }
        Ok(())
    }

    /// Appends every counter that a topic shows.
    fn topic(&mut self, topic: &Topic, states: &mut Vec<CounterState>) -> Result<(), Fault> {
        let Topic { content, scope } = topic;
        self.get(Counter::new(content.clone(), Scope::public()), states)?;
        let Some(organization) = scope.organization() else { return Ok(()) };
        if scope.client().is_none() {
            return self.clients(organization, content, states);
        }
        let of_organization = Scope::new(Some(organization.clone()), None).map_err(|_| Fault::Damaged)?;
        self.get(Counter::new(content.clone(), of_organization), states)?;
        self.get(Counter::new(content.clone(), scope.clone()), states)
    }

    fn clients(&self, organization: &Id, content: &Id, states: &mut Vec<CounterState>) -> Result<(), Fault> {
        let Range { start, end } = key::clients(organization, content);
        for entry in self.table.range(start.as_slice()..end.as_slice())? {
            let (key, bytes) = entry?;
            let client = match key::client_of(key.value(), &start).ok_or(Fault::Damaged)? {
                "" => None,
                client => Some(Id::new(client).map_err(|_| Fault::Damaged)?),
            };
            let owner = Scope::new(Some(organization.clone()), client).map_err(|_| Fault::Damaged)?;
            states.push(self.state(Counter::new(content.clone(), owner), bytes.value()));
        }
        Ok(())
    }

    fn state(&self, counter: Counter, bytes: &CounterBytes) -> CounterState {
        CounterState { counter, versioned: presented(record::counter(bytes), self.base) }
    }
}

/// What has been read in one transaction, so that requests for the same topic share it.
struct Reading<'r> {
    counters: Counters,
    states: Vec<CounterState>,
    known: HashMap<&'r Topic, Range<usize>>,
}

impl<'r> Reading<'r> {
    fn new(counters: Counters) -> Reading<'r> {
        Reading { counters, states: Vec::new(), known: HashMap::new() }
    }

    /// Every counter that the topics show, each once: several topics may show the same one.
    fn answer(&mut self, topics: &'r [Topic]) -> Result<Vec<CounterState>, Fault> {
        for topic in topics {
            if !self.known.contains_key(topic) {
                let start = self.states.len();
                self.counters.topic(topic, &mut self.states)?;
                self.known.insert(topic, start..self.states.len());
            }
        }
        let shown =
            topics.iter().filter_map(|topic| self.known.get(topic)).flat_map(|range| &self.states[range.clone()]);
        let mut seen = HashSet::new();
        Ok(shown.filter(|state| topics.len() == 1 || seen.insert(&state.counter)).cloned().collect())
    }
}
