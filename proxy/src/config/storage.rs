//! Where counters are kept and how their changes come here. The rule: a store and a feed that do not belong together are
//! refused, for counts would be written and never shown.

use std::path::PathBuf;
use std::time::Duration;

use lambda_trigger::changelog::Changelog;
use lambda_trigger::dynamodb::Tables;
use lambda_trigger::nats::NatsOptions;
use lambda_trigger::settings::{InvalidSetting, dynamodb_is_local, refuse, text};

use super::Settings;

/// Where counters are kept.
#[derive(Debug)]
#[expect(clippy::large_enum_variant, reason = "a process has one of it, for a moment")]
pub enum Storage {
    /// In a file of this process, which also announces its changes.
    Embedded {
        /// Its directory.
        data_dir: PathBuf,
        /// Whether it starts a new epoch.
        new_epoch: bool,
    },
    /// In DynamoDB.
    DynamoDb {
        /// The tables.
        tables: Tables,
        /// Their epoch.
        epoch: u64,
        /// How their changes come here.
        changes: Changes,
    },
}

/// How changes of DynamoDB's tables come here.
#[derive(Debug)]
#[expect(clippy::large_enum_variant, reason = "a process has one of it, for a moment")]
pub enum Changes {
    /// By the log in NATS.
    Nats {
        /// Where it is.
        nats: NatsOptions,
        /// Which one.
        log: Changelog,
    },
    /// By the tables' own stream.
    Streams,
}

impl Settings {
    pub(super) fn storage(&self) -> Result<Storage, InvalidSetting> {
        let feed = text(&self.feed);
        match text(&self.store) {
            None | Some("embedded") => match feed {
                None | Some("embedded") => Ok(Storage::Embedded {
                    data_dir: text(&self.data_dir).unwrap_or("analytics-data").into(),
                    new_epoch: self.new_epoch,
                }),
                Some(other) => Err(refuse("ANALYTICS_FEED", other, "embedded with ANALYTICS_STORE=embedded")),
            },
            Some("dynamodb") => {
                let (prefix, tables) = self.tables.tables()?;
                let epoch = self.tables.epoch()?;
                let changes = match feed {
                    Some("nats") => self.changes_by_nats(prefix)?,
                    Some("dynamodb-streams") => Changes::Streams,
                    other => {
                        let must_be = "nats, or dynamodb-streams for a single proxy, with ANALYTICS_STORE=dynamodb";
                        return Err(refuse("ANALYTICS_FEED", other.unwrap_or_default(), must_be));
                    }
                };
                Ok(Storage::DynamoDb { tables, epoch, changes })
            }
            Some(other) => Err(refuse("ANALYTICS_STORE", other, "embedded or dynamodb")),
        }
    }

    fn changes_by_nats(&self, prefix: &str) -> Result<Changes, InvalidSetting> {
        let name = format!("analytics-proxy {}", std::process::id());
        let nats = self.nats.options("with ANALYTICS_FEED=nats", name)?;
        Ok(Changes::Nats { nats, log: Changelog::of_tables(prefix) })
    }

    /// What is made up must never be counted in somebody's real tables.
    pub(super) fn simulation_on_dynamodb(
        &self,
        interval: Option<Duration>,
    ) -> Result<Option<Duration>, InvalidSetting> {
        if text(&self.simulate).is_none() {
            return Ok(None);
        }
        if dynamodb_is_local() {
            return Ok(interval);
        }
        Err(refuse("ANALYTICS_SIMULATE", "true", "false with a DynamoDB that is not on this machine"))
    }
}
