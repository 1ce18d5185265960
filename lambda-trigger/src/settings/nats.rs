//! Where NATS is, as the relay writes to it and proxies read from it. The rule: a refusal never repeats the URL, which
//! may hold a password.

use super::{InvalidSetting, parse, text};
use crate::nats::NatsOptions;

/// The settings as they are given.
#[derive(clap::Args, Clone)]
pub struct NatsSettings {
    /// Where NATS is: a comma-separated list of nats://[user:password@]host[:port] or tls://…. Required by stream-relay
    /// and by the feed nats.
    #[arg(long, env = "ANALYTICS_NATS_URL", value_name = "URLS", hide_env_values = true)]
    nats_url: Option<String>,
    /// A NATS credentials file. Default: none.
    #[arg(long, env = "ANALYTICS_NATS_CREDENTIALS", value_name = "FILE")]
    nats_credentials: Option<String>,
    /// The JetStream domain of the hub. Default: that of the server connected to.
    #[arg(long, env = "ANALYTICS_NATS_DOMAIN", value_name = "NAME")]
    nats_domain: Option<String>,
}

impl NatsSettings {
    /// How to connect, for what needs it (as in "must be set *with ANALYTICS_FEED=nats*"); `name` is what the server's
    /// log calls the connection.
    ///
    /// # Errors
    /// There is no URL, or it is none.
    pub fn options(&self, needed: &str, name: String) -> Result<NatsOptions, InvalidSetting> {
        let invalid = |problem: &str| InvalidSetting {
            variable: "ANALYTICS_NATS_URL".to_owned(),
            problem: format!(
                "{problem}: a comma-separated list of nats://[user:password@]host[:port] or tls://…, all with the same \
                 user"
            ),
        };
        let url = text(&self.nats_url).ok_or_else(|| invalid(&format!("must be set {needed}")))?;
        Ok(NatsOptions {
            servers: url.parse().map_err(|_| invalid("is not what it must be"))?,
            credentials: parse("ANALYTICS_NATS_CREDENTIALS", &self.nats_credentials, "a file")?,
            domain: text(&self.nats_domain).map(str::to_owned),
            name,
        })
    }
}
