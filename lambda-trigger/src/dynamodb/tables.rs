//! The three tables. The rule: their names follow from one prefix and their shapes are stated here once; what deploys
//! them states the same.
//!
//! | table | keys | besides |
//! |---|---|---|
//! | `<prefix>-counters` | `pk` S, `sk` S | a stream of new images |
//! | `<prefix>-idempotency` | `id` S | TTL on `expires` |
//! | `<prefix>-presence` | `pk` S, `proxy` S | TTL on `expires` |

use std::time::Duration;

use aws_sdk_dynamodb::config::http::HttpResponse;
use aws_sdk_dynamodb::error::{BuildError, ProvideErrorMetadata, SdkError};
use aws_sdk_dynamodb::types::{
    AttributeDefinition, BillingMode, KeySchemaElement, KeyType, ScalarAttributeType, StreamSpecification,
    StreamViewType, TableDescription, TableStatus, TimeToLiveSpecification, TimeToLiveStatus,
};
use tokio::time::{Instant, sleep};

use super::client::DynamoClient;
use super::failure::{Failed, Sent};
use super::patience::Attempt;
use super::{item, presence, record};

/// The attribute by which DynamoDB deletes what has ended, in seconds since the Unix epoch.
pub(super) const EXPIRES: &str = "expires";

/// How long one request about tables may take, and how long a table may take to be made.
const ATTEMPT: Duration = Duration::from_secs(10);
const MAKING: Duration = Duration::from_secs(120);

/// Between two looks at a table that is being made.
const INTERVAL: Duration = Duration::from_millis(250);

/// The names of the tables.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tables {
    counters: String,
    idempotency: String,
    presence: String,
}

/// The prefix makes names that DynamoDB does not take.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a table prefix must be 1 to 200 of the characters a-z, A-Z, 0-9, '_', '-' and '.'")]
pub struct InvalidPrefix;

/// What is wrong with the tables, in a sentence that names the table and what to do.
#[derive(Debug, thiserror::Error)]
pub enum TablesError {
    /// The table does not exist.
    #[error("the table {0} does not exist in this account and region; deploy it, or name another prefix")]
    Missing(String),
    /// The table is there but otherwise made than this program expects.
    #[error("the table {table} is not usable: {wrong}")]
    Shape {
        /// Its name.
        table: String,
        /// What it lacks.
        wrong: String,
    },
    /// DynamoDB did not answer the question.
    #[error("the table {table} cannot be examined or made: {error}")]
    Failed {
        /// Its name.
        table: String,
        /// The error with its causes, for an operator.
        error: String,
    },
}

/// One table's shape.
struct Shape<'t> {
    name: &'t str,
    /// The partition key and, if there is one, the sort key; all are strings.
    keys: &'static [&'static str],
    stream: bool,
    expires: bool,
}

impl Tables {
    /// The tables of a prefix.
    pub fn new(prefix: &str) -> Result<Tables, InvalidPrefix> {
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"_-.".contains(&byte);
        if !(1..=200).contains(&prefix.len()) || !prefix.bytes().all(allowed) {
            return Err(InvalidPrefix);
        }
        let name = |table: &str| format!("{prefix}-{table}");
        Ok(Tables { counters: name("counters"), idempotency: name("idempotency"), presence: name("presence") })
    }

    /// The table of counters, whose stream announces every change.
    pub fn counters(&self) -> &str {
        &self.counters
    }

    /// The table of idempotency keys.
    pub fn idempotency(&self) -> &str {
        &self.idempotency
    }

    /// The table of proxies.
    pub fn presence(&self) -> &str {
        &self.presence
    }

    fn shapes(&self) -> [Shape<'_>; 3] {
        let shape = |name, keys, stream| Shape { name, keys, stream, expires: !stream };
        [
            shape(&self.counters, &[item::PARTITION, item::SORT], true),
            shape(&self.idempotency, &[record::ID], false),
            shape(&self.presence, &[presence::PARTITION, presence::PROXY], false),
        ]
    }
}

/// Makes the tables that do not exist and waits until all can be used: for local use and tests. Production deploys
/// them with backups and alarms.
pub async fn create_tables(client: &DynamoClient, tables: &Tables) -> Result<(), TablesError> {
    let (client, tables) = (client.clone(), tables.clone());
    run(&client.clone(), async move {
        for shape in tables.shapes() {
            shape.create(&client).await?;
        }
        for shape in tables.shapes() {
            shape.wait_until_active(&client).await?;
            if shape.expires && !shape.expires_now(&client).await? {
                shape.let_expire(&client).await?;
            }
        }
        Ok(())
    })
    .await
}

/// Checks that the tables exist in the shape that the store relies on. Needs `dynamodb:DescribeTable` and
/// `dynamodb:DescribeTimeToLive`, which the store itself does not.
pub async fn check_tables(client: &DynamoClient, tables: &Tables) -> Result<(), TablesError> {
    let (client, tables) = (client.clone(), tables.clone());
    run(&client.clone(), async move {
        for shape in tables.shapes() {
            let table = shape.describe(&client).await?.ok_or_else(|| TablesError::Missing(shape.name.to_owned()))?;
            shape.check(&table)?;
            if shape.expires && !shape.expires_now(&client).await? {
                return Err(shape.wrong(format!("it has no time to live on the attribute {EXPIRES}")));
            }
        }
        Ok(())
    })
    .await
}

async fn run(
    client: &DynamoClient,
    work: impl Future<Output = Result<(), TablesError>> + Send + 'static,
) -> Result<(), TablesError> {
    let lost = |_| TablesError::Failed { table: "any".into(), error: "the client's threads cannot be started".into() };
    client.run(work).await.map_err(lost)?
}

impl Shape<'_> {
    async fn create(&self, client: &DynamoClient) -> Result<(), TablesError> {
        let kinds = [KeyType::Hash, KeyType::Range];
        let mut request = client.sdk().create_table().table_name(self.name).billing_mode(BillingMode::PayPerRequest);
        for (name, kind) in self.keys.iter().zip(kinds) {
            let definition = AttributeDefinition::builder().attribute_name(*name);
            let definition = definition.attribute_type(ScalarAttributeType::S).build();
            let element = KeySchemaElement::builder().attribute_name(*name).key_type(kind).build();
            request = request
                .attribute_definitions(definition.map_err(|error| self.unbuilt(&error))?)
                .key_schema(element.map_err(|error| self.unbuilt(&error))?);
        }
        if self.stream {
            let stream = StreamSpecification::builder().stream_enabled(true).stream_view_type(StreamViewType::NewImage);
            request = request.stream_specification(stream.build().map_err(|error| self.unbuilt(&error))?);
        }
        match self.ask(client, |sent| request.customize().interceptor(sent).send()).await {
            Err(Failed::Refused { code, .. }) if code == "ResourceInUseException" => Ok(()),
            result => result.map(drop).map_err(|failed| self.failed(failed)),
        }
    }

    async fn wait_until_active(&self, client: &DynamoClient) -> Result<(), TablesError> {
        let deadline = Instant::now() + MAKING;
        loop {
            let table = self.describe(client).await?;
            if table.is_some_and(|table| table.table_status() == Some(&TableStatus::Active)) {
                return Ok(());
            }
            if Instant::now() >= deadline {
                return Err(self.wrong(format!("it was still not active after {} s", MAKING.as_secs())));
            }
            sleep(INTERVAL).await;
        }
    }

    async fn let_expire(&self, client: &DynamoClient) -> Result<(), TablesError> {
        let expiry = TimeToLiveSpecification::builder().enabled(true).attribute_name(EXPIRES).build();
        let expiry = expiry.map_err(|error| self.unbuilt(&error))?;
        let request = client.sdk().update_time_to_live().table_name(self.name).time_to_live_specification(expiry);
        let result = self.ask(client, |sent| request.customize().interceptor(sent).send()).await;
        result.map(drop).map_err(|failed| self.failed(failed))
    }

    async fn describe(&self, client: &DynamoClient) -> Result<Option<TableDescription>, TablesError> {
        let request = client.sdk().describe_table().table_name(self.name);
        match self.ask(client, |sent| request.customize().interceptor(sent).send()).await {
            Ok(output) => Ok(output.table),
            Err(Failed::Refused { code, .. }) if code == "ResourceNotFoundException" => Ok(None),
            Err(failed) => Err(self.failed(failed)),
        }
    }

    async fn expires_now(&self, client: &DynamoClient) -> Result<bool, TablesError> {
        let request = client.sdk().describe_time_to_live().table_name(self.name);
        let output = self.ask(client, |sent| request.customize().interceptor(sent).send()).await;
        let expiry = output.map_err(|failed| self.failed(failed))?.time_to_live_description;
        Ok(expiry.is_some_and(|expiry| {
            let on =
                matches!(expiry.time_to_live_status(), Some(TimeToLiveStatus::Enabled | TimeToLiveStatus::Enabling));
            on && expiry.attribute_name() == Some(EXPIRES)
        }))
    }

    fn check(&self, table: &TableDescription) -> Result<(), TablesError> {
        if !matches!(table.table_status(), Some(TableStatus::Active | TableStatus::Updating)) {
            return Err(self.wrong("it is not active".into()));
        }
        let kind = |name: &str| {
            let mut definitions = table.attribute_definitions().iter();
            definitions.find(|definition| definition.attribute_name() == name).map(AttributeDefinition::attribute_type)
        };
        let is: Vec<&str> = table.key_schema().iter().map(KeySchemaElement::attribute_name).collect();
        if is != self.keys || !is.iter().all(|name| kind(name) == Some(&ScalarAttributeType::S)) {
            return Err(self.wrong(format!("its key must be {}, all strings", self.keys.join(", "))));
        }
        let images = table.stream_specification().and_then(StreamSpecification::stream_view_type);
        if self.stream && !matches!(images, Some(StreamViewType::NewImage | StreamViewType::NewAndOldImages)) {
            return Err(self.wrong("it has no stream of new images".into()));
        }
        Ok(())
    }

    /// Asks once: whoever asks about tables stands by, reads the error and asks again.
    async fn ask<T, E, F>(&self, client: &DynamoClient, call: impl FnOnce(Sent) -> F) -> Result<T, Failed<E>>
    where
        F: Future<Output = Result<T, SdkError<E, HttpResponse>>>,
        E: ProvideErrorMetadata + std::error::Error + Send + Sync + 'static,
    {
        let attempt = Attempt { time: ATTEMPT, deadline: Instant::now() + ATTEMPT };
        client.send_quietly(attempt, call).await
    }

    fn wrong(&self, wrong: String) -> TablesError {
        TablesError::Shape { table: self.name.to_owned(), wrong }
    }

    fn failed<E>(&self, failed: Failed<E>) -> TablesError {
        TablesError::Failed { table: self.name.to_owned(), error: failed.detail().to_owned() }
    }

    fn unbuilt(&self, error: &BuildError) -> TablesError {
        TablesError::Failed { table: self.name.to_owned(), error: error.to_string() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prefix_makes_names_that_dynamodb_takes() {
        let tables = Tables::new("a").expect("a valid prefix");
        assert_eq!((tables.counters(), tables.idempotency()), ("a-counters", "a-idempotency"));
        assert_eq!(tables.presence(), "a-presence");
        for wrong in ["", "a b", "a/b", "\u{e9}", &"a".repeat(201)] {
            assert_eq!(Tables::new(wrong), Err(InvalidPrefix), "{wrong:?}");
        }
    }
}
