//! A Lambda's event, and which of its records come again. The rule: the answer names the first record whose counter's
//! newest state was not acknowledged; Lambda comes again with it and all after it, so none is passed over.
//!
//! The event source mapping must have `ReportBatchItemFailures`, and neither a limit of tries nor of age
//! (<https://docs.aws.amazon.com/lambda/latest/dg/services-ddb-batchfailurereporting.html>).

use std::collections::HashSet;
use std::time::Duration;

use analytics_shared::{Counter, CounterState};
use serde::{Deserialize, Serialize};
use tokio::time::timeout;

use super::publisher::{Publisher, Unpublished};
use crate::changelog::ChangelogError;
use crate::dynamodb::counter_state;
use crate::streams::image::EventImage;
use crate::streams::newest;

/// What Lambda hands over.
#[derive(Debug, Default, Deserialize)]
pub struct Event {
    #[serde(rename = "Records", default)]
    records: Vec<EventRecord>,
}

#[derive(Debug, Deserialize)]
struct EventRecord {
    #[serde(rename = "eventName", default)]
    name: String,
    #[serde(default)]
    dynamodb: Change,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct Change {
    sequence_number: String,
    new_image: Option<EventImage>,
}

/// What Lambda is told: from where on the records come again; nothing if all is done.
#[derive(Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Answer {
    batch_item_failures: Vec<Failure>,
}

#[derive(Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
struct Failure {
    item_identifier: String,
}

impl Answer {
    /// Whether every record is done.
    pub fn is_done(&self) -> bool {
        self.batch_item_failures.is_empty()
    }
}

/// Publishes what an event says, within a time: what is not acknowledged by then counts as not published. Nothing is
/// published before the log was found fit once.
pub async fn relay(event: &Event, publisher: &Publisher, time: Duration) -> Answer {
    let states = states(event);
    let newest = newest(states.iter().map(|(_, state)| state.clone()));
    let failed: HashSet<&Counter> = match timeout(time, publish(publisher, &newest)).await {
        Ok(Ok(results)) => {
            let failures = newest.iter().zip(results).filter_map(|(state, result)| Some((state, result.err()?)));
            let mut failed = HashSet::new();
            for (state, error) in failures {
                if failed.is_empty() {
                    tracing::warn!(%error, "a change was not published; Lambda comes again with it");
                }
                failed.insert(&state.counter);
            }
            failed
        }
        Ok(Err(error)) => {
            tracing::error!(%error, "changes cannot be published; Lambda comes again with them");
            newest.iter().map(|state| &state.counter).collect()
        }
        Err(_) => {
            tracing::warn!("changes were not acknowledged in time; Lambda comes again with them");
            newest.iter().map(|state| &state.counter).collect()
        }
    };
    answer(&states, &failed)
}

async fn publish(
    publisher: &Publisher,
    states: &[CounterState],
) -> Result<Vec<Result<(), Unpublished>>, ChangelogError> {
    publisher.ensure_once().await?;
    Ok(publisher.publish(states).await)
}

/// The states of an event with their records' sequence numbers, in order.
fn states(event: &Event) -> Vec<(&str, CounterState)> {
    let mut states = Vec::new();
    for EventRecord { name, dynamodb: Change { sequence_number, new_image } } in &event.records {
        let Some(image) = new_image.as_ref().filter(|_| name != "REMOVE") else { continue };
        match counter_state(image, 0) {
            Ok(state) => states.push((sequence_number.as_str(), state)),
            // Held back, it would hold back every count of its shard for a day, and be no counter then either.
            Err(error) => tracing::error!(sequence_number, %error, "a record holds no counter and is left out"),
        }
    }
    states
}

fn answer(states: &[(&str, CounterState)], failed: &HashSet<&Counter>) -> Answer {
    let first = states.iter().find(|(_, state)| failed.contains(&state.counter));
    let failure = first.map(|(sequence, _)| Failure { item_identifier: (*sequence).to_owned() });
    Answer { batch_item_failures: failure.into_iter().collect() }
}

#[cfg(test)]
mod tests {
    use super::*;

    const EVENT: &str = r#"{"Records":[
        {"eventID":"1","eventName":"INSERT","dynamodb":{"SequenceNumber":"10","NewImage":
            {"pk":{"S":"0:/a"},"sk":{"S":":"},"views":{"N":"1"},"version":{"N":"1"},"committed_at":{"N":"5"}}}},
        {"eventName":"REMOVE","dynamodb":{"SequenceNumber":"11","OldImage":{}}},
        {"eventName":"MODIFY","dynamodb":{"SequenceNumber":"12","NewImage":{"tags":{"SS":["x"]},"flag":{"BOOL":true}}}},
        {"eventName":"INSERT","dynamodb":{"SequenceNumber":"13","NewImage":
            {"pk":{"S":"1:o/b"},"sk":{"S":":c"},"version":{"N":"1"}}}},
        {"eventName":"MODIFY","dynamodb":{"SequenceNumber":"14","NewImage":
            {"pk":{"S":"0:/a"},"sk":{"S":":"},"views":{"N":"2"},"version":{"N":"2"}}}}
    ]}"#;

    #[test]
    fn the_first_record_whose_counter_failed_is_named() {
        let event: Event = serde_json::from_str(EVENT).expect("an event as Lambda sends it");
        let states = states(&event);
        let sequences: Vec<&str> = states.iter().map(|(sequence, _)| *sequence).collect();
        assert_eq!(sequences, ["10", "13", "14"]);
        let named = |failed: &[usize]| {
            let failed = failed.iter().map(|&index| &states[index].1.counter).collect();
            serde_json::to_value(answer(&states, &failed)).expect("an answer is JSON")
        };
        let failure = |sequence: &str| serde_json::json!({"batchItemFailures": [{"itemIdentifier": sequence}]});
        assert_eq!(named(&[]), serde_json::json!({"batchItemFailures": []}));
        assert_eq!(named(&[1]), failure("13"));
        // What replaced record 10 failed, so record 10 is not done either.
        assert_eq!(named(&[2]), failure("10"));
    }
}
