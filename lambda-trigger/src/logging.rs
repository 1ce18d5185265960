//! The log of what runs in a Lambda or beside one. The rule: JSON lines on standard error, and no request as it came,
//! whatever `RUST_LOG` says, for in requests are tokens.

use tracing_subscriber::EnvFilter;

/// The libraries that print requests as they came, from debug on.
const QUIET: [&str; 2] = ["lambda_runtime", "lambda_http"];

/// Starts the log. Call once.
pub fn start() {
    let wanted = std::env::var("RUST_LOG").ok().filter(|wanted| !wanted.is_empty());
    let filter = EnvFilter::builder().parse_lossy(quieted(wanted.as_deref().unwrap_or("info"), &QUIET));
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).json().init();
}

/// A filter whose directives for these targets, and for all below them, say at most info.
pub fn quieted(wanted: &str, quiet: &[&str]) -> String {
    let mut directives: Vec<String> =
        wanted.split(',').map(str::trim).filter(|directive| !directive.is_empty()).map(str::to_owned).collect();
    let target = |directive: &str| directive.split('=').next().unwrap_or_default().to_owned();
    let loud = |directive: &str| {
        quiet.iter().any(|quiet| directive.starts_with(quiet))
            && !["warn", "error", "off", "info"].iter().any(|level| directive.ends_with(level))
    };
    directives.retain(|directive| !loud(directive));
    for quiet in quiet {
        if !directives.iter().any(|directive| target(directive) == *quiet) {
            directives.push(format!("{quiet}=info"));
        }
    }
    directives.join(",")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_level_makes_a_quiet_library_print_requests() {
        let quieted = |wanted| quieted(wanted, &["wire", "wire_core"]);
        assert_eq!(quieted("trace"), "trace,wire=info,wire_core=info");
        assert_eq!(quieted("debug,wire_core=trace,wire::deep=debug"), "debug,wire=info,wire_core=info");
        assert_eq!(quieted("wire=warn,wire_core=error"), "wire=warn,wire_core=error");
    }
}
