//! What is counted about the edge, for Prometheus. The rule: every series is registered here, once, and its labels
//! are closed sets: no id is ever a label.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use prometheus::core::Collector;
use prometheus::{Encoder, Gauge, IntCounter, IntCounterVec, IntGauge, Opts, Registry, TextEncoder};

/// The edge's series. Cloning shares them.
#[derive(Debug, Clone)]
pub(crate) struct Metrics {
    registry: Registry,
    pub(crate) opened: IntCounter,
    closed: IntCounterVec,
    pub(crate) refused: IntCounter,
    pub(crate) messages_in: IntCounter,
    pub(crate) frames_out: IntCounter,
    pub(crate) blocked: IntCounter,
    pub(crate) io_uring_hubs: IntGauge,
    pub(crate) reaped: IntCounter,
    pub(crate) tls_failed: IntCounter,
    pub(crate) updates: IntCounter,
    pub(crate) overflows: IntCounter,
    connections: IntGauge,
    update_lag: Gauge,
    newest_update: Gauge,
    pub(crate) rereads: IntCounter,
    pub(crate) earlier_epoch: IntCounter,
    pub(crate) store_reads: IntCounter,
    pub(crate) store_read_failures: IntCounter,
    store_unreadable: IntGauge,
    pub(crate) stream_starts: IntCounter,
    stream_cut: IntGauge,
    stream_shards: IntGauge,
    shard_lag: Gauge,
    topics_waiting: IntGauge,
    forwarded: IntCounterVec,
    pub(crate) forward_repeats: IntCounter,
    pub(crate) presence_failures: IntCounter,
}

/// A look at the feed.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(crate) struct Health {
    /// The store cannot be read.
    pub(crate) unreadable: bool,
    /// The stream of changes is cut.
    pub(crate) cut: bool,
    /// Topics that are read once the stream carries their organization.
    pub(crate) waiting: usize,
    /// Shards being read, and how long the oldest change read from them has waited to be announced.
    pub(crate) shards: (usize, Duration),
}

/// What became of a call that was passed on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Forwarded {
    /// The function answered it, whatever it said.
    Answered,
    /// It was certainly not carried out, or asked for nothing but to read.
    Unavailable,
    /// Nobody knows.
    Unknown,
    /// There were too many under way.
    Refused,
}

impl Metrics {
    /// Registers everything.
    pub(crate) fn new() -> Metrics {
        let registry = Registry::new();
        Metrics {
            opened: counter(&registry, "connections_opened_total", "WebSocket connections taken over"),
            closed: register(
                &registry,
                IntCounterVec::new(
                    Opts::new(
                        "analytics_connections_closed_total",
                        "WebSocket connections ended, by kind of close code",
                    ),
                    &["code"],
                ),
            ),
            refused: counter(&registry, "upgrades_refused_total", "WebSocket upgrades refused over HTTP"),
            messages_in: counter(&registry, "messages_received_total", "messages received from clients"),
            frames_out: counter(&registry, "frames_sent_total", "update frames sent to clients"),
            blocked: counter(
                &registry,
                "sockets_full_total",
                "times a socket took no more and its connection fell behind",
            ),
            io_uring_hubs: gauge(
                &registry,
                "io_uring_hubs",
                "hubs that send by io_uring; the others make a system call for each send",
            ),
            reaped: counter(&registry, "connections_reaped_total", "connections closed for silence"),
            tls_failed: counter(
                &registry,
                "tls_handshakes_failed_total",
                "TLS handshakes that failed or took too long",
            ),
            connections: gauge(&registry, "connections", "WebSocket connections open"),
            updates: counter(&registry, "updates_announced_total", "counter states announced by the store"),
            overflows: counter(&registry, "ring_overflows_total", "items that found a hub's ring full"),
            update_lag: seconds(
                &registry,
                "update_lag_seconds",
                "from its commit, by the store's clock, to its announcement here: the newest change announced last",
            ),
            newest_update: seconds(
                &registry,
                "newest_update_timestamp_seconds",
                "when the newest change announced last was committed",
            ),
            rereads: counter(
                &registry,
                "rereads_total",
                "times all that is watched was read anew, for the stream may have lost changes",
            ),
            earlier_epoch: counter(
                &registry,
                "earlier_epoch_changes_total",
                "changes that were left out because they are from before the store's epoch",
            ),
            store_reads: counter(&registry, "store_reads_total", "reads of what is watched, of up to 128 topics each"),
            store_read_failures: counter(&registry, "store_read_failures_total", "those that failed"),
            store_unreadable: gauge(&registry, "store_unreadable", "1 while the store cannot be read"),
            stream_starts: counter(
                &registry,
                "stream_starts_total",
                "times the stream of changes was followed anew, the first one included",
            ),
            stream_cut: gauge(&registry, "stream_cut", "1 while the stream of changes is cut"),
            stream_shards: gauge(&registry, "stream_shards", "shards of DynamoDB Streams being read"),
            shard_lag: seconds(
                &registry,
                "stream_shard_lag_seconds",
                "since the commit of the oldest change read from a shard and not yet announced",
            ),
            topics_waiting: gauge(
                &registry,
                "topics_waiting",
                "watched topics that are read once the stream carries their organization",
            ),
            forwarded: register(
                &registry,
                IntCounterVec::new(
                    Opts::new(
                        "analytics_forwarded_calls_total",
                        "calls passed on to the function, by what became of them",
                    ),
                    &["result"],
                ),
            ),
            presence_failures: counter(
                &registry,
                "presence_failures_total",
                "times the other proxies could not be told of this one's connections",
            ),
            forward_repeats: counter(&registry, "forward_repeats_total", "times a call was passed on again"),
            registry,
        }
    }

    /// The counter of ends with a close code.
    pub(crate) fn closed(&self, code: u16) -> IntCounter {
        let label = match code {
            1000 => "1000",
            1001 => "1001",
            1002 => "1002",
            1005 => "1005",
            1006 => "1006",
            1007 => "1007",
            1008 => "1008",
            1009 => "1009",
            1012 => "1012",
            1013 => "1013",
            4401 => "4401",
            _ => "other",
        };
        self.closed.with_label_values(&[label])
    }

    /// A call was passed on, or could not be.
    pub(crate) fn forwarded(&self, result: Forwarded) {
        let label = match result {
            Forwarded::Answered => "answered",
            Forwarded::Unavailable => "unavailable",
            Forwarded::Unknown => "outcome_unknown",
            Forwarded::Refused => "refused",
        };
        self.forwarded.with_label_values(&[label]).inc();
    }

    /// Changes are announced, the newest of them committed at this time, in milliseconds since the Unix epoch.
    pub(crate) fn announced(&self, newest: u64) {
        let newest = Duration::from_millis(newest);
        // Two clocks may differ: what comes before it was sent has taken no time.
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        self.newest_update.set(newest.as_secs_f64());
        self.update_lag.set(now.saturating_sub(newest).as_secs_f64());
    }

    /// The series in Prometheus' text format, with what is read at the moment of asking.
    pub(crate) fn render(&self, connections: usize, health: Health) -> Vec<u8> {
        self.connections.set(connections as i64);
        self.store_unreadable.set(health.unreadable.into());
        self.stream_cut.set(health.cut.into());
        self.topics_waiting.set(health.waiting as i64);
        self.stream_shards.set(health.shards.0 as i64);
        self.shard_lag.set(health.shards.1.as_secs_f64());
        let mut text = Vec::new();
        // Fails only for a sink that fails; memory does not.
        let encoded = TextEncoder::new().encode(&self.registry.gather(), &mut text);
        debug_assert!(encoded.is_ok());
        text
    }
}

fn counter(registry: &Registry, name: &str, help: &str) -> IntCounter {
    register(registry, IntCounter::new(format!("analytics_{name}"), help))
}

fn gauge(registry: &Registry, name: &str, help: &str) -> IntGauge {
    register(registry, IntGauge::new(format!("analytics_{name}"), help))
}

fn seconds(registry: &Registry, name: &str, help: &str) -> Gauge {
    register(registry, Gauge::new(format!("analytics_{name}"), help))
}

/// Names here are constants of this file: a refused one is a mistake that the first start shows.
fn register<C: Collector + Clone + 'static>(registry: &Registry, collector: prometheus::Result<C>) -> C {
    let registered = collector.and_then(|collector| registry.register(Box::new(collector.clone())).map(|()| collector));
    match registered {
        Ok(collector) => collector,
        Err(error) => panic!("a metric of this file cannot be registered: {error}"),
    }
}
