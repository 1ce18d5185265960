//! From texts to values. The rule: everything is checked before anything is bound or opened, and an error names the
//! variable, what it holds (unless it is a secret) and what is allowed.

use std::net::{IpAddr, SocketAddr};
use std::str::FromStr;
use std::time::Duration;

use analytics_shared::token::Verifier;
use clap::CommandFactory;
use lambda_trigger::auth::Mode;
use lambda_trigger::settings::beside::{OF_THE_RELAY, OF_THE_SHELL};
use lambda_trigger::settings::{self, Calls, InvalidSetting, number, parse, refuse, text};

use super::{Settings, Storage, Tls};
use crate::{EdgeConfig, Target, Trigger};

/// Settings that hold together.
#[derive(Debug)]
pub struct Resolved {
    /// The edge's own settings.
    pub edge: EdgeConfig,
    /// How tokens are verified, if they can be.
    pub verifier: Option<Verifier>,
    /// Where WebSockets and calls are taken: the first port, and the second if there is one.
    pub listen: Vec<SocketAddr>,
    /// Where the same is taken by TLS, and the certificate.
    pub tls: Option<Tls>,
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

/// The variables of this process that begin like ours and are none of ours: a misspelt setting must not go unseen.
pub fn unknown_variables(names: impl Iterator<Item = String>) -> Vec<InvalidSetting> {
    let others = [&OF_THE_RELAY[..], &OF_THE_SHELL].concat();
    settings::unknown_variables(&Settings::command(), &others, names)
}

impl Settings {
    /// Checks everything and puts it together.
    pub fn resolve(&self) -> Result<Resolved, InvalidSetting> {
        let Calls { mode, verifier, origins, max_body_bytes, performance } = self.calls.resolve(Mode::Development)?;
        let bind: IpAddr = parse("ANALYTICS_BIND", &self.bind, "an IP address")?.unwrap_or([127, 0, 0, 1].into());
        let admin: Option<SocketAddr> = parse("ANALYTICS_ADMIN_ADDR", &self.admin_addr, "an IP address with a port")?;
        let exposed = [Some(bind), admin.map(|admin| admin.ip())].into_iter().flatten();
        if let (Some(exposed), false) = (exposed.into_iter().find(|ip| !ip.is_loopback()), self.calls.names_mode()) {
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
        let tls = self.tls(bind, [Some(ws_port), api_port])?;
        let storage = self.storage()?;
        let mut edge = EdgeConfig { origins, max_body_bytes, performance, ..self.edge(mode)? };
        match storage {
            // Counts would be made there, and sockets would show the file here.
            Storage::Embedded { .. } if edge.trigger.is_some() => {
                return Err(InvalidSetting {
                    variable: "ANALYTICS_TRIGGER_URL".to_owned(),
                    problem: "must be unset with ANALYTICS_STORE=embedded: what a function counts is in DynamoDB \
                              (ANALYTICS_STORE=dynamodb)"
                        .to_owned(),
                });
            }
            Storage::DynamoDb { .. } if edge.simulation.is_some() => {
                edge.simulation = self.simulation_on_dynamodb(edge.simulation)?;
            }
            _ => {}
        }
        Ok(Resolved {
            edge,
            verifier,
            listen: [ws_port].into_iter().chain(api_port).map(|port| SocketAddr::new(bind, port)).collect(),
            tls,
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
        let bytes = number("ANALYTICS_MAX_MESSAGE_BYTES", &self.max_message_bytes, 1024, 1 << 30)?;
        set(&mut edge.max_message_bytes, bytes);
        let rate = number("ANALYTICS_MESSAGES_PER_SECOND", &self.messages_per_second, 1, 1_000_000)?;
        set(&mut edge.messages_per_second, rate.map(|rate| rate as u32));
        edge.io_uring = match text(&self.io_uring) {
            None | Some("auto") => true,
            Some("off") => false,
            Some(other) => return Err(refuse("ANALYTICS_IO_URING", other, "auto or off")),
        };
        set(&mut edge.heartbeat_interval, millis("ANALYTICS_HEARTBEAT_INTERVAL_MS", &self.heartbeat_interval_ms)?);
        set(&mut edge.heartbeat_timeout, millis("ANALYTICS_HEARTBEAT_TIMEOUT_MS", &self.heartbeat_timeout_ms)?);
        if edge.heartbeat_timeout <= edge.heartbeat_interval {
            let held = edge.heartbeat_timeout.as_millis().to_string();
            let must_be = format!("longer than the interval, {} ms", edge.heartbeat_interval.as_millis());
            return Err(refuse("ANALYTICS_HEARTBEAT_TIMEOUT_MS", &held, &must_be));
        }
        edge.trigger = self.trigger()?;
        edge.simulation = self.simulation(mode)?;
        let seconds = number("ANALYTICS_DRAIN_SECONDS", &self.drain_seconds, 0, 3600)?;
        set(&mut edge.drain, seconds.map(|seconds| Duration::from_secs(seconds as u64)));
        let networks = "a comma-separated list of IP addresses and CIDR blocks";
        set(&mut edge.trusted_proxies, parse("ANALYTICS_TRUSTED_PROXIES", &self.trusted_proxies, networks)?);
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

    fn trigger(&self) -> Result<Option<Trigger>, InvalidSetting> {
        let Some(url) = text(&self.trigger_url) else { return Ok(None) };
        let target = url.parse::<Target>().map_err(|invalid| InvalidSetting {
            variable: "ANALYTICS_TRIGGER_URL".to_owned(),
            problem: format!("must be {invalid}"),
        })?;
        Ok(Some(Trigger::at(target)))
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
