//! The log. The rule: for people in development, for machines in production; no token and no secret in either.

use std::io::IsTerminal;

use lambda_trigger::auth::Mode;
use lambda_trigger::logging::quieted;
use tracing_subscriber::EnvFilter;

/// Without `RUST_LOG`: our own crates at debug in development, everything at info in production.
const DEVELOPMENT: &str = "info,analytics_proxy=debug,lambda_trigger=debug,pingora_core=warn,pingora_proxy=warn";
const PRODUCTION: &str = "info,pingora_core=warn,pingora_proxy=warn";

/// Never below info, whatever `RUST_LOG` says: Pingora's traces and its debug lines about broken requests print heads
/// and bytes as they came, and in them tokens.
const QUIET: [&str; 2] = ["pingora_core", "pingora_proxy"];

/// Starts the log on standard error. Call once.
pub fn start(mode: Mode) {
    let default = match mode {
        Mode::Development => DEVELOPMENT,
        Mode::Production => PRODUCTION,
    };
    let wanted = std::env::var("RUST_LOG").ok().filter(|wanted| !wanted.is_empty());
    let filter = EnvFilter::builder().parse_lossy(quieted(wanted.as_deref().unwrap_or(default), &QUIET));
    let log = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    match mode {
        Mode::Development => log.with_ansi(std::io::stderr().is_terminal()).init(),
        Mode::Production => log.json().init(),
    }
}
