//! The connection to DynamoDB. The rule: a request is sent once; whether it is repeated is decided by whoever knows
//! what a repetition would do.
//!
//! Requests run on a runtime of the client's own ([`Home`]), where their connections live.

use std::error::Error;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use aws_config::SdkConfig;
use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::config::http::HttpResponse;
use aws_sdk_dynamodb::config::retry::RetryConfig;
use aws_sdk_dynamodb::config::timeout::TimeoutConfig;
use aws_sdk_dynamodb::config::{Builder, StalledStreamProtectionConfig};
use aws_sdk_dynamodb::error::{ProvideErrorMetadata, SdkError};
use aws_smithy_http_client::Builder as HttpBuilder;
use aws_smithy_http_client::tls::Provider;
use aws_smithy_http_client::tls::rustls_provider::CryptoMode;
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;
use tokio::time::timeout_at;

use super::complaint::Complaint;
use super::failure::{Failed, Sent};
use super::patience::Attempt;
use crate::home::Home;

/// How long a connection may take to be made. Shorter than any attempt, so that an unreachable DynamoDB is known as
/// one that was sent nothing.
const CONNECT: Duration = Duration::from_secs(1);

/// How long a connection may rest before it is given up. Servers give up theirs after about a minute, and a frozen
/// Lambda does not see it: a write sent over such a connection would be answered as unknown.
const IDLE: Duration = Duration::from_secs(20);

/// Requests under way at once. HTTP/1.1 has one per connection; DynamoDB answers within milliseconds, so these are
/// tens of thousands of requests per second.
const IN_FLIGHT: usize = 256;

/// The threads of the runtime: signing and TLS take about 0.1 ms of a core per request.
const THREADS: usize = 2;

/// A client of DynamoDB that never repeats a request by itself. Cloning shares it.
#[derive(Clone)]
pub struct DynamoClient(Arc<Inner>);

struct Inner {
    sdk: Client,
    in_flight: Semaphore,
    complaint: Complaint,
    home: Home,
}

/// Why a piece of work has no result.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Lost {
    /// It was not begun: the runtime could not be started.
    Never,
    /// It was ended midway.
    Midway,
}

impl DynamoClient {
    /// A client with this configuration's credentials, region and endpoint; its HTTP client, retries and time-outs are
    /// replaced.
    /// Starts nothing.
    pub fn new(config: &SdkConfig) -> DynamoClient {
        let http = HttpBuilder::new().pool_idle_timeout(IDLE).tls_provider(Provider::Rustls(CryptoMode::AwsLc));
        let config = Builder::from(config)
            .http_client(http.build_https())
            .retry_config(RetryConfig::disabled())
            .timeout_config(TimeoutConfig::builder().connect_timeout(CONNECT).build())
            // Every request has a time-out as a whole.
            .stalled_stream_protection(StalledStreamProtectionConfig::disabled())
            .build();
        let sdk = Client::from_conf(config);
        let in_flight = Semaphore::new(IN_FLIGHT);
        DynamoClient(Arc::new(Inner {
            sdk,
            in_flight,
            complaint: Complaint::default(),
            home: Home::new("dynamodb", THREADS),
        }))
    }

    /// The client of the SDK; its calls go through [`DynamoClient::send`].
    pub(super) fn sdk(&self) -> &Client {
        &self.0.sdk
    }

    /// Runs work to its end on the client's own runtime, even if the caller goes away.
    pub(super) async fn run<T: Send + 'static>(
        &self,
        work: impl Future<Output = T> + Send + 'static,
    ) -> Result<T, Lost> {
        self.spawn(work)?.await.map_err(|_| Lost::Midway)
    }

    /// The same without waiting for it.
    pub(super) fn spawn<T: Send + 'static>(
        &self,
        work: impl Future<Output = T> + Send + 'static,
    ) -> Result<JoinHandle<T>, Lost> {
        self.0.home.spawn(work).map_err(|error| {
            tracing::error!(%error, "the threads of the DynamoDB client cannot be started");
            Lost::Never
        })
    }

    /// Sends one request, once. It waits for its turn no longer than an attempt may take, and only then does its own time
    /// begin: with what waiting left of it, it would be sent and given up too soon to know what became of it. A failure
    /// that tells of trouble is logged.
    pub(super) async fn send<T, E, F>(&self, attempt: Attempt, call: impl FnOnce(Sent) -> F) -> Result<T, Failed<E>>
    where
        F: Future<Output = Result<T, SdkError<E, HttpResponse>>>,
        E: ProvideErrorMetadata + Error + Send + Sync + 'static,
    {
        let result = self.send_quietly(attempt, call).await;
        if let Err(failed) = &result
            && !failed.is_ordinary()
        {
            self.0.complaint.note(failed.detail());
        }
        result
    }

    /// The same without a word in the log.
    pub(super) async fn send_quietly<T, E, F>(
        &self,
        attempt: Attempt,
        call: impl FnOnce(Sent) -> F,
    ) -> Result<T, Failed<E>>
    where
        F: Future<Output = Result<T, SdkError<E, HttpResponse>>>,
        E: ProvideErrorMetadata + Error + Send + Sync + 'static,
    {
        let Ok(Ok(_permit)) = timeout_at(attempt.end(), self.0.in_flight.acquire()).await else {
            return Err(Failed::NotSent("too many requests are under way".into()));
        };
        let sent = Sent::default();
        // The SDK's futures are large; boxed, they do not make those of all callers large as well.
        match timeout_at(attempt.end(), Box::pin(call(sent.clone()))).await {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(error)) => Err(Failed::of(error, &sent)),
            Err(_) if sent.get() => Err(Failed::Unknown("no answer in time".into())),
            Err(_) => Err(Failed::NotSent("no credentials in time".into())),
        }
    }
}

impl fmt::Debug for DynamoClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DynamoClient").finish_non_exhaustive()
    }
}
