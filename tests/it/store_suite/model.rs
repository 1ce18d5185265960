//! Random operations against a model. The rule: the model is the promise in its plainest form, two maps and no
//! concurrency, and the store answers as it does.

use std::collections::{BTreeMap, HashMap};

use analytics_shared::version::MAX_SAFE;
use analytics_shared::{Counter, Counts, Field, Id, OutOfRange, Topic};
use lambda_trigger::store::{Outcome, Refusal, Write, WriteKey};
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};

use super::{Fixture, Fresh, counter, keyed, topic, write};

/// Operations on so few counters and keys that they meet all the time.
#[derive(Debug, Clone)]
enum Operation {
    Apply(Vec<Write>),
    Read(Vec<Topic>),
}

/// What the store must know.
struct Model {
    base: u64,
    counters: BTreeMap<Counter, (u64, Counts)>,
    keys: HashMap<(Option<Id>, WriteKey), (Write, bool)>,
}

pub(crate) fn random_operations_agree_with_a_model(fresh: Fresh) {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let config = Config { cases: 48, failure_persistence: None, ..Config::default() };
    let operations = proptest::collection::vec(operation(), 1..25);
    let outcome = TestRunner::new(config).run(&operations, |operations| {
        runtime.block_on(async {
            let fixture = fresh().await;
            let mut model = Model::new(fixture.store.base());
            for operation in operations {
                model.check(&fixture, operation).await?;
            }
            Ok(())
        })
    });
    if let Err(failure) = outcome {
        panic!("{failure}");
    }
}

fn counters() -> Vec<Counter> {
    let places = [("", ""), ("o", ""), ("o", "c"), ("o", "d"), ("p", "")];
    let of = |content: &'static str| places.map(|(organization, client)| counter(organization, content, client));
    ["a", "b"].into_iter().flat_map(of).collect()
}

fn operation() -> impl Strategy<Value = Operation> {
    let counter = proptest::sample::select(counters());
    let increments = vec![1, 1, 2, -1, -1, -3, MAX_SAFE as i64, -(MAX_SAFE as i64)];
    let field = proptest::sample::select(Field::ALL.to_vec());
    let plain = (counter.clone(), field, proptest::sample::select(increments))
        .prop_map(|(counter, field, increment)| write(&counter, field, increment));
    let key = proptest::option::of((proptest::sample::select(vec!["k", "l"]), proptest::option::of(0_u8..2)));
    let one = (plain, key).prop_map(|(write, key)| match key {
        Some((key, member)) => keyed(write, key, member),
        None => write,
    });
    let topics = proptest::collection::vec(counter.prop_map(|counter| topic(&counter)), 0..4);
    prop_oneof![
        3 => proptest::collection::vec(one, 1..8).prop_map(Operation::Apply),
        1 => topics.prop_map(Operation::Read),
    ]
}

impl Model {
    fn new(base: u64) -> Model {
        Model { base, counters: BTreeMap::new(), keys: HashMap::new() }
    }

    async fn check(&mut self, fixture: &Fixture, operation: Operation) -> Result<(), TestCaseError> {
        match operation {
            Operation::Apply(writes) => {
                let outcomes = fixture.store.apply(writes.clone()).await;
                prop_assert_eq!(outcomes.len(), writes.len());
                for (write, outcome) in writes.into_iter().zip(outcomes) {
                    let exact = write.key.is_none() || fixture.exact_keyed_answers;
                    let expected = self.apply(write);
                    if exact {
                        prop_assert_eq!(seen(&outcome), expected);
                    } else {
                        prop_assert_eq!(seen(&outcome).roughly(), expected.roughly());
                    }
                }
            }
            Operation::Read(topics) => {
                let states =
                    fixture.store.read(&topics).await.map_err(|error| TestCaseError::fail(error.to_string()))?;
                let count = states.len();
                let read: BTreeMap<_, _> = states
                    .into_iter()
                    .map(|state| (state.counter, (state.versioned.version, state.versioned.counts)))
                    .collect();
                let shown = |counter: &Counter| topics.iter().any(|topic| topic.shows(counter));
                let expected: BTreeMap<_, _> =
                    self.counters.iter().filter(|(counter, _)| shown(counter)).map(|(c, s)| (c.clone(), *s)).collect();
                prop_assert_eq!(count, read.len(), "each counter once");
                prop_assert_eq!(read, expected);
            }
        }
        Ok(())
    }

    fn apply(&mut self, write: Write) -> Seen {
        let name = write.key.clone().map(|key| (write.counter.organization().cloned(), key));
        let (mut version, mut counts) =
            self.counters.get(&write.counter).copied().unwrap_or((self.base, Counts::default()));
        let known = name.as_ref().and_then(|name| self.keys.get(name));
        if let Some((first, applied)) = known {
            return match (*first == write, *applied) {
                (false, _) => Seen::Mismatch,
                (true, true) => Seen::Applied { version, counts, replayed: true },
                (true, false) => Seen::OutOfRange(
                    OutOfRange { field: write.field, value: counts.get(write.field), increment: write.increment },
                    true,
                ),
            };
        }
        let seen = match counts.add(write.field, write.increment) {
            Ok(_) => {
                version += 1;
                self.counters.insert(write.counter.clone(), (version, counts));
                Seen::Applied { version, counts, replayed: false }
            }
            Err(reason) => Seen::OutOfRange(reason, false),
        };
        if let Some(name) = name {
            self.keys.insert(name, (write, matches!(seen, Seen::Applied { .. })));
        }
        seen
    }
}

/// An outcome as the model knows it: without the time.
#[derive(Debug, PartialEq)]
enum Seen {
    Applied { version: u64, counts: Counts, replayed: bool },
    OutOfRange(OutOfRange, bool),
    Mismatch,
    Failed(Refusal),
}

impl Seen {
    /// Without what a later write may already have changed when a keyed write is answered.
    fn roughly(self) -> Seen {
        match self {
            Seen::Applied { replayed, .. } => Seen::Applied { version: 0, counts: Counts::default(), replayed },
            Seen::OutOfRange(reason, replayed) => Seen::OutOfRange(OutOfRange { value: 0, ..reason }, replayed),
            other => other,
        }
    }
}

fn seen(outcome: &Outcome) -> Seen {
    match outcome.clone() {
        Ok(applied) => {
            let versioned = applied.state.versioned;
            Seen::Applied { version: versioned.version, counts: versioned.counts, replayed: applied.replayed }
        }
        Err(Refusal::OutOfRange { reason, replayed }) => Seen::OutOfRange(reason, replayed),
        Err(Refusal::KeyMismatch) => Seen::Mismatch,
        Err(other) => Seen::Failed(other),
    }
}
