//! The log. The rule: for people in development, for machines in production; no token and no secret in either.

use std::io::IsTerminal;

use lambda_trigger::auth::Mode;
use tracing_subscriber::EnvFilter;

/// Without `RUST_LOG`: our own crates at debug in development, everything at info in production.
const DEVELOPMENT: &str = "info,analytics_proxy=debug,lambda_trigger=debug,pingora_core=warn,pingora_proxy=warn";
const PRODUCTION: &str = "info,pingora_core=warn,pingora_proxy=warn";

/// Never below this, whatever `RUST_LOG` says: Pingora's traces and its debug lines about broken requests print heads
/// and bytes as they came, and in them tokens.
const QUIET: [&str; 2] = ["pingora_core=info", "pingora_proxy=info"];

/// Starts the log on standard error. Call once.
pub fn start(mode: Mode) {
    let default = match mode {
        Mode::Development => DEVELOPMENT,
        Mode::Production => PRODUCTION,
    };
    let wanted = std::env::var("RUST_LOG").ok().filter(|wanted| !wanted.is_empty());
    let filter = EnvFilter::builder().parse_lossy(quieted(wanted.as_deref().unwrap_or(default)));
    let log = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    match mode {
        Mode::Development => log.with_ansi(std::io::stderr().is_terminal()).init(),
        Mode::Production => log.json().init(),
    }
}

/// A filter whose directives for Pingora say at most info.
fn quieted(wanted: &str) -> String {
    let mut directives: Vec<&str> = wanted.split(',').map(str::trim).filter(|d| !d.is_empty()).collect();
    let loud = |directive: &&str| {
        directive.starts_with("pingora")
            && !["warn", "error", "off", "info"].iter().any(|level| directive.ends_with(level))
    };
    directives.retain(|directive| !loud(directive));
    for quiet in QUIET {
        let target = quiet.split('=').next().unwrap_or_default();
        if !directives.iter().any(|directive| directive.split('=').next() == Some(target)) {
            directives.push(quiet);
        }
    }
    directives.join(",")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pingora_cannot_be_made_to_print_heads() {
        assert_eq!(quieted("trace"), "trace,pingora_core=info,pingora_proxy=info");
        assert_eq!(
            quieted("debug,pingora_core=trace,pingora_proxy=debug"),
            "debug,pingora_core=info,pingora_proxy=info"
        );
        assert_eq!(quieted("pingora_core=warn,pingora_proxy=error"), "pingora_core=warn,pingora_proxy=error");
    }
}
