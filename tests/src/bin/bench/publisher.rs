//! Publishes updates, to each server in the way that it takes them. The rule: one connection, everything small, and what was
//! published is known without being told: the nth update of a topic makes its value n.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};

use anyhow::{Context, Result, bail, ensure};

use crate::content_id;
use crate::dialect::Scope;
use crate::http::{self, Http};
use crate::server::Server;
use crate::update::{Update, Writer};

/// How a server takes updates.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    /// The floor: a byte stands for one of every topic.
    Byte,
    /// The edge's HTTP: increments, which the server counts.
    Trigger,
    /// A POST of the finished message for each.
    Nchan,
    /// A line and the finished message for each, which nobody acknowledges.
    Nats,
    /// A POST of the finished messages.
    Centrifuge,
}

/// Sends updates, and knows what they make of each topic.
pub(crate) struct Publisher {
    way: Way,
    host: SocketAddr,
    line: Line,
    writer: Writer,
    values: Vec<u64>,
    unanswered: usize,
    /// Whose counters are counted, where that is not left out.
    scope: Option<Scope>,
}

enum Line {
    Raw(TcpStream),
    Http(Http),
}

impl Publisher {
    /// Connects to a server on which nothing was counted yet.
    pub(crate) fn connect(server: &Server) -> Result<Publisher> {
        let (way, host) = (server.way(), server.address());
        let line = match way {
            Way::Trigger | Way::Nchan | Way::Centrifuge => Line::Http(Http::connect(host)?),
            Way::Byte | Way::Nats => {
                let mut stream = TcpStream::connect(host).context("connecting to publish")?;
                stream.set_nodelay(true)?;
                if way == Way::Nats {
                    stream.write_all(b"CONNECT {\"verbose\":false,\"pedantic\":false}\r\n")?;
                }
                Line::Raw(stream)
            }
        };
        Ok(Publisher { way, host, line, writer: Writer::new()?, values: Vec::new(), unanswered: 0, scope: None })
    }

    /// Counts the counters of a scope. Only the edge knows such.
    pub(crate) fn within(mut self, scope: Scope) -> Publisher {
        self.scope = Some(scope);
        self
    }

    /// For an epoll: readable means [`Publisher::settle`].
    pub(crate) fn stream(&self) -> &TcpStream {
        match &self.line {
            Line::Raw(stream) => stream,
            Line::Http(http) => http.stream(),
        }
    }

    /// The value of each topic after what was published, 0 beyond the last.
    pub(crate) fn values(&self) -> &[u64] {
        &self.values
    }

    /// Whether something is not acknowledged, by a server that acknowledges.
    pub(crate) fn is_waiting(&self) -> bool {
        self.unanswered > 0
    }

    /// Publishes the next value of each of these topics, at most 100, as [`content_id`]'s numbers; the server is told of all
    /// at once. What was published before is acknowledged.
    pub(crate) fn fire(&mut self, ids: &[u32]) -> Result<()> {
        ensure!(!self.is_waiting(), "published before the update before was acknowledged");
        let updates: Vec<Update> = ids.iter().map(|id| self.next(*id)).collect();
        let bytes = match self.way {
            Way::Byte => b"!".to_vec(),
            Way::Trigger => http::post_update(self.host, None, &increments(self.scope.as_ref(), ids)),
            Way::Nchan => {
                let mut requests = Vec::new();
                for update in &updates {
                    let path = format!("/pub/{}", content_id(update.id as usize));
                    requests.extend_from_slice(&http::post(self.host, &path, "", &self.json(*update)?));
                }
                requests
            }
            Way::Nats => {
                let mut lines = Vec::new();
                for update in &updates {
                    let json = self.json(*update)?;
                    write!(lines, "PUB {} {}\r\n{json}\r\n", content_id(update.id as usize), json.len())?;
                }
                lines
            }
            Way::Centrifuge => {
                let mut commands = Vec::new();
                for update in &updates {
                    let (channel, data) = (content_id(update.id as usize), self.json(*update)?);
                    commands.push(format!(r#"{{"publish":{{"channel":"{channel}","data":{data}}}}}"#));
                }
                http::post(self.host, "/api/batch", "", &format!(r#"{{"commands":[{}]}}"#, commands.join(",")))
            }
        };
        self.unanswered = match self.way {
            Way::Byte | Way::Nats => 0,
            Way::Trigger | Way::Centrifuge => 1,
            Way::Nchan => updates.len(),
        };
        match &mut self.line {
            Line::Raw(stream) => stream.write_all(&bytes).context("the server takes no more updates"),
            Line::Http(http) => http.send(&bytes),
        }
    }

    fn next(&mut self, id: u32) -> Update {
        let index = id as usize;
        if self.values.len() <= index {
            self.values.resize(index + 1, 0);
        }
        self.values[index] += 1;
        Update { id, value: self.values[index] }
    }

    fn json(&self, update: Update) -> Result<String> {
        let mut json = Vec::new();
        self.writer.append(&mut json, update)?;
        Ok(String::from_utf8(json)?)
    }

    /// Reads what came back.
    pub(crate) fn settle(&mut self) -> Result<()> {
        match (&mut self.line, self.way) {
            (Line::Http(http), way) => {
                while self.unanswered > 0 {
                    let Some(answer) = http.receive()? else { break };
                    let body = String::from_utf8_lossy(answer.body);
                    let taken = match way {
                        Way::Trigger => answer.status == 200 && !body.contains(r#""success":false"#),
                        // 201 with subscribers, 202 without.
                        _ => (200..300).contains(&answer.status),
                    };
                    ensure!(taken, "an update was answered {} {body}", answer.status);
                    self.unanswered -= 1;
                }
                Ok(())
            }
            (Line::Raw(stream), Way::Nats) => {
                // What it says is short, and what must be answered comes alone.
                let mut said = [0; 4096];
                let said = match stream.read(&mut said) {
                    Ok(0) => bail!("the server closed the publisher's connection"),
                    Ok(count) => &said[..count],
                    Err(error) if error.kind() == ErrorKind::Interrupted => return Ok(()),
                    Err(error) => return Err(error).context("reading from the server"),
                };
                ensure!(!said.starts_with(b"-ERR"), "the server said {}", String::from_utf8_lossy(said));
                if said.ends_with(b"PING\r\n") {
                    stream.write_all(b"PONG\r\n")?;
                }
                Ok(())
            }
            // It never answers: readable means closed.
            (Line::Raw(_), _) => bail!("the floor's sender ended: a subscriber's socket was full"),
        }
    }
}

/// The body that counts one view of each.
fn increments(scope: Option<&Scope>, ids: &[u32]) -> String {
    let scope = scope.map_or_else(String::new, |scope| {
        format!(r#","organizationId":"{}","clientId":"{}""#, scope.organization, scope.client)
    });
    let update =
        |id: &u32| format!(r#"{{"contentId":"{}","field":"views","increment":1{scope}}}"#, content_id(*id as usize));
    match ids {
        [id] => update(id),
        ids => format!(r#"{{"updates":[{}]}}"#, ids.iter().map(update).collect::<Vec<_>>().join(",")),
    }
}
