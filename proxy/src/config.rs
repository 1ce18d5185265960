//! The binary's settings as they are given: flags and environment variables, all of them texts. The rule: nothing is
//! judged here; [`Settings::resolve`] turns the whole into values or says which variable is wrong and what is
//! allowed.

mod open;
mod resolve;
mod storage;
mod tls;

use clap::Parser;
use lambda_trigger::settings::{CallSettings, NatsSettings, TableSettings};

pub use lambda_trigger::settings::InvalidSetting;
pub use open::Opened;
pub use resolve::{Resolved, Upstream, unknown_variables};
pub use storage::{Changes, Storage};
pub use tls::Tls;

/// Live content counts at the edge.
///
/// Every flag can also be given by the environment variable named beside it; an empty variable counts as unset.
/// The log goes to standard error; RUST_LOG sets what it says.
#[derive(Parser, Clone)]
#[command(name = "analytics-proxy", version, max_term_width = 120)]
pub struct Settings {
    #[command(flatten)]
    calls: CallSettings,
    /// Address to bind. Default 127.0.0.1, and ::1 beside it.
    #[arg(long, env = "ANALYTICS_BIND", value_name = "ADDRESS")]
    bind: Option<String>,
    /// Port of WebSockets and calls; 0 takes a free one. Default 3001.
    #[arg(long, env = "ANALYTICS_WS_PORT", value_name = "PORT")]
    ws_port: Option<String>,
    /// A second port of the same service. Default: none.
    #[arg(long, env = "ANALYTICS_API_PORT", value_name = "PORT")]
    api_port: Option<String>,
    /// The certificate of TLS, as a PEM file of its chain; with ANALYTICS_TLS_KEY. Default: no TLS.
    #[arg(long, env = "ANALYTICS_TLS_CERT", value_name = "FILE")]
    tls_cert: Option<String>,
    /// The certificate's private key, as a PEM file: PKCS #8, PKCS #1 or SEC 1, not encrypted.
    #[arg(long, env = "ANALYTICS_TLS_KEY", value_name = "FILE")]
    tls_key: Option<String>,
    /// Port of the same service by TLS; 0 takes a free one. Default 3443 with a certificate.
    #[arg(long, env = "ANALYTICS_TLS_PORT", value_name = "PORT")]
    tls_port: Option<String>,
    /// Address and port of /metrics. Default 127.0.0.1:9464.
    #[arg(long, env = "ANALYTICS_ADMIN_ADDR", value_name = "ADDRESS:PORT")]
    admin_addr: Option<String>,
    /// Hubs, the threads that own WebSocket connections, and as many threads for HTTP: 1 to 64. Default: the cores.
    #[arg(long, env = "ANALYTICS_WORKERS", value_name = "N")]
    workers: Option<String>,
    /// Where every other path goes: http://host[:port]. Default: nowhere.
    #[arg(long, env = "ANALYTICS_UPSTREAM", value_name = "URL")]
    upstream: Option<String>,
    /// The function that answers the calls under /api/analytics/, with ANALYTICS_STORE=dynamodb:
    /// http(s)://host[:port][/prefix]. Default: this process answers them.
    #[arg(long, env = "ANALYTICS_TRIGGER_URL", value_name = "URL", hide_env_values = true)]
    trigger_url: Option<String>,
    /// Where counters are kept: embedded (a file of this process, default) or dynamodb.
    #[arg(long, env = "ANALYTICS_STORE", value_name = "STORE")]
    store: Option<String>,
    /// How changes come to this process: embedded (with the embedded store, default there), nats, or dynamodb-streams
    /// (for a single proxy).
    #[arg(long, env = "ANALYTICS_FEED", value_name = "FEED")]
    feed: Option<String>,
    #[command(flatten)]
    tables: TableSettings,
    #[command(flatten)]
    nats: NatsSettings,
    /// Directory of the counters. Default analytics-data.
    #[arg(long, env = "ANALYTICS_DATA_DIR", value_name = "DIR")]
    data_dir: Option<String>,
    /// Starts a new epoch of the store, once, after its file was restored from a backup: what clients remember of
    /// the time since then is void.
    #[arg(long)]
    new_epoch: bool,
    /// Whether increments are made up for what is watched: true or false. Default: true in development.
    #[arg(long, env = "ANALYTICS_SIMULATE", value_name = "BOOL")]
    simulate: Option<String>,
    /// How often, in milliseconds. Default 15000.
    #[arg(long, env = "ANALYTICS_SIMULATION_INTERVAL_MS", value_name = "MS")]
    simulation_interval_ms: Option<String>,
    /// Silence after which a connection is pinged, in milliseconds. Default 30000.
    #[arg(long, env = "ANALYTICS_HEARTBEAT_INTERVAL_MS", value_name = "MS")]
    heartbeat_interval_ms: Option<String>,
    /// Silence after which a connection is closed, in milliseconds. Default 60000.
    #[arg(long, env = "ANALYTICS_HEARTBEAT_TIMEOUT_MS", value_name = "MS")]
    heartbeat_timeout_ms: Option<String>,
    /// How long the head of a request may take, in milliseconds. Default 10000.
    #[arg(long, env = "ANALYTICS_HANDSHAKE_TIMEOUT_MS", value_name = "MS")]
    handshake_timeout_ms: Option<String>,
    /// WebSocket connections at once. Default: the descriptors that may be open, less 512.
    #[arg(long, env = "ANALYTICS_MAX_CONNECTIONS", value_name = "N")]
    max_connections: Option<String>,
    /// WebSocket connections at once from one address. Default: no limit.
    #[arg(long, env = "ANALYTICS_MAX_CONNECTIONS_PER_IP", value_name = "N")]
    max_connections_per_ip: Option<String>,
    /// Different ids in one subscription. Default 1000.
    #[arg(long, env = "ANALYTICS_MAX_CONTENT_IDS", value_name = "N")]
    max_content_ids: Option<String>,
    /// The largest message from a client, in bytes. Default 65536.
    #[arg(long, env = "ANALYTICS_MAX_MESSAGE_BYTES", value_name = "N")]
    max_message_bytes: Option<String>,
    /// Messages a connection may send per second, twice as many at once. Default 50.
    #[arg(long, env = "ANALYTICS_MESSAGES_PER_SECOND", value_name = "N")]
    messages_per_second: Option<String>,
    /// How hubs send to many sockets: auto (by io_uring where the kernel lets them, default) or off (a call per send).
    #[arg(long, env = "ANALYTICS_IO_URING", value_name = "auto|off")]
    io_uring: Option<String>,
    /// Proxies whose X-Forwarded-For is believed: a comma-separated list of addresses and CIDR blocks. Default: none.
    #[arg(long, env = "ANALYTICS_TRUSTED_PROXIES", value_name = "LIST")]
    trusted_proxies: Option<String>,
    /// Seconds over which connections are closed on SIGTERM. Default 10.
    #[arg(long, env = "ANALYTICS_DRAIN_SECONDS", value_name = "SECONDS")]
    drain_seconds: Option<String>,
}
