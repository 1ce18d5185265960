//! From texts to values. The rule: everything is checked before anything is bound or opened, and an error names the
//! variable, what it holds (unless it is a secret) and what is allowed.

use std::fmt::Display;
use std::net::{IpAddr, SocketAddr};
use std::str::FromStr;
use std::time::Duration;

use analytics_shared::token::{Expectations, Verifier};
use clap::CommandFactory;
use lambda_trigger::auth::Mode;

use super::{Settings, Storage};
use crate::EdgeConfig;

/// Settings that hold together.
#[derive(Debug)]
pub struct Resolved {
    /// The edge's own settings.
    pub edge: EdgeConfig,
    /// How tokens are verified, if they can be.
    pub verifier: Option<Verifier>,
    /// Where WebSockets and calls are taken: the first port, and the second if there is one.
    pub listen: Vec<SocketAddr>,
    /// Where `/metrics` lives.
    pub admin: SocketAddr,
    /// Where every other path goes.
    pub upstream: Option<Upstream>,
    /// Where counters are kept, and how their changes come here.
    pub storage: Storage,
    /// How long the head of a request may take.
    pub head_time: Duration,
}

/// The platform behind the edge.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Upstream {
    /// A name or an address.
    pub host: String,
    /// The port.
    pub port: u16,
}

/// A setting that is not allowed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{variable} {problem}")]
pub struct InvalidSetting {
    /// The environment variable; the flag has the same name in lower case.
    pub variable: String,
    /// What it holds and what is allowed.
    pub problem: String,
}

/// Variables of the programs beside this one (replay, tests), which the same shell may hold.
const OF_OTHER_PROGRAMS: [&str; 4] =
    ["ANALYTICS_DATA", "ANALYTICS_TOKEN", "ANALYTICS_PROXY_BIN", "ANALYTICS_TEST_SEED"];

/// The variables of this process that begin like ours and are none of ours: a misspelt setting must not go unseen.
pub fn unknown_variables(names: impl Iterator<Item = String>) -> Vec<InvalidSetting> {
    let command = Settings::command();
    let known: Vec<_> = command.get_arguments().filter_map(|argument| argument.get_env()).collect();
    let ours = names.filter(|name| name.starts_with("ANALYTICS_"));
    let unknown = ours.filter(|name| {
        !known.iter().any(|known| *known == name.as_str()) && !OF_OTHER_PROGRAMS.contains(&name.as_str())
    });
    unknown
        .map(|variable| InvalidSetting { variable, problem: "is not a setting of this program; see --help".to_owned() })
        .collect()
}

impl Settings {
    /// Checks everything and puts it together.
    pub fn resolve(&self) -> Result<Resolved, InvalidSetting> {
        let mode = match text(&self.mode) {
            None | Some("development") => Mode::Development,
            Some("production") => Mode::Production,
            Some(other) => return Err(refuse("ANALYTICS_MODE", other, "development or production")),
        };
        let bind: IpAddr = parse("ANALYTICS_BIND", &self.bind, "an IP address")?.unwrap_or([127, 0, 0, 1].into());
        let admin: Option<SocketAddr> = parse("ANALYTICS_ADMIN_ADDR", &self.admin_addr, "an IP address with a port")?;
        let exposed = [Some(bind), admin.map(|admin| admin.ip())].into_iter().flatten();
        if let (Some(exposed), None) = (exposed.into_iter().find(|ip| !ip.is_loopback()), text(&self.mode)) {
            return Err(InvalidSetting {
                variable: "ANALYTICS_MODE".to_owned(),
                problem: format!("must be set to bind {exposed}: development trusts whoever can reach it"),
            });
        }
        let port = "a port from 0 to 65535";
        let ws_port = parse("ANALYTICS_WS_PORT", &self.ws_port, port)?.unwrap_or(3001);
        let api_port: Option<u16> = parse("ANALYTICS_API_PORT", &self.api_port, port)?;
        if api_port == Some(ws_port) && ws_port != 0 {
            return Err(refuse("ANALYTICS_API_PORT", &ws_port.to_string(), "another port than ANALYTICS_WS_PORT"));
        }
        let storage = self.storage()?;
        let mut edge = self.edge(mode)?;
        if let Storage::DynamoDb { .. } = storage
            && edge.simulation.is_some()
        {
            edge.simulation = self.simulation_on_dynamodb(edge.simulation)?;
        }
        Ok(Resolved {
            edge,
            verifier: self.verifier(mode)?,
            listen: [ws_port].into_iter().chain(api_port).map(|port| SocketAddr::new(bind, port)).collect(),
            admin: admin.unwrap_or(SocketAddr::from(([127, 0, 0, 1], 9464))),
            upstream: self.upstream()?,
            storage,
            head_time: millis("ANALYTICS_HANDSHAKE_TIMEOUT_MS", &self.handshake_timeout_ms)?
                .unwrap_or(Duration::from_secs(10)),
        })
    }

    fn edge(&self, mode: Mode) -> Result<EdgeConfig, InvalidSetting> {
        let mut edge = EdgeConfig::new(mode);
        set(&mut edge.workers, number("ANALYTICS_WORKERS", &self.workers, 1, 64)?);
        set(&mut edge.max_connections, number("ANALYTICS_MAX_CONNECTIONS", &self.max_connections, 1, 10_000_000)?);
        edge.max_connections_per_ip =
            number("ANALYTICS_MAX_CONNECTIONS_PER_IP", &self.max_connections_per_ip, 1, u32::MAX as usize)?
                .map(|max| max as u32);
        set(&mut edge.max_content_ids, number("ANALYTICS_MAX_CONTENT_IDS", &self.max_content_ids, 1, 1_000_000)?);
        let bytes = 1 << 30;
        set(&mut edge.max_message_bytes, number("ANALYTICS_MAX_MESSAGE_BYTES", &self.max_message_bytes, 1024, bytes)?);
        set(&mut edge.max_body_bytes, number("ANALYTICS_MAX_BODY_BYTES", &self.max_body_bytes, 1024, bytes)?);
        let rate = number("ANALYTICS_MESSAGES_PER_SECOND", &self.messages_per_second, 1, 1_000_000)?;
        set(&mut edge.messages_per_second, rate.map(|rate| rate as u32));
        set(&mut edge.heartbeat_interval, millis("ANALYTICS_HEARTBEAT_INTERVAL_MS", &self.heartbeat_interval_ms)?);
        set(&mut edge.heartbeat_timeout, millis("ANALYTICS_HEARTBEAT_TIMEOUT_MS", &self.heartbeat_timeout_ms)?);
        if edge.heartbeat_timeout <= edge.heartbeat_interval {
            let held = edge.heartbeat_timeout.as_millis().to_string();
            let must_be = format!("longer than the interval, {} ms", edge.heartbeat_interval.as_millis());
            return Err(refuse("ANALYTICS_HEARTBEAT_TIMEOUT_MS", &held, &must_be));
        }
        let origins = "a comma-separated list of scheme://host[:port], scheme://*.domain or *";
        edge.origins = parse("ANALYTICS_ALLOWED_ORIGINS", &self.allowed_origins, origins)?;
        edge.simulation = self.simulation(mode)?;
        let seconds = number("ANALYTICS_DRAIN_SECONDS", &self.drain_seconds, 0, 3600)?;
        set(&mut edge.drain, seconds.map(|seconds| Duration::from_secs(seconds as u64)));
        let networks = "a comma-separated list of IP addresses and CIDR blocks";
        set(&mut edge.trusted_proxies, parse("ANALYTICS_TRUSTED_PROXIES", &self.trusted_proxies, networks)?);
        if let Some(path) = text(&self.performance_config) {
            let invalid = |problem: &dyn Display| InvalidSetting {
                variable: "ANALYTICS_PERFORMANCE_CONFIG".to_owned(),
                problem: format!("names {path:?}: {problem}"),
            };
            let overrides = std::fs::read_to_string(path).map_err(|error| invalid(&error))?;
            edge.performance = edge.performance.with_overrides(&overrides).map_err(|error| invalid(&error))?;
        }
        Ok(edge)
    }

    fn upstream(&self) -> Result<Option<Upstream>, InvalidSetting> {
        let (variable, must_be) = ("ANALYTICS_UPSTREAM", "http://host or http://host:port");
        // What stands before an @ may be a password.
        if text(&self.upstream).is_some_and(|url| url.contains('@')) {
            return Err(InvalidSetting {
                variable: variable.to_owned(),
                problem: format!("must be {must_be}, without a user"),
            });
        }
        parse(variable, &self.upstream, must_be)
    }

    fn simulation(&self, mode: Mode) -> Result<Option<Duration>, InvalidSetting> {
        let interval = millis("ANALYTICS_SIMULATION_INTERVAL_MS", &self.simulation_interval_ms)?;
        let simulate = match (text(&self.simulate), mode) {
            (Some("true"), Mode::Production) => {
                return Err(refuse(
                    "ANALYTICS_SIMULATE",
                    "true",
                    "false in production: it would count what nobody did",
                ));
            }
            (Some("true"), _) => true,
            (Some("false"), _) => false,
            (None, mode) => mode == Mode::Development,
            (Some(other), _) => return Err(refuse("ANALYTICS_SIMULATE", other, "true or false")),
        };
        Ok(simulate.then(|| interval.unwrap_or(Duration::from_secs(15))))
    }

    fn verifier(&self, mode: Mode) -> Result<Option<Verifier>, InvalidSetting> {
        let algorithms = text(&self.jwt_algorithms).unwrap_or("HS256");
        if algorithms.split(',').any(|algorithm| algorithm.trim() != "HS256") {
            return Err(refuse("ANALYTICS_JWT_ALGORITHMS", algorithms, "HS256"));
        }
        let expected = Expectations {
            issuer: text(&self.jwt_issuer).map(str::to_owned),
            audience: text(&self.jwt_audience).map(str::to_owned),
        };
        let secret = |problem: String| InvalidSetting { variable: "ANALYTICS_JWT_SECRET".to_owned(), problem };
        match text(&self.jwt_secret) {
            None if mode == Mode::Production => {
                Err(secret("must be set in production: without it no token can be verified".to_owned()))
            }
            None => Ok(None),
            Some(value) => Verifier::hs256(value.as_bytes(), expected)
                .map(Some)
                .map_err(|weak| secret(format!("is not strong enough: {weak}"))),
        }
    }
}

impl FromStr for Upstream {
    type Err = &'static str;

    fn from_str(url: &str) -> Result<Upstream, &'static str> {
        let uri: http::Uri = url.parse().map_err(|_| "not a URL")?;
        let path = uri.path_and_query().map_or("/", |path| path.as_str());
        let host = uri.host().filter(|_| uri.scheme_str() == Some("http") && path == "/").ok_or("not a plain URL")?;
        let host = host.trim_start_matches('[').trim_end_matches(']').to_owned();
        Ok(Upstream { host, port: uri.port_u16().unwrap_or(80) })
    }
}

/// A setting's text; an empty one counts as unset.
pub(super) fn text(setting: &Option<String>) -> Option<&str> {
    setting.as_deref().filter(|text| !text.is_empty())
}

pub(super) fn parse<T: FromStr<Err: Display>>(
    variable: &str,
    setting: &Option<String>,
    must_be: &str,
) -> Result<Option<T>, InvalidSetting> {
    let Some(text) = text(setting) else { return Ok(None) };
    text.parse().map(Some).map_err(|error: T::Err| refuse(variable, text, &format!("{must_be} ({error})")))
}

pub(super) fn number(
    variable: &str,
    setting: &Option<String>,
    min: usize,
    max: usize,
) -> Result<Option<usize>, InvalidSetting> {
    let must_be = format!("an integer from {min} to {max}");
    let Some(text) = text(setting) else { return Ok(None) };
    let number = text.parse().ok().filter(|number| (min..=max).contains(number));
    number.map(Some).ok_or_else(|| refuse(variable, text, &must_be))
}

/// Milliseconds, from 1 to a day.
fn millis(variable: &str, setting: &Option<String>) -> Result<Option<Duration>, InvalidSetting> {
    let millis = number(variable, setting, 1, 86_400_000)?;
    Ok(millis.map(|millis| Duration::from_millis(millis as u64)))
}

fn set<T>(place: &mut T, value: Option<T>) {
    if let Some(value) = value {
        *place = value;
    }
}

pub(super) fn refuse(variable: &str, held: &str, must_be: &str) -> InvalidSetting {
    InvalidSetting { variable: variable.to_owned(), problem: format!("is {held:?}; it must be {must_be}") }
}
