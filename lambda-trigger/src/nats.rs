//! How this process reaches NATS. The rule: a connection that breaks comes back by itself, for as long as the process
//! lives, and a secret never appears in a text.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use async_nats::jetstream::{self, context::ContextBuilder};
use async_nats::{Client, ConnectOptions, ServerAddr};

/// How long one request to JetStream may take.
pub const REQUEST_TIME: Duration = Duration::from_secs(5);

/// Between two tries to connect; the first tries come sooner.
const MAX_RECONNECT_DELAY: Duration = Duration::from_secs(2);

/// How often an idle connection is probed: a cut that closes nothing is noticed after two of these.
const PING_INTERVAL: Duration = Duration::from_secs(5);

/// Servers and what they want to know.
#[derive(Clone, PartialEq, Eq)]
pub struct NatsOptions {
    /// Where to connect: one of these, in random order.
    pub servers: Servers,
    /// A `.creds` file (JWT and NKey seed), instead of a name and password in the URL.
    pub credentials: Option<PathBuf>,
    /// The JetStream domain of the hub; `None` asks the server that is connected.
    pub domain: Option<String>,
    /// What the server's log calls this connection.
    pub name: String,
}

/// A comma-separated list of `nats://[user:password@]host[:port]` or `tls://…`, all with the same user.
#[derive(Clone, PartialEq, Eq)]
pub struct Servers {
    addresses: Vec<ServerAddr>,
    user: Option<(String, String)>,
}

/// The list of servers is not one; the text never repeats it, for it may hold a password.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a list of nats:// or tls:// URLs, all with the same user")]
pub struct InvalidServers;

/// NATS cannot be asked at all.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// The credentials file cannot be read or is none.
    #[error("the credentials file {path:?} cannot be used: {source}")]
    Credentials {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: std::io::Error,
    },
    /// The client refused to start.
    #[error("NATS cannot be reached: {0}")]
    Connect(#[from] async_nats::ConnectError),
}

impl NatsOptions {
    /// Connects in the background: this returns before there is a connection, and what is asked of the client
    /// meanwhile waits or times out.
    ///
    /// # Errors
    /// [`ConnectError`]: nothing that time would heal.
    pub async fn connect(&self) -> Result<Client, ConnectError> {
        let mut options = ConnectOptions::new()
            .name(&self.name)
            .retry_on_initial_connect()
            .max_reconnects(None)
            .reconnect_delay_callback(|tries| {
                let delay = Duration::from_millis(50) * (tries.min(8) as u32).pow(2);
                delay.min(MAX_RECONNECT_DELAY).mul_f64(0.5 + fastrand::f64() / 2.0)
            })
            .ping_interval(PING_INTERVAL)
            .connection_timeout(REQUEST_TIME)
            .request_timeout(Some(REQUEST_TIME));
        if let Some((user, password)) = &self.servers.user {
            options = options.user_and_password(user.clone(), password.clone());
        }
        if let Some(path) = &self.credentials {
            let refused = |source| ConnectError::Credentials { path: path.clone(), source };
            let text = std::fs::read_to_string(path).map_err(refused)?;
            options = options.credentials(&text).map_err(refused)?;
        }
        Ok(options.connect(self.servers.addresses.clone()).await?)
    }

    /// JetStream of the hub, through a client.
    pub fn jetstream(&self, client: Client) -> jetstream::Context {
        match &self.domain {
            Some(domain) => {
                ContextBuilder::new().timeout(REQUEST_TIME).ack_timeout(REQUEST_TIME).domain(domain).build(client)
            }
            None => ContextBuilder::new().timeout(REQUEST_TIME).ack_timeout(REQUEST_TIME).build(client),
        }
    }
}

impl fmt::Debug for NatsOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let NatsOptions { servers, credentials, domain, name } = self;
        let mut shown = f.debug_struct("NatsOptions");
        shown.field("servers", servers).field("credentials", credentials);
        shown.field("domain", domain).field("name", name).finish()
    }
}

impl fmt::Debug for Servers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let hosts = self.addresses.iter().map(|address| format!("{}:{}", address.host(), address.port()));
        f.debug_list().entries(hosts).finish()
    }
}

impl FromStr for Servers {
    type Err = InvalidServers;

    fn from_str(list: &str) -> Result<Servers, InvalidServers> {
        let mut addresses = Vec::new();
        let mut users = Vec::new();
        for text in list.split(',') {
            let mut url = ServerAddr::from_str(text.trim()).map_err(|_| InvalidServers)?.into_inner();
            if !matches!(url.scheme(), "nats" | "tls") || url.host_str().is_none_or(str::is_empty) {
                return Err(InvalidServers);
            }
            users.push(user(url.username(), url.password())?);
            // Servers take the user from the CONNECT message; a URL that names one is refused by some.
            url.set_username("").and_then(|()| url.set_password(None)).map_err(|()| InvalidServers)?;
            addresses.push(ServerAddr::from_url(url).map_err(|_| InvalidServers)?);
        }
        users.dedup();
        match (addresses.is_empty(), users.len()) {
            (false, 1) => Ok(Servers { addresses, user: users.pop().flatten() }),
            _ => Err(InvalidServers),
        }
    }
}

/// User and password of a URL, percent-decoded.
fn user(name: &str, password: Option<&str>) -> Result<Option<(String, String)>, InvalidServers> {
    if name.is_empty() {
        return Ok(None);
    }
    let plain = |text: &str| {
        let decoded = percent_encoding::percent_decode_str(text).decode_utf8();
        decoded.map(std::borrow::Cow::into_owned).map_err(|_| InvalidServers)
    };
    Ok(Some((plain(name)?, plain(password.unwrap_or_default())?)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_is_taken_out_of_the_url_and_never_shown() {
        let servers: Servers = "nats://me:p%40ss@a:4222, tls://me:p%40ss@b".parse().expect("a valid list");
        assert_eq!(servers.user, Some(("me".to_owned(), "p@ss".to_owned())));
        assert_eq!(format!("{servers:?}"), r#"["a:4222", "b:4222"]"#);
        for wrong in ["", "http://a", "nats://a:x", "nats://a,nats://me:p@b", "ws://a"] {
            assert_eq!(wrong.parse::<Servers>(), Err(InvalidServers), "{wrong}");
        }
    }
}
