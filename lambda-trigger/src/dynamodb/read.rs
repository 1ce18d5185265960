//! Consistent reads of topics. The rule: every counter is asked for once, whatever the number of topics that show it,
//! and the number of requests under way is bounded.
//!
//! A content's counters within an organization are one partition: a scope without a client queries it, a scope with one
//! gets its two items by name. Public counters are got by name.

use std::collections::HashSet;

use analytics_shared::{Counter, CounterState, Id, Scope, Topic};
use aws_sdk_dynamodb::types::KeysAndAttributes;
use futures::stream::{self, StreamExt, TryStreamExt};

use super::failure::Failed;
use super::item::{Item, PARTITION, s};
use super::patience::Patience;
use super::update::key_of;
use super::{Inner, counter_state, key};
use crate::store::Unreadable;

/// The most items of one BatchGetItem
/// (<https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_BatchGetItem.html>).
const GET: usize = 100;

/// What is to be read.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Plan {
    /// Whole partitions: an organization's counters of a content.
    partitions: HashSet<(Id, Id)>,
    /// Single counters, none of them in one of the partitions.
    counters: HashSet<Counter>,
}

/// One request of a plan, or several where its answer does not fit into one.
enum Part {
    Partition(String),
    Items(Vec<Item>),
}

impl Plan {
    /// What shows all that the topics show.
    pub(super) fn of(topics: &[Topic]) -> Plan {
        let mut plan = Plan::default();
        for Topic { content, scope } in topics {
            plan.counters.insert(Counter::new(content.clone(), Scope::public()));
            match (scope.organization(), scope.client()) {
                (Some(organization), None) => {
                    plan.partitions.insert((organization.clone(), content.clone()));
                }
                (Some(organization), Some(_)) => {
                    plan.counters.insert(Counter::new(content.clone(), scope.clone()));
                    // Without a client there is nothing to be refused.
                    let without = Scope::new(Some(organization.clone()), None).unwrap_or_default();
                    plan.counters.insert(Counter::new(content.clone(), without));
                }
                (None, _) => {}
            }
        }
        let Plan { partitions, counters } = &mut plan;
        counters.retain(|counter| {
            let organization = counter.organization().cloned();
            organization.is_none_or(|organization| !partitions.contains(&(organization, counter.content().clone())))
        });
        plan
    }

    /// These counters.
    pub(super) fn exactly(counters: HashSet<Counter>) -> Plan {
        Plan { partitions: HashSet::new(), counters }
    }

    fn parts(self) -> Vec<Part> {
        let partition =
            |(organization, content): (Id, Id)| Part::Partition(key::partition(Some(&organization), &content));
        let keys: Vec<Item> = self.counters.iter().map(key_of).collect();
        let items = keys.chunks(GET).map(|keys| Part::Items(keys.to_vec()));
        items.chain(self.partitions.into_iter().map(partition)).collect()
    }
}

impl Inner {
    /// Reads a plan's counters, as many as exist, in no particular order.
    pub(super) async fn read(&self, plan: Plan, patience: &Patience) -> Result<Vec<CounterState>, Unreadable> {
        let parts = stream::iter(plan.parts()).map(|part| async {
            match part {
                Part::Partition(partition) => self.query(partition, patience.renewed()).await,
                Part::Items(keys) => self.get(keys, patience.renewed()).await,
            }
        });
        parts.buffer_unordered(self.concurrency).try_concat().await
    }

    async fn get(&self, mut keys: Vec<Item>, mut patience: Patience) -> Result<Vec<CounterState>, Unreadable> {
        let mut states = Vec::with_capacity(keys.len());
        let mut reason = "DynamoDB did not return all items in time".to_owned();
        while !keys.is_empty() {
            let attempt = patience.next().ok_or(Unreadable(reason.clone()))?;
            let wanted = KeysAndAttributes::builder().set_keys(Some(keys.clone())).consistent_read(true).build();
            let wanted = wanted.map_err(|error| Unreadable(error.to_string()))?;
            let request = self.client.sdk().batch_get_item().request_items(self.tables.counters(), wanted);
            match self.client.send(attempt, |sent| request.customize().interceptor(sent).send()).await {
                Ok(output) => {
                    let items = output.responses.unwrap_or_default().remove(self.tables.counters());
                    self.decode(items.unwrap_or_default(), &mut states)?;
                    let rest = output.unprocessed_keys.unwrap_or_default().remove(self.tables.counters());
                    let rest = rest.map(|rest| rest.keys).unwrap_or_default();
                    // Less than all is progress; nothing at all is throttling.
                    if rest.len() < keys.len() {
                        patience = patience.renewed();
                    }
                    keys = rest;
                    if !keys.is_empty() {
                        patience.pause().await;
                    }
                }
                Err(failed) => reason = self.wait_after(failed, &mut patience).await?,
            }
        }
        Ok(states)
    }

    async fn query(&self, partition: String, mut patience: Patience) -> Result<Vec<CounterState>, Unreadable> {
        let mut states = Vec::new();
        let mut start: Option<Item> = None;
        let mut reason = "DynamoDB did not return all pages in time".to_owned();
        loop {
            let attempt = patience.next().ok_or(Unreadable(reason.clone()))?;
            let request = self
                .client
                .sdk()
                .query()
                .table_name(self.tables.counters())
                .key_condition_expression("#pk = :pk")
                .expression_attribute_names("#pk", PARTITION)
                .expression_attribute_values(":pk", s(&partition))
                .consistent_read(true)
                .set_exclusive_start_key(start.clone());
            match self.client.send(attempt, |sent| request.customize().interceptor(sent).send()).await {
                Ok(output) => {
                    self.decode(output.items.unwrap_or_default(), &mut states)?;
                    start = output.last_evaluated_key.filter(|key| !key.is_empty());
                    if start.is_none() {
                        return Ok(states);
                    }
                    patience = patience.renewed();
                }
                Err(failed) => reason = self.wait_after(failed, &mut patience).await?,
            }
        }
    }

    /// Waits if trying again may help, and says what is in the way.
    async fn wait_after<E>(&self, failed: Failed<E>, patience: &mut Patience) -> Result<String, Unreadable> {
        if !failed.passes() {
            return Err(Unreadable(failed.to_string()));
        }
        patience.pause().await;
        Ok(failed.to_string())
    }

    fn decode(&self, items: Vec<Item>, states: &mut Vec<CounterState>) -> Result<(), Unreadable> {
        for item in items {
            states.push(counter_state(&item, self.base).map_err(|damaged| Unreadable(damaged.to_string()))?);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(text: &str) -> Id {
        Id::new(text).expect("a valid id")
    }

    fn scope(organization: &str, client: &str) -> Scope {
        let named = |text: &str| (!text.is_empty()).then(|| id(text));
        Scope::new(named(organization), named(client)).expect("no client alone")
    }

    fn plan(scopes: &[(&str, &str)]) -> Plan {
        let topic =
            |(organization, client): &(&str, &str)| Topic { content: id("a"), scope: scope(organization, client) };
        Plan::of(&scopes.iter().map(topic).collect::<Vec<_>>())
    }

    fn counters(scopes: &[(&str, &str)]) -> HashSet<Counter> {
        scopes.iter().map(|(organization, client)| Counter::new(id("a"), scope(organization, client))).collect()
    }

    #[test]
    fn a_scope_with_a_client_gets_items_and_one_without_queries() {
        assert_eq!(plan(&[]), Plan::default());
        assert_eq!(plan(&[("", "")]), Plan::exactly(counters(&[("", "")])));
        assert_eq!(plan(&[("o", "c")]), Plan::exactly(counters(&[("", ""), ("o", ""), ("o", "c")])));
        let queried = Plan { partitions: [(id("o"), id("a"))].into(), counters: counters(&[("", "")]) };
        assert_eq!(plan(&[("o", "")]), queried);
    }

    #[test]
    fn what_a_query_returns_is_not_got_again() {
        let queried =
            Plan { partitions: [(id("o"), id("a"))].into(), counters: counters(&[("", ""), ("p", ""), ("p", "c")]) };
        assert_eq!(plan(&[("o", "c"), ("p", "c"), ("o", ""), ("o", "d"), ("o", "")]), queried);
    }
}
