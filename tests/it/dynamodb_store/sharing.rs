//! Reads of one counter at once. The rule: they share a read that is still to be sent, however many they are, and each
//! sees what was acknowledged before it.

use std::time::Duration;

use analytics_shared::Field;
use analytics_tests::fault_hop::Fault;
use analytics_tests::wait;
use futures::future::join_all;
use lambda_trigger::CounterStore;

use super::Hopped;
use crate::store_suite::{applied, counter, topic, write};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_reads_of_one_counter_at_once_are_few() {
    for (organization, operation) in [("", "BatchGetItem"), ("o", "Query")] {
        let hopped = Hopped::start(|options| options.attempt = Duration::from_secs(2)).await;
        let counter = counter(organization, "a", "");
        let topics = [topic(&counter)];
        applied(&hopped.beside, write(&counter, Field::Views, 1)).await;
        // The first read is held up until it is tried again: all others find it under way.
        hopped.hop.inject(operation, Fault::Silence);
        let mut first = hopped.store.read(&topics);
        assert!(futures::poll!(&mut first).is_pending());
        wait::holds("the read to be under way", || hopped.hop.seen(operation) == 1).await.expect("it is sent");
        applied(&hopped.beside, write(&counter, Field::Views, 1)).await;
        let states = join_all((0..1000).map(|_| hopped.store.read(&topics))).await;
        for state in states {
            let views = state
                .expect("the store is readable")
                .iter()
                .map(|state| state.versioned.counts.get(Field::Views))
                .max();
            assert_eq!(views, Some(2), "what was acknowledged before is seen");
        }
        first.await.expect("the store is readable");
        // Two tries of the first one, and one for all others; one more for each moment that asking takes on a busy machine.
        let seen = hopped.hop.seen(operation);
        assert!((3..20).contains(&seen), "{seen} reads");
    }
}
