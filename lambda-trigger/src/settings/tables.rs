//! Which tables in DynamoDB, and their epoch. The rule: every program of a deployment is given the same.

use analytics_shared::version::MAX_EPOCH;

use super::{InvalidSetting, number, text};
use crate::dynamodb::Tables;

/// The settings as they are given.
#[derive(clap::Args, Clone)]
pub struct TableSettings {
    /// What the names of the DynamoDB tables begin with; the stream in NATS is named after it. Default analytics.
    #[arg(long, env = "ANALYTICS_TABLE_PREFIX", value_name = "PREFIX")]
    table_prefix: Option<String>,
    /// The epoch of the store in DynamoDB, raised after a restore; the same in every program. Default 0.
    #[arg(long, env = "ANALYTICS_STORE_EPOCH", value_name = "N")]
    store_epoch: Option<String>,
}

impl TableSettings {
    /// The prefix and its tables.
    ///
    /// # Errors
    /// The prefix makes no names.
    pub fn tables(&self) -> Result<(&str, Tables), InvalidSetting> {
        tables(&self.table_prefix)
    }

    /// The epoch.
    ///
    /// # Errors
    /// It is no epoch.
    pub fn epoch(&self) -> Result<u64, InvalidSetting> {
        let epoch = number("ANALYTICS_STORE_EPOCH", &self.store_epoch, 0, MAX_EPOCH as usize)?;
        Ok(epoch.unwrap_or(0) as u64)
    }
}

/// `ANALYTICS_TABLE_PREFIX` and its tables, for programs that need nothing else of [`TableSettings`].
///
/// # Errors
/// The prefix makes no names.
pub fn tables(prefix: &Option<String>) -> Result<(&str, Tables), InvalidSetting> {
    let prefix = text(prefix).unwrap_or("analytics");
    let tables = Tables::new(prefix).map_err(|invalid| InvalidSetting {
        variable: "ANALYTICS_TABLE_PREFIX".to_owned(),
        problem: format!("is {prefix:?}: {invalid}"),
    })?;
    Ok((prefix, tables))
}

/// Whether the SDK's own variables name a DynamoDB on this machine. What must never reach somebody's real tables asks
/// this first.
pub fn dynamodb_is_local() -> bool {
    let named = ["AWS_ENDPOINT_URL_DYNAMODB", "AWS_ENDPOINT_URL"];
    named.into_iter().find_map(|name| std::env::var(name).ok()).is_some_and(|url| is_local(&url))
}

fn is_local(url: &str) -> bool {
    let url: Option<http::Uri> = url.parse().ok();
    let host = url.as_ref().and_then(http::Uri::host).unwrap_or_default();
    let address = host.trim_start_matches('[').trim_end_matches(']').parse::<std::net::IpAddr>();
    host == "localhost" || address.is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_this_machine_is_local() {
        for local in ["http://localhost:8000", "http://127.0.0.1:8000", "http://127.1.2.3", "http://[::1]:8000"] {
            assert!(is_local(local), "{local}");
        }
        for other in ["", "http://", "https://dynamodb.eu-west-1.amazonaws.com", "http://localhost.example.com:1"] {
            assert!(!is_local(other), "{other}");
        }
    }
}
