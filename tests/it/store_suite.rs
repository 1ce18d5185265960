//! What every counter store promises, as tests over `Arc<dyn CounterStore>`. The rule: nothing here knows which store
//! it runs on; a store is held to all of it by one line, `store_suite!(fresh)`.

pub(crate) mod batches;
pub(crate) mod concurrency;
pub(crate) mod keys;
pub(crate) mod model;
pub(crate) mod reads;

use std::any::Any;
use std::sync::Arc;

use analytics_shared::{Counter, CounterState, Field, Id, Scope, Topic};
use futures::future::BoxFuture;
use lambda_trigger::store::{Applied, CounterStore, Outcome, Write, WriteKey};

/// An empty store and what keeps it alive.
pub(crate) struct Fixture {
    /// The store under test.
    pub(crate) store: Arc<dyn CounterStore>,
    /// Whether a keyed write answers with the state right after it, not merely at or after it.
    pub(crate) exact_keyed_answers: bool,
    /// Dropped after the store: its directory, its tables.
    pub(crate) _home: Box<dyn Any + Send>,
}

/// Makes an empty store.
pub(crate) type Fresh = fn() -> BoxFuture<'static, Fixture>;

/// Runs the whole suite on the stores that a [`Fresh`] function makes, each case as a test of its own.
macro_rules! store_suite {
    ($fresh:path) => {
        $crate::store_suite::store_suite! { @async $fresh;
            batches::each_write_is_answered_in_order,
            batches::counts_stay_in_range_and_a_refusal_changes_nothing,
            batches::an_empty_batch_has_no_outcomes,
            keys::a_repeat_counts_nothing_and_shows_the_current_state,
            keys::a_refusal_is_repeated_even_when_the_write_would_fit_now,
            keys::another_update_under_a_key_is_refused_and_leaves_the_key_as_it_was,
            keys::organizations_never_share_keys_and_clients_of_one_do,
            keys::keys_of_single_calls_and_of_batch_members_never_meet,
            keys::a_repeated_batch_counts_nothing,
            concurrency::repeats_of_one_key_at_once_count_once,
            concurrency::increments_at_once_sum_exactly_and_leave_no_gap_in_versions,
            concurrency::reads_see_what_was_acknowledged_and_versions_only_rise,
            concurrency::every_final_state_is_announced_and_versions_only_rise,
            reads::a_scope_reads_exactly_what_it_shows,
            reads::a_counter_of_several_topics_comes_once,
            reads::content_that_was_never_counted_has_no_counters,
            reads::a_state_says_when_it_was_committed,
        }

        #[test]
        fn random_operations_agree_with_a_model() {
            $crate::store_suite::model::random_operations_agree_with_a_model($fresh);
        }
    };
    (@async $fresh:path; $($file:ident :: $case:ident),+ $(,)?) => {
        $(
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $case() {
                $crate::store_suite::$file::$case($fresh().await).await;
            }
        )+
    };
}
pub(crate) use store_suite;

/// An id that is known to be valid.
pub(crate) fn id(text: &str) -> Id {
    Id::new(text).expect("a valid id")
}

/// The scope of an organization and client; `""` is none.
pub(crate) fn scope(organization: &str, client: &str) -> Scope {
    let named = |text: &str| (!text.is_empty()).then(|| id(text));
    Scope::new(named(organization), named(client)).expect("no client without an organization")
}

/// A counter; `""` is no organization or client.
pub(crate) fn counter(organization: &str, content: &str, client: &str) -> Counter {
    Counter::new(id(content), scope(organization, client))
}

/// The topic that shows exactly this counter's content through its owner's eyes.
pub(crate) fn topic(of: &Counter) -> Topic {
    Topic { content: of.content().clone(), scope: of.owner().clone() }
}

/// A write without a key.
pub(crate) fn write(counter: &Counter, field: Field, increment: i64) -> Write {
    Write { counter: counter.clone(), field, increment, key: None }
}

/// A write under a key, of a single call or of a batch's member.
pub(crate) fn keyed(write: Write, key: &str, member: Option<u8>) -> Write {
    Write { key: Some(WriteKey { key: Arc::from(key), member }), ..write }
}

/// Applies one write.
pub(crate) async fn apply(store: &dyn CounterStore, write: Write) -> Outcome {
    let mut outcomes = store.apply(vec![write]).await;
    assert_eq!(outcomes.len(), 1, "one write, one outcome");
    outcomes.remove(0)
}

/// Applies one write that must count, and returns what was answered.
pub(crate) async fn applied(store: &dyn CounterStore, write: Write) -> Applied {
    apply(store, write).await.expect("the write is applied")
}

/// The state of one counter in the store, if it exists.
pub(crate) async fn stored(store: &dyn CounterStore, counter: &Counter) -> Option<CounterState> {
    let states = store.read(&[topic(counter)]).await.expect("the store is readable");
    states.into_iter().find(|state| state.counter == *counter)
}
