//! How an edge is described. The rule: a configuration is resolved and checked as a whole in
//! [`EdgeBuilder::build`]; what was built cannot fail for a bad value later.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicUsize};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use analytics_shared::performance::PerformanceConfig;
use analytics_shared::token::Verifier;
use async_trait::async_trait;
use lambda_trigger::auth::{Auth, Mode};
use lambda_trigger::cors::Origins;
use lambda_trigger::handler::{Handler, HandlerConfig, MAX_BODY_BYTES, Status};
use lambda_trigger::store::Unreadable;
use lambda_trigger::{CounterStore, Presence};

use super::{Edge, Inner, Stage, TrustedProxies};
use crate::admission::Admission;
use crate::api::Calls;
use crate::events::{Events, NoEvents};
use crate::feed::{Feed, FeedSource, MAX_HUBS, Pace, RING};
use crate::forward::{Forwarder, Trigger};
use crate::hub::{Mailbox, Settings};
use crate::metrics::Metrics;
use crate::presence::Membership;

/// The settings of an edge; [`EdgeConfig::new`] has the defaults of each mode.
#[derive(Debug, Clone)]
pub struct EdgeConfig {
    /// Development trusts whoever calls; production wants a token from everybody.
    pub mode: Mode,
    /// Hubs, each a thread of its own: 1 to 64. Default: the cores.
    pub workers: usize,
    /// WebSocket connections at once. Default: the descriptors the process may open, less 512.
    pub max_connections: usize,
    /// WebSocket connections at once from one address. Default: no limit.
    pub max_connections_per_ip: Option<u32>,
    /// Different ids in one subscription. Default 1 000.
    pub max_content_ids: usize,
    /// The largest message from a client, in bytes. Default 65 536.
    pub max_message_bytes: usize,
    /// The largest body of a call, in bytes. Default 1 048 576.
    pub max_body_bytes: usize,
    /// Messages a connection may send per second, twice as many at once. Default 50.
    pub messages_per_second: u32,
    /// Whether hubs send by io_uring where the kernel lets them. Default: yes; elsewhere each send is a call of its own.
    pub io_uring: bool,
    /// Silence after which a connection is pinged. Default 30 s.
    pub heartbeat_interval: Duration,
    /// Silence after which a connection is closed. Default 60 s.
    pub heartbeat_timeout: Duration,
    /// Which pages may call. Default: any in development, those of this host in production.
    pub origins: Option<Origins>,
    /// How scores and ratings are made.
    pub performance: PerformanceConfig,
    /// Where the calls under `/api/analytics/` are answered. Default: in this process. What this process counts by
    /// itself, [`EdgeHandle::trigger_real_update`](crate::EdgeHandle::trigger_real_update) and the simulation, goes to
    /// its own store all the same.
    pub trigger: Option<Trigger>,
    /// Makes up increments for what is watched, this often. Refused in production.
    pub simulation: Option<Duration>,
    /// How long a drain on SIGTERM takes. Default 10 s.
    pub drain: Duration,
    /// Where changes travel by a stream: everything watched is read again within this time, whatever the stream said.
    /// Default 5 minutes.
    pub sweep: Duration,
    /// The most topics read again per second for that; with more to read, a round takes longer. Default 500.
    pub sweep_topics_per_second: u32,
    /// Whose `X-Forwarded-For` is believed when connections are counted by address. Default: nobody's.
    pub trusted_proxies: TrustedProxies,
}

/// A value that is not allowed; the text names it.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// No store was given.
    #[error("an edge needs a store: call EdgeBuilder::store")]
    NoStore,
    /// Production without a way to verify tokens.
    #[error("production mode needs a way to verify tokens: call EdgeBuilder::verifier")]
    NoVerifier,
    /// A setting outside its range.
    #[error("{name} must be {must_be}")]
    OutOfRange {
        /// The field of [`EdgeConfig`].
        name: &'static str,
        /// What is allowed.
        must_be: &'static str,
    },
    /// Calls are to be forwarded by TLS, and there is nothing to check certificates with.
    #[error("trigger cannot be reached by https: {0}")]
    Certificates(std::io::Error),
    /// The system refused what the edge needs.
    #[error("the edge cannot be set up: {0}")]
    System(#[from] std::io::Error),
}

/// Collects what an edge is made of.
pub struct EdgeBuilder {
    config: EdgeConfig,
    store: Option<Arc<dyn CounterStore>>,
    source: FeedSource,
    presence: Option<Arc<dyn Presence>>,
    verifier: Option<Verifier>,
    events: Arc<dyn Events>,
}

impl EdgeConfig {
    /// The defaults of a mode.
    pub fn new(mode: Mode) -> EdgeConfig {
        EdgeConfig {
            mode,
            workers: std::thread::available_parallelism().map_or(1, usize::from).min(MAX_HUBS),
            max_connections: default_max_connections(),
            max_connections_per_ip: None,
            max_content_ids: 1000,
            max_message_bytes: 65_536,
            max_body_bytes: MAX_BODY_BYTES,
            messages_per_second: 50,
            io_uring: true,
            heartbeat_interval: Duration::from_secs(30),
            heartbeat_timeout: Duration::from_secs(60),
            origins: None,
            performance: mode.performance(),
            trigger: None,
            simulation: None,
            drain: Duration::from_secs(10),
            sweep: Duration::from_secs(300),
            sweep_topics_per_second: 500,
            trusted_proxies: TrustedProxies::default(),
        }
    }

    fn check(&self) -> Result<(), ConfigError> {
        let positive = |value: usize| value > 0;
        let trigger = |fine: fn(&Trigger) -> bool| self.trigger.as_ref().is_none_or(fine);
        for (fine, name, must_be) in [
            (trigger(|trigger| !trigger.attempt.is_zero()), "trigger.attempt", "longer than nothing"),
            (trigger(|trigger| trigger.deadline >= trigger.attempt), "trigger.deadline", "at least trigger.attempt"),
            (trigger(|trigger| (1..=65_536).contains(&trigger.in_flight)), "trigger.in_flight", "from 1 to 65536"),
            ((1..=MAX_HUBS).contains(&self.workers), "workers", "from 1 to 64"),
            (positive(self.max_connections), "max_connections", "at least 1"),
            (self.max_connections_per_ip != Some(0), "max_connections_per_ip", "at least 1"),
            (positive(self.max_content_ids), "max_content_ids", "at least 1"),
            (self.max_message_bytes >= 1024, "max_message_bytes", "at least 1024"),
            (self.max_body_bytes >= 1024, "max_body_bytes", "at least 1024"),
            ((1..=1_000_000).contains(&self.messages_per_second), "messages_per_second", "from 1 to 1000000"),
            (!self.heartbeat_interval.is_zero(), "heartbeat_interval", "longer than nothing"),
            (self.heartbeat_timeout > self.heartbeat_interval, "heartbeat_timeout", "longer than heartbeat_interval"),
            (self.sweep >= Duration::from_secs(1), "sweep", "at least a second"),
            (self.sweep_topics_per_second > 0, "sweep_topics_per_second", "at least 1"),
            (self.simulation.is_none_or(|interval| !interval.is_zero()), "simulation", "longer than nothing"),
            (self.simulation.is_none() || self.mode == Mode::Development, "simulation", "off in production"),
        ] {
            if !fine {
                return Err(ConfigError::OutOfRange { name, must_be });
            }
        }
        Ok(())
    }
}

/// The descriptors that this process may open, less what listeners, HTTP calls and files need.
fn default_max_connections() -> usize {
    let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile).current;
    limit.map_or(100_000, |limit| (limit as usize).saturating_sub(512)).max(16)
}

impl EdgeBuilder {
    pub(super) fn new(config: EdgeConfig) -> EdgeBuilder {
        let (source, events) = (FeedSource::default(), Arc::new(NoEvents));
        EdgeBuilder { config, store: None, source, presence: None, verifier: None, events }
    }

    /// Where counts are kept.
    pub fn store(mut self, store: Arc<dyn CounterStore>) -> EdgeBuilder {
        self.store = Some(store);
        self
    }

    /// How committed changes come to this process. Default: the store hands them over.
    pub fn feed(mut self, source: FeedSource) -> EdgeBuilder {
        self.source = source;
        self
    }

    /// Where the other proxies are told of this one's connections, and their sum is asked for. Default: this proxy is
    /// alone.
    pub fn presence(mut self, presence: Arc<dyn Presence>) -> EdgeBuilder {
        self.presence = Some(presence);
        self
    }

    /// How tokens are verified; required in production.
    pub fn verifier(mut self, verifier: Verifier) -> EdgeBuilder {
        self.verifier = Some(verifier);
        self
    }

    /// Who hears of connections.
    pub fn events(mut self, events: Arc<dyn Events>) -> EdgeBuilder {
        self.events = events;
        self
    }

    /// Checks everything and builds the edge. Starts and binds nothing.
    pub fn build(self) -> Result<Edge, ConfigError> {
        let EdgeBuilder { config, store, source, presence, verifier, events } = self;
        config.check()?;
        let store = store.ok_or(ConfigError::NoStore)?;
        if config.mode == Mode::Production && verifier.is_none() {
            return Err(ConfigError::NoVerifier);
        }
        let auth = Auth::new(config.mode, verifier);
        let admission = Admission::new(config.max_connections, config.max_connections_per_ip);
        let metrics = Metrics::new();
        let hints = config.mode == Mode::Development;
        let (feed, ends) = Feed::new(config.workers, RING, hints, metrics.clone())?;
        if !matches!(source, FeedSource::Embedded) {
            feed.await_stream();
        }
        let membership =
            presence.map(|table| Membership::new(table, admission.clone(), metrics.clone())).transpose()?;
        let membership = membership.map(Arc::new);
        let calls = match config.trigger {
            None => Calls::Here,
            Some(trigger) => {
                Calls::Forwarded(Forwarder::new(trigger, metrics.clone()).map_err(ConfigError::Certificates)?)
            }
        };
        let handler = Handler::new(HandlerConfig {
            store: store.clone(),
            auth: auth.clone(),
            origins: config.origins.unwrap_or_else(|| Origins::unset(config.mode)),
            performance: Arc::new(config.performance),
            status: Arc::new(OfThisProcess {
                admission: admission.clone(),
                membership: membership.clone(),
                simulation: config.simulation.is_some(),
            }),
            max_body_bytes: config.max_body_bytes,
        });
        let settings = Settings {
            base: store.base(),
            auth,
            max_ids: config.max_content_ids,
            max_message_bytes: config.max_message_bytes,
            messages_per_second: config.messages_per_second,
            io_uring: config.io_uring,
            heartbeat_interval: config.heartbeat_interval,
            heartbeat_timeout: config.heartbeat_timeout,
            events,
            metrics,
        };
        let inner = Inner {
            handler,
            calls,
            store,
            feed,
            mailboxes: ends.iter().map(|(port, _)| Mailbox::new(port.clone())).collect(),
            admission,
            membership,
            settings: Arc::new(settings),
            trusted: config.trusted_proxies,
            simulation: config.simulation,
            source,
            sweep: Pace { round: config.sweep, topics_per_second: config.sweep_topics_per_second },
            drain: config.drain,
            stage: AtomicU8::new(Stage::Starting as u8),
            in_flight: AtomicUsize::new(0),
        };
        Ok(Edge { inner: Arc::new(inner), ends })
    }
}

/// The status of an edge: of one that is alone, its own connections are all there are.
struct OfThisProcess {
    admission: Arc<Admission>,
    membership: Option<Arc<Membership>>,
    simulation: bool,
}

#[async_trait]
impl Status for OfThisProcess {
    fn simulation_running(&self) -> bool {
        self.simulation
    }

    async fn connected_clients(&self) -> Result<u64, Unreadable> {
        match &self.membership {
            None => Ok(self.admission.open() as u64),
            Some(membership) => membership.table().connected().await.map_err(|error| Unreadable(error.to_string())),
        }
    }

    fn now_ms(&self) -> u64 {
        SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_millis() as u64
    }
}
