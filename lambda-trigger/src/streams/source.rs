//! The calls to DynamoDB Streams, and what their errors mean for a reader. The rule: an error says what the reader
//! must do next, not what went wrong on the way.
//!
//! API reference: Amazon DynamoDB Streams, `DescribeStream`, `GetShardIterator`, `GetRecords`.

use std::sync::Arc;
use std::time::Duration;

use analytics_shared::CounterState;
use async_trait::async_trait;
use aws_config::SdkConfig;
use aws_sdk_dynamodbstreams::Client;
use aws_sdk_dynamodbstreams::config::Builder;
use aws_sdk_dynamodbstreams::config::timeout::TimeoutConfig;
use aws_sdk_dynamodbstreams::error::{DisplayErrorContext, ProvideErrorMetadata, SdkError};
use aws_sdk_dynamodbstreams::types::{OperationType, Record, ShardIteratorType};

use super::Place;
use crate::dynamodb;

/// The most records in one page, as DynamoDB allows.
const PAGE: i32 = 1000;

/// How long a connection and one call may take: a page of 1 MB comes in a fraction of it.
const CONNECT: Duration = Duration::from_secs(2);
const ATTEMPT: Duration = Duration::from_secs(10);

/// A shard and the stream that it belongs to.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct ShardKey {
    /// The stream's ARN: a table that was made anew has another one.
    pub stream: Arc<str>,
    /// The shard's id.
    pub shard: String,
}

/// A shard as it is listed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shard {
    /// Which one.
    pub key: ShardKey,
    /// Whose records come before its own.
    pub parent: Option<ShardKey>,
    /// Whether it gets more records.
    pub open: bool,
}

/// Where to read next; expires after 15 minutes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cursor(pub String);

/// What one read brings.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page {
    /// In order; may be empty although more will come.
    pub changes: Vec<Change>,
    /// Where to go on; `None` at the shard's end.
    pub next: Option<Cursor>,
}

/// One record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// Its sequence number.
    pub sequence: String,
    /// What it says; `None` if an item was removed or its image is no counter's.
    pub state: Option<CounterState>,
    /// Its image is no counter's.
    pub unreadable: bool,
}

/// Why a call failed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SourceError {
    /// The cursor is too old: get another one.
    #[error("the place in the shard has expired")]
    Expired,
    /// The records after the place are gone: go on with the oldest there is.
    #[error("the records are gone")]
    Trimmed,
    /// The shard or its stream is gone.
    #[error("the shard is gone")]
    Gone,
    /// Come again later.
    #[error("DynamoDB asks to slow down")]
    Throttled,
    /// Come again; the text is for a person.
    #[error("{0}")]
    Failed(String),
}

/// A table's streams.
#[async_trait]
pub trait ShardSource: Send + Sync + 'static {
    /// Every shard there is, of every stream of the table.
    ///
    /// # Errors
    /// [`SourceError::Throttled`] or [`SourceError::Failed`].
    async fn shards(&self) -> Result<Vec<Shard>, SourceError>;

    /// A cursor at a place, which is not [`Place::Finished`].
    ///
    /// # Errors
    /// Any but [`SourceError::Expired`].
    async fn cursor(&self, shard: &ShardKey, place: &Place) -> Result<Cursor, SourceError>;

    /// The records from a cursor on. Reading again from the same cursor is fine.
    ///
    /// # Errors
    /// Any [`SourceError`].
    async fn read(&self, cursor: &Cursor) -> Result<Page, SourceError>;
}

/// The real thing.
#[derive(Debug, Clone)]
pub struct DynamoDbStreams {
    client: Client,
    table: String,
}

impl DynamoDbStreams {
    /// The streams of a table, with this configuration's credentials, region and endpoint. Calls here change nothing,
    /// so the SDK may repeat them; but none may hang, for its shard would hang with it.
    pub fn new(config: &SdkConfig, table: String) -> DynamoDbStreams {
        let times = TimeoutConfig::builder().connect_timeout(CONNECT).operation_attempt_timeout(ATTEMPT).build();
        let client = Client::from_conf(Builder::from(config).timeout_config(times).build());
        DynamoDbStreams { client, table }
    }

    /// The ARNs of the table's streams, also of those that were switched off within the last day.
    async fn streams(&self) -> Result<Vec<Arc<str>>, SourceError> {
        let mut streams = Vec::new();
        let mut after = None;
        loop {
            let call = self.client.list_streams().table_name(&self.table).set_exclusive_start_stream_arn(after);
            let page = call.send().await.map_err(|error| judge(&error))?;
            streams.extend(page.streams().iter().filter_map(|stream| stream.stream_arn()).map(Arc::from));
            after = page.last_evaluated_stream_arn().map(str::to_owned);
            if after.is_none() {
                return Ok(streams);
            }
        }
    }

    async fn shards_of(&self, stream: &Arc<str>, shards: &mut Vec<Shard>) -> Result<(), SourceError> {
        let key = |shard: &str| ShardKey { stream: stream.clone(), shard: shard.to_owned() };
        let mut after = None;
        loop {
            let call = self.client.describe_stream().stream_arn(&**stream).set_exclusive_start_shard_id(after);
            let described = match call.send().await.map_err(|error| judge(&error)) {
                Ok(described) => described,
                // It vanished after it was listed.
                Err(SourceError::Gone) => return Ok(()),
                Err(error) => return Err(error),
            };
            let Some(description) = described.stream_description() else { return Ok(()) };
            shards.extend(description.shards().iter().filter_map(|shard| {
                let range = shard.sequence_number_range();
                Some(Shard {
                    key: key(shard.shard_id()?),
                    parent: shard.parent_shard_id().map(key),
                    open: range.is_none_or(|range| range.ending_sequence_number().is_none()),
                })
            }));
            after = description.last_evaluated_shard_id().map(str::to_owned);
            if after.is_none() {
                return Ok(());
            }
        }
    }
}

#[async_trait]
impl ShardSource for DynamoDbStreams {
    async fn shards(&self) -> Result<Vec<Shard>, SourceError> {
        let mut shards = Vec::new();
        for stream in self.streams().await? {
            self.shards_of(&stream, &mut shards).await?;
        }
        Ok(shards)
    }

    async fn cursor(&self, shard: &ShardKey, place: &Place) -> Result<Cursor, SourceError> {
        let call = self.client.get_shard_iterator().stream_arn(&*shard.stream).shard_id(&shard.shard);
        let call = match place {
            Place::Oldest => call.shard_iterator_type(ShardIteratorType::TrimHorizon),
            Place::Newest => call.shard_iterator_type(ShardIteratorType::Latest),
            Place::After(sequence) => {
                call.shard_iterator_type(ShardIteratorType::AfterSequenceNumber).sequence_number(sequence)
            }
            Place::Finished => return Err(SourceError::Gone),
        };
        let answer = call.send().await.map_err(|error| judge(&error))?;
        let iterator = answer.shard_iterator().ok_or_else(|| SourceError::Failed("no shard iterator came".into()))?;
        Ok(Cursor(iterator.to_owned()))
    }

    async fn read(&self, cursor: &Cursor) -> Result<Page, SourceError> {
        let call = self.client.get_records().shard_iterator(&cursor.0).limit(PAGE);
        let answer = call.send().await.map_err(|error| judge(&error))?;
        let changes = answer.records().iter().filter_map(change).collect();
        Ok(Page { changes, next: answer.next_shard_iterator().map(|next| Cursor(next.to_owned())) })
    }
}

/// What a record says; `None` without a sequence number, which DynamoDB never leaves out.
fn change(record: &Record) -> Option<Change> {
    let dynamodb = record.dynamodb()?;
    let sequence = dynamodb.sequence_number()?.to_owned();
    // A counter is never deleted; if somebody does, the others keep what they were told.
    let removed = record.event_name() == Some(&OperationType::Remove);
    let image = dynamodb.new_image().filter(|_| !removed);
    // Versions as they were written: who shows them knows the store's base.
    let state = image.map(|image| dynamodb::counter_state(image, 0)).transpose();
    if let Err(error) = &state {
        tracing::error!(sequence, %error, "a record holds no counter and is left out");
    }
    Some(Change { unreadable: state.is_err(), state: state.ok().flatten(), sequence })
}

fn judge<E>(error: &SdkError<E>) -> SourceError
where
    E: ProvideErrorMetadata + std::error::Error + 'static,
{
    match error.code() {
        Some("ExpiredIteratorException") => SourceError::Expired,
        Some("TrimmedDataAccessException") => SourceError::Trimmed,
        Some("ResourceNotFoundException") => SourceError::Gone,
        Some("LimitExceededException" | "ThrottlingException" | "ProvisionedThroughputExceededException") => {
            SourceError::Throttled
        }
        _ => SourceError::Failed(DisplayErrorContext(error).to_string()),
    }
}
