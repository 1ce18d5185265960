//! What the store does with a record that it never wrote. The rule: whoever asks for it is told, and nobody else.

use analytics_shared::{CounterState, Scope, Topic};
use futures::future::{join, join_all};
use lambda_trigger::store::CounterStore;

use super::record::CounterBytes;
use super::{EmbeddedOptions, EmbeddedStore, file, key};
use crate::fixtures::id;

fn topic(content: &str) -> Topic {
    Topic { content: id(content), scope: Scope::new(Some(id("o")), None).expect("a valid scope") }
}

#[tokio::test]
async fn a_damaged_record_fails_its_own_topic_alone() {
    let home = tempfile::tempdir().expect("a directory");
    let options = EmbeddedOptions::new(home.path());
    {
        let (_, opened) = file::open(&options).expect("the store opens");
        // A client that is no UTF-8.
        let mut damaged = key::clients(&id("o"), &id("damaged")).start;
        damaged.extend([0, 1, 0xff]);
        let transaction = opened.database.begin_write().expect("it works");
        let bytes: CounterBytes = [0; size_of::<CounterBytes>()];
        transaction.open_table(file::COUNTERS).expect("it works").insert(damaged.as_slice(), &bytes).expect("it works");
        transaction.commit().expect("it works");
    }
    let store = EmbeddedStore::open(options).expect("the store opens");
    let (damaged, good) = ([topic("damaged")], [topic("good")]);
    let reads = || (store.read(&damaged), store.read(&good));
    for (damaged, good) in join_all((0..100).map(|_| async {
        let (one, other) = reads();
        join(one, other).await
    }))
    .await
    {
        assert!(damaged.expect_err("it cannot be told").to_string().contains("damaged"));
        assert_eq!(good, Ok(Vec::<CounterState>::new()));
    }
}
