//! Which proxies live, and how many sockets they have open. The rule: a proxy counts for [`PRESENCE_LIFETIME`] after it
//! last said so, by the clock of whoever asks; DynamoDB's own expiry only tidies up.
//!
//! All proxies are one partition, so one query sums them. At a beat every 10 seconds a partition bears ten thousand.
//!
//! | attribute | type | meaning |
//! |---|---|---|
//! | `pk` | S | `proxies` |
//! | `proxy` | S | the proxy's name for itself, new with each process |
//! | `connections` | N | its open sockets |
//! | `seen` | N | when it said so, in milliseconds since the Unix epoch |
//! | `expires` | N | when DynamoDB may delete the item, in seconds since the Unix epoch |

use std::time::Duration;

use async_trait::async_trait;

use super::client::DynamoClient;
use super::failure::Failed;
use super::item::{self, Item, n, s};
use super::options::{Clock, DynamoOptions};
use super::patience::{Limits, Patience};
use super::tables::{EXPIRES, Tables};
use crate::deadline;
use crate::presence::Presence;
pub use crate::presence::PresenceError;

/// How long a proxy counts after it was last seen.
pub const PRESENCE_LIFETIME: Duration = Duration::from_secs(30);

/// The partition key's attribute.
pub(super) const PARTITION: &str = "pk";
/// The sort key's attribute.
pub(super) const PROXY: &str = "proxy";
const PROXIES: &str = "proxies";
const CONNECTIONS: &str = "connections";
const SEEN: &str = "seen";

/// After this DynamoDB may delete an item: well after it stopped counting, whatever the clocks say.
const KEPT: Duration = Duration::from_secs(60 * 60);

/// The table of proxies.
#[derive(Clone)]
pub struct DynamoPresence {
    client: DynamoClient,
    tables: Tables,
    limits: Limits,
    deadline: Duration,
    clock: Clock,
}

impl DynamoPresence {
    /// Over the presence table of these options. Starts nothing and asks nothing.
    pub fn new(client: DynamoClient, options: &DynamoOptions) -> DynamoPresence {
        let DynamoOptions { tables, deadline, attempt, attempts, clock, .. } = options;
        let limits = Limits { attempt: *attempt, attempts: *attempts };
        DynamoPresence { client, tables: tables.clone(), limits, deadline: *deadline, clock: clock.clone() }
    }

    fn patience(&self) -> Patience {
        Patience::new(self.limits, deadline::of_call(self.deadline))
    }

    async fn run<T: Send + 'static>(
        &self,
        work: impl Future<Output = Result<T, PresenceError>> + Send + 'static,
    ) -> Result<T, PresenceError> {
        self.client.run(work).await.unwrap_or_else(|_| Err(PresenceError("the process is ending".into())))
    }
}

#[async_trait]
impl Presence for DynamoPresence {
    async fn beat(&self, proxy: &str, connections: u64) -> Result<(), PresenceError> {
        let now = (self.clock)();
        let expires = now / 1_000 + KEPT.as_secs();
        let attributes = [(CONNECTIONS, n(connections)), (SEEN, n(now)), (EXPIRES, n(expires))];
        let attributes = attributes.map(|(name, value)| (name.to_owned(), value));
        let item: Item = key(proxy).into_iter().chain(attributes).collect();
        let (this, mut patience) = (self.clone(), self.patience());
        self.run(async move {
            loop {
                let attempt = patience.next().ok_or_else(late)?;
                let request = this.client.sdk().put_item().table_name(this.tables.presence());
                let request = request.set_item(Some(item.clone()));
                match this.client.send(attempt, |sent| request.customize().interceptor(sent).send()).await {
                    Ok(_) => return Ok(()),
                    Err(failed) => wait_after(failed, &mut patience).await?,
                }
            }
        })
        .await
    }

    async fn leave(&self, proxy: &str) -> Result<(), PresenceError> {
        let (this, key, mut patience) = (self.clone(), key(proxy), self.patience());
        self.run(async move {
            loop {
                let attempt = patience.next().ok_or_else(late)?;
                let request = this.client.sdk().delete_item().table_name(this.tables.presence());
                let request = request.set_key(Some(key.clone()));
                match this.client.send(attempt, |sent| request.customize().interceptor(sent).send()).await {
                    Ok(_) => return Ok(()),
                    Err(failed) => wait_after(failed, &mut patience).await?,
                }
            }
        })
        .await
    }

    async fn connected(&self) -> Result<u64, PresenceError> {
        let (this, mut patience) = (self.clone(), self.patience());
        self.run(async move {
            let since = (this.clock)().saturating_sub(PRESENCE_LIFETIME.as_millis() as u64);
            let (mut sum, mut start) = (0_u64, None::<Item>);
            loop {
                let attempt = patience.next().ok_or_else(late)?;
                let request = this
                    .client
                    .sdk()
                    .query()
                    .table_name(this.tables.presence())
                    .key_condition_expression("#pk = :pk")
                    .filter_expression("#seen >= :since")
                    .expression_attribute_names("#pk", PARTITION)
                    .expression_attribute_names("#seen", SEEN)
                    .expression_attribute_values(":pk", s(PROXIES))
                    .expression_attribute_values(":since", n(since))
                    .consistent_read(true)
                    .set_exclusive_start_key(start.clone());
                match this.client.send(attempt, |sent| request.customize().interceptor(sent).send()).await {
                    Ok(output) => {
                        for proxy in output.items() {
                            let connections = item::number(proxy, CONNECTIONS);
                            let connections = connections.map_err(|damaged| PresenceError(damaged.to_string()))?;
                            sum = sum.saturating_add(connections.unwrap_or(0));
                        }
                        start = output.last_evaluated_key.filter(|key| !key.is_empty());
                        if start.is_none() {
                            return Ok(sum);
                        }
                        patience = patience.renewed();
                    }
                    Err(failed) => wait_after(failed, &mut patience).await?,
                }
            }
        })
        .await
    }
}

fn key(proxy: &str) -> Item {
    [(PARTITION.to_owned(), s(PROXIES)), (PROXY.to_owned(), s(proxy))].into()
}

fn late() -> PresenceError {
    PresenceError("DynamoDB did not answer in time".into())
}

/// Waits if trying again may help. All three calls may be repeated freely.
async fn wait_after<E>(failed: Failed<E>, patience: &mut Patience) -> Result<(), PresenceError> {
    if !failed.passes() {
        return Err(PresenceError(failed.to_string()));
    }
    patience.pause().await;
    Ok(())
}
